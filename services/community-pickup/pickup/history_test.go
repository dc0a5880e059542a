package pickup_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
)

// story walks one task through time; each step fails the test when it is refused.
type story struct {
	t     testing.TB
	place pickup.Place
	task  *pickup.Task
}

func begin(t testing.TB, in pickup.Inputs, now string) *story {
	t.Helper()
	s := &story{t: t, place: thurrock(t)}
	s.learn(in, now)
	return s
}

func (s *story) learn(in pickup.Inputs, now string) {
	s.t.Helper()
	task := decideAt(s.t, s.place, s.task, in, now)
	s.task = &task
}

func (s *story) spell(now string, changes ...func(*pickup.Spell)) {
	s.t.Helper()
	s.learn(pickup.Inputs{Spell: next(s.task.Inputs.Spell, changes...)}, now)
}

func (s *story) do(task pickup.Task, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	s.task = &task
}

func (s *story) take(worker, now string) { s.t.Helper(); s.do(s.task.Take(worker, moment(s.t, now))) }

func (s *story) reach(at string) {
	s.t.Helper()
	s.do(s.task.RecordContact("phone", true, moment(s.t, at), moment(s.t, at)))
}

func (s *story) complete(ending pickup.Ending, at string) {
	s.t.Helper()
	s.do(s.task.Complete(ending, moment(s.t, at), moment(s.t, at)))
}

// sweep fires what is due and returns the kinds.
func (s *story) sweep(now string) []pickup.NoticeKind {
	s.t.Helper()
	task, fired := pickup.Fire(s.place, *s.task, moment(s.t, now))
	s.task = &task
	var kinds []pickup.NoticeKind
	for _, n := range fired {
		kinds = append(kinds, n.Kind)
	}
	return kinds
}

func (s *story) fires(now string, want ...pickup.NoticeKind) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.sweep(now)); diff != "" {
		s.t.Errorf("fired at %s (-want +got):\n%s", now, diff)
	}
}

func (s *story) is(w want) { s.t.Helper(); checkTask(s.t, *s.task, w) }

func checkTask(t testing.TB, task pickup.Task, w want) {
	t.Helper()
	if got := (want{task.Outcome, task.Reason, task.Team}); got != w {
		t.Errorf("got %+v, want %+v\n%s", got, w, task.ReasonText)
	}
}

var (
	dueInGrays   = want{pickup.PickUpDue, "social-care-feed", "CLS-GRAYS"}
	deadAndQuiet = want{pickup.NotDue, "died", ""}
	admitted     = want{pickup.InHospital, "in-hospital", ""}
)

func TestBeforeTakenCorrectionsApplyInPlace(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.spell("2026-09-03T09:00", practice("F81137"))
	s.is(want{pickup.PickUpDue, "social-care-feed", "CLS-SLH"})
	if s.task.ProposedTeam != "" {
		t.Errorf("proposed %s", s.task.ProposedTeam)
	}
	s.spell("2026-09-03T10:00", wholeHospital)
	s.is(want{pickup.NotDue, "no-social-care-involvement-known", ""})
	s.learn(pickup.Inputs{Assessment: assessment(1, pickup.AssessmentRequested, 0)}, "2026-09-20T10:00")
	s.is(want{pickup.PickUpDue, "involved", "CLS-SLH"})
	if s.task.DueOn != "2026-10-14" {
		t.Errorf("due on %s, want six weeks from the discharge", s.task.DueOn)
	}
}

