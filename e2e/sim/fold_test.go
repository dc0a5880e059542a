package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/homeward-care/homeward/e2e/oracle"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/feeds"
	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
)

// TestTheFoldIsAsTheOracleSays holds the hub's reading and folding alone, without a database, against the oracle: of far more stays than
// seeds can have.
func TestTheFoldIsAsTheOracleSays(t *testing.T) {
	list, err := discharge.LoadFeeds(feeds.Files)
	if err != nil {
		t.Fatal(err)
	}
	byKey := map[string]discharge.Feed{}
	for _, f := range list {
		byKey[f.Key] = f
	}
	for n := range 2000 {
		r := rand.New(rand.NewPCG(uint64(n), 11))
		stay := oracle.NewStay(r, n, leaving[n%len(leaving)])
		if n%3 == 1 {
			stay = stay.Faulty(r)
		}
		if n%2 == 1 {
			stay = drawSwarm(r, false).tells(stay)
		}
		told := stay.Messages
		if record, ok := oracle.RecordOf(r, stay); ok && n%3 == 0 {
			told = append(told, written(r, record, stay)...)
		}
		var people []discharge.Fact
		spells, raised := map[string][]discharge.Fact{}, map[string][]discharge.Problem{}
		for _, m := range told {
			var reading discharge.Reading
			switch {
			case m.HL7 != nil:
				reading, err = discharge.FromHL7(byKey[m.Feed], m.HL7)
			case m.FHIR != nil:
				reading, err = fhir.Stored(byKey[m.Feed], m.FHIR)
			default:
				reading = discharge.FromEvent(byKey[m.Feed], eventOf(m))
			}
			for _, kind := range m.Raises {
				if !slices.ContainsFunc(reading.Problems, func(p discharge.Problem) bool { return p.Kind == kind }) {
					t.Errorf("stay %s, message %s raises no %s: %s", stay.Key, m.ControlID, kind, m.HL7)
				}
			}
			if err != nil || m.FHIR != nil && !reading.Usable {
				t.Fatalf("stay %s, message %s: %v %v", stay.Key, m.ControlID, err, reading.Problems)
			}
			if !reading.Usable {
				continue
			}
			raised[reading.Fact.SpellID] = append(raised[reading.Fact.SpellID], reading.Problems...)
			for _, f := range append(reading.Also, reading.Fact) {
				if f.Kind.OfPerson() {
					people = append(people, f)
				} else {
					spells[f.SpellID] = append(spells[f.SpellID], f)
				}
			}
		}
		expected := oracle.Expect(told)
		if len(expected) != len(spells) {
			t.Errorf("stay %s (%v): %d spells, must be %d", stay.Key, stay.Turns, len(spells), len(expected))
		}
		for _, want := range expected {
			state := discharge.Fold(slices.Concat(spells[want.SpellID], people))
			state.Problems = append(state.Problems, raised[want.SpellID]...)
			got := inWords(state)
			if must := expectedInWords(want); got != must {
				t.Errorf("stay %s, spell %s (%s):\n is %s\nmust %s", stay.Key, want.SpellID, strings.Join(stay.Turns, ", "), got, must)
			}
		}
		if t.Failed() {
			return
		}
	}
}

// written is what a record system tells of a stay between its messages, as the hub stores that.
func written(r *rand.Rand, record *oracle.Record, stay oracle.Stay) (told []oracle.Told) {
	before := map[string]oracle.Write{}
	at := stay.Messages[0].Recorded
	for n := range 2 + r.IntN(5) {
		// Never at the same moment as a message.
		at = at.Add(time.Duration(1+r.IntN(24*60)) * time.Minute).Truncate(time.Second).Add(time.Microsecond)
		if m := stay.Messages[r.IntN(len(stay.Messages))]; m.Recorded.After(at) {
			at = m.Recorded.Add(time.Microsecond)
		}
		var w oracle.Write
		switch r.IntN(6) {
		case 0:
			w = record.Patient()
		case 1:
			w = record.Referral([]string{"active", "revoked"}[r.IntN(2)], oracle.Subject{})
		default:
			w = record.Encounter([]string{"in-progress", "finished", "finished", "onleave", "cancelled"}[r.IntN(5)], oracle.Subject{}, at)
		}
		id := fmt.Sprintf("%s-%d", record.Key, n)
		stored, err := fhir.Request{ID: id, Received: at, Resource: w.Body, Before: before[w.Type].Body}.Encode()
		if err != nil {
			panic(err) // it is JSON
		}
		told = append(told, w.Received(id, before[w.Type].Status, at, stored))
		before[w.Type] = w
	}
	return told
}

// compared are the exceptions that a fold tells, and those that single messages raise about when somebody left.
var compared = append(discharge.SpellProblems(), discharge.UnreadableTime, discharge.DischargeInTheFuture, discharge.DischargeBeforeStay)

func inWords(s discharge.State) string {
	var kinds []string
	for _, p := range s.Problems {
		if slices.Contains(compared, p.Kind) {
			kinds = append(kinds, p.Kind)
		}
	}
	known := []string{discharge.FlagDischargeCancelled, discharge.FlagNotAdmitted, discharge.FlagOnLeave}
	flags := slices.DeleteFunc(slices.Clone(s.Spell.Flags), func(f string) bool { return !slices.Contains(known, f) })
	number, left := 0, time.Time{}
	if d := s.Spell.Discharge; d != nil {
		number, left = d.Number, d.At.UTC()
	}
	slices.Sort(kinds)
	return fmt.Sprintf("%s, discharge %d at %s, planned %q, number %s, ward %q, flags %v, problems %v",
		s.Spell.Status, number, left, s.Spell.ExpectedDischargeOn, s.Person.PatientNumber, s.Person.Ward, flags, slices.Compact(kinds))
}

func expectedInWords(e oracle.Expected) string {
	kinds := slices.DeleteFunc(slices.Clone(e.Exceptions), func(kind string) bool { return !slices.Contains(compared, kind) })
	return fmt.Sprintf("%s, discharge %d at %s, planned %q, number %s, ward %q, flags %v, problems %v",
		e.Status, e.Discharge, e.DischargedAt, e.PlannedOn, e.Number, e.Ward, e.Flags, kinds)
}

// eventOf is what the hub's staff record.
func eventOf(m oracle.Told) discharge.Event {
	e := discharge.Event{MessageID: m.ControlID, Digest: m.ControlID, Kind: discharge.Kind(m.Kind), RecordedAt: m.Recorded, VisitNumber: m.Visit, PatientNumber: m.Patient,
		PriorNumber: m.Prior, AdmittedAt: m.Admitted, NHSNumber: m.NHS, BirthDate: m.Born, Postcode: m.Postcode, Practice: m.Practice, DischargedAt: m.Left,
		Method: m.Method, Destination: m.Destination, DestinationPostcode: m.GoingTo, Pathway: m.Pathway}
	for _, way := range m.Involved {
		e.Involvements = append(e.Involvements, discharge.Involvement(way))
	}
	return e
}
