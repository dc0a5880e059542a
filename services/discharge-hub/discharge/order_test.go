package discharge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// course draws the messages of one spell as a hospital might send them: several cycles of discharge and cancel, updates, deaths, every other
// trigger now and then, merges of people, times to the minute that fall together, control ids that do not say the order, and now and then
// another person's message.
func course(t *rapid.T) [][]byte {
	usual := rapid.SampledFrom([]Kind{"A01", "A02", "A03", "A03", "A03", "A08", "A08", "A11", "A13", "A13"})
	others := rapid.SampledFrom(slices.Concat(spellKinds, mergeKinds, []Kind{KindAddPerson, KindDeletePerson, KindUpdatePerson}))
	minute := rapid.IntRange(0, 5)
	optional := func(path string, values ...string) func() []string {
		g := rapid.SampledFrom(values)
		return func() []string {
			if !rapid.Bool().Draw(t, "tells "+path) {
				return nil
			}
			return []string{path, g.Draw(t, path)}
		}
	}
	more := []func() []string{
		optional("MSH-7", day+"180130", day+"180259", day+"180300", day), optional("EVN-2", "20360902180300", day+"18", day),
		optional("MSH-7", "20261025013010+0000", "20261025013010", "20261025020500"), optional("EVN-2", "202610250130", "20261025015958", "20261025011000"),
		optional("EVN-6", day+"1200", day+"1803", day, `""`),
		optional("PV1-45", day+"1200", day+"1803", day, "", `""`, "20620101", "soon"),
		optional("PV1-36", "1", "4", "19", "Dead", "", `""`, "06"),
		optional("PV1-37", "19", "79", "1", "54", "", `""`),
		optional("PID-29", day+"1100", "202609", "YES", `""`), optional("PID-30", "Y", "N", `""`, "?", "Dead"),
		optional("PID-3", "9990000026^^^NHS^NH~1234567^^^RAJ^PI", "9990000034^^^NHS^NH~7654321^^^RAJ^PI", "9990000027^^^NHS^NH", "9990000034^^^NHS^NH", "7654321^^^RAJ^PI"),
		optional("PID-7", "19410312", "19500101", "1950", "", `""`),
		optional("PD1-3", "X^^F81010", "X", `""`, ""), optional("PID-11", "x^^^^SS17 0PH^^H", "^^^^ZZ99 3VZ", `""`),
		optional("PV1-2", "I", "E", "O"), optional("PV2-9", "20260905", "20260906", `""`), optional("MRG-5", "SPELL0001", "SPELL0002"),
		optional("MRG-1", "1234567^^^RAJ^PI", "7654321^^^RAJ^PI", "7777777^^^RAJ^PI"),
		optional("PV1-3", "OAK^^^RAJ01", "ASH"), optional("PV1-44", "20260825091500", "20260901091500", ""),
	}
	messages := make([][]byte, rapid.IntRange(1, 9).Draw(t, "messages"))
	for i := range messages {
		var said []string
		for _, m := range more {
			said = append(said, m()...)
		}
		kind := usual
		if rapid.IntRange(0, 2).Draw(t, "other") == 0 {
			kind = others
		}
		messages[i] = adt(string(kind.Draw(t, "kind")), fmt.Sprint(rapid.IntRange(1, 12).Draw(t, "control id")),
			fmt.Sprintf("%s18%02d", day, minute.Draw(t, "minute")), said...)
	}
	return messages
}

func TestAnyOrderAndDuplicationFoldsToTheSame(t *testing.T) {
	social, all := feedNamed(t, "mse-basildon"), feedNamed(t, "mse-all")
	rapid.Check(t, func(t *rapid.T) {
		var facts []Fact
		for _, raw := range course(t) {
			feed := rapid.SampledFrom([]Feed{social, all}).Draw(t, "feed")
			raw = []byte(strings.Replace(string(raw), "MSEPAS", feed.Application, 1))
			r, err := FromHL7(feed, raw)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Usable && !r.Fact.Kind.OfPerson() && !r.Fact.Kind.renumbersVisit() {
				t.Fatalf("%q is not usable: %v", raw, r.Problems)
			}
			for _, f := range append([]Fact{r.Fact}, r.Also...) {
				// A moved visit may have been another one.
				if r.Usable && (f.Kind.OfPerson() || f.VisitNumber == "SPELL0001") {
					facts = append(facts, f)
				}
			}
		}
		want := Fold(facts)
		again := append([]Fact(nil), facts...)
		for range min(len(facts), rapid.IntRange(0, 4).Draw(t, "duplicates")) {
			again = append(again, rapid.SampledFrom(facts).Draw(t, "duplicate"))
		}
		got := Fold(rapid.Permutation(again).Draw(t, "order"))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		if !slices.ContainsFunc(facts, func(f Fact) bool { return !f.Kind.OfPerson() }) {
			return
		}
		spell := got.Spell
		for _, p := range got.Problems {
			if p.Kind != VisitNumberReused && !slices.Contains(SpellProblems(), p.Kind) {
				t.Fatalf("%s is not among the problems of spells", p.Kind)
			}
			if p.Kind != ContradictoryDeath && !slices.Contains(spell.Flags, p.Kind) {
				t.Fatalf("%s is a problem and no flag", p.Kind)
			}
		}
		if (spell.Status == Discharged) != (spell.Discharge != nil) {
			t.Fatalf("%s with discharge %v", spell.Status, spell.Discharge)
		}
		if d := spell.Discharge; d != nil && (d.At.IsZero() || d.Number < 1 || d.On != d.At.In(London()).Format(time.DateOnly)) {
			t.Fatalf("discharge %+v", d)
		}
	})
}

