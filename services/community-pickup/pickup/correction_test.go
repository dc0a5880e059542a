package pickup_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
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
	late := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	late.fires("2026-09-08T09:00", pickup.UntakenDuty, pickup.UntakenManager, pickup.FirstContactLate)
	late.spell("2026-09-20T09:00", at(t, "2026-09-20T08:00", 2))
	for _, n := range late.task.Notices {
		if n.WithdrawnAt.IsZero() {
			t.Errorf("%s stands, of the discharge that was cancelled", n.Kind)
		}
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
