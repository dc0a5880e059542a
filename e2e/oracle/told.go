package oracle

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/homeward-care/homeward/e2e/hospital"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
)

// Told is one message of a hospital or of the hub's staff: the bytes for the door, and what they mean.
type Told struct {
	Feed      string // key of the sender, for instance `mse-basildon`
	ControlID string // MSH-10, or the record's message id
	// HL7 goes over MLLP, and Fields are its fields; or Event goes over gRPC (RecordEvent); or FHIR, a message, is posted to $process-message.
	HL7    []byte
	Fields hospital.Message
	Event  *dischargev1.RecordEventRequest
	FHIR   []byte
	// Recorded is when the hospital recorded it; it alone orders messages.
	Recorded time.Time
	// SpellID is the spell that it is about; empty for what is about a person, and for what must have no effect: a test message, or a trigger
	// that nobody handles.
	SpellID string
	Says
	// Raises are the exceptions that the message has by itself, whatever the others say; see OfMessages.
	Raises []string
	part   int // of what the message says
	// Also is what the same message says of other spells: of the other one of two people whose beds are swapped, or of a visit under the
	// number that it had before.
	Also []About
}

// About is what a message says of a spell.
type About struct {
	SpellID string
	Says
}

// Says is what a message means. Empty fields say nothing; hospital.Null takes back what was said before.
type Says struct {
	Kind   string // the HL7 trigger with that meaning; see triggers; of a person an update, a merge, or revoke-merge
	Sent   string // the trigger that is sent, where it is another one that means the same
	Person string // whom it is really about; empty where the message does not tell

	Visit, Patient  string    // PV1-19, the provider's patient number
	VisitNow        string    // PV1-19 where Visit, in MRG-5, is the number that the visit had before
	Class, Ward     string    // PV1-2, PV1-3
	Planned         time.Time // PV2-9: when the person is expected to leave
	Prior           string    // MRG-1: the number that is merged into Patient, or whose visit it was
	NHS, Born       string    // Born is YYYY-MM-DD
	Postcode        string
	Practice        string
	Admitted, Left  time.Time // PV1-44, PV1-45
	Effective       time.Time // EVN-6
	Method, GoingTo string    // discharge method, postcode of the discharge address
	Destination     string    // discharge destination
	Swapped         bool      // method and destination stand in each other's field
	DeadWords       string    // what tells of a death where a destination belongs: words, or a method's code
	Dead            string    // PID-30: Y, N, hospital.Null, or words
	DiedAt          time.Time // PID-29
	NotDied         bool      // PID-29 is taken back
	Involved        []string  // hub-referral, council-package, pathway
	Pathway         string    // 0 to 3
	Test            bool      // MSH-11 is T
}

// feeds are the senders: MSH-3, MSH-4, provider, and whether they tell of people in whom social care is involved or of everybody.
var feeds = map[string]struct{ application, facility, provider, scope string }{
	"mse-basildon": {"MSEPAS", "RAJ", "RAJ", "social-care"},
	"mse-all":      {"MSEPAS-ALL", "RAJ12", "RAJ", "whole-hospital"},
	"bhrut":        {"BHRUTPAS", "RF4", "RF4", "social-care"},
	"dartford":     {"DGTPAS", "RN7", "RN7", "social-care"},
	fhirFeed:       {"", "", "RAJ", "social-care"},
	"hub-staff":    {"", "", "RAJ", ""},
}

// SpellID is UUIDv5 of provider and visit number, or, without one, of provider, patient number and time of admission.
func SpellID(provider, visit, patient string, admitted time.Time) string {
	key := provider + "|visit|" + visit
	if visit == "" {
		key = provider + "|patient|" + patient + "|" + admitted.UTC().Format(time.RFC3339)
	}
	return uuid.NewSHA1(uuid.MustParse("6f0d8d5e-3c0b-5d0e-9a55-4b1f6c1c7a11"), []byte(key)).String()
}

// TaskID is the one task of a spell: UUIDv5 of "task" in the namespace of the spell's id.
func TaskID(spellID string) string {
	return uuid.NewSHA1(uuid.MustParse(spellID), []byte("task")).String()
}

// ofPerson says whether it is about a person, and so about all that person's spells. A merge of a number with itself says nothing.
func (m Told) ofPerson() bool {
	joins := m.Kind == unmerge || slices.Contains(merges, m.Kind)
	return !m.Test && (slices.Contains(updates, m.Kind) || joins && m.Prior != m.Patient)
}

// number is the patient number with whose it is; prior is the other number of a merge. Empty where there is none.
func (m Told) number() string { return m.numberAt(m.Patient) }
func (m Told) prior() string  { return m.numberAt(m.Prior) }

func (m Told) numberAt(number string) string {
	if number == "" {
		return ""
	}
	return feeds[m.Feed].provider + "|" + number
}

// parts are the messages, each as often as it has something to say, with nothing in Also.
func parts(messages []Told) (all []Told) {
	for _, m := range messages {
		also := m.Also
		m.Also = nil
		all = append(all, m)
		for i, about := range also {
			m.SpellID, m.Says, m.part = about.SpellID, about.Says, i+1
			all = append(all, m)
		}
	}
	return all
}

// SpellIDs are the spells that a message is about.
func (m Told) SpellIDs() (ids []string) {
	for _, p := range parts([]Told{m}) {
		if p.SpellID != "" {
			ids = append(ids, p.SpellID)
		}
	}
	return ids
}

// digest tells messages apart, and what one message says of several spells: the same bytes from the same sender are one message.
func (m Told) digest() [sha256.Size]byte {
	body := m.HL7
	if m.FHIR != nil {
		body = m.FHIR
	}
	if m.Event != nil {
		var err error
		if body, err = (proto.MarshalOptions{Deterministic: true}).Marshal(m.Event); err != nil {
			panic(err) // plain fields of valid text can always be written
		}
	}
	return sha256.Sum256(append(fmt.Appendf(nil, "%s|%d|", m.Feed, m.part), body...))
}

// YearPutRight is a message whose year of discharge was mistyped, as its sender should have written it; false where that is not what is wrong.
func (m Told) YearPutRight() (Told, bool) {
	if m.HL7 == nil || !m.ahead(m.Left) {
		return m, false
	}
	m.Left = m.Left.AddDate(-1, 0, 0)
	m.Fields = maps.Clone(m.Fields)
	m.Fields["PV1-45"] = m.Left.In(London).Format("20060102150405-0700")
	m.HL7 = m.Fields.Encode()
	return m, true
}
