package communitypickup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/kit/audit"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/kit/outbox"
)

// adoptTasks takes over what discharge-hub held of tasks that a restore lost or put back. A task whose spell is not here again in the version
// on which it rests is published as it was; any other one as it is decided now.
func (s *store) adoptTasks(log *slog.Logger) inbox.Handler {
	return func(ctx context.Context, tx pgx.Tx, now time.Time, fresh []event.Event) error {
		ids := make([]uuid.UUID, len(fresh))
		for i, e := range fresh {
			ids[i] = e.ID
		}
		own, err := lockTasks(ctx, tx, ids)
		if err != nil {
			return err
		}
		var made, kept taskRows
		var notices noticeRows
		var events []event.Event
		var entries []audit.Entry
		nameless := 0
		for _, e := range fresh {
			if len(e.Data) == 0 {
				continue // only that there was a newer version is known
			}
			var p pickupv1.Task
			if err := proto.Unmarshal(e.Data, &p); err != nil {
				return fmt.Errorf("%w: task %s: %w", inbox.ErrPoison, e.ID, err)
			}
			held, rests := taskFromProto(&p)
			if held.TaskID != e.ID.String() {
				return fmt.Errorf("%w: task %s: its snapshot is of task %s", inbox.ErrPoison, e.ID, held.TaskID)
			}
			rows, before := &made, (*pickup.Task)(nil)
			if t, known := own[e.ID]; known {
				rows, before = &kept, &t
			}
			after := pickup.Adopt(s.place, before, held, rests, now)
			if after.Origin == "" {
				after.Origin = event.Traceparent(e.Trace)
			}
			if err := rows.add(s.place, e.ID, after); err != nil {
				return err
			}
			notices.add(e.ID, held.Notices)
			if after.Awaits == nil {
				if e.Data, err = (proto.MarshalOptions{Deterministic: true}).Marshal(taskToProto(after)); err != nil {
					return fmt.Errorf("marshal task %s: %w", e.ID, err)
				}
			}
			events = append(events, e)
			detail := fmt.Sprintf("epoch=%d version=%d", e.Epoch, e.Version)
			if after.Worker == pickup.WorkerNotKnown {
				nameless++
				detail += " worker=" + pickup.WorkerNotKnown
			}
			entries = append(entries, audit.Entry{At: now, Actor: deciderSubject, Action: "task.take-over",
				Record: e.ID, Detail: auditDetail(change{after: after, detail: detail}), Trace: e.Trace})
		}
		if nameless > 0 {
			log.WarnContext(ctx, "after a restore: it is not known who has these tasks; their workers take them again", "count", nameless)
		}
		if err := errors.Join(made.insert(ctx, tx), kept.update(ctx, tx), notices.insertUnless(ctx, tx, ` ON CONFLICT DO NOTHING`)); err != nil {
			return err
		}
		if _, err := outbox.Save(ctx, tx, now, events); err != nil {
			return err
		}
		return audit.Append(ctx, tx, entries...)
	}
}
