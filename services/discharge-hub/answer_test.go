package dischargehub

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/kittest"
)

// confirm lets community-pickup publish the task of the spell, as its outbox would.
func (h *hub) confirm(t *testing.T, controlID string, version int64, change func(*pickupv1.Task)) {
	t.Helper()
	got := h.handover(t, controlID)
	spell := uuid.MustParse(got.GetSpellId())
	task := &pickupv1.Task{SpellId: got.GetSpellId(), SpellEpoch: got.GetEpoch(), SpellVersion: got.GetVersion(),
		Outcome: pickupv1.Outcome_OUTCOME_PICK_UP_DUE, Team: "CLS-GRAYS"}
	if change != nil {
		change(task)
	}
	data, err := proto.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	feeds, err := loadFeeds(h.cfg.FeedsDir)
	if err != nil {
		t.Fatal(err)
	}
	st := &store{db: h.db, answered: func() []string { return answeredOf(feedsByKey(feeds)) }}
	e := event.Event{Type: taskType, ID: uuid.NewSHA1(spell, nil), Key: spell, Epoch: 1, Version: version, Data: data}
	if err := h.db.InTx(t.Context(), "inbox", func(tx pgx.Tx) error {
		return st.applyTasks(t.Context(), tx, time.Now().UTC(), []event.Event{e})
	}); err != nil {
		t.Fatal(err)
	}
}

func takenAt(at time.Time) func(*pickupv1.Task) {
	return func(t *pickupv1.Task) { t.TakenAt = timestamp(at) }
}

func (h *hub) openAnswers(t *testing.T) int {
	t.Helper()
	return h.count(t, `SELECT count(*) FROM answer WHERE accepted_at IS NULL`)
}

func (h *hub) allAccepted(t *testing.T) {
	t.Helper()
	kittest.Eventually(t, "every answer is accepted", func() bool { return h.openAnswers(t) == 0 })
}

// tryNow makes all answers due, as time would.
func (h *hub) tryNow(t *testing.T) {
	t.Helper()
	if _, err := h.db.Pool.Exec(t.Context(), `UPDATE answer SET next_try = '2020-01-01Z' WHERE accepted_at IS NULL`); err != nil {
		t.Fatal(err)
	}
}

func TestTheWardIsToldInItsOwnNumbersHowFarTheHandoverIs(t *testing.T) {
	w := newWard(t).start()
	h := startHub(t, func(c *Config) { c.FeedsDir = feedsWith(t, map[string]string{"open": w.answersTo(""), "mute": ""}) })
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Bytes(), adt("A03", "M2", "V2", day(2, 14)).Set("MSH-3", "MSEPAS-MUTE").Bytes())
	h.confirm(t, "M1", 1, nil)
	h.confirm(t, "M2", 1, nil)
	h.confirm(t, "M1", 2, takenAt(day(3, 9)))
	if at := h.handover(t, "M1").GetTakenAt(); !at.AsTime().Equal(day(3, 9)) {
		t.Errorf("taken at %v", at)
	}
	h.confirm(t, "M1", 3, takenAt(day(3, 9))) // nothing new for the ward
	h.confirm(t, "M1", 4, func(task *pickupv1.Task) {
		task.TakenAt, task.FirstContactAt, task.CompletedAt = timestamp(day(3, 9)), timestamp(day(4, 9)), timestamp(day(20, 9))
	})
	h.allAccepted(t)
	if got := strings.Join(w.words(), ", "); got != "received V1, delivered V1, taken V1, contacted V1, closed V1" {
		t.Errorf("the ward heard: %s", got)
	}
	if len(w.came) != 5 {
		t.Errorf("%d messages for five words", len(w.came))
	}
	m := w.came[2]
	for path, want := range map[string]string{
		"MSH-3": "HOMEWARD", "MSH-5": "EPR", "MSH-6": "RAJ", "MSH-9.1": "ORU", "MSH-9.2": "R01", "MSH-11": "P", "MSH-12": "2.4",
		"PID-3": "1234567", "PID-3.4": "RAJ", "PID-3.5": "PI", "PID-5.1": "", "PID-5.7": "S", "PV1-2": "I", "PV1-19": "V1",
		"OBR-4.1": "HANDOVER", "OBR-7": "20260903100000+0100", "OBR-25": "F",
	} {
		if got := m.Get(path).Text(); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	results := map[string]string{}
	for s := range m.Segments("OBX") {
		results[s.Field(3, 1).Text()] = s.Field(5, 1).Text()
	}
	want := map[string]string{"HANDOVER-WORD": "taken", "HANDOVER-REFERENCE": h.handover(t, "M1").GetReference(), "PICK-UP": "due", "TEAM": "CLS-GRAYS"}
	if fmt.Sprint(results) != fmt.Sprint(want) {
		t.Errorf("results %v, want %v", results, want)
	}
	for s := range m.Segments("") {
		for _, personal := range []string{"TESTER", "9990000026", "19410312", "EXAMPLE ROAD", "RM17"} {
			for field := 1; field < 50; field++ {
				for part := 1; part < 8; part++ {
					if strings.Contains(s.Field(field, part).Text(), personal) {
						t.Errorf("%s-%d holds %s", s.Name(), field, personal)
					}
				}
			}
		}
	}
}

