package lighttouch_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/kittest"
)

func TestNobodyIsLetInWithoutTheRightRole(t *testing.T) {
	w := newWorld(t)
	spell := uuid.NewString()
	w.request(spell)
	conn, err := grpc.NewClient(w.cfg.GRPCAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = assessmentv1.NewLightTouchAssessmentServiceClient(conn).GetAssessment(t.Context(), &assessmentv1.GetAssessmentRequest{SpellId: spell})
	wantCode(t, codes.Unauthenticated, err)

	calls := map[string]func(c assessmentv1.LightTouchAssessmentServiceClient) error{
		"request": func(c assessmentv1.LightTouchAssessmentServiceClient) error {
			_, err := c.RequestAssessment(t.Context(), &assessmentv1.RequestAssessmentRequest{SpellId: spell})
			return err
		},
		"complete": func(c assessmentv1.LightTouchAssessmentServiceClient) error {
			_, err := c.CompleteAssessment(t.Context(), &assessmentv1.CompleteAssessmentRequest{SpellId: spell})
			return err
		},
		"decline": func(c assessmentv1.LightTouchAssessmentServiceClient) error {
			_, err := c.DeclineAssessment(t.Context(), &assessmentv1.DeclineAssessmentRequest{SpellId: spell})
			return err
		},
		"meet": func(c assessmentv1.LightTouchAssessmentServiceClient) error {
			_, err := c.MeetCondition(t.Context(), &assessmentv1.MeetConditionRequest{SpellId: spell, ConditionId: uuid.NewString()})
			return err
		},
		"get": func(c assessmentv1.LightTouchAssessmentServiceClient) error {
			_, err := c.GetAssessment(t.Context(), &assessmentv1.GetAssessmentRequest{SpellId: spell})
			return err
		},
		"unmet": func(c assessmentv1.LightTouchAssessmentServiceClient) error {
			_, err := c.ListUnmet(t.Context(), &assessmentv1.ListUnmetRequest{SpellId: spell})
			return err
		},
	}
	readers := []authn.Role{authn.CLSWorker, authn.CLSManager, authn.Service}
	for _, role := range []authn.Role{authn.CLSWorker, authn.CLSManager, authn.Service, authn.Provider, authn.Ops, authn.Integration} {
		c := w.as(role)
		for name, call := range calls {
			want := codes.PermissionDenied
			if slices.Contains(readers, role) && (name == "get" || name == "unmet") {
				want = codes.OK
			}
			if got := status.Code(call(c)); got != want {
				t.Errorf("%s as %s: %v, want %v", name, role, got, want)
			}
		}
	}
}

func TestAnAssessmentGoesFromRequestToSafeWithConditionsMet(t *testing.T) {
	w := newWorld(t)
	spell := uuid.NewString()
	requested := w.request(spell)
	if requested.GetStatus() != assessmentv1.Status_STATUS_REQUESTED || requested.GetQuestionSet() != "safe-discharge-1" {
		t.Errorf("requested: %v", requested)
	}
	if diff := cmp.Diff(requested, w.request(spell), protocmp.Transform()); diff != "" {
		t.Errorf("asking again changed it (-first +second):\n%s", diff)
	}
	complete := w.completeWithConditions(spell)
	if complete.GetStatus() != assessmentv1.Status_STATUS_COMPLETE || complete.GetLeftWithUnmet() != 0 {
		t.Errorf("complete: %v", complete)
	}
	unmet, err := w.ListUnmet(t.Context(), &assessmentv1.ListUnmetRequest{SpellId: spell})
	if err != nil {
		t.Fatal(err)
	}
	if c := unmet.GetConditions(); len(c) != 2 || c[0].GetCode() != "key-safe" || c[1].GetCode() != "telecare" {
		t.Fatalf("unmet: %v; want the key safe, due before leaving, first", c)
	}
	meet := &assessmentv1.MeetConditionRequest{SpellId: spell, ConditionId: unmet.GetConditions()[0].GetConditionId()}
	first, err := w.MeetCondition(t.Context(), meet)
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.MeetCondition(t.Context(), meet)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, again, protocmp.Transform()); diff != "" {
		t.Errorf("meeting again changed it (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(first.GetAssessment(), w.get(spell), protocmp.Transform()); diff != "" {
		t.Errorf("what is read differs from what was answered:\n%s", diff)
	}
	kittest.Eventually(t, "the event is sent", func() bool { _, _, sent := w.published(spell); return sent })
	sent, version, _ := w.published(spell)
	if diff := cmp.Diff(first.GetAssessment(), sent, protocmp.Transform()); diff != "" || version != 3 {
		t.Errorf("event version %d, want 3; differs from the answer:\n%s", version, diff)
	}
	want := []string{"user:hub-staff assessment.request", "user:hub-staff assessment.complete", "user:hub-staff assessment.meet-condition"}
	if diff := cmp.Diff(want, w.audited(spell)); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
}

func TestWhatCannotBeDoneIsRefused(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	spell, declined := uuid.NewString(), uuid.NewString()
	_, err := w.GetAssessment(ctx, &assessmentv1.GetAssessmentRequest{SpellId: spell})
	wantCode(t, codes.NotFound, err)
	_, err = w.ListUnmet(ctx, &assessmentv1.ListUnmetRequest{SpellId: spell})
	wantCode(t, codes.NotFound, err)
	_, err = w.DeclineAssessment(ctx, &assessmentv1.DeclineAssessmentRequest{SpellId: spell})
	wantCode(t, codes.NotFound, err)
	_, err = w.RequestAssessment(ctx, &assessmentv1.RequestAssessmentRequest{SpellId: "SPELL0001"})
	wantCode(t, codes.InvalidArgument, err)
	_, err = w.RequestAssessment(ctx, &assessmentv1.RequestAssessmentRequest{SpellId: spell, QuestionSet: "safe-discharge-0"})
	wantCode(t, codes.InvalidArgument, err)

	w.request(spell)
	_, err = w.CompleteAssessment(ctx, &assessmentv1.CompleteAssessmentRequest{
		SpellId: spell, Answers: answers("warmth", "no"), Decision: assessmentv1.Decision_DECISION_SAFE,
	})
	wantCode(t, codes.InvalidArgument, err)
	w.completeWithConditions(spell)
	_, err = w.CompleteAssessment(ctx, &assessmentv1.CompleteAssessmentRequest{
		SpellId: spell, Answers: answers(), Decision: assessmentv1.Decision_DECISION_SAFE,
	})
	wantCode(t, codes.FailedPrecondition, err)
	_, err = w.DeclineAssessment(ctx, &assessmentv1.DeclineAssessmentRequest{SpellId: spell})
	wantCode(t, codes.FailedPrecondition, err)
	_, err = w.MeetCondition(ctx, &assessmentv1.MeetConditionRequest{SpellId: spell, ConditionId: uuid.NewString()})
	wantCode(t, codes.NotFound, err)
	_, err = w.MeetCondition(ctx, &assessmentv1.MeetConditionRequest{SpellId: spell, ConditionId: "key-safe"})
	wantCode(t, codes.InvalidArgument, err)

	w.request(declined)
	resp, err := w.DeclineAssessment(ctx, &assessmentv1.DeclineAssessmentRequest{SpellId: declined})
	if err != nil || resp.GetAssessment().GetStatus() != assessmentv1.Status_STATUS_DECLINED_BY_PERSON {
		t.Errorf("declined: %v, %v", resp, err)
	}
	_, err = w.CompleteAssessment(ctx, &assessmentv1.CompleteAssessmentRequest{
		SpellId: declined, Answers: answers(), Decision: assessmentv1.Decision_DECISION_SAFE,
	})
	wantCode(t, codes.FailedPrecondition, err)
}

func TestAVoidedSpellOrADeathSupersedesWhatIsUnfinishedAndACorrectionRestoresIt(t *testing.T) {
	for name, end := range map[string]func(string) *dischargev1.Spell{"voided": voided, "died": died} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			early, late, finished := uuid.NewString(), uuid.NewString(), uuid.NewString()
			w.request(early)
			w.request(finished)
			w.completeWithConditions(finished)
			for _, s := range []string{early, late, finished} {
				w.tell(1, end(s))
			}
			for _, s := range []string{early, late, finished} {
				w.settled(s, 1)
			}
			// Requested after the event: the same.
			w.request(late)
			for _, s := range []string{early, late} {
				if got := w.get(s).GetStatus(); got != assessmentv1.Status_STATUS_SUPERSEDED {
					t.Errorf("%v, want superseded", got)
				}
				_, err := w.CompleteAssessment(t.Context(), &assessmentv1.CompleteAssessmentRequest{
					SpellId: s, Answers: answers(), Decision: assessmentv1.Decision_DECISION_SAFE,
				})
				wantCode(t, codes.FailedPrecondition, err)
			}
			if got := w.get(finished).GetStatus(); got != assessmentv1.Status_STATUS_COMPLETE {
				t.Errorf("finished: %v, want complete", got)
			}
			w.tell(2, inHospital(early))
			w.tell(2, inHospital(late))
			w.settled(early, 2)
			w.settled(late, 2)
			for _, s := range []string{early, late} {
				if got := w.get(s).GetStatus(); got != assessmentv1.Status_STATUS_REQUESTED {
					t.Errorf("after the correction %v, want requested", got)
				}
			}
			if got := w.audited(early); len(got) != 3 || got[1] != "service:light-touch-assessment assessment.follow-spell" {
				t.Errorf("audit: %q", got)
			}
		})
	}
}

