package reablementcapacity

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/kit/run"
	"github.com/homeward-care/homeward/services/reablement-capacity/reablement"
)

// The types of the events that the service consumes and publishes.
const (
	spellType      = "homeward.discharge.spell.v1"
	assessmentType = "homeward.assessment.assessment.v1"
	needType       = "homeward.reablement.need.v1"
)

// followSpells lets the needs follow their spells. Most spells have none.
func (s *store) followSpells(ctx context.Context, tx pgx.Tx, now time.Time, fresh []event.Event) error {
	ids := make([]uuid.UUID, len(fresh))
	ended := make(map[uuid.UUID]bool, len(fresh))
	news := make(map[uuid.UUID]event.Event, len(fresh))
	for i, e := range fresh {
		over, err := spellEnded(e.Data)
		if err != nil {
			return fmt.Errorf("%w: %w", inbox.ErrPoison, err)
		}
		ids[i], ended[e.ID], news[e.ID] = e.ID, over, e
	}
	if err := applySpells(ctx, tx); err != nil {
		return err
	}
	needs, err := loadNeeds(ctx, tx, ids, forUpdate)
	if err != nil {
		return err
	}
	var changes []change
	for _, n := range needs {
		if next := reablement.Follow(n, ended[n.SpellID]); next != n {
			e := news[n.SpellID]
			changes = append(changes, change{from: n, to: next, actor: "service:" + name, action: "need.follow-spell", occurred: e.OccurredAt, trace: e.Trace})
		}
	}
	return s.save(ctx, tx, now, changes)
}

// spellEnded reports whether a spell's snapshot says that nobody needs reablement: it never was, or the person has died.
func spellEnded(data []byte) (bool, error) {
	var p dischargev1.Spell
	if err := proto.Unmarshal(data, &p); err != nil {
		return false, fmt.Errorf("spell: %w", err)
	}
	return p.GetStatus() == dischargev1.SpellStatus_SPELL_STATUS_VOIDED || p.GetDeath() == dischargev1.Death_DEATH_DIED, nil
}

// keepAssessments leaves assessments where the inbox has put them: nothing here depends on them yet but the explanation of a handover.
func keepAssessments(context.Context, pgx.Tx, time.Time, []event.Event) error { return nil }

// sweep returns the worker that clears away what has run out.
func sweep(s *store, saved run.Wake) func(ctx context.Context, now time.Time) (bool, error) {
	return func(ctx context.Context, now time.Time) (bool, error) {
		freed, err := s.sweep(ctx, now)
		if freed > 0 {
			saved.Raise()
		}
		return freed > 0, err
	}
}
