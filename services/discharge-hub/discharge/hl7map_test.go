package discharge

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sample returns the sample A03, which is marked as a test, and the same as a production message.
func sample(t testing.TB) (test, production []byte) {
	t.Helper()
	raw, err := os.ReadFile("testdata/sample_a03.hl7")
	if err != nil {
		t.Fatal(err)
	}
	return raw, bytes.Replace(raw, []byte("|MSG000042|T|"), []byte("|MSG000042|P|"), 1)
}

func TestSampleMessageReadsAsItIsMeant(t *testing.T) {
	_, raw := sample(t)
	r := reading(t, raw)
	want := Fact{
		Feed: "mse-basildon", Provider: "RAJ", Scope: ScopeSocialCare, DataVersion: "1",
		SpellID: SpellID("RAJ", "SPELL0001", "", time.Time{}), Kind: KindDischarge, ControlID: "MSG000042", Digest: Digest(raw),
		Recorded:    time.Date(2026, 9, 2, 13, 30, 0, 0, time.UTC),
		Effective:   Moment{At: time.Date(2026, 9, 2, 13, 25, 0, 0, time.UTC)},
		VisitNumber: "SPELL0001", PatientNumber: "1234567", NHSNumber: Tell("9990000026"),
		FamilyName: Tell("TESTER"), GivenName: Tell("Ada"), BirthDate: Tell("1941-03-12"), Postcode: Tell("RM17 5AA"),
		Practice: Tell("F81155"), DeathIndicator: Tell(false),
		AdmittedAt:        Tell(Moment{At: time.Date(2026, 8, 25, 8, 15, 0, 0, time.UTC)}),
		DischargedAt:      Tell(Moment{At: time.Date(2026, 9, 2, 13, 25, 0, 0, time.UTC)}),
		Class:             Tell("I"),
		ExpectedDischarge: Tell(Moment{At: time.Date(2026, 9, 1, 23, 0, 0, 0, time.UTC), DayOnly: true}),
		Method:            Tell("1"), Destination: Tell("19"), Site: Tell("RAJ12"), Ward: Tell("ELM"),
	}
	if diff := cmp.Diff(Reading{Fact: want, Usable: true}, r); diff != "" {
		t.Error(diff)
	}
	state := Fold([]Fact{r.Fact})
	spell := Spell{
		SpellID: want.SpellID, Reference: Reference(want.SpellID), Provider: "RAJ", Feed: "mse-basildon", Scope: ScopeSocialCare,
		Status: Discharged, AdmittedAt: want.AdmittedAt.Value.At,
		Discharge: &Discharge{At: want.Effective.At, On: "2026-09-02", Method: "1", Destination: "19", Number: 1},
		Site:      "RAJ12", PracticeCode: "F81155", HomePostcodeSector: "RM17 5", Adult: AdultYes, Death: DeathNone, DataVersion: "1",
	}
	if diff := cmp.Diff(spell, state.Spell); diff != "" {
		t.Error(diff)
	}
}

func TestTestMessagesAreHeldOnALiveFeedAndUsedOnATestFeed(t *testing.T) {
	test, _ := sample(t)
	debug := bytes.Replace(test, []byte("|T|2.4"), []byte("|D|2.4"), 1)
	small := bytes.Replace(test, []byte("|T|2.4"), []byte("|t|2.4"), 1)
	odd := bytes.Replace(test, []byte("|T|2.4"), []byte("||2.4"), 1)
	live := feedNamed(t, "mse-basildon")
	training := live
	training.Mode = Test
	for _, c := range []struct {
		name   string
		feed   Feed
		raw    []byte
		usable bool
		kinds  []string
	}{
		{"T on live", live, test, false, []string{TestMessageOnLive}},
		{"t on live", live, small, false, []string{TestMessageOnLive}},
		{"D on live", live, debug, false, []string{TestMessageOnLive}},
		{"blank on live", live, odd, true, nil},
		{"T on test", training, test, true, nil},
	} {
		r, err := FromHL7(c.feed, c.raw)
		if err != nil {
			t.Fatal(err)
		}
		if r.Usable != c.usable || !slices.Equal(kinds(r.Problems), c.kinds) {
			t.Errorf("%s: usable %v, problems %v", c.name, r.Usable, r.Problems)
		}
	}
}

func kinds(problems []Problem) []string {
	var out []string
	for _, p := range problems {
		out = append(out, p.Kind)
	}
	return out
}

