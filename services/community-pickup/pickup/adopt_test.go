package pickup_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"pgregory.net/rapid"
)

// told is a task as its snapshot tells it.
func told(t pickup.Task) (pickup.Task, pickup.Stamp) {
	rests := t.Inputs.Spell.Stamp
	in := t.Inputs
	t.Worker, t.Origin, t.Inputs, t.Contacts, t.Clocks, t.Ruled = "", "", pickup.Inputs{}, nil, nil, pickup.Ruled{}
	if a := in.Assessment; a != nil {
		t.Inputs.Assessment = &pickup.Assessment{SpellID: a.SpellID, Status: a.Status, UnmetBeforeLeaving: a.UnmetBeforeLeaving}
	}
	if n := in.Need; n != nil {
		t.Inputs.Need = &pickup.Need{SpellID: n.SpellID, Status: n.Status, PlannedEndOn: n.PlannedEndOn}
	}
	t.Notices, t.Flags = slices.Clone(t.Notices), slices.Clone(t.Flags)
	return t, rests
}

// lasting is what a restore must not change, beside what was decided.
func lasting(p pickup.Place, t pickup.Task) map[string]any {
	all := decided(t)
	next, is := pickup.NextDeadline(p, t)
	for key, value := range map[string]any{
		"taken": t.TakenAt, "first contact": t.FirstContactAt, "visit": t.Visit, "picked up": t.PickedUpAt, "completed": t.CompletedAt, "ending": t.Ending, "met": t.Met,
		"settled": t.Settled, "notices": t.Notices, "schedule": t.Schedule, "days used": t.DaysUsedOnArrival, "delivered": t.DeliveredAt,
		"proposed": t.ProposedTeam, "proposed reason": t.ProposedReason, "next deadline": next, "any deadline": is,
	} {
		all[key] = value
	}
	return all
}

// Whatever the restored database still knows, and in whatever order the inputs come back, the task is what it was.
func TestAdoptedTaskIsWhatItWas(t *testing.T) {
	p := thurrock(t)
	rapid.Check(t, func(t *rapid.T) {
		task, now := anyLife(t, p)
		if task.Inputs.Spell == nil {
			return
		}
		var own *pickup.Task
		inputs := []pickup.Inputs{{Spell: task.Inputs.Spell}}
		if a := task.Inputs.Assessment; a != nil {
			inputs = append(inputs, pickup.Inputs{Assessment: a})
		}
		if n := task.Inputs.Need; n != nil {
			inputs = append(inputs, pickup.Inputs{Need: n})
		}
		inputs = rapid.Permutation(inputs).Draw(t, "inputs")
		before := rapid.IntRange(0, len(inputs)).Draw(t, "known before")
		for _, in := range inputs[:before] {
			known := pickup.Decide(p, own, in, now.Add(-time.Hour))
			own = &known
		}
		held, rests := told(task)
		again := pickup.Adopt(p, own, held, rests, now)
		for _, in := range inputs[before:] {
			again = pickup.Decide(p, &again, in, now)
		}
		if again.Awaits != nil {
			t.Fatalf("all inputs are back, and the task still awaits %+v", again.Awaits)
		}
		if diff := cmp.Diff(lasting(p, task), lasting(p, again)); diff != "" {
			t.Fatalf("(-before the restore +after):\n%s", diff)
		}
		if (again.Worker == "") != (task.Worker == "") {
			t.Fatalf("the worker is %q and was %q", again.Worker, task.Worker)
		}
	})
}

func TestAdoptedTaskRestsUntilItsSpellIsBack(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	old := *s.task
	s.spell("2026-09-03T09:00", death(pickup.DeathDied))
	held, rests := told(*s.task)
	later := moment(t, "2026-11-30T09:00")
	for name, own := range map[string]*pickup.Task{"put back": &old, "lost": nil} {
		again := pickup.Adopt(s.place, own, held, rests, moment(t, "2026-09-04T09:00"))
		if again.Contact != pickup.ContactStopped || again.Outcome != pickup.NotDue {
			t.Errorf("%s: contact with a person who died is %s", name, again.Contact)
		}
		if _, fired := pickup.Fire(s.place, again, later); len(fired) != 0 {
			t.Errorf("%s: fired %v by facts that are older", name, fired)
		}
		if _, err := again.Take("worker-1", later); err == nil {
			t.Errorf("%s: taken by facts that are older", name)
		}
		if _, err := again.ResolveContact(s.place, false, later); err == nil {
			t.Errorf("%s: resolved by facts that are older", name)
		}
	}
}

func TestTaskWhoseWorkerIsNotKnownIsTakenAgain(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T10:00")
	held, rests := told(*s.task)
	again := pickup.Adopt(s.place, s.task, held, rests, moment(t, "2026-09-04T09:00"))
	if again.Worker != "worker-1" {
		t.Errorf("the database knows the worker, and it is %q", again.Worker)
	}
	old := *s.task
	old.Worker, old.TakenAt = "", time.Time{}
	again = pickup.Adopt(s.place, &old, held, rests, moment(t, "2026-09-04T09:00"))
	if again.Worker != pickup.WorkerNotKnown || again.Progress != pickup.ProgressTaken {
		t.Errorf("the worker is %q, progress %s", again.Worker, again.Progress)
	}
	taken, err := again.Take("worker-2", moment(t, "2026-09-04T10:00"))
	if err != nil || taken.Worker != "worker-2" || !taken.TakenAt.Equal(moment(t, "2026-09-03T10:00")) {
		t.Errorf("taken by %q at %s, %v", taken.Worker, taken.TakenAt, err)
	}
}
