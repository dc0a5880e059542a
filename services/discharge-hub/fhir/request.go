package fhir

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
)

// The types that may be written.
const (
	Patient        = "Patient"
	Encounter      = "Encounter"
	ServiceRequest = "ServiceRequest"
	Bundle         = "Bundle"
)

// Request is what the door stores: the resource as it was sent, and what else its reading rests on.
type Request struct {
	// ID is the sender's X-Request-ID.
	ID string `json:"request_id"`
	// Received is when it came: it orders what is said by resource. A message says itself when it was recorded.
	Received time.Time `json:"received"`
	// Resource is a Patient, an Encounter, a ServiceRequest or the Bundle of a message.
	Resource json.RawMessage `json:"resource"`
	// Before is the version of the same resource that it replaces.
	Before json.RawMessage `json:"before,omitempty"`
	// Discharged says that a discharge was told by this Encounter and not taken back.
	Discharged bool `json:"discharged,omitempty"`
	// Patient and Encounter are those that the resource refers to, as they were known.
	Patient   json.RawMessage `json:"patient,omitempty"`
	Encounter json.RawMessage `json:"encounter,omitempty"`
}

// Encode returns the stored form.
func (r Request) Encode() ([]byte, error) { return json.Marshal(r) }

// Stored reads a stored request as a fact of its feed.
func Stored(feed discharge.Feed, body []byte) (discharge.Reading, error) {
	var r Request
	if err := json.Unmarshal(body, &r); err != nil {
		return discharge.Reading{}, fmt.Errorf("not a stored FHIR request: %w", err)
	}
	e, issues := Read(feed, r)
	for _, i := range issues {
		if i.Severity == Error {
			return discharge.Reading{Problems: []discharge.Problem{{Kind: discharge.Unreadable, Where: i.Expression, Found: i.Diagnostics,
				Do: "Ask the sender to send the resource again as it should be, or correct it here"}}}, nil
		}
	}
	e.Digest = discharge.Digest(body)
	return discharge.FromEvent(feed, e), nil
}

// reader collects what a request says.
type reader struct {
	feed   discharge.Feed
	event  discharge.Event
	issues []Issue
	told   map[string]string // flag to the element that may raise it
	end    element           // when the person left
}

// Read reads a request of a feed. With an error among the issues the event is not to be used.
func Read(feed discharge.Feed, req Request) (discharge.Event, []Issue) {
	r := &reader{feed: feed, told: map[string]string{}}
	r.event = discharge.Event{MessageID: req.ID, Kind: discharge.KindUpdate, RecordedAt: req.Received}
	resource := parse(req.Resource, "", &r.issues)
	if !resource.present() {
		return r.event, r.issues
	}
	switch resource.get("resourceType").text() {
	case Patient:
		r.event.Kind = discharge.KindUpdatePerson
		r.patient(resource)
		r.alive(resource, r.quietly(req.Before))
	case Encounter:
		r.encounter(resource)
		r.status(resource, r.quietly(req.Before), req.Discharged)
		r.subject(resource, req.Patient)
	case ServiceRequest:
		r.referral(resource)
		r.subject(resource, req.Patient)
		if r.event.VisitNumber == "" {
			r.visit(r.quietly(req.Encounter))
		}
		r.needVisit(resource.get("encounter"))
	case Bundle:
		r.message(resource, req.Received)
	default:
		resource.get("resourceType").wrong(NotSupported, "must be Patient, Encounter, ServiceRequest or Bundle")
	}
	if !Refused(r.issues) {
		read := discharge.FromEvent(feed, r.event)
		r.neverLeft(read.Problems)
		r.doubts(read.Fact.Flags)
	}
	return r.event, r.issues
}

// quietly parses what was read before: what is wrong with it has been said then.
func (r *reader) quietly(raw json.RawMessage) element {
	var said []Issue
	if len(raw) == 0 {
		return element{issues: &said}
	}
	return parse(raw, "", &said)
}

// subject reads the person to whom a resource refers, contained or stored.
func (r *reader) subject(resource element, stored json.RawMessage) {
	subject := resource.get("subject")
	if !subject.present() {
		return
	}
	if id := subject.get("identifier"); id.get("system").text() == NHSNumberSystem {
		r.event.NHSNumber = id.get("value").text()
		r.told[discharge.FlagNHSNumberInvalid] = id.path + ".value"
	}
	switch person := resource.contained(subject.get("reference")); {
	case person.present():
		r.patient(person)
	case len(stored) > 0:
		r.patient(r.quietly(stored))
	}
	r.agrees(subject)
}

// agrees refuses a subject whose number is another than that of the Patient beside it: it is not known which of the two people is meant.
func (r *reader) agrees(subject element) {
	id := subject.get("identifier")
	value, of := id.get("value"), map[string]string{NHSNumberSystem: r.event.NHSNumber, r.feed.PatientSystem: r.event.PatientNumber}[id.get("system").text()]
	if of != "" && value.present() && bare(value.text()) != bare(of) {
		value.wrong(Value, "is another number than that of the Patient who is sent or referred to; send those of one person")
	}
}

// neverLeft refuses a discharge at a time at which the rules say that nobody can have left: in the last century, or before the person's birth.
func (r *reader) neverLeft(problems []discharge.Problem) {
	for _, p := range problems {
		if p = p.At(discharge.DoorFHIR); p.Kind == discharge.UnreadableTime {
			r.end.wrong(Value, "is %s; tell when the person left", p.Found)
		}
	}
}

// doubts warns of what is taken and not believed: it may be put right by another request, and must not delay this one.
func (r *reader) doubts(flags []string) {
	for _, flag := range flags {
		if path := r.told[flag]; path != "" {
			r.issues = append(r.issues, Issue{Severity: Warning, Code: Value, Expression: path,
				Diagnostics: "is not usable (" + flag + "): the rest is taken, this says nothing; send it again when it is right"})
		}
	}
}

