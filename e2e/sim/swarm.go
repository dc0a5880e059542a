package sim

import (
	"math/rand/v2"
	"slices"

	"github.com/homeward-care/homeward/e2e/oracle"
)

// A seed that has a little of everything is long, and much in it keeps from happening what else would. So each seed draws what it has: actors,
// triggers of the hospitals' messages, and kinds of faults (Groce, Zhang, Eide, Chen, Regehr: Swarm Testing, ISSTA 2012). Over many seeds
// each meets each; every fullEvery-th seed has all.
const fullEvery = 40

// Actor is somebody who does something in a seed, or a part of it.
type Actor string

// The actors. The two services that care is asked for in run where there is somebody to ask.
const (
	teams       Actor = "people who work on tasks"
	assessors   Actor = "people who assess, and the service of assessments"
	providers   Actor = "people who get reablement, and its service"
	queueStaff  Actor = "people who look into exceptions"
	clerks      Actor = "clerks who write resource by resource"
	messengers  Actor = "hospitals that send messages by FHIR"
	wardsAsk    Actor = "wards that are told how far their handovers are"
	engineAsks  Actor = "an engine to which Tasks are posted"
	goOn        Actor = "messages and people after the first delivery"
	weeksGoBy   Actor = "weeks that go by"
	olderBackup Actor = "a backup that is brought back"
)

// Actors are all, in the order in which they are reported.
var Actors = []Actor{teams, assessors, providers, queueStaff, clerks, messengers, wardsAsk, engineAsks, goOn, weeksGoBy, olderBackup}

// oneIn so many seeds has an actor.
var oneIn = map[Actor]int{
	teams: 4, assessors: 5, providers: 5, queueStaff: 4, clerks: 6, messengers: 4, wardsAsk: 5, engineAsks: 6, goOn: 10, weeksGoBy: 8, olderBackup: 10,
}

// Triggers are the kinds of messages that a seed may be without. Every stay has the others, which admit and discharge.
var Triggers = []string{
	"A02", "A07", "A08", "A11", "A12", "A13", "A15", "A16", "A17", "A18", "A21", "A22", "A23", "A25", "A26", "A28", "A29", "A31", "A34", "A35",
	"A36", "A38", "A40", "A42", "A45", "A47", "A60", revokeMerge,
}

const revokeMerge = "revoke-merge"

// swarm is what a seed has.
type swarm struct {
	full     bool
	actors   map[Actor]bool
	faults   map[Fault]bool
	triggers map[string]bool
}

func drawSwarm(rng *rand.Rand, full bool) swarm {
	s := swarm{full, map[Actor]bool{}, map[Fault]bool{}, map[string]bool{}}
	for _, a := range Actors {
		s.actors[a] = rng.IntN(oneIn[a]) == 0 || full
	}
	if s.actors[teams] { // there are tasks after the first delivery, and others tell of the same people
		s.actors[goOn], s.actors[[]Actor{assessors, providers}[rng.IntN(2)]] = true, true
	}
	if s.actors[providers] { // what is held ends hours later
		s.actors[weeksGoBy] = s.actors[weeksGoBy] || rng.IntN(2) == 0
	}
	if full {
		s.actors[olderBackup] = rng.IntN(2) == 0
	} else if s.actors[olderBackup] { // whoever takes over asks every service
		s.actors[assessors], s.actors[providers] = true, true
	}
	for _, kind := range Faults {
		s.faults[kind] = rng.IntN(2) == 0 || full
	}
	for _, trigger := range Triggers {
		s.triggers[trigger] = rng.IntN(5) < 2 || full
	}
	return s
}

// services are those that run.
func (s swarm) services() []string {
	return slices.DeleteFunc(slices.Clone(serviceNames), func(name string) bool {
		actor, asked := worksAt[name]
		return asked && !s.actors[actor]
	})
}

// worksAt says for whom a service is there; the others always are.
var worksAt = map[string]Actor{"light-touch-assessment": assessors, capacity: providers}

// tells leaves out of a stay what the seed is without. A merge that nobody tells of cannot be taken back.
func (s swarm) tells(stay oracle.Stay) oracle.Stay {
	without := func(m oracle.Told) bool { return slices.Contains(Triggers, m.Kind) && !s.triggers[m.Kind] }
	unmerged := slices.ContainsFunc(stay.Messages, func(m oracle.Told) bool { return m.Prior != "" && without(m) })
	told := slices.DeleteFunc(slices.Clone(stay.Messages), func(m oracle.Told) bool { return without(m) || unmerged && m.Kind == revokeMerge })
	if slices.ContainsFunc(told, func(m oracle.Told) bool { return m.SpellID == stay.SpellID }) {
		stay.Messages = told
	}
	return stay
}

// more is how much more than the least a seed has of something: nothing, but where it has all.
func (w *world) more(most int) int {
	if !w.swarm.full {
		return 0
	}
	return w.rng.IntN(most)
}

// has reports whether the seed has an actor.
func (w *world) has(a Actor) bool { return w.swarm.actors[a] }

// acts counts what an actor does.
func (w *world) acts(a Actor) { w.acted[a]++ }
