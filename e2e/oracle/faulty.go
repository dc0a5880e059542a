package oracle

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// OfMessages are the exceptions that a message has by itself, whatever the others say.
var OfMessages = []string{"no-spell-key", "no-time", "no-message-type", "nhs-numbers-differ", "no-patient-number"}

// Faulty is the stay with copies of some of its messages that lack something or contradict themselves, as those of real senders do. What can be
// used of one counts; of the rest there is an exception, and nothing else.
func (s Stay) Faulty(r *rand.Rand) Stay {
	whole := s.Messages
	s.Messages = slices.Clone(whole)
	for n := range 1 + r.IntN(4) {
		m := pick(r, whole...)
		if m.HL7 == nil || m.Test || m.Kind == "A60" || len(m.Also) > 0 {
			continue
		}
		m.ControlID = fmt.Sprintf("%sF%d", m.ControlID, n)
		m.Fields = maps.Clone(m.Fields)
		m.Fields["MSH-10"] = m.ControlID
		if words := m.spoil(r); words != "" {
			m.HL7 = m.Fields.Encode()
			s.Turns = append(slices.Clone(s.Turns), m.ControlID+" "+words)
			s.Messages = slices.Insert(s.Messages, r.IntN(len(s.Messages)+1), m)
		}
	}
	return s
}

// needStay are the triggers behind which may be somebody who is lost, if nothing says whose stay it is.
var needStay = []string{"A01", "A02", "A03", "A07", "A08", "A11", "A13"}

// spoil makes a message faulty, and says how; empty where that cannot be done to it.
func (m *Told) spoil(r *rand.Rand) (words string) {
	aboutStay, other := m.SpellID != "" && !m.ofPerson(), nhsNumber(900_000+r.IntN(100_000))
	of, numbers := feeds[m.Feed].provider, m.Fields["PID-3"]
	switch r.IntN(12) {
	case 0:
		if !slices.Contains(needStay, m.Kind) {
			return ""
		}
		m.without("PV1-19")
		if m.Kind == "A08" || r.IntN(2) == 0 { // an update that names a person is that person's
			m.Fields["PID-3"] = m.nhsAlone()
		} else {
			m.without("PV1-44")
		}
		m.becomes("no-spell-key")
		return "says of no stay"
	case 1:
		if aboutStay && m.Visit == "" {
			return ""
		}
		m.without("EVN-2", "MSH-7", "EVN-6", "PV1-44", "PV1-45")
		m.becomes("no-time")
		return "has no time"
	case 2:
		m.Fields["MSH-9"] = pick(r, "", "ADT")
		m.without("EVN-1")
		m.becomes("no-message-type")
		return "has no type"
	case 3:
		m.Fields["MSH-9"] = "ADT"
		return "has its trigger in EVN-1 alone"
	case 4:
		if other == "" || m.NHS == "" {
			return ""
		}
		m.Fields["PID-3"] = other + "^^^NHS^NH~" + numbers
		m.NHS, m.Raises = "", []string{"nhs-numbers-differ"}
		return "has two NHS numbers"
	case 5:
		if other == "" {
			return ""
		}
		m.Fields["PID-3"] = other + "^^^NHS^NH^^^20200101~" + numbers
		return "has an NHS number that has expired"
	case 6:
		if m.NHS == "" {
			return ""
		}
		m.Fields["PID-3"] = m.NHS[:9] + string('0'+(m.NHS[9]-'0'+1)%10) + "^^^NHS^NH~" + numbers
		return "has an NHS number that is none"
	case 7:
		m.Fields["PID-3"] = pick(r, "Z"+m.Patient+"^^^RXX^PI~"+numbers, numbers+"~Z"+m.Patient+"^^^RXX^MR")
		return "has another hospital's number"
	case 8:
		if !aboutStay || m.Visit == "" || m.Kind == moveVisit {
			return ""
		}
		m.Fields["PID-3"] = m.nhsAlone()
		m.Person, m.Patient = "", "" // nobody but the visit number says whose it is
		return "has no number of " + of
	case 9:
		joins := slices.Contains(merges, m.Kind) && m.Kind != "A35" // an A35 without a second number merges accounts
		switch {
		case !m.ofPerson() || m.Sent != "":
			return ""
		case joins:
			m.without("MRG-1")
		case m.Dead == "Y":
			m.Fields["PID-3"] = m.nhsAlone()
		default:
			return ""
		}
		m.becomes("no-patient-number")
		return "merges nobody, or tells that nobody has died"
	case 10:
		m.without("EVN-2")
		return "was recorded when it was sent"
	}
	m.without("EVN-2", "MSH-7")
	for _, at := range []time.Time{m.Effective, m.Left, m.Admitted} {
		if m.Recorded = at; !at.IsZero() && !lastCentury(at) {
			return "has no time but those of the stay"
		}
	}
	m.becomes("no-time")
	return "has no time"
}

func (m *Told) without(fields ...string) {
	for _, f := range fields {
		delete(m.Fields, f)
	}
}

// nhsAlone is PID-3 without the hospital's number.
func (m *Told) nhsAlone() string {
	if m.NHS == "" {
		return ""
	}
	return m.NHS + "^^^NHS^NH"
}

// becomes makes a message an exception that tells nothing.
func (m *Told) becomes(kind string) { m.SpellID, m.Says, m.Raises = "", Says{}, []string{kind} }

// RaisedSQL reads a hub's open exceptions as a Raised each; $1 is OfMessages.
const RaisedSQL = `SELECT i.digest, e.kind FROM exception e JOIN inbound i ON i.id = e.inbound_id WHERE e.closed_at IS NULL AND e.kind = ANY($1)`

// Raised is an open exception of a message, which is known by the SHA-256 of its bytes.
type Raised struct {
	Digest []byte
	Kind   string
}

// CheckRaised holds the exceptions that messages have by themselves against what they must have.
func CheckRaised(told []Told, open []Raised) (wrong []string) {
	byMessage := map[string][]string{}
	for _, e := range open {
		byMessage[string(e.Digest)] = append(byMessage[string(e.Digest)], e.Kind)
	}
	for _, m := range told {
		if m.HL7 == nil {
			continue
		}
		digest := sha256.Sum256(m.HL7)
		kinds := slices.Sorted(slices.Values(byMessage[string(digest[:])]))
		if !slices.Equal(kinds, m.Raises) {
			wrong = append(wrong, fmt.Sprintf("message %s has the exceptions %q, must have %q", m.ControlID, strings.Join(kinds, ", "), strings.Join(m.Raises, ", ")))
		}
	}
	return wrong
}
