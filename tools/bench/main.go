// Bench measures Homeward on this machine, everything included, beside what PostgreSQL alone does here: `make bench`.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata"

	"github.com/homeward-care/homeward/services/kit/devinfra"
	"github.com/homeward-care/homeward/tools/devstack/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	seconds := flag.Duration("for", 10*time.Second, "how long each load lasts")
	only := flag.String("only", "", "one of load, traced, benchmarks; empty for all")
	statements := flag.Bool("statements", false, "list the statements that cost most")
	flag.Parse()
	if err := bench(ctx, *seconds, *only, *statements); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, load time.Duration, only string, statements bool) error {
	fmt.Printf("Homeward on this machine: services, NATS, PostgreSQL (fsync on), Jaeger and the load itself, all on %s.\n", processors())
	if only == "" || only == "load" {
		if err := measure(ctx, load, "with the shipped sampling", nil, statements); err != nil {
			return err
		}
	}
	if only == "" || only == "traced" {
		if err := measure(ctx, load, "with every handover traced", []string{"TRACES_PER_SECOND=0"}, statements); err != nil {
			return err
		}
	}
	if only == "" || only == "benchmarks" {
		return benchmarks(ctx)
	}
	return nil
}

// measure runs one stack through all loads, and the floor beside it on the same PostgreSQL.
func measure(ctx context.Context, load time.Duration, title string, env []string, statements bool) error {
	fmt.Printf("\n%s\n", strings.ToUpper(title))
	s, err := stack.Start(ctx, stack.Options{
		Jaeger: stack.JaegerFirst,
		Postgres: devinfra.PostgresOptions{Durable: true, SharedBuffers: "512MB", Settings: map[string]string{
			"shared_preload_libraries": "pg_stat_statements", "max_wal_size": "4GB",
		}},
		Env: func(string) []string { return env },
		Say: func(line string) { fmt.Println("  " + line) },
	})
	if err != nil {
		return err
	}
	defer func() {
		if err := s.Stop(); err != nil {
			fmt.Fprintf(os.Stderr, "stop: %v\n", err)
		}
	}()
	m, err := newMeter(ctx, s)
	if err != nil {
		return err
	}
	floor, err := m.floor(ctx, load)
	if err != nil {
		return err
	}
	fmt.Printf("  floor: PostgreSQL alone, 16 connections, one commit a message    %8.0f a second\n", floor)

	if _, err := m.run(ctx, saturate(32), 2*time.Second); err != nil { // warm: plans prepared, pools filled
		return err
	}
	full, err := m.run(ctx, saturate(32), load)
	if err != nil {
		return err
	}
	fmt.Printf("  sustained over 32 connections, accepted to confirmed             %8.0f a second   %.0f %% of the floor\n", full.rate, 100*full.rate/floor)
	fmt.Printf("    CPU %.2f ms, %.1f SQL statements, %.0f bytes stored a handover (%s)\n", full.cpu, full.statements, full.bytes, full.cpuBy)
	if statements {
		if err := m.printStatements(ctx, full.accepted); err != nil {
			return err
		}
	}
	single, err := m.run(ctx, saturate(1), load)
	if err != nil {
		return err
	}
	fmt.Printf("  sustained over one connection                                    %8.0f a second\n", single.rate)
	hundred, err := m.run(ctx, saturate(100), load)
	if err != nil {
		return err
	}
	fmt.Printf("  sustained over a hundred connections                             %8.0f a second\n", hundred.rate)
	beside, err := m.run(ctx, besideSlow(32), load)
	if err != nil {
		return err
	}
	fmt.Printf("  sustained over 32 connections, beside one that drips its bytes   %8.0f a second   %.0f %% of without it\n", beside.rate, 100*beside.rate/full.rate)
	half, err := m.run(ctx, paced(32, full.rate/2), load)
	if err != nil {
		return err
	}
	fmt.Printf("  at half the sustained rate, %5.0f a second: accept to confirmed   p50 %s, p99 %s, max %s; CPU %.2f ms a handover (%s)\n", half.offered, ms(half.p50), ms(half.p99), ms(half.max), half.cpu, half.cpuBy)
	return nil
}

// benchmarks runs the Go benchmarks whose figures belong into the report.
func benchmarks(ctx context.Context) error {
	fmt.Printf("\nREADING MESSAGES, SWEEPS AND RECONCILIATION\n")
	checkout, err := devinfra.Checkout()
	if err != nil {
		return err
	}
	for _, b := range []struct{ module, pkg, name, times string }{
		{"services/discharge-hub", "./hl7", "BenchmarkParse", "100000x"},
		{"services/discharge-hub", "./discharge", "BenchmarkInterpret", "20000x"},
		{"services/community-pickup", ".", "BenchmarkSweepOverAMillionOpenTasksNoneDue", "1000x"},
		{"services/community-pickup", ".", "BenchmarkSweepTenThousandDueAmongAMillion", "1x"},
		{"services/kit", "./reconcile", "BenchmarkWalkThatFindsNothing", "5x"},
		{"services/kit", "./reconcile", "BenchmarkWalkThatRepairsEverything", "1x"},
	} {
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^"+b.name+"$", "-benchtime", b.times, b.pkg)
		cmd.Dir = filepath.Join(checkout, b.module)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", b.name, err, out)
		}
		for line := range strings.Lines(string(out)) {
			if strings.HasPrefix(line, "Benchmark") {
				fmt.Print("  " + line)
			}
		}
	}
	return nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
