package discharge

import (
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProblemsAreToldInTheWordsOfTheDoor(t *testing.T) {
	p := Problem{DischargeBeforeStay, "PV1-45", "the discharge is before the admission (PV1-44)", "Check PID-30 and PID-3 after the A13"}
	for door, want := range map[Door]Problem{
		DoorMLLP: p,
		DoorFHIR: {p.Kind, "Encounter.period.end", "the discharge is before the admission (Encounter.period.start)",
			"Check Patient.deceasedBoolean and Patient.identifier after the status in-progress after finished"},
		DoorGRPC: {p.Kind, "discharged_at", "the discharge is before the admission (admitted_at)",
			"Check person.death_indicator and patient_number after the EVENT_KIND_CANCEL_DISCHARGE"},
	} {
		if diff := cmp.Diff(want, p.At(door)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", door, diff)
		}
		if got := ReadProblem(p.Kind, p.At(door).String()); got != p.At(door) {
			t.Errorf("%s: read back as %+v", door, got)
		}
	}
}

// What the rules of every door may tell leaves no name of HL7 in the words of another one.
func TestNoNameOfHL7IsLeftInTheWordsOfAnotherDoor(t *testing.T) {
	name := regexp.MustCompile(`\b(MSH|EVN|PID|PV1|PV2|PD1|MRG)-\d+|\bA\d\d\b`)
	for kind, text := range expected {
		if kind == RecordedInTheFuture || kind == TestMessageOnLive || kind == NoMessageType { // of HL7 alone
			continue
		}
		for _, door := range []Door{DoorFHIR, DoorGRPC} {
			if left := name.FindString(InWordsOf(door, text)); left != "" {
				t.Errorf("%s at %s: %s is left in %q", kind, door, left, InWordsOf(door, text))
			}
		}
	}
	for _, p := range []Problem{becameOutpatient, visitNumberChanged, visitDeleted, personDeleted} { // which a RecordEventRequest cannot say
		if left := name.FindString(p.At(DoorFHIR).String()); left != "" {
			t.Errorf("%s at the FHIR door: %s is left in %q", p.Kind, left, p.At(DoorFHIR))
		}
	}
	for _, p := range []Problem{contradictoryDeath, timeWithoutDischarge, cancelWithoutDischarge, secondStay, SameStay("x", "y")} {
		for _, door := range []Door{DoorFHIR, DoorGRPC} {
			if left := name.FindString(p.At(door).String()); left != "" {
				t.Errorf("%s at %s: %s is left in %q", p.Kind, door, left, p.At(door))
			}
		}
	}
}

func TestKindsHoldsEveryKind(t *testing.T) {
	for kind := range expected {
		if !slices.Contains(Kinds(), kind) {
			t.Errorf("%s is missing", kind)
		}
	}
	for _, kind := range append(SpellProblems(), urgent...) {
		if !slices.Contains(Kinds(), kind) {
			t.Errorf("%s is missing", kind)
		}
	}
}

func TestWhatWasFoundIsNoWordOfHL7(t *testing.T) {
	t.Parallel()
	p := Problem{Found: "visit numbers VA03 and A031"}
	if got := p.At(DoorFHIR).Found; got != p.Found {
		t.Errorf("%q", got)
	}
}