func TestAfterTakenAChangeOfTeamIsAProposal(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T09:00")
	s.spell("2026-09-04T09:00", practice("F81137"))
	s.is(dueInGrays)
	if s.task.ProposedTeam != "CLS-SLH" || s.task.ProposedReason != "practice" {
		t.Fatalf("proposed %q because %q", s.task.ProposedTeam, s.task.ProposedReason)
	}
	proposed := *s.task

	s.spell("2026-09-04T10:00", practice("F81155"))
	if s.task.ProposedTeam != "" {
		t.Errorf("the facts point back to the team, and %s is still proposed", s.task.ProposedTeam)
	}

	s.task = &proposed
	s.do(s.task.DecideProposal(false, moment(t, "2026-09-04T11:00")))
	s.is(dueInGrays)
	s.spell("2026-09-04T12:00")
	if s.task.ProposedTeam != "" || s.task.Worker != "worker-1" {
		t.Errorf("refused, and proposed again: %q; worker %q", s.task.ProposedTeam, s.task.Worker)
	}
	s.spell("2026-09-04T13:00", practice("F81082"))
	if s.task.ProposedTeam != "CLS-TC" {
		t.Errorf("yet another team: proposed %q", s.task.ProposedTeam)
	}

	s.task = &proposed
	s.fires("2026-09-04T10:00")
	s.do(s.task.DecideProposal(true, moment(t, "2026-09-04T11:00")))
	s.is(want{pickup.PickUpDue, "social-care-feed", "CLS-SLH"})
	if s.task.Progress != pickup.ProgressUntaken || s.task.Worker != "" || s.task.ProposedTeam != "" {
		t.Errorf("accepted: progress %s, worker %q, proposed %q", s.task.Progress, s.task.Worker, s.task.ProposedTeam)
	}
	s.spell("2026-09-04T12:00")
	s.is(want{pickup.PickUpDue, "social-care-feed", "CLS-SLH"})
	s.fires("2026-09-07T11:00", pickup.UntakenDuty)
}

func TestAfterTakenNotDueAfterAllIsAProposalToTheHub(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t, wholeHospital, councilPackage)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T09:00")
	s.spell("2026-09-04T09:00", func(sp *pickup.Spell) { sp.Involved = nil })
	s.is(want{pickup.PickUpDue, "involved", "CLS-GRAYS"})
	if s.task.ProposedTeam != "HUB" || s.task.ProposedReason != "no-social-care-involvement-known" || s.task.DueOn != "2026-10-14" {
		t.Errorf("proposed %q because %q, due %s", s.task.ProposedTeam, s.task.ProposedReason, s.task.DueOn)
	}
}

func TestAfterTakenDeathCancellationMethodAndTimeStillApply(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T09:00")
	s.spell("2026-09-04T09:00", method("6"))
	if s.task.Priority != pickup.PriorityHigh {
		t.Errorf("priority %s after the method was corrected", s.task.Priority)
	}
	s.spell("2026-09-04T10:00", at(t, "2026-08-31T12:00", 1))
	if s.task.DueOn != "2026-10-12" || s.task.Schedule != 2 || s.task.DaysUsedOnArrival != 2 {
		t.Errorf("due %s, schedule %d, %d days used", s.task.DueOn, s.task.Schedule, s.task.DaysUsedOnArrival)
	}
	s.is(dueInGrays)
	s.spell("2026-09-04T11:00", death(pickup.DeathDied))
	s.is(deadAndQuiet)
	s.spell("2026-09-04T12:00", death(pickup.DeathNone))
	s.is(dueInGrays)
	s.spell("2026-09-04T13:00", backInHospital)
	s.is(admitted)
	s.spell("2026-09-04T14:00", func(sp *pickup.Spell) { sp.Status = pickup.SpellVoided })
	s.is(want{pickup.NotDue, "voided", ""})
	if s.task.Worker != "worker-1" {
		t.Errorf("worker %q", s.task.Worker)
	}
}

func TestDeathStopsContactAndACorrectionRestoresTheClock(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T09:00")
	before := *s.task
	s.spell("2026-09-10T09:00", death(pickup.DeathDied))
	s.is(deadAndQuiet)
	if s.task.Contact != pickup.ContactStopped {
		t.Errorf("contact %s", s.task.Contact)
	}
	_, err := s.task.RecordContact("phone", true, moment(t, "2026-09-10T10:00"), moment(t, "2026-09-10T10:00"))
	refused(t, err, pickup.Precondition)
	s.fires("2026-12-01T09:00")
	if _, ok := pickup.NextDeadline(s.place, *s.task); ok {
		t.Error("a deadline runs for a person who has died")
	}
	s.spell("2026-12-02T09:00", death(pickup.DeathNone))
	s.is(dueInGrays)
	if s.task.DueAt != before.DueAt || s.task.Schedule != before.Schedule || s.task.Contact != pickup.ContactAllowed || s.task.Worker != "worker-1" {
		t.Errorf("restored as %+v", s.task)
	}
	s.fires("2026-12-02T09:05", pickup.FirstContactLate, pickup.Reminder, pickup.AtRisk, pickup.Overdue)
}

