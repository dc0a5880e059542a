package communitypickup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/kit/audit"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/failpoint"
	"github.com/homeward-care/homeward/services/kit/outbox"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// store is the service's PostgreSQL, with the place by whose data it decides.
type store struct {
	db     *pg.DB
	place  pickup.Place
	tracer trace.Tracer
}

// change is one task before and after a decision, a command or a deadline.
type change struct {
	id            uuid.UUID
	known         bool // it was stored before
	before, after pickup.Task
	actor, action string
	detail        string // for the audit, in codes; the outcome is added
	trace         trace.SpanContext
	occurredAt    time.Time
	fired         []pickup.Notice
}

// errRaced says that another transaction made the task between our look and our insert; the same work, done again, finds it.
var errRaced = errors.New("another transaction made the same task")

// lockTasks reads and locks the tasks that exist, in the order of their ids.
func lockTasks(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) (map[uuid.UUID]pickup.Task, error) {
	query := `SELECT id, task FROM task WHERE id = ANY($1) ORDER BY id FOR UPDATE`
	if failpoint.Bug("task-read-unlocked") {
		query = `SELECT id, task FROM task WHERE id = ANY($1)`
	}
	rows, err := tx.Query(ctx, query, ids)
	if err != nil {
		return nil, fmt.Errorf("lock tasks: %w", err)
	}
	tasks := make(map[uuid.UUID]pickup.Task, len(ids))
	var id uuid.UUID
	var text []byte
	if _, err := pgx.ForEachRow(rows, []any{&id, &text}, func() error {
		t, err := parseTask(id, text)
		tasks[id] = t
		return err
	}); err != nil {
		return nil, fmt.Errorf("lock tasks: %w", err)
	}
	return tasks, nil
}

func parseTask(id uuid.UUID, text []byte) (pickup.Task, error) {
	var t pickup.Task
	if err := json.Unmarshal(text, &t); err != nil {
		return t, fmt.Errorf("task %s: %w", id, err)
	}
	return t, nil
}

// save writes changed tasks with their notices, events and audit rows, a statement for each kind of row.
func (s *store) save(ctx context.Context, tx pgx.Tx, now time.Time, changes []change) error {
	var made, kept taskRows
	var events []event.Event
	var entries []audit.Entry
	var notices noticeRows
	for _, c := range changes {
		rows := &made
		if c.known {
			rows = &kept
		}
		if err := rows.add(s.place, c.id, c.after); err != nil {
			return err
		}
		notices.add(c.id, c.fired)
		if c.after.Inputs.Spell == nil {
			continue // nothing is published of a spell that discharge-hub has not told of
		}
		if c.after.Awaits != nil {
			continue // the snapshot that was taken over stands
		}
		e, changed, err := taskEvent(c)
		if err != nil {
			return err
		}
		if changed {
			events = append(events, e)
		}
		if detail := auditDetail(c); detail != "" {
			entries = append(entries, audit.Entry{At: now, Actor: c.actor, Action: c.action, Record: c.id, Detail: detail, Trace: c.trace})
		}
	}
	if err := errors.Join(made.insert(ctx, tx), kept.update(ctx, tx), notices.insert(ctx, tx)); err != nil {
		return err
	}
	if _, err := outbox.Save(ctx, tx, now, events); err != nil {
		return err
	}
	return audit.Append(ctx, tx, entries...)
}

// taskEvent returns the snapshot of a task, and whether it differs from what is published.
func taskEvent(c change) (event.Event, bool, error) {
	marshal := proto.MarshalOptions{Deterministic: true}.Marshal
	data, err := marshal(taskToProto(c.after))
	if err != nil {
		return event.Event{}, false, fmt.Errorf("marshal task %s: %w", c.id, err)
	}
	if c.known && c.before.Inputs.Spell != nil {
		old, err := marshal(taskToProto(c.before))
		if err != nil {
			return event.Event{}, false, fmt.Errorf("marshal task %s: %w", c.id, err)
		}
		if string(old) == string(data) {
			return event.Event{}, false, nil
		}
	}
	spell, err := uuid.Parse(c.after.SpellID)
	if err != nil {
		return event.Event{}, false, fmt.Errorf("task %s: %w", c.id, err)
	}
	return event.Event{Type: TaskType, ID: c.id, Key: spell, OccurredAt: c.occurredAt, Trace: c.trace, Data: data}, true, nil
}

