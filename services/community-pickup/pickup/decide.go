package pickup

import "time"

// Decide is the outcome of a spell by the newest snapshots of it: what the task holds already and what is given, whichever is newer
// of each. A nil task is a new one. The same snapshots give the same outcome, reason, team, due date and priority, whatever order
// they came in; only what is recorded (when something was learned of, which notices fired) depends on when. A snapshot that is not
// newer changes nothing.
//
// While the spell itself is not known, the task only keeps what is: its outcome is empty, and it is not shown to anybody.
// The same holds of a task that was taken over, until the spell is known as well as it was; see Adopt.
// Inputs.Validate says which snapshots can be decided.
func Decide(p Place, task *Task, given Inputs, now time.Time) Task {
	now = now.UTC()
	var t Task
	if task != nil {
		t = task.clone()
	}
	t.Inputs = t.Inputs.newest(given)
	if id := t.Inputs.spellID(); id != "" {
		t.SpellID = id
	}
	t.TaskID = TaskID(t.SpellID)
	if t.awaiting() {
		return t
	}
	t.Awaits = nil
	t.DirectoryVersion, t.PolicyVersion = p.DirectoryVersion, p.PolicyVersion
	if t.Inputs.Spell == nil {
		t.Reason, t.ReasonText = ReasonSpellNotKnown, "discharge-hub has not told of this spell yet."
		return t
	}
	t.Reference = t.Inputs.Spell.Reference
	if t.Inputs.Spell.Death != DeathContradictory {
		t.Resolved = nil
	}
	return t.learn(p, now).
		correct(p, rule(p, t.Inputs, t.Resolved)).
		conclude().
		wind(p, now).
		withdrawUntrue(p, now)
}
