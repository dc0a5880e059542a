package restore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/reconcile"
)

// Holder is a consumer that holds snapshots of this service's aggregates.
type Holder struct {
	Name   string
	Source opsv1.ReconciliationServiceClient
}

// TakeOver brings back from consumers what a restored database has lost of its own aggregates.
type TakeOver struct {
	DB *pg.DB
	// Type of the service's own aggregates.
	Type    string
	Holders []Holder
	// Adopt makes the service's own state of snapshots that are newer than it, and publishes it. They are sorted by id. One without data says
	// only that a newer version was published once.
	Adopt inbox.Handler
	// Done ends the take-over, in its last transaction; nil when there is nothing to do.
	Done func(ctx context.Context, tx pgx.Tx, now time.Time, r Restore) error
	Now  func() time.Time
	Log  *slog.Logger
}

const (
	page = 500
	// adoptBatch bounds one transaction.
	adoptBatch = 200
)

// Run does the take-over that is due, all of it, and nothing when none is. After an error nothing is lost: run it again. A holder that does
// not answer is an error, because another one may hold less.
func (t *TakeOver) Run(ctx context.Context) error {
	due, err := t.due(ctx)
	if err != nil || !due {
		return err
	}
	for _, h := range t.Holders {
		if err := t.collect(ctx, h); err != nil {
			return fmt.Errorf("take over from %s: %w", h.Name, err)
		}
	}
	if err := t.outrun(ctx); err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	for limit, more := adoptBatch, true; more; {
		if more, err = t.adopt(ctx, limit); isContent(err) {
			// One bad snapshot fails the batch: from here on each is tried alone, and the bad one set aside.
			if limit > 1 {
				limit, more = 1, true
				continue
			}
			more, err = true, t.setAside(ctx, err)
		}
		if err != nil {
			return fmt.Errorf("take over: %w", err)
		}
	}
	return nil
}

func isContent(err error) bool { return errors.Is(err, inbox.ErrPoison) || pg.IsData(err) }

func (t *TakeOver) due(ctx context.Context) (bool, error) {
	list, err := read(t.DB.Pool.Query(ctx, selectRestore+`WHERE taken_over_at IS NULL`))
	return len(list) > 0, err
}

// collect keeps what one holder holds that is newer than the service's own, or of the same version and different: that was published
// after a restore that nobody had declared. The newest of all holders stays.
func (t *TakeOver) collect(ctx context.Context, h Holder) error {
	after := uuid.Nil
	for {
		resp, err := h.Source.ListHeld(ctx, &opsv1.ListHeldRequest{Type: t.Type, AfterId: after.String(), Limit: page})
		if err != nil {
			return err
		}
		events, err := reconcile.Events(resp.GetSnapshots())
		if err != nil {
			return err
		}
		if len(events) > 0 {
			after = events[len(events)-1].ID
			if err := t.keepNewer(ctx, events); err != nil {
				return err
			}
		}
		if len(events) < page {
			return nil
		}
	}
}

func (t *TakeOver) keepNewer(ctx context.Context, events []event.Event) error {
	n := len(events)
	ids, keys, epochs, versions := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]int32, n), make([]int64, n)
	occurred, recorded, traces, data := make([]time.Time, n), make([]time.Time, n), make([]string, n), make([][]byte, n)
	for i, e := range events {
		ids[i], keys[i], epochs[i], versions[i] = e.ID, e.Key, e.Epoch, e.Version
		occurred[i], recorded[i], traces[i], data[i] = e.OccurredAt, e.RecordedAt, event.Traceparent(e.Trace), append([]byte{}, e.Data...)
	}
	_, err := t.DB.Pool.Exec(ctx, `
		INSERT INTO taken_over AS t (id, type, key, epoch, version, occurred_at, recorded_at, traceparent, data)
		SELECT u.id, $1, u.key, u.epoch, u.version, u.occurred_at, u.recorded_at, u.traceparent, u.data
		FROM unnest($2::uuid[], $3::uuid[], $4::int[], $5::bigint[], $6::timestamptz[], $7::timestamptz[], $8::text[], $9::bytea[])
			AS u (id, key, epoch, version, occurred_at, recorded_at, traceparent, data)
		LEFT JOIN outbox o ON o.id = u.id
		WHERE o.id IS NULL OR (o.epoch, o.version) < (u.epoch, u.version)
			OR (o.epoch, o.version) = (u.epoch, u.version) AND u.data <> '' AND o.data <> u.data
		ON CONFLICT (id) DO UPDATE SET type = excluded.type, key = excluded.key, epoch = excluded.epoch, version = excluded.version,
			occurred_at = excluded.occurred_at, recorded_at = excluded.recorded_at, traceparent = excluded.traceparent, data = excluded.data,
			adopted_at = NULL, error = ''
		WHERE (t.epoch, t.version) < (excluded.epoch, excluded.version) OR (t.epoch, t.version) = (excluded.epoch, excluded.version) AND t.data = ''`,
		t.Type, ids, keys, epochs, versions, occurred, recorded, traces, data)
	if err != nil {
		return fmt.Errorf("keep what is newer: %w", err)
	}
	return nil
}

