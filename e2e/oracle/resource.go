package oracle

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/homeward-care/homeward/e2e/hospital"
)

// Record is a person in a hospital's record system, which tells of the stay resource by resource: a Patient, an Encounter and a
// ServiceRequest at the provider's FHIR door.
type Record struct {
	// Stay has no messages: what the record system says counts as recorded when the door received it.
	Stay
	*rand.Rand
	says Says
}

// Write is one resource as it is written.
type Write struct {
	Type string
	// Condition is the query by which the resource is found.
	Condition string
	Status    string // of an Encounter or a ServiceRequest
	Body      []byte
	says      Says
}

// NewRecord is the nth record of a run, of somebody who was admitted some days before now. It has nothing in common with the stays of the run.
func NewRecord(r *rand.Rand, n int, now time.Time) *Record {
	key := fmt.Sprintf("FR%06d", n)
	p := &Record{Stay: Stay{Key: key, SpellID: SpellID(feeds[fhirFeed].provider, "V"+key, "", time.Time{})}, Rand: r}
	p.says = Says{Person: key, Visit: "V" + key, Patient: "P" + key, NHS: nhsNumber(500_000 + n), Born: identity{}.born(r, now),
		Admitted: now.Add(-time.Duration(2+r.IntN(20)) * 24 * time.Hour).UTC().Truncate(time.Minute)}
	p.says.Practice, p.says.Postcode = homeOf(r)
	return p
}

// RecordOf is the record of a stay of which messages tell too, under the same visit number; false where it has none, or another provider is the
// stay's. What is written knows nothing of what the messages say after the first.
func RecordOf(r *rand.Rand, stay Stay) (*Record, bool) {
	if len(stay.Messages) == 0 {
		return nil, false
	}
	first := stay.Messages[0]
	if first.Visit == "" || feeds[first.Feed].provider != feeds[fhirFeed].provider {
		return nil, false
	}
	p := &Record{Stay: Stay{Key: "FR" + stay.Key, SpellID: stay.SpellID}, Rand: r}
	p.says = Says{Person: first.Person, Visit: first.Visit, Patient: first.Patient, NHS: first.NHS, Born: first.Born, Admitted: first.Admitted,
		Practice: first.Practice, Postcode: first.Postcode}
	return p, true
}

// Next is what a clerk writes next. What is told first is a stay: whoever is told of has one.
func (p *Record) Next(of Subject, now time.Time, first bool) Write {
	n := p.IntN(8)
	switch {
	case n < 2 && !first:
		return p.Patient()
	case n < 3 && !first:
		return p.Referral([]string{"active", "active", "revoked"}[p.IntN(3)], of)
	}
	return p.Encounter([]string{"in-progress", "in-progress", "in-progress", "finished", "finished", "finished", "finished", "onleave", "cancelled"}[p.IntN(9)], of, now)
}

// By chooses one of the ways in which somebody may write it who knows the resource in a version, 0 for none, at an address. The request may replace one
// version alone, or any: then ifVersion is 0.
func (w Write) By(r *rand.Rand, id, at string, known int) (request hospital.FHIRRequest, ifVersion int) {
	all := "/fhir/" + w.Type
	request = hospital.FHIRRequest{ID: id, Method: http.MethodPut, Body: w.Body}
	post := func(unlessThere string) {
		request.Method, request.Path, request.IfNoneExist = http.MethodPost, all, unlessThere
	}
	if known == 0 {
		switch r.IntN(3) {
		case 0:
			post("")
		case 1:
			post(w.Condition)
		default:
			request.Path = all + "?" + w.Condition
		}
		return request, 0
	}
	request.Path = at
	switch r.IntN(6) {
	case 0: // whatever is there
	case 1:
		request.IfMatch = "*"
	case 2:
		request.Path = all + "?" + w.Condition
	case 3:
		post(w.Condition)
	default:
		request.IfMatch, ifVersion = fmt.Sprintf(`W/"%d"`, known), known
	}
	return request, ifVersion
}

