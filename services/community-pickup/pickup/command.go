package pickup

import (
	"fmt"
	"time"
)

// ErrorKind says whose move it is.
type ErrorKind string

const (
	// Invalid is a command that could never succeed as it is given.
	Invalid ErrorKind = "invalid"
	// Precondition is a command that the task's state does not allow now.
	Precondition ErrorKind = "precondition"
)

// Error is why a command was refused; the task is as it was.
type Error struct {
	Kind    ErrorKind
	Message string
}

func (e *Error) Error() string { return e.Message }

func invalid(format string, args ...any) error {
	return &Error{Invalid, fmt.Sprintf(format, args...)}
}

func precondition(format string, args ...any) error {
	return &Error{Precondition, fmt.Sprintf(format, args...)}
}

// Take makes the worker the allocated one. Taking what one has already changes nothing. From then on a change of team is only
// proposed.
func (t Task) Take(worker string, now time.Time) (Task, error) {
	if worker == "" {
		return t, invalid("say which worker takes the task")
	}
	if err := t.mustBeOpen(); err != nil {
		return t, err
	}
	switch t.Worker {
	case "":
	case worker:
		return t, nil
	case WorkerNotKnown:
		t = t.clone()
		t.Worker = worker
		return t.conclude(), nil
	default:
		return t, precondition("another worker has taken this task: read it again")
	}
	t = t.clone()
	if t.Settled == nil {
		t = t.settle(t.Team, t.Route)
	}
	t.Worker, t.TakenAt = worker, now.UTC()
	return t.conclude(), nil
}

// RecordContact records an attempt to reach the person at a moment, by phone, visit, letter or video. The earliest two-way one since
// the discharge is the first contact.
func (t Task) RecordContact(method string, twoWay bool, at, now time.Time) (Task, error) {
	if method == "" {
		return t, invalid("say how the person was contacted")
	}
	if err := t.mustBeOpen(); err != nil {
		return t, err
	}
	if err := t.mustBeReachable(); err != nil {
		return t, err
	}
	at, err := t.happened(at, now)
	if err != nil {
		return t, err
	}
	t = t.clone()
	t.Contacts = append(t.Contacts, Attempt{Method: method, TwoWay: twoWay, At: at, RecordedAt: now.UTC()})
	if twoWay && (t.FirstContactAt.IsZero() || at.Before(t.FirstContactAt)) {
		t.FirstContactAt = at
		if at.Before(t.FirstContactBy) {
			t = t.withdraw(FirstContactLate, now)
		}
	}
	return t.conclude(), nil
}

// Complete closes the task with what came of it at a moment; a zero moment means now. Somebody must have taken it. An assessment or
// review needs a pick-up that is due; declined, moved and died also end the hub's task for a person in another hospital. That the
// person died stops contact.
func (t Task) Complete(ending Ending, at, now time.Time) (Task, error) {
	if at.IsZero() {
		at = now
	}
	switch ending {
	case EndingAssessed, EndingReviewed, EndingDeclined, EndingMoved, EndingDied:
	default:
		return t, invalid("ending %q is unknown: use assessed, reviewed, declined, moved or died", ending)
	}
	if err := t.mustBeOpen(); err != nil {
		return t, err
	}
	switch {
	case t.Worker == "":
		return t, precondition("nobody has taken this task: take it before completing it")
	case t.Outcome != PickUpDue && (ending == EndingAssessed || ending == EndingReviewed):
		return t, precondition("the person is in another hospital: no assessment or review is due before the real discharge")
	}
	at, err := t.happened(at, now)
	if err != nil {
		return t, err
	}
	t = t.clone()
	t.Ending, t.CompletedAt = ending, at
	if at.Before(t.DueAt) {
		t = t.withdraw(Overdue, now)
	}
	return t.conclude(), nil
}

// DecideProposal accepts or refuses the proposed change of team. Accepted, the task waits for a worker of that team; refused, it is
// proposed no more unless the facts point to yet another team.
func (t Task) DecideProposal(accept bool, now time.Time) (Task, error) {
	if err := t.mustBeOpen(); err != nil {
		return t, err
	}
	if t.ProposedTeam == "" {
		return t, precondition("no change of team is proposed")
	}
	t = t.clone()
	if accept {
		return t.handOver(t.Ruled.Team, t.Ruled.Route, "proposal-accepted", now), nil
	}
	t.Settled.Against = t.Ruled.Team
	return t.conclude(), nil
}

