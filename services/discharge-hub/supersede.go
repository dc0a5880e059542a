package dischargehub

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
)

// leftSpells returns the spells that lose a fact to these readings, each with a reading that takes it away: to a corrected copy the fact of
// the faulty message, to a message that is read again its own earlier one. They are folded anew even if the readings are about other
// spells. The faulty messages' facts are locked, before any spell is.
func leftSpells(ctx context.Context, tx pgx.Tx, usable []*reading) (map[uuid.UUID]*reading, error) {
	byFaulty := map[int64]*reading{}
	var faulty []int64
	for _, r := range usable {
		if r.Supersedes != 0 {
			byFaulty[r.Supersedes] = r
			faulty = append(faulty, r.Supersedes)
		}
	}
	if len(faulty) > 0 {
		rows, err := tx.Query(ctx, `SELECT inbound_id, fact FROM fact WHERE inbound_id = ANY($1) ORDER BY inbound_id FOR UPDATE`, faulty)
		if err != nil {
			return nil, fmt.Errorf("read corrected facts: %w", err)
		}
		var id int64
		var text []byte
		if _, err := pgx.ForEachRow(rows, []any{&id, &text}, func() error {
			byFaulty[id].left = &discharge.Fact{}
			return json.Unmarshal(text, byFaulty[id].left)
		}); err != nil {
			return nil, fmt.Errorf("read corrected facts: %w", err)
		}
	}
	left := map[uuid.UUID]*reading{}
	for _, r := range usable {
		if r.left == nil {
			continue
		}
		spell, err := uuid.Parse(r.left.SpellID)
		if err != nil {
			return nil, fmt.Errorf("spell id of a corrected fact: %w", err)
		}
		left[spell] = r
	}
	return left, nil
}

// supersede takes the facts of corrected messages out of every fold, in the transaction that brings the facts of their copies in.
func supersede(ctx context.Context, tx pgx.Tx, usable []*reading) error {
	var faulty, copies []int64
	for _, r := range usable {
		if r.Supersedes != 0 {
			faulty, copies = append(faulty, r.Supersedes), append(copies, r.ID)
		}
	}
	if len(faulty) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		UPDATE fact f SET superseded_by = u.copy FROM unnest($1::bigint[], $2::bigint[]) AS u (faulty, copy) WHERE f.inbound_id = u.faulty`, faulty, copies)
	if err != nil {
		return fmt.Errorf("supersede facts: %w", err)
	}
	return nil
}

// withdrawnFacts returns, of the spells without a fact that holds, the newest of those that a correction took away; a spell that never had
// any is not in it.
func withdrawnFacts(ctx context.Context, tx pgx.Tx, spells []uuid.UUID, holding map[uuid.UUID][]storedFact) (map[uuid.UUID]discharge.Fact, error) {
	var empty []uuid.UUID
	for _, id := range spells {
		if len(holding[id]) == 0 {
			empty = append(empty, id)
		}
	}
	if len(empty) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, `SELECT spell_id, fact FROM fact WHERE spell_id = ANY($1) AND superseded_by IS NOT NULL ORDER BY inbound_id`, empty)
	if err != nil {
		return nil, fmt.Errorf("read corrected facts: %w", err)
	}
	withdrawn := map[uuid.UUID]discharge.Fact{}
	var id uuid.UUID
	var text []byte
	if _, err := pgx.ForEachRow(rows, []any{&id, &text}, func() error {
		var f discharge.Fact
		err := json.Unmarshal(text, &f)
		withdrawn[id] = f
		return err
	}); err != nil {
		return nil, fmt.Errorf("read corrected facts: %w", err)
	}
	return withdrawn, nil
}
