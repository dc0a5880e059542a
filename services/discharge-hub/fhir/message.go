package fhir

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
)

// Happening is what a message may tell, by its event code (MessageHeader.eventCoding, system EventSystem).
type Happening struct {
	Code, Text string
	// Needs are the types that the Bundle must hold beside the MessageHeader.
	Needs []string
	kind  discharge.Kind
	// status is what the status of the Encounter, or of the ServiceRequest, must be; empty where it does not matter.
	encounter, referral string
	read                func(r *reader, encounter element)
}

// Happenings are all of them: the use cases of handing a person over.
func Happenings() []Happening {
	refer := func(r *reader, _ element) { r.event.Involvements = []discharge.Involvement{discharge.HubReferral} }
	left := func(r *reader, enc element) { r.left(enc.get("period", "end")) }
	return []Happening{
		{Code: "referral", Text: "The person is referred to the hub, perhaps long before the discharge", Needs: []string{Encounter, ServiceRequest},
			kind: discharge.KindUpdate, referral: "active", read: refer},
		{Code: "predicted-date", Text: "The expected date of discharge", Needs: []string{Encounter}, kind: discharge.KindUpdate, read: needPlanned},
		{Code: "readiness", Text: "Whether the criteria to reside are met", Needs: []string{Encounter}, kind: discharge.KindUpdate, read: needReadiness},
		{Code: "discharge-notice", Text: "Notice of the discharge at the expected date", Needs: []string{Encounter}, kind: discharge.KindUpdate,
			read: func(r *reader, enc element) { needPlanned(r, enc); refer(r, enc) }},
		{Code: "discharge-notice-withdrawn", Text: "The notice does not hold; no discharge is expected", Needs: []string{Encounter}, kind: discharge.KindUpdate,
			read: func(r *reader, _ element) { r.event.ExpectationCleared = true }},
		{Code: "discharged", Text: "The person has left", Needs: []string{Encounter}, kind: discharge.KindDischarge, encounter: "finished", read: left},
		{Code: "self-discharge", Text: "The person has left against advice, or was taken home by a relative", Needs: []string{Encounter},
			kind: discharge.KindDischarge, encounter: "finished", read: func(r *reader, enc element) { left(r, enc); r.selfDischarged(enc) }},
		{Code: "discharge-cancelled", Text: "The person has not left after all", Needs: []string{Encounter}, kind: discharge.KindCancelDischarge, encounter: "in-progress"},
		{Code: "referral-cancelled", Text: "The referral is withdrawn", Needs: []string{Encounter, ServiceRequest}, kind: discharge.KindUpdate,
			referral: "revoked", read: func(r *reader, _ element) { r.event.Withdrawn = []discharge.Involvement{discharge.HubReferral} }},
	}
}

func needPlanned(r *reader, enc element) {
	if r.event.ExpectedDischarge.IsZero() {
		enc.extension(plannedEndDate).wrong(Required, "is missing; give the expected date as valueDateTime")
	}
}

func needReadiness(r *reader, enc element) {
	if !r.event.MeetsCriteria.Said {
		enc.extension(criteriaToReside).wrong(Required, "is missing; say whether the criteria to reside are met")
	}
}

// selfDischarged takes the discharge method for 6 where the message does not say more.
func (r *reader) selfDischarged(enc element) {
	switch r.event.Method {
	case "":
		r.event.Method = "6"
	case "2", "6", "7":
	default:
		enc.extension(dischargeMethod).wrong(Invariant, "must be 6 (self-discharge) or 7 (by a relative or advocate), or be left out")
	}
}

// letter is the Bundle of a message, taken apart.
type letter struct {
	header element
	// held are the resources by type. There is one of each type at most.
	held map[string]element
}

func (l letter) of(typ string) element { return l.held[typ] }

func open(bundle element) letter {
	l := letter{held: map[string]element{}}
	if t := bundle.get("type"); t.text() != "message" {
		t.wrong(Value, "must be message")
	}
	for i, entry := range bundle.each("entry") {
		resource := entry.get("resource")
		typ := resource.get("resourceType").text()
		switch {
		case i == 0:
			if l.header = resource; typ != "MessageHeader" {
				resource.wrong(Structure, "must be the MessageHeader: it comes first")
			}
		case typ == Patient || typ == Encounter || typ == ServiceRequest:
			if l.held[typ].present() {
				resource.wrong(NotSupported, "is a second %s; send a message for each person", typ)
			}
			l.held[typ] = resource
		}
	}
	if !l.header.present() {
		entries := bundle.get("entry")
		entries.wrong(Required, "is empty; a message begins with a MessageHeader")
		l.header = element{path: entries.path + "[0].resource", issues: bundle.issues}
	}
	return l
}

