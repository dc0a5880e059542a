package lighttouch_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/bus"
	"github.com/homeward-care/homeward/services/kit/devinfra"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/pg"
	lighttouch "github.com/homeward-care/homeward/services/light-touch-assessment"
	"github.com/homeward-care/homeward/services/light-touch-assessment/migrations"
)

func TestMain(m *testing.M) { kittest.Main(m) }

// world is the service with its real servers, and the hub's part played by the test.
type world struct {
	t      *testing.T
	cfg    lighttouch.Config
	issuer *devinfra.Issuer
	db     *pg.DB
	hub    *bus.Publisher
	stop   func()
	trace  trace.SpanContext // of what the hub tells
	assessmentv1.LightTouchAssessmentServiceClient
}

func newWorld(t *testing.T) *world {
	t.Helper()
	url, n, issuer := kittest.Database(t, migrations.FS), kittest.NATS(t), kittest.Issuer(t)
	w := &world{t: t, issuer: issuer, db: kittest.Open(t, url)}
	w.cfg = lighttouch.Config{
		Config:           kittest.Config(t, "light-touch-assessment", url, n, issuer),
		DischargeHubAddr: kittest.FreeAddr(t), QuestionSet: "safe-discharge-1",
	}
	b, err := bus.Connect(bus.Config{URL: n.ClientURL(), Service: "discharge-hub"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	w.hub = b.Publisher("discharge")
	w.LightTouchAssessmentServiceClient = w.as(authn.HubStaff)
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *world) start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- lighttouch.Run(ctx, w.cfg) }()
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("service ended with: %v", err)
		}
	}
	kittest.Eventually(w.t, "the service answers", func() bool {
		_, err := w.GetAssessment(w.t.Context(), &assessmentv1.GetAssessmentRequest{SpellId: uuid.NewString()})
		return status.Code(err) == codes.NotFound
	})
}

func (w *world) as(roles ...authn.Role) assessmentv1.LightTouchAssessmentServiceClient {
	p := authn.Principal{Subject: "user:" + string(roles[0]), Roles: roles}
	return assessmentv1.NewLightTouchAssessmentServiceClient(kittest.Dial(w.t, w.cfg.GRPCAddr, w.issuer, p))
}

// tell publishes a version of a spell as discharge-hub would.
func (w *world) tell(version int64, s *dischargev1.Spell) {
	w.t.Helper()
	data, err := proto.Marshal(s)
	if err != nil {
		w.t.Fatal(err)
	}
	w.publish(version, s.GetSpellId(), data)
}

