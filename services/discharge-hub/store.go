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
	"github.com/homeward-care/homeward/services/kit/pg"
)

// store is the hub's PostgreSQL.
type store struct {
	db       *pg.DB
	answered func() []string // the feeds whose hospitals are told how far their handovers are; nil for none
	teller   *teller         // nil where nobody is told
	claims   *claims         // of this process; nil where nothing is sent
}

// insertInbound stores messages and queues the accepted ones for interpretation, in one statement and so in one commit. A message whose
// bytes the same feed has sent before is already stored.
func (s *store) insertInbound(ctx context.Context, batch []*inbound) error {
	n := len(batch)
	feeds, formats, controls := make([]string, n), make([]string, n), make([]string, n)
	digests, bodies, traces := make([][]byte, n), make([][]byte, n), make([]string, n)
	received, accepted := make([]time.Time, n), make([]bool, n)
	var traced trace.Span
	for i, m := range batch {
		feeds[i], formats[i], controls[i] = m.Feed, string(m.Format), storedControlID(m.ControlID)
		digests[i], bodies[i], traces[i] = m.digest[:], m.Body, event.Traceparent(m.Span.SpanContext())
		received[i], accepted[i] = m.receivedAt, m.Accepted
		if traced == nil && m.Span.IsRecording() {
			traced = m.Span
		}
	}
	if traced != nil {
		ctx = trace.ContextWithSpan(ctx, traced) // the commit that a batch shares is shown in the trace of its first message
	}
	_, err := s.db.Pool.Exec(ctx, `
		WITH stored AS (
			INSERT INTO inbound (feed, format, control_id, digest, body, traceparent, received_at, accepted)
			SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::text[], $7::timestamptz[], $8::boolean[])
			ON CONFLICT (digest, feed) DO NOTHING
			RETURNING id, accepted
		)
		INSERT INTO inbound_pending (id) SELECT id FROM stored WHERE accepted`,
		feeds, formats, controls, digests, bodies, traces, received, accepted)
	if err != nil {
		return fmt.Errorf("store messages: %w", err)
	}
	return nil
}

// longControlID is how much of a control id is kept for finding it, in bytes: HL7 v2 allows 199 characters, an index of PostgreSQL refuses
// some thousands.
const longControlID = 800

// storedControlID makes of a control id what a column and its index take. The body keeps all of it, as bytes.
func storedControlID(id string) string {
	id = strings.ReplaceAll(id, "\x00", "") // PostgreSQL's text holds no NUL
	return strings.ToValidUTF8(id[:min(len(id), longControlID)], "")
}

// pendingMessage is a stored message that waits for interpretation.
type pendingMessage struct {
	ID         int64
	Feed       string
	Format     format
	ControlID  string
	ReceivedAt time.Time
	Trace      trace.SpanContext
	Body       []byte
	// Supersedes is the message of which this is the corrected copy; 0 for all others.
	Supersedes int64
}

// batchBytes bounds what is read into memory at one time: a batch takes no further message when those before it have so many bytes.
const batchBytes = 16 << 20

// claimPending takes the oldest pending messages that no other replica holds; they are pending again if the transaction fails. Who has
// claimed any holds the gate together with others until then.
func claimPending(ctx context.Context, tx pgx.Tx, limit int) ([]pendingMessage, error) {
	rows, err := tx.Query(ctx, `
		WITH locked AS MATERIALIZED (
			SELECT id FROM inbound_pending ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
		), sized AS (
			SELECT id, sum(octet_length(body)) OVER (ORDER BY id) - octet_length(body) AS before FROM locked JOIN inbound USING (id)
		), claimed AS (
			DELETE FROM inbound_pending WHERE id = ANY (ARRAY(SELECT id FROM sized WHERE before < $3)) RETURNING id
		)
		SELECT i.id, i.feed, i.format, i.control_id, i.received_at, i.traceparent, i.body, coalesce(c.supersedes, 0)
		FROM claimed JOIN inbound i USING (id) LEFT JOIN correction c ON c.inbound_id = i.id
		WHERE pg_advisory_xact_lock_shared($2) IS NOT NULL ORDER BY i.id`, limit, gate, batchBytes)
	if err != nil {
		return nil, fmt.Errorf("claim messages: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (pendingMessage, error) {
		var m pendingMessage
		var traceparent string
		err := row.Scan(&m.ID, &m.Feed, &m.Format, &m.ControlID, &m.ReceivedAt, &traceparent, &m.Body, &m.Supersedes)
		m.Trace = event.ParseTraceparent(traceparent)
		return m, err
	})
}

func dropPending(ctx context.Context, tx pgx.Tx, id int64) error {
	if _, err := tx.Exec(ctx, `DELETE FROM inbound_pending WHERE id = $1`, id); err != nil {
		return fmt.Errorf("drop pending message: %w", err)
	}
	return nil
}