func TestOtherMessagesAreNamedAndNoProblem(t *testing.T) {
	for what, want := range map[string]string{"ADT^A24": "ADT^A24", "ADT^A60": "ADT^A60", "ORU^R01": "ORU^R01", "MFN^M02": "MFN^M02"} {
		r := reading(t, adt("A03", "1", "20260902143000", "MSH-9", what))
		if r.NotHandled != want || r.Usable || len(r.Problems) > 0 {
			t.Errorf("%s: %+v", what, r)
		}
	}
	for _, spelled := range []string{"ADT", "adt^a03", "ADT_A03", "ADT-A03", "ADT^A03^ADT_A03", "ADT^A3", "ADT^Discharge", "ADT ^A03 "} {
		if r := reading(t, adt("A03", "1", "20260902143000", "MSH-9", spelled)); !r.Usable || r.Fact.Kind != KindDischarge {
			t.Errorf("%q, with A03 in EVN-1, is no discharge: %+v", spelled, r)
		}
	}
	for _, silent := range [][]byte{
		adt("A03", "1", "20260902143000", "MSH-9", ""), adt("A03", "1", "20260902143000", "MSH-9", "^A03"),
		adt("A03", "1", "20260902143000", "MSH-9", "ADT", "EVN-1", ""), adt("A03", "1", "20260902143000", "MSH-9", "", "EVN-1", ""),
		adt("A03", "1", "20260902143000", "MSH-9", "ADT_A03", "EVN-1", ""), adt("A03", "1", "20260902143000", "MSH-9", "ADT^A3", "EVN-1", "A3"),
		adt("A03", "1", "20260902143000", "MSH-9", "ADT^revoke-merge", "EVN-1", "revoke-merge"),
	} {
		if r := reading(t, silent); r.NotHandled != "" || r.Usable || !slices.Equal(kinds(r.Problems), []string{NoMessageType}) {
			t.Errorf("nobody is told of a message that does not say what it is: %+v", r)
		}
	}
	if _, err := FromHL7(feedNamed(t, "mse-basildon"), []byte("hello")); err == nil {
		t.Error("bytes that are no message were read")
	}
}

