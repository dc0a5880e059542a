package sim

import (
	"context"
	"strings"
	"testing"

	"github.com/homeward-care/homeward/services/kit/devinfra"
)

// TestSeedsEndAsTheOracleSays runs a slice of what `make sim` runs, the first seed twice: a seed that is not the same twice could not be
// looked into.
func TestSeedsEndAsTheOracleSays(t *testing.T) {
	server, err := devinfra.StartPostgres(t.Context(), devinfra.PostgresOptions{MaxConnections: 150, Settings: Settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := server.CreateDatabases(t.Context(), "sim"); err != nil {
		t.Fatal(err)
	}
	s, err := Open(context.WithoutCancel(t.Context()), server.URL("sim"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	total := Total{Faults: map[Fault]int{}}
	first := ""
	for _, seed := range []uint64{1, 1, 2, 3, 4, 5, 6, 7, 8} {
		r, err := s.Run(t.Context(), seed)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Violations) > 0 {
			t.Fatalf("seed %d: %s\n\n%s", seed, strings.Join(r.Violations, "\n"), strings.Join(r.Story, "\n"))
		}
		switch {
		case total.Seeds == 0:
			first = r.TraceHash
		case total.Seeds == 1 && r.TraceHash != first:
			t.Errorf("seed %d has the trace %s, and the second time %s", seed, first, r.TraceHash)
		}
		total.Add(r)
	}
	if n := total.Faults[crashBeforeCommit] + total.Faults[crashAfterCommit]; n == 0 {
		t.Error("no process crashed: nothing was broken")
	}
	t.Logf("%s", total)
}
