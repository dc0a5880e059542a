package pickup

import (
	"slices"
	"time"
)

// WorkerNotKnown is the allocated worker of a task that somebody had taken when a restore lost who: names are in no event. Whoever has it
// takes it again, and since when it is taken stays.
const WorkerNotKnown = "not-known"

// Adopt makes a task of the snapshot that another service held of it when this service's database was restored to an earlier point: own is
// what the restored database holds, nil when it holds nothing; held has of the inputs what a task's snapshot tells of assessment and
// reablement, without stamps. What people and the clock did is the snapshot's; what no snapshot has, the
// attempts of contact and the ended clocks, is kept as far as own has it.
//
// Nothing is decided anew before the spell's version is here again on which the snapshot rests: by an older one the outcome would be taken
// back. Until then the task is as the snapshot says, nothing fires, and nobody can work it.
func Adopt(p Place, own *Task, held Task, rests Stamp, now time.Time) Task {
	now = now.UTC()
	t := held
	if own != nil {
		before := own.clone()
		t.Inputs, t.Origin, t.Contacts, t.Clocks = t.Inputs.inPlaceOf(before.Inputs), before.Origin, before.Contacts, before.Clocks
		if before.TakenAt.Equal(t.TakenAt) {
			t.Worker = before.Worker
		}
	}
	if !t.TakenAt.IsZero() && t.Worker == "" {
		t.Worker = WorkerNotKnown
	}
	t.Clocks = t.adoptClocks(now)
	t.Awaits = &rests
	return Decide(p, &t, Inputs{}, now)
}

// inPlaceOf are the inputs after a restore: what the snapshot tells of assessment and reablement, which their own newer snapshots replace, and
// the spell as the database knows it.
func (in Inputs) inPlaceOf(own Inputs) Inputs {
	kept := own
	if in.Assessment != nil {
		a := *in.Assessment
		if own.Assessment != nil {
			a.Stamp, a.RequestedAt, a.CompletedAt = own.Assessment.Stamp, own.Assessment.RequestedAt, own.Assessment.CompletedAt
		}
		kept.Assessment = &a
	}
	if in.Need != nil {
		n := *in.Need
		if own.Need != nil {
			n.Stamp = own.Need.Stamp
		}
		kept.Need = &n
	}
	return kept
}

// adoptClocks keeps the clocks that are older than the snapshot's schedule as history, and has that schedule run as it did.
func (t Task) adoptClocks(now time.Time) []Clock {
	var clocks []Clock
	for _, c := range t.Clocks {
		if c.Schedule >= t.Schedule {
			break
		}
		if c.VoidedAt.IsZero() {
			c.VoidedAt = now
		}
		clocks = append(clocks, c)
	}
	kind := t.clockKind()
	same := slices.IndexFunc(t.Clocks, func(c Clock) bool { return c.Schedule == t.Schedule })
	switch {
	case kind == "" && same >= 0:
		c := t.Clocks[same]
		if t.Contact != ContactStopped && c.VoidedAt.IsZero() { // death leaves the clock
			c.VoidedAt = now
		}
		return append(clocks, c)
	case kind == "":
		return clocks
	}
	c := Clock{Schedule: t.Schedule, Reason: "taken-over", StartedAt: t.DeliveredAt}
	if same >= 0 {
		c = t.Clocks[same]
	}
	c.Kind, c.Discharge, c.From, c.DueAt, c.VoidedAt = kind, t.DischargeNumber, t.DischargedOn, t.DueAt, time.Time{}
	return append(clocks, c)
}

// awaiting reports whether the task waits for the version of its spell on which it rests.
func (t Task) awaiting() bool {
	return t.Awaits != nil && (t.Inputs.Spell == nil || t.Awaits.After(t.Inputs.Spell.Stamp))
}