func TestFoldLeavesItsFactsAlone(t *testing.T) {
	facts := []Fact{reading(t, discharge("3", day+"143000")).Fact, reading(t, adt("A01", "1", "20260825092000")).Fact}
	before := append([]Fact(nil), facts...)
	Fold(facts)
	if diff := cmp.Diff(before, facts); diff != "" {
		t.Error(diff)
	}
}

func TestControlIDsCountAsNumbers(t *testing.T) {
	nine := reading(t, adt("A08", "MSG9", day+"1430", "PV1-3", "OLD")).Fact
	ten := reading(t, adt("A08", "MSG10", day+"1430", "PV1-3", "NEW")).Fact
	if p := Fold([]Fact{ten, nine}).Person; p.Ward != "NEW" {
		t.Errorf("ward %s", p.Ward)
	}
}

// BenchmarkInterpret parses a message, maps it by its feed, and folds what it says.
func BenchmarkInterpret(b *testing.B) {
	feed := feedNamed(b, "mse-basildon")
	raw := discharge("3", day+"143000")
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := FromHL7(feed, raw)
		if err != nil {
			b.Fatal(err)
		}
		if Fold([]Fact{r.Fact}).Spell.Status != Discharged {
			b.Fatal("not discharged")
		}
	}
}

func BenchmarkFoldOfTwentyFacts(b *testing.B) {
	var facts []Fact
	for i := range 20 {
		facts = append(facts, reading(b, discharge(fmt.Sprint(i), fmt.Sprintf("%s14%02d00", day, i))).Fact)
	}
	b.ReportAllocs()
	for b.Loop() {
		Fold(facts)
	}
}

// TestACancelInTheHourThatComesTwiceComesBehindItsDischarge takes a discharge at ten to two in summer time, cancelled twenty minutes later, when the
// clocks have gone back and show ten past one.
func TestACancelInTheHourThatComesTwiceComesBehindItsDischarge(t *testing.T) {
	left := adt("A03", "2", "20261025015000", "MSH-7", "20261025015002+0100", "PV1-45", "20261025014500")
	taken := adt("A13", "3", "20261025011000", "MSH-7", "20261025011002+0000")
	if s := foldedInAnyOrder(t, left, taken).Spell; s.Status != InHospital || slices.Contains(s.Flags, FlagCancelWithoutDischarge) {
		t.Errorf("%s, flags %v", s.Status, s.Flags)
	}
}

// TestANullDateOrdersNothing says that what is told with 19000101 for EVN-2 is no older than all that is known, but as old as its MSH-7 says.
func TestANullDateOrdersNothing(t *testing.T) {
	admitted := adt("A01", "1", "20260825092000", "PID-30", "N")
	left, taken := discharge("2", day+"143000"), adt("A13", "3", day+"160000")
	again := adt("A03", "4", day+"180000", "EVN-2", "19000101000000", "PV1-45", day+"175500")
	if s := foldedInAnyOrder(t, admitted, left, taken, again).Spell; s.Status != Discharged || s.Discharge.Number != 2 || s.Discharge.At.Format("1504") != "1655" {
		t.Errorf("the second discharge: %+v", s)
	}
	death := adt("A08", "5", day+"190000", "EVN-2", "18991230", "PID-30", "Y")
	if s := foldedInAnyOrder(t, admitted, left, death).Spell; s.Death != DeathDied {
		t.Errorf("the death: %+v", s)
	}
	if r := reading(t, death); !slices.Equal(kinds(r.Problems), []string{UnreadableTime}) {
		t.Errorf("nobody is told of the null date: %+v", r.Problems)
	}
	nowhere := adt("A03", "6", "19000101", "MSH-7", "", "PV1-44", "19000101", "PV1-45", "19000101")
	if r := reading(t, nowhere); r.Usable || !slices.Contains(kinds(r.Problems), NoTime) {
		t.Errorf("a message with no other time: %+v", r)
	}
}
