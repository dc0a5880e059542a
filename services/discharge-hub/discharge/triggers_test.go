package discharge

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
)

// foldedInAnyOrder folds messages forwards and backwards, where a test gives them in the order of their recording.
func foldedInAnyOrder(t *testing.T, messages ...[]byte) State {
	t.Helper()
	want := folded(t, messages...)
	turned := slices.Clone(messages)
	slices.Reverse(turned)
	if diff := cmp.Diff(want, folded(t, turned...)); diff != "" {
		t.Errorf("the order of arrival makes a difference: %s", diff)
	}
	return want
}

// TestTriggers says where a spell stands after the triggers that are no plain admission, discharge or cancel of those.
func TestTriggers(t *testing.T) {
	admitted := adt("A01", "1", "20260825092000", "PV1-2", "I")
	left := discharge("30", day+"143000")
	for name, c := range map[string]struct {
		messages [][]byte
		status   Status
		number   int
		ward     string
		site     string
		expected string
		flags    []string
		problems []string
	}{
		"expected":                     {messages: [][]byte{adt("A05", "1", day+"0900", "PV1-2", "I")}, status: NotAdmitted, ward: "ELM"},
		"expected, and changed":        {messages: [][]byte{adt("A05", "1", day+"0900"), adt("A08", "2", day+"1000", "PV1-2", "I")}, status: NotAdmitted, ward: "ELM"},
		"expected, and not any more":   {messages: [][]byte{adt("A05", "1", day+"0900"), adt("A38", "2", day+"1000")}, status: Voided, ward: "ELM"},
		"both in one minute":           {messages: [][]byte{adt("A38", "1", day+"0900"), adt("A05", "2", day+"0900")}, status: Voided, ward: "ELM"},
		"pending admission, cancelled": {messages: [][]byte{adt("A14", "1", day+"0900"), adt("A27", "2", day+"1000")}, status: Voided, ward: "ELM"},
		"expected, then admitted":      {messages: [][]byte{adt("A05", "1", day+"0900"), adt("A01", "2", day+"1000")}, status: InHospital, ward: "ELM"},
		"expected after a cancel":      {messages: [][]byte{adt("A05", "1", day+"0900"), adt("A38", "2", day+"1000"), adt("A05", "3", day+"1100")}, status: NotAdmitted, ward: "ELM"},
		"admitted, then expected":      {messages: [][]byte{admitted, adt("A05", "2", day+"1000")}, status: InHospital, ward: "ELM"},
		"no inpatient is lost to A38":  {messages: [][]byte{adt("A05", "0", "20260820"), admitted, adt("A38", "2", day+"1000")}, status: InHospital, ward: "ELM"},
		"expected, and seen on a ward": {messages: [][]byte{adt("A05", "1", day+"0900"), adt("A02", "2", day+"1000", "PV1-3", "OAK")}, status: InHospital, ward: "OAK", site: "RAJ12"},
		"expected, and discharged":     {messages: [][]byte{adt("A05", "1", "20260820"), left}, status: Discharged, number: 1, ward: "ELM", flags: []string{FlagNotAdmitted}},
		"in A&E":                       {messages: [][]byte{adt("A04", "1", day+"0900", "PV1-2", "E")}, status: NotAdmitted, ward: "ELM"},
		"in a clinic":                  {messages: [][]byte{adt("A04", "1", day+"0900", "PV1-2", "O")}, status: NotAdmitted, ward: "ELM"},
		"moved within A&E":             {messages: [][]byte{adt("A04", "1", day+"0900", "PV1-2", "E"), adt("A02", "2", day+"0930", "PV1-2", "E")}, status: NotAdmitted, ward: "ELM"},
		"home from A&E":                {messages: [][]byte{adt("A04", "1", day+"0900", "PV1-2", "E"), left}, status: Discharged, number: 1, ward: "ELM", flags: []string{FlagNotAdmitted}},
		"E on arrival, I on discharge": {messages: [][]byte{adt("A04", "1", day+"0900", "PV1-2", "E"), discharge("3", day+"143000", "PV1-2", "I")}, status: Discharged, number: 1, ward: "ELM"},
		"E on admission":               {messages: [][]byte{adt("A01", "1", day+"0900", "PV1-2", "E"), left}, status: Discharged, number: 1, ward: "ELM"},
		"A&E, then a ward":             {messages: [][]byte{adt("A04", "1", day+"0900", "PV1-2", "E"), adt("A06", "2", day+"1100", "PV1-2", "I")}, status: InHospital, ward: "ELM"},
		"A&E, then the class alone":    {messages: [][]byte{adt("A04", "1", day+"0900", "PV1-2", "E"), adt("A08", "2", day+"1100", "PV1-2", "I")}, status: InHospital, ward: "ELM"},
		"registered as an inpatient":   {messages: [][]byte{adt("A04", "1", day+"0900", "PV1-2", "I")}, status: InHospital, ward: "ELM"},
		"a visit that was cancelled":   {messages: [][]byte{adt("A04", "1", day+"0900"), adt("A11", "2", day+"1000")}, status: Voided, ward: "ELM"},
		"became an outpatient":         {messages: [][]byte{admitted, adt("A07", "2", day+"1100", "PV1-2", "O")}, status: InHospital, ward: "ELM", flags: []string{BecameOutpatient}, problems: []string{BecameOutpatient}},
		"became one, then discharged":  {messages: [][]byte{admitted, adt("A07", "2", day+"1100"), left}, status: Discharged, number: 1, ward: "ELM"},
		"became one, and came back":    {messages: [][]byte{admitted, adt("A07", "2", day+"1100"), adt("A06", "3", day+"1200")}, status: InHospital, ward: "ELM"},
		"became one after discharge":   {messages: [][]byte{admitted, left, adt("A07", "31", day+"1800")}, status: Discharged, number: 1, ward: "ELM"},
		"A&E became a clinic":          {messages: [][]byte{adt("A04", "1", day+"0900", "PV1-2", "E"), adt("A07", "2", day+"1100", "PV1-2", "O")}, status: NotAdmitted, ward: "ELM"},
		"moved":                        {messages: [][]byte{admitted, adt("A02", "2", day+"1000", "PV1-3", "OAK^^^RAJ01")}, status: InHospital, ward: "OAK", site: "RAJ01"},
		"moved back":                   {messages: [][]byte{admitted, adt("A02", "2", day+"1000", "PV1-3", "OAK^^^RAJ01"), adt("A12", "3", day+"1100", "PV1-3", "OAK^^^RAJ01", "EVN-6", day+"1000")}, status: InHospital, ward: "ELM"},
		"moved twice, one cancelled":   {messages: [][]byte{admitted, adt("A02", "2", day+"1000", "PV1-3", "OAK"), adt("A02", "3", day+"1100", "PV1-3", "ASH"), adt("A12", "4", day+"1200", "PV1-3", "ASH")}, status: InHospital, ward: "OAK"},
		"moved and back in one minute": {messages: [][]byte{admitted, adt("A12", "2", day+"1000", "PV1-3", "OAK"), adt("A02", "3", day+"1000", "PV1-3", "OAK")}, status: InHospital, ward: "ELM"},
		"a cancel of an unknown move":  {messages: [][]byte{admitted, adt("A12", "2", day+"1000", "PV1-3", "ASH")}, status: InHospital, ward: "ASH"},
		"a move is planned":            {messages: [][]byte{admitted, adt("A15", "2", day+"1000", "PV1-3", "ASH")}, status: InHospital, ward: "ELM"},
		"a move is planned no more":    {messages: [][]byte{admitted, adt("A16", "2", day+"1000", "PV2-9", "20260905"), adt("A26", "3", day+"1100")}, status: InHospital, ward: "ELM", expected: "2026-09-05"},
		"a discharge is planned":       {messages: [][]byte{admitted, adt("A16", "2", day+"1000", "PV2-9", "20260905")}, status: InHospital, ward: "ELM", expected: "2026-09-05"},
		"planned by EVN-3":             {messages: [][]byte{admitted, adt("A16", "2", day+"1000", "EVN-3", "202609051400", "PV1-45", "20260905")}, status: InHospital, ward: "ELM", expected: "2026-09-05"},
		"a discharge is planned later": {messages: [][]byte{admitted, adt("A16", "2", day+"1000", "PV2-9", "20260905"), adt("A16", "3", day+"1100", "PV2-9", "20260908")}, status: InHospital, ward: "ELM", expected: "2026-09-08"},
		"a discharge is planned no more": {messages: [][]byte{admitted, adt("A16", "2", day+"1000", "PV2-9", "20260905"),
			adt("A25", "3", day+"1100", "PV2-9", "20260905", "EVN-6", day+"1000")}, status: InHospital, ward: "ELM"},
		"planned and not in one minute": {messages: [][]byte{admitted, adt("A25", "2", day+"1000"), adt("A16", "3", day+"1000", "PV2-9", "20260905")}, status: InHospital, ward: "ELM"},
		"on leave":                      {messages: [][]byte{admitted, adt("A21", "2", day+"1000")}, status: InHospital, ward: "ELM", flags: []string{FlagOnLeave}},
		"back from leave":               {messages: [][]byte{admitted, adt("A21", "2", day+"1000"), adt("A22", "3", day+"1900")}, status: InHospital, ward: "ELM"},
		"back in the same minute":       {messages: [][]byte{admitted, adt("A22", "2", day+"1000"), adt("A21", "3", day+"1000")}, status: InHospital, ward: "ELM"},
		"the leave was cancelled":       {messages: [][]byte{admitted, adt("A21", "2", day+"1000"), adt("A52", "3", day+"1100")}, status: InHospital, ward: "ELM"},
		"the return was cancelled":      {messages: [][]byte{admitted, adt("A21", "2", day+"1000"), adt("A22", "3", day+"1100"), adt("A53", "4", day+"1200")}, status: InHospital, ward: "ELM", flags: []string{FlagOnLeave}},
		"discharged from leave":         {messages: [][]byte{admitted, adt("A21", "2", day+"1000"), left}, status: Discharged, number: 1, ward: "ELM"},
		"a leave after the discharge":   {messages: [][]byte{admitted, left, adt("A21", "31", day+"1900")}, status: Discharged, number: 1, ward: "ELM"},
		"leave is no discharge":         {messages: [][]byte{admitted, adt("A21", "2", day+"1000", "PV1-45", day+"1000")}, status: InHospital, ward: "ELM", flags: []string{FlagOnLeave}},
		"deleted nothing by A13":        {messages: [][]byte{admitted, left, adt("A13", "31", day+"1900"), adt("A21", "32", day+"2000")}, status: InHospital, ward: "ELM", flags: []string{FlagDischargeCancelled, FlagOnLeave}},
		"a stay is deleted":             {messages: [][]byte{admitted, adt("A23", "2", day+"1000")}, status: InHospital, ward: "ELM", flags: []string{VisitDeleted}, problems: []string{VisitDeleted}},
		"deleted, and heard of again":   {messages: [][]byte{admitted, adt("A23", "2", day+"1000"), left}, status: Discharged, number: 1, ward: "ELM"},
		"an expectation is deleted":     {messages: [][]byte{adt("A05", "1", day+"0900"), adt("A23", "2", day+"1000")}, status: Voided, ward: "ELM"},
		"A11 ends all":                  {messages: [][]byte{admitted, adt("A16", "2", day+"1000", "PV2-9", "20260905"), adt("A21", "3", day+"1100"), adt("A11", "4", day+"1200")}, status: Voided, ward: "ELM"},
	} {
		t.Run(name, func(t *testing.T) {
			got := foldedInAnyOrder(t, c.messages...)
			number := 0
			if d := got.Spell.Discharge; d != nil {
				number = d.Number
			}
			if got.Spell.Status != c.status || number != c.number || got.Person.Ward != c.ward || got.Spell.ExpectedDischargeOn != c.expected {
				t.Errorf("%s, discharge %d, ward %s, expected on %q", got.Spell.Status, number, got.Person.Ward, got.Spell.ExpectedDischargeOn)
			}
			if c.site != "" && got.Spell.Site != c.site {
				t.Errorf("site %s", got.Spell.Site)
			}
			if !slices.Equal(got.Spell.Flags, c.flags) || !slices.Equal(kinds(got.Problems), c.problems) {
				t.Errorf("flags %v, problems %v", got.Spell.Flags, kinds(got.Problems))
			}
		})
	}
}

