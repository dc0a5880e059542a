package dischargehub

import (
	"context"
	"fmt"
	"log/slog"
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
	n := len(fresh)
	spells, epochs, versions, taken := make([]uuid.UUID, n), make([]int32, n), make([]int64, n), make([]*time.Time, n)
	for i, e := range fresh {
		var task pickupv1.Task
		if err := proto.Unmarshal(e.Data, &task); err != nil {
			return fmt.Errorf("%w: task %s: %w", inbox.ErrPoison, e.ID, err)
		}
		spells[i], epochs[i], versions[i] = e.Key, task.GetSpellEpoch(), task.GetSpellVersion()
		if t := task.GetTakenAt(); t != nil {
			at := t.AsTime()
			taken[i] = &at
		}
	}
	_, err := tx.Exec(ctx, `
		WITH told AS (
			SELECT * FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::timestamptz[]) AS u (id, epoch, version, taken_at)
		), locked AS MATERIALIZED (
			SELECT id FROM spell WHERE id = ANY($1) ORDER BY id FOR UPDATE
		)
		UPDATE spell s SET
			delivered_at = CASE WHEN (s.delivered_epoch, s.delivered_version) = (t.epoch, t.version) THEN s.delivered_at ELSE $5 END,
			delivered_epoch = t.epoch, delivered_version = t.version, taken_at = t.taken_at,
			undelivered_since = CASE WHEN (o.epoch, o.version) = (t.epoch, t.version) THEN NULL ELSE coalesce(s.undelivered_since, $5) END
		FROM locked l JOIN told t USING (id) JOIN outbox o USING (id)
		WHERE s.id = l.id AND (s.delivered_epoch, s.delivered_version) <= (t.epoch, t.version)`,
		spells, epochs, versions, taken, now)
	if err != nil {
		return fmt.Errorf("store deliveries: %w", err)
	}
	return nil
}

// keepSnapshots applies events whose snapshot in the inbox is all that is needed of them.
func keepSnapshots(context.Context, pgx.Tx, time.Time, []event.Event) error { return nil }

// chaser sends again what community-pickup has not confirmed, and raises the alarm when that lasts.
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
)

// Step sends one batch again.
func (c *chaser) Step(ctx context.Context) (bool, error) {
	now := c.now()
	var late int
	var oldest time.Time
	err := c.store.db.InTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT id, undelivered_since FROM spell WHERE undelivered_since < $1 ORDER BY undelivered_since LIMIT $2`, now.Add(-resendAfter), chaseBatch)
		if err != nil {
			return err
		}
		var ids []uuid.UUID
		var id uuid.UUID
		var since time.Time
		if _, err := pgx.ForEachRow(rows, []any{&id, &since}, func() error {
			ids = append(ids, id)
			if since.Before(now.Add(-alarmAfter)) {
				late++
				if oldest.IsZero() {
					oldest = since
				}
			}
			return nil
		}); err != nil || len(ids) == 0 {
			return err
		}
		return outbox.Resend(ctx, tx, ids)
	})
	if err != nil {
		return false, fmt.Errorf("chase undelivered handovers: %w", err)
	}
	if late > 0 {
		c.log.ErrorContext(ctx, "alarm: handovers are not delivered; see that community-pickup runs and is healthy",
			"count_at_least", late, "oldest_since", oldest)
	}
	c.saved.Raise()
	return false, nil
}
