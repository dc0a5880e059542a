package outbox

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/failpoint"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// relayBatch bounds how many snapshots are on the way to JetStream at once.
const relayBatch = 512

// relayLock is the advisory lock that keeps the relays of one service's replicas from all sending the same; two at once would be
// harmless, only wasteful. Services that share a database have a schema each, and a lock each.
const relayLock = `1752132965, hashtext(current_schema())`

// Relay hands the unsent snapshots of one database to the bus.
type Relay struct {
	DB *pg.DB
	// Publish sends the events and returns an error for each, nil where JetStream acknowledged it.
	Publish func(ctx context.Context, events []event.Event) []error
	Now     func() time.Time
	Tracer  trace.Tracer

	// session holds the advisory lock, and runs every statement: while they succeed the lock is held. nil when it is not.
	session *pgxpool.Conn
	// cursor belongs to the planted bug `id-cursor`.
	cursor int64
}

// unsent is what one batch takes from the queue.
type unsent struct {
	seqs   []int64       // every row of the queue that was taken
	events []event.Event // the current snapshot of each aggregate in them
	of     []int         // for each row the index of its event
}

// Idle reports whether no relay works on the database: the service is stopped. It stays so until the transaction ends.
func Idle(ctx context.Context, tx pgx.Tx) (idle bool, err error) {
	err = tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(`+relayLock+`)`).Scan(&idle)
	return idle, err
}

// Step sends one batch.
func (r *Relay) Step(ctx context.Context) (bool, error) {
	if held, err := r.hold(ctx); err != nil || !held {
		return false, err
	}
	defer func() {
		if r.session.Conn().IsClosed() {
			r.Close()
		}
	}()
	var batch unsent
	err := failpoint.Do(ctx, "relay.read", func() (err error) { batch, err = r.read(ctx); return err })
	if err != nil || len(batch.events) == 0 {
		return false, err
	}
	spans := r.startSpans(ctx, batch.events)
	results := make([]error, len(batch.events))
	if err := failpoint.Do(ctx, "relay.publish", func() error { results = r.Publish(ctx, batch.events); return nil }); err != nil {
		for i := range results {
			results[i] = err
		}
	}
	if failpoint.Bug("swallowed-publish-error") {
		clear(results)
	}
	var failure error
	failures := 0
	for i, err := range results {
		if err != nil {
			failure = err
			failures++
		}
		if spans[i] != nil {
			if err != nil {
				spans[i].RecordError(err)
			}
			spans[i].End()
		}
	}
	var sent, failed []int64
	for i, seq := range batch.seqs {
		if results[batch.of[i]] == nil {
			sent = append(sent, seq)
		} else {
			failed = append(failed, seq)
		}
	}
	if len(sent) > 0 {
		if failpoint.Bug("id-cursor") {
			r.cursor = slices.Max(sent)
		}
		mark := `DELETE FROM outbox_unsent WHERE seq = ANY($1)`
		if failpoint.Bug("newer-version-marked-sent") {
			mark = `DELETE FROM outbox_unsent WHERE id IN (SELECT id FROM outbox_unsent WHERE seq = ANY($1))`
		}
		if err := failpoint.Do(ctx, "relay.mark-sent", func() error { return r.exec(ctx, mark, sent) }); err != nil {
			return true, fmt.Errorf("mark outbox sent: %w", err)
		}
	}
	if len(failed) > 0 {
		if err := failpoint.Do(ctx, "relay.mark-failed", func() error {
			return r.exec(ctx, `UPDATE outbox_unsent SET attempts = attempts + 1, last_error = $2 WHERE seq = ANY($1)`, failed, failure.Error())
		}); err != nil {
			return true, fmt.Errorf("mark outbox failed: %w", err)
		}
		return true, fmt.Errorf("publish %d of %d events: %w", failures, len(batch.events), failure)
	}
	return len(batch.seqs) == relayBatch, nil
}

// read takes the oldest rows of the queue with the snapshots that are current now. A version that is saved after this look has a row of
// its own, which stays.
func (r *Relay) read(ctx context.Context) (unsent, error) {
	rows, err := r.session.Query(ctx, `
		SELECT u.seq, o.id, o.type, o.key, o.epoch, o.version, o.occurred_at, o.recorded_at, o.traceparent, o.data
		FROM (SELECT seq, id FROM outbox_unsent ORDER BY seq LIMIT $1) u JOIN outbox o ON o.id = u.id ORDER BY u.seq`, relayBatch)
	if err != nil {
		return unsent{}, fmt.Errorf("read outbox: %w", err)
	}
	var batch unsent
	at := map[uuid.UUID]int{}
	var seq int64
	var e event.Event
	var traceparent string
	_, err = pgx.ForEachRow(rows, []any{&seq, &e.ID, &e.Type, &e.Key, &e.Epoch, &e.Version, &e.OccurredAt, &e.RecordedAt, &traceparent, &e.Data}, func() error {
		if failpoint.Bug("id-cursor") && seq <= r.cursor {
			return nil
		}
		i, seen := at[e.ID]
		if !seen {
			i = len(batch.events)
			at[e.ID] = i
			e.Trace = event.ParseTraceparent(traceparent)
			batch.events = append(batch.events, e)
		}
		batch.seqs, batch.of = append(batch.seqs, seq), append(batch.of, i)
		e.Data = nil // the next row must not be read into the same bytes
		return nil
	})
	if err != nil {
		return unsent{}, fmt.Errorf("read outbox: %w", err)
	}
	return batch, nil
}

func (r *Relay) exec(ctx context.Context, sql string, args ...any) error {
	_, err := r.session.Exec(ctx, sql, args...)
	return err
}

// Close gives the lock back, so that another relay need not wait until the server notices that the session is gone.
func (r *Relay) Close() {
	if r.session == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = r.session.Exec(ctx, `SELECT pg_advisory_unlock(`+relayLock+`)`) // the end of the session does it too, a little later
	_ = r.session.Hijack().Close(ctx)
	r.session = nil
}

func (r *Relay) hold(ctx context.Context) (bool, error) {
	if r.session != nil {
		return true, nil
	}
	conn, err := r.DB.Pool.Acquire(ctx)
	if err != nil {
		return false, fmt.Errorf("relay lock: %w", err)
	}
	var held bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(`+relayLock+`)`).Scan(&held); err != nil || !held {
		conn.Release()
		return false, err
	}
	r.session = conn
	// A mark that is lost in a crash costs one more sending of the same event; waiting for the disk would cost more each time.
	if _, err := conn.Exec(ctx, `SET synchronous_commit = off`); err != nil {
		r.Close()
		return false, fmt.Errorf("relay session: %w", err)
	}
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
