package pickup_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
)

func TestOnlyAnAssessmentOrReviewInTimeMeetsTheSixWeeks(t *testing.T) {
	for _, tt := range []struct {
		ending pickup.Ending
		at     string
		met    bool
	}{
		{pickup.EndingAssessed, "2026-10-14T23:59", true},
		{pickup.EndingReviewed, "2026-10-14T23:59", true},
		{pickup.EndingAssessed, "2026-10-15T00:00", false},
		{pickup.EndingReviewed, "2026-10-15T00:00", false},
		{pickup.EndingDeclined, "2026-09-10T10:00", false},
		{pickup.EndingMoved, "2026-09-10T10:00", false},
		{pickup.EndingDied, "2026-09-10T10:00", false},
	} {
		s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
		s.take("worker-1", "2026-09-03T09:00")
		s.complete(tt.ending, tt.at)
		if s.task.Met != tt.met || s.task.Progress != pickup.ProgressClosed || s.task.Ending != tt.ending {
			t.Errorf("%s at %s: met %v, want %v", tt.ending, tt.at, s.task.Met, tt.met)
		}
		s.fires("2027-01-01T09:00")
	}
}

func TestPickedUpNeedsAWorkerAndATwoWayContact(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.reach("2026-09-03T09:00")
	if s.task.Progress != pickup.ProgressUntaken || !s.task.PickedUpAt.IsZero() {
		t.Errorf("contact without a worker: %s", s.task.Progress)
	}
	s.take("worker-1", "2026-09-03T10:00")
	if s.task.Progress != pickup.ProgressPickedUp || !s.task.PickedUpAt.Equal(moment(t, "2026-09-03T10:00")) {
		t.Errorf("with both: %s at %s", s.task.Progress, s.task.PickedUpAt)
	}

	s = begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T10:00")
	s.do(s.task.RecordContact("letter", false, moment(t, "2026-09-03T11:00"), moment(t, "2026-09-03T11:00")))
	if s.task.Progress != pickup.ProgressTaken || len(s.task.Contacts) != 1 {
		t.Errorf("a letter: %s", s.task.Progress)
	}
	s.reach("2026-09-03T12:00")
	if s.task.Progress != pickup.ProgressPickedUp || s.task.Met {
		t.Errorf("reached: %s, met %v", s.task.Progress, s.task.Met)
	}
}

func TestAWorkersDeathRecordStopsContactAndTheHubCanCorrectIt(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T09:00")
	s.complete(pickup.EndingDied, "2026-09-10T09:00")
	if s.task.Contact != pickup.ContactStopped {
		t.Errorf("contact %s", s.task.Contact)
	}
	s.do(s.task.ResolveContact(s.place, false, moment(t, "2026-09-11T09:00")))
	s.is(dueInGrays)
	if s.task.Contact != pickup.ContactAllowed || s.task.Progress != pickup.ProgressTaken || s.task.DueOn != "2026-10-14" {
		t.Errorf("contact %s, progress %s, due %s", s.task.Contact, s.task.Progress, s.task.DueOn)
	}
	s.fires("2026-10-15T00:00", pickup.FirstContactLate, pickup.Reminder, pickup.AtRisk, pickup.Overdue)
}

func TestADeathRecordedInErrorLetsTheBreachFireAgain(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T09:00")
	s.reach("2026-09-03T10:00")
	s.fires("2026-10-15T00:00", pickup.Reminder, pickup.AtRisk, pickup.Overdue)
	s.do(s.task.Complete(pickup.EndingDied, moment(t, "2026-10-10T09:00"), moment(t, "2026-10-15T09:00")))
	if has(s.task.Notices, pickup.Overdue) {
		t.Error("closed before it was due, and still overdue")
	}
	s.do(s.task.ResolveContact(s.place, false, moment(t, "2026-10-16T09:00")))
	s.fires("2026-10-16T09:00", pickup.Overdue)
}