// TestOnlyACancelTakesADischargeBack: whatever else is recorded after a discharge, a return from a leave that was told late for instance, the
// person stays discharged, on the day and under the number that the discharge had.
func TestOnlyACancelTakesADischargeBack(t *testing.T) {
	cancels := []Kind{KindCancelDischarge, KindCancelAdmit}
	for _, kind := range spellKinds {
		after := adt(string(kind), "31", day+"190000")
		got := folded(t, adt("A01", "1", "20260825092000"), adt("A21", "2", day+"1000"), discharge("30", day+"143000"), after).Spell
		if slices.Contains(cancels, kind) != (got.Discharge == nil) {
			t.Errorf("%s: %s with discharge %v", kind, got.Status, got.Discharge)
		}
		if d := got.Discharge; d != nil && (d.Number != 1 || d.On != "2026-09-02") {
			t.Errorf("%s: discharge %d on %s", kind, d.Number, d.On)
		}
	}
}

// swapped is an A17: two people, each now in the other's bed.
func swapped(recorded string) []byte {
	return []byte("MSH|^~\\&|MSEPAS|RAJ|HUB|THURROCK|" + recorded + "||ADT^A17|SWAP|P|2.4\rEVN|A17|" + recorded + "\r" +
		"PID|||1234567^^^RAJ^PI\rPV1||I|OAK^^^RAJ12||||||||||||||||SPELL0001\r" +
		"PID|||7654321^^^RAJ^PI\rPV1||I|ELM^^^RAJ12||||||||||||||||SPELL0002\r")
}