func TestAContradictionHoldsContactUntilTheHubDecides(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t, death(pickup.DeathContradictory))}, "2026-09-02T14:35")
	s.is(dueInGrays)
	if s.task.Contact != pickup.ContactHeld {
		t.Fatalf("contact %s", s.task.Contact)
	}
	_, err := s.task.RecordContact("phone", true, moment(t, "2026-09-03T10:00"), moment(t, "2026-09-03T10:00"))
	refused(t, err, pickup.Precondition)
	s.take("worker-1", "2026-09-03T09:00")
	s.fires("2026-09-09T09:00")
	held := *s.task

	s.do(s.task.ResolveContact(s.place, false, moment(t, "2026-09-09T10:00")))
	s.is(dueInGrays)
	if s.task.Contact != pickup.ContactAllowed {
		t.Errorf("contact %s", s.task.Contact)
	}
	s.fires("2026-09-09T10:01", pickup.FirstContactLate)
	s.spell("2026-09-09T11:00", death(pickup.DeathDied))
	s.is(deadAndQuiet)

	s.task = &held
	s.do(s.task.ResolveContact(s.place, true, moment(t, "2026-09-09T10:00")))
	s.is(deadAndQuiet)
	if s.task.Contact != pickup.ContactStopped {
		t.Errorf("contact %s", s.task.Contact)
	}
	s.spell("2026-09-10T10:00", death(pickup.DeathNone))
	s.is(dueInGrays)
	_, err = s.task.ResolveContact(s.place, true, moment(t, "2026-09-11T10:00"))
	refused(t, err, pickup.Precondition)
}

func TestACancelledDischargeVoidsTheClockAndTheNextBeginsAnew(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T09:00")
	s.reach("2026-09-04T09:00")
	s.fires("2026-10-01T09:00", pickup.Reminder)
	s.spell("2026-10-02T09:00", backInHospital)
	s.is(admitted)
	if s.task.DueOn != "" || s.task.Progress == "" || s.task.Worker != "worker-1" || !s.task.Notices[0].WithdrawnAt.Equal(moment(t, "2026-10-02T09:00")) {
		t.Errorf("cancelled: due %q, progress %q, notices %+v", s.task.DueOn, s.task.Progress, s.task.Notices)
	}
	s.fires("2026-11-01T09:00")
	s.spell("2026-11-02T09:00", at(t, "2026-11-01T12:00", 2))
	s.is(dueInGrays)
	if s.task.DueOn != "2026-12-13" || s.task.Schedule != 2 || s.task.Progress != pickup.ProgressTaken || s.task.Worker != "worker-1" || s.task.DaysUsedOnArrival != 1 {
		t.Errorf("again: due %q, schedule %d, progress %q, worker %q, days used %d", s.task.DueOn, s.task.Schedule, s.task.Progress, s.task.Worker, s.task.DaysUsedOnArrival)
	}
	if c := s.task.Clocks[0]; c.VoidedAt.IsZero() || !c.FirstContactAt.Equal(moment(t, "2026-09-04T09:00")) || len(s.task.Contacts) != 1 {
		t.Errorf("history: %+v", s.task.Clocks)
	}
	s.fires("2026-11-29T09:00", pickup.FirstContactLate, pickup.Reminder)
}

