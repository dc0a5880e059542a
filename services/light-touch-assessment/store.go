package lighttouch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
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
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/light-touch-assessment/assessment"
)

// store keeps assessments. Every change is saved with its event and its audit row.
type store struct{ db *pg.DB }

// command is who asks for what, when.
type command struct {
	actor  string
	action string
	at     time.Time
	trace  trace.SpanContext
}

// request opens the assessment of a spell, or returns the one that exists.
func (s *store) request(ctx context.Context, cmd command, spell uuid.UUID, set assessment.QuestionSet) (a assessment.Assessment, err error) {
	err = s.db.InTx(ctx, "assessment.request", func(tx pgx.Tx) error {
		if err := openAssessment(ctx, tx); err != nil {
			return err
		}
		held, err := load(ctx, tx, []uuid.UUID{spell}, forUpdate)
		if err != nil {
			return err
		}
		if len(held) > 0 {
			a = held[0]
			return nil
		}
		known, err := knownSpell(ctx, tx, spell)
		if err != nil {
			return err
		}
		a = assessment.Follow(assessment.Request(spell, set, cmd.at), known)
		return save(ctx, tx, cmd.at, []change{cmd.makes(a)})
	})
	return a, err
}

// decide changes the assessment of a spell by a decision of the domain. What follows from the spell is derived anew.
func (s *store) decide(ctx context.Context, cmd command, spell uuid.UUID,
	decision func(assessment.Assessment) (assessment.Assessment, error),
) (a assessment.Assessment, err error) {
	err = s.db.InTx(ctx, "assessment.decide", func(tx pgx.Tx) error {
		held, err := load(ctx, tx, []uuid.UUID{spell}, forUpdate)
		if err != nil {
			return err
		}
		if len(held) == 0 {
			return errNotRequested
		}
		if a, err = decision(held[0]); err != nil {
			return err
		}
		known, err := knownSpell(ctx, tx, spell)
		if err != nil {
			return err
		}
		a = assessment.Follow(a, known)
		if reflect.DeepEqual(a, held[0]) {
			return nil
		}
		return save(ctx, tx, cmd.at, []change{cmd.makes(a)})
	})
	return a, err
}

// get returns the assessment of a spell.
func (s *store) get(ctx context.Context, spell uuid.UUID) (a assessment.Assessment, err error) {
	err = s.db.InTx(ctx, "assessment.read", func(tx pgx.Tx) error {
		held, err := load(ctx, tx, []uuid.UUID{spell}, forShare)
		if err == nil && len(held) == 0 {
			return errNotRequested
		}
		if err == nil {
			a = held[0]
		}
		return err
	})
	return a, err
}

var errNotRequested = fault.New(fault.NotFound, "no light-touch assessment was requested for this spell; request it first")

// gate keeps the first request of an assessment and a snapshot of its spell from missing each other: each looks for the row that the
// other one is about to insert. Batches of spells pass it together, a request alone. Where the assessment's row exists, its lock is enough.
const gate = 0x6173736573

