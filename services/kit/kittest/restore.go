package kittest

import (
	"context"
	"log/slog"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/kit/bus"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/reconcile"
	"github.com/homeward-care/homeward/services/kit/restore"
	"github.com/homeward-care/homeward/services/kit/run"
	"github.com/homeward-care/homeward/services/kit/service"
)

// TakeOver declares that a service's database was restored, and has the service, wired as always but without doors and workers, take over
// what consumers hold: the events. It returns what the service published by that, by key.
func TakeOver(t testing.TB, db *pg.DB, now time.Time, wire func(*service.Service) error, held ...event.Event) map[string]event.Event {
	t.Helper()
	holder := Open(t, Database(t, fstest.MapFS{"0001_none.sql": {Data: []byte("-- +goose Up\nSELECT 1;")}}))
	clock := func() time.Time { return now }
	in := inbox.Inbox{DB: holder, KeepData: true, Now: clock, Tracer: noop.NewTracerProvider().Tracer(""), Log: slog.New(slog.DiscardHandler),
		Handle: func(context.Context, pgx.Tx, time.Time, []event.Event) error { return nil }}
	if err := in.Apply(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	svc := &service.Service{
		Name: "restored", Log: slog.New(slog.DiscardHandler), Tracer: noop.NewTracerProvider(), DB: db, RPC: grpc.NewServer(),
		Dial:      func(string) (grpc.ClientConnInterface, error) { return holding{holder}, nil },
		Publisher: func(string) func(context.Context, []event.Event) []error { return nil },
		Subscribe: func(string, string) func(context.Context, int) ([]bus.Delivery, error) { return nil },
		Now:       clock, Elapsed: func() time.Duration { return 0 }, Saved: run.NewWake(),
	}
	if err := wire(svc); err != nil {
		t.Fatal(err)
	}
	r, _, err := restore.Declare(t.Context(), db, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := svc.TakeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Pool.Query(t.Context(), `SELECT id, type, key, epoch, version, occurred_at, data FROM outbox WHERE epoch >= $1`, r.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	published := map[string]event.Event{}
	var e event.Event
	if _, err := pgx.ForEachRow(rows, []any{&e.ID, &e.Type, &e.Key, &e.Epoch, &e.Version, &e.OccurredAt, &e.Data}, func() error {
		published[e.Key.String()] = e
		e.Data = nil // the next row must not be read into the same bytes
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return published
}

// holding is a connection to a consumer that answers ListHeld and nothing else.
type holding struct{ db *pg.DB }

func (h holding) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	if method != opsv1.ReconciliationService_ListHeld_FullMethodName {
		return status.Error(codes.Unimplemented, method)
	}
	resp, err := (&reconcile.Server{DB: h.db}).ListHeld(ctx, args.(*opsv1.ListHeldRequest))
	if err == nil {
		proto.Merge(reply.(proto.Message), resp)
	}
	return err
}

func (h holding) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "streams")
}
