package reablementcapacity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/homeward-care/homeward/services/kit/audit"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/failpoint"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/outbox"
	"github.com/homeward-care/homeward/services/reablement-capacity/reablement"
)

// locking is the end of a SELECT.
type locking string

const (
	withoutLock locking = ""
	forUpdate   locking = " FOR UPDATE"
)

// loadNeeds reads the needs of the spells that have one, in the order of their ids.
func loadNeeds(ctx context.Context, tx pgx.Tx, spells []uuid.UUID, lock locking) ([]reablement.Need, error) {
	return queryNeeds(ctx, tx, `WHERE spell_id = ANY($1) ORDER BY spell_id`+string(lock), spells)
}

func queryNeeds(ctx context.Context, tx pgx.Tx, where string, args ...any) ([]reablement.Need, error) {
	rows, err := tx.Query(ctx, `
		SELECT spell_id, status, area, visits_per_day, wanted_from::text, requested_at, provider, capacity_id, held_until,
			coalesce(starts_on::text, ''), coalesce(planned_end_on::text, '')
		FROM need `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("load needs: %w", err)
	}
	needs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (n reablement.Need, err error) {
		var capacity *uuid.UUID
		var held *time.Time
		err = row.Scan(&n.SpellID, &n.Status, &n.Area, &n.VisitsPerDay, &n.WantedFrom, &n.RequestedAt, &n.Provider, &capacity, &held,
			&n.StartsOn, &n.PlannedEnd)
		if capacity != nil {
			n.CapacityID = *capacity
		}
		if held != nil {
			n.HeldUntil = held.UTC()
		}
		n.RequestedAt = n.RequestedAt.UTC()
		return n, err
	})
	if err != nil {
		return nil, fmt.Errorf("load needs: %w", err)
	}
	return needs, nil
}

func lockNeed(ctx context.Context, tx pgx.Tx, spell uuid.UUID) (reablement.Need, error) {
	needs, err := loadNeeds(ctx, tx, []uuid.UUID{spell}, forUpdate)
	if err == nil && len(needs) == 0 {
		err = errNoNeed
	}
	if err != nil {
		return reablement.Need{}, err
	}
	return needs[0], nil
}

// lockCapacity locks a capacity and then counts what is in use, so that the count stays true until the end of the transaction.
func lockCapacity(ctx context.Context, tx pgx.Tx, id uuid.UUID) (c reablement.Capacity, err error) {
	err = tx.QueryRow(ctx, `
		SELECT id, provider, area, slots, visits_per_day, available_from::text, valid_until FROM capacity WHERE id = $1 FOR UPDATE`, id,
	).Scan(&c.ID, &c.Provider, &c.Area, &c.Slots, &c.VisitsPerDay, &c.AvailableFrom, &c.ValidUntil)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, reablement.NoSuchCapacity
	}
	if err != nil {
		return c, fmt.Errorf("lock capacity: %w", err)
	}
	if err := tx.QueryRow(ctx, `
		SELECT count(*), coalesce(max(n.visits_per_day), 0) FROM slot s JOIN need n ON n.spell_id = s.spell_id WHERE s.capacity_id = $1`, id,
	).Scan(&c.Used, &c.UsedVisits); err != nil {
		return c, fmt.Errorf("count slots: %w", err)
	}
	return c, nil
}

// lockCapacities locks several in the order of their ids. Whoever takes or frees slots holds the lock of their capacity, and whoever does so
// with more than one locks them all before the first.
func lockCapacities(ctx context.Context, tx pgx.Tx, ids ...uuid.UUID) error {
	if _, err := tx.Exec(ctx, `SELECT FROM capacity WHERE id = ANY($1) ORDER BY id FOR UPDATE`, ids); err != nil {
		return fmt.Errorf("lock capacities: %w", err)
	}
	return nil
}

