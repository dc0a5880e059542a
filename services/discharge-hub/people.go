package dischargehub

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/failpoint"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// What is told of a person (A31, A40 and their like) is a fact of every spell of that person. It is stored in the batch of its message, under
// each patient number that it names, and told to the spells in a second step. Whoever folds a spell looks for what is told of its people, so
// a spell that comes later needs no telling.
//
// The two must not miss each other: a batch that began before the person's fact was committed may hold the first fact of a spell that the
// second step cannot see yet. So every batch holds the gate together with others (claimPending), and between the fact's commit and the second
// step somebody goes through the gate alone: then all those batches have ended, and every later one sees the fact.
const gate = 0x70656f706c65

// personFact is a fact of a person with its message, and which of the message's facts it is.
type personFact struct {
	message int64
	part    int
	fact    discharge.Fact
}

// patientOf is the person's key in the database; fact_patient makes the same of a stored fact. Two odd numbers may share one, and the fold
// tells them apart.
func patientOf(provider, number string) (string, error) {
	text, err := json.Marshal(number)
	if err != nil {
		return "", fmt.Errorf("patient number: %w", err)
	}
	number, _, _ = strings.Cut(string(text[1:]), `"`)
	key := []rune(provider + "|" + number)
	return string(key[:min(len(key), 200)]), nil
}

