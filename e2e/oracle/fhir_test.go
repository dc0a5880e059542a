package oracle

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// What a stay comes to is the same by FHIR, where both feeds tell of people in whom social care is involved.
func TestAStayToldByFHIRComesToTheSame(t *testing.T) {
	leaving := time.Date(2026, 5, 20, 14, 0, 0, 0, London)
	discharges, cancellations := 0, 0
	for n := range 2000 {
		stay := NewStay(rand.New(rand.NewPCG(7, uint64(n))), n, leaving)
		told := stay.ByFHIR(leaving.AddDate(1, 0, 0))
		if early := stay.ByFHIR(leaving.AddDate(-1, 0, 0)); slices.ContainsFunc(early.Messages, func(m Told) bool { return m.FHIR != nil }) {
			t.Errorf("stay %s: what is recorded in the future is told by FHIR", stay.Key)
		}
		everybody := false
		for i, m := range told.Messages {
			everybody = everybody || stay.Messages[i].Feed == "mse-all"
			switch {
			case m.FHIR != nil && m.Kind == "A03":
				discharges++
			case m.FHIR != nil:
				cancellations++
			}
			if m.FHIR != nil && (m.HL7 != nil || m.Feed != fhirFeed || m.SpellID != stay.Messages[i].SpellID) {
				t.Fatalf("message %s goes by two ways, or tells of another spell: %+v", m.ControlID, m)
			}
		}
		got, want := Expect(told.Messages), Expect(stay.Messages)
		for i := range want { // the bundles tell no ward
			got[i].Ward, want[i].Ward = "", ""
		}
		if !everybody && !reflect.DeepEqual(got, want) {
			t.Errorf("stay %s (%v): %+v, must be %+v", stay.Key, stay.Turns, got, want)
		}
	}
	if discharges == 0 || cancellations == 0 {
		t.Errorf("%d discharges and %d cancellations by FHIR", discharges, cancellations)
	}
}

// A stay that is told by resource comes to the same as the triggers that say so, whichever words came in between.
func TestAStayToldByResourceComesToWhatItsTriggersSay(t *testing.T) {
	now := time.Date(2026, 5, 20, 14, 0, 0, 0, London)
	for _, c := range []struct {
		said, status string
		discharge    int
	}{
		{"in-progress", "in-hospital", 0}, {"in-progress finished", "discharged", 1}, {"finished onleave", "in-hospital", 0}, {"onleave in-progress", "in-hospital", 0},
		{"finished in-progress finished", "discharged", 2}, {"finished finished", "discharged", 1}, {"finished cancelled", "voided", 0},
		{"cancelled in-progress", "in-hospital", 0}, {"cancelled finished", "discharged", 1},
	} {
		record := NewRecord(rand.New(rand.NewPCG(7, 7)), 1, now)
		var told []Told
		before := ""
		for i, status := range strings.Fields(c.said) {
			w := record.Encounter(status, Subject{}, now)
			told = append(told, w.Received(fmt.Sprintf("R-%d", i), before, now.Add(time.Duration(i)), fmt.Append(w.Body, i)))
			before = status
		}
		if got := Expect(told); len(got) != 1 || got[0].SpellID != record.SpellID || got[0].Status != c.status || got[0].Discharge != c.discharge || len(got[0].Exceptions) > 0 {
			t.Errorf("%s: %+v", c.said, got)
		}
	}
}