// Patient says who the person is; now and then they have moved.
func (p *Record) Patient() Write {
	if p.IntN(2) == 0 {
		p.says.Practice, p.says.Postcode = homeOf(p.Rand)
	}
	says := p.says
	says.Visit, says.Admitted = "", time.Time{}
	return write("Patient", "identifier="+raj+"/patient-number|"+says.Patient, "", says.patient(), says)
}

// Subject is the Patient to whom a resource refers, and how it stands there; the zero Subject is contained in the resource.
type Subject struct {
	Reference string
	Patient   Write
}

// Encounter tells of the stay: in-progress, onleave, finished or cancelled.
func (p *Record) Encounter(status string, of Subject, now time.Time) Write {
	says := p.sayOf(of)
	says.Class = "I"
	if status == "finished" {
		says.Left = now.Add(-time.Duration(p.IntN(3*24*60)) * time.Minute).UTC().Truncate(time.Minute)
		says.Method, says.Destination = "1", "19"
		switch p.IntN(8) {
		case 0:
			says.Method = pick(p.Rand, "6", "7", "2")
		case 1:
			says.Destination = pick(p.Rand, "51", "53", "87", "29", "54")
		case 2:
			says.Method, says.Destination = "4", "79"
		case 3:
			says.Method, says.Destination = "", ""
		}
	}
	return write("Encounter", "identifier="+raj+"/visit-number|"+says.Visit, status, says.about(says.encounter(status), of), says)
}

// Referral tells that the person is referred to the hub, or is not any more: active or revoked.
func (p *Record) Referral(status string, of Subject) Write {
	says := p.sayOf(of)
	says.Admitted = time.Time{}
	if status == "active" {
		says.Involved = []string{"hub-referral"}
	}
	body := says.about(object{"resourceType": "ServiceRequest", "status": status, "intent": "order",
		"encounter": object{"identifier": identifier(raj+"/visit-number", says.Visit)}}, of)
	return write("ServiceRequest", "encounter.identifier="+raj+"/visit-number|"+says.Visit, status, body, says)
}

// sayOf is what is said of the person in a resource.
func (p *Record) sayOf(of Subject) Says {
	says := p.says
	if of.Reference != "" {
		says = of.Patient.says
		says.Visit, says.Admitted = p.says.Visit, p.says.Admitted
	}
	return says
}

func (m Says) about(resource object, of Subject) object {
	resource["subject"] = object{"reference": of.Reference}
	if of.Reference == "" {
		person := m.patient()
		person["id"] = "p"
		resource["subject"], resource["contained"] = object{"reference": "#p"}, []object{person}
	}
	return resource
}

func write(typ, condition, status string, resource object, says Says) Write {
	body, err := json.Marshal(resource)
	if err != nil {
		panic(err) // objects of texts can always be written
	}
	return Write{Type: typ, Condition: condition, Status: status, Body: body, says: says}
}

// Received is what a write tells: it was received then, before stands in the status of the Encounter that it replaces, and stored is what the
// hub keeps of it.
func (w Write) Received(requestID, before string, at time.Time, stored []byte) Told {
	m := Told{Feed: fhirFeed, ControlID: requestID, FHIR: stored, Recorded: at, Says: w.says}
	switch w.Type {
	case "Patient":
		m.Kind = updates[1]
		return m
	case "Encounter":
		m.Kind = happened(w.Status, before)
	case "ServiceRequest":
		m.Kind = "A08"
	}
	m.SpellID = SpellID(feeds[fhirFeed].provider, m.Visit, "", time.Time{})
	return m
}

// happened is the trigger that means what the status of an Encounter says after the one before it.
func happened(status, before string) string {
	switch {
	case status == "finished":
		return "A03"
	case status == "cancelled":
		return "A11"
	case before == "finished":
		return "A13"
	case before == "cancelled":
		return "A01"
	case status == "onleave" && before != "onleave":
		return "A21"
	case status == "in-progress" && before == "onleave":
		return "A22"
	}
	return "A08"
}
