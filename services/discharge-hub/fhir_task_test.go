package dischargehub

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/bus"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/kittest"
)

// pickup plays community-pickup: it publishes the task of a spell in a version, resting on the spell's newest one.
func (h *hub) pickup(t *testing.T, visit string, version int64, task *pickupv1.Task) {
	t.Helper()
	courier, err := bus.Connect(bus.Config{URL: h.nats.ClientURL(), Service: "test"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer courier.Close()
	spell := uuid.MustParse(spellID(visit))
	h.interpreted(t)
	task.SpellId, task.TaskId = spell.String(), fhir.TaskID(spell.String())
	if err := h.db.Pool.QueryRow(t.Context(), `SELECT epoch, version FROM outbox WHERE id = $1`, spell).Scan(&task.SpellEpoch, &task.SpellVersion); err != nil {
		t.Fatal(err)
	}
	data, err := proto.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	e := event.Event{Type: taskType, ID: uuid.MustParse(task.TaskId), Key: spell, Epoch: 1, Version: version, OccurredAt: time.Now(), RecordedAt: time.Now(), Data: data}
	kittest.Eventually(t, "the task is published", func() bool {
		return courier.Publisher("pickup").Publish(t.Context(), []event.Event{e})[0] == nil
	})
}

// task waits until the Task of a stay has a business status, and returns it.
func (e *engine) task(t *testing.T, visit, business string) answer {
	t.Helper()
	var a answer
	kittest.Eventually(t, "the Task is "+business, func() bool {
		a = e.send(t, "GET", "/fhir/Task/"+fhir.TaskID(spellID(visit)), "")
		return a.status == http.StatusOK && strings.Contains(a.raw, `"businessStatus":{"coding":[{"code":"`+business+`"`)
	})
	return a
}

func TestTheTaskTellsHowFarTheHandoverIs(t *testing.T) {
	h, e := startFHIR(t)
	at := timestamppb.New(day(3, 9))
	e.send(t, "POST", "/fhir/Encounter", aStay("finished", "V1", leftAt(day(2, 14)))).want(t, 201)
	if a := e.task(t, "V1", "received"); a.body["status"] != "requested" {
		t.Error(a.raw)
	}
	due := func() *pickupv1.Task {
		return &pickupv1.Task{Outcome: pickupv1.Outcome_OUTCOME_PICK_UP_DUE, Team: "CLS-GRAYS", DueAt: timestamppb.New(day(14, 23)), Progress: pickupv1.Progress_PROGRESS_UNTAKEN}
	}
	h.pickup(t, "V1", 1, due())
	delivered := e.task(t, "V1", "delivered")
	if delivered.body["status"] != "received" || !strings.Contains(delivered.raw, `"value":"CLS-GRAYS"`) || !strings.Contains(delivered.raw, `"value":"V1"`) {
		t.Error(delivered.raw)
	}
	taken := due()
	taken.TakenAt = at
	h.pickup(t, "V1", 2, taken)
	if a := e.task(t, "V1", "taken"); a.body["status"] != "accepted" {
		t.Error(a.raw)
	}
	visit := due()
	visit.TakenAt, visit.FirstContactAt, visit.VisitOn = at, at, "2026-09-10"
	h.pickup(t, "V1", 3, visit)
	if a := e.task(t, "V1", "visit-booked"); a.body["status"] != "in-progress" || !strings.Contains(a.raw, `"valueDateTime":"2026-09-10"`) {
		t.Error(a.raw)
	}
	visit.VisitOn = ""
	h.pickup(t, "V1", 4, visit)
	if a := e.task(t, "V1", "first-contact"); strings.Contains(a.raw, "visit-booked") {
		t.Errorf("a visit that was cancelled is told: %s", a.raw)
	}
	met := due()
	met.TakenAt, met.FirstContactAt, met.CompletedAt, met.Ending, met.Met = at, at, at, pickupv1.Ending_ENDING_ASSESSED, true
	h.pickup(t, "V1", 5, met)
	a := e.task(t, "V1", "assessed")
	if a.body["status"] != "completed" || a.header.Get("ETag") != `W/"6"` {
		t.Error(a.raw)
	}
	if strings.Contains(a.raw, "TESTER") || strings.Contains(a.raw, "9990000026") {
		t.Errorf("a name is in the Task: %s", a.raw)
	}
}

func TestATaskOfAStayThatCameByHL7IsToldToo(t *testing.T) {
	h, e := startFHIR(t)
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Bytes())
	if a := e.task(t, "V1", "received"); !strings.Contains(a.raw, `"value":"V1"`) {
		t.Error(a.raw)
	}
}

// TestACancelledDischargeIsToldInWhateverOrderItCame: community-pickup need not have seen the discharge.
func TestACancelledDischargeIsToldInWhateverOrderItCame(t *testing.T) {
	h, e := startFHIR(t)
	h.send(t, adt("A13", "M2", "V1", day(2, 16)).Bytes())
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Bytes())
	h.send(t, adt("A01", "M3", "V2", day(2, 14)).Bytes())
	for _, visit := range []string{"V1", "V2"} {
		h.pickup(t, visit, 1, &pickupv1.Task{Outcome: pickupv1.Outcome_OUTCOME_IN_HOSPITAL})
	}
	kittest.Eventually(t, "the Task tells that the discharge was cancelled", func() bool {
		a := e.send(t, "GET", "/fhir/Task/"+fhir.TaskID(spellID("V1")), "")
		return a.body["status"] == "on-hold" && strings.Contains(a.raw, "discharge-cancelled")
	})
	if a := e.task(t, "V2", "delivered"); a.body["status"] != "received" {
		t.Errorf("of somebody who never left: %s", a.raw)
	}
}

