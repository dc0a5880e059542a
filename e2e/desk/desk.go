// Package desk is where a hospital's record system is worked in: clerks tell of one person resource by resource at a FHIR door, each with one
// request on the way at a time and one X-Request-ID for it until it is answered. Then it holds what they were answered against what the hub keeps.
package desk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/homeward-care/homeward/e2e/hospital"
	"github.com/homeward-care/homeward/e2e/oracle"
)

// Desk tells of one person. With two clerks each may find that the other one has written meanwhile.
type Desk struct {
	Record *oracle.Record
	rng    *rand.Rand
	alone  bool // one clerk works here

	mu       sync.Mutex
	orders   int            // that were given a number
	answered []*order       // writes that were answered with 2xx, in the order in which that came
	refused  []*order       // because another one came before
	reads    []readBack     // what was read
	subject  oracle.Subject // the Patient as it stands, where one clerk knows
	wrong    []string
}

// order is a write, or, without an id, a read of the type's resource.
type order struct {
	hospital.FHIRRequest
	oracle.Write
	ifVersion int // the version that it may replace; 0 for any
	version   int // that it made; 0 where it was there, and stayed
	answer    hospital.FHIRAnswer
	least     int // of a read: the version that had been answered before it was sent
}

// readBack is a version as it was read.
type readBack struct {
	typ, body string
	version   int
}

// clerk remembers what came back.
type clerk struct {
	*Desk
	known map[string]int    // versions that the clerk has seen, by type
	at    map[string]string // where they are
}

// New opens a desk. Whoever works there draws from r alone.
func New(r *rand.Rand, record *oracle.Record) *Desk { return &Desk{Record: record, rng: r} }

// Work lets a clerk at each door make so many requests, and tells of the stay at least once. Now and then one that was answered is sent again. The
// error is of a request that was refused for no reason, or of ctx.
func (d *Desk) Work(ctx context.Context, requests int, doors ...*hospital.FHIR) error {
	d.alone = len(doors) == 1
	failed := make([]error, len(doors))
	var work sync.WaitGroup
	for i, door := range doors {
		work.Go(func() {
			c := &clerk{d, map[string]int{}, map[string]string{}}
			for n := 0; n < requests && failed[i] == nil; n++ {
				failed[i] = c.ask(ctx, door, c.decide())
				if again := c.again(); again != nil && failed[i] == nil {
					failed[i] = d.repeat(ctx, door, again)
				}
			}
		})
	}
	work.Wait()
	return errors.Join(failed...)
}

// Done counts the writes that were answered with 2xx, and those that came after another one.
func (d *Desk) Done() (answered, overtaken int) { return len(d.answered), len(d.refused) }

// Repeat sends everything that was answered with 2xx once more.
func (d *Desk) Repeat(ctx context.Context, door *hospital.FHIR) error {
	for _, o := range d.answered {
		if err := d.repeat(ctx, door, o); err != nil {
			return err
		}
	}
	return nil
}

// repeat sends a request again: the answer is the one that was given before.
func (d *Desk) repeat(ctx context.Context, door *hospital.FHIR, o *order) error {
	a, err := door.Send(ctx, o.FHIRRequest)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil || !reflect.DeepEqual(a, o.answer) {
		d.complain("FHIR request %s was answered %d %s %s, and is then answered %d %s %s", o.ID, o.answer.Status, o.answer.ETag, o.answer.Body, a.Status, a.ETag, a.Body)
	}
	return nil
}

func (d *Desk) complain(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wrong = append(d.wrong, d.Record.Key+": "+fmt.Sprintf(format, args...))
}

// again is, one time in four, something that was answered.
func (d *Desk) again() *order {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.answered) == 0 || d.rng.IntN(4) > 0 {
		return nil
	}
	return d.answered[d.rng.IntN(len(d.answered))]
}

// decide makes up the next request of a clerk.
func (c *clerk) decide() *order {
	c.mu.Lock()
	defer c.mu.Unlock()
	write := c.Record.Next(c.subject, time.Now(), c.orders == 0)
	if c.at[write.Type] != "" && c.rng.IntN(5) == 0 {
		return c.read(write.Type)
	}
	return c.order(write)
}

// read asks for the type's resource.
func (c *clerk) read(typ string) *order {
	o := &order{FHIRRequest: hospital.FHIRRequest{Method: http.MethodGet, Path: c.at[typ]}, Write: oracle.Write{Type: typ}}
	for _, w := range c.chain(typ) {
		o.least = w.version
	}
	return o
}

// order numbers a write.
func (c *clerk) order(write oracle.Write) *order {
	c.orders++
	o := &order{Write: write}
	o.FHIRRequest, o.ifVersion = write.By(c.rng, fmt.Sprintf("%s-%d", c.Record.Key, c.orders), c.at[write.Type], c.known[write.Type])
	return o
}

// ask sends a request until it is answered, and goes by that. Who was overtaken reads what is there.
func (c *clerk) ask(ctx context.Context, door *hospital.FHIR, o *order) error {
	a, err := door.Send(ctx, o.FHIRRequest)
	c.mu.Lock()
	overtaken := !c.alone && (a.Status == http.StatusConflict || a.Status == http.StatusPreconditionFailed)
	switch {
	case overtaken:
		c.refused = append(c.refused, o)
	case err == nil:
		err = c.understand(o, a)
	}
	c.mu.Unlock()
	if overtaken && c.at[o.Type] != "" {
		return c.ask(ctx, door, c.read(o.Type))
	}
	if overtaken {
		return nil
	}
	return err
}

// understand learns from an answer which version is there.
func (c *clerk) understand(o *order, a hospital.FHIRAnswer) error {
	version, err := hospital.Version(a.ETag)
	if err != nil {
		return fmt.Errorf("%s %s is answered %d with the ETag %q", o.Method, o.Path, a.Status, a.ETag)
	}
	c.known[o.Type] = version
	if o.ID == "" {
		if version < o.least {
			return fmt.Errorf("version %d of %s is read, and version %d was answered before", version, o.Type, o.least)
		}
		c.reads = append(c.reads, readBack{o.Type, string(a.Body), version})
		return nil
	}
	c.at[o.Type], o.answer = a.Location, a
	c.answered = append(c.answered, o)
	if o.IfNoneExist != "" && a.Status == http.StatusOK {
		return nil // it was there, and stays as it is
	}
	o.version = version
	if o.Type == "Patient" && c.alone {
		c.subject = oracle.Subject{Reference: strings.TrimPrefix(a.Location, "/fhir/"), Patient: o.Write}
	}
	return nil
}

// chain are the writes that made versions of a type, by version.
func (d *Desk) chain(typ string) []*order {
	chain := slices.DeleteFunc(slices.Clone(d.answered), func(o *order) bool { return o.Type != typ || o.version == 0 })
	slices.SortStableFunc(chain, func(a, b *order) int { return a.version - b.version })
	return chain
}
