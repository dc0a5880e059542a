package lighttouch

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/light-touch-assessment/assessment"
)

// adoptAssessments takes over what discharge-hub held of assessments that a restore lost or put back.
func adoptAssessments(log *slog.Logger) inbox.Handler {
	return func(ctx context.Context, tx pgx.Tx, now time.Time, fresh []event.Event) error {
		ids := make([]uuid.UUID, len(fresh))
		for i, e := range fresh {
			ids[i] = e.ID
		}
		list, err := load(ctx, tx, ids, forUpdate)
		if err != nil {
			return err
		}
		own := make(map[uuid.UUID]assessment.Assessment, len(list))
		for _, a := range list {
			own[a.SpellID] = a
		}
		var changes []change
		var adopted []uuid.UUID
		unanswered := 0
		for _, e := range fresh {
			if len(e.Data) == 0 {
				continue // only that there was a newer version is known
			}
			held, err := fromProto(e.ID, e.Data)
			if err != nil {
				return fmt.Errorf("%w: %w", inbox.ErrPoison, err)
			}
			a := assessment.Adopt(own[e.ID], held)
			detail := fmt.Sprintf("epoch=%d version=%d status=%s decision=%s unmet=%d", e.Epoch, e.Version, a.Status, a.Decision, len(a.Unmet()))
			if a.Status == assessment.Complete && len(a.Answers) == 0 {
				unanswered++
				detail += " answers=lost"
			}
			adopted = append(adopted, e.ID)
			changes = append(changes, change{to: a, actor: "service:" + name, action: "assessment.take-over", detail: detail, occurred: e.OccurredAt, trace: e.Trace})
		}
		if unanswered > 0 {
			log.WarnContext(ctx, "after a restore: decision and conditions of these assessments are here again, their answers are not; see the audit", "count", unanswered)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM assessment_condition WHERE spell_id = ANY($1)`, adopted); err != nil {
			return fmt.Errorf("adopt conditions: %w", err)
		}
		return save(ctx, tx, now, changes)
	}
}

// fromProto reads what toProto wrote.
func fromProto(spell uuid.UUID, data []byte) (a assessment.Assessment, err error) {
	var p assessmentv1.Assessment
	if err := proto.Unmarshal(data, &p); err != nil {
		return a, fmt.Errorf("assessment %s: %w", spell, err)
	}
	a = assessment.Assessment{
		SpellID: spell, Status: statuses[p.GetStatus()], QuestionSet: p.GetQuestionSet(), Decision: decisions[p.GetDecision()],
		RequestedAt: timeOf(p.GetRequestedAt()), CompletedAt: timeOf(p.GetCompletedAt()), LeftWithUnmet: int(p.GetLeftWithUnmet()),
	}
	for _, c := range p.GetConditions() {
		id, err := uuid.Parse(c.GetConditionId())
		if err != nil {
			return a, fmt.Errorf("assessment %s: condition: %w", spell, err)
		}
		a.Conditions = append(a.Conditions, assessment.Condition{ID: id, Code: c.GetCode(), Owner: c.GetOwner(), Due: dues[c.GetDue()], MetAt: timeOf(c.GetMetAt())})
	}
	return a, nil
}

func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