func TestAnAnswerThatAWrongClockPutOffIsSent(t *testing.T) {
	w := newWard(t) // away
	h := startHub(t, func(c *Config) { c.FeedsDir = feedsWith(t, map[string]string{"open": w.answersTo("")}) })
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Bytes())
	kittest.Eventually(t, "it is tried", func() bool { return h.count(t, `SELECT count(*) FROM answer_attempt`) > 0 })
	if _, err := h.db.Pool.Exec(t.Context(), `UPDATE answer SET next_try = next_try + interval '50 days'`); err != nil { // as a clock that was so far ahead
		t.Fatal(err)
	}
	w.start()
	h.allAccepted(t)
}

func TestTheWardIsToldAgainWhenTheOutcomeOrTheTeamIsAnother(t *testing.T) {
	w := newWard(t).start()
	h := startHub(t, func(c *Config) { c.FeedsDir = feedsWith(t, map[string]string{"open": w.answersTo("")}) })
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Bytes())
	none := func(task *pickupv1.Task) { task.Outcome, task.Team = pickupv1.Outcome_OUTCOME_NOT_DUE, "" }
	for i, change := range []func(*pickupv1.Task){none, nil, nil, func(task *pickupv1.Task) { task.Team = "CLS-SLH" }, none} {
		h.confirm(t, "M1", int64(i+1), change)
	}
	h.allAccepted(t)
	var said []string
	for _, m := range w.came {
		words := ""
		for s := range m.Segments("OBX") {
			if s.Field(3, 1).Text() != "HANDOVER-REFERENCE" {
				words += s.Field(5, 1).Text() + " "
			}
		}
		said = append(said, strings.TrimSpace(words))
	}
	want := "received, delivered not-due, delivered due CLS-GRAYS, delivered due CLS-SLH, delivered not-due"
	if got := strings.Join(said, ", "); got != want {
		t.Errorf("the ward heard: %s; want: %s", got, want)
	}
}

