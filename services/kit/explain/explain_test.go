package explain_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/explain"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/outbox"
)

func TestMain(m *testing.M) { kittest.Main(m) }

var migrations = fstest.MapFS{"0001_none.sql": {Data: []byte("-- +goose Up\nSELECT 1;")}}

func TestHopsAreToldInTheOrderInWhichTheyHappened(t *testing.T) {
	t.Parallel()
	db := kittest.Open(t, kittest.Database(t, migrations))
	spell, other := uuid.New(), uuid.New()
	at := func(minute int) time.Time { return time.Date(2026, 9, 1, 9, minute, 0, 0, time.UTC) }
	now := at(0)
	in := &inbox.Inbox{DB: db, Now: func() time.Time { return now }, Tracer: noop.NewTracerProvider().Tracer(""), Log: slog.New(slog.DiscardHandler),
		Handle: func(_ context.Context, _ pgx.Tx, _ time.Time, fresh []event.Event) error {
			if fresh[0].Version == 2 {
				return fmt.Errorf("%w: unknown status", inbox.ErrPoison)
			}
			return nil
		}}
	traced := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	bring := func(id uuid.UUID, version int64) {
		if err := in.Apply(t.Context(), []event.Event{{Type: "homeward.test.thing.v1", ID: id, Key: id, Epoch: 1, Version: version, RecordedAt: at(0), OccurredAt: at(0), Trace: traced}}); err != nil {
			t.Fatal(err)
		}
	}
	now = at(1)
	bring(spell, 1)
	now = at(3)
	bring(spell, 2)
	bring(other, 1)
	now = at(4)
	if err := db.InTx(t.Context(), "test", func(tx pgx.Tx) error {
		_, err := outbox.Save(t.Context(), tx, now, []event.Event{{Type: "homeward.test.answer.v1", ID: spell, Key: spell, OccurredAt: now, Data: []byte("x"), Trace: traced}})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	relay := &outbox.Relay{DB: db, Now: in.Now, Tracer: in.Tracer, Publish: func(_ context.Context, events []event.Event) []error {
		return []error{errors.New("no stream")}
	}}
	t.Cleanup(relay.Close)
	if _, err := relay.Step(t.Context()); err == nil {
		t.Fatal("published to nobody")
	}
	s := &explain.Server{DB: db, Service: "test", Aggregates: func(id uuid.UUID) []uuid.UUID { return []uuid.UUID{id} },
		Own: func(context.Context, uuid.UUID) ([]*opsv1.Hop, error) {
			return []*opsv1.Hop{{At: timestamppb.New(at(2)), Service: "test", Name: "own"}}, nil
		}}
	resp, err := s.ExplainHandover(t.Context(), &opsv1.ExplainHandoverRequest{SpellId: spell.String()})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, h := range resp.GetHops() {
		names = append(names, h.GetName())
	}
	if d := cmp.Diff([]string{"event applied", "own", "event buried", "event unsent"}, names); d != "" {
		t.Fatal(d)
	}
	applied, buried, unsent := resp.GetHops()[0], resp.GetHops()[2], resp.GetHops()[3]
	if applied.GetTraceId() != traced.TraceID().String() || applied.GetService() != "test" || !strings.Contains(applied.GetState(), "homeward.test.thing.v1, epoch 1, version 1") {
		t.Errorf("applied: %v", applied)
	}
	if buried.GetAttempts() != 1 || !strings.Contains(buried.GetLastError(), "unknown status") {
		t.Errorf("buried: %v", buried)
	}
	if unsent.GetAttempts() != 1 || unsent.GetLastError() != "no stream" {
		t.Errorf("unsent: %v", unsent)
	}
}

func TestSpellThatIsNoUUIDIsTheCallersFault(t *testing.T) {
	t.Parallel()
	if _, err := (&explain.Server{}).ExplainHandover(t.Context(), &opsv1.ExplainHandoverRequest{SpellId: "x"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("error %v", err)
	}
}
