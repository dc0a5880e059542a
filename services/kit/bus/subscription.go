package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/failpoint"
)

// Delivery is one message brought by a subscription.
type Delivery struct {
	Event event.Event
	// Malformed is set when the message is not an event; then Event is not.
	Malformed error
	Subject   string
	// Ack tells the bus that the effect is committed; Retry asks for it again after a while. Both may get lost.
	Ack   func()
	Retry func(after time.Duration)
}

// Subscription is a durable pull consumer, which it creates when it is not there. It is used by one goroutine.
type Subscription struct {
	bus      *Bus
	stream   string
	subjects []string
	flow     *flow // nil until the consumer is there, and when it was lost
}

// flow is a consumer from which the server keeps sending.
type flow struct {
	consuming jetstream.ConsumeContext
	messages  chan jetstream.Msg
	broken    chan error
	dropped   chan struct{} // closed when nobody takes messages any more
}

// Subscribe returns the durable consumer `<service>` of another service's stream. With subjects it brings only those, for instance
// `pickup.task.>`.
func (b *Bus) Subscribe(stream string, subjects ...string) *Subscription {
	return &Subscription{bus: b, stream: stream, subjects: subjects}
}

const (
	// fetchWait is how long Fetch waits for a first message; it bounds how long a stopping service waits for its consumers.
	fetchWait = time.Second
	// inFlight bounds what the server has sent and we have not taken.
	inFlight = 1024
	// pullExpiry and pullHeartbeat bound how long a consumer that is gone goes unnoticed: two heartbeats.
	pullExpiry    = 5 * time.Second
	pullHeartbeat = time.Second
)

// Fetch returns what is there, at most max, waiting up to a second for the first.
func (s *Subscription) Fetch(ctx context.Context, max int) ([]Delivery, error) {
	if !s.bus.conn.IsConnected() {
		return nil, errAway // the client would subscribe for an answer and leave the subscription behind
	}
	if err := s.ensure(ctx); err != nil {
		return nil, err
	}
	wait := time.NewTimer(fetchWait)
	defer wait.Stop()
	select {
	case first := <-s.flow.messages:
		var taken []Delivery
		err := failpoint.Do(ctx, "bus.fetch", func() error { taken = s.take(first, max); return nil })
		if err != nil {
			return nil, err
		}
		return taken, nil
	case err := <-s.flow.broken:
		// What was sent and not taken is sent again after its time.
		close(s.flow.dropped)
		s.flow.consuming.Stop()
		s.flow = nil
		return nil, fmt.Errorf("consume %s: %w", s.stream, err)
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-wait.C:
		return nil, nil
	}
}

// take returns the first message and what has come after it, at most max.
func (s *Subscription) take(first jetstream.Msg, max int) []Delivery {
	taken := []Delivery{delivery(first)}
	for len(taken) < max {
		select {
		case m := <-s.flow.messages:
			taken = append(taken, delivery(m))
		default:
			return taken
		}
	}
	return taken
}

// ensure finds or makes the stream and the durable consumer. The consumer makes the stream too, so that services start in any order.
func (s *Subscription) ensure(ctx context.Context) error {
	if s.flow != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	if err := s.bus.ensureStream(ctx, s.stream); err != nil {
		return err
	}
	c, err := s.bus.js.CreateOrUpdateConsumer(ctx, s.stream, jetstream.ConsumerConfig{
		Durable:        s.bus.name,
		FilterSubjects: s.subjects,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        30 * time.Second,
		// Only our own code gives up on an event, by burying it.
		MaxDeliver:    -1,
		MaxAckPending: 4096,
	})
	if err != nil {
		return fmt.Errorf("create consumer of %s: %w", s.stream, err)
	}
	f := &flow{messages: make(chan jetstream.Msg, inFlight), broken: make(chan error, 1), dropped: make(chan struct{})}
	f.consuming, err = c.Consume(
		func(m jetstream.Msg) {
			select {
			case f.messages <- m:
			case <-f.dropped:
			}
		},
		jetstream.PullMaxMessages(inFlight), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			if missing(err) || errors.Is(err, jetstream.ErrNoHeartbeat) {
				select {
				case f.broken <- err:
				default:
				}
			}
		}))
	if err != nil {
		return fmt.Errorf("consume %s: %w", s.stream, err)
	}
	s.flow = f
	return nil
}

func delivery(m jetstream.Msg) Delivery {
	e, err := Decode(m.Headers(), m.Data())
	return Delivery{
		Event:     e,
		Malformed: err,
		Subject:   m.Subject(),
		// A lost acknowledgement costs a redelivery, which the fence ignores.
		Ack: func() { _ = m.Ack() },
		Retry: func(after time.Duration) {
			if failpoint.Bug("bare-nak") {
				_ = m.Nak()
				return
			}
			_ = m.NakWithDelay(after)
		},
	}
}
