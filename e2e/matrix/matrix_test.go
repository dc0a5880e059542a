// Package matrix crashes the real services at every named point, in every way in which a point can fail, and looks whether what was
// acknowledged came out right. `make test` runs a slice, `make matrix` all of it and a sample of pairs.
package matrix

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// cell is one run of a story in which something fails: one fault, or a pair.
type cell struct {
	faults []fault
	with   []fault // what it takes for those to be passed
}

func (c cell) String() string {
	var words []string
	for _, f := range c.faults {
		words = append(words, f.String())
	}
	return strings.Join(words, " + ")
}

func (f fault) String() string { return f.service + ": " + path.Base(f.point) + " " + f.mode }

func single(p point, service, mode string) cell {
	c := cell{faults: []fault{{service, p.name, mode}}}
	if p.with != nil {
		c.with = p.with(service)
	}
	return c
}

// slice is one cell of each point; over the points every mode and every service has its turn.
func slice() (cells []cell) {
	for i, p := range slices.Concat(points, restorePoints) {
		cells = append(cells, single(p, p.services[i%len(p.services)], modes[i%len(modes)]))
	}
	return cells
}

// all are the single faults of every point in every process that has it.
func all() (cells []cell) {
	for _, p := range slices.Concat(points, restorePoints) {
		for _, service := range p.services {
			for _, mode := range modes {
				cells = append(cells, single(p, service, mode))
			}
		}
	}
	return cells
}

// pairs are two faults in one story.
func pairs(r *rand.Rand, n int) (cells []cell) {
	singles := slices.DeleteFunc(all(), func(c cell) bool { return c.apart() })
	for len(cells) < n {
		a, b := singles[r.IntN(len(singles))], singles[r.IntN(len(singles))]
		// What is to be buried comes by the bus alone: it must not be lost there all the time.
		never := buries(a.faults[0]) && slices.ContainsFunc(b.with, loses) || buries(b.faults[0]) && slices.ContainsFunc(a.with, loses)
		if a.faults[0].point != b.faults[0].point && !never {
			cells = append(cells, cell{append(slices.Clone(a.faults), b.faults...), append(slices.Clone(a.with), b.with...)})
		}
	}
	return cells
}

// apart reports whether a cell has a story of its own, because no handover's passes its point.
func (c cell) apart() bool {
	return slices.ContainsFunc(restorePoints, func(p point) bool { return p.name == c.faults[0].point }) || c.faults[0].point == "migrate"
}

// The environment says how much to run: MATRIX=all for every cell, PAIRS for how many pairs, SEED of the stories and of the sample, STACKS
// for how many stacks share the work.
func TestWhatWasAcknowledgedSurvivesEveryFault(t *testing.T) {
	seed, npairs, stacks := number(t, "SEED", 1), number(t, "PAIRS", 0), number(t, "STACKS", 3)
	cells := slice()
	if os.Getenv("MATRIX") == "all" {
		cells = all()
	}
	cells = append(cells, pairs(rand.New(rand.NewPCG(uint64(seed), 0)), npairs)...)
	if only := os.Getenv("ONLY"); only != "" {
		cells = slices.DeleteFunc(cells, func(c cell) bool { return !strings.Contains(c.String(), only) })
	}
	dir, err := os.MkdirTemp("", "homeward-matrix-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL may run as another user
		t.Fatal(err)
	}
	programs, err := build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	results := make([]error, len(cells))
	next := make(chan int)
	var work sync.WaitGroup
	for range min(stacks, len(cells)) {
		work.Go(func() {
			var w *world
			for n := range next {
				if w == nil {
					if w, results[n] = startWorld(t.Context(), dir, programs); w == nil {
						t.Error(results[n])
						continue
					}
				}
				at := time.Now()
				results[n] = w.run(t.Context(), cells[n], seed*100_000+n)
				t.Logf("%s: %s, %v", cells[n], verdict(results[n]), time.Since(at).Round(100*time.Millisecond))
				if results[n] != nil { // what is wrong there would fail the cells after it too
					t.Errorf("%s: %v%s", cells[n], results[n], w.lastWords())
					if err := w.close(); err != nil {
						t.Error(err)
					}
					w = nil
				}
			}
			if w != nil {
				if err := w.close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := range cells {
		next <- n
	}
	close(next)
	work.Wait()
	t.Log(table(cells, results))
	t.Logf("%d points, %d cells, %v, SEED=%d", len(points)+len(restorePoints), len(cells), time.Since(began).Round(time.Second), seed)
}

func number(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

func verdict(err error) string {
	if err != nil {
		return "FAILED"
	}
	return "ok"
}

// run tells a story while something fails, and checks what has become of it.
func (w *world) run(ctx context.Context, c cell, n int) error {
	switch {
	case c.faults[0].point == "migrate":
		return w.migrateUnder(ctx, c.faults[0])
	case c.apart():
		return w.restoreUnder(ctx, c.faults[0], n)
	}
	fired, err := w.arm(append(slices.Clone(c.faults), c.with...), len(c.faults))
	if err != nil {
		return err
	}
	s, err := tell(ctx, w, n, rand.New(rand.NewPCG(uint64(n), 1)), slices.ContainsFunc(c.faults, buries))
	if err != nil {
		return errors.Join(err, s.check(ctx)) // which tells what is missing
	}
	if err = again(ctx, "it fires", fired); err == nil {
		err = again(ctx, "what was acknowledged comes out right", func() error { return s.check(ctx) })
	}
	return errors.Join(err, w.disarm())
}

func buries(f fault) bool { return f.point == "inbox.bury" }

func loses(f fault) bool { return f.point == "bus.fetch" }

// table shows the single cells by point and service, and counts the pairs.
func table(cells []cell, results []error) string {
	var b strings.Builder
	row := func(name string, columns []string) { fmt.Fprintf(&b, "%-60s %s\n", name, strings.Join(columns, "  ")) }
	fmt.Fprintln(&b)
	row("point", modes)
	for _, p := range slices.Concat(points, restorePoints) {
		for _, service := range p.services {
			columns, any := make([]string, len(modes)), false
			for i, mode := range modes {
				columns[i] = fmt.Sprintf("%-*s", len(mode), "-")
				for n, c := range cells {
					if len(c.faults) == 1 && c.faults[0] == (fault{service, p.name, mode}) {
						columns[i], any = fmt.Sprintf("%-*s", len(mode), verdict(results[n])), true
					}
				}
			}
			if any {
				row(path.Base(p.name)+" in "+service, columns)
			}
		}
	}
	ok, failed := 0, 0
	for n, c := range cells {
		switch {
		case len(c.faults) == 1:
		case results[n] == nil:
			ok++
		default:
			failed++
		}
	}
	fmt.Fprintf(&b, "pairs: %d ok, %d failed", ok, failed)
	return b.String()
}

// lastWords are the ends of the services' logs.
func (w *world) lastWords() string {
	var b strings.Builder
	for _, service := range stack.Services {
		text, err := os.ReadFile(w.Part(service.Name).LogFile)
		if err != nil {
			return err.Error()
		}
		fmt.Fprintf(&b, "\n%s:\n%s", service.Name, text[max(0, len(text)-1500):])
	}
	return b.String()
}
