package discharge

import (
	"strings"

	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
)

// ReadProblem reads the detail of an exception back into the problem that String wrote.
func ReadProblem(kind, detail string) Problem {
	p := Problem{Kind: kind}
	rest := detail
	if where, behind, ok := strings.Cut(detail, ": "); ok && !strings.Contains(where, " ") {
		p.Where, rest = where, behind
	}
	p.Found, p.Do, _ = strings.Cut(rest, ". ")
	return p
}

// Path is the place in an HL7 message, component and repetition where they are known; false when the problem is about none, such as
// `message` or `database`.
func (p Problem) Path() (hl7.Path, bool) {
	path, err := hl7.ParsePath(p.Where)
	return path, err == nil
}

// expected says what belongs where a problem of a kind was found.
var expected = map[string]string{
	NoMessageType:              "the type and the trigger, such as ADT^A03; or the trigger in EVN-1",
	NoSpellKey:                 "the hospital's visit number, the same in every message about the stay",
	TestMessageOnLive:          "P, as in every message about a real person",
	NoTime:                     "when it was recorded: YYYYMMDDHHMMSS",
	UnreadableTime:             "YYYYMMDDHHMMSS, or less of it, with an offset such as +0100 where the clock is not London's",
	DischargeBeforeStay:        "a time not before PV1-44",
	DischargeInTheFuture:       "when the person left: not later than the message was recorded",
	RecordedInTheFuture:        "when it was recorded: not later than the message was sent (MSH-7)",
	VisitNumberReused:          "a visit number that no other person has",
	NHSNumbersDiffer:           "the person's NHS number, once; another one with the date at which it expired (the eighth component)",
	ContradictoryDeath:         "no or yes, and a time of death (PID-29) only with yes",
	TwoKeysOneStay:             "one visit number for one stay",
	FlagTimeWithoutDischarge:   "nothing, until a discharge (A03) is sent",
	FlagCancelWithoutDischarge: "a cancel (A13) only of a discharge that was sent",
	FlagAdmittedAfterDischarge: "the admission of this stay; another stay has a visit number of its own",
	Unreadable:                 "an HL7 v2 message in ER7 encoding, MSH first",
}

// Expected says, in the words of a door, what belongs where a problem of this kind was found; empty where nobody can tell.
func Expected(kind string, door Door) string {
	if kind == Unreadable && door != DoorMLLP {
		return ""
	}
	return InWordsOf(door, expected[kind])
}