// lockSpells makes or locks the rows of the spells that the messages are about or take a fact from, in the order of their ids, and returns
// those ids. Whoever folds a spell holds its row, so that no fold misses another's fact.
func lockSpells(ctx context.Context, tx pgx.Tx, said, left []saidFact) ([]uuid.UUID, error) {
	received := make(map[uuid.UUID]time.Time, len(said))
	for _, r := range said {
		if r.ReceivedAt.After(received[r.spell]) {
			received[r.spell] = r.ReceivedAt
		}
	}
	for _, l := range left {
		received[l.spell] = received[l.spell] // it is there, and its time stays
	}
	ids := make([]uuid.UUID, 0, len(received))
	for id := range received {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	references, times := make([]string, len(ids)), make([]time.Time, len(ids))
	for i, id := range ids {
		references[i], times[i] = discharge.Reference(id.String()), received[id]
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO spell AS s (id, reference, received_at) SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[])
		ON CONFLICT (id) DO UPDATE SET received_at = greatest(s.received_at, excluded.received_at)`, ids, references, times)
	if err != nil {
		return nil, fmt.Errorf("lock spells: %w", err)
	}
	return ids, nil
}

// storedFact is a fact with the message that said it.
type storedFact struct {
	InboundID int64
	Fact      discharge.Fact
}

// factsOf returns the facts of the spells that hold, in the order in which their messages were stored.
func factsOf(ctx context.Context, db querier, spells []uuid.UUID) (map[uuid.UUID][]storedFact, error) {
	rows, err := db.Query(ctx, `SELECT spell_id, inbound_id, fact FROM fact WHERE spell_id = ANY($1) AND superseded_by IS NULL ORDER BY spell_id, inbound_id`, spells)
	if err != nil {
		return nil, fmt.Errorf("read facts: %w", err)
	}
	facts := make(map[uuid.UUID][]storedFact, len(spells))
	var spell uuid.UUID
	var inboundID int64
	var text []byte
	_, err = pgx.ForEachRow(rows, []any{&spell, &inboundID, &text}, func() error {
		f := storedFact{InboundID: inboundID}
		if err := json.Unmarshal(text, &f.Fact); err != nil {
			return fmt.Errorf("fact of message %d: %w", inboundID, err)
		}
		facts[spell] = append(facts[spell], f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read facts: %w", err)
	}
	return facts, nil
}

func insertFacts(ctx context.Context, tx pgx.Tx, said []saidFact) error {
	n := len(said)
	ids, spells, texts := make([]int64, n), make([]uuid.UUID, n), make([]string, n)
	for i, r := range said {
		text, err := json.Marshal(r.fact)
		if err != nil {
			return fmt.Errorf("fact of message %d: %w", r.ID, err)
		}
		ids[i], spells[i], texts[i] = r.ID, r.spell, string(text)
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO fact (inbound_id, spell_id, fact) SELECT id, spell, text FROM unnest($1::bigint[], $2::uuid[], $3::text[]) AS u (id, spell, text)`,
		ids, spells, texts)
	if err != nil {
		return fmt.Errorf("store facts: %w", err)
	}
	return nil
}

// spellStay is a stay that a spell's message is about.
type spellStay struct {
	key     string // discharge.StayKeys
	spell   uuid.UUID
	message int64
}

// stayGate lets one transaction at a time say which spells are about which stays, until it ends. Two that say it of two spells at once would
// not see each other's rows, and neither would tell that the stay is the same.
const stayGate = 0x73746179

func lockStays(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, stayGate); err != nil {
		return fmt.Errorf("lock stays: %w", err)
	}
	return nil
}

// sharedStays remembers the stays that messages are about, and returns an exception for each spell whose stay an earlier id has too: the
// same ones whichever message came first.
func sharedStays(ctx context.Context, tx pgx.Tx, stays []spellStay) ([]newException, error) {
	keys, spells := make([]uuid.UUID, 0, len(stays)), make([]uuid.UUID, 0, len(stays))
	ofKey, ofSpell := make(map[uuid.UUID]int64, len(stays)), make(map[uuid.UUID]int64, len(stays))
	for _, s := range stays {
		key, err := uuid.Parse(s.key)
		if err != nil {
			return nil, fmt.Errorf("stay of spell %s: %w", s.spell, err)
		}
		keys, spells = append(keys, key), append(spells, s.spell)
		ofKey[key], ofSpell[s.spell] = s.message, s.message
	}
	if len(keys) == 0 {
		return nil, nil
	}
	if err := lockStays(ctx, tx); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO stay (key, spell_id) SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS u (key, spell_id) ORDER BY key, spell_id
		ON CONFLICT DO NOTHING`, keys, spells); err != nil {
		return nil, fmt.Errorf("store stays: %w", err)
	}
	rows, err := tx.Query(ctx, `SELECT key, spell_id FROM stay WHERE key = ANY($1) ORDER BY key, spell_id`, keys)
	if err != nil {
		return nil, fmt.Errorf("read stays: %w", err)
	}
	var shared []newException
	told := map[uuid.UUID]bool{}
	var key, spell, stay, first uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&key, &spell}, func() error {
		if key != stay {
			stay, first = key, spell
			return nil
		}
		if told[spell] {
			return nil // under another number of the same person
		}
		told[spell] = true
		p, second, message := discharge.SameStay(first.String(), spell.String()), spell, ofKey[key]
		if own, is := ofSpell[spell]; is {
			message = own
		}
		shared = append(shared, newException{kind: p.Kind, inboundID: message, spell: &second, oncePerSpell: true, detail: p.String()})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read stays: %w", err)
	}
	return shared, nil
}

// isOthersStay tells in SQL whether the spell of the exception e has a stay with a spell that comes before it: of the two it is the later one that
// has the exception.
const isOthersStay = `EXISTS (SELECT FROM stay s JOIN stay before USING (key) WHERE s.spell_id = e.spell_id AND before.spell_id < s.spell_id)`

func savePersons(ctx context.Context, tx pgx.Tx, persons map[uuid.UUID][]byte) error {
	ids, texts := make([]uuid.UUID, 0, len(persons)), make([]string, 0, len(persons))
	for id, text := range persons {
		ids, texts = append(ids, id), append(texts, string(text))
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO person (spell_id, person) SELECT id, text FROM unnest($1::uuid[], $2::text[]) AS u (id, text)
		ON CONFLICT (spell_id) DO UPDATE SET person = excluded.person`, ids, texts)
	if err != nil {
		return fmt.Errorf("store people: %w", err)
	}
	return nil
}

