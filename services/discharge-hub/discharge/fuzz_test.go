package discharge

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
)

// FuzzFromHL7 gives the mapping any bytes. A message is a fact, is not handled and named so, or is a problem with an owner; a fact can
// be stored and folds to the same when it is read again.
func FuzzFromHL7(f *testing.F) {
	f.Add(adt("A03", "1", day+"1430", "PV1-45", day+"142500", "PV1-36", "1", "PV1-37", "19"))
	f.Add(adt("A08", "2", day+"1430", "EVN-6", `""`, "PID-3", `""`, "PID-29", "00010101", "PID-30", "Y"))
	f.Add(adt("A13", "3", "", "EVN-6", day, "PV1-19", "", "PD1-3", "~~^^F81155"))
	f.Add(merge("A40", "4", day+"1430", "7654321", "1234567"))
	f.Add(moved("5", day+"1430", "7654321", "1234567", "PV1-19", "SPELL0002"))
	f.Add(swapped(day + "1430"))
	f.Add(adt("A31", "6", day+"1430", "PID-29", day, "MRG-1", `""`))
	feed := feedNamed(f, "mse-basildon")
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := FromHL7(feed, raw)
		if err != nil {
			return
		}
		for _, text := range append([]string{r.NotHandled}, texts(r)...) {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
				t.Fatalf("%q is no text that a database takes", text)
			}
		}
		if !r.Usable {
			if (r.NotHandled == "") == (len(r.Problems) == 0) {
				t.Fatalf("not usable, and nobody or two are told: %+v", r)
			}
			return
		}
		all := append([]Fact{r.Fact}, r.Also...)
		for _, one := range all {
			_, err := uuid.Parse(one.SpellID)
			if (err != nil) != one.Kind.OfPerson() || one.Kind.OfPerson() && one.PatientNumber == "" || one.Recorded.IsZero() {
				t.Fatalf("usable with spell %q, patient number %q, recorded %v", one.SpellID, one.PatientNumber, one.Recorded)
			}
			checkKeeping(t, []Fact{one})
		}
		m, err := hl7.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		visit := strings.TrimSpace(m.Get("PV1-19").Text())
		switch k := r.Fact.Kind; {
		case k == KindMergeVisit:
			visit = strings.TrimSpace(m.Get("MRG-5").Text()) // it is told of the number that the visit had
		case k.OfPerson(), k.movesVisit(), k == KindToOutpatient, k == KindSwapBeds:
			visit = r.Fact.VisitNumber
		}
		if r.Fact.VisitNumber != visit || r.Fact.ControlID != m.Header.ControlID {
			t.Fatalf("visit %q, control id %q", r.Fact.VisitNumber, r.Fact.ControlID)
		}
	})
}

// texts are what is told of a reading's problems.
func texts(r Reading) (all []string) {
	for _, p := range r.Problems {
		all = append(all, p.String())
	}
	return all
}

// checkKeeping stores facts, reads them, and compares what they fold to.
func checkKeeping(t *testing.T, facts []Fact) {
	t.Helper()
	data, err := json.Marshal(facts)
	if err != nil {
		t.Fatalf("%+v can't be stored: %v", facts, err)
	}
	if strings.Contains(string(data), `\u0000`) && !strings.Contains(string(data), `\\u0000`) {
		t.Fatalf("%s can't be stored", data)
	}
	var back []Fact
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatalf("%s can't be read: %v", data, err)
	}
	if want, got := Fold(facts), Fold(back); !reflect.DeepEqual(want, got) {
		t.Fatalf("the stored facts fold to something else: %s", cmp.Diff(want, got))
	}
}

// script makes choices of the bytes of a fuzz input; when they are used up, every choice is the first.
type script []byte

func (s *script) of(n int) int {
	if len(*s) == 0 {
		return 0
	}
	c := int((*s)[0])
	*s = (*s)[1:]
	return c % n
}

// tell makes one of the three things that can be said, the values more often.
func tell[T comparable](s *script, values ...T) Told[T] {
	switch n := s.of(len(values) + 3); n {
	case 0, 1:
		return Told[T]{}
	case 2:
		return Clear[T]()
	default:
		return Tell(values[n-3])
	}
}

