// Package inbox applies other services' events, each version once: the row that remembers the newest (epoch, version) of an aggregate is
// written in the transaction of the effect. Redelivery, duplication and reordering are harmless because of that row, whoever brings the
// event, the bus or reconciliation.
package inbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/failpoint"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// Handler applies events that are newer than all that was applied of their aggregates. They are distinct and sorted by id. Each carries
// the span that processes it as its Trace.
type Handler func(ctx context.Context, tx pgx.Tx, now time.Time, fresh []event.Event) error

// Inbox applies events to one database.
type Inbox struct {
	DB     *pg.DB
	Handle Handler
	// KeepData keeps the newest snapshots' data, for a service that derives from them later. Others keep versions only.
	KeepData bool
	Now      func() time.Time
	Tracer   trace.Tracer
	Log      *slog.Logger
}

// ErrPoison marks an error that no repetition can mend, for instance data that is not the protobuf message its type names.
var ErrPoison = errors.New("event cannot be applied")

// Apply applies what is new among the events, in one transaction. When a batch fails on its content, each event is tried alone, so that a
// bad one does not hold up the others; a bad one goes, with its error, to the dead letters. A returned error means that nothing is known
// to have been applied: bring the same events again.
func (in *Inbox) Apply(ctx context.Context, events []event.Event) error {
	events = event.Newest(events)
	if len(events) == 0 {
		return nil
	}
	for i := range events {
		if events[i].Data == nil { // an empty message; to the database nil would be NULL
			events[i].Data = []byte{}
		}
	}
	slices.SortFunc(events, func(a, b event.Event) int {
		if c := bytes.Compare(a.ID[:], b.ID[:]); c != 0 {
			return c
		}
		return bytes.Compare([]byte(a.Type), []byte(b.Type))
	})
	ctx, spans := in.startSpans(ctx, events)
	defer func() {
		for _, s := range spans {
			s.End()
		}
	}()
	err := in.applyInTx(ctx, events)
	if len(events) == 1 && pg.IsData(err) {
		// Another worker may have inserted the same row a moment earlier: that is seen the second time.
		err = in.applyInTx(ctx, events)
	}
	if err == nil || !isContent(err) {
		return err
	}
	if len(events) > 1 {
		for _, e := range events {
			if err := in.Apply(ctx, []event.Event{e}); err != nil && !failpoint.Bug("error-beside-poison-passes") {
				return err
			}
		}
		return nil
	}
	return in.bury(ctx, events[0], err)
}

func isContent(err error) bool { return errors.Is(err, ErrPoison) || pg.IsData(err) }

func (in *Inbox) applyInTx(ctx context.Context, events []event.Event) error {
	return in.DB.InTx(ctx, "inbox", func(tx pgx.Tx) error {
		now := in.Now()
		fresh, err := in.fence(ctx, tx, now, events)
		if err != nil {
			return err
		}
		if len(fresh) == 0 {
			return pg.ErrNothing
		}
		return in.handle(ctx, tx, now, fresh)
	})
}

