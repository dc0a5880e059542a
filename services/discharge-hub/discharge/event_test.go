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

func TestReadinessAndWithdrawnReferral(t *testing.T) {
	feed := feedNamed(t, "hub-staff")
	at := func(day, hour int) time.Time { return time.Date(2026, 9, day, hour, 0, 0, 0, time.UTC) }
	fact := func(id string, recorded time.Time, change func(*Event)) Fact {
		e := Event{MessageID: id, Digest: id, Kind: KindUpdate, RecordedAt: recorded, VisitNumber: "SPELL0001"}
		change(&e)
		r := FromEvent(feed, e)
		if !r.Usable {
			t.Fatal(r.Problems)
		}
		return r.Fact
	}
	refer := fact("1", at(1, 9), func(e *Event) { e.Involvements = []Involvement{HubReferral}; e.ExpectedDischarge = at(5, 12) })
	notMet := fact("2", at(2, 9), func(e *Event) { e.MeetsCriteria = Tell(false) })
	again := fact("3", at(3, 9), func(e *Event) { e.MeetsCriteria = Tell(false) })
	since := fact("4", at(3, 10), func(e *Event) { e.MeetsCriteria = Tell(false); e.ReadyAt = at(1, 8) })
	met := fact("5", at(4, 9), func(e *Event) { e.MeetsCriteria = Tell(true) })
	withdrawn := fact("6", at(4, 10), func(e *Event) { e.Withdrawn = []Involvement{HubReferral}; e.ExpectationCleared = true })
	anew := fact("7", at(4, 11), func(e *Event) { e.Involvements = []Involvement{HubReferral} })
	for _, c := range []struct {
		name            string
		facts           []Fact
		criteria        CriteriaToReside
		ready, expected string
		referred        bool
	}{
		{"referred", []Fact{refer}, "", "", "2026-09-05", true},
		{"not met, since it was recorded", []Fact{refer, notMet, again}, CriteriaNotMet, "2026-09-02", "2026-09-05", true},
		{"not met, since the day told", []Fact{since, notMet, again}, CriteriaNotMet, "2026-09-01", "", false},
		{"met again", []Fact{notMet, since, met}, CriteriaMet, "", "", false},
		{"withdrawn", []Fact{withdrawn, refer}, "", "", "", false},
		{"referred anew", []Fact{withdrawn, anew, refer}, "", "", "", true},
	} {
		got := Fold(c.facts).Spell
		if got.CriteriaToReside != c.criteria || got.ReadyOn != c.ready || got.ExpectedDischargeOn != c.expected || (len(got.Involvements) > 0) != c.referred {
			t.Errorf("%s: %q ready %q, expected %q, involvements %v", c.name, got.CriteriaToReside, got.ReadyOn, got.ExpectedDischargeOn, got.Involvements)
		}
	}
}
