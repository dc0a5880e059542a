package sim

import (
	"fmt"
	"strings"
)

// Total is what many seeds came to.
type Total struct {
	Seeds, Spells, Messages, Statements int
	Faults                              map[Fault]int
	Actors                              map[Actor]int
	Triggers                            map[string]int
}

// NewTotal is that of no seeds.
func NewTotal() Total {
	return Total{Faults: map[Fault]int{}, Actors: map[Actor]int{}, Triggers: map[string]int{}}
}

// Add adds a seed.
func (t *Total) Add(r Result) {
	t.Seeds++
	t.Spells += r.Spells
	t.Messages += r.Messages
	t.Statements += r.Statements
	sum(t.Faults, r.Faults)
	sum(t.Actors, r.Actors)
	sum(t.Triggers, r.Triggers)
}

func sum[K comparable](all, more map[K]int) {
	for k, n := range more {
		all[k] += n
	}
}

// enough seeds have everything: what one seed is without, others have.
const enough = 150

// Missing is what never happened in a run of enough seeds: it proves nothing about that.
func (t Total) Missing() (never []string) {
	if t.Seeds < enough {
		return nil
	}
	for _, kind := range Faults {
		if t.Faults[kind] == 0 {
			never = append(never, string(kind))
		}
	}
	for _, a := range Actors {
		if t.Actors[a] == 0 {
			never = append(never, string(a))
		}
	}
	for _, trigger := range Triggers {
		if t.Triggers[trigger] == 0 {
			never = append(never, trigger)
		}
	}
	return never
}

// String is a table.
func (t Total) String() string {
	var b strings.Builder
	faults := 0
	for _, kind := range Faults {
		fmt.Fprintf(&b, "%8d  %s\n", t.Faults[kind], kind)
		faults += t.Faults[kind]
	}
	for _, a := range Actors {
		fmt.Fprintf(&b, "%8d  %s\n", t.Actors[a], a)
	}
	for _, trigger := range Triggers {
		fmt.Fprintf(&b, "%8d  %s\n", t.Triggers[trigger], trigger)
	}
	fmt.Fprintf(&b, "%d seeds, %d spells, %d messages, %d statements, %d faults", t.Seeds, t.Spells, t.Messages, t.Statements, faults)
	return b.String()
}
