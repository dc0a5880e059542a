package dischargehub

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/feeds"
	"github.com/homeward-care/homeward/services/discharge-hub/migrations"
	"github.com/homeward-care/homeward/services/kit/kittest"
)

const otherKey = `"jwks":{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`

func TestClientsAreReadAgainAndAWrongFileKeepsThoseOfBefore(t *testing.T) {
	all, err := loadFeeds("")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.json", `{"id":"a",`+otherKey+`,"feeds":["mse-fhir"]}`)
	var log bytes.Buffer
	now := day(1, 9)
	r, err := openRoster(dir, feedsByKey(all), func() time.Time { return now }, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	look := func(want string) {
		t.Helper()
		for range 2 {
			if _, err := r.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Join(r.get().ids(), " "); got != want {
			t.Errorf("clients %q, want %q", got, want)
		}
	}
	look("a")
	write("b.json", `{"id":"b",`+otherKey+`,"feeds":["mse-fhir"]}`)
	if _, err := r.Step(t.Context()); err != nil || len(r.get().ids()) != 1 {
		t.Errorf("a file that was just changed was read: %v, %v", r.get().ids(), err)
	}
	look("a b")
	write("b.json", `{"id":"b",`+otherKey+`,"feeds":["nobody's"]}`)
	alarms := func() int { return strings.Count(log.String(), "alarm: the clients' files cannot be used") }
	look("a b")
	look("a b")
	if alarms() != 1 || !strings.Contains(log.String(), "b.json") {
		t.Errorf("%d alarms:\n%s", alarms(), log.String())
	}
	now = now.Add(wrongAgain)
	if look("a b"); alarms() != 2 {
		t.Errorf("an alarm is not repeated:\n%s", log.String())
	}
	if err := os.Remove(filepath.Join(dir, "b.json")); err != nil {
		t.Fatal(err)
	}
	look("a")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if look("a"); alarms() != 3 {
		t.Errorf("a folder that is gone raises no alarm:\n%s", log.String())
	}
}

// TestAClientThatIsAddedIsToldOfWhatWasBefore adds the first client of a provider while the hub runs: a stay from before is posted to it.
func TestAClientThatIsAddedIsToldOfWhatWasBefore(t *testing.T) {
	receiver := &taskReceiver{status: http.StatusNoContent}
	server := httptest.NewServer(receiver)
	t.Cleanup(server.Close)
	feedsDir := t.TempDir()
	if err := os.CopyFS(feedsDir, feeds.Files); err != nil {
		t.Fatal(err)
	}
	text, err := feeds.Files.ReadFile("mse-fhir.json")
	if err != nil {
		t.Fatal(err)
	}
	other := strings.NewReplacer("mse-fhir", "bhrut-fhir", "RAJ", "RF4").Replace(string(text))
	if err := os.WriteFile(filepath.Join(feedsDir, "bhrut-fhir.json"), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	open, _ := withFHIR(t, map[string]string{"bhrut": `"feeds":["bhrut-fhir"]`})
	h := startHub(t, open, func(cfg *Config) { cfg.FeedsDir = feedsDir })
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Bytes())
	h.spell(t, spellID("V1"))

	if err := os.WriteFile(filepath.Join(h.cfg.ClientsDir, "secret"), []byte(strings.Repeat("s", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	file := `{"id":"mse",` + otherKey + `,"feeds":["mse-fhir"],"webhook":{"url":"` + server.URL + `","secret_file":"secret"}}`
	if err := os.WriteFile(filepath.Join(h.cfg.ClientsDir, "mse.json"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	kittest.Eventually(t, "the Task is posted to the client that was added", func() bool {
		_, bodies := receiver.got()
		return strings.Contains(strings.Join(bodies, ""), `"value":"V1"`)
	})
}

// TestWhatIsDueToAClientOfBeforeIsPostedToNobody takes a provider away from a client while its Task waits to be posted to it.
func TestWhatIsDueToAClientOfBeforeIsPostedToNobody(t *testing.T) {
	t.Parallel()
	db := kittest.Open(t, kittest.Database(t, migrations.FS))
	h := &hub{db: db}
	if _, err := db.Pool.Exec(t.Context(), `
		WITH stay AS (
			INSERT INTO spell (id, reference, received_at) SELECT gen_random_uuid(), provider, $1 FROM unnest(ARRAY['RAJ', 'RF4']) provider RETURNING *
		), told AS (
			INSERT INTO fhir_task SELECT gen_random_uuid(), id, reference, reference, '', $1, 1, $1, '', '', '{}' FROM stay RETURNING *
		), open AS (
			INSERT INTO exception (kind, owner, opened_at, spell_id, detail) SELECT 'webhook-undelivered', 'ops', $1, spell_id, '' FROM told
		)
		INSERT INTO webhook_due (client, task_id, version, since, next_at) SELECT client, task_id, 1, $1, $1 FROM told, unnest(ARRAY['a', 'b', 'gone']) client`, day(1, 9)); err != nil {
		t.Fatal(err)
	}
	a := client{ID: "a", Feeds: []discharge.Feed{{Provider: "RAJ"}}, Webhook: &webhook{}}
	now := func() time.Time { return day(1, 10) }
	p := &poster{client: a, atATime: postBatch, store: &store{db: db}, now: now}
	due, err := p.claim(t.Context())
	if err != nil || len(due) != 1 || h.count(t, `SELECT count(*) FROM fhir_task WHERE provider = 'RAJ' AND task_id = $1`, due[0].task.id) != 1 {
		t.Errorf("posted are %+v, %v", due, err)
	}

	clients := &roster{}
	clients.current.Store(newClientele(map[string]client{"a": a}))
	w := &taskWalker{store: &store{db: db, teller: &teller{clients}}, clients: clients, now: now}
	if _, err := w.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{
		`SELECT count(*) FROM webhook_due`: 1,
		`SELECT count(*) FROM webhook_due JOIN fhir_task USING (task_id) WHERE client = 'a' AND provider = 'RAJ'`:       1,
		`SELECT count(*) FROM exception e JOIN fhir_task USING (spell_id) WHERE provider = 'RF4' AND closed_at IS NULL`: 0,
		`SELECT count(*) FROM exception e JOIN fhir_task USING (spell_id) WHERE provider = 'RAJ' AND closed_at IS NULL`: 1,
	} {
		if n := h.count(t, query); n != want {
			t.Errorf("%d, not %d: %s", n, want, query)
		}
	}
}