func TestTheHubAssignsWhatIsItsOwn(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t, home("SE1 7"))}, "2026-09-02T14:35")
	s.fires("2026-09-03T14:35", pickup.UntakenDuty)
	now := moment(t, "2026-09-03T15:00")
	for _, team := range []string{"CLS-NOWHERE", "HUB", ""} {
		_, err := s.task.AssignTeam(s.place, team, "ordinary-residence-agreed", now)
		refused(t, err, pickup.Invalid)
	}
	_, err := s.task.AssignTeam(s.place, "CLS-TC", "", now)
	refused(t, err, pickup.Invalid)
	s.do(s.task.AssignTeam(s.place, "CLS-TC", "ordinary-residence-agreed", now))
	s.is(want{pickup.PickUpDue, "residence-unclear", "CLS-TC"})
	if r := s.task.Route; r.Rule != "assigned" || r.Input != "ordinary-residence-agreed" || s.task.ProposedTeam != "" {
		t.Errorf("route %+v, proposed %q", r, s.task.ProposedTeam)
	}
	_, err = s.task.AssignTeam(s.place, "CLS-SLH", "second-thoughts", now)
	refused(t, err, pickup.Precondition)
	s.fires("2026-09-04T15:00", pickup.UntakenDuty)
	s.spell("2026-09-04T16:00", home("RM17 5"))
	s.is(want{pickup.PickUpDue, "social-care-feed", "CLS-TC"})
	if s.task.ProposedTeam != "CLS-GRAYS" {
		t.Errorf("proposed %q", s.task.ProposedTeam)
	}
}

func TestCommandsAreRefusedWithTheirKind(t *testing.T) {
	p := thurrock(t)
	now := moment(t, "2026-09-04T09:00")
	due := decide(t, p, discharged(t))
	notDue := decide(t, p, discharged(t, wholeHospital))
	taken, err := due.Take("worker-1", now)
	if err != nil {
		t.Fatal(err)
	}
	closed, err := taken.Complete(pickup.EndingAssessed, time.Time{}, now)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		kind pickup.ErrorKind
		do   func() (pickup.Task, error)
	}{
		{"take as nobody", pickup.Invalid, func() (pickup.Task, error) { return due.Take("", now) }},
		{"take what is not due", pickup.Precondition, func() (pickup.Task, error) { return notDue.Take("worker-1", now) }},
		{"take what another has", pickup.Precondition, func() (pickup.Task, error) { return taken.Take("worker-2", now) }},
		{"take what is closed", pickup.Precondition, func() (pickup.Task, error) { return closed.Take("worker-2", now) }},
		{"contact without a method", pickup.Invalid, func() (pickup.Task, error) { return due.RecordContact("", true, now, now) }},
		{"contact without a moment", pickup.Invalid, func() (pickup.Task, error) { return due.RecordContact("phone", true, time.Time{}, now) }},
		{"contact in the future", pickup.Invalid, func() (pickup.Task, error) { return due.RecordContact("phone", true, now.Add(1), now) }},
		{"contact before the discharge", pickup.Invalid, func() (pickup.Task, error) {
			return due.RecordContact("phone", true, moment(t, "2026-09-02T14:24"), now)
		}},
		{"contact when closed", pickup.Precondition, func() (pickup.Task, error) { return closed.RecordContact("phone", true, now, now) }},
		{"book a visit for no time", pickup.Invalid, func() (pickup.Task, error) { return taken.BookVisit(p, "", time.Time{}, now) }},
		{"book a visit for two times", pickup.Invalid, func() (pickup.Task, error) { return taken.BookVisit(p, "2026-09-10", now, now) }},
		{"book a visit for a day that is none", pickup.Invalid, func() (pickup.Task, error) { return taken.BookVisit(p, "2026-02-30", time.Time{}, now) }},
		{"book a visit for yesterday", pickup.Invalid, func() (pickup.Task, error) { return taken.BookVisit(p, "2026-09-03", time.Time{}, now) }},
		{"book a visit for this morning", pickup.Invalid, func() (pickup.Task, error) { return taken.BookVisit(p, "", now.Add(-time.Hour-time.Minute), now) }},
		{"book a visit for a mistyped year", pickup.Invalid, func() (pickup.Task, error) { return taken.BookVisit(p, "2027-09-10", time.Time{}, now) }},
		{"book a visit untaken", pickup.Precondition, func() (pickup.Task, error) { return due.BookVisit(p, "2026-09-10", time.Time{}, now) }},
		{"book a visit when closed", pickup.Precondition, func() (pickup.Task, error) { return closed.BookVisit(p, "2026-09-10", time.Time{}, now) }},
		{"cancel a visit when closed", pickup.Precondition, func() (pickup.Task, error) { return closed.CancelVisit() }},
		{"complete with an unknown ending", pickup.Invalid, func() (pickup.Task, error) { return taken.Complete("done", now, now) }},
		{"complete untaken", pickup.Precondition, func() (pickup.Task, error) { return due.Complete(pickup.EndingAssessed, now, now) }},
		{"complete in the future", pickup.Invalid, func() (pickup.Task, error) { return taken.Complete(pickup.EndingAssessed, now.Add(1), now) }},
		{"complete before the discharge", pickup.Invalid, func() (pickup.Task, error) {
			return taken.Complete(pickup.EndingAssessed, moment(t, "2026-09-01T09:00"), now)
		}},
		{"complete twice", pickup.Precondition, func() (pickup.Task, error) { return closed.Complete(pickup.EndingAssessed, now, now) }},
		{"answer no proposal", pickup.Precondition, func() (pickup.Task, error) { return taken.DecideProposal(true, now) }},
		{"assign what is a team's", pickup.Precondition, func() (pickup.Task, error) { return due.AssignTeam(p, "CLS-TC", "because", now) }},
		{"resolve no doubt", pickup.Precondition, func() (pickup.Task, error) { return due.ResolveContact(p, true, now) }},
		{"act before the spell is known", pickup.Precondition, func() (pickup.Task, error) {
			return decideAt(t, p, nil, pickup.Inputs{Need: need(1, pickup.NeedRequested, "")}, "2026-09-02T09:00").Take("worker-1", now)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.do()
			refused(t, err, tt.kind)
		})
	}
	if again, err := taken.Take("worker-1", now.Add(time.Hour)); err != nil || cmp.Diff(taken, again) != "" {
		t.Errorf("taking what one has changed it: %v", err)
	}
}