// outrun makes the epoch later than every one that consumers have seen: a database that is restored twice has forgotten its last epoch.
func (t *TakeOver) outrun(ctx context.Context) error {
	return t.DB.InTx(ctx, "take-over", func(tx pgx.Tx) error {
		var own, seen int32
		if err := tx.QueryRow(ctx, `SELECT epoch, coalesce((SELECT max(epoch) FROM taken_over WHERE adopted_at IS NULL), 0) FROM epoch FOR UPDATE`).Scan(&own, &seen); err != nil || seen < own {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE epoch SET epoch = $1`, seen+1); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE restore SET epoch = $1 WHERE taken_over_at IS NULL`, seen+1)
		return err
	})
}

// adopt gives the next ones to the service. When none is left, it ends the take-over.
func (t *TakeOver) adopt(ctx context.Context, limit int) (more bool, err error) {
	err = t.DB.InTx(ctx, "take-over", func(tx pgx.Tx) error {
		// Who holds this row takes over alone, if several instances start at once.
		list, err := read(tx.Query(ctx, selectRestore+`WHERE taken_over_at IS NULL FOR UPDATE`))
		if err != nil || len(list) == 0 {
			return err
		}
		events, err := t.waiting(ctx, tx, limit)
		if err != nil {
			return err
		}
		now := t.Now()
		if more = len(events) > 0; !more {
			return t.done(ctx, tx, now, list[0])
		}
		if err := t.Adopt(ctx, tx, now, events); err != nil {
			return err
		}
		ids := make([]uuid.UUID, len(events))
		for i, e := range events {
			ids[i] = e.ID
		}
		_, err = tx.Exec(ctx, `UPDATE taken_over SET adopted_at = $2 WHERE id = ANY($1)`, ids, now)
		return err
	})
	return more, err
}

func (t *TakeOver) waiting(ctx context.Context, tx pgx.Tx, limit int) ([]event.Event, error) {
	rows, err := tx.Query(ctx, `
		SELECT id, type, key, epoch, version, occurred_at, recorded_at, traceparent, data FROM taken_over WHERE adopted_at IS NULL ORDER BY id LIMIT $1`, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e event.Event, err error) {
		var traceparent string
		err = row.Scan(&e.ID, &e.Type, &e.Key, &e.Epoch, &e.Version, &e.OccurredAt, &e.RecordedAt, &traceparent, &e.Data)
		e.Trace = event.ParseTraceparent(traceparent)
		return e, err
	})
}

func (t *TakeOver) done(ctx context.Context, tx pgx.Tx, now time.Time, r Restore) error {
	var adopted, without, failed int
	if err := tx.QueryRow(ctx, `
		SELECT count(*), count(*) FILTER (WHERE data = ''), count(*) FILTER (WHERE error <> '') FROM taken_over WHERE adopted_at >= $1`, r.At).
		Scan(&adopted, &without, &failed); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE restore SET taken_over_at = $1 WHERE taken_over_at IS NULL`, now); err != nil {
		return err
	}
	// What was published before the restore may still be on its way, and be newer than what the database came back with: a consumer that it
	// reaches after it was asked would never go on. So everything is published again, in the new epoch; but not what is known to have been newer
	// and could not be brought back: consumers keep what they have of it.
	if _, err := tx.Exec(ctx, `
		WITH outrun AS (
			UPDATE outbox o SET epoch = $2 WHERE type = $1 AND epoch < $2
				AND NOT EXISTS (SELECT FROM taken_over t WHERE t.id = o.id AND (t.epoch, t.version) > (o.epoch, o.version))
			RETURNING id)
		INSERT INTO outbox_unsent (id) SELECT id FROM outrun ORDER BY id`, t.Type, r.Epoch); err != nil {
		return err
	}
	from, to := r.Gap()
	t.Log.WarnContext(ctx, "taken over after a restore: what was recorded in the gap and is held by nobody is missing", "type", t.Type, "epoch", r.Epoch,
		"taken_over", adopted-without-failed, "known_by_version_only", without, "failed", failed, "gap_from", from, "gap_to", to)
	if t.Done == nil {
		return nil
	}
	return t.Done(ctx, tx, now, r)
}

// setAside passes over the first of those that wait: it stays as it is in the restored database, and an alarm tells.
func (t *TakeOver) setAside(ctx context.Context, cause error) error {
	var id uuid.UUID
	if err := t.DB.Pool.QueryRow(ctx, `
		UPDATE taken_over SET adopted_at = $1, error = $2 WHERE id = (SELECT id FROM taken_over WHERE adopted_at IS NULL ORDER BY id LIMIT 1) RETURNING id`,
		t.Now(), inbox.Storable(cause.Error())).Scan(&id); err != nil {
		return err
	}
	t.Log.ErrorContext(ctx, "alarm: a snapshot could not be taken over after a restore; see table taken_over", "type", t.Type, "id", id, "error", cause)
	return nil
}
