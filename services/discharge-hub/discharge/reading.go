package discharge

import (
	"slices"
	"strings"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
)

// Reading is what became of one message.
type Reading struct {
	// Fact is to be appended to its spell, or to what is told of its person, if Usable.
	Fact   Fact
	Usable bool
	// Also are the other facts of a message about several visits or people (A17, A45, merges). All are usable.
	Also []Fact
	// NotHandled names a message that says nothing to us, such as `ADT^A28` or `ORU^R01`. It is stored, and no exception.
	NotHandled string
	// Problems are what a person has to look at. A message that is neither usable nor unhandled has at least one.
	Problems []Problem
}

// with adds what another part of the same message says.
func (a Reading) with(b Reading) Reading {
	a.Problems = append(a.Problems, b.Problems...)
	switch {
	case b.Usable && !a.Usable:
		a.Fact, a.Usable = b.Fact, true
	case b.Usable && (b.Fact.Kind.OfPerson() || b.Fact.SpellID != a.Fact.SpellID):
		a.Also = append(a.Also, b.Fact)
	case !a.Usable:
		a.Fact, a.NotHandled = b.Fact, b.NotHandled
	}
	if a.Usable || len(a.Problems) > 0 {
		a.NotHandled = ""
	}
	a.Also = append(a.Also, b.Also...)
	return a
}

// Received adds to a reading the doubt about a message that was recorded more than a day after it came: the sender's clock is wrong, and with it, it may
// be, the day from which six weeks count. The fact stays as it is: what is made of a message hangs on no clock of ours.
func (a Reading) Received(at time.Time) Reading {
	if f := &a.Fact; a.Usable && f.Recorded.After(at.Add(24*time.Hour)) && !slices.Contains(f.Flags, RecordedInTheFuture) {
		a.Problems = append(a.Problems, Problem{RecordedInTheFuture, "EVN-2", "the message was recorded more than a day after it came here",
			"Look with the sender at its clock and at all times in the message, and correct it here: they are used as they are, and later messages come behind it"})
	}
	return a
}

// typeOf reads the message type and the trigger. Whatever begins with ADT is one, `adt` and the structure's name `ADT_A03` too, and the trigger is in EVN-1
// where MSH-9 has none: a discharge must not be passed over for its spelling.
func typeOf(m *hl7.Message) (kind, trigger string) {
	tidy := func(s string) string { return strings.ToUpper(strings.TrimSpace(s)) }
	kind, trigger = tidy(m.Header.Type), tidy(m.Header.Trigger)
	if strings.HasPrefix(kind, "ADT") {
		kind = "ADT"
	}
	if event := tidy(m.Field("EVN", 1).Text()); trigger == "" || kind == "ADT" && !isTrigger(trigger) && isTrigger(event) {
		trigger = event
	}
	return kind, trigger
}

// isTrigger tells whether text has the form of an ADT's trigger, A and two digits.
func isTrigger(s string) bool { return len(s) == 3 && s[0] == 'A' && digit(s[1]) && digit(s[2]) }