// Sent is a resource with what it is found by.
type Sent struct {
	Type, ID, Status string
	Raw              json.RawMessage
	// VisitNumber and PatientNumber are the provider's, where the resource tells them.
	VisitNumber, PatientNumber string
	// Subject and Encounter are the ids of stored resources that it refers to.
	Subject, Encounter string
	// Spell is the spell that it is about; empty for a Patient.
	Spell string
}

// Examine finds what a resource is stored by. It looks no further than that.
func Examine(feed discharge.Feed, raw []byte) (Sent, []Issue) {
	r := &reader{feed: feed, told: map[string]string{}}
	e := parse(raw, "", &r.issues)
	s := r.examine(e)
	s.Raw = raw
	return s, r.issues
}

func (r *reader) examine(e element) Sent {
	s := Sent{Type: e.get("resourceType").text(), Status: e.get("status").text(),
		Subject: referenced(e.get("subject"), Patient), Encounter: referenced(e.get("encounter"), Encounter)}
	switch s.Type {
	case Patient:
		if s.PatientNumber = r.numberOf(e, r.feed.PatientSystem); s.PatientNumber == "" {
			e.get("identifier").wrong(Required, "has no value of the system %s: the number of the patient in your own system", r.feed.PatientSystem)
			break
		}
		s.ID = PatientID(r.feed.Provider, s.PatientNumber)
	case Encounter:
		s.VisitNumber = r.numberOf(e, r.feed.VisitSystem)
		r.event.VisitNumber = s.VisitNumber
		r.needVisit(e.get("identifier"))
		s.ID = discharge.SpellID(r.feed.Provider, s.VisitNumber, "", time.Time{})
		s.Spell = s.ID
	case ServiceRequest:
		s.Spell = s.Encounter
		if id := e.get("encounter", "identifier"); id.get("system").text() == r.feed.VisitSystem {
			s.VisitNumber = id.get("value").text()
			s.Spell = discharge.SpellID(r.feed.Provider, s.VisitNumber, "", time.Time{})
		}
		if s.ID = ReferralID(s.Spell); s.ID == "" {
			e.get("encounter").wrong(Required, "leads to no stay; give a reference to an Encounter here, or its identifier of the system %s", r.feed.VisitSystem)
		}
	}
	return s
}

// numberOf returns the identifier of that system which is in use. Of two that differ nobody can tell which is meant.
func (r *reader) numberOf(e element, system string) (number string) {
	for _, id := range e.each("identifier") {
		if id.get("system").text() != system || old(id) {
			continue
		}
		value := id.get("value")
		if number != "" && value.text() != number {
			value.wrong(Value, "is a second number of the system %s; send the one in use, and mark others by use old", system)
		}
		if number == "" {
			number = value.text()
		}
	}
	return number
}

// referenced returns the id in a literal reference `Type/id`, relative or absolute.
func referenced(reference element, typ string) string {
	parts := strings.Split(reference.get("reference").text(), "/")
	if n := len(parts); n >= 2 && parts[n-2] == typ {
		return parts[n-1]
	}
	return ""
}

// namespace is the UUIDv5 namespace of patients. It must never change.
var namespace = uuid.MustParse("0c7f7c0e-5d3a-5c0e-8d0c-3f6a1b9e42d1")

// PatientID is the id of a provider's patient.
func PatientID(provider, number string) string {
	return uuid.NewSHA1(namespace, []byte(provider+"|"+number)).String()
}

// ReferralID is the id of the one referral of a spell.
func ReferralID(spell string) string { return within(spell, "service-request") }

// TaskID is the id of the one task of a spell, as community-pickup has it too (UUIDv5 of `task` in the namespace that the spell's id is).
func TaskID(spell string) string { return within(spell, "task") }

func within(spell, name string) string {
	ns, err := uuid.Parse(spell)
	if err != nil {
		return ""
	}
	return uuid.NewSHA1(ns, []byte(name)).String()
}

// Systems are the systems of all identifiers in a resource, by which its feed is known.
func Systems(raw []byte) map[string]bool {
	found := map[string]bool{}
	var walk func(name string, v any)
	walk = func(name string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if system, ok := v["system"].(string); ok && name == "identifier" {
				found[system] = true
			}
			for name, child := range v {
				walk(name, child)
			}
		case []any:
			for _, child := range v {
				walk(name, child)
			}
		}
	}
	var v any
	if json.Unmarshal(raw, &v) == nil {
		walk("", v)
	}
	return found
}

// Corrected returns the stored form of a request whose resource a person has corrected. It stands in the place of the faulty one: it counts
// from when that came, and rests on what that rested on.
func Corrected(feed discharge.Feed, stored, resource []byte) ([]byte, error) {
	var r Request
	if err := json.Unmarshal(stored, &r); err != nil {
		return nil, fmt.Errorf("the faulty message is not a stored FHIR request: %w", err)
	}
	before, _ := Examine(feed, r.Resource)
	after, issues := Examine(feed, resource)
	switch {
	case Refused(issues):
		return nil, fmt.Errorf("%s: %s", issues[0].Expression, issues[0].Diagnostics)
	case after.Type != before.Type:
		return nil, fmt.Errorf("%s.resourceType: must be %s, as in the message that it corrects", after.Type, before.Type)
	case after.Subject != before.Subject, after.Encounter != before.Encounter:
		return nil, fmt.Errorf("%s.subject: refers to another resource than the message that it corrects; contain the right one", after.Type)
	}
	if after.ID != before.ID {
		r.Before = nil // of another resource
	}
	r.Resource = resource
	return r.Encode()
}