func TestLeavingWithUnmetConditionsIsToldAndTakenBackWithTheDischarge(t *testing.T) {
	w := newWorld(t)
	spell := uuid.NewString()
	w.request(spell)
	complete := w.completeWithConditions(spell)
	left := time.Now()
	w.tell(1, discharged(spell, left))
	w.settled(spell, 1)
	if got := w.get(spell).GetLeftWithUnmet(); got != 1 {
		t.Errorf("left with %d unmet, want 1: the key safe", got)
	}
	// Met after leaving: the person did leave without it.
	for _, c := range complete.GetConditions() {
		if _, err := w.MeetCondition(t.Context(), &assessmentv1.MeetConditionRequest{SpellId: spell, ConditionId: c.GetConditionId()}); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.get(spell).GetLeftWithUnmet(); got != 1 {
		t.Errorf("left with %d unmet after it was met at home, want 1", got)
	}
	w.tell(2, inHospital(spell))
	w.settled(spell, 2)
	if got := w.get(spell).GetLeftWithUnmet(); got != 0 {
		t.Errorf("left with %d unmet after the discharge was cancelled, want 0", got)
	}
	// Left later, when all was met: a discharge at the very moment at which the last condition was met.
	w.tell(3, discharged(spell, w.lastMet(spell)))
	w.settled(spell, 3)
	if got := w.get(spell).GetLeftWithUnmet(); got != 0 {
		t.Errorf("left with %d unmet, want 0: all was met when the person left", got)
	}
	if sent, _, _ := w.published(spell); sent.GetLeftWithUnmet() != 0 {
		t.Errorf("event: %v", sent)
	}
}

func (w *world) lastMet(spell string) time.Time {
	var last time.Time
	for _, c := range w.get(spell).GetConditions() {
		if at := c.GetMetAt().AsTime(); at.After(last) {
			last = at
		}
	}
	return last
}

func TestADischargeThatArrivedBeforeTheAssessmentIsSeen(t *testing.T) {
	w := newWorld(t)
	spell, inWard := uuid.NewString(), uuid.NewString()
	w.tell(1, discharged(spell, time.Now()))
	deceased := discharged(inWard, time.Now())
	deceased.Discharge.Method, deceased.Discharge.Destination = "4", "79"
	w.tell(1, deceased)
	w.settled(spell, 1)
	w.settled(inWard, 1)
	for id, want := range map[string]int32{spell: 1, inWard: 0} {
		w.request(id)
		if got := w.completeWithConditions(id).GetLeftWithUnmet(); got != want {
			t.Errorf("left with %d unmet, want %d", got, want)
		}
	}
}

func TestDuplicatesOldVersionsAndRubbishChangeNothing(t *testing.T) {
	w := newWorld(t)
	spell, rubbish, marker := uuid.NewString(), uuid.NewString(), uuid.NewString()
	w.request(spell)
	w.completeWithConditions(spell)
	w.tell(3, discharged(spell, time.Now()))
	w.settled(spell, 3)
	before, version, _ := w.published(spell)
	w.tell(3, discharged(spell, time.Now().Add(time.Hour)))
	w.tell(1, inHospital(spell))
	w.tell(2, voided(spell))
	w.publish(1, rubbish, []byte("not protobuf"))
	w.tell(1, inHospital(marker))
	w.settled(marker, 1)
	after, versionAfter, _ := w.published(spell)
	if diff := cmp.Diff(before, after, protocmp.Transform()); diff != "" || version != versionAfter {
		t.Errorf("version %d became %d:\n%s", version, versionAfter, diff)
	}
	var buried int
	if err := w.db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM dead_letter WHERE id = $1`, rubbish).Scan(&buried); err != nil || buried != 1 {
		t.Errorf("%d dead letters (%v), want the rubbish", buried, err)
	}
}

func TestARestartKeepsEverythingAndCatchesUp(t *testing.T) {
	w := newWorld(t)
	spell := uuid.NewString()
	w.request(spell)
	before := w.completeWithConditions(spell)
	w.stop()
	w.tell(1, discharged(spell, time.Now()))
	w.start()
	w.settled(spell, 1)
	after := w.get(spell)
	if after.GetLeftWithUnmet() != 1 {
		t.Errorf("left with %d unmet, want 1", after.GetLeftWithUnmet())
	}
	after.LeftWithUnmet = 0
	if diff := cmp.Diff(before, after, protocmp.Transform()); diff != "" {
		t.Errorf("the restart changed it (-before +after):\n%s", diff)
	}
}

func TestAFirstRequestAndItsSpellNeverMissEachOther(t *testing.T) {
	w := newWorld(t)
	const n = 40
	spells := make([]string, n)
	requested := make(chan error, n)
	for i := range spells {
		spells[i] = uuid.NewString()
		go func() {
			_, err := w.RequestAssessment(t.Context(), &assessmentv1.RequestAssessmentRequest{SpellId: spells[i]})
			requested <- err
		}()
		w.tell(1, voided(spells[i]))
	}
	for range n {
		if err := <-requested; err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range spells {
		w.settled(s, 1)
		if got := w.get(s).GetStatus(); got != assessmentv1.Status_STATUS_SUPERSEDED {
			t.Errorf("%v, want superseded", got)
		}
	}
}

func TestTheHandoverIsExplained(t *testing.T) {
	w := newWorld(t)
	spell := uuid.NewString()
	ops := opsv1.NewExplainServiceClient(kittest.Dial(t, w.cfg.GRPCAddr, w.issuer, authn.Principal{Subject: "user:ops", Roles: []authn.Role{authn.Ops}}))
	resp, err := ops.ExplainHandover(t.Context(), &opsv1.ExplainHandoverRequest{SpellId: spell})
	if err != nil || len(resp.GetHops()) != 0 {
		t.Errorf("an unknown spell has the hops %v, %v", resp, err)
	}
	w.tell(1, inHospital(spell))
	w.settled(spell, 1)
	w.request(spell)
	w.completeWithConditions(spell)
	resp, err = ops.ExplainHandover(t.Context(), &opsv1.ExplainHandoverRequest{SpellId: spell})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, h := range resp.GetHops() {
		names = append(names, h.GetName())
	}
	for _, want := range []string{"event applied", "light-touch assessment"} {
		if !slices.Contains(names, want) {
			t.Errorf("the hops %v lack %q", names, want)
		}
	}
}

func TestWhatIsPublishedCarriesTheTraceOfItsCause(t *testing.T) {
	w := newWorld(t)
	spell := uuid.NewString()
	published := func() string {
		t.Helper()
		var traceparent string
		if err := w.db.Pool.QueryRow(t.Context(), `SELECT traceparent FROM outbox WHERE id = $1`, spell).Scan(&traceparent); err != nil {
			t.Fatal(err)
		}
		return event.ParseTraceparent(traceparent).TraceID().String()
	}
	asked, told := sampled(1), sampled(2)
	if _, err := w.RequestAssessment(trace.ContextWithRemoteSpanContext(t.Context(), asked), &assessmentv1.RequestAssessmentRequest{SpellId: spell}); err != nil {
		t.Fatal(err)
	}
	if got, want := published(), asked.TraceID().String(); got != want {
		t.Errorf("the request's event has the trace %s, want the caller's %s", got, want)
	}
	w.trace = told
	w.tell(1, voided(spell))
	w.settled(spell, 1)
	if got, want := published(), told.TraceID().String(); got != want {
		t.Errorf("the event that follows from the spell has the trace %s, want the spell's %s", got, want)
	}
}
