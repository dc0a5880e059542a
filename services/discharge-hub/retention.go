package dischargehub

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// retention forgets, in small batches, what is kept only for a while: the answers to requests at the FHIR door, by which a repeated
// X-Request-ID has no second effect, and the attempts to tell a hospital what it has taken: to post a Task, to send a ward's answer.
type retention struct {
	store *store
	// answers is how long an X-Request-ID is remembered, attempts how long attempts are kept after what they told was taken.
	answers, attempts time.Duration
}

const (
	retentionPoll  = time.Hour
	retentionBatch = 500
)

func (c Config) retention(st *store) *retention {
	return &retention{st, cmp.Or(c.FHIRAnswersKept, 30*24*time.Hour), cmp.Or(c.AttemptsKept, 90*24*time.Hour)}
}

// Step forgets a batch of each. An answer is old when the database's clock and the hub's both say so, because to forget it early does a repeated
// request a second time.
func (r *retention) Step(ctx context.Context, now time.Time) (bool, error) {
	more := false
	for _, old := range []struct {
		what, text string
		args       []any
	}{
		{"answers", `DELETE FROM fhir_answer WHERE (client, request_id) IN (
			SELECT client, request_id FROM fhir_answer WHERE at < least($1, now() - $3::interval) ORDER BY at LIMIT $2)`,
			[]any{now.Add(-r.answers), retentionBatch, r.answers}},
		{"attempts to post Tasks", `DELETE FROM webhook_attempt WHERE id IN (
			SELECT id FROM webhook_attempt WHERE taken_at < $1 ORDER BY taken_at LIMIT $2)`, []any{now.Add(-r.attempts), retentionBatch}},
		{"attempts to answer wards", `DELETE FROM answer_attempt WHERE (answer_id, at) IN (
			SELECT t.answer_id, t.at FROM answer_attempt t JOIN answer a ON a.id = t.answer_id
			WHERE t.at < $1 AND a.accepted_at < $1 ORDER BY t.at LIMIT $2)`, []any{now.Add(-r.attempts), retentionBatch}},
	} {
		tag, err := r.store.db.Pool.Exec(ctx, old.text, old.args...)
		if err != nil {
			return false, fmt.Errorf("forget %s: %w", old.what, err)
		}
		more = more || tag.RowsAffected() == retentionBatch
	}
	return more, nil
}