func TestSwappedBedsAreFactsOfBothSpells(t *testing.T) {
	r := reading(t, swapped(day+"1000"))
	if !r.Usable || len(r.Also) != 1 || r.Fact.VisitNumber != "SPELL0001" || r.Also[0].VisitNumber != "SPELL0002" || r.Also[0].PatientNumber != "7654321" {
		t.Fatalf("%+v", r)
	}
	first := Fold([]Fact{reading(t, adt("A01", "1", day+"0900")).Fact, r.Fact})
	second := Fold([]Fact{reading(t, adt("A01", "1", day+"0900", "PV1-19", "SPELL0002", "PID-3", "7654321^^^RAJ^PI", "PV1-3", "OAK")).Fact, r.Also[0]})
	if first.Person.Ward != "OAK" || second.Person.Ward != "ELM" || len(first.Problems)+len(second.Problems) > 0 {
		t.Errorf("wards %s and %s, problems %v %v", first.Person.Ward, second.Person.Ward, first.Problems, second.Problems)
	}
}

func TestMessagesWithoutASpellThatNobodyIsLostBy(t *testing.T) {
	for _, kind := range spellKinds {
		r := reading(t, adt(string(kind), "1", day+"0900", "PV1-19", "", "PV1-44", "", "PID-3", ""))
		if r.Usable || kind.mayLackSpell() != (r.NotHandled != "") || kind.mayLackSpell() == (len(r.Problems) > 0) {
			t.Errorf("%s: %+v", kind, r)
		}
	}
}