func (w *world) publish(version int64, spell string, data []byte) {
	w.t.Helper()
	id := uuid.MustParse(spell)
	for _, err := range w.hub.Publish(w.t.Context(), []event.Event{{
		Type: "homeward.discharge.spell.v1", ID: id, Key: id, Epoch: 1, Version: version,
		OccurredAt: time.Now(), RecordedAt: time.Now(), Data: data, Trace: w.trace,
	}}) {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) request(spell string) *assessmentv1.Assessment {
	w.t.Helper()
	resp, err := w.RequestAssessment(w.t.Context(), &assessmentv1.RequestAssessmentRequest{SpellId: spell})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetAssessment()
}

func (w *world) get(spell string) *assessmentv1.Assessment {
	w.t.Helper()
	resp, err := w.GetAssessment(w.t.Context(), &assessmentv1.GetAssessmentRequest{SpellId: spell})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetAssessment()
}

// completeWithConditions completes an assessment of somebody who needs a key safe before leaving and telecare within a day.
func (w *world) completeWithConditions(spell string) *assessmentv1.Assessment {
	w.t.Helper()
	resp, err := w.CompleteAssessment(w.t.Context(), &assessmentv1.CompleteAssessmentRequest{
		SpellId: spell, Answers: answers("can-get-in", "no", "phone", "no"),
		Decision: assessmentv1.Decision_DECISION_SAFE_WITH_CONDITIONS,
		Conditions: []*assessmentv1.NewCondition{
			{Code: "telecare", Owner: "telecare-service", Due: assessmentv1.Due_DUE_WITHIN_24_HOURS},
			{Code: "key-safe", Owner: "hub", Due: assessmentv1.Due_DUE_BEFORE_LEAVING},
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetAssessment()
}

// settled waits until the service has applied a version of a spell.
func (w *world) settled(spell string, version int64) {
	w.t.Helper()
	kittest.Eventually(w.t, "the spell's version is applied", func() bool {
		var applied int64
		err := w.db.Pool.QueryRow(w.t.Context(), `SELECT coalesce(max(version), 0) FROM inbox WHERE id = $1`, spell).Scan(&applied)
		return err == nil && applied >= version
	})
}

// published returns the newest event of an assessment and its version, and whether JetStream has it.
func (w *world) published(spell string) (*assessmentv1.Assessment, int64, bool) {
	w.t.Helper()
	var a assessmentv1.Assessment
	var data []byte
	var version int64
	var sent bool
	err := w.db.Pool.QueryRow(w.t.Context(), `SELECT data, version, NOT EXISTS (SELECT 1 FROM outbox_unsent u WHERE u.id = outbox.id) FROM outbox WHERE id = $1 AND key = $1 AND type = $2`,
		spell, "homeward.assessment.assessment.v1").Scan(&data, &version, &sent)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := proto.Unmarshal(data, &a); err != nil {
		w.t.Fatal(err)
	}
	return &a, version, sent
}

func (w *world) audited(spell string) []string {
	w.t.Helper()
	rows, err := w.db.Pool.Query(w.t.Context(), `SELECT actor || ' ' || action FROM audit WHERE record = $1 ORDER BY seq`, spell)
	if err != nil {
		w.t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.t.Fatal(err)
	}
	return lines
}

// sampled is the context of a trace that is recorded.
func sampled(n byte) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{n}, SpanID: trace.SpanID{n}, TraceFlags: trace.FlagsSampled})
}

// answers are those of somebody for whom all is well, with changes as pairs of question and answer.
func answers(changes ...string) map[string]string {
	a := map[string]string{
		"agrees-to-discharge": "yes", "consents-to-sharing": "yes", "asked-what-matters": "yes", "home-can-be-lived-in": "yes",
		"can-get-in": "yes", "toilet": "yes", "bed": "yes", "food-and-drink": "yes", "medicines": "yes", "warmth": "yes", "phone": "yes",
		"transfers": "alone", "carer": "no-and-not-needed", "falls": "no", "self-neglect": "no", "safeguarding": "no", "fire": "no",
		"package": "none", "reablement-potential": "yes", "escalation-contact-given": "yes", "assessor-basis": "hub-staff",
	}
	for pair := range slices.Chunk(changes, 2) {
		a[pair[0]] = pair[1]
	}
	return a
}

func inHospital(spell string) *dischargev1.Spell {
	return &dischargev1.Spell{SpellId: spell, Status: dischargev1.SpellStatus_SPELL_STATUS_IN_HOSPITAL, Death: dischargev1.Death_DEATH_NONE}
}

func voided(spell string) *dischargev1.Spell {
	return &dischargev1.Spell{SpellId: spell, Status: dischargev1.SpellStatus_SPELL_STATUS_VOIDED}
}

func discharged(spell string, at time.Time) *dischargev1.Spell {
	return &dischargev1.Spell{
		SpellId: spell, Status: dischargev1.SpellStatus_SPELL_STATUS_DISCHARGED,
		Discharge: &dischargev1.Discharge{At: timestamppb.New(at), Method: "1", Destination: "19", Number: 1},
	}
}

func died(spell string) *dischargev1.Spell {
	return &dischargev1.Spell{SpellId: spell, Status: dischargev1.SpellStatus_SPELL_STATUS_IN_HOSPITAL, Death: dischargev1.Death_DEATH_DIED}
}

func wantCode(t *testing.T, want codes.Code, err error) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("got %v, want the code %v", err, want)
	}
}
