package service_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/explain"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/outbox"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/service"
)

const thing = "homeward.test.thing.v1"

// A producer saves while JetStream loses its stream again and again: the consumer ends with the newest version of everything.
func TestWipingTheStreamInTheMiddleOfTrafficLosesNothing(t *testing.T) {
	t.Parallel()
	server, issuer := kittest.NATS(t), kittest.Issuer(t)
	start := func(name string, wire func(*service.Service) error) (addr string, db *pg.DB) {
		c := kittest.Config(t, name, kittest.Database(t, migrations), server, issuer)
		kittest.Start(t, func(ctx context.Context) error {
			s, err := service.New(ctx, name, c, service.OpsRoles())
			if err != nil {
				return err
			}
			if err := wire(s); err != nil {
				return err
			}
			return s.Run(ctx)
		})
		return c.GRPCAddr, kittest.Open(t, c.DatabaseURL)
	}
	explained := func() *explain.Server {
		return &explain.Server{Aggregates: func(id uuid.UUID) []uuid.UUID { return []uuid.UUID{id} }}
	}
	addr, producer := start("producer", func(s *service.Service) error { s.Publish("test", explained()); return nil })
	_, consumer := start("consumer", func(s *service.Service) error {
		s.Publish("other", explained())
		return s.Consume(service.Edge{Stream: "test", Type: thing, Addr: addr, KeepData: true,
			Handle: func(context.Context, pgx.Tx, time.Time, []event.Event) error { return nil }})
	})
	conn, err := nats.Connect(server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 6 {
		var events []event.Event
		for n := range 50 {
			id := uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, n*(round+1)))
			events = append(events, event.Event{Type: thing, ID: id, Key: id, OccurredAt: time.Now(), Data: fmt.Append(nil, round)})
		}
		if err := producer.InTx(t.Context(), "test", func(tx pgx.Tx) error {
			_, err := outbox.Save(t.Context(), tx, time.Now(), event.Newest(events))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		_ = js.DeleteStream(t.Context(), "test") // it may not be there yet, or not yet again
	}
	const sum = `SELECT coalesce(md5(string_agg(id || ':' || epoch || ':' || version || ':' || encode(data, 'hex'), ',' ORDER BY id)), 'nothing') FROM `
	var want string
	if err := producer.Pool.QueryRow(t.Context(), sum+"outbox").Scan(&want); err != nil {
		t.Fatal(err)
	}
	kittest.Eventually(t, "the consumer holds what the producer holds", func() bool {
		var have string
		return consumer.Pool.QueryRow(t.Context(), sum+"inbox").Scan(&have) == nil && have == want
	})
}
