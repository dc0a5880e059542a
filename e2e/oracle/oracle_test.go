package oracle

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at reads a moment as London's clocks show it.
func at(text string) time.Time {
	moment, err := time.ParseInLocation("2006-01-02 15:04", text, London)
	if err != nil {
		panic(err)
	}
	return moment.UTC()
}

// ada lives in Grays, is registered there, and is told of on the feed of people in whom social care is involved.
func ada(kind, recorded string, say func(*Told)) Told {
	m := Told{Feed: "mse-basildon", ControlID: kind + recorded, Recorded: at(recorded), Says: Says{
		Kind: kind, Person: "ada", Visit: "V1", Patient: "P1", Born: "1941-03-12", Postcode: "RM17 5QQ", Practice: "F81155", Admitted: at("2026-08-25 09:15")}}
	if say != nil {
		say(&m)
	}
	m.SpellID = SpellID("RAJ", m.Visit, m.Patient, m.Admitted)
	m.HL7 = fmt.Appendf(nil, "%+v", m) // nobody reads it: only that other meanings have other bytes counts
	return m
}

// ofAda is told of her and not of her stay.
func ofAda(recorded string, say func(*Told)) Told {
	m := ada("A31", recorded, func(m *Told) { m.Visit, m.Postcode, m.Practice = "", "", ""; say(m) })
	m.SpellID = ""
	return m
}

// merged is a merge of one number into another, or its revocation, with no more than the numbers.
func merged(kind, recorded, into, number string, say ...func(*Told)) Told {
	m := Told{Feed: "mse-basildon", ControlID: kind + recorded + into, Recorded: at(recorded), Says: Says{Kind: kind, Patient: into, Prior: number}}
	if kind == unmerge {
		m.Feed = "hub-staff"
	}
	for _, change := range say {
		change(&m)
	}
	m.HL7 = fmt.Appendf(nil, "%+v", m)
	return m
}

// bob is somebody else, whose number is P2, and Cleo's is P3.
func bob(m *Told)  { m.Person, m.Patient, m.Born, m.Practice = "bob", "P2", "1921-01-31", "F81010" }
func cleo(m *Told) { m.Person, m.Patient, m.Born = "cleo", "P3", "" }

// home is that she went home on 2 September 2026, a Wednesday.
func home(m *Told) { m.Left, m.Method, m.Destination = at("2026-09-02 14:25"), "1", "19" }

func elsewhere(m *Told) { home(m); m.Practice, m.Postcode = "F81003", "SS14 1QQ" }

