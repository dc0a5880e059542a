package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/homeward-care/homeward/e2e/oracle"
)

// world is everything in one seed.
type world struct {
	ctx       context.Context
	rng       *rand.Rand
	db        *database
	sched     *scheduler
	courier   *courier
	faults    *faults
	settings  settings
	roughness float64 // how often things go wrong, 1 on average
	swarm     swarm
	services  []string      // that run
	acted     map[Actor]int // how often each did something

	clock     time.Time // what time it really is
	startedAt time.Time
	// How far a clock was behind and ahead at the most.
	least, most time.Duration
	elapsed     time.Duration // since the world began
	nodes       []*node

	stays []oracle.Stay
	told  []oracle.Told // what was accepted
	// acceptedAt is when, in the order of told.
	acceptedAt []time.Time
	hospitals  []*sender
	desks      []*desk
	door       *door
	wards      *wards
	engine     *engine
	staff      *staff
	restore    *restored

	story      []string
	violations []string
	spells     int // as the oracle counts them
}

func (w *world) now() time.Time { return w.clock.Truncate(time.Microsecond) }

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	w.clock = w.clock.Add(d)
	w.elapsed += d
}

// tell adds a line to the story.
func (w *world) tell(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	w.tellDetail(line, "")
}

// tellDetail adds a line of which a part is not the same each time, like the words in which a driver reports a lost connection.
func (w *world) tellDetail(line, detail string) {
	w.story = append(w.story, fmt.Sprintf("%5d %s  %s%s", w.sched.steps, w.clock.UTC().Format("01-02 15:04:05.000"), line, detail))
	fmt.Fprintln(w.sched.hash, line)
}

// fail records a violation.
func (w *world) fail(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

const (
	// leastSpells, leastFaults and leastStatements are what a seed has at least; it goes on until it has them.
	leastSpells     = 10
	leastFaults     = 3
	leastStatements = 300
	// mostSteps ends the part of a seed in which things go wrong.
	mostSteps = 4000
)

// live is the part of a seed in which hospitals send, people work and things go wrong.
func (w *world) live() {
	w.faults.on, w.faults.refusing = true, true
	for turn := 0; turn < mostSteps && len(w.violations) == 0; turn++ {
		if w.allSent() && w.faults.total() >= leastFaults && w.sched.statements >= leastStatements && w.staff.done() && w.restore.over() {
			return
		}
		w.pass(time.Duration(w.rng.IntN(40)) * time.Millisecond)
		w.disturb()
		w.restore.turn()
		w.recover()
		w.turn()
	}
}

// turn lets one flow go on, or begins another one.
func (w *world) turn() {
	type choice struct {
		weight float64
		do     func()
	}
	var choices []choice
	for _, f := range w.sched.flows {
		if f.state == waiting && f.until <= w.sched.steps && !w.paused(f.proc) {
			choices = append(choices, choice{3, func() { w.step(f) }})
		}
	}
	for _, n := range w.nodes {
		if n.proc == nil || w.paused(n.proc) {
			continue
		}
		for _, k := range n.proc.active() {
			if k.busy || k.lagUntil > w.sched.steps {
				continue
			}
			weight := 0.0
			switch {
			case k.woken():
				weight = 1
			case !w.clock.Before(k.next):
				weight = 0.03
			default:
				continue
			}
			choices = append(choices, choice{weight, func() {
				select {
				case <-k.loop.Wake:
				default:
				}
				k.begin()
			}})
		}
	}
	for _, h := range w.hospitals {
		if h.ready() {
			choices = append(choices, choice{0.7, h.send})
		}
	}
	for _, d := range w.desks {
		for _, c := range d.clerks {
			if c.ready() {
				choices = append(choices, choice{0.5, c.act})
			}
		}
	}
	if w.staff.ready() {
		choices = append(choices, choice{0.5, w.staff.act})
	}
	if len(w.staff.errands) > 0 {
		choices = append(choices, choice{3, w.staff.run})
	}
	total := 0.0
	for _, c := range choices {
		total += c.weight
	}
	if total < 0.3 { // nothing of importance: time passes
		w.pass(time.Duration(w.rng.IntN(1500)) * time.Millisecond)
		w.sched.steps++
	}
	at := w.rng.Float64() * total
	for _, c := range choices {
		if at -= c.weight; at < 0 {
			c.do()
			return
		}
	}
}

func (w *world) paused(p *process) bool { return p != nil && p.node.pausedUntil > w.sched.steps }

// recover starts what was down for long enough, and sets clocks right.
func (w *world) recover() {
	for _, n := range w.nodes {
		if n.skew != 0 && n.skewUntil <= w.sched.steps {
			n.skew = 0
		}
		if n.proc == nil && n.downUntil <= w.sched.steps {
			if err := n.start(); err != nil {
				w.fail("start %s: %v", n.name, err)
			}
		}
	}
}

func (w *world) allSent() bool {
	return !slices.ContainsFunc(w.hospitals, func(h *sender) bool { return h.busy || len(h.queue) > 0 }) && !slices.ContainsFunc(w.desks, (*desk).open)
}

// finish lets every flow that has begun come to its end.
func (w *world) finish() {
	for range 100_000 {
		var ready []*flow
		for _, f := range w.sched.flows {
			if f.state == waiting {
				ready = append(ready, f)
			}
		}
		if len(ready) == 0 {
			if len(w.sched.flows) > 0 {
				w.fail("%s is blocked and nobody holds the lock", w.sched.flows[0].name)
			}
			return
		}
		w.step(ready[w.rng.IntN(len(ready))])
	}
	w.fail("flows go on without end")
}

// round lets every worker whose time has come make its steps until it finds nothing more to do.
func (w *world) round() {
	for _, n := range w.nodes {
		if n.proc == nil {
			continue
		}
		for _, k := range n.proc.active() {
			if k.woken() || !w.clock.Before(k.next) {
				w.work(k)
			}
		}
	}
}

// work makes a worker's steps until it finds nothing to do.
func (w *world) work(k *worker) {
	for range 50 {
		if k.busy || k.proc.dead.Load() {
			return
		}
		select {
		case <-k.loop.Wake:
		default:
		}
		k.begin()
		w.finish()
		if k.next.After(w.clock) || k.loop.Poll == 0 {
			return
		}
	}
}

// heal ends everything that goes wrong: what is down starts, what was paused goes on, clocks are right.
func (w *world) heal() {
	w.faults.on = false
	for _, n := range w.nodes {
		n.pausedUntil, n.skew, n.downUntil = 0, 0, 0
	}
	for _, f := range w.sched.flows {
		f.until = 0
	}
	w.finish()
	w.recover()
	w.checkSteps()
}

const (
	// healRounds of healStep are what repair may take: a little over a minute, the promise and one poll of the slowest worker.
	healStep   = 7 * time.Second
	healRounds = 20
)

// settle lets the workers work until the services agree, and each has looked at its deadlines since it started. The longest wait is the hub's, a
// minute until it sends again.
func (w *world) settle() {
	for range healRounds {
		w.pass(healStep)
		w.heed()
		open := w.allOpen()
		w.round()
		w.restore.replayed()
		if open && w.disagreements() == "" {
			return
		}
	}
	w.fail("not repaired after %s: %s", healRounds*healStep, w.disagreements())
}

// heed restarts the services that have asked for it: their clocks are right, and they began with wrong ones.
func (w *world) heed() {
	for _, n := range w.nodes {
		if n.alarmed && n.proc != nil {
			w.crash(n.proc)
			n.alarmed, n.downUntil = false, 0
		}
	}
	w.recover()
}
