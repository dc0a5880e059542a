// Package restore is for a service whose database was put back to an earlier point. The operator declares it; before the service opens its
// doors it takes over from its consumers what they hold of its own aggregates; what nobody holds is the gap, which is told.
package restore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/services/kit/failpoint"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/outbox"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// Restore is one restore of a database.
type Restore struct {
	// Epoch is the one that it began.
	Epoch int32
	// KeptUntil is the newest moment that the restored database knew. What was recorded between it and At may be missing. Moments after At were
	// told by a clock that was wrong, and do not count.
	KeptUntil, At time.Time
	// TakenOverAt is zero as long as the take-over is due.
	TakenOverAt time.Time
}

// margin is how much longer than KeptUntil a transaction may have taken after the moment that it recorded.
const margin = time.Minute

// Gap is the time whose records may be missing, with a margin for what was on its way.
func (r Restore) Gap() (from, to time.Time) { return r.KeptUntil.Add(-margin), r.At }

// Declare notes that the database was restored: it begins a new epoch, so that whatever is published from now on is newer than all that
// consumers saw, and makes a take-over due. Where one is due already it changes nothing and returns that one, with again true. It refuses
// while the service runs.
func Declare(ctx context.Context, db *pg.DB, now time.Time) (r Restore, again bool, err error) {
	err = db.InTx(ctx, "restored", func(tx pgx.Tx) error {
		idle, err := outbox.Idle(ctx, tx)
		if err != nil {
			return err
		}
		if !idle {
			return fault.New(fault.Precondition, "the service runs on this database: stop every instance of it first")
		}
		if err := tx.QueryRow(ctx, `SELECT epoch FROM epoch FOR UPDATE`).Scan(&r.Epoch); err != nil {
			return err
		}
		due, err := read(tx.Query(ctx, selectRestore+`WHERE taken_over_at IS NULL`))
		if err != nil {
			return err
		}
		if again = len(due) > 0; again {
			r = due[0]
			return nil
		}
		if !failpoint.Bug("epoch-forgotten") {
			r.Epoch++
		}
		r.At = now
		if err := tx.QueryRow(ctx, `
			SELECT coalesce(greatest((SELECT max(recorded_at) FROM outbox WHERE recorded_at <= $1), (SELECT max(applied_at) FROM inbox WHERE applied_at <= $1),
				(SELECT max(at) FROM audit WHERE at <= $1)), to_timestamp(0))`, now,
		).Scan(&r.KeptUntil); err != nil {
			return err
		}
		r.KeptUntil = r.KeptUntil.UTC()
		if _, err := tx.Exec(ctx, `UPDATE epoch SET epoch = $1`, r.Epoch); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO restore (epoch, kept_until, restored_at) VALUES ($1, $2, $3)`, r.Epoch, r.KeptUntil, r.At)
		return err
	})
	if err != nil {
		return r, false, fmt.Errorf("declare the restore: %w", err)
	}
	return r, again, nil
}

// Open returns the restores whose gap nobody has closed, the newest first.
func Open(ctx context.Context, db *pg.DB) ([]Restore, error) {
	return read(db.Pool.Query(ctx, selectRestore+`WHERE closed_at IS NULL ORDER BY epoch DESC`))
}

// Close notes that what was missing has been sent again.
func Close(ctx context.Context, tx pgx.Tx, now time.Time) error {
	if _, err := tx.Exec(ctx, `UPDATE restore SET closed_at = $1 WHERE closed_at IS NULL AND taken_over_at IS NOT NULL`, now); err != nil {
		return fmt.Errorf("close the gap: %w", err)
	}
	return nil
}

const selectRestore = `SELECT epoch, kept_until, restored_at, coalesce(taken_over_at, '0001-01-01Z') FROM restore `

func read(rows pgx.Rows, err error) ([]Restore, error) {
	if err != nil {
		return nil, fmt.Errorf("read restores: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Restore, err error) {
		err = row.Scan(&r.Epoch, &r.KeptUntil, &r.At, &r.TakenOverAt)
		r.KeptUntil, r.At, r.TakenOverAt = r.KeptUntil.UTC(), r.At.UTC(), r.TakenOverAt.UTC()
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read restores: %w", err)
	}
	return list, nil
}