func insertNotHandled(ctx context.Context, tx pgx.Tx, readings []*reading) error {
	var ids []int64
	var messages []string
	for _, r := range readings {
		if r.NotHandled != "" {
			ids, messages = append(ids, r.ID), append(messages, r.NotHandled)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO not_handled (inbound_id, message) SELECT * FROM unnest($1::bigint[], $2::text[])`, ids, messages)
	if err != nil {
		return fmt.Errorf("store what is not handled: %w", err)
	}
	return nil
}

// newException is an exception to open unless the same message has it already, or, once per spell, unless the spell has it open.
type newException struct {
	kind         string
	inboundID    int64
	spell        *uuid.UUID
	oncePerSpell bool
	detail       string
}

func openExceptions(ctx context.Context, tx pgx.Tx, now time.Time, list []newException) error {
	if len(list) == 0 {
		return nil
	}
	n := len(list)
	kinds, inbounds, spells, once, details := make([]string, n), make([]int64, n), make([]*uuid.UUID, n), make([]bool, n), make([]string, n)
	for i, e := range list {
		kinds[i], inbounds[i], spells[i], once[i], details[i] = e.kind, e.inboundID, e.spell, e.oncePerSpell, e.detail
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO exception (kind, inbound_id, spell_id, detail, owner, opened_at)
		SELECT kind, inbound_id, spell_id, detail, $6, $7
		FROM unnest($1::text[], $2::bigint[], $3::uuid[], $4::boolean[], $5::text[]) AS u (kind, inbound_id, spell_id, once, detail)
		WHERE NOT (once AND EXISTS (SELECT 1 FROM exception e WHERE e.spell_id = u.spell_id AND e.kind = u.kind AND e.closed_at IS NULL))
		ON CONFLICT (inbound_id, kind, coalesce(spell_id, '00000000-0000-0000-0000-000000000000')) DO NOTHING`, kinds, inbounds, spells, once, details, hubOwner, now)
	if err != nil {
		return fmt.Errorf("open exceptions: %w", err)
	}
	return nil
}

// closeSettled closes the spells' exceptions that a fold told once and tells no more: what contradicted has been corrected. One that is
// settled lets go of its message, which may raise it again. More are kinds beside those that every fold tells.
func closeSettled(ctx context.Context, tx pgx.Tx, now time.Time, spells []uuid.UUID, told []newException, more ...string) error {
	standing, kinds, messages := []uuid.UUID{}, []string{}, []*int64{}
	for _, e := range told {
		if e.spell == nil {
			continue
		}
		standing, kinds = append(standing, *e.spell), append(kinds, e.kind)
		if e.oncePerSpell {
			messages = append(messages, nil)
		} else {
			messages = append(messages, &e.inboundID)
		}
	}
	_, err := tx.Exec(ctx, `
		UPDATE exception e SET closed_at = $6, inbound_id = NULL WHERE e.spell_id = ANY($1) AND e.kind = ANY($2) AND e.closed_at IS NULL
		AND NOT EXISTS (
			SELECT 1 FROM unnest($3::uuid[], $4::text[], $5::bigint[]) AS t (spell_id, kind, inbound_id)
			WHERE t.spell_id = e.spell_id AND t.kind = e.kind AND coalesce(t.inbound_id, e.inbound_id) = e.inbound_id
		)`, spells, slices.Concat(discharge.SpellProblems(), more), standing, kinds, messages, now)
	if err != nil {
		return fmt.Errorf("close exceptions: %w", err)
	}
	return nil
}
