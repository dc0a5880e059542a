package reablementcapacity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/kit/audit"
	"github.com/homeward-care/homeward/services/kit/failpoint"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/reablement-capacity/reablement"
)

// store keeps capacity and needs. Every change is saved with its event and its audit row. The order of locks is the same everywhere: needs by
// id, then capacities by id, then slots.
type store struct {
	db   *pg.DB
	zone *time.Location // of the planned last day of a service
}

// command is who asks for what, when.
type command struct {
	actor  string
	action string
	at     time.Time
	trace  trace.SpanContext
}

// publish states what a provider offers.
func (s *store) publish(ctx context.Context, cmd command, id uuid.UUID, provider string, o reablement.Offer) (c reablement.Capacity, err error) {
	err = s.db.InTx(ctx, "capacity.publish", func(tx pgx.Tx) error {
		if c, err = lockCapacity(ctx, tx, id); err != nil && !errors.Is(err, reablement.NoSuchCapacity) {
			return err
		}
		if c, err = reablement.Publish(c, id, provider, o, cmd.at); err != nil {
			return err
		}
		if err := saveCapacity(ctx, tx, c, cmd.at); err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Entry{
			At: cmd.at, Actor: cmd.actor, Action: cmd.action, Record: id, Trace: cmd.trace,
			Detail: fmt.Sprintf("provider=%s area=%s slots=%d used=%d visits_per_day=%d available_from=%s valid_until=%s",
				c.Provider, c.Area, c.Slots, c.Used, c.VisitsPerDay, c.AvailableFrom, c.ValidUntil.UTC().Format(time.RFC3339)),
		})
	})
	return c, err
}

// request states a need, or returns the one that exists.
func (s *store) request(ctx context.Context, cmd command, wanted reablement.Need) (n reablement.Need, err error) {
	err = s.db.InTx(ctx, "need.request", func(tx pgx.Tx) error {
		if err := openNeed(ctx, tx); err != nil {
			return err
		}
		held, err := loadNeeds(ctx, tx, []uuid.UUID{wanted.SpellID}, forUpdate)
		if err != nil {
			return err
		}
		if len(held) > 0 {
			n = held[0]
			return nil
		}
		ended, err := knownToHaveEnded(ctx, tx, wanted.SpellID)
		if err != nil {
			return err
		}
		n = reablement.Follow(wanted, ended)
		return s.save(ctx, tx, cmd.at, []change{cmd.makes(reablement.Need{}, n)})
	})
	return n, err
}

// hold takes a slot of a capacity for a need.
func (s *store) hold(ctx context.Context, cmd command, spell, capacity uuid.UUID, by string, holdFor time.Duration) (n reablement.Need, err error) {
	err = s.db.InTx(ctx, "need.hold", func(tx pgx.Tx) error {
		was, err := lockNeed(ctx, tx, spell)
		if err != nil {
			return err
		}
		if expired := reablement.Expire(was, cmd.at); expired != was {
			// The slot of a hold that ran out may be the one that is free.
			if err := lockCapacities(ctx, tx, was.CapacityID, capacity); err != nil {
				return err
			}
			if err := freeSlots(ctx, tx, []change{{from: was, to: expired}}); err != nil {
				return err
			}
			was = expired
		}
		c, err := lockCapacity(ctx, tx, capacity)
		if err != nil {
			return err
		}
		if n, err = reablement.Hold(was, c, by, holdFor, cmd.at); err != nil || n == was {
			return err
		}
		return s.save(ctx, tx, cmd.at, []change{cmd.makes(was, n)})
	})
	return n, err
}

// decide changes a need by a decision of the domain. The decision is given the capacity of the need's slot, zero while it has none.
func (s *store) decide(ctx context.Context, cmd command, spell uuid.UUID,
	decision func(reablement.Need, reablement.Capacity) (reablement.Need, error),
) (n reablement.Need, err error) {
	err = s.db.InTx(ctx, "need.decide", func(tx pgx.Tx) error {
		was, err := lockNeed(ctx, tx, spell)
		if err != nil {
			return err
		}
		var c reablement.Capacity
		if was.CapacityID != uuid.Nil {
			if c, err = lockCapacity(ctx, tx, was.CapacityID); err != nil {
				return err
			}
		}
		if n, err = decision(was, c); err != nil || n == was {
			return err
		}
		return s.save(ctx, tx, cmd.at, []change{cmd.makes(was, n)})
	})
	return n, err
}