// TestContent changes one thing in a discharge and says what is different then.
func TestContent(t *testing.T) {
	utc := func(s string) time.Time {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for name, c := range map[string]struct {
		fields   fields
		want     func(*Fact)
		problems []string
		unusable bool
	}{
		"nothing": {},
		"no visit number": {fields: fields{"PV1-19", ""},
			want: func(f *Fact) {
				f.VisitNumber, f.SpellID = "", SpellID("RAJ", "", "1234567", utc("2026-08-25T08:15:00Z"))
			}},
		"no visit and no patient number": {fields: fields{"PV1-19", `""`, "PID-3", ""}, unusable: true, problems: []string{NoSpellKey},
			want: func(f *Fact) { f.VisitNumber, f.PatientNumber, f.NHSNumber, f.SpellID = "", "", Told[string]{}, "" }},
		"no visit number and no admission time": {fields: fields{"PV1-19", "", "PV1-44", ""}, unusable: true, problems: []string{NoSpellKey},
			want: func(f *Fact) { f.VisitNumber, f.AdmittedAt, f.SpellID = "", Told[Moment]{}, "" }},
		"visit number with components": {fields: fields{"PV1-19", "SPELL0001^^^RAJ^VN"}},
		"no EVN-2: recorded is MSH-7": {fields: fields{"EVN-2", "", "MSH-7", "20260902150000"},
			want: func(f *Fact) { f.Recorded = utc("2026-09-02T14:00:00Z") }},
		"EVN-2 to the day: MSH-7 knows better": {fields: fields{"EVN-2", "20260902", "MSH-7", "20260902150000"},
			want: func(f *Fact) { f.Recorded = utc("2026-09-02T14:00:00Z") }},
		"EVN-2 to the minute: MSH-7 within it knows better": {fields: fields{"EVN-2", "202609021430", "MSH-7", "20260902143042"},
			want: func(f *Fact) { f.Recorded = utc("2026-09-02T13:30:42Z") }},
		"EVN-2 to the minute, MSH-7 after it": {fields: fields{"EVN-2", "202609021430", "MSH-7", "20260902143100"},
			want: func(f *Fact) { f.Recorded = utc("2026-09-02T13:30:59Z") }},
		"EVN-2 to the minute, MSH-7 before it": {fields: fields{"EVN-2", "202609021430", "MSH-7", "20260902142959"}},
		"EVN-2 and MSH-7 to the minute":        {fields: fields{"EVN-2", "202609021430", "MSH-7", "202609021431"}},
		"EVN-2 to the hour: MSH-7 within it knows better": {fields: fields{"EVN-2", "2026090214", "MSH-7", "202609021459"},
			want: func(f *Fact) { f.Recorded = utc("2026-09-02T13:59:00Z") }},
		"EVN-2 to the hour, MSH-7 after it": {fields: fields{"EVN-2", "2026090214", "MSH-7", "20260902150000"},
			want: func(f *Fact) { f.Recorded = utc("2026-09-02T13:59:59Z") }},
		"EVN-2 to the day, MSH-7 after it": {fields: fields{"EVN-2", "20260903", "MSH-7", "20260904150000"},
			want: func(f *Fact) { f.Recorded = utc("2026-09-03T22:59:59Z") }},
		"EVN-2 to the second: MSH-7 to its fraction within it knows better": {fields: fields{"EVN-2", "20260902143000", "MSH-7", "20260902143000.5"}},
		"EVN-2 to a day that lasts 25 hours": {fields: fields{"EVN-2", "20261025", "MSH-7", "20261025233000"},
			want: func(f *Fact) { f.Recorded = utc("2026-10-25T23:30:00Z") }},
		"EVN-2 in the hour that comes twice: the first": {fields: fields{"EVN-2", "20261025013000", "MSH-7", "20261025013005"},
			want: func(f *Fact) { f.Recorded = utc("2026-10-25T00:30:00Z") }},
		"in the hour that comes twice, sent in the first": {fields: fields{"EVN-2", "20261025013000", "MSH-7", "20261025013005+0100"},
			want: func(f *Fact) { f.Recorded = utc("2026-10-25T00:30:00Z") }},
		"in the hour that comes twice, sent in the second": {fields: fields{"EVN-2", "20261025013000", "MSH-7", "20261025013005+0000"},
			want: func(f *Fact) { f.Recorded = utc("2026-10-25T01:30:00Z") }},
		"in the hour that comes twice, sent at once in the second": {fields: fields{"EVN-2", "20261025013000", "MSH-7", "20261025013000+0000"},
			want: func(f *Fact) { f.Recorded = utc("2026-10-25T01:30:00Z") }},
		"to the minute in the hour that comes twice, sent in the second": {fields: fields{"EVN-2", "202610250130", "MSH-7", "20261025013005+0000"},
			want: func(f *Fact) { f.Recorded = utc("2026-10-25T01:30:05Z") }},
		"in the hour that comes twice, sent to the minute": {fields: fields{"EVN-2", "20261025013030", "MSH-7", "202610250130+0000"},
			want: func(f *Fact) { f.Recorded = utc("2026-10-25T01:30:30Z") }},
		"at the end of the hour that comes twice, sent after it": {fields: fields{"EVN-2", "20261025015958", "MSH-7", "20261025020001"},
			want: func(f *Fact) { f.Recorded = utc("2026-10-25T01:59:58Z") }},
		"late in the first hour, sent early in the second": {fields: fields{"EVN-2", "20261025015958", "MSH-7", "20261025010001+0000"},
			want: func(f *Fact) { f.Recorded = utc("2026-10-25T00:59:58Z") }},
		"in the hour that comes twice, sent hours later: the first": {fields: fields{"EVN-2", "20261025013000", "MSH-7", "20261025090000"},
			want: func(f *Fact) { f.Recorded = utc("2026-10-25T00:30:00Z") }},
		"in the hour that comes twice, sent on that day: the first": {fields: fields{"EVN-2", "20261025013000", "MSH-7", "20261025"},
			want: func(f *Fact) { f.Recorded = utc("2026-10-25T00:30:00Z") }},
		"in the second hour, and MSH-7 does not say so": {fields: fields{"EVN-2", "202610250130+0000", "MSH-7", "20261025013042"},
			want: func(f *Fact) { f.Recorded = utc("2026-10-25T01:30:42Z") }},
		"recorded in the future of an MSH-7 in the hour that comes twice": {fields: fields{"EVN-2", "20271025013000", "MSH-7", "20261025013042"}, problems: []string{RecordedInTheFuture},
			want: func(f *Fact) { f.Recorded, f.Flags = utc("2026-10-25T00:30:42Z"), []string{RecordedInTheFuture} }},
		"recorded in the future: MSH-7": {fields: fields{"EVN-2", "20620902143000", "MSH-7", "20260902143100"}, problems: []string{RecordedInTheFuture},
			want: func(f *Fact) { f.Recorded, f.Flags = utc("2026-09-02T13:31:00Z"), []string{RecordedInTheFuture} }},
		"recorded and discharged in one mistyped year": {fields: fields{"EVN-2", "20270902143000", "MSH-7", "20260902143100", "PV1-45", "20270902142500"},
			problems: []string{RecordedInTheFuture, DischargeInTheFuture},
			want: func(f *Fact) {
				f.Recorded, f.Flags, f.DischargedAt = utc("2026-09-02T13:31:00Z"), []string{RecordedInTheFuture}, Told[Moment]{}
			}},
		"recorded to the day in the future": {fields: fields{"EVN-2", "20270902", "MSH-7", "20260902143100"}, problems: []string{RecordedInTheFuture},
			want: func(f *Fact) { f.Recorded, f.Flags = utc("2026-09-02T13:31:00Z"), []string{RecordedInTheFuture} }},
		"recorded in the future of an MSH-7 to the day": {fields: fields{"EVN-2", "20270902143000", "MSH-7", "20260902"}, problems: []string{RecordedInTheFuture},
			want: func(f *Fact) { f.Recorded, f.Flags = utc("2026-09-01T23:00:00Z"), []string{RecordedInTheFuture} }},
		"recorded late on the day that MSH-7 tells to the day": {fields: fields{"EVN-2", "20260903200000", "MSH-7", "20260902"},
			want: func(f *Fact) { f.Recorded = utc("2026-09-03T19:00:00Z") }},
		"EVN-2 beside an MSH-7 that can't be read": {fields: fields{"MSH-7", "now"}},
		"EVN-2 beside a null date in MSH-7":        {fields: fields{"MSH-7", "19000101000000"}},
		"recorded a day after MSH-7": {fields: fields{"EVN-2", "20260903143000", "MSH-7", "20260902143000"},
			want: func(f *Fact) { f.Recorded = utc("2026-09-03T13:30:00Z") }},
		"sent again long after it was recorded": {fields: fields{"MSH-7", "20270902143000"}},
		"EVN-2 with an offset": {fields: fields{"EVN-2", "20260902143000+0000"},
			want: func(f *Fact) { f.Recorded = utc("2026-09-02T14:30:00Z") }},
		"EVN-2 can't be read": {fields: fields{"EVN-2", "2 Sept", "MSH-7", "20260902150000"}, problems: []string{UnreadableTime},
			want: func(f *Fact) { f.Recorded = utc("2026-09-02T14:00:00Z") }},
		"no recorded time: the discharge's own": {fields: fields{"EVN-2", "", "MSH-7", ""},
			want: func(f *Fact) { f.Recorded = utc("2026-09-02T13:25:00Z") }},
		"no time at all": {fields: fields{"EVN-2", "", "MSH-7", "", "PV1-44", "", "PV1-45", ""}, unusable: true, problems: []string{NoTime},
			want: func(f *Fact) {
				f.Recorded, f.AdmittedAt, f.DischargedAt = time.Time{}, Told[Moment]{}, Told[Moment]{}
			}},
		"discharge time can't be read": {fields: fields{"PV1-45", "02/09/2026"}, problems: []string{UnreadableTime},
			want: func(f *Fact) { f.DischargedAt = Told[Moment]{} }},
		"discharge time to the day": {fields: fields{"PV1-45", "20260902"},
			want: func(f *Fact) { f.DischargedAt = Tell(Moment{At: utc("2026-09-01T23:00:00Z"), DayOnly: true}) }},
		"discharge time to the month": {fields: fields{"PV1-45", "202609"}, problems: []string{UnreadableTime},
			want: func(f *Fact) { f.DischargedAt = Told[Moment]{} }},
		"discharge before admission": {fields: fields{"PV1-45", "20260820120000"}, problems: []string{DischargeBeforeStay},
			want: func(f *Fact) { f.DischargedAt = Tell(Moment{At: utc("2026-08-20T11:00:00Z")}) }},
		"discharge on the admission's day, to the day": {fields: fields{"PV1-45", "20260825"},
			want: func(f *Fact) { f.DischargedAt = Tell(Moment{At: utc("2026-08-24T23:00:00Z"), DayOnly: true}) }},
		"discharge in the future": {fields: fields{"PV1-45", "20620902142500"}, problems: []string{DischargeInTheFuture},
			want: func(f *Fact) { f.DischargedAt = Told[Moment]{} }},
		"a null date for the discharge": {fields: fields{"PV1-45", "19000101000000"}, problems: []string{UnreadableTime},
			want: func(f *Fact) { f.DischargedAt = Told[Moment]{} }},
		"a null date for the discharge, and EVN-6": {fields: fields{"PV1-45", "18991230", "EVN-6", "20260902142500"}, problems: []string{UnreadableTime},
			want: func(f *Fact) { f.DischargedAt, f.Effective = Told[Moment]{}, Moment{At: utc("2026-09-02T13:25:00Z")} }},
		"null dates for the discharge and for EVN-6": {fields: fields{"PV1-45", "19700101", "EVN-6", "19000101"}, problems: []string{UnreadableTime, UnreadableTime},
			want: func(f *Fact) { f.DischargedAt = Told[Moment]{} }},
		"a null date for EVN-6 beside the discharge's time": {fields: fields{"EVN-6", "19000101"}},
		"a null date for EVN-6 alone": {fields: fields{"PV1-45", "", "EVN-6", "19000101"}, problems: []string{UnreadableTime},
			want: func(f *Fact) { f.DischargedAt = Told[Moment]{} }},
		"discharge before birth": {fields: fields{"PV1-45", "20080101120000", "PID-7", "20080301"}, problems: []string{UnreadableTime},
			want: func(f *Fact) { f.DischargedAt, f.BirthDate = Told[Moment]{}, Tell("2008-03-01") }},
		"discharge before the year of birth": {fields: fields{"PV1-45", "20071231235959", "PID-7", "2008"}, problems: []string{UnreadableTime},
			want: func(f *Fact) { f.DischargedAt, f.BirthDate = Told[Moment]{}, Tell("2008") }},
		"discharge on the day of birth": {fields: fields{"PV1-45", "20260902001000", "PV1-44", "20260902", "PID-7", "20260902"},
			want: func(f *Fact) {
				f.AdmittedAt, f.DischargedAt = Tell(Moment{At: utc("2026-09-01T23:00:00Z"), DayOnly: true}), Tell(Moment{At: utc("2026-09-01T23:10:00Z")})
				f.BirthDate = Tell("2026-09-02")
			}},
		"discharge before a birth that is to come": {fields: fields{"PID-7", "20410312"}, want: func(f *Fact) { f.BirthDate = Tell("2041-03-12") }},
		"discharge told years late": {fields: fields{"PV1-44", "20190801", "PV1-45", "20190902142500"},
			want: func(f *Fact) {
				f.AdmittedAt, f.DischargedAt = Tell(Moment{At: utc("2019-07-31T23:00:00Z"), DayOnly: true}), Tell(Moment{At: utc("2019-09-02T13:25:00Z")})
			}},
		"discharge time cleared": {fields: fields{"PV1-45", `""`}, want: func(f *Fact) { f.DischargedAt = Clear[Moment]() }},

		"no NHS number": {fields: fields{"PID-3", "1234567^^^RAJ^PI"}, want: func(f *Fact) { f.NHSNumber = Told[string]{} }},
		"NHS number as displayed": {fields: fields{"PID-3", "999 000 0034^^^NHS^NH~1234567^^^RAJ^MR"},
			want: func(f *Fact) { f.NHSNumber = Tell("9990000034") }},
		"NHS number fails the check": {fields: fields{"PID-3", "9990000027^^^NHS^NH~1234567^^^RAJ^PI"},
			want: func(f *Fact) { f.NHSNumber, f.Flags = Told[string]{}, []string{FlagNHSNumberInvalid} }},
		"an NHS number and an empty one": {fields: fields{"PID-3", `9990000026^^^NHS^NH~1234567^^^RAJ^PI~""^^^NHS^NH`}, want: func(*Fact) {}},
		"two NHS numbers": {fields: fields{"PID-3", "9990000026^^^NHS^NH~1234567^^^RAJ^PI~9990000034^^^NHS^NH"}, problems: []string{NHSNumbersDiffer},
			want: func(f *Fact) { f.NHSNumber = Told[string]{} }},
		"two NHS numbers, one of which expires later": {fields: fields{"PID-3", "9990000026^^^NHS^NH~1234567^^^RAJ^PI~9990000034^^^NHS^NH^^^20260902"},
			problems: []string{NHSNumbersDiffer}, want: func(f *Fact) { f.NHSNumber = Told[string]{} }},
		"NHS number twice":                     {fields: fields{"PID-3", "9990000026^^^NHS^NH~1234567^^^RAJ^PI~999 000 0026^^^NHS^NH"}},
		"another NHS number that has expired":  {fields: fields{"PID-3", "9990000034^^^NHS^NH^^20200101^20260901~9990000026^^^NHS^NH~1234567^^^RAJ^PI"}},
		"another NHS number that fails":        {fields: fields{"PID-3", "9990000026^^^NHS^NH~9990000027^^^NHS^NH~1234567^^^RAJ^PI"}, want: func(f *Fact) { f.Flags = []string{FlagNHSNumberInvalid} }},
		"NHS number status":                    {fields: fields{"PID-32", "01"}, want: func(f *Fact) { f.NHSNumberStatus = Tell("01") }},
		"another trust's patient number first": {fields: fields{"PID-3", "777^^^RF4^PI~1234567^^^RAJ^PI~9990000026^^^NHS^NH"}},
		"numbers as Cerner types them":         {fields: fields{"PID-3", "1234567^^^RAJ^MRN~9990000026^^^NHSNBR^NHSNMBR"}},
		"class in words":                       {fields: fields{"PV1-2", "Emergency"}, want: func(f *Fact) { f.Class = Tell("E") }},
		"class in a word of the hospital's":    {fields: fields{"PV1-2", "DAYCASE"}, want: func(f *Fact) { f.Class = Told[string]{} }},
		"patient number without authority":     {fields: fields{"PID-3", "9990000026^^^NHS^NH~1234567^^^^MR"}},
		"another trust's patient number only": {fields: fields{"PID-3", "777^^^RF4^PI~9990000026^^^NHS^NH"},
			want: func(f *Fact) { f.PatientNumber = "" }},
		"a site's patient number": {fields: fields{"PID-3", "1234567^^^RAJ12^PI~9990000026^^^NHS^NH"}},
		"all identifiers cleared": {fields: fields{"PID-3", `""`}, want: func(f *Fact) { f.NHSNumber, f.PatientNumber = Clear[string](), "" }},

		"home address is the one of type H": {fields: fields{"PID-11", "x^^^^SS17 0PH^^C~y^^^^rm175aa^^H"}},
		"address without type":              {fields: fields{"PID-11", "y^^^^RM17 5AA"}},
		"no fixed abode": {fields: fields{"PID-11", "^^^^ZZ99 3VZ^^H"},
			want: func(f *Fact) { f.Postcode, f.NoFixedAbode = Tell("ZZ99 3VZ"), true }},
		"no fixed abode in words": {fields: fields{"PID-11", "No fixed abode^^GRAYS"},
			want: func(f *Fact) { f.Postcode, f.NoFixedAbode = Tell("ZZ99 3VZ"), true }},
		"address not known": {fields: fields{"PID-11", "^^^^ZZ99 3WZ^^H"},
			want: func(f *Fact) { f.Postcode, f.Flags = Tell("ZZ99 3WZ"), []string{FlagAddressUnknown} }},
		"postcode can't be read": {fields: fields{"PID-11", "^^^^GRAYS^^H"},
			want: func(f *Fact) { f.Postcode, f.Flags = Told[string]{}, []string{FlagPostcodeUnreadable} }},
		"address cleared": {fields: fields{"PID-11", `""`}, want: func(f *Fact) { f.Postcode = Clear[string]() }},

		"practice where version 2.5 puts it":  {fields: fields{"PD1-3", "BALFOUR MEDICAL CENTRE^^^^^NHS^ODS^^^F81155"}},
		"practice behind a number in PD1-3.3": {fields: fields{"PD1-3", "BALFOUR MEDICAL CENTRE^^12345^^^NHS^ODS^^^F81155"}},
		"practice in PD1-3.3 before PD1-3.10": {fields: fields{"PD1-3", "BALFOUR MEDICAL CENTRE^^F81155^^^NHS^ODS^^^F81010"}},
		"practice as the only component":      {fields: fields{"PD1-3", "f81155"}},
		"practice in PD1-4":                   {fields: fields{"PD1-3", "", "PD1-4", "F81155^SMITH"}},
		"a doctor's code in PD1-4 says nothing": {fields: fields{"PD1-3", "", "PD1-4", "G1234567^SMITH^JOHN"},
			want: func(f *Fact) { f.Practice, f.Flags = Told[string]{}, []string{FlagPracticeUnreadable} }},
		"a doctor's code beside the practice": {fields: fields{"PD1-4", "G1234567^SMITH"}},
		"a practice name only": {fields: fields{"PD1-3", "BALFOUR MEDICAL CENTRE"},
			want: func(f *Fact) { f.Practice, f.Flags = Told[string]{}, []string{FlagPracticeUnreadable} }},
		"no registered practice": {fields: fields{"PD1-3", "NONE^^V81997"},
			want: func(f *Fact) { f.Practice, f.Flags = Clear[string](), []string{FlagNoPractice} }},
		"practice not known": {fields: fields{"PD1-3", "UNKNOWN^^V81999"}, want: func(f *Fact) { f.Practice = Told[string]{} }},
		"practice cleared":   {fields: fields{"PD1-3", `""`}, want: func(f *Fact) { f.Practice = Clear[string]() }},
		"no practice told":   {fields: fields{"PD1-3", ""}, want: func(f *Fact) { f.Practice = Told[string]{} }},

		"PV1-36 and 37 swapped": {fields: fields{"PV1-36", "19", "PV1-37", "1"}, want: func(f *Fact) { f.Flags = []string{FlagSwapped} }},
		"destination in PV1-36, PV1-37 blank": {fields: fields{"PV1-36", "54", "PV1-37", ""},
			want: func(f *Fact) { f.Method, f.Destination, f.Flags = Told[string]{}, Tell("54"), []string{FlagSwapped} }},
		"two destinations": {fields: fields{"PV1-36", "54", "PV1-37", "19"},
			want: func(f *Fact) { f.Method, f.Flags = Told[string]{}, []string{FlagMethodUnknown} }},
		"retired method":     {fields: fields{"PV1-36", "2"}, want: func(f *Fact) { f.Method = Tell("2") }},
		"method with a zero": {fields: fields{"PV1-36", "06"}, want: func(f *Fact) { f.Method = Tell("6") }},
		"free text as method": {fields: fields{"PV1-36", "Home with family"},
			want: func(f *Fact) { f.Method, f.Flags = Told[string]{}, []string{FlagMethodUnknown} }},
		"words of death as method": {fields: fields{"PV1-36", "Patient died"},
			want: func(f *Fact) { f.Method, f.DeadInText = Told[string]{}, true }},
		"unknown destination": {fields: fields{"PV1-37", "77"},
			want: func(f *Fact) { f.Destination, f.Flags = Told[string]{}, []string{FlagDestinationUnknown} }},
		"method and destination blank": {fields: fields{"PV1-36", "", "PV1-37", ""},
			want: func(f *Fact) { f.Method, f.Destination = Told[string]{}, Told[string]{} }},

		"death indicator yes":     {fields: fields{"PID-30", "1"}, want: func(f *Fact) { f.DeathIndicator = Tell(true) }},
		"death indicator no":      {fields: fields{"PID-30", "false"}, want: func(f *Fact) { f.DeathIndicator = Tell(false) }},
		"death indicator cleared": {fields: fields{"PID-30", `""`}, want: func(f *Fact) { f.DeathIndicator = Clear[bool]() }},
		"words of death as indicator": {fields: fields{"PID-30", "Deceased"},
			want: func(f *Fact) { f.DeathUnclear, f.Flags = true, []string{FlagIndicatorUnreadable} }},
		"D as death indicator": {fields: fields{"PID-30", "d"},
			want: func(f *Fact) { f.DeathUnclear, f.Flags = true, []string{FlagIndicatorUnreadable} }},
		"time of death to the month": {fields: fields{"PID-29", "202609"}, want: func(f *Fact) { f.DiedAt = Tell(Moment{}) }},
		"time of death to the year":  {fields: fields{"PID-29", "2026"}, want: func(f *Fact) { f.DiedAt = Tell(Moment{}) }},
		"time of death cleared":      {fields: fields{"PID-29", `""`}, want: func(f *Fact) { f.DiedAt = Clear[Moment]() }},
		"yes as time of death":       {fields: fields{"PID-29", "YES"}, problems: []string{UnreadableTime}, want: func(f *Fact) { f.DeathUnclear = true }},
		"method of death in PV1-37": {fields: fields{"PV1-37", "4"},
			want: func(f *Fact) { f.Destination, f.DeadInText = Told[string]{}, true }},
		"destination of death in PV1-36": {fields: fields{"PV1-36", "79"},
			want: func(f *Fact) { f.Method, f.DeadInText = Told[string]{}, true }},
		"destination of death in PV1-36, a text in PV1-37": {fields: fields{"PV1-36", "79", "PV1-37", "Home"},
			want: func(f *Fact) {
				f.Method, f.Destination, f.DeadInText, f.Flags = Told[string]{}, Told[string]{}, true, []string{FlagDestinationUnknown}
			}},
		"destination of death in PV1-36 alone": {fields: fields{"PV1-36", "79", "PV1-37", ""},
			want: func(f *Fact) { f.Method, f.Destination, f.Flags = Told[string]{}, Tell("79"), []string{FlagSwapped} }},
		"death indicator odd": {fields: fields{"PID-30", "?"},
			want: func(f *Fact) { f.Flags = []string{FlagIndicatorUnreadable} }},
		"time of death": {fields: fields{"PID-29", "20260902"},
			want: func(f *Fact) { f.DiedAt = Tell(Moment{At: utc("2026-09-01T23:00:00Z"), DayOnly: true}) }},
		"birth year only":          {fields: fields{"PID-7", "1941"}, want: func(f *Fact) { f.BirthDate = Tell("1941") }},
		"birth date with time":     {fields: fields{"PID-7", "194103120000"}},
		"birth date can't be so":   {fields: fields{"PID-7", "19411350"}, want: func(f *Fact) { f.BirthDate, f.Flags = Told[string]{}, []string{FlagBirthDateUnreadable} }},
		"a text instead of a ward": {fields: fields{"PV1-3", "moved to her sister in Tilbury^^^RAJ12"}, want: func(f *Fact) { f.Ward = Told[string]{} }},
		"a ward cleared":           {fields: fields{"PV1-3", `""^^^RAJ12`}, want: func(f *Fact) { f.Ward = Clear[string]() }},
		"a year that nobody means": {fields: fields{"PV1-44", "99991231235959-1200", "PID-29", "00010101"}, problems: []string{UnreadableTime, UnreadableTime},
			want: func(f *Fact) { f.AdmittedAt, f.DeathUnclear = Told[Moment]{}, true }},
		"a site that is no code": {fields: fields{"PV1-3", "ELM^^^Basildon Hospital"}, want: func(f *Fact) { f.Site = Told[string]{} }},
	} {
		base := []string{"PV1-36", "1", "PV1-37", "19", "PV1-45", "20260902142500"}
		want := reading(t, adt("A03", "1", "20260902143000", base...)).Fact
		if c.want != nil {
			c.want(&want)
		}
		raw := adt("A03", "1", "20260902143000", append(base, c.fields...)...)
		want.Digest = Digest(raw)
		r := reading(t, raw)
		if diff := cmp.Diff(want, r.Fact); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if !slices.Equal(kinds(r.Problems), c.problems) || r.Usable == c.unusable {
			t.Errorf("%s: usable %v, problems %v", name, r.Usable, r.Problems)
		}
		var back Fact
		if data, err := json.Marshal(r.Fact); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if err := json.Unmarshal(data, &back); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(r.Fact, back); diff != "" {
			t.Errorf("%s: stored and read back: %s", name, diff)
		}
	}
}

func TestFeedsMapTheirOwnFieldsAndCodes(t *testing.T) {
	feed, err := ParseFeed("odd.json", []byte(`{"key":"odd","door":"mllp","application":"X","facilities":["RAJ"],"provider":"RAJ",
		"scope":"social-care","time_zone":"Europe/London","mode":"live","mapping":{"version":"7","method":"ZDS-1.2","destination":"ZDS-2",
		"practices":["PV1-8.3"],"methods":{"RIP":"4"},"destinations":{"HOME":"19"},"pathway":"ZDS-3","pathways":{"REABLE":"1"},"patient_authority":"BAS"}}`))
	if err != nil {
		t.Fatal(err)
	}
	r, err := FromHL7(feed, adt("A03", "1", "20260902143000", "ZDS-1", "x^RIP", "ZDS-2", "HOME", "ZDS-3", "REABLE", "PV1-8", "a^b^F81010", "PID-3", "1^^^RAJ^PI~2^^^BAS^PI"))
	if err != nil {
		t.Fatal(err)
	}
	f := r.Fact
	got := []string{f.Method.Value, f.Destination.Value, f.Practice.Value, f.Pathway.Value, f.PatientNumber, f.DataVersion}
	if diff := cmp.Diff([]string{"4", "19", "F81010", "1", "2", "7"}, got); diff != "" {
		t.Error(diff)
	}
	if s := Fold([]Fact{f}).Spell; !slices.Equal(s.Involvements, []Involvement{OnPathway}) {
		t.Errorf("involvements %v", s.Involvements)
	}
}

func TestProblemsRepeatNothingAboutThePerson(t *testing.T) {
	r := reading(t, adt("A03", "1", "20260902143000", "PV1-45", "after Ada Tester left", "PID-29", "TESTER", "PV1-19", "", "PV1-44", "Ada"))
	if len(r.Problems) != 4 {
		t.Errorf("problems %v", r.Problems)
	}
	for _, p := range r.Problems {
		for _, personal := range []string{"Ada", "TESTER", "Tester", "9990000026", "1234567"} {
			if bytes.Contains([]byte(p.String()), []byte(personal)) {
				t.Errorf("%q repeats %q", p, personal)
			}
		}
	}
}
