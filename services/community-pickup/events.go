package communitypickup

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/failpoint"
	"github.com/homeward-care/homeward/services/kit/inbox"
)

// deciderSubject is the audit's actor of what the rules decide.
const deciderSubject = "service:community-pickup"

// applyAll returns the handler of one kind of event: each newer snapshot is given to its spell's task, and what becomes of the task is
// saved and published. A new version of the spell is always published: that is the confirmation of its delivery.
func (s *store) applyAll(read func(event.Event) (pickup.Inputs, error)) inbox.Handler {
	return func(ctx context.Context, tx pgx.Tx, now time.Time, fresh []event.Event) error {
		ids := make([]uuid.UUID, len(fresh))
		given := make(map[uuid.UUID]pickup.Inputs, len(fresh))
		by := make(map[uuid.UUID]event.Event, len(fresh))
		for i, e := range fresh {
			in, err := read(e)
			if err == nil {
				err = in.Validate()
			}
			if err != nil {
				return fmt.Errorf("%w: %s %s: %w", inbox.ErrPoison, e.Type, e.ID, err)
			}
			ids[i] = taskID(e.Key)
			given[ids[i]], by[ids[i]] = in, e
		}
		slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
		tasks, err := lockTasks(ctx, tx, ids)
		if err != nil {
			return err
		}
		changes := make([]change, 0, len(ids))
		for _, id := range ids {
			before, known := tasks[id]
			c := change{id: id, known: known, before: before, actor: deciderSubject, action: "task.decide", trace: by[id].Trace, occurredAt: by[id].OccurredAt}
			if known {
				c.after = pickup.Decide(s.place, &before, given[id], now)
			} else {
				c.after = pickup.Decide(s.place, nil, given[id], now)
			}
			if c.after.Origin == "" {
				c.after.Origin = event.Traceparent(by[id].Trace)
			}
			changes = append(changes, c)
		}
		return s.save(ctx, tx, now, changes)
	}
}

func readSpell(e event.Event) (pickup.Inputs, error) {
	var p dischargev1.Spell
	if err := proto.Unmarshal(e.Data, &p); err != nil {
		return pickup.Inputs{}, err
	}
	in := pickup.Inputs{Spell: spellFromProto(&p, stampOf(e))}
	if d := in.Spell.Discharge; d != nil && failpoint.Bug("deadline-from-receipt") {
		d.At = e.RecordedAt
	}
	return in, nil
}

func readAssessment(e event.Event) (pickup.Inputs, error) {
	var p assessmentv1.Assessment
	if err := proto.Unmarshal(e.Data, &p); err != nil {
		return pickup.Inputs{}, err
	}
	return pickup.Inputs{Assessment: assessmentFromProto(&p, stampOf(e))}, nil
}

func readNeed(e event.Event) (pickup.Inputs, error) {
	var p reablementv1.Need
	if err := proto.Unmarshal(e.Data, &p); err != nil {
		return pickup.Inputs{}, err
	}
	return pickup.Inputs{Need: needFromProto(&p, stampOf(e))}, nil
}

func stampOf(e event.Event) pickup.Stamp { return pickup.Stamp{Epoch: e.Epoch, Version: e.Version} }
