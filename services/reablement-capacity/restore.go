package reablementcapacity

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/kit/restore"
	"github.com/homeward-care/homeward/services/reablement-capacity/reablement"
)

// adoptNeeds takes over what community-pickup held of needs that a restore lost or put back, with their slots.
func (s *store) adoptNeeds(ctx context.Context, tx pgx.Tx, now time.Time, fresh []event.Event) error {
	ids := make([]uuid.UUID, len(fresh))
	for i, e := range fresh {
		ids[i] = e.ID
	}
	list, err := loadNeeds(ctx, tx, ids, forUpdate)
	if err != nil {
		return err
	}
	own := make(map[uuid.UUID]reablement.Need, len(list))
	for _, n := range list {
		own[n.SpellID] = n
	}
	var changes, moved []change
	var taking []reablement.Need
	for _, e := range fresh {
		if len(e.Data) == 0 {
			continue // only that there was a newer version is known
		}
		held, err := needFromProto(e.ID, e.Data)
		if err != nil {
			return fmt.Errorf("%w: %w", inbox.ErrPoison, err)
		}
		c := change{from: own[e.ID], to: held, actor: "service:" + name, action: "need.take-over", occurred: e.OccurredAt, trace: e.Trace}
		if c.from.CapacityID != c.to.CapacityID {
			if c.from.CapacityID != uuid.Nil {
				moved = append(moved, c)
				c.from.Place = reablement.Place{}
			}
			if c.to.CapacityID != uuid.Nil {
				taking = append(taking, c.to)
			}
		}
		changes = append(changes, c)
	}
	if err := freeSlots(ctx, tx, moved); err != nil {
		return err
	}
	if err := makeRoom(ctx, tx, now, taking); err != nil {
		return err
	}
	return s.save(ctx, tx, now, changes)
}

// makeRoom lets the needs have the slots that they had, whatever the restored database knows of the offers. An offer that it does not know at
// all is made of what the need tells.
func makeRoom(ctx context.Context, tx pgx.Tx, now time.Time, taking []reablement.Need) error {
	slices.SortStableFunc(taking, func(a, b reablement.Need) int { return bytes.Compare(a.CapacityID[:], b.CapacityID[:]) })
	for _, n := range taking {
		from := n.StartsOn
		if from == "" {
			from = n.WantedFrom
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO capacity (id, provider, area, slots, visits_per_day, available_from, valid_until, published_at)
			VALUES ($1, $2, $3, 0, $4, $5::text::date, $6, $6) ON CONFLICT (id) DO NOTHING`,
			n.CapacityID, n.Provider, n.Area, n.VisitsPerDay, string(from), now); err != nil {
			return fmt.Errorf("make room: %w", err)
		}
	}
	for len(taking) > 0 {
		id, n := taking[0].CapacityID, 0
		for n < len(taking) && taking[n].CapacityID == id {
			n++
		}
		taking = taking[n:]
		if _, err := tx.Exec(ctx, `
			UPDATE capacity c SET slots = greatest(c.slots, $2 + (SELECT count(*) FROM slot WHERE capacity_id = c.id)) WHERE c.id = $1`, id, n); err != nil {
			return fmt.Errorf("make room: %w", err)
		}
	}
	return nil
}

// doubtOffers makes every offer stale after a restore: what providers said since is not known, and no slot may be given twice. Each provider
// confirms its offer by publishing it again.
func doubtOffers(log *slog.Logger) func(context.Context, pgx.Tx, time.Time, restore.Restore) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time, _ restore.Restore) error {
		tag, err := tx.Exec(ctx, `UPDATE capacity SET valid_until = $1 WHERE valid_until > $1`, now)
		if err != nil {
			return fmt.Errorf("doubt offers: %w", err)
		}
		log.WarnContext(ctx, "after a restore: the offers of capacity are stale until their providers publish them again", "count", tag.RowsAffected())
		return nil
	}
}

// needFromProto reads what needToProto wrote.
func needFromProto(spell uuid.UUID, data []byte) (n reablement.Need, err error) {
	var p reablementv1.Need
	if err := proto.Unmarshal(data, &p); err != nil {
		return n, fmt.Errorf("need %s: %w", spell, err)
	}
	n = reablement.Need{
		SpellID: spell, Area: p.GetArea(), VisitsPerDay: int(p.GetVisitsPerDay()), WantedFrom: reablement.Date(p.GetWantedFrom()), RequestedAt: p.GetRequestedAt().AsTime(),
		Place: reablement.Place{Provider: p.GetProvider(), StartsOn: reablement.Date(p.GetStartsOn()), PlannedEnd: reablement.Date(p.GetPlannedEndOn())},
	}
	for status, told := range statuses {
		if told == p.GetStatus() {
			n.Status = status
		}
	}
	if p.GetHeldUntil() != nil {
		n.HeldUntil = p.GetHeldUntil().AsTime()
	}
	if p.GetCapacityId() != "" {
		if n.CapacityID, err = uuid.Parse(p.GetCapacityId()); err != nil {
			return n, fmt.Errorf("need %s: capacity: %w", spell, err)
		}
	}
	return n, nil
}