// handle takes a panic of the handler for poison: the event that caused it would otherwise end the service again after every start.
func (in *Inbox) handle(ctx context.Context, tx pgx.Tx, now time.Time, fresh []event.Event) (err error) {
	defer func() {
		if r := recover(); r != nil {
			in.Log.ErrorContext(ctx, "panic in a handler", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: the handler panicked", ErrPoison)
		}
	}()
	return in.Handle(ctx, tx, now, fresh)
}

// fence stores the events that are newer than what was applied and returns those.
func (in *Inbox) fence(ctx context.Context, tx pgx.Tx, now time.Time, events []event.Event) ([]event.Event, error) {
	n := len(events)
	ids, types, keys := make([]uuid.UUID, n), make([]string, n), make([]uuid.UUID, n)
	epochs, versions := make([]int32, n), make([]int64, n)
	occurred, recorded := make([]time.Time, n), make([]time.Time, n)
	traces, data := make([]string, n), make([][]byte, n)
	for i, e := range events {
		ids[i], types[i], keys[i], epochs[i], versions[i] = e.ID, e.Type, e.Key, e.Epoch, e.Version
		occurred[i], recorded[i], traces[i], data[i] = e.OccurredAt, e.RecordedAt, event.Traceparent(e.Trace), []byte{}
		if in.KeepData {
			data[i] = e.Data
		}
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO inbox AS i (id, type, key, epoch, version, occurred_at, recorded_at, traceparent, data, applied_at)
		SELECT *, $10 FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::int[], $5::bigint[], $6::timestamptz[], $7::timestamptz[], $8::text[], $9::bytea[])
		ON CONFLICT (id, type) DO UPDATE SET
			key = excluded.key, epoch = excluded.epoch, version = excluded.version, occurred_at = excluded.occurred_at,
			recorded_at = excluded.recorded_at, traceparent = excluded.traceparent, data = excluded.data, applied_at = excluded.applied_at
		WHERE `+newer()+`
		RETURNING id, type`,
		ids, types, keys, epochs, versions, occurred, recorded, traces, data, now)
	if err != nil {
		return nil, fmt.Errorf("fence: %w", err)
	}
	type aggregate struct {
		ID   uuid.UUID
		Type string
	}
	applied, err := pgx.CollectRows(rows, pgx.RowToStructByPos[aggregate])
	if err != nil {
		return nil, fmt.Errorf("fence: %w", err)
	}
	if len(applied) == n {
		return events, nil
	}
	isNew := make(map[aggregate]bool, len(applied))
	for _, a := range applied {
		isNew[a] = true
	}
	return slices.DeleteFunc(slices.Clone(events), func(e event.Event) bool { return !isNew[aggregate{e.ID, e.Type}] }), nil
}

// newer is what the fence lets pass.
func newer() string {
	switch {
	case failpoint.Bug("equal-version-passes"):
		return `(i.epoch, i.version) <= (excluded.epoch, excluded.version)`
	case failpoint.Bug("older-version-passes"):
		return `true`
	}
	return `(i.epoch, i.version) < (excluded.epoch, excluded.version)`
}

func (in *Inbox) bury(ctx context.Context, e event.Event, cause error) error {
	now := in.Now()
	if err := failpoint.Do(ctx, "inbox.bury", func() error {
		_, err := in.DB.Pool.Exec(ctx, `
			INSERT INTO dead_letter AS d (id, type, key, epoch, version, data, error, attempts, first_at, last_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8)
			ON CONFLICT (id, type, epoch, version) DO UPDATE SET error = excluded.error, attempts = d.attempts + 1, last_at = excluded.last_at`,
			e.ID, e.Type, e.Key, e.Epoch, e.Version, e.Data, Storable(cause.Error()), now)
		return err
	}); err != nil {
		return fmt.Errorf("bury event: %w", err)
	}
	in.Log.ErrorContext(ctx, "event buried: it could not be applied and waits for a person", "type", e.Type, "id", e.ID, "epoch", e.Epoch,
		"version", e.Version, "error", cause)
	return nil
}

// Storable makes of an error's text what PostgreSQL takes: an event that could not even be buried would hold up all others.
func Storable(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}

// startSpans starts a consumer span for each sampled event as the child of what it carries, and lets the event carry the span. The first
// one is the parent of the batch's SQL; the others are linked with it.
func (in *Inbox) startSpans(ctx context.Context, events []event.Event) (context.Context, []trace.Span) {
	var spans []trace.Span
	for i := range events {
		e := &events[i]
		if !e.Trace.IsSampled() {
			continue
		}
		opts := []trace.SpanStartOption{
			trace.WithSpanKind(trace.SpanKindConsumer),
			trace.WithAttributes(
				semconv.MessagingSystemKey.String("nats"),
				semconv.MessagingDestinationName(e.Subject()),
				semconv.MessagingOperationTypeProcess,
				semconv.MessagingMessageID(e.EventID().String()),
				semconv.MessagingBatchMessageCount(len(events)),
				attribute.String("homeward.spell.id", e.Key.String()),
				attribute.Int64("homeward.version", e.Version),
			),
		}
		if len(spans) > 0 {
			opts = append(opts, trace.WithLinks(trace.Link{SpanContext: spans[0].SpanContext()}))
		}
		spanCtx, span := in.Tracer.Start(trace.ContextWithRemoteSpanContext(ctx, e.Trace), "process "+e.Type, opts...)
		if len(spans) == 0 {
			ctx = spanCtx
		}
		spans = append(spans, span)
		e.Trace = span.SpanContext()
	}
	return ctx, spans
}