func TestACancellationThatWasNeverSeenComesToTheSame(t *testing.T) {
	seen := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	seen.spell("2026-09-03T09:00", backInHospital)
	seen.spell("2026-09-20T09:00", at(t, "2026-09-20T08:00", 2))
	missed := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	missed.spell("2026-09-20T09:00", at(t, "2026-09-20T08:00", 2))
	if diff := cmp.Diff(decided(*seen.task), decided(*missed.task)); diff != "" || seen.task.Schedule != missed.task.Schedule {
		t.Errorf("(-seen +missed):\n%s", diff)
	}
	fresh := begin(t, pickup.Inputs{Spell: missed.task.Inputs.Spell}, "2026-09-20T09:00")
	if diff := cmp.Diff(decided(*fresh.task), decided(*missed.task)); diff != "" {
		t.Errorf("(-fresh +missed):\n%s", diff)
	}
}

func TestTakenAndDischargedAgainIsDecidedAnew(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T09:00")
	s.spell("2026-09-04T09:00", backInHospital)
	s.spell("2026-09-20T09:00", at(t, "2026-09-20T08:00", 2), wholeHospital)
	s.is(want{pickup.NotDue, "no-social-care-involvement-known", ""})
}

func TestACancelledAdmissionWithdrawsEvenWhenThePersonHasDied(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T09:00")
	s.fires("2026-10-15T00:00", pickup.FirstContactLate, pickup.Reminder, pickup.AtRisk, pickup.Overdue)
	s.spell("2026-10-16T09:00", death(pickup.DeathDied), func(sp *pickup.Spell) { sp.Status, sp.Discharge = pickup.SpellVoided, nil })
	if has(s.task.Notices, pickup.Overdue) {
		t.Error("the breach of a stay that never was still stands")
	}
}

func TestACorrectedDateDoesNotBeginTheUntakenTimeAnew(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.spell("2026-09-03T10:00", at(t, "2026-09-01T12:00", 1))
	s.fires("2026-09-03T14:35", pickup.UntakenDuty)
	s.spell("2026-09-03T15:00", at(t, "2026-08-31T12:00", 1))
	s.fires("2026-09-03T15:01")
}

func TestAResolutionHoldsOnlyForItsContradiction(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t, death(pickup.DeathContradictory))}, "2026-09-02T14:35")
	s.do(s.task.ResolveContact(s.place, false, moment(t, "2026-09-03T10:00")))
	s.spell("2026-09-04T10:00", practice("F81137"))
	if s.task.Contact != pickup.ContactAllowed {
		t.Errorf("another fact changed: contact %s", s.task.Contact)
	}
	s.spell("2026-09-05T10:00", death(pickup.DeathNone))
	s.spell("2026-09-06T10:00", death(pickup.DeathContradictory))
	if s.task.Contact != pickup.ContactHeld {
		t.Errorf("a new contradiction: contact %s", s.task.Contact)
	}
}

func TestARestoredProducersEpochComesBeforeItsVersions(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t, func(sp *pickup.Spell) { sp.Version = 9 })}, "2026-09-02T14:35")
	s.learn(pickup.Inputs{Spell: discharged(t, practice("F81137"), func(sp *pickup.Spell) { sp.Epoch, sp.Version = 2, 1 })}, "2026-09-02T15:00")
	s.is(want{pickup.PickUpDue, "social-care-feed", "CLS-SLH"})
	s.learn(pickup.Inputs{Spell: discharged(t, practice("F81082"), func(sp *pickup.Spell) { sp.Version = 10 })}, "2026-09-02T16:00")
	s.is(want{pickup.PickUpDue, "social-care-feed", "CLS-SLH"})
}

