package pickup_test

import (
	"testing"

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

// decided is what must not depend on the order in which snapshots came.
func decided(t pickup.Task) map[string]any {
	return map[string]any{
		"task": t.TaskID, "outcome": t.Outcome, "reason": t.Reason, "text": t.ReasonText, "team": t.Team, "route": t.Route,
		"discharged": t.DischargedOn, "due": t.DueOn, "due at": t.DueAt, "due reason": t.DueReason, "contact by": t.FirstContactBy,
		"priority": t.Priority, "priority reasons": t.PriorityReasons, "contact": t.Contact, "progress": t.Progress, "flags": t.Flags,
	}
}
