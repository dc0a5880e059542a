package dischargehub

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/kit/outbox"
	"github.com/homeward-care/homeward/services/kit/run"
)

// applyTasks learns from community-pickup's tasks what is delivered and taken. A handover is delivered when the task rests on the spell's
// current version; a confirmation of an older one leaves it undelivered.
func (s *store) applyTasks(ctx context.Context, tx pgx.Tx, now time.Time, fresh []event.Event) error {
	// By spell, because the update locks in the order of the arrays: every transaction locks spells in the order of their ids.
	slices.SortFunc(fresh, func(a, b event.Event) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	n := len(fresh)
	spells, epochs, versions, taken := make([]uuid.UUID, n), make([]int32, n), make([]int64, n), make([]*time.Time, n)
	tasks := make([]*pickupv1.Task, n)
	for i, e := range fresh {
		task := &pickupv1.Task{}
		if err := proto.Unmarshal(e.Data, task); err != nil {
			return fmt.Errorf("%w: task %s: %w", inbox.ErrPoison, e.ID, err)
		}
		tasks[i] = task
		spells[i], epochs[i], versions[i] = e.Key, task.GetSpellEpoch(), task.GetSpellVersion()
		if t := task.GetTakenAt(); t != nil {
			at := t.AsTime()
			taken[i] = &at
		}
	}
	if err := s.teller.hold(ctx, tx, spells); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `
		UPDATE spell s SET
			delivered_at = CASE WHEN (s.delivered_epoch, s.delivered_version) = (t.epoch, t.version) THEN s.delivered_at ELSE $5 END,
			delivered_epoch = t.epoch, delivered_version = t.version, taken_at = t.taken_at
		FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::timestamptz[]) AS t (id, epoch, version, taken_at)
		WHERE s.id = t.id AND (s.delivered_epoch, s.delivered_version) <= (t.epoch, t.version)`,
		spells, epochs, versions, taken, now)
	if err != nil {
		return fmt.Errorf("store deliveries: %w", err)
	}
	if err := answerTask(ctx, tx, now, s.answeredFeeds(), fresh, tasks); err != nil {
		return err
	}
	return s.teller.tell(ctx, tx, now, spells)
}

// onlyKeep applies events of which nothing is needed but the snapshot that the inbox keeps.
func onlyKeep(context.Context, pgx.Tx, time.Time, []event.Event) error { return nil }

// chaser finds the handovers that community-pickup has not confirmed within a minute, sends them again until it has, and raises the
// alarm when that lasts.
type chaser struct {
	store *store
	now   func() time.Time
	saved run.Wake
	log   *slog.Logger
}

const (
	resendAfter = time.Minute
	alarmAfter  = 15 * time.Minute
	chaseBatch  = 1000
	// chaseOverlap covers transactions that committed long after the time that they recorded.
	chaseOverlap = 2 * time.Minute
)

// Step looks at what has become a minute old since the last look, and sends one batch again.
func (c *chaser) Step(ctx context.Context) (bool, error) {
	now := c.now()
	var count int
	var oldest time.Time
	err := c.store.db.InTx(ctx, "chase", func(tx pgx.Tx) error {
		if err := findUndelivered(ctx, tx, now.Add(-resendAfter)); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT spell_id FROM undelivered ORDER BY since LIMIT $1`, chaseBatch)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT count(*), min(since) FROM undelivered`).Scan(&count, &oldest); err != nil {
			return err
		}
		return outbox.Resend(ctx, tx, ids)
	})
	if err != nil {
		return false, fmt.Errorf("chase undelivered handovers: %w", err)
	}
	if count > 0 {
		c.saved.Raise()
		if oldest.Before(now.Add(-alarmAfter)) {
			c.log.ErrorContext(ctx, "alarm: handovers are not delivered; see that community-pickup runs and is healthy", "count", count, "oldest_since", oldest)
		}
	}
	return false, nil
}

// findUndelivered brings the list of undelivered spells up to date: those whose current version was recorded before the given moment and
// is not confirmed come onto it, those that were confirmed leave it.
func findUndelivered(ctx context.Context, tx pgx.Tx, before time.Time) error {
	var until time.Time
	if err := tx.QueryRow(ctx, `SELECT until FROM chased FOR UPDATE`).Scan(&until); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO undelivered (spell_id, since)
		SELECT o.id, o.recorded_at FROM outbox o JOIN spell s USING (id)
		WHERE o.recorded_at >= $1 AND o.recorded_at < $2 AND (s.delivered_epoch, s.delivered_version) <> (o.epoch, o.version)
		ON CONFLICT (spell_id) DO NOTHING`, until.Add(-chaseOverlap), before); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `
		DELETE FROM undelivered u USING spell s, outbox o
		WHERE s.id = u.spell_id AND o.id = u.spell_id AND (s.delivered_epoch, s.delivered_version) = (o.epoch, o.version)`); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE chased SET until = $1`, before) // a clock that was ahead has gone back
	return err
}
