package reconcile_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/reconcile"
)

const walked = 100_000

// walkerOver returns a walker, over gRPC, to a producer that holds many aggregates.
func walkerOver(b *testing.B) *reconcile.Walker {
	b.Helper()
	producer, consumer := kittest.Open(b, kittest.Database(b, migrations)), kittest.Open(b, kittest.Database(b, migrations))
	if _, err := producer.Pool.Exec(b.Context(), `
		INSERT INTO outbox (id, type, key, epoch, version, occurred_at, recorded_at, traceparent, data)
		SELECT id, $2, id, 1, 1, $3, $3, '', repeat('x', 300)::bytea FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $1)) s`,
		walked, thing, time.Now()); err != nil {
		b.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := grpc.NewServer()
	opsv1.RegisterReconciliationServiceServer(s, &reconcile.Server{DB: producer})
	go func() { _ = s.Serve(lis) }() // ends with Stop
	b.Cleanup(s.Stop)
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	in := &inbox.Inbox{
		DB: consumer, Now: time.Now, Tracer: noop.NewTracerProvider().Tracer(""), Log: slog.New(slog.DiscardHandler),
		Handle: func(context.Context, pgx.Tx, time.Time, []event.Event) error { return nil },
	}
	return &reconcile.Walker{Type: thing, Source: opsv1.NewReconciliationServiceClient(conn), Inbox: in, Log: in.Log}
}

// BenchmarkWalkThatRepairsEverything fills an empty inbox from the producer, as after the loss of all that was sent.
func BenchmarkWalkThatRepairsEverything(b *testing.B) {
	w := walkerOver(b)
	b.ResetTimer()
	if err := w.Rebuild(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(w.Repaired)/b.Elapsed().Seconds(), "ids/s")
	if b.N > 1 {
		b.Fatal("run this with -benchtime=1x: there is nothing left to repair after the first")
	}
}

// BenchmarkWalkThatFindsNothing compares everything with an inbox that holds it all.
func BenchmarkWalkThatFindsNothing(b *testing.B) {
	w := walkerOver(b)
	if err := w.Rebuild(b.Context()); err != nil {
		b.Fatal(err)
	}
	before := w.Compared
	for b.Loop() {
		if err := w.Rebuild(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(w.Compared-before)/b.Elapsed().Seconds(), "ids/s")
}
