package discharge

import (
	"fmt"
	"strconv"
)

// Kinds of problems: each becomes an exception with an owner.
const (
	NoSpellKey           = "no-spell-key"
	TestMessageOnLive    = "test-message-on-live-feed"
	NoTime               = "no-time"
	UnreadableTime       = "unreadable-time"
	DischargeBeforeStay  = "discharge-before-admission"
	DischargeInTheFuture = "discharge-in-the-future"
	RecordedInTheFuture  = "recorded-in-the-future"
	VisitNumberReused    = "visit-number-reused"
	ContradictoryDeath   = "death-contradictory"
	TwoKeysOneStay       = "two-keys-for-one-stay"
)

// Flags that say what is doubtful about a spell. A problem's kind is used as a flag too where the doubt stays in the snapshot.
const (
	FlagNHSNumberInvalid       = "nhs-number-invalid"
	FlagBirthDateUnreadable    = "birth-date-unreadable"
	FlagPostcodeUnreadable     = "postcode-unreadable"
	FlagAddressUnknown         = "address-unknown"
	FlagPracticeUnreadable     = "practice-code-unreadable"
	FlagNoPractice             = "no-registered-practice"
	FlagIndicatorUnreadable    = "death-indicator-unreadable"
	FlagIndicatorDisagrees     = "death-indicator-disagrees"
	FlagSwapped                = "pv1-36-37-swapped"
	FlagTimeMissing            = "discharge-time-missing"
	FlagMethodUnknown          = "discharge-method-unknown"
	FlagDestinationUnknown     = "discharge-destination-unknown"
	FlagCancelWithoutDischarge = "cancel-without-discharge"
	FlagAdmittedAfterDischarge = "admission-after-discharge"
	FlagTimeWithoutDischarge   = "discharge-time-without-discharge"
	FlagControlIDReused        = "control-id-reused"
)

// Problem is something in a message or a spell that a person has to look at. It repeats nothing that identifies a patient.
type Problem struct {
	Kind string
	// Where is the place in HL7's words, for instance `PV1-45`.
	Where string
	// Found says what is there.
	Found string
	// Do says what to do about it.
	Do string
}

// String is the detail of an exception.
func (p Problem) String() string {
	return fmt.Sprintf("%s: %s. %s", p.Where, p.Found, p.Do)
}

// shown describes text from a message without repeating it, except short codes and times, which identify nobody.
func shown(text string) string {
	if len(text) > 24 {
		return "a text of " + strconv.Itoa(len(text)) + " characters"
	}
	for i := 0; i < len(text); i++ {
		if c := text[i]; !digit(c) && c != '+' && c != '-' && c != '.' && c != ':' {
			return "a text of " + strconv.Itoa(len(text)) + " characters"
		}
	}
	return strconv.Quote(text)
}