func TestATryWhoseEndNobodySawIsRecorded(t *testing.T) {
	h := startHub(t, func(c *Config) { c.FeedsDir = feedsWith(t, map[string]string{"open": ""}) })
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Bytes())
	h.interpreted(t)
	spell := uuid.MustParse(h.handover(t, "M1").GetSpellId())
	if _, err := h.db.Pool.Exec(t.Context(), `INSERT INTO answer (feed, spell_id, word, about, at, team, outcome, traceparent, recorded_at, next_try)
		VALUES ('open', $1, 'received', '1.1', now(), '', '', '', now(), now())`, spell); err != nil {
		t.Fatal(err)
	}
	st := &store{db: h.db, claims: living(t, h.db)}
	now := time.Now()
	begun, err := st.claimAnswer(t.Context(), "open", now, now.Add(answerLease))
	if err != nil || begun.tries != 1 {
		t.Fatalf("claimed %+v: %v", begun, err)
	}
	results := func() string {
		rows, err := h.db.Pool.Query(t.Context(), `SELECT result FROM answer_attempt ORDER BY at`)
		if err != nil {
			t.Fatal(err)
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(list, ", ")
	}
	if got := results(); got != "begun" {
		t.Errorf("what was begun is recorded as %q", got)
	}
	later := now.Add(time.Minute) // the process that began it has died
	again, err := st.claimAnswer(t.Context(), "open", later, later.Add(answerLease))
	if err != nil || again.tries != 2 {
		t.Fatalf("claimed %+v: %v", again, err)
	}
	if err := st.recordAttempt(t.Context(), again, later, attempt{code: hl7.Accept}); err != nil {
		t.Fatal(err)
	}
	if err := st.recordAttempt(t.Context(), begun, later, attempt{said: "the end of the first try, after all"}); err != nil {
		t.Fatal(err)
	}
	h.forget(t, later.AddDate(0, 0, 89))
	if got := results(); got != "none, AA" {
		t.Errorf("the tries are recorded as %q", got)
	}
	h.forget(t, later.AddDate(0, 0, 91))
	if got := results(); got != "" {
		t.Errorf("ninety days after it was accepted there are still tries: %q", got)
	}
}

func TestAnAnswerIsSentUntilItIsAcceptedInTheOrderOfItsSpell(t *testing.T) {
	w := newWard(t) // away
	h := startHub(t, func(c *Config) { c.FeedsDir = feedsWith(t, map[string]string{"open": w.answersTo("")}) })
	tries := func(result string) int {
		if _, err := h.db.Pool.Exec(t.Context(), `UPDATE answer SET next_try = now() WHERE accepted_at IS NULL AND claimed_by IS NULL`); err != nil { // as if the time were over
			t.Fatal(err)
		}
		return h.count(t, `SELECT count(*) FROM answer_attempt WHERE result = $1`, result)
	}
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Bytes())
	h.confirm(t, "M1", 1, takenAt(day(3, 9)))
	kittest.Eventually(t, "a try without a receiver is recorded", func() bool { return tries("none") > 0 })

	lost := 2
	w.answers(func(m *hl7.Message) string {
		if lost--; lost >= 0 {
			return "" // taken, but the answer is lost
		}
		return "AE"
	})
	w.start()
	kittest.Eventually(t, "AE is recorded", func() bool { return tries("AE") > 0 })
	h.confirm(t, "M1", 2, func(task *pickupv1.Task) {
		task.TakenAt, task.FirstContactAt = timestamp(day(3, 9)), timestamp(day(4, 9))
	}) // due before the others
	kittest.Eventually(t, "AE is recorded again", func() bool { return tries("AE") > 1 })
	if n := len(w.words()); n != 1 {
		t.Errorf("%d words were told while the first one is not accepted", n)
	}
	w.stop()
	w.answers(accepts)
	w.start()
	kittest.Eventually(t, "the first one is accepted", func() bool { return tries("AA") > 0 })
	h.allAccepted(t)
	if got := strings.Join(w.words(), ", "); got != "received V1, delivered V1, taken V1, contacted V1" {
		t.Errorf("the ward heard: %s", got)
	}
	ops := opsv1.NewExplainServiceClient(h.dial(t, authn.Ops))
	resp, err := ops.ExplainHandover(t.Context(), &opsv1.ExplainHandoverRequest{SpellId: h.handover(t, "M1").GetSpellId()})
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, hop := range resp.GetHops() {
		states = append(states, hop.GetState())
	}
	for _, want := range []string{"received, feed open, no answer", "received, feed open, answered AE", "received, feed open, answered AA", "taken, feed open, accepted, tries: 1"} {
		if !slices.Contains(states, want) {
			t.Errorf("no hop %q among %q", want, states)
		}
	}
}

