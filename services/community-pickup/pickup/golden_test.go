package pickup_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
)

// TestOutcomesOfEveryCombination prints what every combination of feed, involvement, residence and the person's fate comes to, and
// compares it with the file that people review. UPDATE_GOLDEN=1 writes the file anew.
func TestOutcomesOfEveryCombination(t *testing.T) {
	type fact struct {
		name   string
		change func(*pickup.Spell)
	}
	nothing := func(*pickup.Spell) {}
	scopes := []fact{{"social-care", nothing}, {"whole-hospital", wholeHospital}}
	involvements := []fact{{"none told", nothing}, {"council package", councilPackage}}
	residences := []fact{
		{"ours", nothing},
		{"ours by practice", home("")},
		{"practice closed", practice("F81084")},
		{"practice elsewhere", practice("G85001")},
		{"home elsewhere", home("SE1 7")},
		{"both elsewhere", func(s *pickup.Spell) { s.HomeSector, s.Practice = "SE1 7", "G85001" }},
		{"no fixed abode", func(s *pickup.Spell) { s.NoAbode = true }},
		{"neither told", func(s *pickup.Spell) { s.HomeSector, s.Practice = "", "" }},
	}
	fates := []fact{
		{"went home", nothing},
		{"discharged themselves", method("6")},
		{"age unknown", adult(pickup.AdultUnknown)},
		{"under 18", adult(pickup.AdultNo)},
		{"to another hospital", destination("51")},
		{"died", death(pickup.DeathDied)},
		{"death contradictory", death(pickup.DeathContradictory)},
		{"back in hospital", backInHospital},
		{"admission cancelled", func(s *pickup.Spell) { s.Status, s.Discharge = pickup.SpellVoided, nil }},
	}

	p := thurrock(t)
	var b strings.Builder
	row := func(cells ...any) {
		fmt.Fprintf(&b, "%-15s| %-16s| %-19s| %-22s| %-20s| %-33s| %-10s| %-9s| %-8s| %s\n", cells...)
	}
	row("feed", "involvement", "residence", "fate", "outcome", "reason", "team", "priority", "contact", "due")
	for _, scope := range scopes {
		for _, involved := range involvements {
			for _, residence := range residences {
				for _, fate := range fates {
					s := discharged(t, scope.change, involved.change, residence.change, fate.change)
					task := decide(t, p, s)
					noDeadEnd(t, p, task)
					row(scope.name, involved.name, residence.name, fate.name, task.Outcome, task.Reason, task.Team, task.Priority, task.Contact, task.DueOn)
				}
			}
		}
	}
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	got := strings.Join(lines, "\n")

	const file = "testdata/outcomes.golden"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("outcomes changed (-want +got): review, then run with UPDATE_GOLDEN=1\n%s", diff)
	}
}

// noDeadEnd checks that an outcome can be explained, and that what is due has a team and a date.
func noDeadEnd(t interface {
	Helper()
	Errorf(string, ...any)
}, p pickup.Place, task pickup.Task) {
	t.Helper()
	if task.Outcome == "" || task.Reason == "" || task.ReasonText == "" || strings.Contains(task.ReasonText, "{") {
		t.Errorf("outcome %q, reason %q: %q", task.Outcome, task.Reason, task.ReasonText)
	}
	_, known := p.Teams[task.Team]
	_, next := pickup.NextDeadline(p, task)
	switch task.Outcome {
	case pickup.PickUpDue:
		if !known || task.Route.Text == "" || task.DueOn == "" || task.DueAt.IsZero() || task.DueReason == "" || task.FirstContactBy.IsZero() ||
			task.Priority == "" || task.Progress == "" {
			t.Errorf("due, but incomplete: %+v", task)
		}
	case pickup.InAnotherHospital:
		if !known || !next && task.Ending == "" {
			t.Errorf("in another hospital, but nobody reviews: %+v", task)
		}
	default:
		if task.Team != "" || task.DueOn != "" || task.Priority != "" {
			t.Errorf("nothing due, but team %q, due %q, priority %q", task.Team, task.DueOn, task.Priority)
		}
	}
}
