package dischargehub

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
)

// leftFacts returns what these readings take away, each with its spell: corrected copies the facts of the faulty messages, and messages that
// are read again their own earlier ones. Those spells are folded anew even if the readings are about others. The faulty messages' facts are
// locked, before any spell is; what those messages told of people is in no fold any more, and their spells are to be told.
func leftFacts(ctx context.Context, tx pgx.Tx, readings []*reading) ([]saidFact, error) {
	byFaulty := map[int64]*reading{}
	var faulty, copies []int64
	for _, r := range readings {
		if r.Usable && r.Supersedes != 0 {
			byFaulty[r.Supersedes] = r
			faulty, copies = append(faulty, r.Supersedes), append(copies, r.ID)
		}
	}
	if len(faulty) > 0 {
		rows, err := tx.Query(ctx, `SELECT inbound_id, fact FROM fact WHERE inbound_id = ANY($1) ORDER BY inbound_id, spell_id FOR UPDATE`, faulty)
		if err != nil {
			return nil, fmt.Errorf("read corrected facts: %w", err)
		}
		var id int64
		var text []byte
		if _, err := pgx.ForEachRow(rows, []any{&id, &text}, func() error {
			var f discharge.Fact
			err := json.Unmarshal(text, &f)
			byFaulty[id].left = append(byFaulty[id].left, f)
			return err
		}); err != nil {
			return nil, fmt.Errorf("read corrected facts: %w", err)
		}
		if err := supersedePeople(ctx, tx, faulty, copies); err != nil {
			return nil, err
		}
	}
	var left []saidFact
	for _, r := range readings {
		for _, f := range r.left {
			spell, err := uuid.Parse(f.SpellID)
			if err != nil {
				return nil, fmt.Errorf("spell id of a corrected fact: %w", err)
			}
			left = append(left, saidFact{r, f, spell})
		}
	}
	return left, nil
}

// supersede takes the facts of corrected messages out of every fold, in the transaction that brings the facts of their copies in.
func supersede(ctx context.Context, tx pgx.Tx, left []saidFact) error {
	var faulty, copies []int64
	for _, l := range left {
		if l.Supersedes != 0 {
			faulty, copies = append(faulty, l.Supersedes), append(copies, l.ID)
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

// supersedePeople does the same with what messages told of people, and has the spells of those people told.
func supersedePeople(ctx context.Context, tx pgx.Tx, faulty, copies []int64) error {
	_, err := tx.Exec(ctx, `
		WITH superseded AS (
			UPDATE person_fact f SET superseded_by = u.copy FROM unnest($1::bigint[], $2::bigint[]) AS u (faulty, copy)
			WHERE f.inbound_id = u.faulty RETURNING f.inbound_id
		)
		INSERT INTO person_pending (inbound_id) SELECT DISTINCT inbound_id FROM superseded ON CONFLICT DO NOTHING`, faulty, copies)
	if err != nil {
		return fmt.Errorf("supersede facts of people: %w", err)
	}
	return nil
}

// withdrawnFacts returns, of the spells without a fact that holds, the newest of those that a correction took away, or that are left just now; a
// spell that never had any is not in it.
func withdrawnFacts(ctx context.Context, tx pgx.Tx, spells []uuid.UUID, holding map[uuid.UUID][]storedFact, left []saidFact) (map[uuid.UUID]discharge.Fact, error) {
	var empty []uuid.UUID
	for _, id := range spells {
		if len(holding[id]) == 0 {
			empty = append(empty, id)
		}
	}
	if len(empty) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, `SELECT spell_id, fact FROM fact WHERE spell_id = ANY($1) AND superseded_by IS NOT NULL ORDER BY spell_id, inbound_id`, empty)
	if err != nil {
		return nil, fmt.Errorf("read corrected facts: %w", err)
	}
	withdrawn := map[uuid.UUID]discharge.Fact{}
	for _, l := range left {
		if len(holding[l.spell]) == 0 {
			withdrawn[l.spell] = l.fact
		}
	}
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