func TestAClosedTaskBeginsAnewAfterACancelledDischarge(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T09:00")
	s.complete(pickup.EndingAssessed, "2026-09-04T09:00")
	s.spell("2026-09-05T09:00", wholeHospital)
	s.is(dueInGrays)
	if !s.task.Met || s.task.Progress != pickup.ProgressClosed || s.task.ProposedTeam != "" {
		t.Errorf("closed: %+v", s.task)
	}
	s.spell("2026-09-05T10:00", func(sp *pickup.Spell) { sp.Scope = pickup.ScopeSocialCare }, backInHospital)
	s.is(admitted)
	s.spell("2026-09-09T10:00", at(t, "2026-09-09T09:00", 2))
	s.is(dueInGrays)
	if s.task.Met || s.task.Ending != "" || s.task.Progress != pickup.ProgressTaken || s.task.Clocks[0].Ending != pickup.EndingAssessed {
		t.Errorf("again: met %v, ending %q, progress %s, clocks %+v", s.task.Met, s.task.Ending, s.task.Progress, s.task.Clocks)
	}
}

func TestDeathAfterClosingStopsContactAndKeepsWhatWasMet(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T09:00")
	s.complete(pickup.EndingReviewed, "2026-09-04T09:00")
	s.spell("2026-09-10T09:00", death(pickup.DeathDied))
	s.is(dueInGrays)
	if !s.task.Met || s.task.Contact != pickup.ContactStopped {
		t.Errorf("met %v, contact %s", s.task.Met, s.task.Contact)
	}
}

func TestMovedToAnotherHospitalIsTheHubsUntilTheRealDischarge(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t, destination("51"))}, "2026-09-02T14:35")
	s.is(want{pickup.InAnotherHospital, "other-hospital", "HUB"})
	if s.task.DueOn != "" || s.task.Progress != pickup.ProgressUntaken {
		t.Errorf("due %q, progress %q", s.task.DueOn, s.task.Progress)
	}
	s.fires("2026-09-08T23:59")
	s.fires("2026-09-09T00:00", pickup.ReviewOtherHospital)
	s.fires("2026-09-15T23:59")
	s.fires("2026-09-16T00:00", pickup.ReviewOtherHospital)
	s.fires("2026-10-10T09:00", pickup.ReviewOtherHospital) // three were missed; one review is enough
	s.fires("2026-10-13T09:00")
	s.fires("2026-10-14T00:00", pickup.ReviewOtherHospital)
	s.spell("2026-10-15T09:00", at(t, "2026-10-14T12:00", 1))
	s.is(dueInGrays)
	if s.task.DueOn != "2026-11-25" {
		t.Errorf("due on %s", s.task.DueOn)
	}
	for _, n := range s.task.Notices {
		if n.WithdrawnAt.IsZero() {
			t.Errorf("review of %s still stands", n.DueAt)
		}
	}
}

func TestTakenAndMovedToAnotherHospitalKeepsTheTeamAndProposesTheHub(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T09:00")
	s.spell("2026-09-04T09:00", destination("51"))
	s.is(want{pickup.InAnotherHospital, "other-hospital", "CLS-GRAYS"})
	if s.task.ProposedTeam != "HUB" || s.task.ProposedReason != "other-hospital" {
		t.Errorf("proposed %q because %q", s.task.ProposedTeam, s.task.ProposedReason)
	}
	_, err := s.task.Complete(pickup.EndingAssessed, time.Time{}, moment(t, "2026-09-05T09:00"))
	refused(t, err, pickup.Precondition)
	s.complete(pickup.EndingMoved, "2026-09-05T09:00")
	s.fires("2026-12-01T09:00")
	s.spell("2026-12-02T09:00", practice("F81137"))
	s.is(want{pickup.InAnotherHospital, "other-hospital", "CLS-GRAYS"})
}

func TestWatchedFor42DaysThenQuiet(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t, wholeHospital)}, "2026-09-02T14:35")
	s.fires("2026-10-14T23:59")
	s.fires("2026-10-15T00:00", pickup.WatchEnded)
	s.fires("2027-10-15T00:00")
	s.learn(pickup.Inputs{Need: need(1, pickup.NeedRequested, "")}, "2027-10-16T09:00")
	s.is(want{pickup.PickUpDue, "involved", "CLS-GRAYS"})
	s.fires("2027-10-16T09:00", pickup.FirstContactLate, pickup.Reminder, pickup.AtRisk, pickup.Overdue)
}

