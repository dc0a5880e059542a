package pickup

import "time"

// correct lets a new ruling take effect. Until people have settled the task's team, everything is derived anew in place. After
// that, what the hospital corrects about death, cancellation, discharge method and discharge time still always applies, and so
// does a move to another hospital; a change of team is a proposal, and so is "not due after all", to the hub: nobody's work is
// taken from them silently. A closed task keeps its outcome against everything but a cancellation.
//
// Source: design §5, "Corrections".
func (t Task) correct(p Place, r ruling) Task {
	t.DischargedOn, t.Flags = r.dischargedOn, r.flags
	t.Ruled = Ruled{Team: r.team, Route: r.route, Reason: r.reason}

	notDueAfterAll := r.outcome == NotDue && !hasDied(*t.Inputs.Spell, t.Resolved)
	settledHere := t.Settled != nil && r.dischargedOn != "" && t.Settled.Discharge == t.DischargeNumber
	if settledHere && (t.Ending != "" || notDueAfterAll) {
		t.Outcome, t.Reason, t.ReasonText, t.Watched = t.Settled.Outcome, t.Settled.Reason, t.Settled.ReasonText, false
		if notDueAfterAll {
			t.Ruled.Team, t.Ruled.Route = toHub(p, "", r.text)
		}
	} else {
		t.Outcome, t.Reason, t.ReasonText, t.Watched = r.outcome, r.reason, r.text, r.watch
		if t.Settled != nil && t.actionable() {
			t.Settled.standsFor(t)
		}
	}

	t.Priority, t.PriorityReasons = "", nil
	if t.actionable() {
		t.Priority, t.PriorityReasons = r.priority, r.priorityReasons
	}
	t.DueOn, t.DueAt, t.DueReason, t.FirstContactBy = "", time.Time{}, "", time.Time{}
	if t.Outcome == PickUpDue {
		t.DueOn, t.DueAt, t.DueReason, t.FirstContactBy = r.dueOn, r.dueAt, r.dueReason, r.firstContactBy
	}
	return t
}

// team is the team that has the task, and the one that the facts propose instead.
func (t Task) team() (team string, route Route, proposed, reason string) {
	switch {
	case !t.actionable():
		return "", Route{}, "", ""
	case t.Settled == nil:
		return t.Ruled.Team, t.Ruled.Route, "", ""
	case t.Ending != "" || t.Ruled.Team == "" || t.Ruled.Team == t.Settled.Team || t.Ruled.Team == t.Settled.Against:
		return t.Settled.Team, t.Settled.Route, "", ""
	}
	reason = t.Ruled.Route.Rule
	if reason == RouteHub {
		reason = t.Ruled.Reason
	}
	return t.Settled.Team, t.Settled.Route, t.Ruled.Team, reason
}

// settle records that people settled the team, knowing what the rules say now.
func (t Task) settle(team string, route Route) Task {
	t.Settled = &Settled{Team: team, Route: route, Against: t.Ruled.Team}
	t.Settled.standsFor(t)
	return t
}

// standsFor notes the outcome that the settled team works under.
func (s *Settled) standsFor(t Task) {
	s.Discharge, s.Outcome, s.Reason, s.ReasonText = t.DischargeNumber, t.Outcome, t.Reason, t.ReasonText
}

// learn notes which discharge the spell tells of, and when that became known. Another number than before is a new discharge after
// a cancelled one: what had been reached stays in the history, and whoever had taken the task keeps it.
//
// Source: design §3 (A13) and domain brief §2.7: the clock of a cancelled discharge is voided, not paused.
func (t Task) learn(p Place, now time.Time) Task {
	d := t.Inputs.Spell.Discharge
	if t.Inputs.Spell.Status != SpellDischarged || d == nil {
		return t
	}
	if t.LearnedAt.IsZero() || d.Number != t.DischargeNumber {
		if last := len(t.Clocks) - 1; last >= 0 {
			c := &t.Clocks[last]
			c.TakenAt, c.FirstContactAt, c.CompletedAt, c.Ending = t.TakenAt, t.FirstContactAt, t.CompletedAt, t.Ending
		}
		t.FirstContactAt, t.Visit, t.CompletedAt, t.Ending = time.Time{}, nil, time.Time{}, ""
		t.DischargeNumber, t.LearnedAt = d.Number, now
	}
	t.DaysUsedOnArrival = daysUsed(p, DateOf(d.At, p.Zone), t.LearnedAt)
	return t
}
