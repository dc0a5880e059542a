package dischargehub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/kit/audit"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/outbox"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// readAgain is what reading a message again came to.
type readAgain struct {
	discharge.Reading
	format  format
	changes []*dischargev1.SpellChange
}

// replay reads a stored message again by its feed's mapping of now. Its fact takes the place of the one of the earlier reading, and every
// spell that either is about is folded anew. A dry run does all of it and rolls back, so what it tells is what would happen. The same
// replay again changes nothing.
//
// A message that said something before and says nothing by the mapping of now keeps its fact: a discharge must not be lost to a mapping.
func (in *interpreter) replay(ctx context.Context, id int64, dry bool, by audit.Entry) (out readAgain, err error) {
	err = in.store.db.InTx(ctx, "message.replay", func(tx pgx.Tx) error {
		m, err := messageOf(ctx, tx, id, true)
		if err != nil {
			return err
		}
		if err := mayReplay(ctx, tx, m); err != nil {
			return err
		}
		r := &reading{pendingMessage: m.pendingMessage, Reading: in.read(m.pendingMessage)}
		out.Reading, out.format = r.Reading, m.Format
		var said bool
		if r.left, said, err = saidBefore(ctx, tx, id); err != nil {
			return err
		}
		if said {
			r.Supersedes = 0 // if it is a copy, it took the faulty message's place when its fact came in
		}
		if said && !r.Usable {
			if dry {
				return pg.ErrNothing
			}
			return fault.New(fault.Precondition,
				"by the mapping of now message %d says nothing that can be used, and it did before: what it said stays. Try with dry_run to see why", id)
		}
		spells := concerned(r)
		before, err := outbox.Current(ctx, tx, spells)
		if err != nil {
			return err
		}
		if err := in.again(ctx, tx, r); err != nil {
			return err
		}
		after, err := outbox.Current(ctx, tx, spells)
		if err != nil {
			return err
		}
		if out.changes, err = changesOf(spells, before, after); err != nil || dry {
			return errors.Join(err, pg.ErrNothing)
		}
		return audit.Append(ctx, tx, by)
	})
	if pg.IsData(err) {
		return out, fault.New(fault.Precondition, "message %d cannot be stored as it is read: correct it", id)
	}
	if err == nil && !dry && len(out.changes) > 0 {
		in.saved.Raise()
	}
	return out, err
}

// mayReplay says what keeps a message from being read again.
func mayReplay(ctx context.Context, tx pgx.Tx, m storedMessage) error {
	if !m.Accepted {
		return fault.New(fault.Precondition, "message %d was rejected, and its sender knows: have it sent again", m.ID)
	}
	var pending bool
	var copied int64
	err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT 1 FROM inbound_pending WHERE id = $1), coalesce((SELECT inbound_id FROM correction WHERE supersedes = $1), 0)`, m.ID).
		Scan(&pending, &copied)
	switch {
	case err != nil:
		return fmt.Errorf("look at message %d: %w", m.ID, err)
	case pending:
		return fault.New(fault.Precondition, "message %d waits for its first reading: ask again", m.ID)
	case copied != 0:
		return fault.New(fault.Precondition, "message %d was corrected: replay its copy, message %d", m.ID, copied)
	}
	return nil
}

// saidBefore returns the facts about spells of a message's earlier reading, whose rows are locked, and whether that said anything at all, of
// a spell or of a person.
func saidBefore(ctx context.Context, tx pgx.Tx, id int64) (facts []discharge.Fact, any bool, err error) {
	rows, err := tx.Query(ctx, `SELECT fact FROM fact WHERE inbound_id = $1 ORDER BY spell_id FOR UPDATE`, id)
	if err != nil {
		return nil, false, fmt.Errorf("read facts: %w", err)
	}
	facts, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (f discharge.Fact, err error) {
		var text []byte
		if err := row.Scan(&text); err != nil {
			return f, err
		}
		return f, json.Unmarshal(text, &f)
	})
	if err != nil {
		return nil, false, fmt.Errorf("read facts: %w", err)
	}
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM person_fact WHERE inbound_id = $1)`, id).Scan(&any)
	if err != nil {
		return nil, false, fmt.Errorf("read facts of people: %w", err)
	}
	return facts, any || len(facts) > 0, nil
}

