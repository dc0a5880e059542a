package canaries

import (
	"strings"
	"testing"
)

// TestTheSimulationCatchesACanary is a slice of `make canaries`. That the simulation passes without a bug, its own tests show.
func TestTheSimulationCatchesACanary(t *testing.T) {
	planted := Canary{Name: "older-version-passes", Simulated: true}
	l, err := Build(t.Context(), []Canary{planted}, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	caught, err := l.Climb(t.Context(), planted)
	if err != nil {
		t.Fatal(err)
	}
	if len(caught) != 1 || caught[0].By == "" || !strings.Contains(caught[0].Said, "it held one that is as new") {
		t.Errorf("%s: %+v", planted.Name, caught)
	}
	t.Log(caught)
}

func TestEachCanaryIsSomeRungsToCatch(t *testing.T) {
	for _, c := range All {
		if c.Name == "" || c.Breaks == "" || c.Promise == "" || len((&Ladder{}).rungs(c)) == 0 {
			t.Errorf("say what it breaks, and which rung has to catch it: %+v", c)
		}
	}
}

func TestWhatARungPrintsTellsWhatFailed(t *testing.T) {
	rungs := (&Ladder{}).rungs(Canary{Tests: "x", Simulated: true, Cell: "x"})
	for n, c := range []struct{ printed, by, said string }{
		{"ok\n--- FAIL: TestA (1.00s)\n    --- FAIL: TestA/sub (0.10s)\n        a_test.go:7: not so\n--- FAIL: TestB (0.00s)", "TestA/sub", "not so"},
		{"12 seeds\nsim: seed 4: an event is lost\n  and another\nseed 5: more", "seed 4", "an event is lost"},
		{"    matrix_test.go:120: hub: door.store crash-before: FAILED, 2s\n    matrix_test.go:122: hub: door.store: 2 of 3 acknowledged messages are stored",
			"hub: door.store crash-before", "2 of 3 acknowledged messages are stored"},
	} {
		var sound, got Catch
		for line := range strings.Lines("PASS\nok  	package	1.2s\n3 seeds, 4 spells") {
			sound.read(rungs[n], line)
		}
		for line := range strings.Lines(c.printed) {
			got.read(rungs[n], strings.TrimRight(line, "\n"))
		}
		if sound != (Catch{}) || got.By != c.by || got.Said != c.said {
			t.Errorf("%s: %+v, and %+v when nothing fails", rungs[n].name, got, sound)
		}
	}
}