func TestARejectedAnswerIsAnExceptionUntilTheReceiverTakesIt(t *testing.T) {
	w := newWard(t).start()
	w.answers(func(m *hl7.Message) string {
		if m.Get("PV1-19").Text() == "V1" {
			return "AR"
		}
		return "CA"
	})
	h := startHub(t, func(c *Config) { c.FeedsDir = feedsWith(t, map[string]string{"open": w.answersTo("")}) })
	exceptions := func() int {
		return h.count(t, `SELECT count(*) FROM exception WHERE kind = 'answer-rejected' AND owner = 'hub' AND closed_at IS NULL`)
	}
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Bytes())
	h.confirm(t, "M1", 1, nil)
	kittest.Eventually(t, "the rejection is an exception", func() bool { return exceptions() == 1 })
	h.send(t, adt("A03", "M2", "V2", day(2, 14)).Bytes())
	h.confirm(t, "M2", 1, nil)
	kittest.Eventually(t, "the answers about somebody else are accepted", func() bool { return h.openAnswers(t) == 2 })
	if got := h.handover(t, "M1").GetExceptions(); !slices.Contains(got, "answer-rejected") {
		t.Errorf("the handover shows the exceptions %q", got)
	}
	if n := h.count(t, `SELECT count(*) FROM exception WHERE detail LIKE '%TESTER%'`); n != 0 {
		t.Error("what the receiver said of the person is in an exception")
	}
	h.tryNow(t)
	kittest.Eventually(t, "it is tried again", func() bool { return h.count(t, `SELECT count(*) FROM answer_attempt WHERE result = 'AR'`) == 2 })
	if exceptions() != 1 {
		t.Error("a second rejection is a second exception")
	}
	w.answers(accepts)
	h.tryNow(t)
	h.allAccepted(t)
	if exceptions() != 0 {
		t.Error("the exception stays open though the answer was accepted")
	}
	if got := strings.Join(w.words(), ", "); got != "received V1, received V2, delivered V2, delivered V1" {
		t.Errorf("the ward heard: %s", got)
	}
}

func TestAReceiverThatIsAwayDelaysNoOther(t *testing.T) {
	away, other := newWard(t), newWard(t).start()
	stuck := newWard(t).start()
	stuck.answers(func(*hl7.Message) string { time.Sleep(time.Second); return "" })
	h := startHub(t, func(c *Config) {
		c.FeedsDir = feedsWith(t, map[string]string{"open": away.answersTo(""), "stuck": stuck.answersTo(""), "other": other.answersTo("")})
	})
	for i := range 20 {
		for _, application := range []string{"MSEPAS", "MSEPAS-STUCK", "MSEPAS-OTHER"} {
			h.send(t, adt("A03", fmt.Sprint("M", i), fmt.Sprint("V", i, application), day(2, 14)).Set("MSH-3", application).Bytes())
		}
	}
	h.interpreted(t)
	kittest.Eventually(t, "the one that works has all its answers", func() bool { return len(other.words()) == 20 })
	if n := h.count(t, `SELECT count(*) FROM answer WHERE feed <> 'other' AND accepted_at IS NULL`); n != 40 {
		t.Errorf("%d answers wait for those that are away, want 40", n)
	}
}

