package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/homeward-care/homeward/services/kit/event"
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
	types    []string
	consumer jetstream.Consumer
}

// Subscribe returns the durable consumer `<service>` of another service's stream. With subjects it brings only those, for instance
// `pickup.task.>`.
func (b *Bus) Subscribe(stream string, subjects ...string) *Subscription {
	return &Subscription{bus: b, stream: stream, types: subjects}
}

// fetchWait is how long Fetch waits for a first message; it bounds how long a stopping service waits for its consumers.
const fetchWait = time.Second

// Fetch returns what is there, at most max, waiting up to a second for the first.
func (s *Subscription) Fetch(ctx context.Context, max int) ([]Delivery, error) {
	if !s.bus.conn.IsConnected() {
		return nil, errAway // the client would subscribe for an answer and leave the subscription behind
	}
	if err := s.ensure(ctx); err != nil {
		return nil, err
	}
	first, err := s.take(s.consumer.Fetch(1, jetstream.FetchMaxWait(fetchWait)))
	if err != nil || len(first) == 0 || max == 1 {
		return first, err
	}
	rest, err := s.take(s.consumer.FetchNoWait(max - 1))
	if err != nil {
		// What came first is worth applying; the error will come again.
		return first, nil
	}
	return append(first, rest...), nil
}

func (s *Subscription) take(batch jetstream.MessageBatch, err error) ([]Delivery, error) {
	if err == nil {
		var taken []Delivery
		for m := range batch.Messages() {
			taken = append(taken, delivery(m))
		}
		err = batch.Error()
		if len(taken) > 0 {
			return taken, nil
		}
	}
	if err == nil || errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrNoMessages) {
		return nil, nil
	}
	if missing(err) {
		s.consumer = nil
	}
	return nil, err
}

// ensure finds or makes the stream and the durable consumer. The consumer makes the stream too, so that services start in any order.
func (s *Subscription) ensure(ctx context.Context) error {
	if s.consumer != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	if err := s.bus.ensureStream(ctx, s.stream); err != nil {
		return err
	}
	c, err := s.bus.js.CreateOrUpdateConsumer(ctx, s.stream, jetstream.ConsumerConfig{
		Durable:        s.bus.name,
		FilterSubjects: s.types,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        30 * time.Second,
		// Only our own code gives up on an event, by burying it.
		MaxDeliver:    -1,
		MaxAckPending: 4096,
	})
	if err != nil {
		return err
	}
	s.consumer = c
	return nil
}

func delivery(m jetstream.Msg) Delivery {
	e, err := decode(m.Headers(), m.Data())
	return Delivery{
		Event:     e,
		Malformed: err,
		Subject:   m.Subject(),
		// A lost acknowledgement costs a redelivery, which the fence ignores.
		Ack:   func() { _ = m.Ack() },
		Retry: func(after time.Duration) { _ = m.NakWithDelay(after) },
	}
}
