package discharge

import (
	"slices"
	"testing"
)

// TestATimeOfDeathThatCannotBeIsADoubt says that nobody is taken for dead by a system's null date or by a mistyped year, and that nobody is
// taken for alive by it either.
func TestATimeOfDeathThatCannotBeIsADoubt(t *testing.T) {
	admitted := adt("A01", "1", "20260825092000")
	expected := adt("A05", "1", "20260825092000", "PV1-44", "202609200900")
	for name, c := range map[string]struct {
		first  []byte
		diedAt string
		want   Death
	}{
		"on the day of the discharge":     {admitted, day + "1000", DeathDied},
		"brought in dead":                 {admitted, "202608250700", DeathDied},
		"a null date":                     {admitted, "19000101", DeathContradictory},
		"a null date, admission untold":   {adt("A01", "1", "20260825092000", "PV1-44", ""), "18991230", DeathContradictory},
		"the year before":                 {admitted, "20250902", DeathContradictory},
		"the year after":                  {admitted, "20270902", DeathContradictory},
		"the year alone":                  {admitted, "2026", DeathDied},
		"before an admission that is due": {expected, day + "1000", DeathDied},
	} {
		state := foldedInAnyOrder(t, c.first, adt("A08", "30", day+"1430", "PV1-44", "", "PID-29", c.diedAt))
		if state.Spell.Death != c.want || slices.Contains(kinds(state.Problems), ContradictoryDeath) != (c.want == DeathContradictory) {
			t.Errorf("%s: %s, problems %v; want %s", name, state.Spell.Death, kinds(state.Problems), c.want)
		}
	}
}
