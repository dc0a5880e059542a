package pickup_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"pgregory.net/rapid"
)

// anySpell draws a version of the spell; its number of the discharge never goes back.
func anySpell(t *rapid.T, version int64, number int) *pickup.Spell {
	start := time.Date(2026, 3, 20, 0, 0, 0, 0, time.UTC)
	minutes := rapid.IntRange(0, 14*24*60)
	if rapid.Bool().Draw(t, "autumn") {
		start = time.Date(2026, 10, 18, 0, 0, 0, 0, time.UTC)
	}
	sectors := rapid.SampledFrom([]string{"RM17 5", "RM15 4", "RM20 1", "RM14 3", "SE1 7", "ZZ99 3", ""})
	s := &pickup.Spell{
		Stamp: pickup.Stamp{Epoch: 1, Version: version}, SpellID: spellID,
		Scope:      rapid.SampledFrom([]pickup.Scope{"social-care", "whole-hospital", "whole-hospital", ""}).Draw(t, "scope"),
		Status:     rapid.SampledFrom([]pickup.SpellStatus{"discharged", "discharged", "discharged", "in-hospital", "voided"}).Draw(t, "status"),
		Practice:   rapid.SampledFrom([]string{"F81155", "F81137", "F81084", "F81218", "G85001", "V81997", ""}).Draw(t, "practice"),
		HomeSector: sectors.Draw(t, "home"),
		DestSector: sectors.Draw(t, "destination sector"),
		NoAbode:    rapid.IntRange(0, 9).Draw(t, "no abode") == 0,
		Adult:      rapid.SampledFrom([]pickup.Adult{"yes", "yes", "yes", "no", "unknown", ""}).Draw(t, "adult"),
		Death:      rapid.SampledFrom([]pickup.Death{"none", "none", "none", "died", "contradictory"}).Draw(t, "death"),
		Pathway:    rapid.SampledFrom([]pickup.Pathway{"", "0", "1", "2", "3"}).Draw(t, "pathway"),
		Involved: rapid.SampledFrom([][]pickup.Involvement{
			nil, nil, {pickup.InvolvedHubReferral}, {pickup.InvolvedCouncilPackage, pickup.InvolvedPathway},
		}).Draw(t, "involved"),
	}
	if s.Status == pickup.SpellDischarged {
		s.Discharge = &pickup.Discharge{
			At:          start.Add(time.Duration(minutes.Draw(t, "minutes")) * time.Minute),
			Method:      rapid.SampledFrom([]string{"1", "2", "6", "7", "9", ""}).Draw(t, "method"),
			Destination: rapid.SampledFrom([]string{"19", "19", "51", "87", "85", ""}).Draw(t, "destination"),
			Number:      number,
		}
	}
	return s
}

// anySnapshots draws every version of every aggregate of one spell.
func anySnapshots(t *rapid.T) []pickup.Inputs {
	var all []pickup.Inputs
	number := 1
	for v := range rapid.IntRange(1, 4).Draw(t, "spell versions") {
		number += rapid.IntRange(0, 1).Draw(t, "discharged again")
		all = append(all, pickup.Inputs{Spell: anySpell(t, int64(v+1), number)})
	}
	for v := range rapid.IntRange(0, 3).Draw(t, "assessment versions") {
		all = append(all, pickup.Inputs{Assessment: &pickup.Assessment{
			Stamp: pickup.Stamp{Epoch: 1, Version: int64(v + 1)}, SpellID: spellID,
			Status:             rapid.SampledFrom([]pickup.AssessmentStatus{"requested", "complete", "declined-by-person", "superseded"}).Draw(t, "assessment"),
			UnmetBeforeLeaving: rapid.IntRange(0, 2).Draw(t, "unmet"),
		}})
	}
	for v := range rapid.IntRange(0, 3).Draw(t, "need versions") {
		all = append(all, pickup.Inputs{Need: &pickup.Need{
			Stamp: pickup.Stamp{Epoch: 1, Version: int64(v + 1)}, SpellID: spellID,
			Status:       rapid.SampledFrom([]pickup.NeedStatus{"requested", "held", "accepted", "started", "withdrawn"}).Draw(t, "need"),
			PlannedEndOn: rapid.SampledFrom([]pickup.Date{"", "2026-04-20", "2026-06-30", "2026-12-31"}).Draw(t, "ends"),
		}})
	}
	return all
}

