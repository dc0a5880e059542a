package discharge

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newYear() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func staffEvent() Event {
	left := time.Date(2026, 9, 2, 14, 25, 0, 0, time.FixedZone("BST", 3600))
	return Event{
		MessageID: "web-1", Digest: "d1", Kind: KindDischarge, RecordedAt: left.Add(5 * time.Minute), VisitNumber: "SPELL0001",
		PatientNumber: "1234567", AdmittedAt: left.AddDate(0, 0, -8), Site: "RAJ12", Ward: "ELM",
		NHSNumber: "999 000 0026", FamilyName: "TESTER", GivenName: "Ada", BirthDate: "1941-03-12", Postcode: "rm17 5aa", Practice: "F81155",
		DischargedAt: left, Method: "1", Destination: "54", DestinationPostcode: "SS17 0PH",
		Involvements: []Involvement{CouncilPackage, HubReferral, HubReferral}, Pathway: "2",
	}
}

func TestAnEventAndAMessageAreTheSameSpell(t *testing.T) {
	event := FromEvent(feedNamed(t, "hub-staff"), staffEvent())
	if !event.Usable || len(event.Problems) > 0 {
		t.Fatalf("%+v", event)
	}
	message := reading(t, adt("A01", "1", "20260825092000"))
	if event.Fact.SpellID != message.Fact.SpellID {
		t.Fatal("two spells")
	}
	got := Fold([]Fact{event.Fact, message.Fact}).Spell
	want := Spell{
		SpellID: message.Fact.SpellID, Reference: Reference(message.Fact.SpellID), Provider: "RAJ", Feed: "hub-staff", Scope: ScopeSocialCare,
		Status: Discharged, AdmittedAt: time.Date(2026, 8, 25, 13, 25, 0, 0, time.UTC),
		Discharge: &Discharge{At: time.Date(2026, 9, 2, 13, 25, 0, 0, time.UTC), On: "2026-09-02", Method: "1", Destination: "54", Number: 1},
		Site:      "RAJ12", PracticeCode: "F81155", HomePostcodeSector: "RM17 5", DestinationPostcodeSector: "SS17 0",
		Adult: AdultYes, Death: DeathNone, Involvements: []Involvement{HubReferral, CouncilPackage, OnPathway}, Pathway: "2", DataVersion: "1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEventsThatCannotBeUsed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Event)
		kinds  []string
	}{
		"no key":           {func(e *Event) { e.VisitNumber, e.PatientNumber = "", "" }, []string{NoSpellKey}},
		"no recorded time": {func(e *Event) { e.RecordedAt = time.Time{} }, []string{NoTime}},
	} {
		e := staffEvent()
		c.change(&e)
		if r := FromEvent(feedNamed(t, "hub-staff"), e); r.Usable || !slices.Equal(kinds(r.Problems), c.kinds) {
			t.Errorf("%s: usable %v, problems %v", name, r.Usable, r.Problems)
		}
	}
	e := staffEvent()
	e.Kind = "A24"
	if r := FromEvent(feedNamed(t, "hub-staff"), e); r.Usable || r.NotHandled != "A24" {
		t.Errorf("an unknown kind: %+v", r)
	}
}

func TestEmptyFieldsOfAnEventSayNothing(t *testing.T) {
	r := FromEvent(feedNamed(t, "hub-staff"), Event{MessageID: "1", Digest: "d", Kind: KindUpdate, RecordedAt: newYear(), VisitNumber: "V"})
	want := Fact{
		Feed: "hub-staff", Provider: "RAJ", Scope: ScopeNotTold, DataVersion: "1", SpellID: SpellID("RAJ", "V", "", time.Time{}),
		Kind: KindUpdate, ControlID: "1", Digest: "d", Recorded: newYear(), VisitNumber: "V",
	}
	if diff := cmp.Diff(want, r.Fact); diff != "" {
		t.Error(diff)
	}
}