func patientsOf(f discharge.Fact) ([]string, error) {
	var keys []string
	for _, number := range f.Numbers() {
		key, err := patientOf(f.Provider, number)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// insertPersonFacts stores facts of people, and that their spells are to be told.
func insertPersonFacts(ctx context.Context, tx pgx.Tx, list []personFact) error {
	if len(list) == 0 {
		return nil
	}
	var patients, texts []string
	var messages []int64
	var parts []int32
	for _, p := range list {
		text, err := json.Marshal(p.fact)
		if err != nil {
			return fmt.Errorf("fact of message %d: %w", p.message, err)
		}
		keys, err := patientsOf(p.fact)
		if err != nil {
			return fmt.Errorf("fact of message %d: %w", p.message, err)
		}
		for _, key := range keys {
			patients, messages, parts, texts = append(patients, key), append(messages, p.message), append(parts, int32(p.part)), append(texts, string(text))
		}
	}
	_, err := tx.Exec(ctx, `
		WITH pending AS (
			INSERT INTO person_pending (inbound_id) SELECT DISTINCT unnest($2::bigint[]) ON CONFLICT DO NOTHING
		)
		INSERT INTO person_fact (patient, inbound_id, part, fact)
		SELECT DISTINCT ON (p, i, n) p, i, n, f FROM unnest($1::text[], $2::bigint[], $3::integer[], $4::text[]) AS u (p, i, n, f)
		ON CONFLICT (patient, inbound_id, part) DO UPDATE SET fact = excluded.fact, superseded_by = NULL -- read again`,
		patients, messages, parts, texts)
	if err != nil {
		return fmt.Errorf("store facts of people: %w", err)
	}
	return nil
}

// people is what is told of people, by their keys.
type people map[string][]storedFact

// querier is a transaction or the pool.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// readPeople reads what is told under these keys and under all others that merges lead to, merges that were revoked included.
func readPeople(ctx context.Context, db querier, keys []string) (people, error) {
	found := people{}
	for len(keys) > 0 {
		rows, err := db.Query(ctx, `SELECT patient, inbound_id, fact FROM person_fact WHERE patient = ANY($1) AND superseded_by IS NULL ORDER BY patient, inbound_id, part`, keys)
		if err != nil {
			return nil, fmt.Errorf("read facts of people: %w", err)
		}
		for _, key := range keys {
			found[key] = nil // has been looked for
		}
		var patient string
		var inboundID int64
		var text []byte
		_, err = pgx.ForEachRow(rows, []any{&patient, &inboundID, &text}, func() error {
			f := storedFact{InboundID: inboundID}
			if err := json.Unmarshal(text, &f.Fact); err != nil {
				return fmt.Errorf("fact of message %d: %w", inboundID, err)
			}
			found[patient] = append(found[patient], f)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read facts of people: %w", err)
		}
		next := map[string]bool{}
		for _, key := range keys {
			for _, f := range found[key] {
				others, err := patientsOf(f.Fact)
				if err != nil {
					return nil, err
				}
				for _, other := range others {
					if _, looked := found[other]; !looked {
						next[other] = true
					}
				}
			}
		}
		keys = keys[:0:0]
		if failpoint.Bug("merges-not-followed") {
			break
		}
		for key := range next {
			keys = append(keys, key)
		}
	}
	return found, nil
}

func (p people) any() bool {
	for _, told := range p {
		if len(told) > 0 {
			return true
		}
	}
	return false
}

// of returns what is told of the people of these facts, directly and by merges.
func (p people) of(facts []storedFact) ([]storedFact, error) {
	var told []storedFact
	seen := map[string]bool{}
	for list := facts; len(list) > 0; {
		var more []storedFact
		for _, f := range list {
			keys, err := patientsOf(f.Fact)
			if err != nil {
				return nil, err
			}
			for _, key := range keys {
				if !seen[key] {
					seen[key] = true
					more = append(more, p[key]...)
				}
			}
		}
		told, list = append(told, more...), more
	}
	return told, nil
}

// withPeople returns the facts of each spell with what is told of its people behind them.
func withPeople(ctx context.Context, db querier, facts map[uuid.UUID][]storedFact) (map[uuid.UUID][]storedFact, error) {
	var keys []string
	known := map[string]bool{}
	for _, list := range facts {
		for _, f := range list {
			own, err := patientsOf(f.Fact)
			if err != nil {
				return nil, err
			}
			for _, key := range own {
				if !known[key] {
					known[key], keys = true, append(keys, key)
				}
			}
		}
	}
	found, err := readPeople(ctx, db, keys)
	if err != nil {
		return nil, err
	}
	if !found.any() {
		return facts, nil
	}
	all := make(map[uuid.UUID][]storedFact, len(facts))
	for spell, list := range facts {
		told, err := found.of(list)
		if err != nil {
			return nil, err
		}
		all[spell] = slices.Concat(list, told)
	}
	return all, nil
}

// TellSpells tells the spells of people what has come about those since the last step.
func (in *interpreter) TellSpells(ctx context.Context) (bool, error) {
	rows, err := in.store.db.Pool.Query(ctx, `SELECT inbound_id FROM person_pending ORDER BY inbound_id LIMIT $1`, interpretBatch)
	if err != nil {
		return false, fmt.Errorf("look for facts of people: %w", err)
	}
	pending, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return false, fmt.Errorf("look for facts of people: %w", err)
	}
	if len(pending) == 0 {
		return false, nil
	}
	if _, err := in.store.db.Pool.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, gate); err != nil {
		return false, fmt.Errorf("wait at the gate: %w", err)
	}
	err = in.store.db.InTx(ctx, "tell-spells", func(tx pgx.Tx) error { return in.tellSpells(ctx, tx, pending) })
	if err != nil {
		return false, fmt.Errorf("tell spells of their people: %w", err)
	}
	in.saved.Raise()
	return len(pending) == interpretBatch, nil
}

// tellSpells folds all spells that these messages about people are about.
func (in *interpreter) tellSpells(ctx context.Context, tx pgx.Tx, pending []int64) error {
	keys, traces, err := claimPeople(ctx, tx, pending)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return pg.ErrNothing
	}
	found, err := readPeople(ctx, tx, keys)
	if err != nil {
		return err
	}
	all := make([]string, 0, len(found))
	for key := range found {
		all = append(all, key)
	}
	spells, err := lockSpellsOf(ctx, tx, all)
	if err != nil {
		return err
	}
	if len(spells) == 0 {
		return nil
	}
	own, err := factsOf(ctx, tx, spells)
	if err != nil {
		return err
	}
	cause := make(map[uuid.UUID]trace.SpanContext, len(spells))
	for _, id := range spells {
		told, err := found.of(own[id])
		if err != nil {
			return err
		}
		for _, f := range told {
			if t, is := traces[f.InboundID]; is {
				cause[id] = t
			}
		}
	}
	now := in.now()
	exceptions, facts, err := in.settle(ctx, tx, now, spells, own, nil, cause)
	if err != nil {
		return err
	}
	shared, err := refoldStays(ctx, tx, now, spells, own, facts)
	if err != nil {
		return err
	}
	exceptions = append(exceptions, shared...)
	if err := closeSettled(ctx, tx, now, spells, exceptions, discharge.TwoKeysOneStay); err != nil {
		return err
	}
	return openExceptions(ctx, tx, now, exceptions)
}

