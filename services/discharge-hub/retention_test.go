package dischargehub

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/migrations"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/run"
	"github.com/homeward-care/homeward/services/kit/service"
)

// forget does all that is due to be forgotten at a time.
func (h *hub) forget(t *testing.T, now time.Time) {
	t.Helper()
	r := Config{}.retention(&store{db: h.db})
	for more := true; more; {
		var err error
		if more, err = r.Step(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
}

func TestARequestIDIsRememberedForThirtyDays(t *testing.T) {
	h, e := startFHIR(t)
	e.send(t, "POST", "/fhir/Encounter", aStay("in-progress", "V1"), "X-Request-ID", "R1").want(t, 201)
	if _, err := h.db.Pool.Exec(t.Context(), `INSERT INTO fhir_answer (client, request_id, digest, at) SELECT 'mse-epr', 'old-' || n, '', now() - interval '31 days' FROM generate_series(1, 1200) n`); err != nil {
		t.Fatal(err)
	}
	h.forget(t, time.Now().Add(29*24*time.Hour))
	if n := h.count(t, `SELECT count(*) FROM fhir_answer`); n != 1 {
		t.Errorf("%d answers, want the one of R1", n)
	}
	e.send(t, "POST", "/fhir/Encounter", aStay("in-progress", "V1"), "X-Request-ID", "R1").want(t, 201)
	h.forget(t, time.Now().Add(31*24*time.Hour))
	if n := h.count(t, `SELECT count(*) FROM fhir_answer`); n != 0 {
		t.Errorf("%d answers, want none", n)
	}
	e.send(t, "POST", "/fhir/Encounter", aStay("in-progress", "V1"), "X-Request-ID", "R1").want(t, 409) // it is another request now, for what is there already
}

func TestAnAnswerIsRememberedThatWasGivenWhileTheClockWasSetBack(t *testing.T) {
	h, e := startFHIR(t)
	feeds, err := loadFeeds("")
	if err != nil {
		t.Fatal(err)
	}
	clock := time.Now()
	svc := &service.Service{Now: func() time.Time { return clock }, Elapsed: func() time.Duration { return time.Hour }}
	byKey := feedsByKey(feeds)
	d := &fhirDoor{feeds: func() map[string]discharge.Feed { return byKey }, store: &store{db: h.db}, pending: run.NewWake(), now: svc.Now, answeredAt: neverBack(svc)}
	clock = clock.AddDate(0, 0, -50)
	stay := aStay("in-progress", "V1")
	first, err := createResource(d, &call{ctx: t.Context(), http: httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/fhir/Encounter", nil),
		client: "mse-epr", feeds: []discharge.Feed{byKey["mse-fhir"]}, requestID: "R1", body: []byte(stay), span: noop.Span{}})
	if err != nil || first.status != http.StatusCreated {
		t.Fatal(first, err)
	}
	h.forget(t, time.Now())
	e.send(t, "POST", "/fhir/Encounter", stay, "X-Request-ID", "R1").want(t, 201)
}

func TestAttemptsAreKeptUntilNinetyDaysAfterTheTaskWasTaken(t *testing.T) {
	receiver := &taskReceiver{status: http.StatusInternalServerError}
	h, e := startPosting(t, receiver)
	e.send(t, "POST", "/fhir/Encounter", aStay("finished", "V1", leftAt(day(2, 14)))).want(t, 201)
	attempts := func() int { return h.count(t, `SELECT count(*) FROM webhook_attempt`) }
	kittest.Eventually(t, "an attempt fails", func() bool { return attempts() > 0 })
	h.forget(t, time.Now().AddDate(10, 0, 0))
	if attempts() == 0 {
		t.Error("an attempt at what nobody has taken was forgotten")
	}
	receiver.answer(http.StatusNoContent)
	kittest.Eventually(t, "it is taken", func() bool { return h.count(t, `SELECT count(*) FROM webhook_due`) == 0 })
	before := attempts()
	h.forget(t, time.Now().Add(89*24*time.Hour))
	if n := attempts(); n != before || n < 2 {
		t.Errorf("%d attempts, there were %d", n, before)
	}
	h.forget(t, time.Now().Add(91*24*time.Hour))
	if n := attempts(); n != 0 {
		t.Errorf("%d attempts, want none", n)
	}
}

func TestAttemptsToAnswerAWardAreKeptUntilNinetyDaysAfterItAccepted(t *testing.T) {
	t.Parallel()
	h := &hub{db: kittest.Open(t, kittest.Database(t, migrations.FS))}
	if _, err := h.db.Pool.Exec(t.Context(), `
		WITH told AS (
			INSERT INTO answer (feed, spell_id, word, about, at, team, outcome, traceparent, recorded_at, next_try, accepted_at)
			SELECT 'mse-all', gen_random_uuid(), 'received', '1.1', $1, '', '', '', $1, $1, accepted FROM unnest(ARRAY[$1::timestamptz, NULL]) accepted RETURNING id, accepted_at
		)
		INSERT INTO answer_attempt SELECT id, $1, 'AE', 'no room', accepted_at FROM told`, day(1, 9)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ days, left int }{{89, 2}, {91, 1}, {900, 1}} {
		h.forget(t, day(1, 9).AddDate(0, 0, c.days))
		if n := h.count(t, `SELECT count(*) FROM answer_attempt`); n != c.left {
			t.Errorf("after %d days %d attempts are left, not %d", c.days, n, c.left)
		}
	}
}

func TestAnAttemptKeepsNoSecretOfTheWebhooksURL(t *testing.T) {
	h, e := startPostingTo(t, "http://"+kittest.FreeAddr(t)+"/?token=hidden")
	e.send(t, "POST", "/fhir/Encounter", aStay("finished", "V1", leftAt(day(2, 14)))).want(t, 201)
	kittest.Eventually(t, "an attempt fails", func() bool {
		return h.count(t, `SELECT count(*) FROM webhook_attempt WHERE error LIKE '%refused%'`) > 0
	})
	if n := h.count(t, `SELECT count(*) FROM webhook_attempt WHERE error LIKE '%hidden%'`); n > 0 {
		t.Errorf("%d attempts tell the secret", n)
	}
}