// concerned are the spells that a reading is about and takes a fact from. What it tells of people comes to their spells later.
func concerned(r *reading) []uuid.UUID {
	ids := []uuid.UUID{}
	for _, f := range slices.Concat(r.facts(), r.left) {
		if id, err := uuid.Parse(f.SpellID); err == nil && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// again takes away what the message said by its earlier reading, and applies the new one.
func (in *interpreter) again(ctx context.Context, tx pgx.Tx, r *reading) error {
	// Spells are locked before facts are touched, in the order of their ids, as every fold does; the fact's own row is locked already.
	for _, table := range []string{"fact", "not_handled"} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE inbound_id = $1`, r.ID); err != nil {
			return fmt.Errorf("take the earlier reading away: %w", err)
		}
	}
	if err := supersedePeople(ctx, tx, []int64{r.ID}, []int64{r.ID}); err != nil {
		return err
	}
	if err := in.apply(ctx, tx, []*reading{r}); err != nil {
		return err
	}
	return settleReplayed(ctx, tx, in.now(), r)
}

// settleReplayed closes the message's own exceptions that the new reading does not tell any more, and opens again those that an earlier
// replay closed and this one tells.
func settleReplayed(ctx context.Context, tx pgx.Tx, now time.Time, r *reading) error {
	told := []string{}
	for _, p := range r.Problems {
		told = append(told, p.Kind)
	}
	// What is about several messages is told by the fold and by the stay, not by the reading: it stays as long as the spell is the same. That a
	// spell is a stay of another one may have been shown by a message about that one, and stays as long as it is so.
	kept := append(discharge.SpellProblems(), discharge.VisitNumberReused, discharge.TwoKeysOneStay, discharge.FactsMissing.Kind)
	_, err := tx.Exec(ctx, `
		UPDATE exception e SET closed_at = $2, closed_how = $3, version = version + 1
		WHERE inbound_id = $1 AND closed_at IS NULL AND kind <> ALL($4) AND (kind <> ALL($5) OR kind <> ALL($6) AND spell_id <> ALL($7) AND NOT `+isOthersStay+`)`,
		r.ID, now, closedReplayed, told, kept, discharge.SpellProblems(), concerned(&reading{Reading: r.Reading}))
	if err != nil {
		return fmt.Errorf("close exceptions: %w", err)
	}
	_, err = tx.Exec(ctx, `
		UPDATE exception SET closed_at = NULL, closed_how = '', closed_by = '', version = version + 1
		WHERE inbound_id = $1 AND closed_how = $2 AND kind = ANY($3)`, r.ID, closedReplayed, told)
	if err != nil {
		return fmt.Errorf("open exceptions again: %w", err)
	}
	return nil
}

// changesOf returns the spells whose published form differs.
func changesOf(spells []uuid.UUID, before, after map[uuid.UUID][]byte) ([]*dischargev1.SpellChange, error) {
	var changes []*dischargev1.SpellChange
	for _, id := range spells {
		if bytes.Equal(before[id], after[id]) {
			continue
		}
		c := &dischargev1.SpellChange{SpellId: id.String(), Reference: discharge.Reference(id.String()), After: &dischargev1.Spell{}}
		if data := before[id]; data != nil {
			c.Before = &dischargev1.Spell{}
			if err := proto.Unmarshal(data, c.Before); err != nil {
				return nil, fmt.Errorf("read spell %s: %w", id, err)
			}
		}
		if err := proto.Unmarshal(after[id], c.After); err != nil {
			return nil, fmt.Errorf("read spell %s: %w", id, err)
		}
		changes = append(changes, c)
	}
	return changes, nil
}
