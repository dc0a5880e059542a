package dischargehub

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/kit/audit"
)

// typeAt is the type of the resource that an address names.
func typeAt(r *http.Request) string {
	return strings.Split(strings.TrimPrefix(r.URL.Path, fhirPath+"/"), "/")[0]
}

// readResource is GET [type]/[id]: what the organisation itself has sent.
func readResource(d *fhirDoor, c *call) (fhirReply, error) {
	id, err := uuid.Parse(c.http.PathValue("id"))
	if err != nil {
		return fhirReply{}, notThere()
	}
	q := resourceQuery{search: newSearch(c, typeAt(c.http))}
	q.ids = [][]uuid.UUID{{id}}
	found, err := d.find(c, q)
	if err != nil {
		return fhirReply{}, err
	}
	if len(found) == 0 {
		return fhirReply{}, notThere()
	}
	return fhirReply{status: http.StatusOK, etag: etag(found[0].version), body: found[0].resource}, nil
}

// searchResources is GET [type]?… and POST [type]/_search of what the organisation itself has sent. It finds whom or what it names: to list
// everybody is nothing that a handover needs (UK GDPR, article 5(1)(c)).
func searchResources(d *fhirDoor, c *call) (fhirReply, error) {
	q := resourceQuery{search: newSearch(c, typeAt(c.http))}
	left, err := q.parameters(c, func(name, value string) error { return q.own(name, value, c) })
	if err != nil {
		return fhirReply{}, err
	}
	if len(q.ids)+len(q.tokens) == 0 {
		return fhirReply{}, refuse(http.StatusBadRequest, fhir.Required, "name what you look for, by one of %s: nothing is listed as a whole",
			strings.Join(fhir.SelectiveNames(q.typ), ", "))
	}
	found, err := d.find(c, q)
	if err != nil {
		return fhirReply{}, err
	}
	return d.bundle(c, q.search, found, left), nil
}

// resourceQuery is a search for resources that providers have sent.
type resourceQuery struct {
	search
	tokens [][]fhir.Token // of one search parameter in each list
}

// own takes a search parameter of Patient, Encounter or ServiceRequest; errNoParameter is for one that is not known.
func (q *resourceQuery) own(name, value string, c *call) error {
	var tokens []fhir.Token
	var ids []uuid.UUID
	for one := range strings.SplitSeq(value, ",") {
		system, number, both := strings.Cut(one, "|")
		switch {
		case name == "identifier":
			if !both || number == "" {
				return errors.New("must be <system>|<value>")
			}
			tokens = append(tokens, fhir.Identifies(system, number))
		case name == "patient" && q.typ != fhir.Patient:
			id, ok := fhir.Referred(fhir.Patient, one)
			if !ok {
				return errors.New("must be the id of a Patient, or Patient/<id>; search Patient by identifier for it")
			}
			tokens = append(tokens, fhir.OfPatient(id))
		case name == "encounter" && q.typ == fhir.ServiceRequest:
			id, ok := fhir.Referred(fhir.Encounter, one)
			if !ok {
				return errors.New("must be the id of an Encounter, or Encounter/<id>")
			}
			ids = append(ids, uuid.MustParse(fhir.ReferralID(id)))
		case name == "encounter.identifier" && q.typ == fhir.ServiceRequest:
			spell, ok := stayOf(c.feeds, system, number)
			if !ok {
				return errors.New("must be <system>|<value>, with the system of your visit numbers")
			}
			ids = append(ids, uuid.MustParse(fhir.ReferralID(spell)))
		default:
			return errNoParameter
		}
	}
	if tokens != nil {
		q.tokens = append(q.tokens, tokens)
	}
	if ids != nil {
		q.ids = append(q.ids, ids)
	}
	return nil
}

// stayOf is the id of the stay with a visit number of one of the feeds.
func stayOf(feeds []discharge.Feed, system, number string) (string, bool) {
	for _, f := range feeds {
		if f.VisitSystem == system && number != "" {
			return discharge.SpellID(f.Provider, number, "", time.Time{}), true
		}
	}
	return "", false
}

func (q resourceQuery) sql() (string, []any) {
	more := []condition{{`type = ?`, []any{q.typ}}, {`version > 0`, nil}}
	for _, oneOf := range q.tokens {
		tokens := make([]string, len(oneOf))
		for i, t := range oneOf {
			tokens[i] = storedControlID(t.Text)
		}
		more = append(more, condition{`id = ANY (ARRAY(SELECT t.id FROM fhir_token t WHERE t.type = ? AND t.name = ? AND t.token = ANY(?)))`,
			[]any{q.typ, oneOf[0].Name, tokens}})
	}
	return q.search.sql(`SELECT id, version, updated_at, body FROM fhir_resource`, "id", more...)
}

// find reads what a client looks for. That it reads each of them is audited in the same transaction.
func (d *fhirDoor) find(c *call, q resourceQuery) (found []match, err error) {
	ctx := c.ctx
	text, args := q.sql()
	err = d.store.db.InTx(ctx, "read-fhir", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, text, args...)
		if err != nil {
			return fmt.Errorf("read resources: %w", err)
		}
		if found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m match, err error) {
			var body string
			if err := row.Scan(&m.id, &m.version, &m.updatedAt, &body); err != nil {
				return m, err
			}
			m.resource, err = fhir.WithMeta([]byte(body), m.id.String(), m.version, m.updatedAt)
			return m, err
		}); err != nil {
			return fmt.Errorf("read resources: %w", err)
		}
		read := make([]audit.Entry, min(len(found), q.count))
		for i := range read {
			read[i] = audit.Entry{At: d.now(), Actor: "client:" + c.client, Action: "fhir.read", Record: found[i].id, Detail: q.typ,
				Trace: trace.SpanContextFromContext(ctx)}
		}
		return audit.Append(ctx, tx, read...)
	})
	return found, err
}
