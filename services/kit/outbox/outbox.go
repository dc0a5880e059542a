// Package outbox publishes the state of aggregates. Save puts the new snapshot into the caller's transaction; the Relay hands unsent
// snapshots to the bus. There is one row for each aggregate: a later version replaces an unsent one, because an event is a snapshot and a
// consumer needs only the newest.
package outbox

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/services/kit/event"
)

// Save stores the snapshots as the current versions of their aggregates and returns them with epoch and version set, sorted by id. The
// caller holds the locks on the records behind them.
func Save(ctx context.Context, tx pgx.Tx, now time.Time, events []event.Event) ([]event.Event, error) {
	if len(events) == 0 {
		return nil, nil
	}
	// One order for all transactions, so that two never wait for each other crosswise.
	slices.SortFunc(events, func(a, b event.Event) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	n := len(events)
	ids, types, keys := make([]uuid.UUID, n), make([]string, n), make([]uuid.UUID, n)
	occurred, traces, data := make([]time.Time, n), make([]string, n), make([][]byte, n)
	for i, e := range events {
		ids[i], types[i], keys[i] = e.ID, e.Type, e.Key
		occurred[i], traces[i], data[i] = e.OccurredAt, event.Traceparent(e.Trace), e.Data
	}
	rows, err := tx.Query(ctx, `
		WITH saved AS (
			INSERT INTO outbox AS o (id, type, key, epoch, version, occurred_at, recorded_at, traceparent, data)
			SELECT id, type, key, (SELECT epoch FROM epoch), 1, occurred_at, $7, traceparent, data
			FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::timestamptz[], $5::text[], $6::bytea[])
				AS u (id, type, key, occurred_at, traceparent, data)
			ON CONFLICT (id) DO UPDATE SET
				epoch = excluded.epoch, version = o.version + 1, occurred_at = excluded.occurred_at,
				recorded_at = excluded.recorded_at, traceparent = excluded.traceparent, data = excluded.data
			RETURNING id, epoch, version
		), queued AS (
			INSERT INTO outbox_unsent (id) SELECT id FROM saved
		)
		SELECT id, epoch, version FROM saved`,
		ids, types, keys, occurred, traces, data, now)
	if err != nil {
		return nil, fmt.Errorf("save outbox: %w", err)
	}
	at := make(map[uuid.UUID]int, n)
	for i, id := range ids {
		at[id] = i
	}
	var id uuid.UUID
	var epoch int32
	var version int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &epoch, &version}, func() error {
		e := &events[at[id]]
		e.Epoch, e.Version, e.RecordedAt = epoch, version, now
		return nil
	}); err != nil {
		return nil, fmt.Errorf("save outbox: %w", err)
	}
	return events, nil
}

// Resend queues the current snapshots of aggregates again, unless they wait already.
func Resend(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	if _, err := tx.Exec(ctx, `
		INSERT INTO outbox_unsent (id) SELECT id FROM outbox
		WHERE id = ANY($1) AND id NOT IN (SELECT id FROM outbox_unsent) ORDER BY id`, ids); err != nil {
		return fmt.Errorf("resend outbox: %w", err)
	}
	return nil
}

// Current returns the data that is published of each aggregate; one that was never published is left out.
func Current(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) (map[uuid.UUID][]byte, error) {
	rows, err := tx.Query(ctx, `SELECT id, data FROM outbox WHERE id = ANY($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	current := make(map[uuid.UUID][]byte, len(ids))
	var id uuid.UUID
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &data}, func() error {
		current[id] = data
		data = nil // the next row must not be read into the same bytes
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	return current, nil
}
