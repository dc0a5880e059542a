package dischargehub

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
)

const (
	formType     = "application/x-www-form-urlencoded"
	defaultCount = 50
	maxCount     = 200
)

// search is what a client looks for, as far as all types of resources have it in common. Of a list of lists, each list must hold one that is the
// resource's: a parameter that is there twice must hold twice, and of values with commas between them one is enough (FHIR R4, search).
type search struct {
	typ          string
	providers    []string
	ids          [][]uuid.UUID
	from, before *time.Time // updated at or after, and before
	afterAt      *time.Time
	afterID      *uuid.UUID
	count        int
}

func newSearch(c *call, typ string) search {
	return search{typ: typ, providers: providers(c.feeds), count: defaultCount}
}

// match is a resource that was found.
type match struct {
	id        uuid.UUID
	version   int64
	updatedAt time.Time
	resource  any
}

var errNoParameter = errors.New("no parameter")

// parameters reads those of GET [type]?… and POST [type]/_search: own takes those of the type alone, and returns errNoParameter for any other. It
// returns what is to be said of those that were left out.
func (q *search) parameters(c *call, own func(name, value string) error) (left []fhir.Issue, err error) {
	if media, _, _ := mime.ParseMediaType(c.http.Header.Get("Content-Type")); c.http.ContentLength != 0 && media != formType {
		// ParseForm would leave the parameters out, and everything would be found
		return nil, refuse(http.StatusUnsupportedMediaType, fhir.NotSupported, "Content-Type must be %s", formType)
	}
	if err := c.http.ParseForm(); err != nil {
		return nil, refuse(http.StatusBadRequest, fhir.Structure, "the parameters cannot be read; send them in the address, or as a form")
	}
	lenient := prefersLenient(c.http.Header)
	for _, name := range slices.Sorted(maps.Keys(c.http.Form)) {
		for _, value := range c.http.Form[name] {
			err := q.add(name, value)
			if errors.Is(err, errNoParameter) {
				err = own(name, value)
			}
			switch unknown := fmt.Sprintf("is no search parameter of %s here; there are %s and _count", q.typ, strings.Join(fhir.SearchNames(q.typ), ", ")); {
			case errors.Is(err, errNoParameter) && lenient:
				left = append(left, fhir.Issue{Severity: fhir.Warning, Code: fhir.NotSupported, Diagnostics: fmt.Sprintf("%.60q was left out: it %s", name, unknown)})
				delete(c.http.Form, name) // the links tell what was searched by
			case errors.Is(err, errNoParameter):
				return nil, refuse(http.StatusBadRequest, fhir.NotSupported, "%.60q %s", name, unknown)
			case err != nil:
				return nil, refuse(http.StatusBadRequest, fhir.Value, "%s: %v", name, err)
			}
		}
	}
	return left, nil
}

// add takes a search parameter that all types have; errNoParameter is for any other.
func (q *search) add(name, value string) error {
	if !utf8.ValidString(value) || strings.Contains(value, "\x00") {
		return errors.New("holds what is no text in UTF-8")
	}
	switch name {
	case "_id":
		var oneOf []uuid.UUID
		for token := range strings.SplitSeq(value, ",") {
			id, err := uuid.Parse(token)
			if err != nil {
				return fmt.Errorf("must be the id of a %s", q.typ)
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
			return errors.New("what is found comes by _lastUpdated, the oldest change first")
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

// updated takes a date or time with a prefix: ge, gt, le, lt or eq.
func (q *search) updated(value string) error {
	prefix := "eq"
	if len(value) > 2 && value[0] >= 'a' {
		prefix, value = value[:2], value[2:]
	}
	begin, err := time.Parse(time.RFC3339, value)
	width := time.Millisecond // a resource tells milliseconds
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

// cursor names the place behind a resource in the order of a search.
func cursor(m match) string {
	return base64.RawURLEncoding.EncodeToString([]byte(m.updatedAt.Format(time.RFC3339Nano) + " " + m.id.String()))
}

func (q *search) page(value string) error {
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

// sql ends a statement that begins with text, of a table whose id is in the column idColumn: with the conditions that the search has, so that
// each is answered from an index, in the order of changes. It reads one more than a page holds, which tells whether there is a next page.
func (q search) sql(text, idColumn string, more ...condition) (string, []any) {
	var args []any
	where := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(args)), 1)
		}
		text += condition
	}
	if len(q.providers) == 1 {
		where(` WHERE provider = ?`, q.providers[0]) // then an index by provider has them in order
	} else {
		where(` WHERE provider = ANY(?)`, q.providers)
	}
	for _, oneOf := range q.ids {
		where(` AND `+idColumn+` = ANY(?)`, oneOf)
	}
	for _, m := range more {
		where(` AND `+m.text, m.values...)
	}
	if q.from != nil {
		where(` AND updated_at >= ?`, *q.from)
	}
	if q.before != nil {
		where(` AND updated_at < ?`, *q.before)
	}
	if q.afterAt != nil {
		where(` AND (updated_at, `+idColumn+`) > (?, ?)`, *q.afterAt, *q.afterID)
	}
	where(` ORDER BY updated_at, `+idColumn+` LIMIT ?`, q.count+1)
	return text, args
}

// condition is SQL in which each ? stands for the next value.
type condition struct {
	text   string
	values []any
}

// bundle is a page of what was found.
func (d *fhirDoor) bundle(c *call, q search, found []match, left []fhir.Issue) fhirReply {
	base := d.base + "/" + q.typ
	address := func(page string) string {
		params := url.Values{}
		for name, values := range c.http.Form {
			params[name] = values
		}
		params.Del("page")
		if page != "" {
			params.Set("page", page)
		}
		return base + "?" + params.Encode()
	}
	next := ""
	if len(found) > q.count {
		found = found[:q.count]
		next = address(cursor(found[q.count-1]))
	}
	list := make([]any, len(found))
	for i, m := range found {
		list[i] = m.resource
	}
	return fhirReply{status: http.StatusOK,
		body: fhir.Found(list, left, func(id string) string { return base + "/" + id }, address(c.http.Form.Get("page")), next)}
}