// fact makes a fact of a spell. The values are few, so that facts tell the same, contradict one another and fall together in time.
func (s *script) fact(digest string) Fact {
	at := func(minutes int) time.Time {
		return time.Date(2026, 10, 24, 23, 58, 0, 0, time.UTC).Add(time.Duration(minutes) * time.Minute)
	}
	moments := []Moment{{At: at(0)}, {At: at(1)}, {At: at(-60 * 24)}, {At: at(-58).Truncate(time.Hour), DayOnly: true}, {At: at(60 * 26)}}
	f := Fact{
		SpellID: "6f1c2f0e-3a55-5d0c-9a52-7d3b8f1e2a44", Provider: "RAJ", Digest: digest,
		Kind:      []Kind{KindDischarge, KindCancelDischarge, KindUpdate, KindAdmit, KindCancelAdmit, KindTransfer}[s.of(6)],
		Recorded:  at(s.of(4)),
		ControlID: []string{"1", "2", "9", "10", "MSG1", ""}[s.of(6)],
		Feed:      []string{"a", "b"}[s.of(2)], Scope: []Scope{ScopeSocialCare, ScopeWholeHospital, ScopeNotTold}[s.of(3)],
		DataVersion: []string{"1", "2"}[s.of(2)],
	}
	// What a message says beyond its kind and time is chosen by a few bytes that say how much comes.
	said := []func(){
		func() { f.DischargedAt = tell(s, moments...) },
		func() {
			others := slices.Concat(spellKinds, mergeKinds, []Kind{KindRevokeMerge, KindAddPerson, KindDeletePerson, KindUpdatePerson})
			f.Kind, f.PatientNumber = others[s.of(len(others))], []string{"1234567", "7654321", "7777777"}[s.of(3)]
			f.PriorNumber = []string{"", "1234567", "7654321", "7777777"}[s.of(4)]
			if f.Kind.OfPerson() {
				f.SpellID = ""
			}
		},
		func() { f.Class = tell(s, "I", "E", "O") },
		func() { f.ExpectedDischarge = tell(s, moments...) },
		func() { f.Effective = moments[s.of(len(moments))] },
		func() { f.AdmittedAt = tell(s, moments...) },
		func() { f.Method = tell(s, "1", "4", "6") },
		func() { f.Destination = tell(s, "19", "51", "79") },
		func() { f.DeathIndicator = tell(s, true, false) },
		func() { f.DiedAt = tell(s, append(moments, Moment{})...) },
		func() { f.DeathUnclear, f.DeadInText = s.of(2) == 1, s.of(2) == 1 },
		func() { f.PatientNumber = []string{"", "1234567", "7654321"}[s.of(3)] },
		func() { f.NHSNumber = tell(s, "9990000026", "9990000034") },
		func() { f.BirthDate = tell(s, "1941-03-12", "1941", "2010-10-25") },
		func() { f.Practice = tell(s, "F81155", "F81010") },
		func() { f.Postcode = tell(s, "RM17 5AA", "SS17 0PH", noFixedAbode) },
		func() { f.DestinationPostcode = tell(s, "RM17 5AA", "SS17 0PH") },
		func() { f.Site, f.Ward = tell(s, "RAJ12", "RAJ01"), tell(s, "ELM", "OAK") },
		func() { f.Pathway = tell(s, "0", "1", "3") },
		func() { f.Involvements = []Involvement{HubReferral, CouncilPackage}[:s.of(3)] },
		func() {
			f.Flags = [][]string{{FlagSwapped}, {FlagNHSNumberInvalid, FlagMethodUnknown}, {RecordedInTheFuture}, {FlagPostcodeUnreadable, FlagNoPractice}}[s.of(4)]
		},
	}
	for range s.of(6) {
		said[s.of(len(said))]()
	}
	return f
}

