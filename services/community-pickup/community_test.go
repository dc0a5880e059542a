package communitypickup

import (
	"context"
	"testing"
	"time"

	_ "time/tzdata"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/community-pickup/migrations"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/bus"
	"github.com/homeward-care/homeward/services/kit/devinfra"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/pg"
	"log/slog"
)

func TestMain(m *testing.M) { kittest.Main(m) }

// community is the service under test; the test plays the other services on its JetStream.
type community struct {
	cfg    Config
	db     *pg.DB
	issuer *devinfra.Issuer
	bus    *bus.Bus
}

func startCommunity(t *testing.T) *community {
	t.Helper()
	t.Parallel()
	n := kittest.NATS(t)
	c := &community{issuer: kittest.Issuer(t)}
	url := kittest.Database(t, migrations.FS)
	c.db = kittest.Open(t, url)
	c.cfg = Config{
		Config: kittest.Config(t, "community-pickup", url, n, c.issuer), Place: "thurrock",
		HubAddr: kittest.FreeAddr(t), AssessmentAddr: kittest.FreeAddr(t), ReablementAddr: kittest.FreeAddr(t),
	}
	var err error
	if c.bus, err = bus.Connect(bus.Config{URL: n.ClientURL(), Service: "test"}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.bus.Close)
	kittest.Start(t, func(ctx context.Context) error { return Run(ctx, c.cfg) })
	return c
}

func (c *community) as(t *testing.T, p authn.Principal) pickupv1.CommunityPickupServiceClient {
	return pickupv1.NewCommunityPickupServiceClient(kittest.Dial(t, c.cfg.GRPCAddr, c.issuer, p))
}

var (
	hubStaff    = authn.Principal{Subject: "test:hub", Roles: []authn.Role{authn.HubStaff}}
	graysWorker = authn.Principal{Subject: "test:grays", Roles: []authn.Role{authn.CLSWorker}, Teams: []string{"CLS-GRAYS"}}
	slhWorker   = authn.Principal{Subject: "test:slh", Roles: []authn.Role{authn.CLSWorker}, Teams: []string{"CLS-SLH"}}
)

func (c *community) publish(t *testing.T, stream, eventType string, id uuid.UUID, version int64, m proto.Message) {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	e := event.Event{Type: eventType, ID: id, Key: id, Epoch: 1, Version: version, OccurredAt: time.Now(), RecordedAt: time.Now(), Data: data}
	kittest.Eventually(t, "the event is published", func() bool {
		return c.bus.Publisher(stream).Publish(t.Context(), []event.Event{e})[0] == nil
	})
}

// discharged is a spell of a resident of Grays that ended on a day.
func discharged(id uuid.UUID, at time.Time) *dischargev1.Spell {
	return &dischargev1.Spell{
		SpellId: id.String(), Reference: "HW-TEST-" + id.String()[:4], Scope: dischargev1.Scope_SCOPE_SOCIAL_CARE,
		Status: dischargev1.SpellStatus_SPELL_STATUS_DISCHARGED, PracticeCode: "F81155", HomePostcodeSector: "RM17 5",
		Discharge: &dischargev1.Discharge{At: timestamppb.New(at), Method: "1", Destination: "19", Number: 1},
		Adult:     dischargev1.Adult_ADULT_YES, Death: dischargev1.Death_DEATH_NONE,
	}
}

// task waits until the task rests on the spell's version.
func (c *community) task(t *testing.T, spell uuid.UUID, version int64) *pickupv1.GetTaskResponse {
	t.Helper()
	var resp *pickupv1.GetTaskResponse
	client := c.as(t, hubStaff)
	kittest.Eventually(t, "the task rests on the spell's version", func() bool {
		var err error
		resp, err = client.GetTask(t.Context(), &pickupv1.GetTaskRequest{Key: &pickupv1.GetTaskRequest_SpellId{SpellId: spell.String()}})
		return err == nil && resp.GetTask().GetSpellVersion() == version
	})
	return resp
}

func (c *community) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	if err := c.db.Pool.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDischargeBecomesOneTaskWithTeamDueDateAndReasons(t *testing.T) {
	c := startCommunity(t)
	spell := uuid.New()
	s := discharged(spell, time.Date(2026, 9, 2, 13, 25, 0, 0, time.UTC))
	for range 3 {
		c.publish(t, "discharge", spellType, spell, 1, s)
	}
	got := c.task(t, spell, 1).GetTask()
	if got.GetTeam() != "CLS-GRAYS" || got.GetRoute().GetRule() != "practice" || got.GetRoute().GetInput() != "F81155" {
		t.Errorf("team %s by %v", got.GetTeam(), got.GetRoute())
	}
	if got.GetDueOn() != "2026-10-14" || !got.GetDueAt().AsTime().Equal(time.Date(2026, 10, 14, 23, 0, 0, 0, time.UTC)) {
		t.Errorf("due %s, %s", got.GetDueOn(), got.GetDueAt().AsTime())
	}
	if got.GetReason() == "" || got.GetDueReason() == "" || got.GetRoute().GetText() == "" {
		t.Errorf("a reason is missing: %v", got)
	}
	kittest.Eventually(t, "the confirmation is sent", func() bool { return c.count(t, `SELECT count(*) FROM outbox_unsent`) == 0 })
	if n := c.count(t, `SELECT count(*) FROM task`); n != 1 {
		t.Errorf("%d tasks", n)
	}
	if n := c.count(t, `SELECT count(*) FROM audit WHERE action = 'task.decide'`); n != 1 {
		t.Errorf("%d audit rows for one decision", n)
	}
}

