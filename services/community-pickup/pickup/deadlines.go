package pickup

import (
	"slices"
	"time"
)

// NoticeKind is what a notice says.
type NoticeKind string

const (
	UntakenDuty         NoticeKind = "untaken-duty"
	UntakenManager      NoticeKind = "untaken-manager"
	FirstContactLate    NoticeKind = "first-contact-late"
	Reminder            NoticeKind = "reminder"
	ReablementOutlasts  NoticeKind = "reablement-outlasts"
	AtRisk              NoticeKind = "at-risk"
	Overdue             NoticeKind = "overdue"
	ReviewOtherHospital NoticeKind = "review-other-hospital"
	WatchEnded          NoticeKind = "watch-ended"
)

// Notice is a reminder, an alarm or an escalation that fired. A kind fires once under a schedule, save the review of a person in
// another hospital, which fires once for each moment.
type Notice struct {
	Kind        NoticeKind `json:"kind"`
	Schedule    int        `json:"schedule"`
	DueAt       time.Time  `json:"due_at"`
	FiredAt     time.Time  `json:"fired_at"`
	WithdrawnAt time.Time  `json:"withdrawn_at,omitzero"`
}

// Fire fires what is due by now: each notice once under its schedule, none early, the earliest first. It returns the task with
// the notices added, and the added ones. Whatever else changed, calling it again with the same moment fires nothing.
//
// Source: design §6.
func Fire(p Place, task Task, now time.Time) (Task, []Notice) {
	now = now.UTC()
	t := task.clone()
	var fired []Notice
	for _, n := range pending(p, t, now) {
		if n.DueAt.After(now) {
			break
		}
		n.FiredAt = now
		fired = append(fired, n)
	}
	t.Notices = append(t.Notices, fired...)
	return t, fired
}

// NextDeadline is the next moment at which Fire would do something; false when nothing is to come until something else changes.
// It may lie in the past: then Fire has something to do now.
func NextDeadline(p Place, t Task) (time.Time, bool) {
	next := pending(p, t, time.Time{})
	if len(next) == 0 {
		return time.Time{}, false
	}
	return next[0].DueAt, true
}

// pending are the notices that have not fired, the earliest first. Of the reviews of a person in another hospital, which repeat,
// it holds one: the last that was missed by now, or else the next.
func pending(p Place, t Task, now time.Time) []Notice {
	var list []Notice
	for _, n := range moments(p, t) {
		if !t.hasFired(n) {
			list = append(list, n)
		}
	}
	if review, ok := nextReview(p, t, now); ok {
		list = append(list, review)
	}
	slices.SortStableFunc(list, func(a, b Notice) int { return a.DueAt.Compare(b.DueAt) })
	return list
}

// moments are the notices of the state that the task is in, fired or not, and when each is due. What a team has done takes away
// the notice that asks for it. While contact is held, nobody is late with it.
//
// Source: design §5 and §6; the numbers are the place's data.
func moments(p Place, t Task) []Notice {
	var list []Notice
	add := func(kind NoticeKind, at time.Time) {
		list = append(list, Notice{Kind: kind, Schedule: t.Schedule, DueAt: at})
	}
	th := p.ThresholdsOn(t.DischargedOn)
	day := func(n int) time.Time { return t.DischargedOn.Add(n).Start(p.Zone) }
	switch {
	case t.Outcome == NotDue && t.Watched:
		add(WatchEnded, day(th.WatchDays+1))
	case t.Outcome == PickUpDue && t.open():
		if t.Progress == ProgressUntaken {
			add(UntakenDuty, afterWorkingDays(p, t.DeliveredAt, th.UntakenDutyWorkingDays))
			add(UntakenManager, afterWorkingDays(p, t.DeliveredAt, th.UntakenManagerWorkingDays))
		}
		if t.FirstContactAt.IsZero() && t.Contact == ContactAllowed {
			add(FirstContactLate, t.FirstContactBy)
		}
		add(Reminder, day(th.ReminderDay))
		if need := t.Inputs.Need; need != nil && need.Status != NeedWithdrawn && need.PlannedEndOn > t.DueOn {
			add(ReablementOutlasts, day(th.ReablementWarningDay))
		}
		add(AtRisk, day(th.AtRiskDay))
		add(Overdue, t.DueAt)
	}
	return list
}

// hasFired says whether a notice need not fire any more: it fired under this schedule, or under an earlier one and still holds.
// That nobody took the task holds only for the team that has it now.
func (t Task) hasFired(n Notice) bool {
	return slices.ContainsFunc(t.Notices, func(old Notice) bool {
		switch {
		case old.Kind != n.Kind:
			return false
		case old.Schedule == n.Schedule:
			return true
		case n.Kind == UntakenDuty || n.Kind == UntakenManager:
			return old.WithdrawnAt.IsZero() && old.DueAt.After(t.DeliveredAt)
		}
		return old.WithdrawnAt.IsZero()
	})
}

// nextReview is the review of a person in another hospital that is due next, every seven days after the move; of several that
// were missed by now, only the last.
//
// Source: design §5, "Moved to another hospital".
func nextReview(p Place, t Task, now time.Time) (Notice, bool) {
	if t.Outcome != InAnotherHospital || !t.open() {
		return Notice{}, false
	}
	every := p.ThresholdsOn(t.DischargedOn).OtherHospitalReviewDays
	done := 0
	for _, n := range t.Notices {
		if n.Kind == ReviewOtherHospital && n.WithdrawnAt.IsZero() {
			done = max(done, t.DischargedOn.DaysUntil(DateOf(n.DueAt, p.Zone))/every)
		}
	}
	missed := 0
	if !now.IsZero() {
		missed = t.DischargedOn.DaysUntil(DateOf(now, p.Zone)) / every
	}
	at := t.DischargedOn.Add(every * max(done+1, missed)).Start(p.Zone)
	return Notice{Kind: ReviewOtherHospital, Schedule: t.Schedule, DueAt: at}, true
}

