package sim

import (
	"context"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/homeward-care/homeward/e2e/oracle"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	dischargehub "github.com/homeward-care/homeward/services/discharge-hub"
	"github.com/homeward-care/homeward/services/kit/event"
)

// A lock that is missing shows where two are at one thing at once. Left to chance that is seldom: so people turn to where somebody else is busy or
// something is about to be told, and who has read something may think about it until there is news of it.

// news is what a service has just been told of a spell and is about to apply.
type news struct{ service, spell string }

// think lets somebody who has read what a service knows of a spell wait for news of it there, for a while.
func (s *staff) think(ctx context.Context, service, spell string) {
	if w := s.w; w.rng.IntN(2) == 0 {
		fr := frameOf(ctx)
		fr.flow.until, fr.flow.awaits = w.sched.steps+100+w.rng.IntN(200), news{service, spell}
		w.sched.reach(fr, point{thinking, "think"})
	}
}

// meet lets those go on who wait for the news, and now and then brings somebody in. The worker that has the news is then a little slow.
func (w *world) meet(worker *flow, n news, e event.Event) {
	slow := 1 // steps
	for _, f := range w.sched.flows {
		if f.awaits == n {
			f.until, f.awaits, slow = 0, news{}, 15
		}
	}
	if w.faults.on && w.rng.IntN(2) == 0 {
		switch {
		case !w.has(actsAt[n.service]):
		case n.service == "community-pickup" && e.Type != dischargehub.SpellType: // while a spell itself is news, nobody could say which state somebody saw
			w.staff.errands, slow = append(w.staff.errands, n), 45
		case n.service != "community-pickup" && e.Type == dischargehub.SpellType && endsSpell(e): // this may be the last that is told, and nothing repairs what it misses
			w.staff.errands = append(w.staff.errands, n)
		}
	}
	if worker != nil {
		worker.until = max(worker.until, w.sched.steps+w.rng.IntN(slow))
	}
}

// actsAt says who might come to a service.
var actsAt = map[string]Actor{"community-pickup": teams, "light-touch-assessment": assessors, capacity: providers}

func endsSpell(e event.Event) bool {
	var spell dischargev1.Spell
	err := proto.Unmarshal(e.Data, &spell)
	return err == nil && (spell.GetStatus() == dischargev1.SpellStatus_SPELL_STATUS_VOIDED || spell.GetDeath() == dischargev1.Death_DEATH_DIED)
}

// run lets somebody run an errand at a service that has just been told something.
func (s *staff) run() {
	n := s.errands[0]
	s.errands = s.errands[1:]
	s.turnTo(n.spell, func(ctx context.Context, _ *flow, subject string) {
		switch n.service {
		case "community-pickup":
			s.work(ctx, subject, n.spell)
		case "light-touch-assessment":
			s.requestAssessment(ctx, n.spell)
		case capacity:
			s.requestReablement(ctx, n.spell)
		}
	})
}

// busyStays have as much of people's attention as all stays together, so that one does after another what a task needs.
const busyStays = 3

// choose returns the stay that somebody turns to: one with which somebody is busy, one that is about to be told of, or any.
func (s *staff) choose() oracle.Stay {
	w := s.w
	var spells []string
	switch busy := slices.Sorted(maps.Keys(s.about)); w.rng.IntN(4) {
	case 0:
		if len(busy) > 0 {
			spells = busy[w.rng.IntN(len(busy)):]
		}
	case 1:
		if h := w.hospitals[w.rng.IntN(len(w.hospitals))]; len(h.queue) > 0 {
			spells = h.queue[0].SpellIDs()
		}
	}
	for _, stay := range w.stays {
		if len(spells) > 0 && stay.SpellID == spells[0] {
			return stay
		}
	}
	return w.stays[w.rng.IntN([]int{busyStays, len(w.stays)}[w.rng.IntN(2)])]
}