func TestOutOfAreaIsSilent(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t, wholeHospital, home("SE1 7"), practice("G85001"))}, "2026-09-02T14:35")
	if at, ok := pickup.NextDeadline(s.place, *s.task); ok {
		t.Errorf("a deadline at %s", at)
	}
}

func TestNoticesOfAnUntouchedTaskInOrder(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t), Need: need(1, pickup.NeedStarted, "2026-10-15")}, "2026-09-02T14:35")
	for _, step := range []struct {
		now  string
		want []pickup.NoticeKind
	}{
		{"2026-09-03T14:34", nil},
		{"2026-09-03T14:35", []pickup.NoticeKind{pickup.UntakenDuty}},
		{"2026-09-04T14:35", []pickup.NoticeKind{pickup.UntakenManager}},
		{"2026-09-07T23:59", nil},
		{"2026-09-08T00:00", []pickup.NoticeKind{pickup.FirstContactLate}},
		{"2026-09-29T23:59", nil},
		{"2026-09-30T00:00", []pickup.NoticeKind{pickup.Reminder, pickup.ReablementOutlasts}},
		{"2026-10-06T23:59", nil},
		{"2026-10-07T00:00", []pickup.NoticeKind{pickup.AtRisk}},
		{"2026-10-14T23:59", nil},
		{"2026-10-15T00:00", []pickup.NoticeKind{pickup.Overdue}},
		{"2028-01-01T00:00", nil},
	} {
		s.fires(step.now, step.want...)
	}
}

func TestAMessageTenDaysLateFiresWhatHasPassedInOrder(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t, at(t, "2026-08-01T12:00", 1))}, "2026-09-10T09:00")
	s.fires("2026-09-10T09:01", pickup.FirstContactLate, pickup.Reminder, pickup.AtRisk)
	s.fires("2026-09-15T09:01", pickup.UntakenDuty, pickup.Overdue, pickup.UntakenManager)
}

func TestReablementThatOutlastsDay42WarnsAtDay28OrAtOnce(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T09:00")
	s.reach("2026-09-03T10:00")
	s.learn(pickup.Inputs{Need: need(1, pickup.NeedAccepted, "2026-10-14")}, "2026-09-04T09:00")
	s.fires("2026-10-01T09:00", pickup.Reminder)
	s.learn(pickup.Inputs{Need: need(2, pickup.NeedStarted, "2026-10-20")}, "2026-10-02T09:00")
	s.fires("2026-10-02T09:00", pickup.ReablementOutlasts)
	s.learn(pickup.Inputs{Need: need(3, pickup.NeedStarted, "2026-10-30")}, "2026-10-03T09:00")
	s.fires("2026-10-03T09:00")
	s.learn(pickup.Inputs{Need: need(4, pickup.NeedWithdrawn, "2026-10-30")}, "2026-10-04T09:00")
	s.fires("2026-10-04T09:00")
}

func TestReablementThatWasWithdrawnWarnsOfNothing(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t), Need: need(1, pickup.NeedWithdrawn, "2026-10-30")}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T09:00")
	s.reach("2026-09-03T10:00")
	s.fires("2026-10-01T09:00", pickup.Reminder)
}

func TestUnderOneScheduleWhatFiredStaysFired(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T09:00")
	s.fires("2026-09-08T00:00", pickup.FirstContactLate)
	s.place.Holidays = map[pickup.Date]string{"2026-09-07": "proclaimed afterwards"}
	s.spell("2026-09-08T09:00")
	if !has(s.task.Notices, pickup.FirstContactLate) {
		t.Error("a holiday proclaimed afterwards withdrew what could not fire again")
	}
	s.task.Notices[0].WithdrawnAt = moment(t, "2026-09-08T10:00")
	s.fires("2026-09-10T09:00")
}

