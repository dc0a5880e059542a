package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/e2e/oracle"
)

// engineFile is a hospital's integration engine as a client of the FHIR door; nobody signs in with its key.
const engineFile = `{"id": "engine", "feeds": ["mse-fhir"], "webhook": {"url": "https://engine.example/tasks", "secret_file": "secret"},
	"jwks": {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}}`

// engineProvider is whose Tasks it wants.
const engineProvider = "RAJ"

// writeClients makes a folder of the hub's clients.
func writeClients() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "hw-sim-"); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "engine.json"), []byte(engineFile), 0o600); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "secret"), []byte(strings.Repeat("s", 40)), 0o600)
}

// engine takes the Tasks that are posted to it.
type engine struct {
	w        *world
	calls    int
	came     map[delivery]string       // bodies
	newest   map[string]fhirTask       // accepted, by Task
	attempts map[string]map[string]int // calls by Task and version, those that found nobody included
	fresh    []fhirTask
}

// delivery is what tells a receiver whether it has had a Task.
type delivery struct{ task, request string }

// fhirTask is what a receiver reads in a Task.
type fhirTask struct {
	ID             string
	Meta           struct{ VersionID string }
	Status         string
	BusinessStatus coded
	Owner          struct{ Identifier struct{ Value string } }
	Restriction    struct{ Period struct{ End time.Time } }
}

type coded struct{ Coding []struct{ Code string } }

func (t fhirTask) business() string {
	if len(t.BusinessStatus.Coding) == 0 {
		return ""
	}
	return t.BusinessStatus.Coding[0].Code
}

func (t fhirTask) version() int {
	n, _ := strconv.Atoi(t.Meta.VersionID)
	return n
}

// post is a process's way to the engine.
type post struct {
	*engine
	proc *process
}

// RoundTrip posts at the moment that the scheduler chooses: there may be nobody, it may come twice, and the answer may be lost.
func (p post) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var task fhirTask
	if err := json.Unmarshal(body, &task); err != nil {
		return nil, err
	}
	if p.attempts[task.ID] == nil {
		p.attempts[task.ID] = map[string]int{}
	}
	p.attempts[task.ID][task.Meta.VersionID]++
	v := p.w.sched.reach(frameOf(r.Context()), point{calling, "post a Task"})
	if v.err != nil {
		return nil, errAway
	}
	status := 0
	for range max(v.times, 1) {
		status = p.take(task, r.Header.Get("X-Request-ID"), string(body))
	}
	if v.lose || p.proc.dead.Load() {
		return nil, errAway
	}
	return &http.Response{StatusCode: status, Body: http.NoBody, Request: r}, nil
}

func (e *engine) take(task fhirTask, request, body string) int {
	e.calls++
	e.w.acts(engineAsks)
	if e.w.faults.refuses(engineBusy) {
		return http.StatusServiceUnavailable
	}
	key := delivery{task.ID, request}
	if before, again := e.came[key]; again && before != body {
		e.w.fail("the engine is sent two Tasks %s under one X-Request-ID: %s and %s", task.ID, before, body)
	}
	e.came[key] = body
	if old, had := e.newest[task.ID]; !had || task.version() >= old.version() || e.w.restore.service == "discharge-hub" {
		e.newest[task.ID] = task
	}
	e.fresh = append(e.fresh, task)
	return http.StatusNoContent
}

// look finds out, before anything else goes on, whether what was told just now has happened.
func (e *engine) look() {
	w := e.w
	for _, t := range e.fresh {
		if b := t.business(); b == "received" || b == "cancelled" || w.restore.service == "community-pickup" {
			continue
		}
		var n int
		if err := w.db.admin.QueryRow(w.ctx, `SELECT count(*) FROM community_pickup.task k JOIN discharge_hub.fhir_task f USING (reference) WHERE f.task_id = $1`,
			t.ID).Scan(&n); err != nil || n == 0 {
			w.fail("the engine is told that Task %s is %s, and nothing is delivered: %v", t.ID, t.business(), err)
		}
	}
	e.fresh = nil
}

// check compares what the engine accepted with what the hub has noted, and with what must have become of the spells.
func (e *engine) check(expected []oracle.Expected, touched func(spell string) bool) {
	w := e.w
	rows, err := w.db.admin.Query(w.ctx, `SELECT t.task_id, t.spell_id, t.version, count(a.id), count(a.id) FILTER (WHERE a.status BETWEEN 200 AND 299)
		FROM discharge_hub.fhir_task t LEFT JOIN discharge_hub.webhook_attempt a USING (task_id, version) GROUP BY t.task_id ORDER BY t.task_id`)
	if err != nil {
		w.fail("Tasks: %v", err)
		return
	}
	bySpell := map[string]fhirTask{}
	var task, spell uuid.UUID
	var version, tries, taken int
	if _, err := pgx.ForEachRow(rows, []any{&task, &spell, &version, &tries, &taken}, func() error {
		got := e.newest[task.String()]
		bySpell[spell.String()] = got
		if got.version() != version || taken == 0 {
			w.fail("spell %s: the engine has version %d of its Task, and %d is the newest; %d of %d attempts are noted as taken", spell, got.version(), version, taken, tries)
		}
		if called := e.attempts[task.String()][strconv.Itoa(version)]; tries < called && w.restore.service != "discharge-hub" {
			w.fail("spell %s: %d attempts are noted at version %d of its Task, and %d were made", spell, tries, version, called)
		}
		return nil
	}); err != nil {
		w.fail("Tasks: %v", err)
	}
	for _, want := range expected {
		if w.providerOf(want.SpellID) != engineProvider {
			continue
		}
		got, told := bySpell[want.SpellID]
		if !told {
			w.fail("spell %s: no Task tells of it", want.SpellID)
			continue
		}
		if touched(want.SpellID) {
			continue
		}
		business := map[string]string{"not-due": "no-pick-up-due", "in-another-hospital": "in-another-hospital"}[want.Outcome]
		switch {
		case want.Status == "voided":
			business = "cancelled"
		case business == "":
			business = "delivered"
		}
		if wrong := fmt.Sprintf("%s for %q until %s", got.business(), got.Owner.Identifier.Value, got.Restriction.Period.End.UTC()); wrong !=
			fmt.Sprintf("%s for %q until %s", business, want.Team, want.DueAt.UTC()) {
			w.fail("spell %s: its Task is %s, must be %s for %q until %s", want.SpellID, wrong, business, want.Team, want.DueAt.UTC())
		}
	}
}

// providerOf is the hospital of a spell, by the feeds that told of it.
func (w *world) providerOf(spell string) string {
	for _, m := range w.told {
		if slices.Contains(m.SpellIDs(), spell) {
			for _, f := range w.settings.feeds {
				if f.Key == m.Feed {
					return f.Provider
				}
			}
		}
	}
	return ""
}
