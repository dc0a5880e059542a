// Storm runs Homeward, breaks it for some minutes in every way that it knows, and reports what was struck and whether anything was lost: it
// is what `make storm` starts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/homeward-care/homeward/e2e/storm"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "storm: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	minutes := flag.Float64("minutes", 5, "how long faults strike")
	seed := flag.Uint64("seed", rand.Uint64N(1_000_000), "decides what is struck and when")
	without := flag.String("without", "", "kinds of faults to leave out, each by a part of its name, with commas between")
	cluster := flag.Bool("cluster", false, "the storm over three NATS servers: partitions, restarts and kills")
	hold := flag.Bool("hold", false, "keep everything running after the report, until Ctrl-C")
	dir := flag.String("dir", "", "folder of the stack, kept at the end; empty: a temporary one")
	flag.Parse()
	opts := storm.Options{Length: time.Duration(*minutes * float64(time.Minute)), Seed: *seed, Cluster: *cluster, Dir: *dir, Say: say}
	if *without != "" {
		opts.Without = strings.Split(*without, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fmt.Printf("Starting a storm of %s, seed %d ...\n", opts.Length, opts.Seed)
	s, err := storm.Start(ctx, opts)
	if err != nil {
		return err
	}
	defer s.Stop()
	fmt.Printf(`Join in with a hospital of your own, as MSH-3 MSEPAS, MSH-4 RAJ (not with control ids that begin with OR or FR):
  MLLP through the storm   %s    send each message again until it is answered AA
  MLLP straight            %s
  what became of it        HOMEWARD_STATE=%s make why REF=<control id>
`, s.Door(), s.Stack.MLLP, s.Dir())
	report, err := s.Run(ctx)
	fmt.Println(report)
	if err != nil {
		return err
	}
	if *hold {
		fmt.Println("Everything runs on, unharmed, until Ctrl-C.")
		<-ctx.Done()
	}
	if len(report.Violations) > 0 {
		return errors.New("what was promised does not hold")
	}
	return nil
}

func say(line string) { fmt.Println(line) }
