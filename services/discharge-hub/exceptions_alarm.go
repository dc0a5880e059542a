package dischargehub

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// exceptionAlarm raises the alarms of exceptions that nobody deals with: each step of each exception once, one line for all of a kind and step.
type exceptionAlarm struct {
	store *store
	log   *slog.Logger
}

const (
	exceptionAlarmPoll  = 15 * time.Second
	exceptionAlarmBatch = 500
)

// waiting is an exception whose next alarm has come, or is to be worked out.
type waiting struct {
	id     int64
	kind   string
	opened time.Time
	alarms int
}

// late is what one alarm line tells of.
type late struct {
	kind  string
	alarm int
}

// Step works out when new exceptions raise their alarms, and raises those that have come. What it logs it has stored: after a crash
// between the two an alarm can be missing, and the list shows it all the same.
func (a *exceptionAlarm) Step(ctx context.Context, now time.Time) (bool, error) {
	raised := map[late][]waiting{}
	more := false
	err := a.store.db.InTx(ctx, "exception.alarm", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT id, kind, opened_at, alarms FROM exception WHERE closed_at IS NULL AND alarm_at <= $1 ORDER BY alarm_at, id LIMIT $2
			FOR UPDATE SKIP LOCKED`, now, exceptionAlarmBatch)
		if err != nil {
			return err
		}
		list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w waiting, err error) {
			err = row.Scan(&w.id, &w.kind, &w.opened, &w.alarms)
			return w, err
		})
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return pg.ErrNothing
		}
		more = len(list) == exceptionAlarmBatch
		ids, counts, next := make([]int64, len(list)), make([]int32, len(list)), make([]*time.Time, len(list))
		for i, w := range list {
			steps := discharge.Alarms(w.kind, w.opened)
			passed, _ := slices.BinarySearchFunc(steps, now, func(step, now time.Time) int { return cmp.Or(step.Compare(now), -1) })
			ids[i], counts[i] = w.id, int32(max(passed, w.alarms))
			if passed < len(steps) {
				next[i] = &steps[passed]
			}
			if passed > w.alarms {
				raised[late{w.kind, passed}] = append(raised[late{w.kind, passed}], w)
			}
		}
		_, err = tx.Exec(ctx, `
			UPDATE exception e SET alarms = u.alarms, alarm_at = coalesce(u.next, 'infinity')
			FROM unnest($1::bigint[], $2::int[], $3::timestamptz[]) AS u (id, alarms, next) WHERE e.id = u.id`, ids, counts, next)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("alarm exceptions: %w", err)
	}
	for l, list := range raised {
		oldest := slices.MinFunc(list, func(x, y waiting) int { return x.opened.Compare(y.opened) })
		a.log.ErrorContext(ctx, "alarm: exceptions wait for a person longer than they may; list them with `homeward exceptions list --late`",
			"kind", l.kind, "alarm", l.alarm, "count", len(list), "oldest", oldest.id, "opened_at", oldest.opened)
	}
	return more, nil
}