func TestAnswersSurviveARestartAndAreTheSameMessageAgain(t *testing.T) {
	w := newWard(t).start()
	got := make(chan string, 10)
	w.answers(func(m *hl7.Message) string { got <- m.Header.ControlID; return "" })
	h := startHub(t, func(c *Config) { c.FeedsDir = feedsWith(t, map[string]string{"open": w.answersTo("")}) })
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Bytes())
	first := <-got
	// A second hub beside the first one takes over what is due, whichever of them still runs.
	second := h.cfg
	second.GRPCAddr, second.MLLPAddr = kittest.FreeAddr(t), kittest.FreeAddr(t)
	kittest.Start(t, func(ctx context.Context) error { return Run(ctx, second) })
	if again := <-got; again != first {
		t.Errorf("MSH-10 is %s at first and %s the second time: the receiver cannot know it for the same", first, again)
	}
	w.answers(accepts)
	h.allAccepted(t)
	if n := len(w.words()); n != 1 {
		t.Errorf("%d answers for one", n)
	}
}

func TestAnswersGoOverTLSWithTheHubsCertificate(t *testing.T) {
	ca, files := newAuthority(t), newIdentityFiles(t)
	later := time.Now().Add(time.Hour)
	files.write(t, ca.issue(t, "hub.example", later), ca)
	w := newWard(t)
	w.tls = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "engine.example", later)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(), MinVersion: tls.VersionTLS12}
	w.start()
	stranger := newWard(t)
	stranger.tls = &tls.Config{Certificates: []tls.Certificate{newAuthority(t).issue(t, "engine.example", later)}, MinVersion: tls.VersionTLS12}
	stranger.start()
	const tlsTo = `,"tls":true,"server_name":"engine.example"`
	h := startHub(t, files.configure, func(c *Config) {
		c.FeedsDir = feedsWith(t, map[string]string{"open": w.answersTo(tlsTo), "other": stranger.answersTo(tlsTo)})
	})
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Bytes(), adt("A03", "M2", "V2", day(2, 14)).Set("MSH-3", "MSEPAS-OTHER").Bytes())
	kittest.Eventually(t, "the ward has its answer", func() bool { return len(w.words()) == 1 })
	kittest.Eventually(t, "the try at the stranger is recorded", func() bool {
		return h.count(t, `SELECT count(*) FROM answer_attempt WHERE result = 'none' AND said LIKE '%certificate%'`) > 0
	})
	if len(stranger.words()) != 0 {
		t.Error("somebody whose certificate nobody vouches for was told")
	}
}

func TestAFeedThatTellsWhatIsKnownIsAnsweredToo(t *testing.T) {
	w := newWard(t).start()
	h := startHub(t, func(c *Config) { c.FeedsDir = feedsWith(t, map[string]string{"open": w.answersTo(""), "mute": ""}) })
	left := func(id string) []byte {
		return adt("A03", id, "V"+id[:1], day(2, 14)).Set("MSH-3", "MSEPAS-MUTE").Bytes()
	}
	earlier := func(id string) []byte { return adt("A08", id, "V"+id[:1], day(2, 9)).Bytes() } // it comes late, and nothing of it is new
	h.send(t, left("1a"), left("2a"))
	h.pickup(t, "V1", 1, &pickupv1.Task{Outcome: pickupv1.Outcome_OUTCOME_PICK_UP_DUE, Team: "CLS-GRAYS", TakenAt: timestamp(day(3, 9))})
	kittest.Eventually(t, "the task is known", func() bool { return h.handover(t, "1a").GetTakenAt() != nil })
	version := h.handover(t, "1a").GetVersion()
	h.send(t, earlier("1b"), earlier("2b"), earlier("1c"))
	h.interpreted(t)
	if now := h.handover(t, "1b").GetVersion(); now != version {
		t.Fatalf("version %d became %d: the test is to send what is known", version, now)
	}
	h.pickup(t, "V2", 1, &pickupv1.Task{Outcome: pickupv1.Outcome_OUTCOME_PICK_UP_DUE, Team: "CLS-GRAYS"})
	kittest.Eventually(t, "the ward hears of both", func() bool { return len(w.words()) == 5 })
	h.allAccepted(t)
	words := w.words()
	slices.Sort(words)
	if got := strings.Join(words, ", "); got != "delivered V1, delivered V2, received V1, received V2, taken V1" {
		t.Errorf("the ward heard: %s", got)
	}
}
