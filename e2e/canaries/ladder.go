package canaries

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/homeward-care/homeward/services/kit/devinfra"
)

// Ladder is the rungs, built so that bugs can be planted.
type Ladder struct {
	checkout, dir string
	seeds         int
	built         map[string]string // programs by the package that they are of
	writes        map[string]bool   // packages whose tests write examples that failed
}

// Catch is what a rung said of a canary.
type Catch struct {
	Rung string
	// By is the test, the seed or the cell that failed first; empty when none did.
	By, Said string
	After    time.Duration
}

const (
	simulation = "e2e/cmd/sim"
	matrix     = "e2e/matrix"
)

// Build builds the rungs that the canaries name, once for all. The simulation runs so many seeds at most.
func Build(ctx context.Context, list []Canary, seeds int) (*Ladder, error) {
	checkout, err := devinfra.Checkout()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "hw-canaries-")
	if err != nil {
		return nil, err
	}
	l := &Ladder{checkout: checkout, dir: dir, seeds: seeds, built: map[string]string{}, writes: map[string]bool{}}
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL may run as another user
		return nil, errors.Join(err, l.Close())
	}
	for _, c := range list {
		for _, r := range l.rungs(c) {
			if err := l.build(ctx, r.pkg); err != nil {
				return nil, errors.Join(err, l.Close())
			}
		}
	}
	return l, nil
}

// Close removes what was built.
func (l *Ladder) Close() error { return os.RemoveAll(l.dir) }

func (l *Ladder) build(ctx context.Context, pkg string) error {
	if l.built[pkg] != "" {
		return nil
	}
	program := filepath.Join(l.dir, strings.ReplaceAll(pkg, "/", "-"))
	args := []string{"test", "-c"}
	if pkg == simulation {
		args = []string{"build"}
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "-tags", "failpoints", "-o", program, "./"+pkg)...)
	cmd.Dir = l.checkout
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	l.built[pkg] = program
	if pkg != simulation {
		// A property test would write the example that failed into the source, from where the next run takes it up again.
		usage, _ := exec.CommandContext(ctx, program, "-h").CombinedOutput()
		l.writes[pkg] = strings.Contains(string(usage), "rapid.nofailfile")
	}
	return nil
}

// rung is a program that fails when something is wrong.
type rung struct {
	name, pkg string
	args, env []string
	failed    *regexp.Regexp // a line that says what failed: by what, and what it said if that stands there too
	said      *regexp.Regexp // otherwise the line after it that does
}

var (
	failedTest = regexp.MustCompile(`^\s*--- FAIL: (\S+)`)
	testSaid   = regexp.MustCompile(`^\s+\w+_test\.go:\d+: (.*)`)
	failedSeed = regexp.MustCompile(`^(?:sim: )?(seed \d+): (.*)`)
	failedCell = regexp.MustCompile(`^\s+matrix_test\.go:\d+: ([a-z-]+: \S+ [a-z-]+): FAILED`)
	cellSaid   = regexp.MustCompile(`((?:\d+ of \d+ acknowledged|.* must be |.* is missing).*)`)
)

// rungs are those that have to catch a canary, the cheapest first.
func (l *Ladder) rungs(c Canary) (list []rung) {
	if c.Tests != "" {
		list = append(list, rung{"tests of " + c.Tests, c.Tests, []string{"-test.failfast", "-test.timeout=10m"}, nil, failedTest, testSaid})
	}
	if c.Simulated {
		list = append(list, rung{"simulation", simulation, []string{"-until-wrong", "-seeds=" + strconv.Itoa(l.seeds)}, nil, failedSeed, nil})
	}
	if c.Cell != "" {
		list = append(list, rung{"crash matrix", matrix, []string{"-test.v", "-test.run=TestWhatWasAcknowledged", "-test.timeout=10m"},
			[]string{"MATRIX=all", "ONLY=" + c.Cell}, failedCell, cellSaid})
	}
	return list
}

// Sound is an error when a rung that the canaries need fails although no bug is planted. It calls each with the name of what passes.
func (l *Ladder) Sound(ctx context.Context, list []Canary, each func(rung string)) error {
	done := map[string]bool{}
	for _, c := range list {
		for _, r := range l.rungs(c) {
			if key := r.name + strings.Join(r.env, " "); !done[key] {
				done[key] = true
				got, err := l.run(ctx, r, "")
				if err == nil && got.By != "" {
					err = fmt.Errorf("without any bug %s fails: %s: %s", r.name, got.By, got.Said)
				}
				if err != nil {
					return err
				}
				each(r.name)
			}
		}
	}
	return nil
}

// Climb plants a canary and runs its rungs.
func (l *Ladder) Climb(ctx context.Context, c Canary) (catches []Catch, err error) {
	for _, r := range l.rungs(c) {
		got, err := l.run(ctx, r, c.Name)
		if err != nil {
			return catches, err
		}
		catches = append(catches, got)
	}
	return catches, nil
}

// run runs a rung with a bug planted, or none, until something fails, and no longer. A program that ends badly without saying what failed has
// caught nothing: it is broken.
func (l *Ladder) run(ctx context.Context, r rung, bug string) (Catch, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tmp, err := os.MkdirTemp(l.dir, "")
	if err != nil {
		return Catch{}, err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return Catch{}, err
	}
	cmd := exec.CommandContext(ctx, l.built[r.pkg], r.args...)
	if l.writes[r.pkg] {
		cmd.Args = append(cmd.Args, "-rapid.nofailfile")
	}
	cmd.Dir = filepath.Join(l.checkout, r.pkg)
	cmd.Env = append(append(os.Environ(), r.env...), "HOMEWARD_BUG="+bug, "TMPDIR="+tmp)
	cmd.WaitDelay = 10 * time.Second // for what it started: that ends by itself when it is gone
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return Catch{}, err
	}
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		_ = in.Close()
	}()
	got := Catch{Rung: r.name}
	var last []string
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		last = append(last[max(0, len(last)-30):], lines.Text())
		if got.read(r, lines.Text()) {
			got.After = time.Since(began)
			cancel() // what it started ends with it
		}
	}
	if lines.Err() != nil { // a line that is longer than any that matters
		_, _ = io.Copy(io.Discard, out)
	}
	if err := <-ended; err != nil && got.By == "" {
		return got, fmt.Errorf("%s with the bug %q: %w\n%s", r.name, bug, err, strings.Join(last, "\n"))
	}
	if got.After == 0 {
		got.After = time.Since(began)
	}
	return got, nil
}

// read reads a line that a rung prints. It reports true when all is known that it has to say.
func (c *Catch) read(r rung, line string) bool {
	if c.Said != "" {
		return false
	}
	if m := r.failed.FindStringSubmatch(line); m != nil {
		c.By = m[1] // a subtest comes after its test
		if len(m) > 2 {
			c.Said = m[2]
		}
	} else if r.said != nil && c.By != "" {
		if m := r.said.FindStringSubmatch(line); m != nil {
			c.Said = strings.TrimSpace(m[1])
		}
	}
	return c.Said != ""
}
