package discharge

import (
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
)

// Word is what the ward is told about a handover.
type Word string

const (
	WordReceived  Word = "received"  // stored and read
	WordDelivered Word = "delivered" // community-pickup has confirmed this version, "not due" included
	WordTaken     Word = "taken"     // a named person in the team has it
	WordContacted Word = "contacted" // the person was reached
	WordClosed    Word = "closed"    // the team has ended its work
)

// sentences are what a person on the ward reads.
var sentences = map[Word]string{
	WordReceived:  "Received by Homeward",
	WordDelivered: "Delivered to community pick-up",
	WordTaken:     "Taken by a worker in the team",
	WordContacted: "First contact with the person made",
	WordClosed:    "Closed by the team",
}

// outcomes are the words for what community-pickup decided.
var outcomes = map[string]string{
	"in-hospital":         "Still in hospital",
	"due":                 "A pick-up is due",
	"not-due":             "No pick-up is due",
	"in-another-hospital": "In another hospital",
}

// Answer is one word about a spell for the hospital that told of it. It holds nothing of the person but the hospital's own numbers.
type Answer struct {
	Feed, SpellID string
	Word          Word
	// About is what the word is said of, for instance a version of the spell: one answer each.
	About string
	At    time.Time
	// Team is the key of the team, Outcome one of outcomes; empty where they are not known.
	Team, Outcome string
	// VisitNumber and PatientNumber are the hospital's own (PV1-19, PID-3).
	VisitNumber, PatientNumber string
}

// ControlID is MSH-10: the same for each sending of the answer, also after a restore, and another for each other answer.
func (a Answer) ControlID() string {
	sum := sha256.Sum256([]byte(a.Feed + "|" + a.SpellID + "|" + string(a.Word) + "|" + a.About))
	return base32.StdEncoding.EncodeToString(sum[:])[:20] // HL7 v2.4 allows 20 characters
}

// Message is the answer as an unsolicited result, ORU^R01 (HL7 v2.4 chapter 7): each is a small final result of its own.
func (a Answer) Message(feed Feed) []byte {
	const number = "HANDOVER^Handover to the community^L"
	at := hl7.FormatTime(a.At.In(feed.Zone))
	b := (&hl7.Builder{}).
		Set("MSH-3", "HOMEWARD").Set("MSH-4", "HOMEWARD").Set("MSH-5", feed.Answers.Application).Set("MSH-6", feed.Answers.Facility).
		Set("MSH-7", at).SetRaw("MSH-9", "ORU^R01").Set("MSH-10", a.ControlID()).Set("MSH-11", "P").Set("MSH-12", "2.4")
	if feed.Mode == Test {
		b.Set("MSH-11", "T")
	}
	b.Set("PID-1", "1")
	if a.PatientNumber != "" {
		b.Set("PID-3.1", a.PatientNumber).Set("PID-3.4", feed.Mapping.PatientAuthority).Set("PID-3.5", "PI")
	}
	b.Set("PID-5.7", "S") // a name is required, and withheld: table 0200, coded pseudo-name to ensure anonymity
	b.Set("PV1-1", "1").Set("PV1-2", "I")
	if a.VisitNumber != "" {
		b.Set("PV1-19", a.VisitNumber)
	}
	b.Set("OBR-1", "1").Set("OBR-3", a.ControlID()).SetRaw("OBR-4", number).Set("OBR-7", at).Set("OBR-22", at).Set("OBR-25", "F")
	n := 0
	result := func(kind, code, name, value, text string) {
		n++
		b.Add("OBX").Set("OBX-1", strconv.Itoa(n)).Set("OBX-2", kind).Set("OBX-3.1", code).Set("OBX-3.2", name).Set("OBX-3.3", "L").
			Set("OBX-5.1", value).Set("OBX-11", "F").Set("OBX-14", at)
		if kind == "CE" {
			b.Set("OBX-5.2", text).Set("OBX-5.3", "L")
		}
	}
	result("CE", "HANDOVER-WORD", "How far the handover is", string(a.Word), sentences[a.Word])
	result("ST", "HANDOVER-REFERENCE", "Reference to ask by", Reference(a.SpellID), "")
	if a.Outcome != "" {
		result("CE", "PICK-UP", "Whether a pick-up is due", a.Outcome, outcomes[a.Outcome])
	}
	if a.Team != "" {
		result("ST", "TEAM", "Team", a.Team, "")
	}
	return b.Bytes()
}

// Numbers returns the visit number and the newest patient number that the facts tell of a spell's person, and of nobody else who was given
// the same visit number; where that number was merged, the one that survived.
func Numbers(facts []Fact) (visit, patient string) {
	by := part(inOrder(facts))
	for _, f := range by.own {
		if f.VisitNumber != "" {
			visit = f.VisitNumber
		}
	}
	return visit, numberOf(by.own, by.numbers)
}

const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
	// AfterReject is when a rejected answer is tried again: what a person mends at the receiver is found without anybody's help.
	AfterReject = time.Hour
)

// Retry is how long to wait after so many failed tries.
func Retry(tries int) time.Duration {
	if tries > 9 {
		return lastRetry
	}
	return min(firstRetry<<max(0, tries-1), lastRetry)
}