// wind starts, voids or leaves the task's clock for what was decided. A new clock has a new schedule number. A clock that is voided
// because the discharge was cancelled, or because no pick-up is due after all, withdraws its notices: they were untrue. A mere
// correction of the date keeps those that still hold. Death leaves the clock, so that a correction finds it as it was.
//
// Source: design §5 "Corrections", §6.
func (t Task) wind(p Place, now time.Time) Task {
	if t.Outcome == NotDue && t.DischargedOn != "" && t.Contact == ContactStopped {
		return t
	}
	kind := t.clockKind()
	last := t.running()
	if last != nil {
		same := last.Discharge == t.DischargeNumber && last.From == t.DischargedOn
		switch {
		case same && last.Kind == kind && last.DueAt.Equal(t.DueAt):
			return t
		case same && last.Kind == ClockWatch && kind == ClockPickUp:
			last.Kind, last.DueAt, t.DeliveredAt = kind, t.DueAt, now
			return t
		}
		last.VoidedAt = now
		if last.Discharge != t.DischargeNumber || last.Kind != kind {
			t = t.withdrawAll(now)
		}
	}
	if kind == "" {
		return t
	}
	corrected := last != nil && last.Discharge == t.DischargeNumber && last.Kind == kind
	if kind == ClockPickUp && !corrected {
		t.DeliveredAt = now
	}
	return t.newClock(kind, t.clockReason(corrected), now)
}

func (t Task) clockKind() ClockKind {
	switch {
	case t.Outcome == PickUpDue:
		return ClockPickUp
	case t.Outcome == InAnotherHospital:
		return ClockElsewhere
	case t.Watched:
		return ClockWatch
	}
	return ""
}

func (t Task) clockReason(corrected bool) string {
	switch {
	case corrected && t.Clocks[len(t.Clocks)-1].From == t.DischargedOn:
		return "thresholds-changed"
	case corrected:
		return "discharge-date-corrected"
	case len(t.Clocks) == 0:
		return "discharged"
	case t.Clocks[len(t.Clocks)-1].Discharge != t.DischargeNumber:
		return "discharged-again"
	}
	return t.Reason
}

// running is the clock that counts; nil when there is none. It points into the task's own list.
func (t Task) running() *Clock {
	if len(t.Clocks) == 0 || !t.Clocks[len(t.Clocks)-1].VoidedAt.IsZero() {
		return nil
	}
	return &t.Clocks[len(t.Clocks)-1]
}

func (t Task) newClock(kind ClockKind, reason string, now time.Time) Task {
	if last := t.running(); last != nil {
		last.VoidedAt = now
	}
	t.Schedule++
	t.Clocks = append(t.Clocks, Clock{
		Schedule: t.Schedule, Kind: kind, Discharge: t.DischargeNumber, From: t.DischargedOn, DueAt: t.DueAt, Reason: reason, StartedAt: now,
	})
	return t
}

func (t Task) withdrawAll(now time.Time) Task {
	for i := range t.Notices {
		if t.Notices[i].WithdrawnAt.IsZero() {
			t.Notices[i].WithdrawnAt = now
		}
	}
	return t
}

// withdrawUntrue withdraws what fired under an earlier schedule and proved untrue: an alarm whose moment, as it is now known, has not
// come, or had not come when what it asks for was done. It fires again, under the new schedule, when its moment comes. So is the end of
// a watch, or once a pick-up is due after all. What still holds is due from the moment that is known now, so that who replays the facts gets
// the same notices whenever they fired; unless that moment came only after it had fired, for it must not look as if it had fired early.
//
// Source: design §5, "A breach that proves untrue is withdrawn by an event".
func (t Task) withdrawUntrue(p Place, now time.Time) Task {
	if t.Outcome != PickUpDue && !t.Watched {
		return t
	}
	th := p.ThresholdsOn(t.DischargedOn)
	for i, n := range t.Notices {
		so := later(now, n.FiredAt)
		var moment time.Time
		switch n.Kind {
		case FirstContactLate:
			moment, so = t.FirstContactBy, orAt(t.FirstContactAt, so)
		case Overdue:
			moment, so = t.DueAt, orAt(t.CompletedAt, so)
		case Reminder:
			moment, so = t.DischargedOn.Add(th.ReminderDay).Start(p.Zone), orAt(t.CompletedAt, so)
		case AtRisk:
			moment, so = t.DischargedOn.Add(th.AtRiskDay).Start(p.Zone), orAt(t.CompletedAt, so)
		case ReablementOutlasts:
			moment = t.DischargedOn.Add(th.ReablementWarningDay).Start(p.Zone)
		case WatchEnded:
			moment = t.DischargedOn.Add(th.WatchDays + 1).Start(p.Zone)
		}
		switch {
		case !n.WithdrawnAt.IsZero():
		case n.Kind == WatchEnded && !t.Watched, n.Schedule != t.Schedule && so.Before(moment):
			t.Notices[i].WithdrawnAt = now
		case !moment.IsZero() && !moment.After(n.FiredAt):
			t.Notices[i].DueAt = moment // it still holds, from the moment that is known now
		}
	}
	return t
}

func orAt(done, otherwise time.Time) time.Time {
	if done.IsZero() {
		return otherwise
	}
	return done
}