func TestOlderVersionThatArrivesLateChangesNothing(t *testing.T) {
	c := startCommunity(t)
	spell := uuid.New()
	newer := discharged(spell, time.Date(2026, 9, 3, 13, 0, 0, 0, time.UTC))
	c.publish(t, "discharge", spellType, spell, 2, newer)
	c.task(t, spell, 2)
	c.publish(t, "discharge", spellType, spell, 1, discharged(spell, time.Date(2026, 9, 2, 13, 0, 0, 0, time.UTC)))
	marker := uuid.New()
	c.publish(t, "discharge", spellType, marker, 1, discharged(marker, time.Date(2026, 9, 2, 13, 0, 0, 0, time.UTC)))
	c.task(t, marker, 1) // published behind the late one, so that has been dealt with
	if got := c.task(t, spell, 2).GetTask(); got.GetDischargedOn() != "2026-09-03" {
		t.Errorf("discharged on %s", got.GetDischargedOn())
	}
}

func TestTeamWorksItsTaskAndNobodyElseSeesIt(t *testing.T) {
	c := startCommunity(t)
	spell := uuid.New()
	c.publish(t, "discharge", spellType, spell, 1, discharged(spell, time.Now().Add(-24*time.Hour)))
	first := c.task(t, spell, 1)
	id := first.GetTask().GetTaskId()
	stranger, worker := c.as(t, slhWorker), c.as(t, graysWorker)

	if _, err := stranger.GetTask(t.Context(), &pickupv1.GetTaskRequest{Key: &pickupv1.GetTaskRequest_TaskId{TaskId: id}}); status.Code(err) != codes.NotFound {
		t.Errorf("another team reads the task: %v", err)
	}
	if _, err := stranger.TakeTask(t.Context(), &pickupv1.TakeTaskRequest{TaskId: id, Version: first.GetVersion()}); status.Code(err) != codes.NotFound {
		t.Errorf("another team takes the task: %v", err)
	}
	if _, err := stranger.ListTasks(t.Context(), &pickupv1.ListTasksRequest{Team: "CLS-GRAYS"}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("another team lists the tasks: %v", err)
	}
	list, err := worker.ListTasks(t.Context(), &pickupv1.ListTasksRequest{Team: "CLS-GRAYS"})
	if err != nil || len(list.GetTasks()) != 1 {
		t.Fatalf("the team's list: %v, %v", list, err)
	}
	taken, err := worker.TakeTask(t.Context(), &pickupv1.TakeTaskRequest{TaskId: id, Version: first.GetVersion()})
	if err != nil || taken.GetTask().GetWorker() != "test:grays" {
		t.Fatalf("take: %v, %v", taken, err)
	}
	if _, err := worker.TakeTask(t.Context(), &pickupv1.TakeTaskRequest{TaskId: id, Version: first.GetVersion()}); status.Code(err) != codes.Aborted {
		t.Errorf("a command on an old version: %v", err)
	}
	called, err := worker.RecordContact(t.Context(), &pickupv1.RecordContactRequest{
		TaskId: id, Version: taken.GetTask().GetVersion(), Method: pickupv1.ContactMethod_CONTACT_METHOD_PHONE, TwoWay: true,
	})
	if err != nil || called.GetTask().GetTask().GetProgress() != pickupv1.Progress_PROGRESS_PICKED_UP {
		t.Fatalf("contact: %v, %v", called, err)
	}
	visit := &pickupv1.BookVisitRequest{TaskId: id, Version: called.GetTask().GetVersion(), On: time.Now().AddDate(0, 0, 7).Format(time.DateOnly)}
	if _, err := stranger.BookVisit(t.Context(), visit); status.Code(err) != codes.NotFound {
		t.Errorf("another team books a visit: %v", err)
	}
	booked, err := worker.BookVisit(t.Context(), visit)
	if err != nil || booked.GetTask().GetTask().GetVisitOn() != visit.GetOn() {
		t.Fatalf("visit: %v, %v", booked, err)
	}
	off, err := worker.CancelVisit(t.Context(), &pickupv1.CancelVisitRequest{TaskId: id, Version: booked.GetTask().GetVersion()})
	if err != nil || off.GetTask().GetTask().GetVisitOn() != "" {
		t.Fatalf("no visit: %v, %v", off, err)
	}
	done, err := worker.CompleteTask(t.Context(), &pickupv1.CompleteTaskRequest{
		TaskId: id, Version: off.GetTask().GetVersion(), Ending: pickupv1.Ending_ENDING_ASSESSED,
	})
	if err != nil || !done.GetTask().GetTask().GetMet() {
		t.Fatalf("complete: %v, %v", done, err)
	}
	if n := c.count(t, `SELECT count(*) FROM audit WHERE actor = 'test:grays' AND record = $1`, id); n != 5 {
		t.Errorf("%d audit rows for five commands", n)
	}
}

