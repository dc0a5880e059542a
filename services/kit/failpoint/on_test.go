//go:build failpoints

package failpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain makes this test binary also the process that dies: it passes a point as often as it is told and says what it did.
func TestMain(m *testing.M) {
	if point := os.Getenv("PASS"); point != "" {
		for i := range 3 {
			err := Do(context.Background(), point, func() error { fmt.Println("done", i); return nil })
			fmt.Println("told", err)
		}
		return
	}
	os.Exit(m.Run())
}

func arm(t *testing.T, line string) *faults {
	t.Helper()
	f := &faults{file: filepath.Join(t.TempDir(), "faults")}
	f.write(t, line)
	before := armed
	armed = f
	t.Cleanup(func() { armed = before })
	return f
}

func (f *faults) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(f.file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestACrashEndsTheProcessBeforeOrAfterTheOperationAndOnlyOnce(t *testing.T) {
	for mode, want := range map[string]string{
		"crash-before": "done 0\ntold <nil>\n",
		"crash-after":  "done 0\ntold <nil>\ndone 1\n",
	} {
		file := filepath.Join(t.TempDir(), "faults")
		if err := os.WriteFile(file, []byte("p "+mode+" 2\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		process := func() ([]byte, error) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "PASS=p", "HOMEWARD_FAILPOINTS="+file)
			return cmd.Output()
		}
		out, err := process()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%s: it ended with %v", mode, err)
		}
		if string(out) != want {
			t.Errorf("%s: it said %q, not %q", mode, out, want)
		}
		if out, err := process(); err != nil || strings.Count(string(out), "done") != 3 {
			t.Errorf("%s: the process after it said %q, %v", mode, out, err)
		}
	}
}

func TestAnErrorKeepsTheOperationFromBeingDoneAndALostReplyDoesNot(t *testing.T) {
	for mode, want := range map[string]int{"error": 0, "lost-reply": 1} {
		arm(t, "p "+mode+" 1")
		done := 0
		if err := Do(t.Context(), "p", func() error { done++; return nil }); err == nil || done != want {
			t.Errorf("%s: done %d times, %v", mode, done, err)
		}
		if err := Do(t.Context(), "p", func() error { done++; return nil }); err != nil || done != want+1 {
			t.Errorf("%s, a second time: done %d times, %v", mode, done, err)
		}
	}
}

func TestWhatComesAfterAnOperationWaitsForOneThatSucceeds(t *testing.T) {
	f := arm(t, "p lost-reply 1")
	refused := errors.New("refused")
	if err := Do(t.Context(), "p", func() error { return refused }); !errors.Is(err, refused) {
		t.Errorf("an operation that failed is told as %v", err)
	}
	if _, err := os.Stat(f.file + ".fired"); err == nil {
		t.Error("it fired at an operation that failed")
	}
	if err := Do(t.Context(), "p", func() error { return nil }); err == nil {
		t.Error("it did not fire at the one that succeeded")
	}
}

func TestADelayedOperationIsDoneLater(t *testing.T) {
	arm(t, "p delay 1")
	began := time.Now()
	if err := Do(t.Context(), "p", func() error { return nil }); err != nil || time.Since(began) < delay {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestAFaultIsOfItsPointAndPassAloneAndIsWrittenDown(t *testing.T) {
	f := arm(t, "p error 2\nq error 1\n")
	var failed []string
	for _, point := range []string{"p", "r", "p", "p", "q", "q"} {
		if err := Do(t.Context(), point, func() error { return nil }); err != nil {
			failed = append(failed, err.Error())
		}
	}
	if len(failed) != 2 {
		t.Errorf("these failed: %q", failed)
	}
	fired, err := os.ReadFile(f.file + ".fired")
	if err != nil || string(fired) != "p error 2\nq error 1\n" {
		t.Errorf("written down: %q, %v", fired, err)
	}
}

func TestAFaultIsArmedInARunningProcessAgainUnderAnotherNote(t *testing.T) {
	f := arm(t, "")
	pass := func() error { return Do(t.Context(), "p", func() error { return nil }) }
	if err := pass(); err != nil {
		t.Fatal(err)
	}
	for _, note := range []string{"first", "second"} {
		f.write(t, "p error 1 "+note)
		if err := pass(); err == nil {
			t.Errorf("the %s did not fire", note)
		}
		if err := pass(); err != nil {
			t.Errorf("the %s fired twice", note)
		}
	}
}

func TestABugIsPlantedByItsName(t *testing.T) {
	bugs = []string{"a", "b"}
	if !Bug("b") || Bug("c") || Bug("") {
		t.Error("not as planted")
	}
}