// auditDetail says what a change came to, in codes; empty when nothing changed that anybody would ask about.
func auditDetail(c change) string {
	line := func(t pickup.Task) string {
		return fmt.Sprintf("outcome=%s reason=%s team=%s rule=%s due=%s priority=%s contact=%s progress=%s",
			t.Outcome, t.Reason, t.Team, t.Route.Rule, t.DueOn, t.Priority, t.Contact, t.Progress)
	}
	after := line(c.after)
	switch {
	case c.detail != "":
		return c.detail + " " + after
	case c.known && line(c.before) == after:
		return ""
	}
	return after
}

// taskRows collects task rows for one statement.
type taskRows struct {
	ids                         []uuid.UUID
	references, teams, progress []string
	due                         []time.Time
	next                        []*time.Time
	texts                       []string
}

func (r *taskRows) add(place pickup.Place, id uuid.UUID, t pickup.Task) error {
	text, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("task %s: %w", id, err)
	}
	r.ids, r.references, r.teams = append(r.ids, id), append(r.references, t.Reference), append(r.teams, t.Team)
	r.progress, r.texts = append(r.progress, string(t.Progress)), append(r.texts, string(text))
	r.due = append(r.due, sortDue(t))
	if at, ok := pickup.NextDeadline(place, t); ok {
		if failpoint.Bug("next-deadline-late") {
			at = at.AddDate(0, 0, 1)
		}
		r.next = append(r.next, &at)
	} else {
		r.next = append(r.next, nil)
	}
	return nil
}

// noDueDate sorts a task without a due date, of a person in another hospital, behind all others.
var noDueDate = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

func sortDue(t pickup.Task) time.Time {
	if t.DueAt.IsZero() {
		return noDueDate
	}
	return t.DueAt
}

const unnestTasks = `unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::text[])
	AS u (id, reference, team, progress, due_at, next_deadline, text)`

func (r *taskRows) args() []any {
	return []any{r.ids, r.references, r.teams, r.progress, r.due, r.next, r.texts}
}

func (r *taskRows) insert(ctx context.Context, tx pgx.Tx) error {
	if len(r.ids) == 0 {
		return nil
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO task (id, reference, team, progress, due_at, next_deadline, task)
		SELECT id, reference, team, progress, due_at, next_deadline, text FROM `+unnestTasks+`
		ON CONFLICT (id) DO NOTHING`, r.args()...)
	if err != nil {
		return fmt.Errorf("store tasks: %w", err)
	}
	if int(tag.RowsAffected()) != len(r.ids) {
		return errRaced
	}
	return nil
}

func (r *taskRows) update(ctx context.Context, tx pgx.Tx) error {
	if len(r.ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		UPDATE task t SET reference = u.reference, team = u.team, progress = u.progress, due_at = u.due_at,
			next_deadline = u.next_deadline, task = u.text
		FROM `+unnestTasks+` WHERE t.id = u.id`, r.args()...)
	if err != nil {
		return fmt.Errorf("store tasks: %w", err)
	}
	return nil
}

// noticeRows collects fired notices for one statement. A notice that is there already makes the statement fail: nothing fires twice.
type noticeRows struct {
	ids       []uuid.UUID
	kinds     []string
	schedules []int32
	due, at   []time.Time
}

func (r *noticeRows) add(id uuid.UUID, fired []pickup.Notice) {
	for _, n := range fired {
		r.ids, r.kinds, r.schedules = append(r.ids, id), append(r.kinds, string(n.Kind)), append(r.schedules, int32(n.Schedule))
		r.due, r.at = append(r.due, n.DueAt), append(r.at, n.FiredAt)
	}
}

func (r *noticeRows) insert(ctx context.Context, tx pgx.Tx) error { return r.insertUnless(ctx, tx, "") }

func (r *noticeRows) insertUnless(ctx context.Context, tx pgx.Tx, conflict string) error {
	if len(r.ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO notice (task_id, kind, schedule, due_at, fired_at)
		SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::timestamptz[], $5::timestamptz[])`+conflict, r.ids, r.kinds, r.schedules, r.due, r.at)
	if err != nil {
		return fmt.Errorf("store notices: %w", err)
	}
	return nil
}