func TestABreachThatProvesUntrueIsWithdrawnAndFiresAgainInItsTime(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t, at(t, "2026-08-02T12:00", 1))}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-02T15:00")
	s.reach("2026-09-02T15:30")
	s.fires("2026-09-14T09:00", pickup.Reminder, pickup.AtRisk, pickup.Overdue)
	s.spell("2026-09-15T09:00", at(t, "2026-08-12T12:00", 1))
	if s.task.DueOn != "2026-09-23" || s.task.Schedule != 2 {
		t.Fatalf("due %s, schedule %d", s.task.DueOn, s.task.Schedule)
	}
	var standing []pickup.NoticeKind
	for _, n := range s.task.Notices {
		if n.WithdrawnAt.IsZero() {
			standing = append(standing, n.Kind)
		}
	}
	if diff := cmp.Diff([]pickup.NoticeKind{pickup.Reminder}, standing); diff != "" {
		t.Errorf("what still holds (-want +got):\n%s", diff)
	}
	s.fires("2026-09-15T09:01")
	s.fires("2026-09-16T00:00", pickup.AtRisk)
	s.fires("2026-09-24T00:00", pickup.Overdue)
	s.spell("2026-09-25T09:00", at(t, "2026-08-11T12:00", 1))
	if !has(s.task.Notices, pickup.Overdue) {
		t.Error("due a day earlier, the breach is as true as before")
	}
	s.fires("2026-12-01T00:00")
}

func TestChangedThresholdsBeginANewSchedule(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-02T15:00")
	s.reach("2026-09-02T15:30")
	s.fires("2026-10-15T00:00", pickup.Reminder, pickup.AtRisk, pickup.Overdue)
	longer := s.place.Thresholds[0]
	longer.PickUpDays = 49
	s.place.Thresholds = []pickup.Thresholds{longer}
	s.spell("2026-10-16T09:00")
	if s.task.DueOn != "2026-10-21" || s.task.Schedule != 2 || has(s.task.Notices, pickup.Overdue) || s.task.Clocks[1].Reason != "thresholds-changed" {
		t.Errorf("due %s, schedule %d, notices %+v", s.task.DueOn, s.task.Schedule, s.task.Notices)
	}
	s.fires("2026-10-22T00:00", pickup.Overdue)
}

func TestDaysBeyondTheKnownHolidaysAreFlagged(t *testing.T) {
	p := thurrock(t)
	for day, want := range map[string][]string{"2028-12-20T09:00": nil, "2028-12-29T09:00": {"holidays-unknown"}} {
		task := decideAt(t, p, nil, pickup.Inputs{Spell: discharged(t, at(t, day, 1))}, day)
		if diff := cmp.Diff(want, task.Flags); diff != "" {
			t.Errorf("discharged at %s: flags (-want +got):\n%s", day, diff)
		}
	}
}

func TestAnAssessmentRecordedLateWithdrawsTheBreachThatNeverWas(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-02T15:00")
	s.fires("2026-10-15T09:00", pickup.FirstContactLate, pickup.Reminder, pickup.AtRisk, pickup.Overdue)
	s.do(s.task.RecordContact("visit", true, moment(t, "2026-09-04T10:00"), moment(t, "2026-10-15T10:00")))
	s.do(s.task.Complete(pickup.EndingAssessed, moment(t, "2026-10-14T23:59"), moment(t, "2026-10-15T10:00")))
	if !s.task.Met || has(s.task.Notices, pickup.Overdue) || has(s.task.Notices, pickup.FirstContactLate) || !has(s.task.Notices, pickup.AtRisk) {
		t.Errorf("met %v, notices %+v", s.task.Met, s.task.Notices)
	}
}

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

// decided is what must not depend on the order in which snapshots came.
func decided(t pickup.Task) map[string]any {
	return map[string]any{
		"task": t.TaskID, "outcome": t.Outcome, "reason": t.Reason, "text": t.ReasonText, "team": t.Team, "route": t.Route,
		"discharged": t.DischargedOn, "due": t.DueOn, "due at": t.DueAt, "due reason": t.DueReason, "contact by": t.FirstContactBy,
		"priority": t.Priority, "priority reasons": t.PriorityReasons, "contact": t.Contact, "progress": t.Progress, "flags": t.Flags,
	}
}
