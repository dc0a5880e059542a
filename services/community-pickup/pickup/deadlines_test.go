package pickup_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
)

func TestACorrectedDateDoesNotBeginTheUntakenTimeAnew(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.spell("2026-09-03T10:00", at(t, "2026-09-01T12:00", 1))
	s.fires("2026-09-03T14:35", pickup.UntakenDuty)
	s.spell("2026-09-03T15:00", at(t, "2026-08-31T12:00", 1))
	s.fires("2026-09-03T15:01")
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

func TestAWatchThatEndedTooEarlyGoesOnAndEndsAgain(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t, wholeHospital, at(t, "2026-08-02T12:00", 1))}, "2026-09-02T14:35")
	s.fires("2026-09-14T00:00", pickup.WatchEnded)
	s.spell("2026-09-15T09:00", at(t, "2026-08-12T12:00", 1))
	if n := s.task.Notices[0]; n.WithdrawnAt.IsZero() {
		t.Error("the person left ten days later: the end of the watch was untrue, and stands")
	}
	s.fires("2026-09-23T23:59")
	s.fires("2026-09-24T00:00", pickup.WatchEnded)
	s.spell("2026-09-25T09:00", at(t, "2026-08-11T12:00", 1))
	if n := s.task.Notices[1]; !n.WithdrawnAt.IsZero() || !n.DueAt.Equal(moment(t, "2026-09-23T00:00")) {
		t.Errorf("a day earlier it is as true as before, from that day: %+v", n)
	}
	s.fires("2027-09-15T00:00")
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
