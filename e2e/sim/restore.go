package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/restore"
)

// restored is a database that is put back to an earlier point, as an operator does it: all instances are stopped, the backup is brought in,
// the restore is declared, the service starts and takes over, the hospitals send again, and somebody says so.
type restored struct {
	w                 *world
	service           string // empty: this seed has none
	backupAt, backAt  int    // turns
	turns             int
	backup            time.Time
	done, replayIsDue bool
	// spoilt are spells about which people did something between the backup and the restore. What they did may be lost, and what
	// they do later goes by it.
	spoilt map[string]bool
}

var restoredFaults = map[string]Fault{
	"discharge-hub": restoredHub, "community-pickup": restoredPickup, "light-touch-assessment": restoredAssessment, "reablement-capacity": restoredReablement,
}

func planRestore(w *world) *restored {
	r := &restored{w: w, spoilt: map[string]bool{}}
	if !w.has(olderBackup) {
		return r
	}
	w.acts(olderBackup)
	r.service = serviceNames[w.rng.IntN(len(serviceNames))]
	r.backupAt = w.rng.IntN(300 + w.more(300))
	r.backAt = r.backupAt + 20 + w.rng.IntN(200+w.more(300))
	return r
}

// mindsClock reports whether the hub's clock is ahead in a seed that restores the hub. What is written resource by resource then counts as
// recorded at that time; after the restore it is sent again and recorded earlier, and the hub would wait for the rest until that time comes.
func (r *restored) mindsClock() bool {
	return r.service == "discharge-hub" && slices.ContainsFunc(r.w.nodes, func(n *node) bool { return n.service == r.service && n.skew > 0 })
}

func (r *restored) over() bool { return r.service == "" || r.done }

// spoils notes that somebody does something about a spell.
func (r *restored) spoils(spell string) {
	if !r.backup.IsZero() && !r.done && r.service != "discharge-hub" {
		r.spoilt[spell] = true
	}
}

// turn takes the backup, or brings it in, when its time has come.
func (r *restored) turn() {
	if r.over() {
		return
	}
	r.turns++
	w := r.w
	switch {
	case r.backup.IsZero() && r.turns >= r.backupAt:
		if err := w.db.keep(w.ctx, r.service); err != nil {
			w.fail("back %s up: %v", r.service, err)
		}
		r.backup = w.now()
		for spell := range w.staff.about { // what somebody is in the middle of may be done after the backup
			r.spoils(spell)
		}
		w.tell("%s is backed up", r.service)
	case !r.backup.IsZero() && r.turns >= r.backAt && !w.anyBlocked():
		r.bring()
	}
}

// anyBlocked reports whether a statement waits for a lock: it would outlive its process.
func (w *world) anyBlocked() bool {
	return slices.ContainsFunc(w.sched.flows, func(f *flow) bool { return f.state == blocked })
}

func (r *restored) bring() {
	w := r.w
	r.done = true
	w.wards.look() // at what they were told before it is taken back
	w.engine.look()
	w.faults.happened(restoredFaults[r.service])
	w.tell("fault: %s", restoredFaults[r.service])
	skewed := false
	var one *node
	for _, n := range w.nodes {
		if n.service == r.service {
			if n.proc != nil {
				w.crash(n.proc)
			}
			one = n
			skewed = skewed || n.skewed
		}
	}
	if err := w.db.bringBack(w.ctx, r.service); err != nil {
		w.fail("restore %s: %v", r.service, err)
		return
	}
	maps.DeleteFunc(w.courier.applied, func(a applier, _ event.Event) bool { return a.service == r.service }) // it has forgotten what it acknowledged
	gap, _, err := restore.Declare(w.ctx, one.db, w.now())
	if err != nil {
		w.fail("declare the restore of %s: %v", r.service, err)
		return
	}
	from, to := gap.Gap()
	if !skewed && (from.After(r.backup) || to.Before(w.now())) {
		w.fail("the restore of %s tells of a gap from %s to %s, and it was from %s to %s", r.service, from, to, r.backup, w.now())
	}
	switch r.service {
	case "discharge-hub":
		r.replayIsDue = true
		w.door.forget(r.backup)
		for _, d := range w.desks {
			d.sendAgain(r.backup)
		}
		for i, m := range w.told {
			if !w.acceptedAt[i].Before(r.backup) {
				h := w.hospitals[w.rng.IntN(len(w.hospitals))]
				h.queue = append(h.queue, m)
			}
		}
	case "reablement-capacity":
		w.staff.capacities = nil
	}
}

// replayed says, once all was sent again and interpreted, that it was.
func (r *restored) replayed() {
	w := r.w
	if !r.replayIsDue {
		return
	}
	var pending int
	if err := w.db.admin.QueryRow(w.ctx, `SELECT count(*) FROM discharge_hub.inbound_pending`).Scan(&pending); err != nil || pending > 0 {
		return
	}
	missing, err := dischargehub.Replayed(w.ctx, w.nodes[0].db, w.settings.feeds, w.now())
	switch {
	case err != nil:
		w.tellDetail("replayed: ", err.Error())
	case len(missing) > 0:
		w.tell("replayed: %d spells still miss something", len(missing))
	default:
		r.replayIsDue = false
		w.tell("replayed")
	}
}

// left says what a restore has left undone.
func (r *restored) left() string {
	if r.replayIsDue {
		return "the gap of the restore is not closed"
	}
	return ""
}

// copies is the schema that holds the backup of a service's tables.
func (s *schema) copies() string { return s.name + "_backup" }

// sequencesTable holds the values of the sequences beside the copies.
const sequencesTable = "sequences_of_backup"

func backupSQL(s *schema) string {
	var sql strings.Builder
	fmt.Fprintf(&sql, "BEGIN ISOLATION LEVEL REPEATABLE READ; CREATE SCHEMA IF NOT EXISTS %s;", s.copies())
	for _, t := range s.tables {
		fmt.Fprintf(&sql, "CREATE TABLE IF NOT EXISTS %[1]s.%[3]s (LIKE %[2]s.%[3]s); DELETE FROM %[1]s.%[3]s; INSERT INTO %[1]s.%[3]s SELECT * FROM %[2]s.%[3]s;",
			s.copies(), s.name, t)
	}
	fmt.Fprintf(&sql, "CREATE TABLE IF NOT EXISTS %[1]s.%[2]s (name text, value bigint, called boolean); DELETE FROM %[1]s.%[2]s;", s.copies(), sequencesTable)
	for _, seq := range s.sequences {
		fmt.Fprintf(&sql, "INSERT INTO %[1]s.%[2]s SELECT '%[3]s.%[4]s', last_value, is_called FROM %[3]s.%[4]s;", s.copies(), sequencesTable, s.name, seq)
	}
	sql.WriteString("COMMIT")
	return sql.String()
}

func restoreSQL(s *schema) string {
	var sql strings.Builder
	sql.WriteString("BEGIN; SET LOCAL session_replication_role = replica;")
	for _, t := range s.tables {
		fmt.Fprintf(&sql, "DELETE FROM %[2]s.%[3]s; INSERT INTO %[2]s.%[3]s OVERRIDING SYSTEM VALUE SELECT * FROM %[1]s.%[3]s;", s.copies(), s.name, t)
	}
	fmt.Fprintf(&sql, "SELECT setval(name, value, called) FROM %s.%s; COMMIT", s.copies(), sequencesTable)
	return sql.String()
}