// aClientOf is a roster of one client, which sends for a provider.
func aClientOf(provider string) *roster {
	r := &roster{}
	r.current.Store(newClientele(nil, map[string]client{"a": {ID: "a", Feeds: []discharge.Feed{{Provider: provider}}}}))
	return r
}

func TestAStartTellsTheTasksFromBeforeTheFirstClientAndFromBeforeARestore(t *testing.T) {
	h, e := startFHIR(t)
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Bytes())
	e.task(t, "V1", "received")
	clients := aClientOf("RAJ")
	w := &taskWalker{store: &store{db: h.db, teller: &teller{clients}}, clients: clients, now: func() time.Time { return day(3, 9) }}
	for _, c := range []struct{ meanwhile, etag string }{
		{`DELETE FROM fhir_task`, `W/"1"`},
		{``, `W/"1"`},
		{`UPDATE epoch SET epoch = 2`, `W/"10000001"`}, // the database was restored: clients may have been told what is gone
		{``, `W/"10000001"`},
	} {
		if _, err := h.db.Pool.Exec(t.Context(), c.meanwhile); err != nil {
			t.Fatal(err)
		}
		for more := true; more; {
			var err error
			if more, err = w.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if a := e.task(t, "V1", "received"); a.header.Get("ETag") != c.etag {
			t.Errorf("%s: %s", c.meanwhile, a.raw)
		}
	}
}

