package sim

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/homeward-care/homeward/e2e/hospital"
	"github.com/homeward-care/homeward/e2e/oracle"
	pickupmigrations "github.com/homeward-care/homeward/services/community-pickup/migrations"
	"github.com/homeward-care/homeward/services/community-pickup/places"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/feeds"
	hubmigrations "github.com/homeward-care/homeward/services/discharge-hub/migrations"
	"github.com/homeward-care/homeward/services/kit/pg"
	assessmentmigrations "github.com/homeward-care/homeward/services/light-touch-assessment/migrations"
	reablementmigrations "github.com/homeward-care/homeward/services/reablement-capacity/migrations"
)

// Simulator runs one seed after another on a database of its own.
type Simulator struct {
	db       *database
	settings settings
	pools    map[string]*pg.DB
	watched  *watchFor
	threads  threads
	seeds    int
	// Trace gets every decision of the scheduler, if it is set.
	Trace io.Writer
}

// Result is what a seed came to.
type Result struct {
	Seed                         uint64
	TraceHash                    string
	Violations                   []string
	Story                        []string
	Faults                       map[Fault]int
	Actors                       map[Actor]int
	Triggers                     map[string]int // messages that were accepted
	Spells, Messages, Statements int

	stays map[string]string // by spell, what the control ids of its messages begin with
}

// mostOfStory is how many lines a short story has.
const mostOfStory = 60

// ShortStory is what happened to the spells that a violation names, and what went wrong meanwhile; its end, if it is long.
func (r Result) ShortStory() []string {
	violations := strings.Join(r.Violations, "\n")
	var names []string
	for spell, stay := range r.stays {
		if strings.Contains(violations, spell) {
			names = append(names, spell, stay+"-")
		}
	}
	short := slices.DeleteFunc(slices.Clone(r.Story), func(line string) bool {
		told := slices.ContainsFunc(names, func(name string) bool { return strings.Contains(line, name) })
		return strings.Contains(line, errAway.Error()) || !told && (strings.Contains(line, " is accepted") || strings.Contains(line, " is acknowledged") || strings.Contains(line, " of the task of "))
	})
	return short[max(0, len(short)-mostOfStory):]
}

// Open prepares an empty database, given by its administrator's URL.
func Open(ctx context.Context, url string) (*Simulator, error) {
	place, err := places.Embedded("thurrock")
	if err != nil {
		return nil, err
	}
	list, err := discharge.LoadFeeds(feeds.Files)
	if err != nil {
		return nil, err
	}
	db, err := openDatabase(ctx, url, map[string]fs.FS{
		"discharge-hub": hubmigrations.FS, "community-pickup": pickupmigrations.FS,
		"light-touch-assessment": assessmentmigrations.FS, "reablement-capacity": reablementmigrations.FS,
	})
	if err != nil {
		return nil, err
	}
	clients, err := writeClients()
	if err != nil {
		return nil, err
	}
	verifier, token, err := signIn(clients)
	if err != nil {
		return nil, err
	}
	return &Simulator{db: db, settings: settings{place, list, clients, verifier, token}, pools: map[string]*pg.DB{}, watched: &watchFor{}}, nil
}

// Close removes what the simulator has written beside the database.
func (s *Simulator) Close() error {
	s.threads.end()
	return os.RemoveAll(s.settings.clients)
}

// vacuumEvery so many seeds.
const vacuumEvery = 20

// leaving are days around which people leave hospital: ordinary ones, and both changes of the clocks.
var leaving = []time.Time{
	time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC), time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC), time.Date(2026, 2, 16, 10, 0, 0, 0, time.UTC),
	time.Date(2026, 9, 14, 15, 0, 0, 0, time.UTC), time.Date(2026, 5, 22, 20, 0, 0, 0, time.UTC), time.Date(2026, 12, 23, 23, 30, 0, 0, time.UTC),
}

// Run runs one seed to its end, whatever becomes of ctx: a seed that is cut off would tell of faults that nobody made.
func (s *Simulator) Run(ctx context.Context, seed uint64) (Result, error) {
	ctx = context.WithoutCancel(ctx)
	if err := s.db.empty(ctx); err != nil {
		return Result{}, fmt.Errorf("empty the database: %w", err)
	}
	s.dropDead(ctx)
	if s.seeds++; s.seeds%vacuumEvery == 0 {
		if err := s.db.vacuum(ctx); err != nil {
			return Result{}, err
		}
	}
	w := &world{ctx: ctx, rng: rand.New(rand.NewPCG(seed, 0x686f6d65)), db: s.db, settings: s.settings}
	w.sched = newScheduler(s.db, &s.threads)
	s.watched.s = w.sched
	w.sched.trace = s.Trace
	w.faults = &faults{world: w, count: map[Fault]int{}}
	w.courier = newCourier(w.rng, w.faults)
	w.swarm, w.acted = drawSwarm(w.rng, seed%fullEvery == 0), map[Actor]int{}
	w.services = w.swarm.services()
	w.wards = &wards{w: w, told: w.has(wardsAsk), accepted: map[string][]hospital.Answer{}, known: map[string]bool{}}
	if w.wards.told {
		w.settings.feeds = withWards(w.settings.feeds)
	}
	w.engine = &engine{w: w, came: map[delivery]string{}, newest: map[string]fhirTask{}, attempts: map[string]map[string]int{}}
	if !w.has(engineAsks) {
		w.settings.clients = ""
	}
	w.door = &door{w: w, said: map[string]said{}}
	w.roughness = []float64{0.3, 1, 1, 2.5}[w.rng.IntN(4)]
	if err := w.populate(s); err != nil {
		return Result{}, err
	}
	w.live()
	w.tell("heal")
	w.heal()
	w.closeDesks()
	w.settle()
	if w.has(goOn) && len(w.violations) == 0 { // what was delivered can be worked on
		w.tell("people go on")
		w.acts(goOn)
		w.staff.left = w.staff.willing(20 + w.more(20))
		for _, h := range w.hospitals {
			h.queue, h.later = append(h.queue, h.later...), nil
		}
		w.live()
		w.heal()
		w.settle()
	}
	w.toldOut()
	w.tell("all quiet")
	w.repeatFHIR()
	w.staff.settled = w.now()
	w.staff.judge()
	if w.has(weeksGoBy) && len(w.violations) == 0 {
		w.acts(weeksGoBy)
		w.weeks()
		w.tell("the weeks are over")
	}
	w.toldOut()
	w.check()
	w.checkSize()
	for _, n := range w.nodes {
		if n.proc != nil {
			n.proc.svc.Close()
		}
	}
	r := Result{Seed: seed, TraceHash: hex.EncodeToString(w.sched.hash.Sum(nil)[:8]), Violations: w.violations, Story: w.story,
		Faults: w.faults.count, Actors: w.acted, Triggers: map[string]int{}, Spells: w.spells, Statements: w.sched.statements, stays: map[string]string{}}
	for _, m := range w.told {
		r.Triggers[m.Kind]++
	}
	for _, stay := range w.stays {
		r.Messages += len(stay.Messages)
		if len(stay.Messages) > 0 {
			r.stays[stay.SpellID], _, _ = strings.Cut(stay.Messages[0].ControlID, "-")
		}
	}
	return r, nil
}

