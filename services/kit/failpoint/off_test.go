//go:build !failpoints

package failpoint

import (
	"context"
	"os"
	"os/exec"
	"testing"
)

// TestMain makes this test binary also a program as it is shipped, in whose environment everything is armed.
func TestMain(m *testing.M) {
	if os.Getenv("HOMEWARD_BUG") == "a" {
		err := Do(context.Background(), "p", func() error { return nil })
		if err != nil || Bug("a") {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestAProgramAsItIsShippedHasNoFaultsAndNoBugs(t *testing.T) {
	faults := t.TempDir() + "/faults"
	if err := os.WriteFile(faults, []byte("p error 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HOMEWARD_BUG=a", "HOMEWARD_FAILPOINTS="+faults)
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
}