func TestTasksAreSearched(t *testing.T) {
	h, e := startFHIR(t)
	visits := []string{"V1", "V2", "V3", "V4", "V5"}
	for _, v := range visits {
		e.send(t, "POST", "/fhir/Encounter", aStay("finished", v, leftAt(day(2, 14)))).want(t, 201)
		e.task(t, v, "received")
	}
	h.pickup(t, "V2", 1, &pickupv1.Task{Outcome: pickupv1.Outcome_OUTCOME_PICK_UP_DUE, Team: "CLS-GRAYS"})
	changed := e.task(t, "V2", "delivered").body["meta"].(map[string]any)["lastUpdated"].(string)
	found := func(a answer) (list []string) {
		entries, _ := a.want(t, 200).body["entry"].([]any)
		for _, entry := range entries {
			resource := entry.(map[string]any)["resource"].(map[string]any)
			for _, id := range resource["identifier"].([]any) {
				if id := id.(map[string]any); id["system"] == visitSystem {
					list = append(list, id["value"].(string))
				}
			}
		}
		return list
	}
	reference := e.task(t, "V3", "received").body["identifier"].([]any)[0].(map[string]any)["value"].(string)
	for query, want := range map[string]string{
		"":                "V1 V3 V4 V5 V2",
		"owner=CLS-GRAYS": "V2",
		"owner:identifier=" + url.QueryEscape(fhir.TeamSystem+"|CLS-GRAYS"): "V2",
		"status=received":                                                                                        "V2",
		"status=received&status=requested":                                                                       "", // a parameter that is there twice must hold twice
		"status=received,requested&status=requested":                                                             "V1 V3 V4 V5",
		"owner=CLS-GRAYS,nobody&owner=CLS-GRAYS":                                                                 "V2",
		"_id=" + fhir.TaskID(spellID("V5")) + "," + fhir.TaskID(spellID("V1")):                                   "V1 V5",
		"_id=" + fhir.TaskID(spellID("V5")) + "&_id=" + fhir.TaskID(spellID("V1")):                               "",
		"identifier=" + url.QueryEscape(visitSystem+"|V3") + "&identifier=" + url.QueryEscape(visitSystem+"|V4"): "",
		"identifier=" + url.QueryEscape(visitSystem+"|V3") + "&identifier=" + url.QueryEscape(fhir.ReferenceSystem+"|"+reference): "V3",
		"status=" + url.QueryEscape(fhir.TaskStatusSystem+"|received"):                                                            "V2",
		"status=received,requested":                                                            "V1 V3 V4 V5 V2",
		"identifier=" + url.QueryEscape(visitSystem+"|V4"):                                     "V4",
		"identifier=" + url.QueryEscape(visitSystem+"|V4,"+fhir.ReferenceSystem+"|"+reference): "V3 V4",
		"_lastUpdated=ge" + changed:                                                            "V2",
		"_lastUpdated=" + changed:                                                              "V2",
		"_lastUpdated=gt" + changed:                                                            "",
		"_lastUpdated=lt" + changed + "&status=requested":                                      "V1 V3 V4 V5",
		"_lastUpdated=lt2020-01-01":                                                            "",
		"_id=" + fhir.TaskID(spellID("V5")):                                                    "V5",
		"owner=nobody":                                                                         "",
	} {
		if got := strings.Join(found(e.send(t, "GET", "/fhir/Task?"+query, "")), " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if got := found(e.send(t, "POST", "/fhir/Task/_search", "status=received", "Content-Type", "application/x-www-form-urlencoded", "X-Request-ID", "")); len(got) != 1 {
		t.Errorf("by form: %v", got)
	}
	var all []string
	pages := 0
	for next := "/fhir/Task?_count=2"; next != ""; pages++ {
		a := e.send(t, "GET", next, "")
		all = append(all, found(a)...)
		next = ""
		for _, link := range a.body["link"].([]any) {
			if l := link.(map[string]any); l["relation"] == "next" {
				next = strings.TrimPrefix(l["url"].(string), e.base)
			}
		}
	}
	if strings.Join(all, " ") != "V1 V3 V4 V5 V2" || pages != 3 {
		t.Errorf("%d pages: %v", pages, all)
	}
	for query, self := range map[string]string{
		"patient=1&status=received&_summary=true": "/fhir/Task?status=received", "status:not=received&owner=CLS-GRAYS": "/fhir/Task?owner=CLS-GRAYS",
		"_format=json": "/fhir/Task?_format=json",
	} {
		a := e.send(t, "GET", "/fhir/Task?"+query, "", "Prefer", "return=minimal, handling=lenient").want(t, 200)
		link := a.body["link"].([]any)[0].(map[string]any)
		if link["relation"] != "self" || link["url"] != e.base+self || strings.Contains(a.raw, `"mode":"outcome"`) == (query == "_format=json") {
			t.Errorf("%s: %s", query, a.raw)
		}
		if query == "_format=json" {
			continue
		}
		for _, prefer := range []string{"handling=strict", ""} {
			if a := e.send(t, "GET", "/fhir/Task?"+query, "", "Prefer", prefer).want(t, 400); a.issue() != "not-supported " {
				t.Errorf("%s: %s", query, a.raw)
			}
		}
	}
	e.send(t, "GET", "/fhir/Task?_count=x", "", "Prefer", "handling=lenient").want(t, 400) // a wrong value is no unknown parameter
	for _, query := range []string{"_format=xml", "_count=0", "_count=x", "_lastUpdated=yesterday", "_lastUpdated=xx2026-01-01", "identifier=V1", "identifier=" + url.QueryEscape("urn:x|V1"),
		"page=x", "patient=1", "_id=x", "_sort=status", "owner=" + url.QueryEscape("urn:x|y")} {
		e.send(t, "GET", "/fhir/Task?"+query, "").want(t, 400)
	}
}

// receiver is a hospital's webhook: it answers with what it is told to, and keeps what came.
type taskReceiver struct {
	mu     sync.Mutex
	status int
	came   []*http.Request
	bodies []string
}

func (r *taskReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, _ := io.ReadAll(req.Body)
	r.came, r.bodies = append(r.came, req), append(r.bodies, string(body))
	w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
	w.WriteHeader(r.status)
}

func (r *taskReceiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *taskReceiver) got() ([]*http.Request, []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.came), slices.Clone(r.bodies)
}

