package discharge

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNHSNumbers(t *testing.T) {
	for _, good := range []string{"9990000018", "9990000026", "9990000034", "9990000042", "9990000050", "9990000069", "9990000077",
		"9990000085", "9990000093", "9990000107", "9990000115", "9990000123"} {
		if !ValidNHSNumber(good) {
			t.Errorf("%s is refused", good)
		}
	}
	bad := []string{"", "999000001", "99900000180", "9990000019", "999000001X", "９990000018", "9999999999", "0000000000", "4444444444", "9990000081"}
	for _, stem := range []string{"999000000", "999000014", "999000028", "999000031"} {
		for check := range 10 {
			bad = append(bad, stem+string(rune('0'+check)))
		}
	}
	for _, s := range bad {
		if ValidNHSNumber(s) {
			t.Errorf("%s is taken", s)
		}
	}
}

func TestDeathIsDecidedByWhatStands(t *testing.T) {
	died := Tell(Moment{At: newYear()})
	for name, c := range map[string]struct {
		facts DeathFacts
		want  Death
	}{
		"nothing":              {DeathFacts{}, DeathNone},
		"no":                   {DeathFacts{Indicator: Tell(false), Method: "1", Destination: "19"}, DeathNone},
		"yes":                  {DeathFacts{Indicator: Tell(true)}, DeathDied},
		"yes, alive by method": {DeathFacts{Indicator: Tell(true), Method: "1", Destination: "19"}, DeathDied},
		"died by method":       {DeathFacts{Method: "4"}, DeathDied},
		"stillbirth":           {DeathFacts{Method: "5"}, DeathDied},
		"died by destination":  {DeathFacts{Destination: "79"}, DeathDied},
		"method against no":    {DeathFacts{Method: "4", Indicator: Tell(false)}, DeathDied},
		"time alone":           {DeathFacts{DiedAt: died}, DeathDied},
		"time, indicator null": {DeathFacts{DiedAt: died, Indicator: Clear[bool]()}, DeathDied},
		"time against no":      {DeathFacts{DiedAt: died, Indicator: Tell(false)}, DeathContradictory},
		"time null, no":        {DeathFacts{DiedAt: Clear[Moment](), Indicator: Tell(false)}, DeathNone},
		"words":                {DeathFacts{DeadInText: true}, DeathContradictory},
		"words against no":     {DeathFacts{DeadInText: true, Indicator: Tell(false)}, DeathContradictory},
		"unclear":              {DeathFacts{Unclear: true}, DeathContradictory},
		"unclear against no":   {DeathFacts{Unclear: true, Indicator: Tell(false)}, DeathContradictory},
		"unclear and yes":      {DeathFacts{Unclear: true, Indicator: Tell(true)}, DeathDied},
		"unclear and time":     {DeathFacts{Unclear: true, DiedAt: died}, DeathDied},
		"day of death unknown": {DeathFacts{DiedAt: Tell(Moment{})}, DeathDied},
		"words and time":       {DeathFacts{DeadInText: true, DiedAt: died}, DeathDied},
		"no time to die":       {DeathFacts{DiedAt: died, Impossible: true}, DeathContradictory},
		"no time, yes":         {DeathFacts{DiedAt: died, Impossible: true, Indicator: Tell(true)}, DeathDied},
		"words and method":     {DeathFacts{DeadInText: true, Method: "4"}, DeathDied},
	} {
		if got := DecideDeath(c.facts); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestWordsOfDeath(t *testing.T) {
	for text, want := range map[string]bool{
		"Dead": true, "DIED": true, "deceased": true, "RIP": true, "R.I.P.": true, "Patient died on ward": true, "Death": true,
		"": false, "Home": false, "ripe": false, "Diedre's": false, "19": false, "deadline": false,
	} {
		if got := speaksOfDeath(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestTheTwoCodeSetsHaveNoCodeInCommon(t *testing.T) {
	for code := range methods {
		if destinations[code] != "" {
			t.Errorf("%s is in both", code)
		}
	}
	for _, code := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		if methods[code] == "" {
			t.Errorf("method %s is missing", code)
		}
	}
	for _, code := range []string{"19", "29", "37", "38", "49", "50", "51", "52", "53", "54", "65", "66", "79", "84", "85", "87", "88", "98", "99"} {
		if destinations[code] == "" {
			t.Errorf("destination %s is missing", code)
		}
	}
}

func TestPostcodesAndSectors(t *testing.T) {
	for in, want := range map[string][2]string{
		"RM17 5AA": {"RM17 5AA", "RM17 5"}, "rm175aa": {"RM17 5AA", "RM17 5"}, " RM 17 5AA ": {"RM17 5AA", "RM17 5"},
		"E1 6AN": {"E1 6AN", "E1 6"}, "EC1A 1BB": {"EC1A 1BB", "EC1A 1"}, "M1 1AE": {"M1 1AE", "M1 1"}, "ZZ99 3VZ": {"ZZ99 3VZ", ""},
		"": {}, "RM17": {}, "GRAYS": {}, "RM17 5A1": {}, "17RM 5AA": {}, "RM17-5AA": {}, "RMXX 5AA": {}, "RM17 5AAA": {},
	} {
		if got := [2]string{NormalPostcode(in), Sector(in)}; got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestPracticeCodes(t *testing.T) {
	for in, want := range map[string]string{
		"F81155": "F81155", "f81155": "F81155", " Y00033 ": "Y00033", "": "", "G1234567": "", "F8115": "", "F8115A": "", "811555": "", "ABCDEF": "",
	} {
		if got := PracticeCode(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWardsAreCodes(t *testing.T) {
	for in, want := range map[string]bool{
		"ELM": true, "B2": true, "ELM-2": true, "A/1.B_2": true, "12": true, "ABCDEFGHIJKL": true,
		"": false, "ABCDEFGHIJKLM": false, "Elm": false, "ELM 2": false, "ADA TESTER": false, "-ELM": false, "ELM-": false, "A--B": false, "A-/B": false,
		"ELM'S": false, "É1": false, "9990000026": false, "999-000-0026": false, "9990000027": true,
	} {
		if got := wardCode(in); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func TestAdultAtTheDischarge(t *testing.T) {
	for _, c := range []struct {
		birth, on string
		want      Adult
	}{
		{"2008-09-02", "2026-09-02", AdultYes}, {"2008-09-03", "2026-09-02", AdultNo}, {"1941-03-12", "2026-09-02", AdultYes},
		{"2008-02-29", "2026-02-28", AdultNo}, {"2008-02-29", "2026-03-01", AdultYes},
		{"2008-09", "2026-09-15", AdultUnknown}, {"2008-08", "2026-09-01", AdultYes}, {"2008-10", "2026-09-30", AdultNo},
		{"2008", "2026-06-01", AdultUnknown}, {"2007", "2026-01-01", AdultYes}, {"2009", "2026-12-31", AdultNo},
		{"", "2026-09-02", AdultUnknown}, {"soon", "2026-09-02", AdultUnknown}, {"2030-01-01", "2026-09-02", AdultUnknown}, {"1941-03-12", "", AdultUnknown},
	} {
		if got := AdultOn(c.birth, c.on); got != c.want {
			t.Errorf("born %s, on %s: %s, want %s", c.birth, c.on, got, c.want)
		}
	}
}

func TestToldKeepsItsThreeStatesInJSON(t *testing.T) {
	type doc struct {
		A Told[string] `json:"a,omitzero"`
		B Told[string] `json:"b,omitzero"`
		C Told[bool]   `json:"c,omitzero"`
	}
	in := doc{B: Clear[string](), C: Tell(false)}
	data, err := json.Marshal(in)
	if err != nil || string(data) != `{"b":null,"c":false}` {
		t.Fatalf("%s, %v", data, err)
	}
	var out doc
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Error(diff)
	}
}
