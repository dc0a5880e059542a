package communitypickup

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/run"
)

// sweeper fires the notices whose moment has come. A deadline is a column of its task, so that a sweep with nothing due costs one look
// into an index, however many tasks are open.
type sweeper struct {
	store *store
	saved run.Wake
}

const sweepBatch = 500

// Step fires one batch.
func (s *sweeper) Step(ctx context.Context, now time.Time) (bool, error) {
	fired := 0
	err := s.store.db.InTx(ctx, "sweep", func(tx pgx.Tx) error {
		due, err := claimDue(ctx, tx, now)
		if err != nil {
			return err
		}
		if len(due) == 0 {
			return pg.ErrNothing
		}
		fired = len(due)
		spans := s.startSpans(ctx, due)
		defer func() {
			for _, span := range spans {
				span.End()
			}
		}()
		for i := range due {
			due[i].after, due[i].fired = pickup.Fire(s.store.place, due[i].before, now)
			due[i].trace = spans[i].SpanContext()
			due[i].detail = noticeKinds(due[i].fired)
		}
		return s.store.save(ctx, tx, now, due)
	})
	if err != nil {
		return false, fmt.Errorf("sweep deadlines: %w", err)
	}
	if fired > 0 {
		s.saved.Raise()
	}
	return fired == sweepBatch, nil
}

// claimDue locks the tasks with the earliest deadlines that have come and that no other replica holds.
func claimDue(ctx context.Context, tx pgx.Tx, now time.Time) ([]change, error) {
	rows, err := tx.Query(ctx, `
		SELECT id, task FROM task WHERE next_deadline <= $1 ORDER BY next_deadline LIMIT $2 FOR UPDATE SKIP LOCKED`, now, sweepBatch)
	if err != nil {
		return nil, fmt.Errorf("claim deadlines: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (change, error) {
		c := change{known: true, actor: deciderSubject, action: "task.notice", occurredAt: now}
		var text []byte
		if err := row.Scan(&c.id, &text); err != nil {
			return c, err
		}
		var err error
		c.before, err = parseTask(c.id, text)
		return c, err
	})
}

// startSpans begins a trace for each task that a deadline is about to change, linked with the handover that made the task: six weeks lie
// between them.
func (s *sweeper) startSpans(ctx context.Context, due []change) []trace.Span {
	spans := make([]trace.Span, len(due))
	for i, c := range due {
		_, spans[i] = s.store.tracer.Start(ctx, "fire deadline", trace.WithNewRoot(), linkTo(c.before), trace.WithAttributes(taskAttributes(c.before)...))
	}
	return spans
}

// linkTo links a span with the handover that made the task.
func linkTo(t pickup.Task) trace.SpanStartOption {
	return trace.WithLinks(trace.Link{SpanContext: event.ParseTraceparent(t.Origin)})
}

// taskAttributes are the tags by which the six weeks of one handover are found in Jaeger.
func taskAttributes(t pickup.Task) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("homeward.spell.id", t.SpellID),
		attribute.String("homeward.task.id", t.TaskID),
		attribute.String("homeward.reference", t.Reference),
	}
}

func noticeKinds(fired []pickup.Notice) string {
	detail := "notices="
	for i, n := range fired {
		if i > 0 {
			detail += ","
		}
		detail += string(n.Kind)
	}
	return detail
}
