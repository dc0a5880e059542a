package discharge

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Kinds of problems: each becomes an exception with an owner.
const (
	NoMessageType        = "no-message-type"
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
	MergeWithItself      = "merge-with-itself"
	NoPatientNumber      = "no-patient-number"
	BecameOutpatient     = "became-outpatient-without-discharge"
	VisitNumberChanged   = "visit-number-changed"
	VisitDeleted         = "visit-deleted"
	PersonDeleted        = "person-deleted"
	NHSNumbersDiffer     = "nhs-numbers-differ"
	Unreadable           = "unreadable-message"
)

// WholeMessage is where a problem is that is about no place in particular.
const WholeMessage = "message"

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
	FlagNotAdmitted            = "not-admitted"
	FlagOnLeave                = "on-leave"
	FlagDischargeCancelled     = "discharge-cancelled"
)

// Problem is something in a message or a spell that a person has to look at. It repeats nothing that identifies a patient.
type Problem struct {
	Kind string
	// Where is the place in HL7's words, for instance `PV1-45`; At has the other doors' words for it.
	Where string
	// Found says what is there.
	Found string
	// Do says what to do about it.
	Do string
}

// The problems of a spell: contradictions between its facts, which later facts may settle.
var (
	contradictoryDeath = Problem{ContradictoryDeath, "PID-30", "the hospital tells of a death and denies it, or tells of it in words, in the wrong field or at a time that cannot be",
		"Ask the ward before anybody contacts the person or the family; contact is held until the hospital corrects it or the hub decides"}
	timeWithoutDischarge = Problem{FlagTimeWithoutDischarge, "PV1-45", "a discharge time is told, and no discharge (A03) holds",
		"Ask the ward whether the person has left; if so, record the discharge by hand, if not, ask the sender to clear PV1-45"}
	cancelWithoutDischarge = Problem{FlagCancelWithoutDischarge, "EVN-1", "a cancelled discharge (A13), and no discharge before it that it could cancel",
		"Ask the ward whether the person is in hospital, and the sender for the discharge that was cancelled, or whether another spell was meant"}
	secondStay = Problem{FlagAdmittedAfterDischarge, "PV1-44", "an admission at another time is recorded after the discharge: two stays seem to share this visit number",
		"Ask the ward whether the person came back; if so, see that both discharges are followed up, and ask the sender for a visit number for each stay"}
	becameOutpatient = Problem{BecameOutpatient, "EVN-1", "the inpatient stay became an outpatient's visit (A07), and no discharge (A03) is told",
		"Ask the ward whether the person has left; if so, record the discharge by hand"}
	visitNumberChanged = Problem{VisitNumberChanged, "MRG-5", "the hospital gave this visit another number (PV1-19); what comes under that is another spell here",
		"See that a discharge under the new number is followed up as this one's, and record there what is known here: referral, pathway, package"}
	visitDeleted = Problem{VisitDeleted, "EVN-1", "the hospital deleted its record of this visit (A23) and has told nothing of it since",
		"Ask the ward whether the person is or was there; if not, record the cancelled admission by hand, if so, ask the sender under which number"}
	personDeleted = Problem{PersonDeleted, "PID-3", "the hospital deleted the person's record (A29) and has told nothing of the person since",
		"Ask the hospital under which number the person is kept, and for the merge (A40); the handover goes on as it is"}
)

// FactsMissing is the exception of a spell that consumers knew better than the hub's restored database.
var FactsMissing = Problem{"facts-missing-after-restore", "database", "it was restored to an earlier point, and other services held a newer state of this spell",
	"The newer state stands; see that the hospital's messages of that time are sent again, then let operations run `discharge-hub replayed`"}

// SpellProblems lists the kinds that Fold may tell of a spell as a whole, once each, as long as they stand: an exception of one of these
// kinds is settled when the fold does not tell it any more. VisitNumberReused is told of each message that is left out.
func SpellProblems() []string {
	return []string{ContradictoryDeath, FlagTimeWithoutDischarge, FlagCancelWithoutDischarge, FlagAdmittedAfterDischarge, BecameOutpatient,
		VisitNumberChanged, VisitDeleted, PersonDeleted, VisitNumberReused}
}

// Kinds lists the kinds of all problems that messages and spells may have.
func Kinds() []string {
	return []string{NoMessageType, NoSpellKey, TestMessageOnLive, NoTime, UnreadableTime, DischargeBeforeStay, DischargeInTheFuture, RecordedInTheFuture,
		VisitNumberReused, ContradictoryDeath, TwoKeysOneStay, MergeWithItself, NoPatientNumber, BecameOutpatient, VisitNumberChanged, VisitDeleted,
		PersonDeleted, NHSNumbersDiffer, Unreadable, FlagTimeWithoutDischarge, FlagCancelWithoutDischarge, FlagAdmittedAfterDischarge, FactsMissing.Kind}
}

// String is the detail of an exception.
func (p Problem) String() string {
	return fmt.Sprintf("%s: %s. %s", p.Where, p.Found, p.Do)
}

// shown describes text from a message. Digits that may be a time are repeated, for they identify nobody; ten or eleven may be an NHS number
// or a telephone's. Of any other text its shape is told: `nn/nn/nnnn` says what to look for.
func shown(text string) string {
	if len(text) > 24 {
		return "a text of " + strconv.Itoa(len(text)) + " characters"
	}
	count, plain := 0, text != "" && digit(text[0])
	shape := strings.Map(func(c rune) rune {
		switch {
		case '0' <= c && c <= '9':
			count++
			return 'n'
		case unicode.IsLetter(c), c > unicode.MaxASCII:
			plain = false
			return 'a'
		}
		plain = plain && strings.ContainsRune("+-.:", c)
		return c
	}, text)
	if plain && count != 10 && count != 11 {
		return strconv.Quote(text)
	}
	return "a text like " + strconv.Quote(shape)
}
