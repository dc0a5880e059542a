package dischargehub

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/homeward-care/homeward/services/kit/service"
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

// Step forgets a batch of each.
func (r *retention) Step(ctx context.Context, now time.Time) (bool, error) {
	more := false
	for _, old := range []struct {
		what, text string
		before     time.Time
	}{
		{"answers", `DELETE FROM fhir_answer WHERE (client, request_id) IN (
			SELECT client, request_id FROM fhir_answer WHERE at < $1 ORDER BY at LIMIT $2)`, now.Add(-r.answers)},
		{"attempts to post Tasks", `DELETE FROM webhook_attempt WHERE id IN (
			SELECT id FROM webhook_attempt WHERE taken_at < $1 ORDER BY taken_at LIMIT $2)`, now.Add(-r.attempts)},
		{"attempts to answer wards", `DELETE FROM answer_attempt WHERE (answer_id, at) IN (
			SELECT answer_id, at FROM answer_attempt WHERE accepted_at < $1 ORDER BY accepted_at LIMIT $2)`, now.Add(-r.attempts)},
	} {
		tag, err := r.store.db.Pool.Exec(ctx, old.text, old.before, retentionBatch)
		if err != nil {
			return false, fmt.Errorf("forget %s: %w", old.what, err)
		}
		more = more || tag.RowsAffected() == retentionBatch
	}
	return more, nil
}

// neverBack is a clock for what must not look older than it is, such as an answer that is forgotten by its age: it shows no less than the time at
// the start of the service and what has elapsed since. What the clock shows at the start is taken for right, as everywhere.
func neverBack(svc *service.Service) func() time.Time {
	start, elapsed := svc.Now(), svc.Elapsed()
	return func() time.Time {
		now := svc.Now()
		if least := start.Add(svc.Elapsed() - elapsed); least.After(now) {
			return least
		}
		return now
	}
}