// saveCapacity stores an offer. Its number of slots is repeated in the rows of those that are taken, which keeps them from being more; those
// with a number above get a free one below first.
func saveCapacity(ctx context.Context, tx pgx.Tx, c reablement.Capacity, now time.Time) error {
	if _, err := tx.Exec(ctx, `
		WITH high AS (SELECT number, row_number() OVER (ORDER BY number) AS nth FROM slot WHERE capacity_id = $1 AND number > $2),
		free AS (SELECT n AS number, row_number() OVER (ORDER BY n) AS nth FROM generate_series(1, $2::int) n
			WHERE NOT EXISTS (SELECT FROM slot WHERE capacity_id = $1 AND number = n))
		UPDATE slot SET number = free.number FROM high JOIN free USING (nth) WHERE slot.capacity_id = $1 AND slot.number = high.number`,
		c.ID, c.Slots); err != nil {
		return fmt.Errorf("move slots: %w", err)
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO capacity (id, provider, area, slots, visits_per_day, available_from, valid_until, published_at)
		VALUES ($1, $2, $3, $4, $5, $6::text::date, $7, $8)
		ON CONFLICT (id) DO UPDATE SET area = excluded.area, slots = excluded.slots, visits_per_day = excluded.visits_per_day,
			available_from = excluded.available_from, valid_until = excluded.valid_until, published_at = excluded.published_at
		WHERE capacity.provider = excluded.provider`,
		c.ID, c.Provider, c.Area, c.Slots, c.VisitsPerDay, string(c.AvailableFrom), c.ValidUntil, now)
	if err != nil {
		return fmt.Errorf("save capacity: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return fault.New(fault.Conflict, "another provider has just published this capacity id; choose a new one")
	}
	return nil
}

// change is a new state of a need with its reason.
type change struct {
	from, to      reablement.Need
	actor, action string
	occurred      time.Time
	trace         trace.SpanContext
}

func (cmd command) makes(from, to reablement.Need) change {
	return change{from: from, to: to, actor: cmd.actor, action: cmd.action, occurred: cmd.at, trace: cmd.trace}
}

// detail names the provider and the capacity of the slot that the need has, or had until now.
func (c change) detail() string {
	place := c.to.Place
	if place.CapacityID == uuid.Nil {
		place = c.from.Place
	}
	if place.CapacityID == uuid.Nil {
		return fmt.Sprintf("status=%s area=%s", c.to.Status, c.to.Area)
	}
	return fmt.Sprintf("status=%s area=%s provider=%s capacity=%s", c.to.Status, c.to.Area, place.Provider, place.CapacityID)
}

// save stores new states with their slots, events and audit rows. The caller holds the locks of the needs and of the capacity of which a
// slot is taken.
func (s *store) save(ctx context.Context, tx pgx.Tx, now time.Time, changes []change) error {
	if len(changes) == 0 {
		return nil
	}
	events := make([]event.Event, len(changes))
	for i, c := range changes {
		data, err := proto.Marshal(needToProto(c.to))
		if err != nil {
			return err
		}
		id := c.to.SpellID
		events[i] = event.Event{Type: needType, ID: id, Key: id, OccurredAt: c.occurred, Trace: c.trace, Data: data}
	}
	if err := saveNeeds(ctx, tx, changes); err != nil {
		return err
	}
	if err := s.saveSlots(ctx, tx, changes); err != nil {
		return err
	}
	if _, err := outbox.Save(ctx, tx, now, events); err != nil {
		return err
	}
	return audit.Append(ctx, tx, entries(now, changes)...)
}

// entries are the audit rows of changes.
func entries(now time.Time, changes []change) []audit.Entry {
	all := make([]audit.Entry, len(changes))
	for i, c := range changes {
		all[i] = audit.Entry{At: now, Actor: c.actor, Action: c.action, Record: c.to.SpellID, Detail: c.detail(), Trace: c.trace}
	}
	return all
}

func saveNeeds(ctx context.Context, tx pgx.Tx, changes []change) error {
	n := len(changes)
	ids, statuses, areas, visits := make([]uuid.UUID, n), make([]string, n), make([]string, n), make([]int32, n)
	wanted, requested, providers := make([]string, n), make([]time.Time, n), make([]string, n)
	capacities, held := make([]*uuid.UUID, n), make([]*time.Time, n)
	starts, ends := make([]string, n), make([]string, n)
	for i, c := range changes {
		t := c.to
		ids[i], statuses[i], areas[i], visits[i] = t.SpellID, string(t.Status), t.Area, int32(t.VisitsPerDay)
		wanted[i], requested[i], providers[i] = string(t.WantedFrom), t.RequestedAt, t.Provider
		if t.CapacityID != uuid.Nil {
			capacities[i] = &t.CapacityID
		}
		if !t.HeldUntil.IsZero() {
			held[i] = &t.HeldUntil
		}
		starts[i], ends[i] = string(t.StartsOn), string(t.PlannedEnd)
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO need (spell_id, status, area, visits_per_day, wanted_from, requested_at, provider, capacity_id, held_until, starts_on, planned_end_on)
		SELECT spell_id, status, area, visits, wanted::date, requested, provider, capacity, held, nullif(starts, '')::date, nullif(ends, '')::date
		FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::timestamptz[], $7::text[], $8::uuid[], $9::timestamptz[],
			$10::text[], $11::text[]) AS u (spell_id, status, area, visits, wanted, requested, provider, capacity, held, starts, ends)
		ON CONFLICT (spell_id) DO UPDATE SET status = excluded.status, provider = excluded.provider, capacity_id = excluded.capacity_id,
			held_until = excluded.held_until, starts_on = excluded.starts_on, planned_end_on = excluded.planned_end_on`,
		ids, statuses, areas, visits, wanted, requested, providers, capacities, held, starts, ends); err != nil {
		return fmt.Errorf("save needs: %w", err)
	}
	return nil
}

