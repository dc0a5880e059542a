package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// relayBatch bounds how many snapshots are on the way to JetStream at once.
const relayBatch = 512

// relayLock is the advisory lock that keeps the relays of one service's replicas from all sending the same; two at once would be
// harmless, only wasteful.
const relayLock = 0x686f6d65

// Relay hands the unsent snapshots of one database to the bus.
type Relay struct {
	DB *pg.DB
	// Publish sends the events and returns an error for each, nil where JetStream acknowledged it.
	Publish func(ctx context.Context, events []event.Event) []error
	Now     func() time.Time
	Tracer  trace.Tracer

	lock *pgxpool.Conn // the session that holds the advisory lock
}

// Step sends one batch.
func (r *Relay) Step(ctx context.Context) (bool, error) {
	if held, err := r.hold(ctx); err != nil || !held {
		return false, err
	}
	rows, err := r.DB.Pool.Query(ctx, `SELECT `+columns+` FROM outbox WHERE sent_at IS NULL ORDER BY recorded_at LIMIT $1`, relayBatch)
	if err != nil {
		return false, fmt.Errorf("read outbox: %w", err)
	}
	events, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return false, fmt.Errorf("read outbox: %w", err)
	}
	if len(events) == 0 {
		return false, nil
	}
	spans := r.startSpans(ctx, events)
	results := r.Publish(ctx, events)
	var sentIDs, failedIDs []uuid.UUID
	var sentVersions, failedVersions []int64
	var failure error
	for i, e := range events {
		if results[i] != nil {
			failure = results[i]
			failedIDs, failedVersions = append(failedIDs, e.ID), append(failedVersions, e.Version)
		} else {
			sentIDs, sentVersions = append(sentIDs, e.ID), append(sentVersions, e.Version)
		}
		if spans[i] != nil {
			if results[i] != nil {
				spans[i].RecordError(results[i])
			}
			spans[i].End()
		}
	}
	// A version that was saved while this one was on the way stays unsent.
	if len(sentIDs) > 0 {
		if _, err := r.DB.Pool.Exec(ctx, `
			UPDATE outbox o SET sent_at = $3, last_error = '' FROM unnest($1::uuid[], $2::bigint[]) AS u (id, version)
			WHERE o.id = u.id AND o.version = u.version AND o.sent_at IS NULL`, sentIDs, sentVersions, r.Now()); err != nil {
			return true, fmt.Errorf("mark outbox sent: %w", err)
		}
	}
	if len(failedIDs) > 0 {
		if _, err := r.DB.Pool.Exec(ctx, `
			UPDATE outbox o SET attempts = attempts + 1, last_error = $3 FROM unnest($1::uuid[], $2::bigint[]) AS u (id, version)
			WHERE o.id = u.id AND o.version = u.version`, failedIDs, failedVersions, failure.Error()); err != nil {
			return true, fmt.Errorf("mark outbox failed: %w", err)
		}
		return true, fmt.Errorf("publish %d of %d events: %w", len(failedIDs), len(events), failure)
	}
	return len(events) == relayBatch, nil
}

// Close gives the lock back.
func (r *Relay) Close() {
	if r.lock != nil {
		// The session ends with its lock; returning it to the pool would keep the lock.
		_ = r.lock.Hijack().Close(context.Background())
		r.lock = nil
	}
}

func (r *Relay) hold(ctx context.Context) (bool, error) {
	if r.lock != nil {
		// The statement also shows whether the session, and so the lock, still exists.
		if _, err := r.lock.Exec(ctx, `SELECT 1`); err == nil {
			return true, nil
		}
		r.Close()
	}
	conn, err := r.DB.Pool.Acquire(ctx)
	if err != nil {
		return false, fmt.Errorf("relay lock: %w", err)
	}
	var held bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, relayLock).Scan(&held); err != nil || !held {
		conn.Release()
		return false, err
	}
	r.lock = conn
	return true, nil
}

// startSpans starts a producer span for each event that was sampled, and lets the event carry it.
func (r *Relay) startSpans(ctx context.Context, events []event.Event) []trace.Span {
	spans := make([]trace.Span, len(events))
	for i := range events {
		e := &events[i]
		if !e.Trace.IsSampled() {
			continue
		}
		_, spans[i] = r.Tracer.Start(trace.ContextWithRemoteSpanContext(ctx, e.Trace), "send "+e.Type,
			trace.WithSpanKind(trace.SpanKindProducer),
			trace.WithAttributes(
				semconv.MessagingSystemKey.String("nats"),
				semconv.MessagingDestinationName(e.Subject()),
				semconv.MessagingOperationTypeSend,
				semconv.MessagingMessageID(e.EventID().String()),
				semconv.MessagingBatchMessageCount(len(events)),
				attribute.String("homeward.spell.id", e.Key.String()),
				attribute.Int64("homeward.version", e.Version),
			))
		e.Trace = spans[i].SpanContext()
	}
	return spans
}

// Unsent counts the snapshots that wait, and tells since when the oldest does.
func Unsent(ctx context.Context, db *pg.DB) (count int, oldest time.Time, err error) {
	err = db.Pool.QueryRow(ctx, `SELECT count(*), coalesce(min(recorded_at), 'epoch') FROM outbox WHERE sent_at IS NULL`).Scan(&count, &oldest)
	return count, oldest, err
}