// startPosting starts a hub that posts to the receiver.
func startPosting(t *testing.T, receiver *taskReceiver) (*hub, *engine) {
	t.Helper()
	server := httptest.NewServer(receiver)
	t.Cleanup(server.Close)
	return startPostingTo(t, server.URL+"/tasks")
}

var webhookSecret = strings.Repeat("s", 40)

// startPostingTo starts a hub with a client whose Tasks are posted to a URL.
func startPostingTo(t *testing.T, url string) (*hub, *engine) {
	t.Helper()
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte(webhookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open, engines := withFHIR(t, map[string]string{"mse-epr": `"feeds":["mse-fhir"],"webhook":{"url":"` + url + `","secret_file":"` + secretFile + `"}`})
	h := startHub(t, open)
	e := engines["mse-epr"]
	e.signIn(t)
	return h, e
}

func TestTasksArePostedUntilTheyAreTaken(t *testing.T) {
	receiver := &taskReceiver{status: 500}
	h, e := startPosting(t, receiver)
	e.send(t, "POST", "/fhir/Encounter", aStay("finished", "V1", leftAt(day(2, 14)))).want(t, 201)
	task := fhir.TaskID(spellID("V1"))
	kittest.Eventually(t, "two attempts fail", func() bool { return h.count(t, `SELECT count(*) FROM webhook_attempt WHERE status = 500`) >= 2 })
	if _, err := h.db.Pool.Exec(t.Context(), `UPDATE webhook_due SET next_at = next_at + interval '50 days'`); err != nil { // as a clock that was so far ahead
		t.Fatal(err)
	}
	receiver.answer(http.StatusFound) // a redirect is not followed
	kittest.Eventually(t, "an attempt is redirected", func() bool { return h.count(t, `SELECT count(*) FROM webhook_attempt WHERE status = 302`) >= 1 })
	receiver.answer(http.StatusNoContent)
	kittest.Eventually(t, "it is taken", func() bool { return h.count(t, `SELECT count(*) FROM webhook_due`) == 0 })

	came, bodies := receiver.got()
	first, last := came[0], came[len(came)-1]
	if first.Header.Get("X-Request-ID") != last.Header.Get("X-Request-ID") || bodies[0] != bodies[len(bodies)-1] {
		t.Error("attempts at one version differ")
	}
	at, v1, _ := strings.Cut(strings.TrimPrefix(last.Header.Get("Homeward-Signature"), "t="), ",v1=")
	mac := hmac.New(sha256.New, []byte(webhookSecret))
	mac.Write([]byte(at + "." + bodies[len(bodies)-1]))
	if v1 != hex.EncodeToString(mac.Sum(nil)) {
		t.Errorf("signature %q", last.Header.Get("Homeward-Signature"))
	}
	var posted map[string]any
	if err := json.Unmarshal([]byte(bodies[0]), &posted); err != nil || posted["id"] != task || posted["resourceType"] != "Task" {
		t.Errorf("posted %s", bodies[0])
	}

	h.pickup(t, "V1", 1, &pickupv1.Task{Outcome: pickupv1.Outcome_OUTCOME_PICK_UP_DUE, Team: "CLS-GRAYS"})
	kittest.Eventually(t, "the next version is posted", func() bool {
		_, bodies := receiver.got()
		return strings.Contains(bodies[len(bodies)-1], "CLS-GRAYS") && h.count(t, `SELECT count(*) FROM webhook_due`) == 0
	})
	a := e.send(t, "GET", "/fhir/Task/"+task+"/$deliveries", "").want(t, 200)
	if n := len(a.body["parameter"].([]any)); n < 5 || !strings.Contains(a.raw, "answered 302") || !strings.Contains(a.raw, `"name":"taken","valueBoolean":true`) {
		t.Errorf("deliveries: %s", a.raw)
	}
	ops := opsv1.NewExplainServiceClient(h.dial(t, authn.Ops))
	resp, err := ops.ExplainHandover(t.Context(), &opsv1.ExplainHandoverRequest{SpellId: spellID("V1")})
	if err != nil || !slices.ContainsFunc(resp.GetHops(), func(h *opsv1.Hop) bool {
		return h.GetName() == "webhook" && strings.Contains(h.GetState(), "not taken")
	}) {
		t.Errorf("hops: %v, %v", resp, err)
	}
}

// TestAPostAfterARestoreIsKnownForAnother takes a hub back behind what it has posted: what it tells then in the same version is something else.
func TestAPostAfterARestoreIsOfAVersionThatNobodyHas(t *testing.T) {
	receiver := &taskReceiver{status: 200}
	h, e := startPosting(t, receiver)
	e.send(t, "POST", "/fhir/Encounter", aStay("finished", "V1", leftAt(day(2, 14)))).want(t, 201)
	last := func(n int) *http.Request {
		kittest.Eventually(t, "all is posted", func() bool {
			came, _ := receiver.got()
			return len(came) == n && h.count(t, `SELECT count(*) FROM webhook_due`) == 0
		})
		came, bodies := receiver.got()
		var posted struct{ Meta struct{ VersionID string } }
		if err := json.Unmarshal([]byte(bodies[n-1]), &posted); err != nil {
			t.Fatal(err)
		}
		if want := []string{"1", "2", "10000001", "10000002"}[n-1]; posted.Meta.VersionID != want {
			t.Errorf("post %d is of version %s, want %s", n, posted.Meta.VersionID, want)
		}
		return came[n-1]
	}
	last(1)
	h.pickup(t, "V1", 1, &pickupv1.Task{Outcome: pickupv1.Outcome_OUTCOME_PICK_UP_DUE, Team: "CLS-GRAYS"})
	lost := last(2)
	if _, err := h.db.Pool.Exec(t.Context(), `UPDATE fhir_task SET version = 1`); err != nil { // the second is not in the database
		t.Fatal(err)
	}
	if _, err := h.db.Pool.Exec(t.Context(), `UPDATE epoch SET epoch = 2`); err != nil {
		t.Fatal(err)
	}
	h.pickup(t, "V1", 2, &pickupv1.Task{Outcome: pickupv1.Outcome_OUTCOME_PICK_UP_DUE, Team: "CLS-GRAYS"}) // which the hub had told already
	if again := last(3); again.Header.Get("X-Request-ID") == lost.Header.Get("X-Request-ID") {
		t.Error("the client takes the Task for one that it has had")
	}
	h.pickup(t, "V1", 3, &pickupv1.Task{Outcome: pickupv1.Outcome_OUTCOME_PICK_UP_DUE, Team: "CLS-SLH"})
	last(4)
}

// TestAVersionThatIsSavedWhileTheOneBeforeIsTakenIsPostedAtOnce lets the two meet in the database.
func TestAVersionThatIsSavedWhileTheOneBeforeIsTakenIsPostedAtOnce(t *testing.T) {
	h, e := startPosting(t, &taskReceiver{status: 503})
	e.send(t, "POST", "/fhir/Encounter", aStay("finished", "V1", leftAt(day(2, 14)))).want(t, 201)
	kittest.Eventually(t, "it is tried", func() bool { return h.count(t, `SELECT count(*) FROM webhook_attempt WHERE status = 503`) > 0 })
	p := &poster{client: client{ID: "mse-epr", Feeds: []discharge.Feed{{Provider: "RAJ"}}}, atATime: postBatch, store: &store{db: h.db, claims: living(t, h.db)}, now: func() time.Time { return time.Now().Add(time.Hour) }}
	var claimed []post
	kittest.Eventually(t, "it is begun", func() bool {
		var err error
		claimed, err = p.claim(t.Context())
		return err == nil
	})
	saving, err := h.db.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = saving.Rollback(t.Context()) }()
	if _, err := saving.Exec(t.Context(), `UPDATE webhook_due SET version = version + 1`); err != nil {
		t.Fatal(err)
	}
	taken := make(chan error)
	go func() {
		taken <- h.db.InTx(t.Context(), "webhook", func(tx pgx.Tx) error { return p.taken(t.Context(), tx, p.now(), claimed[0]) })
	}()
	kittest.Eventually(t, "the one waits for the other", func() bool {
		return kittest.WaitingForLocks(t, h.db) > 0
	})
	if err := errors.Join(saving.Commit(t.Context()), <-taken); err != nil {
		t.Fatal(err)
	}
	if n := h.count(t, `SELECT count(*) FROM webhook_due WHERE attempts = 0 AND next_at = since`); n != 1 {
		t.Error("the newer version waits until the lease of the one before ends")
	}
}