// AssignTeam gives a task that is the hub's to a team of the place, with the code of the reason.
func (t Task) AssignTeam(p Place, team, reason string, now time.Time) (Task, error) {
	_, known := p.Teams[team]
	switch {
	case !known || team == p.Hub:
		return t, invalid("team %q is none that the hub can assign to in %s", team, p.Name)
	case reason == "":
		return t, invalid("give the code of the reason for assigning the task")
	}
	if err := t.mustBeOpen(); err != nil {
		return t, err
	}
	if t.Team != p.Hub {
		return t, precondition("the task is with %s: the hub assigns only what is its own", t.Team)
	}
	route := Route{
		Rule: RouteAssigned, Input: reason, DirectoryVersion: p.DirectoryVersion,
		Text: fmt.Sprintf("The hub assigned it to %s: %s.", p.teamName(team), reason),
	}
	return t.clone().handOver(team, route, "assigned", now), nil
}

// ResolveContact is the hub's decision whether the person has died, where facts contradict one another or a worker had recorded a
// death. The outcome follows at once; facts that contradict no more replace the decision.
func (t Task) ResolveContact(p Place, died bool, now time.Time) (Task, error) {
	now = now.UTC()
	if t.Awaits != nil {
		return t, errAwaits
	}
	contradictory := t.Inputs.Spell != nil && t.Inputs.Spell.Death == DeathContradictory
	if !contradictory && t.Ending != EndingDied {
		return t, precondition("nothing about the person's death is in doubt: there is nothing to resolve")
	}
	t = t.clone()
	if contradictory {
		t.Resolved = &Resolution{Died: died, At: now}
	}
	if t.Ending == EndingDied && !died {
		t.Ending, t.CompletedAt = "", time.Time{}
		t = t.newClock(t.clockKind(), "death-corrected", now)
	}
	return Decide(p, &t, Inputs{}, now), nil
}

// errAwaits refuses to work a task by facts that are older than those it rests on.
var errAwaits = precondition("the database was restored, and the newest facts about this spell have not come back yet: try again in a minute")

func (t Task) mustBeOpen() error {
	switch {
	case t.Awaits != nil:
		return errAwaits
	case !t.actionable():
		return precondition("there is nothing to do for this spell: %s", t.ReasonText)
	case t.Ending != "":
		return precondition("the task is closed: %s", t.Ending)
	}
	return nil
}

// mustBeReachable refuses what would bring somebody into contact with a person who has, or may have, died.
func (t Task) mustBeReachable() error {
	switch t.Contact {
	case ContactHeld:
		return precondition("contact is held: facts about death contradict one another, and the hub has not decided")
	case ContactStopped:
		return precondition("contact is stopped: the person has died")
	}
	return nil
}

// happened checks a moment at which something is said to have been done: not after now, not before the discharge.
func (t Task) happened(at, now time.Time) (time.Time, error) {
	discharged := t.Inputs.Spell.Discharge.At
	switch {
	case at.IsZero():
		return at, invalid("say when it happened")
	case at.After(now):
		return at, invalid("it cannot have happened in the future, at %s", at.UTC().Format(time.RFC3339))
	case at.Before(discharged):
		return at, invalid("it cannot have happened at %s, before the discharge at %s", at.UTC().Format(time.RFC3339), discharged.UTC().Format(time.RFC3339))
	}
	return at.UTC(), nil
}

// handOver gives the task to another team. It waits there for a worker, its untaken time begins anew, and the visit of those who had it is off.
func (t Task) handOver(team string, route Route, reason string, now time.Time) Task {
	now = now.UTC()
	if c := t.running(); c != nil {
		c.TakenAt = t.TakenAt
	}
	t = t.newClock(t.clockKind(), reason, now)
	t.Worker, t.TakenAt, t.Visit, t.DeliveredAt = "", time.Time{}, nil, now
	return t.settle(team, route).conclude()
}

func (t Task) withdraw(kind NoticeKind, now time.Time) Task {
	for i, n := range t.Notices {
		if n.Kind == kind && n.WithdrawnAt.IsZero() {
			t.Notices[i].WithdrawnAt = now.UTC()
		}
	}
	return t
}