func TestAssessmentBeforeTheSpellIsKeptAndCounts(t *testing.T) {
	c := startCommunity(t)
	spell := uuid.New()
	c.publish(t, "assessment", assessmentType, spell, 1, &assessmentv1.Assessment{SpellId: spell.String(), Status: assessmentv1.Status_STATUS_REQUESTED})
	kittest.Eventually(t, "the assessment is kept", func() bool { return c.count(t, `SELECT count(*) FROM task`) == 1 })
	s := discharged(spell, time.Date(2026, 9, 2, 13, 0, 0, 0, time.UTC))
	s.Scope = dischargev1.Scope_SCOPE_WHOLE_HOSPITAL
	c.publish(t, "discharge", spellType, spell, 1, s)
	got := c.task(t, spell, 1).GetTask()
	if got.GetOutcome() != pickupv1.Outcome_OUTCOME_PICK_UP_DUE || got.GetPriority() != pickupv1.Priority_PRIORITY_HIGH || got.GetAssessmentStatus() != "requested" {
		t.Errorf("outcome %s, priority %s %v, assessment %q", got.GetOutcome(), got.GetPriority(), got.GetPriorityReasons(), got.GetAssessmentStatus())
	}
}

func TestDeadlinesThatPassedFireOnceEach(t *testing.T) {
	c := startCommunity(t)
	spell := uuid.New()
	y, m, d := time.Now().UTC().Date()
	c.publish(t, "discharge", spellType, spell, 1, discharged(spell, time.Date(y, m, d-50, 12, 0, 0, 0, time.UTC)))
	kittest.Eventually(t, "the six weeks are over and said so", func() bool {
		return c.count(t, `SELECT count(*) FROM notice WHERE task_id = $1 AND kind = 'overdue'`, taskID(spell)) == 1
	})
	got := c.task(t, spell, 1).GetTask()
	seen := map[pickupv1.NoticeKind]int{}
	for _, n := range got.GetNotices() {
		seen[n.GetKind()]++
	}
	for _, kind := range []pickupv1.NoticeKind{pickupv1.NoticeKind_NOTICE_KIND_REMINDER, pickupv1.NoticeKind_NOTICE_KIND_AT_RISK, pickupv1.NoticeKind_NOTICE_KIND_OVERDUE} {
		if seen[kind] != 1 {
			t.Errorf("%s fired %d times", kind, seen[kind])
		}
	}
	if used := got.GetDaysUsedOnArrival(); used != 50 && used != 51 { // 51 from 23:00 UTC on while London is an hour ahead
		t.Errorf("%d days were used on arrival, want 50", used)
	}
}

func TestEventThatCannotBeReadIsBuriedAndHoldsUpNobody(t *testing.T) {
	c := startCommunity(t)
	bad, good := uuid.New(), uuid.New()
	c.publish(t, "discharge", spellType, bad, 1, &dischargev1.Spell{SpellId: "not a UUID"})
	c.publish(t, "discharge", spellType, good, 1, discharged(good, time.Date(2026, 9, 2, 13, 0, 0, 0, time.UTC)))
	c.task(t, good, 1)
	if n := c.count(t, `SELECT count(*) FROM dead_letter WHERE id = $1`, bad); n != 1 {
		t.Errorf("%d dead letters for the bad event", n)
	}
}

func TestACommandThatWaitedForAnotherChangeIsToldThatItSawAnOlderVersion(t *testing.T) {
	c := startCommunity(t)
	spell := uuid.New()
	c.publish(t, "discharge", spellType, spell, 1, discharged(spell, time.Now().AddDate(0, 0, -1)))
	seen := c.task(t, spell, 1)
	id := taskID(spell)

	change, err := c.db.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer change.Rollback(context.Background())
	for _, sql := range []string{`UPDATE task SET due_at = due_at WHERE id = $1`, `UPDATE outbox SET version = version + 1 WHERE id = $1`} {
		if _, err := change.Exec(t.Context(), sql, id); err != nil {
			t.Fatal(err)
		}
	}
	taken := make(chan error)
	client := c.as(t, graysWorker)
	go func() {
		_, err := client.TakeTask(context.WithoutCancel(t.Context()), &pickupv1.TakeTaskRequest{TaskId: id.String(), Version: seen.GetVersion()})
		taken <- err
	}()
	kittest.Eventually(t, "the command waits for the change", func() bool {
		return kittest.WaitingForLocks(t, c.db) == 1
	})
	if err := change.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-taken; status.Code(err) != codes.Aborted {
		t.Errorf("what had changed meanwhile was taken as seen: %v", err)
	}
}
