// Command canaries plants one bug after another and tells which rung of the fault ladder catches it, and how fast: `canaries` all,
// `canaries -only id-cursor` one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/homeward-care/homeward/e2e/canaries"
	"github.com/homeward-care/homeward/services/kit/run"
)

func main() {
	only := flag.String("only", "", "plant this bug alone")
	seeds := flag.Int("seeds", 100, "how many seeds the simulation has to find a bug")
	flag.Parse()
	ctx, stop := run.SignalContext(context.Background())
	defer stop()
	if err := plantAll(ctx, *only, *seeds); err != nil {
		fmt.Fprintln(os.Stderr, "canaries:", err)
		os.Exit(1)
	}
}

func plantAll(ctx context.Context, only string, seeds int) (err error) {
	list := canaries.All
	if only != "" {
		list = slices.DeleteFunc(slices.Clone(list), func(c canaries.Canary) bool { return c.Name != only })
		if len(list) == 0 {
			return fmt.Errorf("no canary is called %q: see e2e/canaries/canaries.go", only)
		}
	}
	fmt.Println("Building the rungs ...")
	ladder, err := canaries.Build(ctx, list, seeds)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ladder.Close()) }()
	fmt.Println("Without a bug:")
	if err := ladder.Sound(ctx, list, func(rung string) { fmt.Println("  passes:", rung) }); err != nil {
		return err
	}
	fmt.Println("With one:")
	var missed []string
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\ncanary\trung\tcaught by\tafter\tsaid")
	for _, c := range list {
		catches, err := ladder.Climb(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		for _, got := range catches {
			if got.By == "" {
				got.By = "NOT CAUGHT"
				missed = append(missed, c.Name+" by "+got.Rung)
			}
			after := got.After.Round(100 * time.Millisecond)
			fmt.Printf("  %s: %s, %s, %s\n", c.Name, got.Rung, got.By, after)
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%.110s\n", c.Name, got.Rung, got.By, after, got.Said)
		}
	}
	_ = table.Flush()
	if len(missed) > 0 {
		return fmt.Errorf("not caught: %q", missed)
	}
	return nil
}