// TestExamplesOfTheGuidance are worked by hand, from the text of the rules.
func TestExamplesOfTheGuidance(t *testing.T) {
	left := func(changes ...func(*Told)) Told {
		return ada("A03", "2026-09-02 14:30", func(m *Told) {
			home(m)
			for _, change := range changes {
				change(m)
			}
		})
	}
	everybody := func(m *Told) { m.Feed = "mse-all" }
	dies := func(number string) Told {
		return ofAda("2026-09-04 09:00", func(m *Told) { m.Dead, m.Person, m.Patient = "Y", number, number })
	}
	for name, c := range map[string]struct {
		messages []Told
		want     string // outcome, reason, team, due on, priority, contact, number of the discharge, exceptions; what is empty is left out
	}{
		"home":                                 {[]Told{left()}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1"},
		"died, as the person's record says":    {[]Told{left(), ofAda("2026-09-03 09:00", func(m *Told) { m.Dead = "Y" })}, "not-due died stopped 1"},
		"the record of somebody else":          {[]Told{left(), ofAda("2026-09-03 09:00", func(m *Told) { m.Dead, m.Patient = "Y", "P2" })}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1"},
		"another practice since":               {[]Told{left(), ofAda("2026-09-03 09:00", func(m *Told) { m.Practice = "F81010" })}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1"},
		"another practice before":              {[]Told{left(func(m *Told) { m.Practice = "" }), ofAda("2026-09-01 09:00", func(m *Told) { m.Practice = "F81010" })}, "pick-up-due social-care-feed CLS-ASOP 2026-10-14 standard allowed 1"},
		"not yet":                              {[]Told{ada("A01", "2026-08-25 09:20", nil)}, "in-hospital in-hospital allowed 0"},
		"never was":                            {[]Told{ada("A01", "2026-08-25 09:20", nil), ada("A11", "2026-08-25 10:00", nil)}, "not-due voided allowed 0"},
		"cancelled":                            {[]Told{left(), ada("A13", "2026-09-02 15:00", nil)}, "in-hospital in-hospital allowed 0"},
		"cancelled, at one minute":             {[]Told{ada("A13", "2026-09-02 14:30", nil), left()}, "in-hospital in-hospital allowed 0"},
		"cancelled, then again":                {[]Told{left(), ada("A13", "2026-09-02 15:00", nil), ada("A03", "2026-09-09 15:00", func(m *Told) { home(m); m.Left = at("2026-09-09 14:00") })}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-21 standard allowed 2"},
		"corrected by a second A03":            {[]Told{left(), ada("A03", "2026-09-03 09:00", func(m *Told) { home(m); m.Left = at("2026-09-01 14:00") })}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-13 standard allowed 1"},
		"cancelled, and the cancel sent again": {[]Told{left(), ada("A13", "2026-09-02 15:00", nil), ada("A13", "2026-09-02 16:00", nil)}, "in-hospital in-hospital allowed 0"},
		"a cancel of nothing":                  {[]Told{ada("A13", "2026-09-02 15:00", nil)}, "in-hospital in-hospital allowed 0 cancel-without-discharge"},
		"before midnight in UTC":               {[]Told{left(func(m *Told) { m.Left = at("2026-09-02 00:30") })}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1"},
		"against advice":                       {[]Told{left(func(m *Told) { m.Method = "6" })}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 high allowed 1"},
		"died by method":                       {[]Told{left(func(m *Told) { m.Method = "4" })}, "not-due died stopped 1"},
		"died, and denied":                     {[]Told{left(func(m *Told) { m.Dead, m.DiedAt = "N", m.Left })}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard held 1 death-contradictory"},
		"died, and taken back":                 {[]Told{left(func(m *Told) { m.Dead, m.DiedAt = "N", m.Left }), ada("A08", "2026-09-03 09:00", func(m *Told) { m.Dead, m.NotDied = "N", true })}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1"},
		"died before the stay":                 {[]Told{left(func(m *Told) { m.DiedAt = at("1900-01-01 00:00") })}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard held 1 death-contradictory"},
		"died after it was told":               {[]Told{left(func(m *Told) { m.DiedAt = at("2036-09-02 00:00") })}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard held 1 death-contradictory"},
		"dead in words":                        {[]Told{left(func(m *Told) { m.Destination, m.DeadWords = "", "Dead" })}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard held 1 death-contradictory"},
		"seventeen":                            {[]Told{left(func(m *Told) { m.Born = "2008-09-03" })}, "pick-up-due under-18 HUB 2026-10-14 standard allowed 1"},
		"eighteen today":                       {[]Told{left(func(m *Told) { m.Born = "2008-09-02" })}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1"},
		"another hospital":                     {[]Told{left(func(m *Told) { m.Destination = "51" })}, "in-another-hospital other-hospital HUB standard allowed 1"},
		"from elsewhere":                       {[]Told{left(elsewhere)}, "pick-up-due out-of-area-involved HUB 2026-10-14 standard allowed 1"},
		"from elsewhere, unknown":              {[]Told{left(elsewhere, everybody)}, "not-due appears-out-of-area allowed 1"},
		"home and practice differ":             {[]Told{left(func(m *Told) { m.Postcode = "SS14 1QQ" })}, "pick-up-due residence-unclear HUB 2026-10-14 standard allowed 1"},
		"no fixed abode":                       {[]Told{left(func(m *Told) { m.Postcode = noFixedAbode })}, "pick-up-due residence-unclear HUB 2026-10-14 standard allowed 1"},
		"practice closed":                      {[]Told{left(func(m *Told) { m.Practice = "F81644" })}, "pick-up-due social-care-feed CLS-SLH 2026-10-14 standard allowed 1"},
		"no practice":                          {[]Told{left(func(m *Told) { m.Practice, m.Postcode = "", "RM16 4QQ" })}, "pick-up-due social-care-feed CLS-TC 2026-10-14 standard allowed 1"},
		"no practice, two teams":               {[]Told{left(func(m *Told) { m.Practice, m.Postcode = "", "RM20 3QQ" })}, "pick-up-due social-care-feed HUB 2026-10-14 standard allowed 1"},
		"practice corrected":                   {[]Told{left(), ada("A08", "2026-09-03 09:00", func(m *Told) { m.Practice = "F81010" })}, "pick-up-due social-care-feed CLS-ASOP 2026-10-14 standard allowed 1"},
		"practice changed since":               {[]Told{left(), ada("A08", "2026-09-13 09:00", func(m *Told) { m.Practice, m.Effective = "F81010", m.Recorded })}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1"},
		"nobody involved":                      {[]Told{left(everybody)}, "not-due no-social-care-involvement-known allowed 1"},
		"pathway 0":                            {[]Told{left(everybody, func(m *Told) { m.Pathway = "0" })}, "not-due no-social-care-involvement-known allowed 1"},
		"pathway 1":                            {[]Told{left(everybody, func(m *Told) { m.Pathway = "1" })}, "pick-up-due involved CLS-GRAYS 2026-10-14 standard allowed 1"},
		"a mistyped year":                      {[]Told{left(func(m *Told) { m.Left = at("2027-09-02 14:25") })}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1 discharge-in-the-future"},
		"a null date":                          {[]Told{left(func(m *Told) { m.Left = at("1900-01-01 00:00") })}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1 unreadable-time"},
		"left before birth": {[]Told{left(func(m *Told) { m.Born, m.Left = "2006-09-02", at("2006-09-01 23:59") })},
			"pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1 unreadable-time"},
		"a null date of somebody who has not left": {[]Told{ada("A02", "2026-08-26 09:00", func(m *Told) { m.Left = at("1900-01-01 00:00") })}, "in-hospital in-hospital allowed 0"},
		"somebody else's number":                   {[]Told{left(), ada("A03", "2026-09-05 09:00", func(m *Told) { home(m); bob(m); m.Left = m.Recorded })}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1 visit-number-reused"},
		"merged, and one died":                     {[]Told{left(), dies("P2"), merged("A40", "2026-09-05 09:00", "P1", "P2")}, "not-due died stopped 1"},
		"merged the other way":                     {[]Told{left(), dies("P2"), merged("A34", "2026-09-05 09:00", "P2", "P1")}, "not-due died stopped 1"},
		"merged, and the merge tells of the death": {[]Told{left(), merged("A40", "2026-09-05 09:00", "P2", "P1", func(m *Told) { m.Dead = "Y" })}, "not-due died stopped 1"},
		"a changed number":                         {[]Told{left(), dies("P2"), merged("A47", "2026-09-05 09:00", "P2", "P1")}, "not-due died stopped 1"},
		"merged in a chain":                        {[]Told{left(), dies("P2"), merged("A40", "2026-09-05 09:00", "P3", "P1"), merged("A40", "2026-09-06 09:00", "P2", "P3")}, "not-due died stopped 1"},
		"a merge that was wrong": {[]Told{left(), dies("P2"), merged("A40", "2026-09-05 09:00", "P1", "P2"), merged(unmerge, "2026-09-06 09:00", "P2", "P1")},
			"pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1"},
		"a merge after the wrong one": {[]Told{left(), dies("P2"), merged("A40", "2026-09-05 09:00", "P1", "P2"), merged(unmerge, "2026-09-06 09:00", "P2", "P1"),
			merged("A40", "2026-09-07 09:00", "P1", "P2")}, "not-due died stopped 1"},
		"one link of a chain was wrong": {[]Told{left(), dies("P2"), merged("A40", "2026-09-05 09:00", "P3", "P1"), merged("A40", "2026-09-06 09:00", "P2", "P3"),
			merged(unmerge, "2026-09-07 09:00", "P1", "P3")}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1"},
		"merged with itself": {[]Told{left(), merged("A40", "2026-09-05 09:00", "P1", "P1", func(m *Told) { m.Dead = "Y" })},
			"pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1"},
		"somebody else's number, who is she": {[]Told{left(), ada("A08", "2026-09-05 09:00", bob), merged("A40", "2026-09-06 09:00", "P2", "P1")},
			"pick-up-due social-care-feed CLS-ASOP 2026-10-14 standard allowed 1"},
		"through a third": {[]Told{left(), ada("A08", "2026-09-05 09:00", cleo), ada("A08", "2026-09-05 10:00", bob), merged("A40", "2026-09-06 09:00", "P2", "P1")},
			"pick-up-due social-care-feed CLS-ASOP 2026-10-14 standard allowed 1 visit-number-reused"},
		"the visit is his": {[]Told{left(), ada("A45", "2026-09-05 09:00", func(m *Told) { bob(m); m.Prior = "P1" })},
			"pick-up-due social-care-feed CLS-ASOP 2026-10-14 standard allowed 1"},
		"the visit was always his": {[]Told{left(func(m *Told) { m.Dead = "Y" }), ada("A45", "2026-09-01 09:00", func(m *Told) { bob(m); m.Prior = "P1" })},
			"pick-up-due social-care-feed CLS-ASOP 2026-10-14 standard allowed 1"},
		"the visit is his, and she died": {[]Told{left(), dies("P1"), ada("A45", "2026-09-05 09:00", func(m *Told) { bob(m); m.Prior = "P1" })},
			"pick-up-due social-care-feed CLS-ASOP 2026-10-14 standard allowed 1"},
		"the visit is his, and he died": {[]Told{left(), dies("P2"), ada("A45", "2026-09-05 09:00", func(m *Told) { bob(m); m.Prior = "P1" })}, "not-due died stopped 1"},
		"the visit is hers after all": {[]Told{left(), ada("A45", "2026-09-05 09:00", func(m *Told) { bob(m); m.Prior = "P1" }), ada("A45", "2026-09-06 09:00", func(m *Told) { m.Prior = "P2" })},
			"pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1"},
		"only whose visit it is": {[]Told{ada("A45", "2026-09-05 09:00", func(m *Told) { bob(m); m.Prior = "P1" })}, "in-hospital not-admitted allowed 0"},
		"only expected":          {[]Told{ada("A05", "2026-08-20 09:20", nil)}, "in-hospital not-admitted allowed 0"},
		"expected no more":       {[]Told{ada("A05", "2026-08-20 09:20", nil), ada("A38", "2026-08-20 10:20", nil)}, "not-due voided allowed 0"},
		"there, and expected no more": {[]Told{ada("A05", "2026-08-20 09:20", nil), ada("A01", "2026-08-25 09:20", nil), ada("A38", "2026-08-25 10:20", nil)},
			"in-hospital in-hospital allowed 0"},
		"in A&E":               {[]Told{ada("A04", "2026-08-25 09:20", func(m *Told) { m.Class = "E" })}, "in-hospital not-admitted allowed 0"},
		"in A&E, in a bed":     {[]Told{ada("A04", "2026-08-25 09:20", func(m *Told) { m.Class = "E" }), ada("A02", "2026-08-25 10:20", nil)}, "in-hospital in-hospital allowed 0"},
		"an outpatient now":    {[]Told{ada("A01", "2026-08-25 09:20", nil), ada("A07", "2026-08-26 10:20", nil)}, "in-hospital in-hospital allowed 0 became-outpatient-without-discharge"},
		"the visit is deleted": {[]Told{ada("A01", "2026-08-25 09:20", nil), ada("A23", "2026-08-26 10:20", nil)}, "in-hospital in-hospital allowed 0 visit-deleted"},
		"another visit number": {[]Told{left(), ada(renumberVisit, "2026-09-03 09:00", func(m *Told) { m.VisitNow = "V2" })},
			"pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1 visit-number-changed"},
		"her record is deleted": {[]Told{left(), ofAda("2026-09-03 09:00", func(m *Told) { m.Kind = deletePerson })},
			"pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1 person-deleted"},
		"deleted, and told of again": {[]Told{left(), ofAda("2026-09-03 09:00", func(m *Told) { m.Kind = deletePerson }), ofAda("2026-09-04 09:00", func(*Told) {})},
			"pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1"},
		"the same twice": {[]Told{left(), left()}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1"},
		"a test":         {[]Told{left(), func() Told { m := ada("A13", "2026-09-02 15:00", nil); m.SpellID = ""; return m }()}, "pick-up-due social-care-feed CLS-GRAYS 2026-10-14 standard allowed 1"},
	} {
		t.Run(name, func(t *testing.T) {
			e := Expect(c.messages)[0]
			got := fmt.Sprintf("%s %s %s %s %s %s %d %s", e.Outcome, e.Reason, e.Team, e.DueOn, e.Priority, e.Contact, e.Discharge, strings.Join(e.Exceptions, ","))
			if diff := cmp.Diff(c.want, strings.Join(strings.Fields(got), " ")); diff != "" {
				t.Error(diff)
			}
			slices.Reverse(c.messages)
			if diff := cmp.Diff(e, Expect(c.messages)[0]); diff != "" {
				t.Errorf("in another order: %s", diff)
			}
		})
	}
}

func TestTheNumberThatSurvivedTheLastMergeIsShown(t *testing.T) {
	hers := ada("A03", "2026-09-02 14:30", home)
	for name, c := range map[string]struct {
		merges []Told
		want   string
	}{
		"none": {nil, "P1"}, "hers goes": {[]Told{merged("A40", "2026-09-05 09:00", "P2", "P1")}, "P2"},
		"and comes back":        {[]Told{merged("A40", "2026-09-05 09:00", "P2", "P1"), merged("A40", "2026-09-06 09:00", "P1", "P2")}, "P1"},
		"which was wrong":       {[]Told{merged("A40", "2026-09-05 09:00", "P2", "P1"), merged(unmerge, "2026-09-06 09:00", "P1", "P2")}, "P1"},
		"the last one is wrong": {[]Told{merged("A40", "2026-09-05 09:00", "P2", "P1"), merged("A40", "2026-09-06 09:00", "P2", "P3"), merged("A40", "2026-09-07 09:00", "P3", "P1"), merged(unmerge, "2026-09-08 09:00", "P1", "P3")}, "P2"},
	} {
		if got := Expect(append([]Told{hers}, c.merges...))[0].Number; got != c.want {
			t.Errorf("%s: %s, must be %s", name, got, c.want)
		}
	}
}

// TestASwapOfBedsIsToldOfTwoVisits takes what one message says of each.
func TestASwapOfBedsIsToldOfTwoVisits(t *testing.T) {
	his := ada("A02", "2026-08-26 09:00", func(m *Told) { bob(m); m.Visit, m.Kind, m.Ward = "V2", swapBeds, "ELM" })
	both := ada(swapBeds, "2026-08-26 09:00", func(m *Told) { m.Ward, m.Also = "OAK", []About{{his.SpellID, his.Says}} })
	wards := map[string]string{}
	for _, e := range Expect([]Told{both, both}) {
		wards[e.SpellID] = e.Ward
	}
	if len(both.SpellIDs()) != 2 || len(wards) != 2 || wards[both.SpellID] != "OAK" || wards[his.SpellID] != "ELM" {
		t.Errorf("%v", wards)
	}
}

func TestOneStayUnderTwoKeysIsTwoTasksAndOneException(t *testing.T) {
	two := Expect([]Told{ada("A03", "2026-09-02 14:30", home), ada("A03", "2026-09-02 14:31", func(m *Told) { home(m); m.Visit = "" })})
	if len(two) != 2 || len(two[0].Exceptions) != 0 || !slices.Equal(two[1].Exceptions, []string{"two-keys-for-one-stay"}) || two[0].TaskID == two[1].TaskID {
		t.Errorf("%+v", two)
	}
}

func TestTwoStaysOfOnePersonAreOneStayOnceTheNumbersAreMerged(t *testing.T) {
	hers := ada("A03", "2026-09-02 14:30", home)
	his := ada("A03", "2026-09-02 14:31", func(m *Told) { home(m); bob(m); m.Visit = "V2" })
	for name, c := range map[string]struct {
		more []Told
		want int // spells with the exception
	}{
		"two people": {nil, 0}, "one": {[]Told{merged("A40", "2026-09-05 09:00", "P2", "P1")}, 1},
		"two after all": {[]Told{merged("A40", "2026-09-05 09:00", "P2", "P1"), merged(unmerge, "2026-09-06 09:00", "P1", "P2")}, 0},
	} {
		two := Expect(append([]Told{hers, his}, c.more...))
		if n := len(two[0].Exceptions) + len(two[1].Exceptions); len(two) != 2 || n != c.want || len(two[0].Exceptions) > 0 {
			t.Errorf("%s: %+v", name, two)
		}
	}
}

func TestCareInvolvesAndRaisesThePriority(t *testing.T) {
	m := ada("A03", "2026-09-02 14:30", func(m *Told) { home(m); m.Feed = "mse-all" })
	for care, want := range map[Care]string{
		{Assessment: "requested"}:                       "pick-up-due high",
		{Assessment: "complete"}:                        "pick-up-due standard",
		{Assessment: "complete", UnmetBeforeLeaving: 1}: "pick-up-due high",
		{Reablement: "held"}:                            "pick-up-due standard",
	} {
		e := ExpectWith([]Told{m}, map[string]Care{m.SpellID: care})[0]
		if got := e.Outcome + " " + e.Priority; got != want {
			t.Errorf("%+v comes to %s, not %s", care, got, want)
		}
	}
}

// TestTheSixWeeksEndAtMidnightInLondon counts days on the calendar, across both changes of the clocks and a holiday.
func TestTheSixWeeksEndAtMidnightInLondon(t *testing.T) {
	for left, want := range map[string][2]string{
		"2026-03-01 11:00": {"2026-04-12T23:00:00Z", "2026-03-05T00:00:00Z"}, // a Sunday; Monday to Wednesday, in winter
		"2026-09-20 11:00": {"2026-11-02T00:00:00Z", "2026-09-23T23:00:00Z"},
		"2026-04-01 11:00": {"2026-05-13T23:00:00Z", "2026-04-08T23:00:00Z"}, // Thursday, then Easter, Tuesday and Wednesday
	} {
		m := ada("A03", left, func(m *Told) { home(m); m.Left = m.Recorded; m.Admitted = m.Recorded.Add(-time.Hour) })
		e := Expect([]Told{m})[0]
		if got := [2]string{e.DueAt.Format(time.RFC3339), e.FirstContactBy.Format(time.RFC3339)}; got != want {
			t.Errorf("left at %s: %v, not %v", left, got, want)
		}
	}
}

func TestNoticesOfAnUntouchedTask(t *testing.T) {
	e := Expect([]Told{ada("A03", "2026-09-02 14:30", home)})[0]
	var got []string
	for _, n := range Notices(e, at("2026-09-04 10:00"), at("2027-01-01 00:00")) { // came to the team on a Friday
		got = append(got, n.DueAt.In(London).Format("2006-01-02 15:04 ")+n.Kind)
	}
	if diff := cmp.Diff([]string{"2026-09-07 10:00 untaken-duty", "2026-09-08 00:00 first-contact-late", "2026-09-08 10:00 untaken-manager",
		"2026-09-30 00:00 reminder", "2026-10-07 00:00 at-risk", "2026-10-15 00:00 overdue"}, got); diff != "" {
		t.Error(diff)
	}
}

// as is what an observer sees where everything is as it must be.
func as(e Expected) Seen {
	s := Seen{SpellID: e.SpellID, TaskID: e.TaskID, Status: e.Status, Outcome: e.Outcome, Reason: e.Reason, Team: e.Team, Priority: e.Priority,
		Contact: e.Contact, DischargedOn: e.DischargedOn, DueOn: e.DueOn, DueAt: e.DueAt, FirstContactBy: e.FirstContactBy,
		Handover: true, Discharge: e.Discharge, DischargedAt: e.DischargedAt, Exceptions: e.Exceptions,
		Flags: e.Flags, PlannedOn: e.PlannedOn, Record: true, Number: e.Number, Ward: e.Ward}
	if e.Team != "" {
		s.Progress = "untaken"
	}
	return s
}

// TestNothingWrongPassesTheCheck changes each thing that an observer sees, one at a time.
func TestNothingWrongPassesTheCheck(t *testing.T) {
	for n := range 200 {
		r := rand.New(rand.NewPCG(uint64(n), 1))
		for _, want := range Expect(NewStay(r, n, at("2026-06-01 12:00")).Messages) {
			if wrong := Check(want, as(want)); len(wrong) > 0 {
				t.Fatal(wrong)
			}
			for i := range reflect.TypeFor[Seen]().NumField() {
				got := as(want)
				f := reflect.ValueOf(&got).Elem().Field(i)
				switch f.Interface().(type) {
				case string:
					f.SetString(f.String() + "x")
				case time.Time:
					f.Set(reflect.ValueOf(f.Interface().(time.Time).Add(time.Second)))
				case []string:
					f.Set(reflect.ValueOf([]string{"x"}))
				case bool:
					f.SetBool(!f.Bool())
				case int:
					f.SetInt(f.Int() + 1)
				}
				name := reflect.TypeFor[Seen]().Field(i).Name
				if unchecked := slices.Contains([]string{"Ending", "Schedule", "Notices", "Handover", "Record"}, name); !unchecked && len(Check(want, got)) == 0 {
					t.Errorf("another %s passes", name)
				}
			}
		}
	}
}

func TestWrongNoticesAreFound(t *testing.T) {
	e := Expect([]Told{ada("A03", "2026-09-02 14:30", home)})[0]
	came := Delivered{From: at("2026-09-02 14:40"), To: at("2026-09-02 14:40")}
	now := at("2026-10-01 09:00")
	right := func() (list []SeenNotice) {
		for _, n := range Notices(e, came.To, now) {
			list = append(list, SeenNotice{Kind: n.Kind, Schedule: 1, DueAt: n.DueAt, FiredAt: n.DueAt.Add(time.Second)})
		}
		return list
	}
	check := func(list []SeenNotice) []string {
		s := as(e)
		s.Schedule, s.Notices = 1, list
		return CheckNotices(e, s, came, now)
	}
	if wrong := check(right()); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	for i := range right() {
		for name, spoil := range map[string]func(l []SeenNotice) []SeenNotice{
			"missing":   func(l []SeenNotice) []SeenNotice { return slices.Delete(l, i, i+1) },
			"doubled":   func(l []SeenNotice) []SeenNotice { return append(l, l[i]) },
			"early":     func(l []SeenNotice) []SeenNotice { l[i].FiredAt = l[i].DueAt.Add(-time.Second); return l },
			"wrong":     func(l []SeenNotice) []SeenNotice { l[i].DueAt = l[i].DueAt.Add(-time.Second); return l },
			"withdrawn": func(l []SeenNotice) []SeenNotice { l[i].Withdrawn = true; return l },
			"groundless": func(l []SeenNotice) []SeenNotice {
				return append(l, SeenNotice{Kind: "watch-ended", Schedule: 1, DueAt: now, FiredAt: now})
			},
		} {
			if len(check(spoil(right()))) == 0 {
				t.Errorf("notice %d, %s, passes", i, name)
			}
		}
	}
}

// TestWhatPeopleDidIsNotLost lets a worker take a task and reach the person, before the hospital corrects the practice.
func TestWhatPeopleDidIsNotLost(t *testing.T) {
	left := ada("A03", "2026-09-02 14:30", home)
	before := as(Expect([]Told{left})[0])
	taken := before
	taken.Progress = "taken"
	acted := []Acted{{Command: "take", Before: before}, {Command: "contact", TwoWay: true, Before: taken}}
	moved := Expect([]Told{left, ada("A08", "2026-09-03 09:00", func(m *Told) { m.Practice = "F81010" })})[0]
	right := as(moved)
	right.Team, right.Proposed, right.Progress = "CLS-GRAYS", "CLS-ASOP", "picked-up"
	if wrong := CheckActed(moved, acted, right); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	for name, spoil := range map[string]func(*Seen){
		"the contact is lost":    func(s *Seen) { s.Progress = "taken" },
		"the worker is lost":     func(s *Seen) { s.Progress = "untaken" },
		"the team was changed":   func(s *Seen) { s.Team, s.Proposed = "CLS-ASOP", "" },
		"nothing is proposed":    func(s *Seen) { s.Proposed = "" },
		"the due date is wrong":  func(s *Seen) { s.DueOn = "2026-10-15" },
		"nobody completed it":    func(s *Seen) { s.Progress, s.Ending = "closed", "assessed" },
		"a death was overlooked": func(s *Seen) { s.Contact = "stopped" },
	} {
		got := right
		if spoil(&got); len(CheckActed(moved, acted, got)) == 0 {
			t.Errorf("%s, and it passes", name)
		}
	}
	died := Expect([]Told{left, ada("A08", "2026-09-03 09:00", func(m *Told) { m.Dead = "Y" })})[0]
	if got := right; len(CheckActed(died, acted, got)) == 0 {
		t.Error("a death that changes nothing passes")
	}
}

// TestAStayDependsOnItsGeneratorAlone tells the same one twice.
func TestAStayDependsOnItsGeneratorAlone(t *testing.T) {
	for n := range 300 {
		tell := func() string {
			return fmt.Sprintf("%+v", NewStay(rand.New(rand.NewPCG(5, 5)), n, at("2026-10-25 01:30")))
		}
		if tell() != tell() {
			t.Fatalf("stay %d differs", n)
		}
	}
}
