package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/e2e/oracle"
)

// weeks lets the weeks go by: the sweepers look at every deadline, now and then one is cut off. They look when the oracle says that something is
// due, when the services say so, and at other times: services that believe a deadline to be later than it is are found late.
func (w *world) weeks() {
	untouched := w.untouched()
	w.faults.on = true
	end := w.clock.AddDate(0, 0, 110)
	moments := w.moments(untouched, end)
	stride := []int{24 * 2, 24 * 7, 24 * 21}[w.rng.IntN(3)]
	for range 60 {
		next, ok := w.nextDeadline()
		if i := slices.IndexFunc(moments, w.clock.Before); i >= 0 && (!ok || moments[i].Before(next)) {
			next, ok = moments[i], true
		}
		if !ok || next.After(end) {
			break
		}
		if next.After(w.clock) {
			w.pass(next.Sub(w.clock))
		}
		w.pass(time.Duration(w.rng.IntN([]int{1, stride * 3600}[w.rng.IntN(2)]+1)) * time.Second) // a second is the sweeper's interval
		faults := w.faults.total()
		w.sweep()
		if w.faults.total() == faults && w.allOpen() {
			w.checkPunctual(untouched)
		}
		w.sweepAhead()
	}
	w.heal()
	w.sweep()
	w.settle()
}

// untouched are the spells whose tasks nobody has worked on, as they must be.
func (w *world) untouched() []oracle.Expected {
	w.correctTold()
	return slices.DeleteFunc(oracle.ExpectWith(w.told, w.askCare().known()), func(want oracle.Expected) bool {
		return len(w.staff.acted[want.SpellID]) > 0 || w.restore.spoilt[want.SpellID]
	})
}

// moments are when something is due, in order. Since when a team could take its task is known to be before all was quiet.
func (w *world) moments(spells []oracle.Expected, end time.Time) (all []time.Time) {
	for _, want := range spells {
		for _, n := range oracle.Notices(want, w.staff.settled.Add(w.most), end) {
			all = append(all, n.DueAt)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// allOpen reports whether every process is up and has its doors open.
func (w *world) allOpen() bool {
	return !slices.ContainsFunc(w.nodes, func(n *node) bool { return n.proc == nil || n.proc.closed })
}

// checkPunctual: what is due has fired, and holds that have run out have ended, once every sweeper has looked.
func (w *world) checkPunctual(spells []oracle.Expected) {
	rows, err := w.db.admin.Query(w.ctx, `SELECT id::text, n->>'kind', (n->>'due_at')::timestamptz, n ? 'withdrawn_at'
		FROM community_pickup.task, jsonb_array_elements(task::jsonb->'notices') n`)
	if err != nil {
		w.fail("notices: %v", err)
		return
	}
	fired := map[string][]oracle.SeenNotice{}
	var task string
	var n oracle.SeenNotice
	if _, err := pgx.ForEachRow(rows, []any{&task, &n.Kind, &n.DueAt, &n.Withdrawn}, func() error {
		fired[task] = append(fired[task], n)
		return nil
	}); err != nil {
		w.fail("notices: %v", err)
	}
	for _, want := range spells {
		for _, line := range oracle.Overlooked(want, fired[want.TaskID], w.staff.settled.Add(w.most), w.now()) {
			w.fail("%s", line)
		}
	}
	w.none("holds that did not end in time", fmt.Sprintf(`SELECT count(*) FROM reablement_capacity.need WHERE status = 'held' AND held_until <= '%s'`,
		w.now().Format(time.RFC3339Nano)))
}

// nextDeadline is the earliest one of any task.
func (w *world) nextDeadline() (at time.Time, ok bool) {
	var next *time.Time
	if err := w.db.admin.QueryRow(w.ctx, `SELECT min(next_deadline) FROM community_pickup.task`).Scan(&next); err != nil {
		w.fail("next deadline: %v", err)
		return at, false
	}
	if next == nil {
		return at, false
	}
	return *next, true
}

// sweep lets every sweeper look once, at the same time where a service is doubled.
func (w *world) sweep() {
	for _, n := range w.nodes {
		if n.proc == nil {
			if err := n.start(); err != nil {
				w.fail("start %s: %v", n.name, err)
				return
			}
		}
		if n.proc.closed {
			w.work(n.proc.workers[0])
		}
	}
	for _, n := range w.nodes {
		if n.proc == nil { // it is gone again
			continue
		}
		for _, k := range n.proc.active() {
			if sweeper := k.loop.Name == "sweep deadlines" || k.loop.Name == "sweep slots"; sweeper && !k.busy {
				k.begin()
			}
		}
	}
	w.finish()
	for _, n := range w.nodes {
		if n.proc != nil && w.rng.IntN(3) == 0 {
			for _, k := range n.proc.workers {
				if k.loop.Name == "relay" || strings.HasPrefix(k.loop.Name, "consume") {
					w.work(k)
				}
			}
		}
	}
}

// sweepAhead lets a sweeper that has looked before look again while its clock is ahead: it must not believe it.
func (w *world) sweepAhead() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	if n.service != "community-pickup" || n.proc == nil || !w.swarm.faults[clockAhead] {
		return
	}
	n.skew = 50 * 24 * time.Hour
	w.faults.happened(clockAhead)
	w.tell("fault: %s %s by %s", clockAhead, n.name, n.skew)
	for _, k := range n.proc.workers {
		if k.loop.Name == "sweep deadlines" && !k.busy {
			k.begin()
		}
	}
	w.finish()
	n.skew = 0
	w.checkClocks()
}