// message reads the Bundle of a message.
func (r *reader) message(bundle element, received time.Time) {
	bundle.understood()
	stamp := bundle.get("timestamp")
	at, timed, ok := stamp.date(r.feed.Zone)
	switch {
	case !stamp.present():
		stamp.wrong(Required, "is missing; say when it was recorded: it orders what is told of a stay, whichever door it comes by")
	case !ok, !timed:
		stamp.wrong(Value, "must be an instant, such as 2026-09-02T14:25:00+01:00")
	case at.After(received.Add(24 * time.Hour)):
		stamp.wrong(Value, "is more than a day ahead; look at the sending system's clock")
	case !discharge.Recordable(at):
		stamp.wrong(Value, "is no time at which a message can have been recorded; it orders what is told of a stay")
	default:
		r.event.RecordedAt = at
	}
	l := open(bundle)
	what, known := r.happening(l.header)
	for _, typ := range what.Needs {
		if !l.of(typ).present() {
			bundle.get("entry").wrong(Required, "has no %s, which the event %s needs", typ, what.Code)
		}
	}
	if !known || Refused(r.issues) {
		return
	}
	encounter, referral := l.of(Encounter), l.of(ServiceRequest)
	r.encounter(encounter)
	mustBe(encounter, what.encounter)
	if referral.present() {
		mustBe(referral, what.referral)
	}
	if person := l.of(Patient); person.present() {
		r.patient(person)
		r.agrees(encounter.get("subject"))
		r.agrees(referral.get("subject"))
	} else {
		r.subject(encounter, nil)
	}
	r.event.Kind = what.kind
	if what.read != nil {
		what.read(r, encounter)
	}
}

func mustBe(e element, status string) {
	if s := e.get("status"); status != "" && s.text() != status {
		s.wrong(Invariant, "must be %s for this event", status)
	}
}

func (r *reader) happening(header element) (Happening, bool) {
	coding := header.get("eventCoding")
	if system := coding.get("system"); system.text() != EventSystem {
		system.wrong(Value, "must be %s", EventSystem)
		return Happening{}, false
	}
	code, codes := coding.get("code").need("it says what happened"), []string{}
	for _, h := range Happenings() {
		if h.Code == code {
			return h, true
		}
		codes = append(codes, h.Code)
	}
	coding.get("code").wrong(NotSupported, "must be one of %s", strings.Join(codes, ", "))
	return Happening{}, false
}

// Carried are the resources that a message carries, each with what it is stored by.
func Carried(feed discharge.Feed, raw []byte) ([]Sent, []Issue) {
	r := &reader{feed: feed, told: map[string]string{}}
	bundle := parse(raw, "", &r.issues)
	l := open(bundle)
	var list []Sent
	var encounter Sent
	for _, typ := range []string{Patient, Encounter, ServiceRequest} {
		resource := l.of(typ)
		if !resource.present() {
			continue
		}
		if typ == Patient && r.numberOf(resource, r.feed.PatientSystem) == "" {
			continue // there is nothing to find it by; who it is goes with the stay
		}
		if typ == ServiceRequest { // it is about the Encounter beside it
			list = append(list, Sent{Type: typ, ID: ReferralID(encounter.ID), Status: resource.get("status").text(), Spell: encounter.ID, Raw: resource.raw()})
			continue
		}
		s := r.examine(resource)
		s.Raw = resource.raw()
		if typ == Encounter {
			encounter = s
		}
		list = append(list, s)
	}
	return list, r.issues
}

// MessageID is MessageHeader.id, else Bundle.id, by which an answer refers to a message.
func MessageID(raw []byte) string {
	var said []Issue
	bundle := parse(raw, "", &said)
	for _, e := range bundle.each("entry") {
		if id := e.get("resource", "id").text(); id != "" {
			return id
		}
		break
	}
	return bundle.get("id").text()
}

// Answer is the message that answers one that was stored.
func Answer(requestID, messageID string, at time.Time, task string, issues []Issue) any {
	header := object{
		"resourceType": "MessageHeader", "eventCoding": object{"system": EventSystem, "code": "received"},
		"source":   object{"name": "Homeward", "endpoint": Base},
		"response": object{"identifier": messageID, "code": "ok"},
		"focus":    []object{{"reference": "Task/" + task}},
	}
	entries := []object{}
	for _, resource := range []any{header, Outcome(issues...)} {
		o := resource.(object)
		id := uuid.NewSHA1(namespace, []byte(requestID+"|"+o["resourceType"].(string))).String()
		o["id"] = id
		entries = append(entries, object{"fullUrl": "urn:uuid:" + id, "resource": o})
	}
	return object{"resourceType": Bundle, "type": "message", "timestamp": instant(at), "entry": entries}
}