func anyNow(t *rapid.T) time.Time {
	return time.Date(2026, 3, 21, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 400*24*60).Draw(t, "now")) * time.Minute)
}

func fold(p pickup.Place, snapshots []pickup.Inputs, now time.Time) pickup.Task {
	var task *pickup.Task
	for _, in := range snapshots {
		decided := pickup.Decide(p, task, in, now)
		task = &decided
	}
	return *task
}

func TestOrderAndRepetitionOfSnapshotsDoNotMatter(t *testing.T) {
	p := thurrock(t)
	rapid.Check(t, func(t *rapid.T) {
		snapshots, now := anySnapshots(t), anyNow(t)
		shuffled := rapid.Permutation(append(slices.Clone(snapshots), snapshots...)).Draw(t, "shuffled")
		straight, other := fold(p, snapshots, now), fold(p, shuffled, now)
		if diff := cmp.Diff(decided(straight), decided(other)); diff != "" {
			t.Fatalf("(-in order +shuffled):\n%s", diff)
		}
	})
}

func TestDecidingAgainChangesNothing(t *testing.T) {
	p := thurrock(t)
	rapid.Check(t, func(t *rapid.T) {
		task, now := anyLife(t, p)
		again := pickup.Decide(p, &task, task.Inputs, now.Add(time.Duration(rapid.IntRange(0, 90*24).Draw(t, "later"))*time.Hour))
		if diff := cmp.Diff(task, again); diff != "" {
			t.Fatalf("(-once +twice):\n%s", diff)
		}
	})
}

func TestInAnyLifeNoticesFireOnceInTimeAndNothingIsForgotten(t *testing.T) {
	p := thurrock(t)
	rapid.Check(t, func(t *rapid.T) { anyLife(t, p) })
}

// anyLife lets snapshots, people, sweeps and time act on a task in any order, checks after each step what must always hold, and
// returns the task after a last decision.
func anyLife(t *rapid.T, p pickup.Place) (pickup.Task, time.Time) {
	waiting := rapid.Permutation(anySnapshots(t)).Draw(t, "snapshots")
	now := anyNow(t)
	task := pickup.Decide(p, nil, waiting[0], now)
	waiting = waiting[1:]
	for range rapid.IntRange(1, 25).Draw(t, "steps") {
		now = now.Add(time.Duration(rapid.IntRange(0, 12*24*60).Draw(t, "minutes pass")) * time.Minute)
		before := stored(t, task)
		old := task
		switch step := rapid.SampledFrom([]string{"snapshot", "sweep", "person"}).Draw(t, "step"); {
		case step == "snapshot" && len(waiting) > 0:
			task, waiting = pickup.Decide(p, &task, waiting[0], now), waiting[1:]
		case step == "person":
			if acted, err := anyCommand(t, p, task, now); err == nil {
				task = acted
			}
		default:
			task = sweepChecked(t, p, task, now)
		}
		if got := stored(t, old); got != before {
			t.Fatalf("the task that was given changed:\n%s", cmp.Diff(before, got))
		}
		always(t, p, task)
	}
	for _, in := range waiting {
		task = pickup.Decide(p, &task, in, now)
		always(t, p, task)
	}
	sweepChecked(t, p, task, now)
	return pickup.Decide(p, &task, pickup.Inputs{}, now), now
}

