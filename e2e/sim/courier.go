package sim

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/homeward-care/homeward/services/kit/bus"
	"github.com/homeward-care/homeward/services/kit/event"
)

// courier is a model of JetStream with every defect that the real one was seen to have: it loses what it acknowledged, all of it at times;
// it stores and brings twice, out of order, and again after an acknowledgement.
type courier struct {
	rng     *rand.Rand
	faults  *faults
	streams map[string]*stream
	// taken are the newest versions that publishers were told are stored, applied those that consumers acknowledged.
	taken   map[aggregate]event.Event
	applied map[applier]event.Event
}

// aggregate is whose snapshots follow each other.
type aggregate struct {
	kind string
	id   uuid.UUID
}

// applier is a service that applies the snapshots of an aggregate.
type applier struct {
	service string
	aggregate
}

// keepNewest keeps an event where none that is as new is.
func keepNewest[K comparable](kept map[K]event.Event, k K, e event.Event) {
	if old, ok := kept[k]; !ok || e.NewerThan(old.Epoch, old.Version) {
		kept[k] = e
	}
}

type stream struct {
	messages  []*nats.Msg // nil where one was lost
	consumers map[string]*consumer
}

// consumer is a durable pull consumer: which messages it is still to bring, and which it has brought and nobody has acknowledged.
type consumer struct {
	subjects  string
	next      int
	unacked   map[int]time.Time // by index: when it is brought again
	delivered []int
}

func newCourier(rng *rand.Rand, f *faults) *courier {
	return &courier{rng: rng, faults: f, streams: map[string]*stream{}, taken: map[aggregate]event.Event{}, applied: map[applier]event.Event{}}
}

var (
	errNoStream = jetstream.ErrNoStreamResponse
	errNoAck    = errors.New("simulation: no acknowledgement from JetStream")
)

// store keeps one message, or does what JetStream does instead.
func (c *courier) store(name string, m *nats.Msg) {
	s := c.stream(name)
	switch {
	case c.faults.happens(lostAcknowledged):
		s.messages = append(s.messages, nil)
	case c.faults.happens(storedTwice):
		s.messages = append(s.messages, m, m)
	default:
		s.messages = append(s.messages, m)
	}
}

// stream is made when it is not there, as the bus does.
func (c *courier) stream(name string) *stream {
	s := c.streams[name]
	if s == nil {
		s = &stream{consumers: map[string]*consumer{}}
		c.streams[name] = s
	}
	return s
}

// wipe is the loss of JetStream's files.
func (c *courier) wipe() { c.streams = map[string]*stream{} }

// truncate is what a damaged file leaves: the last messages are gone without a word.
func (c *courier) truncate(name string) {
	if s := c.streams[name]; s != nil && len(s.messages) > 0 {
		keep := c.rng.IntN(len(s.messages))
		for i := keep; i < len(s.messages); i++ {
			s.messages[i] = nil
		}
	}
}

// forgetAcks is a kill of the server right after acknowledgements that it had confirmed.
func (c *courier) forgetAcks(now time.Time) {
	for _, name := range slices.Sorted(maps.Keys(c.streams)) {
		s := c.streams[name]
		for _, who := range slices.Sorted(maps.Keys(s.consumers)) {
			k := s.consumers[who]
			for _, i := range k.delivered {
				k.unacked[i] = now
			}
		}
	}
}

const ackWait = 30 * time.Second

// fetch brings what is there for a durable consumer, at most limit.
func (c *courier) fetch(f *flow, p *process, name, subjects string, limit int) []bus.Delivery {
	s := c.stream(name)
	k := s.consumers[p.node.service+" "+subjects]
	if k == nil {
		k = &consumer{subjects: subjects, unacked: map[int]time.Time{}}
		s.consumers[p.node.service+" "+subjects] = k
	}
	now := c.faults.world.now()
	var take []int
	for _, i := range slices.Sorted(maps.Keys(k.unacked)) {
		if !now.Before(k.unacked[i]) {
			take = append(take, i)
		}
	}
	for k.next < len(s.messages) && len(take) < limit {
		take = append(take, k.next)
		k.next++
	}
	if len(k.delivered) > 0 && c.faults.happens(broughtAfterAck) {
		take = append(take, k.delivered[c.rng.IntN(len(k.delivered))])
	}
	if len(take) > 1 && c.faults.happens(reordered) {
		c.rng.Shuffle(len(take), func(i, j int) { take[i], take[j] = take[j], take[i] })
	}
	if len(take) > 0 && c.faults.happens(broughtTwice) {
		take = append(take, take[c.rng.IntN(len(take))])
	}
	var brought []bus.Delivery
	for _, i := range take {
		m := s.messages[i]
		if m == nil || !strings.HasPrefix(m.Subject, strings.TrimSuffix(subjects, ">")) {
			delete(k.unacked, i)
			continue
		}
		k.unacked[i] = now.Add(ackWait)
		e, err := bus.Decode(m.Header, slices.Clone(m.Data))
		c.faults.world.meet(f, news{p.node.service, e.Key.String()}, e)
		acked := false
		brought = append(brought, bus.Delivery{
			Event: e, Malformed: err, Subject: m.Subject,
			Ack: func() {
				if p.dead.Load() || c.faults.happens(lostAck) {
					return
				}
				acked = true
				delete(k.unacked, i)
				k.delivered = append(k.delivered, i)
				keepNewest(c.applied, applier{p.node.service, aggregate{e.Type, e.ID}}, e)
			},
			Retry: func(after time.Duration) {
				if !p.dead.Load() && !acked {
					k.unacked[i] = c.faults.world.now().Add(after)
				}
			},
		})
	}
	return brought
}

// publisher returns what a process's relay publishes by.
func (p *process) publisher(name string) func(context.Context, []event.Event) []error {
	w := p.node.world
	return func(ctx context.Context, events []event.Event) []error {
		errs := make([]error, len(events))
		fr := frameOf(ctx)
		v := w.sched.reach(fr, point{publishing, "publish " + name})
		stored := len(events)
		switch {
		case v.err != nil:
			stored = 0
		case v.part > 0:
			stored = int(float64(stored) * v.part)
		}
		for i, e := range events {
			switch {
			case i < stored:
				w.courier.store(name, bus.Encode("/homeward/"+p.node.service, e))
				if v.lose {
					errs[i] = errNoAck
				} else {
					keepNewest(w.courier.taken, aggregate{e.Type, e.ID}, e)
				}
			case v.err != nil:
				errs[i] = errNoStream
			default:
				errs[i] = errNoAck
			}
		}
		w.tell("%s publishes %d of %d on %s%s", p.node.name, stored, len(events), name, map[bool]string{true: ", the acknowledgement is lost"}[v.lose])
		return errs
	}
}
