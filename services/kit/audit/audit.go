// Package audit writes who did what to which record, in the transaction that does it: an action without its row cannot commit.
package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
)

// Entry is one line of the audit. It holds ids and codes, no names and no free text.
type Entry struct {
	At time.Time
	// Actor is the subject of the principal: a person's or a service's.
	Actor string
	// Action is a verb on a noun, for instance `task.take`, `people.read`.
	Action string
	// Record is the id of what was acted on.
	Record uuid.UUID
	// Detail is in codes, for instance `team=CLS-GRAYS reason=practice`.
	Detail string
	Trace  trace.SpanContext
}

// Append writes the entries in one statement.
func Append(ctx context.Context, tx pgx.Tx, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	n := len(entries)
	at, actor, action := make([]time.Time, n), make([]string, n), make([]string, n)
	record, detail, traceID := make([]uuid.UUID, n), make([]string, n), make([]string, n)
	for i, e := range entries {
		at[i], actor[i], action[i], record[i], detail[i] = e.At, e.Actor, e.Action, e.Record, e.Detail
		if e.Trace.IsSampled() {
			traceID[i] = e.Trace.TraceID().String()
		}
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO audit (at, actor, action, record, detail, trace_id)
		SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::text[])`,
		at, actor, action, record, detail, traceID)
	if err != nil {
		return fmt.Errorf("write audit: %w", err)
	}
	return nil
}