// saveSlots takes, keeps or frees the slots that the changes say.
func (s *store) saveSlots(ctx context.Context, tx pgx.Tx, changes []change) error {
	var lost []change
	for _, c := range changes {
		var until *time.Time
		if at, ok := c.to.SlotUntil(s.zone); ok && !failpoint.Bug("hold-without-expiry") {
			until = &at
		}
		switch {
		case c.to.CapacityID == uuid.Nil && c.from.CapacityID != uuid.Nil:
			lost = append(lost, c)
		case c.to.CapacityID == uuid.Nil:
		case c.from.CapacityID == c.to.CapacityID:
			if _, err := tx.Exec(ctx, `UPDATE slot SET until = $2 WHERE spell_id = $1`, c.to.SpellID, until); err != nil {
				return fmt.Errorf("keep slot: %w", err)
			}
		default:
			if err := takeSlot(ctx, tx, c.to.CapacityID, c.to.SpellID, until); err != nil {
				return err
			}
		}
	}
	return freeSlots(ctx, tx, lost)
}

// takeSlot gives the lowest free number of a capacity to a need. The table's constraints refuse it when there is none.
func takeSlot(ctx context.Context, tx pgx.Tx, capacity, spell uuid.UUID, until *time.Time) error {
	if _, err := tx.Exec(ctx, `
		INSERT INTO slot (capacity_id, slots, number, spell_id, until)
		SELECT c.id, c.slots, (SELECT min(n) FROM generate_series(1, c.slots) n
			WHERE NOT EXISTS (SELECT FROM slot s WHERE s.capacity_id = c.id AND s.number = n)), $2, $3
		FROM capacity c WHERE c.id = $1`, capacity, spell, until); err != nil {
		return fmt.Errorf("take slot: %w", err)
	}
	return nil
}

// freeSlots frees the slots that the needs had.
func freeSlots(ctx context.Context, tx pgx.Tx, lost []change) error {
	if len(lost) == 0 || failpoint.Bug("released-slot-kept") {
		return nil
	}
	spells, capacities := make([]uuid.UUID, len(lost)), make([]uuid.UUID, len(lost))
	for i, c := range lost {
		spells[i], capacities[i] = c.from.SpellID, c.from.CapacityID
	}
	if err := lockCapacities(ctx, tx, capacities...); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM slot WHERE spell_id = ANY($1)`, spells); err != nil {
		return fmt.Errorf("free slots: %w", err)
	}
	return nil
}