func anyCommand(t *rapid.T, p pickup.Place, task pickup.Task, now time.Time) (pickup.Task, error) {
	at := now.Add(-time.Duration(rapid.IntRange(0, 20*24).Draw(t, "hours ago")) * time.Hour)
	yes := rapid.Bool().Draw(t, "yes")
	switch rapid.SampledFrom([]string{"take", "contact", "visit", "no visit", "complete", "proposal", "assign", "resolve"}).Draw(t, "command") {
	case "take":
		return task.Take(rapid.SampledFrom([]string{"worker-1", "worker-2"}).Draw(t, "worker"), now)
	case "contact":
		acted, err := task.RecordContact("phone", yes, at, now)
		if err == nil && task.Contact != pickup.ContactAllowed {
			t.Fatalf("contact was made while it was %s", task.Contact)
		}
		return acted, err
	case "visit":
		acted, err := task.BookVisit(p, "", now.Add(time.Duration(rapid.IntRange(-5, 40).Draw(t, "visit in days"))*24*time.Hour), now)
		if err == nil && (task.Contact != pickup.ContactAllowed || acted.Visit.At.Before(now.Add(-24*time.Hour))) {
			t.Fatalf("booked %+v while contact was %s", acted.Visit, task.Contact)
		}
		return acted, err
	case "no visit":
		return task.CancelVisit()
	case "complete":
		return task.Complete(rapid.SampledFrom([]pickup.Ending{"assessed", "reviewed", "declined", "moved", "died"}).Draw(t, "ending"), at, now)
	case "proposal":
		return task.DecideProposal(yes, now)
	case "assign":
		return task.AssignTeam(p, rapid.SampledFrom([]string{"CLS-TC", "CLS-SLH"}).Draw(t, "team"), "agreed", now)
	}
	return task.ResolveContact(p, yes, now)
}

// sweepChecked fires what is due, and checks that this is exactly what the next deadline announced.
func sweepChecked(t *rapid.T, p pickup.Place, task pickup.Task, now time.Time) pickup.Task {
	next, ok := pickup.NextDeadline(p, task)
	if ok {
		if _, early := pickup.Fire(p, task, next.Add(-time.Nanosecond)); len(early) > 0 {
			t.Fatalf("fired before the next deadline %s: %+v", next, early)
		}
	}
	swept, fired := pickup.Fire(p, task, now)
	if announced := ok && !next.After(now); announced != (len(fired) > 0) {
		t.Fatalf("next deadline %s (%v), at %s fired %+v", next, ok, now, fired)
	}
	if !slices.IsSortedFunc(fired, func(a, b pickup.Notice) int { return a.DueAt.Compare(b.DueAt) }) {
		t.Fatalf("fired out of order: %+v", fired)
	}
	if next, ok := pickup.NextDeadline(p, swept); ok && !next.After(now) {
		t.Fatalf("after the sweep at %s, the next deadline is %s", now, next)
	}
	return swept
}

// always checks what holds after every step.
func always(t *rapid.T, p pickup.Place, task pickup.Task) {
	if task.Inputs.Spell == nil {
		if _, ok := pickup.NextDeadline(p, task); ok || task.Outcome != "" {
			t.Fatalf("decided without a spell: %+v", task)
		}
		return
	}
	noDeadEnd(t, p, task)
	type once struct {
		kind     pickup.NoticeKind
		schedule int
		review   time.Time
	}
	seen := map[once]bool{}
	for _, n := range task.Notices {
		key := once{kind: n.Kind, schedule: n.Schedule}
		if n.Kind == pickup.ReviewOtherHospital {
			key.review = n.DueAt
		}
		if seen[key] {
			t.Fatalf("%s fired twice under schedule %d: %+v", n.Kind, n.Schedule, task.Notices)
		}
		seen[key] = true
		if n.FiredAt.Before(n.DueAt) || !n.WithdrawnAt.IsZero() && n.WithdrawnAt.Before(n.FiredAt) {
			t.Fatalf("early, or withdrawn before it fired: %+v", n)
		}
	}
	if task.Met && (task.Ending != pickup.EndingAssessed && task.Ending != pickup.EndingReviewed || !task.CompletedAt.Before(task.DueAt)) {
		t.Fatalf("met by %q at %s, due at %s", task.Ending, task.CompletedAt, task.DueAt)
	}
	if task.Worker != "" && task.ProposedTeam == task.Team && task.Team != "" {
		t.Fatalf("the team that has the task is proposed: %+v", task)
	}
	if task.Inputs.Spell.Death == pickup.DeathDied && task.Contact != pickup.ContactStopped {
		t.Fatalf("the person has died, and contact is %s", task.Contact)
	}
}

func stored(t *rapid.T, task pickup.Task) string {
	raw, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
