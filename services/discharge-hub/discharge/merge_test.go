package discharge

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// merge is a message that merges one number into another, with no more of the person than the numbers.
func merge(kind, controlID, recorded, survivor, loser string, more ...string) []byte {
	return adt(kind, controlID, recorded, append([]string{"PID-3", survivor + "^^^RAJ^PI", "PID-5", "", "PID-7", "", "PID-11", "", "PD1-3", "", "PV1-3", "", "PV1-19", "",
		"PV1-44", "", "MRG-1", loser + "^^^RAJ^PI"}, more...)...)
}

// revocation is what a person's hand records to take a merge back.
func revocation(t testing.TB, recorded, a, b string) Fact {
	t.Helper()
	at := reading(t, adt("A08", "R", recorded)).Fact.Recorded
	r := FromEvent(feedNamed(t, "hub-staff"), Event{MessageID: "R" + recorded, Digest: "r" + recorded + a + b, Kind: KindRevokeMerge, RecordedAt: at, PatientNumber: a, PriorNumber: b})
	if !r.Usable {
		t.Fatalf("not usable: %v", r.Problems)
	}
	return r.Fact
}

// facts reads messages that must be usable.
func facts(t testing.TB, messages ...[]byte) (all []Fact) {
	t.Helper()
	for _, raw := range messages {
		r := reading(t, raw)
		if !r.Usable {
			t.Fatalf("%q is not usable: %v %s", raw, r.Problems, r.NotHandled)
		}
		all = append(append(all, r.Fact), r.Also...)
	}
	return all
}

// bare says nothing of the person but the number.
func bare(kind, controlID, recorded, number string) []byte {
	return adt(kind, controlID, recorded, "PID-3", number+"^^^RAJ^PI", "PID-5", "", "PID-7", "", "PID-11", "", "PD1-3", "")
}

func TestMergedNumbersAreOnePerson(t *testing.T) {
	admitted, left := bare("A01", "1", "20260825092000", "1111"), bare("A03", "9", day+"1800", "2222")
	two := []string{VisitNumberReused}
	for name, c := range map[string]struct {
		merges [][]byte
		more   []Fact
		want   []string // problems
		number string
	}{
		"not merged":                   {want: two, number: "1111"},
		"A40":                          {merges: [][]byte{merge("A40", "2", day+"09", "2222", "1111")}, number: "2222"},
		"the other way":                {merges: [][]byte{merge("A40", "2", day+"09", "1111", "2222")}, number: "1111"},
		"A34":                          {merges: [][]byte{merge("A34", "2", day+"09", "2222", "1111")}, number: "2222"},
		"A18":                          {merges: [][]byte{merge("A18", "2", day+"09", "2222", "1111")}, number: "2222"},
		"A36":                          {merges: [][]byte{merge("A36", "2", day+"09", "2222", "1111")}, number: "2222"},
		"A47":                          {merges: [][]byte{merge("A47", "2", day+"09", "2222", "1111")}, number: "2222"},
		"A35 of the account alone":     {merges: [][]byte{merge("A35", "2", day+"09", "2222", "2222")}, want: two, number: "1111"},
		"A35 of two numbers":           {merges: [][]byte{merge("A35", "2", day+"09", "2222", "1111")}, number: "2222"},
		"recorded after the discharge": {merges: [][]byte{merge("A40", "2", "20261001", "2222", "1111")}, number: "2222"},
		"a chain":                      {merges: [][]byte{merge("A40", "2", day+"09", "3333", "1111"), merge("A40", "3", day+"10", "2222", "3333")}, number: "2222"},
		"a chain, the end first":       {merges: [][]byte{merge("A40", "2", day+"10", "3333", "1111"), merge("A40", "3", day+"09", "2222", "3333")}, number: "3333"},
		"inverse":                      {merges: [][]byte{merge("A40", "2", day+"09", "2222", "1111"), merge("A40", "3", day+"10", "1111", "2222")}, number: "1111"},
		"a circle": {merges: [][]byte{merge("A40", "2", day+"09", "2222", "1111"), merge("A40", "3", day+"10", "3333", "2222"), merge("A40", "4", day+"11", "1111", "3333")},
			number: "1111"},
		"of others":                    {merges: [][]byte{merge("A40", "2", day+"09", "4444", "3333")}, want: two, number: "1111"},
		"revoked":                      {merges: [][]byte{merge("A40", "2", day+"09", "2222", "1111")}, more: []Fact{revocation(t, day+"12", "2222", "1111")}, want: two, number: "1111"},
		"revoked, named the other way": {merges: [][]byte{merge("A40", "2", day+"09", "2222", "1111")}, more: []Fact{revocation(t, day+"12", "1111", "2222")}, want: two, number: "1111"},
		"merged again": {merges: [][]byte{merge("A40", "2", day+"09", "2222", "1111"), merge("A40", "3", day+"13", "2222", "1111")},
			more: []Fact{revocation(t, day+"12", "2222", "1111")}, number: "2222"},
		"revoked before it was told": {merges: [][]byte{merge("A40", "2", day+"09", "2222", "1111")}, more: []Fact{revocation(t, day+"08", "2222", "1111")}, number: "2222"},
		"one link of a chain revoked": {merges: [][]byte{merge("A40", "2", day+"09", "3333", "1111"), merge("A40", "3", day+"10", "2222", "3333")},
			more: []Fact{revocation(t, day+"12", "3333", "1111")}, want: two, number: "1111"},
	} {
		t.Run(name, func(t *testing.T) {
			all := append(facts(t, append([][]byte{admitted, left}, c.merges...)...), c.more...)
			state := Fold(all)
			slices.Reverse(all)
			if diff := cmp.Diff(state, Fold(all)); diff != "" {
				t.Errorf("the order of arrival makes a difference: %s", diff)
			}
			if !slices.Equal(kinds(state.Problems), c.want) || state.Person.PatientNumber != c.number {
				t.Errorf("problems %v, number %s", kinds(state.Problems), state.Person.PatientNumber)
			}
			if want := map[bool]Status{true: Discharged, false: InHospital}[c.want == nil]; state.Spell.Status != want {
				t.Errorf("%s", state.Spell.Status)
			}
		})
	}
}