func TestAStayThatBecameAnOutpatientsVisitUnderAnotherNumber(t *testing.T) {
	r := reading(t, adt("A07", "2", day+"1100", "PV1-19", "OUT1", "MRG-5", "SPELL0001"))
	if len(r.Also) != 1 || r.Fact.Kind != KindRegister || r.Also[0].VisitNumber != "SPELL0001" {
		t.Fatalf("%+v", r)
	}
	state := Fold([]Fact{reading(t, adt("A01", "1", day+"0900")).Fact, r.Also[0]})
	if want := []string{BecameOutpatient, VisitNumberChanged}; state.Spell.Status != InHospital || !slices.Equal(kinds(state.Problems), want) {
		t.Errorf("%s, problems %v: the stay is lost", state.Spell.Status, kinds(state.Problems))
	}
	if out := Fold([]Fact{r.Fact}); out.Spell.Status != NotAdmitted || len(out.Problems) > 0 {
		t.Errorf("the visit: %s, %v", out.Spell.Status, out.Problems)
	}
}

// TestTheVisitNumberMayBeTheAccountNumber reads a sender that fills PID-18, and MRG-3 with the number before.
func TestTheVisitNumberMayBeTheAccountNumber(t *testing.T) {
	feed := feedNamed(t, "mse-basildon")
	feed.Mapping.Visit = hl7.Path{Segment: "PID", Field: 18, Component: 1}
	read := func(raw []byte) Reading {
		r, err := FromHL7(feed, raw)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := read(adt("A03", "1", day+"1100", "PV1-19", "OTHER", "PID-18", "SPELL0001^^^RAJ"))
	if r.Fact.VisitNumber != "SPELL0001" || r.Fact.SpellID != SpellID("RAJ", "SPELL0001", "", time.Time{}) {
		t.Errorf("visit %q, spell %s", r.Fact.VisitNumber, r.Fact.SpellID)
	}
	if r := read(adt("A42", "2", day+"1200", "PV1-19", "", "PID-18", "SPELL0002", "MRG-3", "SPELL0001")); r.Fact.VisitNumber != "SPELL0001" {
		t.Errorf("the visit that goes on under another number is %q", r.Fact.VisitNumber)
	}
	r = read(adt("A03", "3", day+"1100", "PID-18", "", "PID-3", ""))
	if r.Usable || len(r.Problems) == 0 || !strings.HasPrefix(r.Problems[0].String(), "PID-18: ") {
		t.Errorf("%+v", r.Problems)
	}
}
