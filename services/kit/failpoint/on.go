//go:build failpoints

package failpoint

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// delay is long enough for all that would go on meanwhile to have gone on.
const delay = 2 * time.Second

// Do does f, an operation at a boundary, under the fault that is armed for its point, if any. What happens after the operation happens
// only after one that succeeded: another one has had no effect, and the fault waits for the next.
func Do(ctx context.Context, point string, f func() error) error {
	fault, mode := armed.pass(point)
	switch mode {
	case "crash-after", "lost-reply":
		if err := f(); err != nil || !armed.fire(fault) {
			return err
		}
		if mode == "crash-after" {
			crash()
		}
		return fmt.Errorf("failpoint %s: the reply is lost", point)
	case "":
		return f()
	}
	if !armed.fire(fault) { // it has just fired in another goroutine
		return f()
	}
	switch mode {
	case "crash-before":
		crash()
	case "error":
		return fmt.Errorf("failpoint %s: refused", point)
	case "delay":
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
	return f()
}

// Bug is true of a bug that is planted.
func Bug(name string) bool { return slices.Contains(bugs, name) }

var (
	bugs  = strings.Split(os.Getenv("HOMEWARD_BUG"), ",")
	armed = &faults{file: os.Getenv("HOMEWARD_FAILPOINTS")}
)

// crash ends the process as a loss of power does: nothing is closed, flushed or told.
func crash() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// faults are what a file arms.
type faults struct {
	file string

	mu     sync.Mutex
	text   []byte         // of the file as it was last
	passes map[string]int // by line
}

// pass counts a pass of a point and returns the fault whose turn it is, with its mode; "" for none. A file that cannot be read or
// understood ends the process: a matrix of faults that never fire proves nothing.
func (f *faults) pass(point string) (fault, mode string) {
	if f.file == "" {
		return "", ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	text, err := os.ReadFile(f.file)
	if os.IsNotExist(err) {
		return "", ""
	}
	must(err)
	if f.passes == nil || !bytes.Equal(text, f.text) {
		f.text, f.passes = text, map[string]int{}
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != point {
			continue
		}
		if len(words) < 3 || !slices.Contains(modes, words[1]) {
			must(fmt.Errorf("not a fault: %q", line))
		}
		nth, err := strconv.Atoi(words[2])
		must(err)
		f.passes[line]++
		if f.passes[line] >= nth && !f.spent(line) {
			return line, words[1]
		}
	}
	return "", ""
}

// fire writes down that a fault fires. It reports false if it has fired already.
func (f *faults) fire(fault string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.spent(fault) {
		return false
	}
	fired, err := os.OpenFile(f.file+".fired", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	must(err)
	_, err = fired.WriteString(fault + "\n")
	must(err)
	must(fired.Close())
	return true
}

var modes = []string{"crash-before", "crash-after", "error", "lost-reply", "delay"}

func (f *faults) spent(line string) bool {
	text, err := os.ReadFile(f.file + ".fired")
	if os.IsNotExist(err) {
		return false
	}
	must(err)
	return slices.Contains(strings.Split(string(text), "\n"), line)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "failpoint:", err)
		os.Exit(3)
	}
}