func TestAMergedNumberIsKnownByWhatIsToldOfTheOther(t *testing.T) {
	admitted := adt("A01", "1", "20260825092000") // tells the NHS number
	left := bare("A03", "9", day+"1800", "2222")
	other := adt("A28", "2", day+"08", "PID-3", "9990000026^^^NHS^NH~3333^^^RAJ^PI")
	if state := foldedInAnyOrder(t, admitted, other, left); !slices.Equal(kinds(state.Problems), []string{VisitNumberReused}) {
		t.Errorf("problems %v", kinds(state.Problems))
	}
	if state := foldedInAnyOrder(t, admitted, other, left, merge("A40", "3", day+"09", "3333", "2222")); len(state.Problems) > 0 || state.Spell.Status != Discharged {
		t.Errorf("the NHS number that both share makes them one person: problems %v, %s", kinds(state.Problems), state.Spell.Status)
	}
}

func TestMergesThatSayNothing(t *testing.T) {
	for name, c := range map[string]struct {
		raw  []byte
		want string
	}{
		"with itself":             {merge("A40", "1", day, "1111", "1111"), MergeWithItself},
		"no number that goes":     {merge("A40", "1", day, "1111", "", "MRG-1", ""), NoPatientNumber},
		"no number that stays":    {merge("A40", "1", day, "", "1111", "PID-3", ""), NoPatientNumber},
		"only NHS numbers":        {merge("A40", "1", day, "1111", "", "MRG-1", "9990000026^^^NHS^NH"), NoPatientNumber},
		"another hospital's":      {merge("A40", "1", day, "1111", "", "MRG-1", "2222^^^RF4^PI"), NoPatientNumber},
		"a test on a live feed":   {merge("A40", "1", day, "1111", "2222", "MSH-11", "T"), TestMessageOnLive},
		"a death, and not whose":  {adt("A31", "1", day, "PID-3", "", "PID-30", "Y"), NoPatientNumber},
		"a death without a visit": {adt("A31", "1", day, "PID-3", "9990000026^^^NHS^NH", "PID-29", day), NoPatientNumber},
	} {
		if r := reading(t, c.raw); r.Usable || len(r.Also) > 0 || !slices.Equal(kinds(r.Problems), []string{c.want}) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := reading(t, adt("A31", "1", day, "PID-3", "")); r.Usable || r.NotHandled == "" || len(r.Problems) > 0 {
		t.Errorf("a person without a number: %+v", r)
	}
}

func TestOneMessageMayMergeSeveralPeople(t *testing.T) {
	r := reading(t, []byte("MSH|^~\\&|MSEPAS|RAJ|HUB|THURROCK|"+day+"09||ADT^A40|M|P|2.4\rEVN|A40|"+day+"09\r"+
		"PID|||1111^^^RAJ^PI\rMRG|2222^^^RAJ^PI\rMRG|3333^^^RAJ^PI\rPID|||4444^^^RAJ^PI\rPD1\rMRG|5555^^^RAJ^PI~9990000026^^^NHS^NH\r"))
	var got []string
	for _, f := range append([]Fact{r.Fact}, r.Also...) {
		got = append(got, f.PriorNumber+">"+f.PatientNumber)
	}
	if want := []string{"2222>1111", "3333>1111", "5555>4444"}; !r.Usable || !slices.Equal(got, want) {
		t.Errorf("%v, problems %v", got, r.Problems)
	}
}

func TestWhatIsToldOfAPersonIsTrueOfTheSpell(t *testing.T) {
	left := discharge("9", day+"1430")
	update := func(recorded string, more ...string) []byte {
		return adt("A31", "P"+recorded, recorded, append([]string{"PID-11", "", "PD1-3", ""}, more...)...)
	}
	for name, c := range map[string]struct {
		told                      [][]byte
		practice, later           string
		sector, sectorLater, died string
		problems                  []string
	}{
		"nothing":                        {practice: "F81155", sector: "RM17 5"},
		"another practice before":        {told: [][]byte{update("20260801", "PD1-3", "^^F81010")}, practice: "F81155", sector: "RM17 5"},
		"another practice after":         {told: [][]byte{update("20260910", "PD1-3", "^^F81010")}, practice: "F81155", later: "F81010", sector: "RM17 5"},
		"that was true at the discharge": {told: [][]byte{update("20260910", "PD1-3", "^^F81010", "EVN-6", "20260801")}, practice: "F81010", sector: "RM17 5"},
		"another home after":             {told: [][]byte{update("20260910", "PID-11", "^^^^SS17 0PH^^H")}, practice: "F81155", sector: "RM17 5", sectorLater: "SS17 0"},
		"an A28 after":                   {told: [][]byte{adt("A28", "P", "20260910", "PD1-3", "^^F81010")}, practice: "F81155", later: "F81010", sector: "RM17 5"},
		"an A08 of no visit": {told: [][]byte{adt("A08", "P", "20260910", "PD1-3", "^^F81010", "PV1-19", "", "PV1-44", "")},
			practice: "F81155", later: "F81010", sector: "RM17 5"},
		"a death":                      {told: [][]byte{update("20260910", "PID-30", "Y")}, practice: "F81155", sector: "RM17 5", died: "died"},
		"a death that was a mistake":   {told: [][]byte{update("20260910", "PID-30", "Y"), update("20260911", "PID-30", "N")}, practice: "F81155", sector: "RM17 5"},
		"a death under another number": {told: [][]byte{update("20260910", "PID-30", "Y", "PID-3", "7654321^^^RAJ^PI")}, practice: "F81155", sector: "RM17 5"},
		"a death under a merged number": {told: [][]byte{update("20260910", "PID-30", "Y", "PID-3", "7654321^^^RAJ^PI"), merge("A40", "M", "20260911", "7654321", "1234567")},
			practice: "F81155", sector: "RM17 5", died: "died"},
		"a deletion": {told: [][]byte{update("20260909"), adt("A29", "D", "20260910")}, practice: "F81155", sector: "RM17 5", problems: []string{PersonDeleted}},
		"a deletion, and told anew": {told: [][]byte{adt("A29", "D", "20260910"), adt("A28", "P", "20260911", "PD1-3", "", "PID-11", "")},
			practice: "F81155", sector: "RM17 5"},
	} {
		t.Run(name, func(t *testing.T) {
			state := foldedInAnyOrder(t, append([][]byte{left}, c.told...)...)
			s := state.Spell
			died := ""
			if s.Death == DeathDied {
				died = "died"
			}
			if s.PracticeCode != c.practice || s.PracticeCodeLater != c.later || s.HomePostcodeSector != c.sector || s.HomePostcodeSectorLater != c.sectorLater || died != c.died {
				t.Errorf("practice %s, later %s; sector %s, later %s; %s", s.PracticeCode, s.PracticeCodeLater, s.HomePostcodeSector, s.HomePostcodeSectorLater, s.Death)
			}
			if !slices.Equal(kinds(state.Problems), c.problems) || s.Status != Discharged {
				t.Errorf("problems %v, %s", kinds(state.Problems), s.Status)
			}
		})
	}
	silent := adt("A03", "9", day+"1430", "PD1-3", "", "PID-11", "", "PV1-45", day+"1425")
	state := foldedInAnyOrder(t, silent, update("20260910", "PD1-3", "^^F81010", "PID-11", "^^^^SS17 0PH^^H"), update("20260920", "PD1-3", "^^F81113"))
	if s := state.Spell; s.PracticeCode != "F81010" || s.PracticeCodeLater != "F81113" || s.HomePostcodeSector != "SS17 0" {
		t.Errorf("what was told first after a silent discharge is not taken for it: %+v", s)
	}
	if got := Fold(facts(t, update("20260910"))); !cmp.Equal(got, State{}) {
		t.Errorf("a person without a spell folds to %+v", got)
	}
}

// moved is an A45: the visit is the owner's, and was the other's.
func moved(controlID, recorded, owner, from string, more ...string) []byte {
	return adt("A45", controlID, recorded, append([]string{"PID-3", owner + "^^^RAJ^PI", "PID-5", "TESTER^Grace", "PID-7", "19500101", "PD1-3", "^^F81010",
		"PID-11", "^^^^SS17 0PH^^H", "MRG-1", from + "^^^RAJ^PI", "MRG-5", "SPELL0001"}, more...)...)
}

func TestAVisitIsMovedToAnotherPerson(t *testing.T) {
	admitted := adt("A01", "1", "20260825092000", "PID-30", "Y")
	left := bare("A03", "9", day+"1800", "7777")
	for name, c := range map[string]struct {
		messages       [][]byte
		name, practice string
		problems       []string
		death          Death
	}{
		"not moved":      {messages: [][]byte{admitted, left}, name: "Ada", practice: "F81155", problems: []string{VisitNumberReused}, death: DeathDied},
		"moved":          {messages: [][]byte{admitted, moved("5", day+"09", "7777", "1234567"), left}, name: "Grace", practice: "F81010", death: DeathNone},
		"moved later":    {messages: [][]byte{admitted, left, moved("5", "20260910", "7777", "1234567")}, name: "Grace", practice: "F81010", death: DeathNone},
		"without MRG-1":  {messages: [][]byte{admitted, moved("5", day+"09", "7777", "1234567", "MRG-1", ""), left}, name: "Grace", practice: "F81010", death: DeathNone},
		"moved and back": {messages: [][]byte{admitted, moved("5", day+"09", "7777", "1234567"), moved("6", day+"10", "1234567", "7777", "PID-5", "TESTER^Ada", "PID-30", "N"), left}, name: "Ada", practice: "F81010", death: DeathNone},
		"the first person's news is not the second's": {messages: [][]byte{admitted, moved("5", day+"09", "7777", "1234567"), left,
			adt("A31", "6", "20260910", "PD1-3", "^^F81113")}, name: "Grace", practice: "F81010", death: DeathNone},
		"a late message under the first number": {messages: [][]byte{bare("A01", "1", "20260825092000", "1234567"), moved("5", day+"09", "7777", "1234567"), adt("A03", "9", day+"1800", "PID-30", "Y")},
			name: "Grace", practice: "F81010", death: DeathNone},
	} {
		t.Run(name, func(t *testing.T) {
			state := foldedInAnyOrder(t, c.messages...)
			if state.Person.GivenName != c.name || state.Spell.PracticeCode != c.practice || state.Spell.Death != c.death || !slices.Equal(kinds(state.Problems), c.problems) {
				t.Errorf("%s, practice %s, death %s, problems %v", state.Person.GivenName, state.Spell.PracticeCode, state.Spell.Death, kinds(state.Problems))
			}
			if c.problems == nil && state.Spell.Status != Discharged {
				t.Errorf("%s", state.Spell.Status)
			}
		})
	}
	state := foldedInAnyOrder(t, admitted, moved("5", day+"09", "7777", "1234567", "MSH-9", "ADT^A44", "PV1-19", ""), left)
	if state.Person.GivenName != "Grace" || state.Spell.Status != Discharged || len(state.Problems) > 0 {
		t.Errorf("moved by an A44: %+v", state)
	}
	if s := folded(t, moved("5", day+"09", "7777", "1234567")).Spell; s.Status != NotAdmitted {
		t.Errorf("a visit of which nothing else is known is %s", s.Status)
	}
}

func TestSeveralVisitsAreMovedByOneMessage(t *testing.T) {
	r := reading(t, []byte("MSH|^~\\&|MSEPAS|RAJ|HUB|THURROCK|"+day+"09||ADT^A45|M|P|2.4\rEVN|A45|"+day+"09\r"+
		"PID|||7777^^^RAJ^PI||TESTER^Grace\rMRG|1111^^^RAJ^PI||||V1\rPV1|||||||||||||||||||V1\rMRG|1111^^^RAJ^PI||||V2\rPV1|||||||||||||||||||V9\r"+
		"PID|||8888^^^RAJ^PI\rPD1\rMRG|1111^^^RAJ^PI||||V3\rPV1||I\r"))
	var got []string
	for _, f := range append([]Fact{r.Fact}, r.Also...) {
		got = append(got, fmt.Sprint(f.VisitNumber, f.PatientNumber, f.PriorNumber, f.Flags))
	}
	if want := []string{"V177771111[]", "V977771111[]", "V277771111[visit-number-changed]", "V388881111[]"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestAVisitThatGoesOnUnderAnotherNumberIsFollowedUp(t *testing.T) {
	admitted := adt("A01", "1", "20260825092000")
	for _, kind := range []string{"A35", "A42", "A44", "A45", "A50"} {
		r := reading(t, adt(kind, "2", day+"1000", "PV1-19", "SPELL0002", "MRG-1", "1234567^^^RAJ^PI", "MRG-5", "SPELL0001"))
		if !r.Usable {
			t.Fatalf("%s: %+v", kind, r)
		}
		old := r.Fact
		if len(r.Also) > 0 {
			old = r.Also[0]
		}
		state := Fold(append(facts(t, admitted), old))
		if old.VisitNumber != "SPELL0001" || state.Spell.Status != InHospital || !slices.Equal(kinds(state.Problems), []string{VisitNumberChanged}) {
			t.Errorf("%s: visit %s, %s, problems %v", kind, old.VisitNumber, state.Spell.Status, kinds(state.Problems))
		}
	}
	for _, kind := range []string{"A42", "A50"} {
		if r := reading(t, adt(kind, "2", day+"1000", "MRG-5", "SPELL0001")); r.Usable || r.NotHandled == "" {
			t.Errorf("%s of one number: %+v", kind, r)
		}
	}
}

// TestMergesInAnyOrder draws merges and revocations among few numbers, and compares who is one person with what a plain search finds.
// TestTheSurvivorOfARevokedMergeIsNotShown has three numbers of one person, of which the last merge was wrong, and joined nothing that was not
// joined already.
func TestTheSurvivorOfARevokedMergeIsNotShown(t *testing.T) {
	all := append(facts(t, adt("A01", "1", day+"09", "PID-3", "2222^^^RAJ^PI"), merge("A40", "2", day+"10", "3333", "2222"), merge("A40", "3", day+"11", "2222", "1111"),
		merge("A40", "4", day+"12", "3333", "1111")), revocation(t, day+"13", "1111", "3333"))
	if number := Fold(all).Person.PatientNumber; number != "2222" {
		t.Errorf("the person's number is %s", number)
	}
}

// TestAMessageThatMergesNumbersAndVisitsSaysBoth folds both facts of an A35, in whichever order they are read.
func TestAMessageThatMergesNumbersAndVisitsSaysBoth(t *testing.T) {
	all := facts(t, adt("A01", "1", day+"09"), merge("A35", "2", day+"10", "1111", "1234567", "PV1-19", "NEW1", "MRG-5", "SPELL0001"))
	for range 2 {
		state := Fold(all)
		if got := kinds(state.Problems); state.Person.PatientNumber != "1111" || !slices.Equal(got, []string{VisitNumberChanged}) {
			t.Errorf("number %s, problems %v", state.Person.PatientNumber, got)
		}
		slices.Reverse(all)
	}
}

func TestMergesInAnyOrder(t *testing.T) {
	number := rapid.SampledFrom([]string{"1111", "2222", "3333", "4444", "5555"})
	rapid.Check(t, func(t *rapid.T) {
		var list []Fact
		for i := range rapid.IntRange(0, 8).Draw(t, "merges") {
			f := Fact{Provider: "RAJ", Kind: KindMerge, Digest: fmt.Sprint(i), PatientNumber: number.Draw(t, "into"), PriorNumber: number.Draw(t, "from"), Recorded: newYear()}
			f.Recorded = f.Recorded.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "minute")) * time.Minute)
			if rapid.IntRange(0, 3).Draw(t, "revokes") == 0 {
				f.Kind = KindRevokeMerge
			}
			if f.PatientNumber != f.PriorNumber {
				list = append(list, f)
			}
		}
		m := mergedOf(inOrder(list))
		turned := mergedOf(inOrder(rapid.Permutation(list).Draw(t, "order")))
		for _, a := range []string{"1111", "2222", "3333", "4444", "5555"} {
			if m.surviving(a) != turned.surviving(a) || m.one(a) != turned.one(a) {
				t.Fatalf("%s is %s or %s by order", a, m.surviving(a), turned.surviving(a))
			}
			reached := reach(inOrder(list), a)
			if !slices.Contains(reached, m.surviving(a)) {
				t.Fatalf("%s survives as %s, which is another person", a, m.surviving(a))
			}
			for _, b := range []string{"1111", "2222", "3333", "4444", "5555"} {
				if (m.one(a) == m.one(b)) != slices.Contains(reached, b) {
					t.Fatalf("%s and %s: one person %v", a, b, m.one(a) == m.one(b))
				}
			}
		}
	})
}

// reach searches from a number along the merges that stand.
func reach(order []*Fact, from string) []string {
	reached := []string{from}
	for i := 0; i < len(reached); i++ {
		for k, f := range order {
			revoked := slices.ContainsFunc(order[k:], func(g *Fact) bool {
				return g.Kind == KindRevokeMerge && (g.PatientNumber == f.PatientNumber && g.PriorNumber == f.PriorNumber || g.PatientNumber == f.PriorNumber && g.PriorNumber == f.PatientNumber)
			})
			if f.Kind != KindMerge || revoked {
				continue
			}
			for _, pair := range [][2]string{{f.PatientNumber, f.PriorNumber}, {f.PriorNumber, f.PatientNumber}} {
				if pair[0] == reached[i] && !slices.Contains(reached, pair[1]) {
					reached = append(reached, pair[1])
				}
			}
		}
	}
	return reached
}