// TestAPostWhoseEndNobodySawIsRecorded dies, as it were, between the post and the record of it.
func TestAPostWhoseEndNobodySawIsRecorded(t *testing.T) {
	h, e := startPosting(t, &taskReceiver{status: 503})
	e.send(t, "POST", "/fhir/Encounter", aStay("finished", "V1", leftAt(day(2, 14)))).want(t, 201)
	kittest.Eventually(t, "it is tried", func() bool { return h.count(t, `SELECT count(*) FROM webhook_attempt WHERE status = 503`) > 0 })
	p := &poster{client: client{ID: "mse-epr", Feeds: []discharge.Feed{{Provider: "RAJ"}}}, atATime: postBatch, store: &store{db: h.db, claims: living(t, h.db)}, now: func() time.Time { return time.Now().Add(time.Hour) }}
	var begun []post
	kittest.Eventually(t, "it is begun again", func() bool {
		var err error
		begun, err = p.claim(t.Context())
		return err == nil && len(begun) == 1
	})
	a := e.send(t, "GET", "/fhir/Task/"+fhir.TaskID(spellID("V1"))+"/$deliveries", "").want(t, 200)
	if !strings.Contains(a.raw, "begun") {
		t.Errorf("deliveries: %s", a.raw)
	}
}

func TestATaskThatNobodyTakesForADayIsAnExceptionAndGoesOn(t *testing.T) {
	receiver := &taskReceiver{status: 503}
	h, e := startPosting(t, receiver)
	e.send(t, "POST", "/fhir/Encounter", aStay("finished", "V1", leftAt(day(2, 14)))).want(t, 201)
	kittest.Eventually(t, "it is tried", func() bool { return h.count(t, `SELECT count(*) FROM webhook_attempt`) > 0 })
	aDayAgo := func() {
		if _, err := h.db.Pool.Exec(t.Context(), `UPDATE webhook_due SET since = since - interval '25 hours', next_at = since - interval '25 hours'`); err != nil {
			t.Fatal(err)
		}
	}
	aDayAgo()
	open24 := func() int {
		return h.count(t, `SELECT count(*) FROM exception WHERE kind = 'webhook-undelivered' AND owner = 'ops' AND closed_at IS NULL`)
	}
	kittest.Eventually(t, "there is an exception", func() bool { return open24() == 1 })
	if n := h.count(t, `SELECT count(*) FROM webhook_due WHERE next_at > now() + interval '30 minutes'`); n != 1 {
		t.Error("it is not tried again within the hour")
	}
	receiver.answer(200)
	aDayAgo()
	kittest.Eventually(t, "the exception is closed when it is taken", func() bool { return open24() == 0 })
}

func TestRetriesGrowAndNeverEnd(t *testing.T) {
	for _, c := range []struct {
		attempts int
		waited   time.Duration
		about    time.Duration
	}{{1, 0, time.Second}, {2, 0, 2 * time.Second}, {5, 0, 16 * time.Second}, {9, 0, 256 * time.Second}, {10, 0, maxRetry}, {1000, time.Hour, maxRetry}, {1000, 25 * time.Hour, time.Hour}} {
		for range 100 {
			if d := retryPost(uuid.New(), c.attempts, c.waited); d < c.about*9/10 || d > c.about*11/10 {
				t.Errorf("attempt %d after %s: %s, want about %s", c.attempts, c.waited, d, c.about)
			}
		}
	}
}