// FuzzFold makes facts of any bytes and folds them in many orders, some of them twice.
func FuzzFold(f *testing.F) {
	const discharged, cancelled, updated, admitted = "\x00\x00\x00\x00\x00\x00\x01\x00\x03", "\x01\x00\x01\x00\x00\x00\x00", "\x02\x02\x03\x01\x01\x01\x02\x00\x05\x09\x03", "\x03\x01\x02\x00\x00\x00\x01\x02\x04"
	f.Add([]byte(discharged), uint64(1))
	f.Add([]byte(admitted+discharged+cancelled+discharged), uint64(2))
	f.Add([]byte(discharged+cancelled+updated+discharged+updated+cancelled), uint64(3))
	f.Add([]byte("\x00\x00\x01\x00\x00\x00\x02\x08\x01\x09\x03"+"\x00\x00\x02\x00\x00\x00\x03\x08\x02\x09\x04\x0a\x04"), uint64(4)) // two people
	f.Fuzz(func(t *testing.T, input []byte, seed uint64) {
		s := script(input)
		var facts []Fact
		for len(s) > 0 && len(facts) < 12 {
			facts = append(facts, s.fact(fmt.Sprintf("%02x", s.of(256)^len(facts)<<8)))
			if len(facts) > 1 && s.of(8) == 7 { // the same bytes read by another mapping, or come by another feed
				again := facts[len(facts)-2]
				again.DataVersion, again.Feed = facts[len(facts)-1].DataVersion+"+", facts[len(facts)-1].Feed
				facts[len(facts)-1] = again
			}
		}
		if len(facts) == 0 {
			return
		}
		kept := slices.Clone(facts)
		want := Fold(facts)
		if !reflect.DeepEqual(kept, facts) {
			t.Fatalf("the fold changed its facts: %s", cmp.Diff(kept, facts))
		}
		random := rand.New(rand.NewPCG(seed, 1))
		for range 4 {
			turned := slices.Clone(facts)
			for range random.IntN(3) {
				turned = append(turned, facts[random.IntN(len(facts))])
			}
			random.Shuffle(len(turned), func(i, j int) { turned[i], turned[j] = turned[j], turned[i] })
			if got := Fold(turned); !reflect.DeepEqual(want, got) {
				t.Fatalf("%s\nof %+v", cmp.Diff(want, got), facts)
			}
		}
		slices.Reverse(facts)
		if got := Fold(facts); !reflect.DeepEqual(want, got) {
			t.Fatalf("%s\nof %+v", cmp.Diff(want, got), facts)
		}
		checkKeeping(t, facts)
		checkState(t, facts, want)
	})
}

// checkState says what holds of every state, and works out again, without the fold's own way, what can be told from the facts alone.
func checkState(t *testing.T, facts []Fact, state State) {
	spell := state.Spell
	if (spell.Status == Discharged) != (spell.Discharge != nil) {
		t.Fatalf("%s with discharge %v", spell.Status, spell.Discharge)
	}
	if state.Recorded.IsZero() { // no fact is about the spell
		return
	}
	left, cancelled := 0, 0
	for _, f := range facts {
		switch f.Kind {
		case KindDischarge:
			left++
		case KindCancelDischarge, KindCancelAdmit:
			cancelled++
		}
		if f.Recorded.After(state.Recorded) && !f.Kind.OfPerson() && !slices.Contains(state.LeftOut, f.Digest) {
			t.Fatalf("a fact recorded at %v is newer than the state of %v", f.Recorded, state.Recorded)
		}
	}
	switch d := spell.Discharge; {
	case d == nil:
		if left > 0 && cancelled == 0 && len(state.LeftOut) == 0 {
			t.Fatalf("a discharge was told, nothing cancelled, and the spell is %s", spell.Status)
		}
	case d.At.IsZero() || d.On != d.At.In(London()).Format(time.DateOnly) || d.Number < 1 || d.Number > left || d.Number > cancelled+1:
		t.Fatalf("%d discharges, %d cancels make %+v", left, cancelled, d)
	}
	if !slices.IsSorted(spell.Flags) || len(slices.Compact(slices.Clone(spell.Flags))) != len(spell.Flags) {
		t.Fatalf("flags %v", spell.Flags)
	}
	for _, p := range state.Problems {
		if p.Kind != VisitNumberReused && !slices.Contains(SpellProblems(), p.Kind) {
			t.Fatalf("%s is not among the problems of spells", p.Kind)
		}
	}
	if slices.ContainsFunc(facts, func(f Fact) bool { return f.PatientNumber != "" }) {
		return
	}
	if len(state.LeftOut) > 0 && !slices.ContainsFunc(facts, func(f Fact) bool { return f.NHSNumber.HasValue() }) {
		t.Fatalf("two people, though no number tells them apart: %v", state.LeftOut)
	}
}
