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
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/explain"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/outbox"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/restore"
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

// Two services were restored together, each holds the other's aggregates, and one's third partner is away: that one answers nobody but the
// other, which opens; it opens when the partner is there.
func TestRestoredServiceOpensOnlyAfterItsTakeOver(t *testing.T) {
	t.Parallel()
	server, issuer := kittest.NATS(t), kittest.Issuer(t)
	configs := map[string]service.Config{}
	dbs := map[string]*pg.DB{}
	for _, name := range []string{"left", "right", "late"} {
		configs[name] = kittest.Config(t, name, kittest.Database(t, migrations), server, issuer)
		dbs[name] = kittest.Open(t, configs[name].DatabaseURL)
	}
	start := func(name string, heldBy ...string) {
		kittest.Start(t, func(ctx context.Context) error {
			s, err := service.New(ctx, name, configs[name], service.OpsRoles())
			if err != nil {
				return err
			}
			s.Publish(name, &explain.Server{Aggregates: func(id uuid.UUID) []uuid.UUID { return []uuid.UUID{id} }})
			own := service.Own{Type: thing, HeldBy: map[string]string{}, Adopt: func(ctx context.Context, tx pgx.Tx, now time.Time, fresh []event.Event) error {
				_, err := outbox.Save(ctx, tx, now, fresh)
				return err
			}}
			for _, holder := range heldBy {
				own.HeldBy[holder] = configs[holder].GRPCAddr
			}
			if err := s.TakesOver(own); err != nil {
				return err
			}
			return s.Run(ctx)
		})
	}
	id := uuid.New()
	for _, name := range []string{"left", "right"} {
		if _, err := dbs[name].Pool.Exec(t.Context(), `INSERT INTO inbox (id, type, key, epoch, version, occurred_at, recorded_at, traceparent, data, applied_at)
			VALUES ($1, $2, $1, 1, 5, $3, $3, '', 'x', $3)`, id, thing, time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := restore.Declare(t.Context(), dbs[name], time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(name string) codes.Code {
		client := opsv1.NewReconciliationServiceClient(kittest.Dial(t, configs[name].GRPCAddr, issuer, authn.Principal{Subject: "test", Roles: []authn.Role{authn.Service}}))
		_, err := client.ListVersions(t.Context(), &opsv1.ListVersionsRequest{Type: thing})
		return status.Code(err)
	}
	start("left", "right", "late")
	start("right", "left")
	kittest.Eventually(t, "the one whose partners answer opens", func() bool { return ask("right") == codes.OK })
	if got := ask("left"); got != codes.Unavailable {
		t.Errorf("the one that waits answers %s", got)
	}
	start("late")
	kittest.Eventually(t, "the other one opens", func() bool { return ask("left") == codes.OK })
	for _, name := range []string{"left", "right"} {
		var epoch int32
		if err := dbs[name].Pool.QueryRow(t.Context(), `SELECT epoch FROM outbox WHERE id = $1`, id).Scan(&epoch); err != nil || epoch != 2 {
			t.Errorf("%s published in epoch %d, %v", name, epoch, err)
		}
	}
}
