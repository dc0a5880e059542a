package outcome

import (
	"testing"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
)

// A word that the contract has and that is not in the tables would be decided as if nothing were known.
func TestEveryWordOfTheContractIsKnown(t *testing.T) {
	for n, name := range dischargev1.SpellStatus_name {
		if _, ok := statuses[dischargev1.SpellStatus(n)]; n != 0 && !ok {
			t.Errorf("%s is not in the table", name)
		}
	}
	for n, name := range dischargev1.Scope_name {
		if _, ok := scopes[dischargev1.Scope(n)]; n != 0 && !ok {
			t.Errorf("%s is not in the table", name)
		}
	}
	for n, name := range dischargev1.Adult_name {
		if _, ok := adults[dischargev1.Adult(n)]; n != 0 && !ok {
			t.Errorf("%s is not in the table", name)
		}
	}
	for n, name := range dischargev1.Death_name {
		if _, ok := deaths[dischargev1.Death(n)]; n != 0 && !ok {
			t.Errorf("%s is not in the table", name)
		}
	}
	for n, name := range dischargev1.Involvement_name {
		if _, ok := involvements[dischargev1.Involvement(n)]; n != 0 && !ok {
			t.Errorf("%s is not in the table", name)
		}
	}
}