func applySpells(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock_shared($1)`, gate); err != nil {
		return fmt.Errorf("gate: %w", err)
	}
	return nil
}

func openAssessment(ctx context.Context, tx pgx.Tx) error {
	if failpoint.Bug("gate-left-open") {
		return nil
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, gate); err != nil {
		return fmt.Errorf("gate: %w", err)
	}
	return nil
}

// knownSpell reads the newest snapshot of a spell; a spell that has not been heard of is the zero value.
func knownSpell(ctx context.Context, tx pgx.Tx, spell uuid.UUID) (assessment.Spell, error) {
	var data []byte
	err := tx.QueryRow(ctx, `SELECT data FROM inbox WHERE id = $1 AND type = $2`, spell, spellType).Scan(&data)
	if errors.Is(err, pgx.ErrNoRows) {
		return assessment.Spell{}, nil
	}
	if err != nil {
		return assessment.Spell{}, fmt.Errorf("read spell: %w", err)
	}
	return readSpell(data)
}

// locking is the end of a SELECT. A reader shares the lock, so that an assessment and its conditions are read as one.
type locking string

const (
	forShare  locking = " FOR SHARE"
	forUpdate locking = " FOR UPDATE"
)

// load reads the assessments of the spells that have one, in the order of their ids.
func load(ctx context.Context, tx pgx.Tx, spells []uuid.UUID, lock locking) ([]assessment.Assessment, error) {
	rows, err := tx.Query(ctx, `
		SELECT spell_id, status, question_set, answers, decision, requested_at, completed_at, left_with_unmet
		FROM assessment WHERE spell_id = ANY($1) ORDER BY spell_id`+string(lock), spells)
	if err != nil {
		return nil, fmt.Errorf("load assessments: %w", err)
	}
	held, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a assessment.Assessment, err error) {
		var completed *time.Time
		err = row.Scan(&a.SpellID, &a.Status, &a.QuestionSet, &a.Answers, &a.Decision, &a.RequestedAt, &completed, &a.LeftWithUnmet)
		a.CompletedAt = moment(completed)
		return a, err
	})
	if err != nil {
		return nil, fmt.Errorf("load assessments: %w", err)
	}
	if len(held) == 0 {
		return nil, nil
	}
	at := make(map[uuid.UUID]*assessment.Assessment, len(held))
	for i := range held {
		at[held[i].SpellID] = &held[i]
	}
	if rows, err = tx.Query(ctx, `
		SELECT spell_id, id, code, owner, due, met_at FROM assessment_condition WHERE spell_id = ANY($1) ORDER BY spell_id, position`, spells); err != nil {
		return nil, fmt.Errorf("load conditions: %w", err)
	}
	var spell uuid.UUID
	var c assessment.Condition
	var met *time.Time
	if _, err := pgx.ForEachRow(rows, []any{&spell, &c.ID, &c.Code, &c.Owner, &c.Due, &met}, func() error {
		c.MetAt = moment(met)
		a := at[spell]
		a.Conditions = append(a.Conditions, c)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("load conditions: %w", err)
	}
	return held, nil
}

// change is a new state of an assessment with its reason.
type change struct {
	to                    assessment.Assessment
	actor, action, detail string
	occurred              time.Time
	trace                 trace.SpanContext
}

func (cmd command) makes(a assessment.Assessment) change {
	return change{
		to: a, actor: cmd.actor, action: cmd.action, occurred: cmd.at, trace: cmd.trace,
		detail: fmt.Sprintf("status=%s decision=%s unmet=%d left_with_unmet=%d", a.Status, a.Decision, len(a.Unmet()), a.LeftWithUnmet),
	}
}

// save stores new states with their events and audit rows. The caller holds the rows' locks.
func save(ctx context.Context, tx pgx.Tx, now time.Time, changes []change) error {
	if len(changes) == 0 {
		return nil
	}
	events := make([]event.Event, len(changes))
	entries := make([]audit.Entry, len(changes))
	for i, c := range changes {
		data, err := proto.Marshal(toProto(c.to))
		if err != nil {
			return err
		}
		id := c.to.SpellID
		events[i] = event.Event{Type: assessmentType, ID: id, Key: id, OccurredAt: c.occurred, Trace: c.trace, Data: data}
		entries[i] = audit.Entry{At: now, Actor: c.actor, Action: c.action, Record: id, Detail: c.detail, Trace: c.trace}
	}
	if err := saveAssessments(ctx, tx, changes); err != nil {
		return err
	}
	if err := saveConditions(ctx, tx, changes); err != nil {
		return err
	}
	if _, err := outbox.Save(ctx, tx, now, events); err != nil {
		return err
	}
	return audit.Append(ctx, tx, entries...)
}

func saveAssessments(ctx context.Context, tx pgx.Tx, changes []change) error {
	n := len(changes)
	ids, statuses, sets := make([]uuid.UUID, n), make([]string, n), make([]string, n)
	answers, decisions := make([]string, n), make([]string, n)
	requested, completed, left := make([]time.Time, n), make([]*time.Time, n), make([]int32, n)
	for i, c := range changes {
		a := c.to
		coded, err := json.Marshal(a.Answers)
		if err != nil {
			return err
		}
		ids[i], statuses[i], sets[i], answers[i], decisions[i] = a.SpellID, string(a.Status), a.QuestionSet, string(coded), string(a.Decision)
		requested[i], completed[i], left[i] = a.RequestedAt, nullable(a.CompletedAt), int32(a.LeftWithUnmet)
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO assessment (spell_id, status, question_set, answers, decision, requested_at, completed_at, left_with_unmet)
		SELECT spell_id, status, question_set, answers::jsonb, decision, requested_at, completed_at, left_with_unmet
		FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::int[])
			AS u (spell_id, status, question_set, answers, decision, requested_at, completed_at, left_with_unmet)
		ON CONFLICT (spell_id) DO UPDATE SET status = excluded.status, answers = excluded.answers, decision = excluded.decision,
			completed_at = excluded.completed_at, left_with_unmet = excluded.left_with_unmet`,
		ids, statuses, sets, answers, decisions, requested, completed, left); err != nil {
		return fmt.Errorf("save assessments: %w", err)
	}
	return nil
}

func saveConditions(ctx context.Context, tx pgx.Tx, changes []change) error {
	var ids, spells []uuid.UUID
	var positions []int32
	var codes, owners, dues []string
	var met []*time.Time
	for _, ch := range changes {
		for i, c := range ch.to.Conditions {
			ids, spells, positions = append(ids, c.ID), append(spells, ch.to.SpellID), append(positions, int32(i))
			codes, owners, dues = append(codes, c.Code), append(owners, c.Owner), append(dues, string(c.Due))
			met = append(met, nullable(c.MetAt))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO assessment_condition (id, spell_id, position, code, owner, due, met_at)
		SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
		ON CONFLICT (id) DO UPDATE SET met_at = excluded.met_at`,
		ids, spells, positions, codes, owners, dues, met); err != nil {
		return fmt.Errorf("save conditions: %w", err)
	}
	return nil
}

func nullable(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func moment(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