// dropDead takes the sessions that ended while nobody used them out of the pools: which of them somebody comes upon would depend on the seeds before.
func (s *Simulator) dropDead(ctx context.Context) {
	for _, db := range s.pools {
		for _, conn := range db.Pool.AcquireAllIdle(ctx) {
			if sessionOf(conn.Conn()).over.Load() {
				_ = conn.Conn().Close(ctx)
			}
			conn.Release()
		}
	}
}

// checkSize holds a seed to what it has at least.
func (w *world) checkSize() {
	if w.spells < leastSpells || w.faults.total() < leastFaults || w.sched.statements < leastStatements {
		w.fail("the seed has %d spells, %d faults and %d statements, must have %d, %d and %d", w.spells, w.faults.total(), w.sched.statements,
			leastSpells, leastFaults, leastStatements)
	}
}

// populate makes the people, their stays, and the machines.
func (w *world) populate(s *Simulator) error {
	at := leaving[w.rng.IntN(len(leaving))]
	if at.Month() == time.March || at.Month() == time.October {
		w.faults.happened(clockChange)
	}
	var first time.Time
	var last time.Time
	for n := range leastSpells + w.more(3) {
		stay := w.swarm.tells(oracle.NewStay(w.rng, n, at.Add(time.Duration(w.rng.IntN(7*24*60)-3*24*60)*time.Minute)))
		w.stays = append(w.stays, stay)
		for _, m := range stay.Messages {
			if first.IsZero() || m.Recorded.Before(first) {
				first = m.Recorded
			}
			if m.Recorded.After(last) {
				last = m.Recorded
			}
		}
	}
	w.clock = last.Add(time.Duration(w.rng.IntN(3600)) * time.Second)
	w.startedAt = w.now()
	for i := range w.stays {
		if w.has(messengers) && w.rng.IntN(3) == 0 { // as far as FHIR says the same
			w.stays[i] = w.stays[i].ByFHIR(w.now())
		}
	}
	w.share()
	w.restore = planRestore(w)
	if w.has(clerks) {
		w.openDesks()
	}
	w.staff = &staff{w: w, about: map[string]int{}, commands: map[string][]*command{}, acted: map[string][]oracle.Acted{}, queueWork: newQueueWork()}
	w.staff.left = w.staff.willing(8 + w.more(16))
	for _, name := range w.services {
		replicas := 1
		if w.swarm.faults[doubledWorker] && w.rng.IntN(3) == 0 {
			replicas = 2
			w.faults.happened(doubledWorker)
		}
		for i := range replicas {
			n := &node{world: w, service: name, name: name}
			if i > 0 {
				n.name += "-2"
			}
			db := s.pools[n.name]
			if db == nil {
				var err error
				if db, err = s.db.open(name, s.watched); err != nil {
					return err
				}
				s.pools[n.name] = db
			}
			n.db = db
			w.nodes = append(w.nodes, n)
			if err := n.start(); err != nil {
				return err
			}
		}
	}
	return nil
}

// share gives the messages to senders: in the order in which they were recorded, or shuffled; some are sent twice. The last third is kept for when
// people work on what came before.
func (w *world) share() {
	var all []oracle.Told
	for _, stay := range w.stays {
		all = append(all, stay.Messages...)
	}
	slices.SortStableFunc(all, func(a, b oracle.Told) int {
		return cmp.Or(a.Recorded.Compare(b.Recorded), cmp.Compare(a.ControlID, b.ControlID))
	})
	if w.rng.IntN(2) == 0 {
		w.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	for i := range 2 { // as many as the hub stores at a time: nobody waits for somebody whom the scheduler does not see
		w.hospitals = append(w.hospitals, &sender{w: w, name: fmt.Sprintf("sender %d", i+1)})
	}
	for i, m := range all {
		h := w.hospitals[w.rng.IntN(len(w.hospitals))]
		if i < len(all)*2/3 || !w.has(goOn) {
			h.queue = append(h.queue, m)
		} else {
			h.later = append(h.later, m)
		}
	}
}
