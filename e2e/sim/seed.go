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
		return !told && (strings.Contains(line, " is accepted") || strings.Contains(line, " is acknowledged") || strings.Contains(line, " of the task of "))
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
func (s *Simulator) Close() error { return os.RemoveAll(s.settings.clients) }

// vacuumEvery so many seeds.
const vacuumEvery = 50

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
	if s.seeds++; s.seeds%vacuumEvery == 0 {
		if err := s.db.vacuum(ctx); err != nil {
			return Result{}, err
		}
	}
	w := &world{ctx: ctx, rng: rand.New(rand.NewPCG(seed, 0x686f6d65)), db: s.db, settings: s.settings}
	w.sched = newScheduler(s.db)
	s.watched.s = w.sched
	w.sched.trace = s.Trace
	w.faults = &faults{world: w, count: map[Fault]int{}}
	w.courier = newCourier(w.rng, w.faults)
	w.wards = &wards{w: w, told: w.rng.IntN(2) == 0, accepted: map[string][]hospital.Answer{}, known: map[string]bool{}}
	if w.wards.told {
		w.settings.feeds = withWards(w.settings.feeds)
	}
	w.engine = &engine{w: w, came: map[delivery]string{}, newest: map[string]fhirTask{}, attempts: map[string]map[string]int{}}
	if w.rng.IntN(2) == 0 {
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
	if len(w.violations) == 0 { // what was delivered can be worked on
		w.tell("people go on")
		w.staff.left = 20 + w.rng.IntN(20)
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
	if len(w.violations) == 0 {
		w.weeks()
	}
	w.tell("the weeks are over")
	w.toldOut()
	w.check()
	for _, n := range w.nodes {
		if n.proc != nil {
			n.proc.svc.Close()
		}
	}
	r := Result{Seed: seed, TraceHash: hex.EncodeToString(w.sched.hash.Sum(nil)[:8]), Violations: w.violations, Story: w.story,
		Faults: w.faults.count, Spells: len(w.stays), Statements: w.sched.statements, stays: map[string]string{}}
	for _, stay := range w.stays {
		r.Messages += len(stay.Messages)
		if len(stay.Messages) > 0 {
			r.stays[stay.SpellID], _, _ = strings.Cut(stay.Messages[0].ControlID, "-")
		}
	}
	return r, nil
}

// populate makes the people, their stays, and the machines.
func (w *world) populate(s *Simulator) error {
	at := leaving[w.rng.IntN(len(leaving))]
	if at.Month() == time.March || at.Month() == time.October {
		w.faults.happened(clockChange)
	}
	var first time.Time
	var last time.Time
	for n := range 10 + w.rng.IntN(3) {
		stay := oracle.NewStay(w.rng, n, at.Add(time.Duration(w.rng.IntN(7*24*60)-3*24*60)*time.Minute))
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
		if w.rng.IntN(3) == 0 { // as far as FHIR says the same
			w.stays[i] = w.stays[i].ByFHIR(w.now())
		}
	}
	w.share()
	w.restore = planRestore(w)
	w.openDesks()
	w.staff = &staff{w: w, about: map[string]int{}, left: 8 + w.rng.IntN(16), commands: map[string][]*command{}, acted: map[string][]oracle.Acted{}, queueWork: newQueueWork()}
	for _, name := range serviceNames {
		replicas := 1
		if w.rng.IntN(3) == 0 {
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
		if i < len(all)*2/3 {
			h.queue = append(h.queue, m)
		} else {
			h.later = append(h.later, m)
		}
	}
}

// Total is what many seeds came to.
type Total struct {
	Seeds, Spells, Messages, Statements int
	Faults                              map[Fault]int
}

// Add adds a seed.
func (t *Total) Add(r Result) {
	t.Seeds++
	t.Spells += r.Spells
	t.Messages += r.Messages
	t.Statements += r.Statements
	for kind, n := range r.Faults {
		t.Faults[kind] += n
	}
}

// Missing are the kinds of faults that never happened: a run proves nothing about them.
func (t Total) Missing() (kinds []Fault) {
	for _, kind := range Faults {
		if t.Faults[kind] == 0 {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// String is a table.
func (t Total) String() string {
	var b strings.Builder
	sum := 0
	for _, kind := range Faults {
		fmt.Fprintf(&b, "%8d  %s\n", t.Faults[kind], kind)
		sum += t.Faults[kind]
	}
	fmt.Fprintf(&b, "%d seeds, %d spells, %d messages, %d statements, %d faults", t.Seeds, t.Spells, t.Messages, t.Statements, sum)
	return b.String()
}
