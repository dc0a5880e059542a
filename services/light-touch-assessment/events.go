package lighttouch

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/light-touch-assessment/assessment"
)

// The types of the events that the service consumes and publishes.
const (
	spellType      = "homeward.discharge.spell.v1"
	assessmentType = "homeward.assessment.assessment.v1"
)

// followSpells lets the assessments follow their spells. Most spells have none.
func (s *store) followSpells(ctx context.Context, tx pgx.Tx, now time.Time, fresh []event.Event) error {
	ids := make([]uuid.UUID, len(fresh))
	spells := make(map[uuid.UUID]assessment.Spell, len(fresh))
	news := make(map[uuid.UUID]event.Event, len(fresh))
	for i, e := range fresh {
		spell, err := readSpell(e.Data)
		if err != nil {
			return fmt.Errorf("%w: %w", inbox.ErrPoison, err)
		}
		ids[i], spells[e.ID], news[e.ID] = e.ID, spell, e
	}
	if err := applySpells(ctx, tx); err != nil {
		return err
	}
	held, err := load(ctx, tx, ids, forUpdate)
	if err != nil {
		return err
	}
	var changes []change
	for _, a := range held {
		next := assessment.Follow(a, spells[a.SpellID])
		if reflect.DeepEqual(a, next) {
			continue
		}
		e := news[a.SpellID]
		changes = append(changes, change{
			to: next, actor: "service:" + name, action: "assessment.follow-spell", occurred: e.OccurredAt, trace: e.Trace,
			detail: fmt.Sprintf("status=%s left_with_unmet=%d", next.Status, next.LeftWithUnmet),
		})
	}
	return save(ctx, tx, now, changes)
}

// readSpell reads what an assessment needs of a spell's snapshot. Who died in hospital did not leave with anything unmet.
func readSpell(data []byte) (assessment.Spell, error) {
	var p dischargev1.Spell
	if err := proto.Unmarshal(data, &p); err != nil {
		return assessment.Spell{}, fmt.Errorf("spell: %w", err)
	}
	s := assessment.Spell{
		Voided: p.GetStatus() == dischargev1.SpellStatus_SPELL_STATUS_VOIDED,
		Died:   p.GetDeath() == dischargev1.Death_DEATH_DIED,
	}
	if d := p.GetDischarge(); d.GetAt() != nil && !diedInHospital(d) {
		s.LeftAt = d.GetAt().AsTime()
	}
	return s, nil
}

// diedInHospital reads the NHS Data Dictionary's discharge method (4 died, 5 stillbirth) and destination (79 died).
func diedInHospital(d *dischargev1.Discharge) bool {
	return d.GetMethod() == "4" || d.GetMethod() == "5" || d.GetDestination() == "79"
}
