// Command sim runs seeds of the simulation: `sim -seeds 1000` many, `sim -seed 17` one, with its story.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/homeward-care/homeward/e2e/sim"
	"github.com/homeward-care/homeward/services/kit/devinfra"
	"github.com/homeward-care/homeward/services/kit/run"
)

func main() {
	seeds := flag.Int("seeds", 200, "how many seeds to run")
	first := flag.Uint64("first", 1, "the first seed")
	one := flag.Uint64("seed", 0, "run this seed alone, twice, and print its story")
	untilWrong := flag.Bool("until-wrong", false, "begin no more seeds once one has ended wrong, and do not mind faults that never happened")
	workers := flag.Int("workers", 2, "seeds at a time, a database each")
	flag.Parse()
	debug.SetGCPercent(1000) // there is little to keep, and much that comes and goes
	ctx, stop := run.SignalContext(context.Background())
	defer stop()
	if err := simulate(ctx, *seeds, *first, *one, *workers, *untilWrong); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

func simulate(ctx context.Context, seeds int, first, one uint64, workers int, untilWrong bool) error {
	if one != 0 {
		workers = 1
	}
	server, err := devinfra.StartPostgres(ctx, devinfra.PostgresOptions{MaxConnections: 150 * workers, Settings: sim.Settings})
	if err != nil {
		return err
	}
	total := sim.NewTotal()
	var own time.Duration // of a processor, before the first seed
	defer func() {
		_ = server.Stop()
		tellCost(total.Seeds, own)
	}()
	var simulators []*sim.Simulator
	for n := range workers {
		name := fmt.Sprintf("sim_%d", n+1)
		if err := server.CreateDatabases(ctx, name); err != nil {
			return err
		}
		s, err := sim.Open(ctx, server.URL(name))
		if err != nil {
			return err
		}
		defer func() { _ = s.Close() }()
		simulators = append(simulators, s)
	}
	if one != 0 {
		return tellOne(ctx, simulators[0], one)
	}
	own = processorTime(syscall.RUSAGE_SELF)
	return runMany(ctx, simulators, &total, seeds, first, untilWrong)
}

// tellCost tells what seeds need of the processors, whatever else these do meanwhile. It is for when PostgreSQL has ended: until then nobody knows
// what it needed. Its start is in it.
func tellCost(seeds int, before time.Duration) {
	if seeds > 0 {
		own, postgres := processorTime(syscall.RUSAGE_SELF)-before, processorTime(syscall.RUSAGE_CHILDREN)
		fmt.Printf("%.3f seconds of a processor for each seed, PostgreSQL's %.3f beside\n", own.Seconds()/float64(seeds), postgres.Seconds()/float64(seeds))
	}
}

func processorTime(who int) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(who, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// tellOne runs a seed twice: the second time proves that it is the same.
func tellOne(ctx context.Context, s *sim.Simulator, seed uint64) error {
	var trace, second strings.Builder
	s.Trace = &trace
	r, err := s.Run(ctx, seed)
	if err != nil {
		return err
	}
	s.Trace = &second
	fmt.Println(strings.Join(r.Story, "\n"))
	again, err := s.Run(ctx, seed)
	if err != nil {
		return err
	}
	fmt.Printf("\nseed %d: %d spells, %d messages, %d statements, trace %s, and the second time %s\n",
		seed, r.Spells, r.Messages, r.Statements, r.TraceHash, again.TraceHash)
	for _, v := range r.Violations {
		fmt.Println("VIOLATION", v)
	}
	if again.TraceHash != r.TraceHash {
		a, b := strings.Split(trace.String(), "\n"), strings.Split(second.String(), "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				fmt.Printf("they part at decision %d:\n- %s\n+ %s\nafter\n%s\n", i, strings.Join(a[i:min(i+5, len(a))], "\n- "), strings.Join(b[i:min(i+5, len(b))], "\n+ "), strings.Join(a[max(0, i-12):i], "\n"))
				break
			}
		}
		return errors.New("the seed is not the same twice")
	}
	if len(r.Violations) > 0 {
		return fmt.Errorf("%d violations", len(r.Violations))
	}
	return nil
}

func runMany(ctx context.Context, simulators []*sim.Simulator, total *sim.Total, seeds int, first uint64, untilWrong bool) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	began := time.Now()
	next := make(chan uint64)
	go func() {
		defer close(next)
		for n := range seeds {
			select {
			case next <- first + uint64(n):
			case <-ctx.Done():
				return
			}
		}
	}()
	var mu sync.Mutex
	var failed error
	var work sync.WaitGroup
	for _, s := range simulators {
		work.Go(func() {
			for seed := range next {
				r, err := s.Run(ctx, seed)
				mu.Lock()
				total.Add(r)
				if err != nil {
					failed = errors.Join(failed, fmt.Errorf("seed %d: %w", seed, err))
				}
				if len(r.Violations) > 0 {
					fmt.Printf("%s\nseed %d: %s\nThe whole story: make sim SEED=%d\n\n",
						strings.Join(r.ShortStory(), "\n"), seed, strings.Join(r.Violations, "\n  "), seed)
					failed = errors.Join(failed, fmt.Errorf("seed %d: %d violations", seed, len(r.Violations)))
					if untilWrong {
						stop()
					}
				}
				if total.Seeds%500 == 0 {
					fmt.Printf("%d seeds, %.1f a second\n", total.Seeds, float64(total.Seeds)/time.Since(began).Seconds())
				}
				mu.Unlock()
			}
		})
	}
	work.Wait()
	fmt.Printf("%s\n%.1f seeds a second on %d databases\n", total, float64(total.Seeds)/time.Since(began).Seconds(), len(simulators))
	if missing := total.Missing(); failed == nil && !untilWrong && len(missing) > 0 {
		failed = fmt.Errorf("never happened: %v", missing)
	}
	return failed
}
