package dischargehub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
)

// readTask is GET Task/[id].
func readTask(d *fhirDoor, c *call) (fhirReply, error) {
	id, err := uuid.Parse(c.http.PathValue("id"))
	if err != nil {
		return fhirReply{}, noTask()
	}
	rows, err := d.store.fhirTasks(c.ctx, theTask(c, id))
	if err != nil {
		return fhirReply{}, err
	}
	if len(rows) == 0 {
		return fhirReply{}, noTask()
	}
	return fhirReply{status: http.StatusOK, etag: etag(rows[0].Number), body: d.task(c, rows[0])}, nil
}

func noTask() error {
	return refuse(http.StatusNotFound, "not-found", "there is no such Task; of a stay that was just told it may not be there yet: ask again")
}

// task writes a Task with the identifier systems of the client.
func (d *fhirDoor) task(c *call, row taskRow) any {
	system := ""
	for _, f := range c.feeds {
		if f.Provider == row.handover.Provider {
			system = f.VisitSystem
		}
	}
	return row.handover.Task(row.Version, system)
}

// theTask is the search for one Task.
func theTask(c *call, id uuid.UUID) taskQuery {
	q := taskQuery{search: newSearch(c, "Task")}
	q.ids = [][]uuid.UUID{{id}}
	return q
}

// searchTasks is GET Task?… and POST Task/_search, oldest change first.
func searchTasks(d *fhirDoor, c *call) (fhirReply, error) {
	q := taskQuery{search: newSearch(c, "Task")}
	left, err := q.parameters(c, func(name, value string) error { return q.own(name, value, c) })
	if err != nil {
		return fhirReply{}, err
	}
	rows, err := d.store.fhirTasks(c.ctx, q)
	if err != nil {
		return fhirReply{}, err
	}
	found := make([]match, len(rows))
	for i, row := range rows {
		found[i] = match{row.id, row.Number, row.UpdatedAt, d.task(c, row)}
	}
	return d.bundle(c, q.search, found, left), nil
}

// taskQuery is a search for Tasks of providers.
type taskQuery struct {
	search
	owners, statuses [][]string
	identifiers      []*anyIdentifier
}

// anyIdentifier is one of these references, or of these visit numbers, in pairs with their providers.
type anyIdentifier struct{ references, providers, visits []string }

// own takes a search parameter of Task alone; errNoParameter is for one that is not known.
func (q *taskQuery) own(name, value string, c *call) error {
	switch name {
	case "status":
		var oneOf []string
		for token := range strings.SplitSeq(value, ",") {
			system, code, both := strings.Cut(token, "|")
			if !both {
				system, code = fhir.TaskStatusSystem, token
			}
			if system != fhir.TaskStatusSystem || !slices.Contains(fhir.TaskStatuses, code) {
				return fmt.Errorf("must be of %s; businessStatus cannot be searched", strings.Join(fhir.TaskStatuses, ", "))
			}
			oneOf = append(oneOf, code)
		}
		q.statuses = append(q.statuses, oneOf)
	case "owner", "owner:identifier":
		var oneOf []string
		for token := range strings.SplitSeq(value, ",") {
			system, code, both := strings.Cut(token, "|")
			if !both {
				system, code = fhir.TeamSystem, token
			}
			if system != fhir.TeamSystem {
				return fmt.Errorf("the system must be %s", fhir.TeamSystem)
			}
			oneOf = append(oneOf, code)
		}
		q.owners = append(q.owners, oneOf)
	case "identifier":
		oneOf := &anyIdentifier{}
		for token := range strings.SplitSeq(value, ",") {
			if err := oneOf.add(token, c); err != nil {
				return err
			}
		}
		q.identifiers = append(q.identifiers, oneOf)
	default:
		return errNoParameter
	}
	return nil
}

func (a *anyIdentifier) add(token string, c *call) error {
	system, value, both := strings.Cut(token, "|")
	if !both {
		return errors.New("must be <system>|<value>")
	}
	if system == fhir.ReferenceSystem {
		a.references = append(a.references, strings.ToUpper(value))
		return nil
	}
	for _, f := range c.feeds {
		if f.VisitSystem == system {
			a.providers, a.visits = append(a.providers, f.Provider), append(a.visits, value)
			return nil
		}
	}
	return fmt.Errorf("the system must be %s or that of your visit numbers", fhir.ReferenceSystem)
}

// taskRow is a stored Task.
type taskRow struct {
	fhir.Version
	id       uuid.UUID
	handover fhir.Handover
}

func (q taskQuery) sql() (string, []any) {
	var more []condition
	for _, oneOf := range q.owners {
		more = append(more, condition{`owner = ANY(?)`, []any{oneOf}})
	}
	for _, oneOf := range q.statuses {
		more = append(more, condition{`status = ANY(?)`, []any{oneOf}})
	}
	for _, oneOf := range q.identifiers {
		more = append(more, condition{`task_id IN (SELECT task_id FROM fhir_task WHERE reference = ANY(?::text[])
			UNION SELECT t.task_id FROM unnest(?::text[], ?::text[]) AS u (provider, visit) JOIN fhir_task t ON t.provider = u.provider AND t.visit_number = u.visit)`,
			[]any{oneOf.references, oneOf.providers, oneOf.visits}})
	}
	return q.search.sql(`SELECT task_id, version, created_at, updated_at, handover FROM fhir_task`, "task_id", more...)
}

func (s *store) fhirTasks(ctx context.Context, q taskQuery) ([]taskRow, error) {
	text, args := q.sql()
	rows, err := s.db.Pool.Query(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("search tasks: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (taskRow, error) {
		var t taskRow
		var text []byte
		if err := row.Scan(&t.id, &t.Number, &t.Created, &t.UpdatedAt, &text); err != nil {
			return t, err
		}
		return t, json.Unmarshal(text, &t.handover)
	})
}
