package sim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/homeward-care/homeward/e2e/hospital"
	"github.com/homeward-care/homeward/e2e/oracle"
)

// desk is where a hospital's record system is worked in: it tells of one person resource by resource. With two clerks each may find that the
// other one has written meanwhile.
type desk struct {
	w       *world
	record  *oracle.Record
	clerks  []*clerk
	left    int            // what the clerks are still to do
	orders  int            // that were given a number
	written []*order       // what was stored, in the order in which that was answered
	refused []*order       // because another one came before
	reads   []readBack     // what was read
	subject oracle.Subject // the Patient as it stands, where one clerk knows
}

// clerk has one request on the way at a time.
type clerk struct {
	*desk
	name  string
	busy  bool
	wait  int // not before that step
	todo  []*order
	known map[string]int    // versions that the clerk has seen, by type
	at    map[string]string // where they are
}

// order is a request of a clerk: a write, or, without an id, a read of the type's resource.
type order struct {
	hospital.FHIRRequest
	oracle.Write
	ifVersion  int // the version that it may replace; 0 for any
	version    int // that it was answered with
	answeredAt time.Time
	least      int // of a read: the version that had been answered before it was sent
}

// readBack is a version as it was read.
type readBack struct {
	typ, body string
	version   int
}

// openDesks lets some people be told of resource by resource. After a restore of the hub one clerk sends all in the same order again; of two
// nobody could say what the other one knew.
func (w *world) openDesks() {
	for n := range 1 + w.more(3) {
		d := &desk{w: w, record: oracle.NewRecord(w.rng, n, w.now()), left: 4 + w.rng.IntN(5)}
		clerks := 1
		if w.restore.service != "discharge-hub" {
			clerks += w.rng.IntN(2)
		}
		for i := range clerks {
			d.clerks = append(d.clerks, &clerk{desk: d, name: fmt.Sprintf("clerk %d of %s", i+1, d.record.Key), known: map[string]int{}, at: map[string]string{}})
		}
		w.desks = append(w.desks, d)
		w.stays = append(w.stays, d.record.Stay)
	}
}

// open reports whether something is still to be sent or answered.
func (d *desk) open() bool {
	return d.left > 0 || slices.ContainsFunc(d.clerks, func(c *clerk) bool { return c.busy || len(c.todo) > 0 })
}

func (c *clerk) ready() bool {
	return !c.busy && (len(c.todo) > 0 || c.left > 0) && c.wait <= c.w.sched.steps && c.w.door.free() && !c.w.restore.mindsClock()
}

// act sends what is to be sent, or decides on something new.
func (c *clerk) act() {
	w := c.w
	w.acts(clerks)
	if len(c.todo) == 0 {
		c.left--
		c.todo = []*order{c.decide()}
	}
	o := c.todo[0]
	if o.ID == "" {
		o.least = c.newest(o.Type)
	}
	c.busy = true
	if !w.door.ask(c.name, o.FHIRRequest, func(a fhirAnswer) { c.answered(o, a) }) {
		c.busy, c.wait = false, w.sched.steps+10
	}
}

// newest is the newest version that somebody was answered with.
func (d *desk) newest(typ string) (version int) {
	for _, o := range d.written {
		if o.Type == typ {
			version = max(version, o.version)
		}
	}
	return version
}

// decide makes up the next request.
func (c *clerk) decide() *order {
	write := c.record.Next(c.subject, c.w.now(), false)
	if c.w.rng.IntN(5) == 0 && c.at[write.Type] != "" {
		return c.read(write.Type)
	}
	return c.order(write)
}

func (c *clerk) read(typ string) *order {
	return &order{FHIRRequest: hospital.FHIRRequest{Method: http.MethodGet, Path: c.at[typ]}, Write: oracle.Write{Type: typ}}
}

// order numbers a write.
func (c *clerk) order(write oracle.Write) *order {
	c.orders++
	o := &order{Write: write}
	o.FHIRRequest, o.ifVersion = write.By(c.w.rng, fmt.Sprintf("%s-%d", c.record.Key, c.orders), c.at[write.Type], c.known[write.Type])
	return o
}

// answered goes by what was answered.
func (c *clerk) answered(o *order, a fhirAnswer) {
	w := c.w
	c.busy = false
	w.tell("%s: %s %s %s %s is answered %d %s", c.name, o.Method, o.Path, o.Status, o.ID, a.status, a.etag)
	switch {
	case a.ok():
		c.todo = c.todo[1:]
		c.understand(o, a)
	case a.status == 0, a.status >= http.StatusInternalServerError,
		a.status == http.StatusUnprocessableEntity && w.least < 0: // a discharge that is a day ahead of a clock that is behind
		c.wait = w.sched.steps + w.rng.IntN(30)
	case len(c.clerks) == 2 && (a.status == http.StatusConflict || a.status == http.StatusPreconditionFailed):
		w.faults.happened(fhirOvertaken)
		c.refused = append(c.refused, o)
		c.todo = c.todo[1:]
		if c.at[o.Type] != "" {
			c.todo = append(c.todo, c.read(o.Type))
		}
	default:
		w.fail("%s: %s %s %s is answered %d %s", c.name, o.Method, o.Path, o.ID, a.status, a.body)
		c.todo = c.todo[1:]
	}
}

// understand learns from an answer which version is there.
func (c *clerk) understand(o *order, a fhirAnswer) {
	version, err := hospital.Version(a.etag)
	if err != nil {
		c.w.fail("%s: %s %s is answered %d with the ETag %q", c.name, o.Method, o.Path, a.status, a.etag)
		return
	}
	c.known[o.Type] = version
	if o.ID == "" {
		if version < o.least {
			c.w.fail("%s reads version %d of %s, and version %d was answered before", c.name, version, o.Path, o.least)
		}
		c.reads = append(c.reads, readBack{o.Type, a.body, version})
		return
	}
	c.at[o.Type] = a.location
	if o.IfNoneExist != "" && a.status == http.StatusOK {
		return // it was there, and stays as it is
	}
	if o.Type == "Patient" && len(c.clerks) == 1 {
		c.subject = oracle.Subject{Reference: strings.TrimPrefix(a.location, "/fhir/"), Patient: o.Write}
	}
	o.version, o.answeredAt = version, c.w.now()
	c.written = append(c.written, o)
}

// closeDesks lets the clerks wait for what they have not been answered.
func (w *world) closeDesks() {
	for _, d := range w.desks {
		d.left = 0
		for _, c := range d.clerks {
			for tries := 0; len(c.todo) > 0 && len(w.violations) == 0; tries++ {
				if c.act(); tries == 20 {
					w.fail("%s is not answered", c.name)
				}
				w.finish()
				w.pass(time.Second)
				w.round() // it may have to take over first
			}
		}
	}
}

// sendAgain is after a restore of the hub: everything since the backup is sent again, in the order in which it was answered.
func (d *desk) sendAgain(backup time.Time) {
	since := slices.IndexFunc(d.written, func(o *order) bool { return !o.answeredAt.Before(backup) })
	if since < 0 {
		return
	}
	c := d.clerks[0]
	c.todo = slices.Concat(d.written[since:], slices.DeleteFunc(slices.Clone(c.todo), func(o *order) bool { return o.ID == "" }))
	d.written = d.written[:since]
}

func (d *desk) busy() bool {
	return slices.ContainsFunc(d.clerks, func(c *clerk) bool { return c.busy })
}