// sweepBatch bounds one transaction of the sweeper.
const sweepBatch = 500

// sweep frees the slots whose time has run out: of holds that nobody accepted, and of services whose planned last day is over. Needs that
// somebody is changing are left for the next sweep. It returns how many slots it freed.
func (s *store) sweep(ctx context.Context, now time.Time) (freed int, err error) {
	err = s.db.InTx(ctx, "need.sweep", func(tx pgx.Tx) error {
		needs, err := queryNeeds(ctx, tx, `WHERE spell_id IN (SELECT spell_id FROM slot WHERE until <= $1 ORDER BY until LIMIT $2)
			ORDER BY spell_id FOR UPDATE SKIP LOCKED`, now, sweepBatch)
		if err != nil {
			return err
		}
		var expired, over []change
		for _, n := range needs {
			switch until, ok := n.SlotUntil(s.zone); {
			case !ok || now.Before(until):
			case n.Status == reablement.Held:
				expired = append(expired, change{
					from: n, to: reablement.Expire(n, now), actor: "service:" + name, action: "need.expire-hold", occurred: until,
				})
			default: // the service itself stays as it is; only its slot is free
				over = append(over, change{from: n, to: n, actor: "service:" + name, action: "need.free-slot"})
			}
		}
		if freed = len(expired) + len(over); freed == 0 {
			return pg.ErrNothing
		}
		if err := freeSlots(ctx, tx, append(over, expired...)); err != nil {
			return err
		}
		if err := audit.Append(ctx, tx, entries(now, over)...); err != nil {
			return err
		}
		return s.save(ctx, tx, now, expired)
	})
	return freed, err
}

// find returns what is free in an area on a day and not stale, the earliest first.
func (s *store) find(ctx context.Context, area string, from reablement.Date, visitsPerDay int, now time.Time) ([]reablement.Capacity, error) {
	rows, err := s.db.Pool.Query(ctx, `
		SELECT c.id, c.provider, c.area, c.slots, u.used, c.visits_per_day, c.available_from::text, c.valid_until
		FROM capacity c, LATERAL (SELECT count(*) AS used FROM slot WHERE capacity_id = c.id) u
		WHERE c.area = $1 AND c.available_from <= $2::text::date AND c.visits_per_day >= $3 AND c.valid_until > $4 AND u.used < c.slots
		ORDER BY c.available_from, c.id LIMIT $5`, area, string(from), visitsPerDay, now, findLimit)
	if err != nil {
		return nil, fmt.Errorf("find capacity: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c reablement.Capacity, err error) {
		err = row.Scan(&c.ID, &c.Provider, &c.Area, &c.Slots, &c.Used, &c.VisitsPerDay, &c.AvailableFrom, &c.ValidUntil)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("find capacity: %w", err)
	}
	return found, nil
}

const findLimit = 100

// get returns the need of a spell.
func (s *store) get(ctx context.Context, spell uuid.UUID) (n reablement.Need, err error) {
	err = s.db.InTx(ctx, "need.read", func(tx pgx.Tx) error {
		held, err := loadNeeds(ctx, tx, []uuid.UUID{spell}, withoutLock)
		if err == nil && len(held) == 0 {
			return errNoNeed
		}
		if err == nil {
			n = held[0]
		}
		return err
	})
	return n, err
}

var errNoNeed = fault.New(fault.NotFound, "no need of reablement was stated for this spell; request reablement first")

// gate keeps the first statement of a need and a snapshot of its spell from missing each other: each looks for the row that the other one
// is about to insert. Batches of spells pass it together, a request alone. Where the need's row exists, its lock is enough.
const gate = 0x6e656564

func applySpells(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock_shared($1)`, gate); err != nil {
		return fmt.Errorf("gate: %w", err)
	}
	return nil
}

func openNeed(ctx context.Context, tx pgx.Tx) error {
	if failpoint.Bug("gate-left-open") {
		return nil
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, gate); err != nil {
		return fmt.Errorf("gate: %w", err)
	}
	return nil
}

// knownToHaveEnded reads the newest snapshot of a spell; a spell that has not been heard of has not ended.
func knownToHaveEnded(ctx context.Context, tx pgx.Tx, spell uuid.UUID) (bool, error) {
	var data []byte
	err := tx.QueryRow(ctx, `SELECT data FROM inbox WHERE id = $1 AND type = $2`, spell, spellType).Scan(&data)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read spell: %w", err)
	}
	return spellEnded(data)
}
