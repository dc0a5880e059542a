package dischargehub

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/kit/audit"
)

// readResource is GET [type]/[id]: what the organisation itself has sent.
func readResource(d *fhirDoor, c *call) (fhirReply, error) {
	typ := strings.Split(strings.TrimPrefix(c.http.URL.Path, fhirPath+"/"), "/")[0]
	id, err := uuid.Parse(c.http.PathValue("id"))
	if err != nil {
		return fhirReply{}, notThere()
	}
	resource, version, err := d.store.readFHIRResource(c.ctx, typ, id, providers(c.feeds), audit.Entry{
		At: d.now(), Actor: "client:" + c.client, Action: "fhir.read", Record: id, Detail: typ, Trace: trace.SpanContextFromContext(c.ctx)})
	if err != nil {
		return fhirReply{}, err
	}
	return fhirReply{status: http.StatusOK, etag: etag(version), body: resource}, nil
}

// readTask is GET Task/[id].
func readTask(d *fhirDoor, c *call) (fhirReply, error) {
	id, err := uuid.Parse(c.http.PathValue("id"))
	if err != nil {
		return fhirReply{}, noTask()
	}
	rows, err := d.store.fhirTasks(c.ctx, taskQuery{providers: providers(c.feeds), ids: [][]uuid.UUID{{id}}, count: 1})
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

const (
	formType     = "application/x-www-form-urlencoded"
	defaultCount = 50
	maxCount     = 200
)

// searchTasks is GET Task?… and POST Task/_search, oldest change first.
func searchTasks(d *fhirDoor, c *call) (fhirReply, error) {
	if media, _, _ := mime.ParseMediaType(c.http.Header.Get("Content-Type")); c.http.ContentLength != 0 && media != formType {
		// ParseForm would leave the parameters out, and every Task would be found
		return fhirReply{}, refuse(http.StatusUnsupportedMediaType, fhir.NotSupported, "Content-Type must be %s", formType)
	}
	if err := c.http.ParseForm(); err != nil {
		return fhirReply{}, refuse(http.StatusBadRequest, fhir.Structure, "the parameters cannot be read; send them in the address, or as a form")
	}
	q := taskQuery{providers: providers(c.feeds), count: defaultCount}
	lenient := prefersLenient(c.http.Header)
	var left []fhir.Issue
	for _, name := range sortedKeys(c.http.Form) {
		for _, value := range c.http.Form[name] {
			err := q.add(name, value, c)
			switch {
			case errors.Is(err, errNoParameter) && lenient:
				left = append(left, fhir.Issue{Severity: fhir.Warning, Code: fhir.NotSupported, Diagnostics: fmt.Sprintf("%.60q was left out: it %v", name, err)})
				delete(c.http.Form, name) // the links tell what was searched by
			case errors.Is(err, errNoParameter):
				return fhirReply{}, refuse(http.StatusBadRequest, fhir.NotSupported, "%.60q %v", name, err)
			case err != nil:
				return fhirReply{}, refuse(http.StatusBadRequest, fhir.Value, "%s: %v", name, err)
			}
		}
	}
	more := q
	more.count++ // one more tells whether there is a next page
	rows, err := d.store.fhirTasks(c.ctx, more)
	if err != nil {
		return fhirReply{}, err
	}
	address := func(page string) string {
		params := url.Values{}
		for name, values := range c.http.Form {
			params[name] = values
		}
		params.Del("page")
		if page != "" {
			params.Set("page", page)
		}
		return d.base + "/Task?" + params.Encode()
	}
	next := ""
	if len(rows) > q.count {
		rows = rows[:q.count]
		next = address(cursor(rows[q.count-1]))
	}
	list := make([]any, len(rows))
	for i, row := range rows {
		list[i] = d.task(c, row)
	}
	bundle := fhir.Found(list, left, func(id string) string { return d.base + "/Task/" + id }, address(c.http.Form.Get("page")), next)
	return fhirReply{status: http.StatusOK, body: bundle}, nil
}

func sortedKeys(v url.Values) []string {
	var names []string
	for name := range v {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// prefersLenient tells whether a client wants parameters that are not known to be left out (FHIR R4, 3.1.1.5 on Prefer). Without its word they are
// refused: to leave out a condition shows too much.
func prefersLenient(h http.Header) bool {
	for _, line := range h.Values("Prefer") {
		for preference := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ',' || r == ';' }) {
			if strings.TrimSpace(preference) == "handling=lenient" {
				return true
			}
		}
	}
	return false
}

var errNoParameter = errors.New("is no search parameter here; there are _id, identifier, owner, status, _lastUpdated and _count")

// taskQuery is a search for Tasks of providers. Of a list of lists, each list must hold one that is the Task's: a parameter that is there
// twice must hold twice, and of values with commas between them one is enough (FHIR R4, search).
type taskQuery struct {
	providers        []string
	ids              [][]uuid.UUID
	owners, statuses [][]string
	identifiers      []*anyIdentifier
	from, before     *time.Time // updated at or after, and before
	afterAt          *time.Time
	afterID          *uuid.UUID
	count            int
}

// anyIdentifier is one of these references, or of these visit numbers, in pairs with their providers.
type anyIdentifier struct{ references, providers, visits []string }

// add takes a search parameter; errNoParameter is for one that is not known.
func (q *taskQuery) add(name, value string, c *call) error {
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
	case "_id":
		var oneOf []uuid.UUID
		for token := range strings.SplitSeq(value, ",") {
			id, err := uuid.Parse(token)
			if err != nil {
				return errors.New("must be the id of a Task")
			}
			oneOf = append(oneOf, id)
		}
		q.ids = append(q.ids, oneOf)
	case "_lastUpdated":
		return q.updated(value)
	case "_count":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return fmt.Errorf("must be 1 to %d", maxCount)
		}
		q.count = min(n, maxCount)
	case "_sort":
		if value != "_lastUpdated" {
			return errors.New("Tasks come by _lastUpdated, the oldest change first")
		}
	case "_format":
		if !slices.Contains([]string{"json", "application/json", fhirJSON}, value) {
			return errors.New("must be json")
		}
	case "page":
		return q.page(value)
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

// updated takes a date or time with a prefix: ge, gt, le, lt or eq.
func (q *taskQuery) updated(value string) error {
	prefix := "eq"
	if len(value) > 2 && value[0] >= 'a' {
		prefix, value = value[:2], value[2:]
	}
	begin, err := time.Parse(time.RFC3339, value)
	width := time.Millisecond // a Task tells milliseconds
	if err != nil {
		begin, err = time.Parse(time.DateOnly, value)
		width = 24 * time.Hour
	} else if !strings.Contains(value, ".") {
		width = time.Second
	}
	if err != nil {
		return errors.New("must be a date or a time with its offset, such as ge2026-09-02T14:30:00Z")
	}
	end := begin.Add(width)
	from := func(at time.Time) {
		if q.from == nil || at.After(*q.from) {
			q.from = &at
		}
	}
	before := func(at time.Time) {
		if q.before == nil || at.Before(*q.before) {
			q.before = &at
		}
	}
	switch prefix {
	case "ge":
		from(begin)
	case "gt":
		from(end)
	case "le":
		before(end)
	case "lt":
		before(begin)
	case "eq":
		from(begin)
		before(end)
	default:
		return errors.New("the prefix must be ge, gt, le, lt or eq")
	}
	return nil
}

// cursor names the place behind a Task in the order of a search.
func cursor(row taskRow) string {
	return base64.RawURLEncoding.EncodeToString([]byte(row.UpdatedAt.Format(time.RFC3339Nano) + " " + row.id.String()))
}

func (q *taskQuery) page(value string) error {
	raw, err := base64.RawURLEncoding.DecodeString(value)
	at, id, _ := strings.Cut(string(raw), " ")
	when, err1 := time.Parse(time.RFC3339Nano, at)
	uid, err2 := uuid.Parse(id)
	if errors.Join(err, err1, err2) != nil {
		return errors.New("follow the link `next` of a page as it is")
	}
	q.afterAt, q.afterID = &when, &uid
	return nil
}

// taskRow is a stored Task.
type taskRow struct {
	fhir.Version
	id       uuid.UUID
	handover fhir.Handover
}

// sql writes the search with the conditions that it has, so that each is answered from an index.
func (q taskQuery) sql() (string, []any) {
	var args []any
	text := `SELECT task_id, version, created_at, updated_at, handover FROM fhir_task WHERE `
	where := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(args)), 1)
		}
		text += condition
	}
	if len(q.providers) == 1 {
		where(`provider = ?`, q.providers[0]) // then the index has them in order
	} else {
		where(`provider = ANY(?)`, q.providers)
	}
	for _, oneOf := range q.ids {
		where(` AND task_id = ANY(?)`, oneOf)
	}
	for _, oneOf := range q.owners {
		where(` AND owner = ANY(?)`, oneOf)
	}
	for _, oneOf := range q.statuses {
		where(` AND status = ANY(?)`, oneOf)
	}
	for _, oneOf := range q.identifiers {
		where(` AND task_id IN (SELECT task_id FROM fhir_task WHERE reference = ANY(?::text[])
			UNION SELECT t.task_id FROM unnest(?::text[], ?::text[]) AS u (provider, visit) JOIN fhir_task t ON t.provider = u.provider AND t.visit_number = u.visit)`,
			oneOf.references, oneOf.providers, oneOf.visits)
	}
	if q.from != nil {
		where(` AND updated_at >= ?`, *q.from)
	}
	if q.before != nil {
		where(` AND updated_at < ?`, *q.before)
	}
	if q.afterAt != nil {
		where(` AND (updated_at, task_id) > (?, ?)`, *q.afterAt, *q.afterID)
	}
	where(` ORDER BY updated_at, task_id LIMIT ?`, q.count)
	return text, args
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
