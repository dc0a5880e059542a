package discharge

import "testing"

func TestAHeldSpellIsCompleteWhenItsFactsReachAsFarWhoeverTheyAreAbout(t *testing.T) {
	first := reading(t, adt("A01", "M1", day+"1000", "PID-3", "1^^^RAJ^PI", "PID-7", "19400101")).Fact
	other := reading(t, adt("A01", "M2", day+"1100", "PID-3", "2^^^RAJ^PI", "PID-7", "19510202")).Fact
	// The other person's message came first: the snapshot was made of it alone.
	held := Held{Recorded: Fold([]Fact{other}).Recorded}
	held.Spell = &Spell{SpellID: first.SpellID}
	if held.Since = []Fact{first}; held.Complete() {
		t.Error("complete without the fact that the snapshot rests on")
	}
	if held.Since = []Fact{first, other}; !held.Complete() {
		t.Error("not complete with all facts")
	}
	if len(Fold(held.Since).LeftOut) != 1 {
		t.Error("the two are to be two people")
	}
}