func TestUnusableSnapshotsAreNamed(t *testing.T) {
	for name, in := range map[string]pickup.Inputs{
		"nothing":                   {},
		"id":                        {Spell: discharged(t, func(s *pickup.Spell) { s.SpellID = "SPELL0001" })},
		"status":                    {Spell: discharged(t, func(s *pickup.Spell) { s.Status = "gone" })},
		"discharged without a time": {Spell: discharged(t, func(s *pickup.Spell) { s.Discharge = nil })},
		"planned end":               {Need: need(1, pickup.NeedStarted, "soon")},
		"two spells": {Spell: discharged(t), Need: &pickup.Need{
			SpellID: "00000000-0000-5000-8000-000000000000", Status: pickup.NeedStarted,
		}},
	} {
		if err := in.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestATaskSurvivesJSON(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t), Assessment: assessment(1, pickup.AssessmentRequested, 1), Need: need(1, pickup.NeedStarted, "2026-10-20")}, "2026-09-02T14:35")
	s.sweep("2026-09-03T14:35")
	s.take("worker-1", "2026-09-03T15:00")
	s.reach("2026-09-03T16:00")
	s.spell("2026-09-04T10:00", practice("F81137"))
	raw, err := json.Marshal(s.task)
	if err != nil {
		t.Fatal(err)
	}
	var back pickup.Task
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*s.task, back); diff != "" {
		t.Errorf("(-stored +read):\n%s", diff)
	}
}

func TestTheTasksIDDependsOnTheSpellAlone(t *testing.T) {
	a, b := pickup.TaskID(spellID), pickup.TaskID("00000000-0000-5000-8000-000000000000")
	if a == b || a != pickup.TaskID(spellID) || a == spellID {
		t.Errorf("ids %s and %s", a, b)
	}
	if pickup.TaskID("one") == pickup.TaskID("two") {
		t.Error("ids that are not UUIDs share a task")
	}
}

func refused(t testing.TB, err error, kind pickup.ErrorKind) {
	t.Helper()
	var e *pickup.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Message == "" {
		t.Errorf("error %v, want one of kind %s", err, kind)
	}
}