// claimPeople takes pending messages about people; it returns the keys that they name and their traces.
func claimPeople(ctx context.Context, tx pgx.Tx, pending []int64) (keys []string, traces map[int64]trace.SpanContext, err error) {
	rows, err := tx.Query(ctx, `
		WITH claimed AS (
			DELETE FROM person_pending
			WHERE inbound_id = ANY (ARRAY(SELECT inbound_id FROM person_pending WHERE inbound_id = ANY($1) ORDER BY inbound_id FOR UPDATE SKIP LOCKED))
			RETURNING inbound_id
		)
		SELECT p.patient, i.id, i.traceparent FROM claimed c JOIN person_fact p USING (inbound_id) JOIN inbound i ON i.id = c.inbound_id`, pending)
	if err != nil {
		return nil, nil, fmt.Errorf("claim facts of people: %w", err)
	}
	traces = map[int64]trace.SpanContext{}
	var key, traceparent string
	var message int64
	_, err = pgx.ForEachRow(rows, []any{&key, &message, &traceparent}, func() error {
		keys, traces[message] = append(keys, key), event.ParseTraceparent(traceparent)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("claim facts of people: %w", err)
	}
	slices.Sort(keys)
	return slices.Compact(keys), traces, nil
}

// lockSpellsOf locks the spells that have facts of these people, in the order of their ids as every fold does.
func lockSpellsOf(ctx context.Context, tx pgx.Tx, keys []string) ([]uuid.UUID, error) {
	rows, err := tx.Query(ctx, `SELECT DISTINCT spell_id FROM fact WHERE fact_patient(fact) = ANY($1)`, keys)
	if err != nil {
		return nil, fmt.Errorf("find spells of people: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	_, err = tx.Exec(ctx, `SELECT FROM spell WHERE id = ANY($1) ORDER BY id FOR UPDATE`, ids)
	if err != nil {
		return nil, fmt.Errorf("lock spells of people: %w", err)
	}
	return ids, nil
}

// refoldStays works out anew which stays spells are about, after numbers were merged or merges revoked, or facts were taken away. It closes the
// exceptions of other spells that had a stay with one of these alone.
func refoldStays(ctx context.Context, tx pgx.Tx, now time.Time, spells []uuid.UUID, own, facts map[uuid.UUID][]storedFact) ([]newException, error) {
	if err := lockStays(ctx, tx); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `
		WITH gone AS (DELETE FROM stay WHERE spell_id = ANY($1) RETURNING key)
		SELECT DISTINCT o.spell_id FROM gone JOIN stay o USING (key) WHERE o.spell_id <> ALL($1)`, spells)
	if err != nil {
		return nil, fmt.Errorf("forget stays: %w", err)
	}
	others, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("forget stays: %w", err)
	}
	var stays []spellStay
	for _, id := range spells {
		people := factList(facts[id][len(own[id]):])
		for _, f := range own[id] {
			for _, key := range discharge.StayKeys(f.Fact, people) {
				stays = append(stays, spellStay{key, id, f.InboundID})
			}
		}
	}
	shared, err := sharedStays(ctx, tx, stays)
	if err != nil || len(others) == 0 {
		return shared, err
	}
	if _, err := tx.Exec(ctx, `
		UPDATE exception e SET closed_at = $2, inbound_id = NULL WHERE e.spell_id = ANY($1) AND e.kind = $3 AND e.closed_at IS NULL AND NOT `+isOthersStay,
		others, now, discharge.TwoKeysOneStay); err != nil {
		return nil, fmt.Errorf("close exceptions: %w", err)
	}
	return shared, nil
}

// checkRevocation refuses to revoke a merge that nobody has told.
func (s *store) checkRevocation(ctx context.Context, provider, number, prior string) error {
	key, err := patientOf(provider, number)
	if err != nil {
		return err
	}
	rows, err := s.db.Pool.Query(ctx, `SELECT fact FROM person_fact WHERE patient = $1 AND superseded_by IS NULL`, key)
	if err != nil {
		return fmt.Errorf("look for the merge: %w", err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return fmt.Errorf("look for the merge: %w", err)
	}
	for _, text := range texts {
		var f discharge.Fact
		if err := json.Unmarshal(text, &f); err != nil {
			return fmt.Errorf("look for the merge: %w", err)
		}
		if f.Kind.Merges() && (f.PatientNumber == prior || f.PriorNumber == prior) {
			return nil
		}
	}
	return fault.Field("prior_patient_number", "was never merged with patient_number as far as is known here; where numbers were merged through a third, revoke each of those merges")
}
