package communitypickup

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/kit/explain"
	"github.com/homeward-care/homeward/services/kit/fault"
)

// taskWithVersion is a task as it is published: its version is the event's.
type taskWithVersion struct {
	task    pickup.Task
	version int64
}

func scanTask(row pgx.CollectableRow) (taskWithVersion, error) {
	var id uuid.UUID
	var text []byte
	var t taskWithVersion
	if err := row.Scan(&id, &text, &t.version); err != nil {
		return t, err
	}
	var err error
	t.task, err = parseTask(id, text)
	return t, err
}

const selectTask = `SELECT t.id, t.task, o.version FROM task t JOIN outbox o USING (id) `

// one returns the only row of a query, or errNotFound.
func one(rows pgx.Rows, err error) (taskWithVersion, error) {
	if err != nil {
		return taskWithVersion{}, fmt.Errorf("read task: %w", err)
	}
	t, err := pgx.CollectOneRow(rows, scanTask)
	if errors.Is(err, pgx.ErrNoRows) {
		return t, errNotFound
	}
	if err != nil {
		return t, fmt.Errorf("read task: %w", err)
	}
	return t, nil
}

func (s *store) task(ctx context.Context, id uuid.UUID) (taskWithVersion, error) {
	return one(s.db.Pool.Query(ctx, selectTask+`WHERE t.id = $1`, id))
}

// lockTask locks a task before it reads it: a statement that waits for the lock of one row reads the other one, with the version, as it was
// before the wait.
func lockTask(ctx context.Context, tx pgx.Tx, id uuid.UUID) (taskWithVersion, error) {
	if _, err := tx.Exec(ctx, `SELECT FROM task WHERE id = $1 FOR UPDATE`, id); err != nil {
		return taskWithVersion{}, fmt.Errorf("lock task: %w", err)
	}
	return one(tx.Query(ctx, selectTask+`WHERE t.id = $1`, id))
}

// taskByReference finds a task by what people say. Two can share a reference, if rarely: then only the id will do.
func (s *store) taskByReference(ctx context.Context, reference string) (taskWithVersion, error) {
	rows, err := s.db.Pool.Query(ctx, selectTask+`WHERE t.reference = $1 LIMIT 2`, strings.ToUpper(reference))
	if err != nil {
		return taskWithVersion{}, fmt.Errorf("read task: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanTask)
	switch {
	case err != nil:
		return taskWithVersion{}, fmt.Errorf("read task: %w", err)
	case len(list) == 0:
		return taskWithVersion{}, errNotFound
	case len(list) > 1:
		return taskWithVersion{}, fault.New(fault.Precondition, "two tasks share this reference: ask by task id, %s or %s", list[0].task.TaskID, list[1].task.TaskID)
	}
	return list[0], nil
}

// openTasksQuery asks for a team's open tasks, the nearest due date first.
type openTasksQuery struct {
	team      string
	progress  pickup.Progress // empty for all that are open
	dueBefore time.Time       // zero for all
	limit     int
	after     string // page token
}

// openTasks returns a page and the token of the next one, empty on the last.
func (s *store) openTasks(ctx context.Context, q openTasksQuery) ([]taskWithVersion, string, error) {
	afterDue, afterID, err := parsePageToken(q.after)
	if err != nil {
		return nil, "", err
	}
	if q.dueBefore.IsZero() {
		q.dueBefore = endOfTime
	}
	rows, err := s.db.Pool.Query(ctx, selectTask+`
		WHERE t.team = $1 AND t.progress IN ('untaken', 'taken', 'picked-up') AND ($2 = '' OR t.progress = $2)
		AND t.due_at < $3 AND (t.due_at, t.id) > ($4, $5)
		ORDER BY t.due_at, t.id LIMIT $6`, q.team, string(q.progress), q.dueBefore, afterDue, afterID, q.limit)
	if err != nil {
		return nil, "", fmt.Errorf("list tasks: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanTask)
	if err != nil {
		return nil, "", fmt.Errorf("list tasks: %w", err)
	}
	if len(list) < q.limit {
		return list, "", nil
	}
	last := list[len(list)-1].task
	return list, base64.RawURLEncoding.EncodeToString([]byte(sortDue(last).UTC().Format(time.RFC3339Nano) + " " + last.TaskID)), nil
}

var endOfTime = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

func parsePageToken(token string) (time.Time, uuid.UUID, error) {
	if token == "" {
		return time.Unix(0, 0), uuid.Nil, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	due, id, found := strings.Cut(string(text), " ")
	at, err2 := time.Parse(time.RFC3339Nano, due)
	task, err3 := uuid.Parse(id)
	if err := errors.Join(err, err2, err3); err != nil || !found {
		return at, task, fault.Field("page_token", "is not one that ListTasks gave")
	}
	return at, task, nil
}

// hops are what this service alone knows of a handover: the task as it stands, and everything that was done to it.
func (s *store) hops(ctx context.Context, spell uuid.UUID) ([]*opsv1.Hop, error) {
	id := taskID(spell)
	rows, err := s.db.Pool.Query(ctx, `SELECT at, action, 'by ' || actor || ': ' || detail, trace_id FROM audit WHERE record = $1 ORDER BY seq`, id)
	if err != nil {
		return nil, err
	}
	hops, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*opsv1.Hop, error) {
		var at time.Time
		h := &opsv1.Hop{Service: "community-pickup"}
		err := row.Scan(&at, &h.Name, &h.State, &h.TraceId)
		h.At = timestamppb.New(at)
		return h, err
	})
	if err != nil {
		return nil, err
	}
	found, err := s.task(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return hops, nil
	}
	if err != nil {
		return nil, err
	}
	t := found.task
	state := string(t.Outcome) + ": " + t.ReasonText
	if t.Team != "" {
		state += " Team " + t.Team + ": " + t.Route.Text
	}
	if t.DueOn != "" {
		state += " Due " + string(t.DueOn) + ": " + t.DueReason
	}
	at := t.LearnedAt
	if at.IsZero() && len(hops) > 0 {
		at = hops[len(hops)-1].GetAt().AsTime()
	}
	return append(hops, &opsv1.Hop{At: timestamppb.New(at), Service: "community-pickup", Name: "task", State: state, TraceId: explain.TraceID(t.Origin)}), nil
}
