// Package storm breaks a running Homeward in every way that machines, networks, disks and operators break things, while hospitals send and
// staff work, and then holds what is there against what senders saw acknowledged. One seed decides what is struck, when and for how long;
// what real processes make of it differs from run to run.
package storm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/homeward-care/homeward/e2e/oracle"
	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// Options says what storm to make.
type Options struct {
	// Length is how long faults strike. Starting, healing and checking come on top, about a minute and a half.
	Length time.Duration
	Seed   uint64
	// Cluster makes another storm: over three NATS servers with three replicas of everything, each in a network namespace of its own.
	Cluster bool
	// Without names the kinds of faults to leave out, each by a part of its name.
	Without []string
	// Dir is the folder of the stack, Binaries are ready-made programs, as in stack.Options. Dir may be empty.
	Dir      string
	Binaries map[string]string
	// Say receives lines for a person.
	Say func(line string)
}

// Storm is a stack that can be struck, with its traffic.
type Storm struct {
	*storm
	Stack *stack.Stack
}

type storm struct {
	opts    Options
	stack   *stack.Stack
	dir     string
	kinds   []fault
	links   ways
	traffic *traffic
	witness witness

	receivers receivers
	atEnd     []func() error // in reverse order

	database, courier *disk // nil where they are not of their own
	network           network

	began time.Time
	mu    sync.Mutex
	fired map[string]int
}

// errAway says that what was to be struck is not there just now.
var errAway = errors.New("it is down")

// Start starts the stack with a breakable way between any two processes.
func Start(ctx context.Context, opts Options) (*Storm, error) {
	s := &storm{opts: opts, fired: map[string]int{}}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return &Storm{s, s.stack}, nil
}

func (s *storm) start(ctx context.Context) error {
	dir := s.opts.Dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "homeward-storm-"); err != nil {
			return err
		}
		s.atEnd = append(s.atEnd, func() error { return os.RemoveAll(dir) })
	}
	s.dir = dir
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL may run as another user
		return err
	}
	var nodes []stack.NATSNode
	if s.opts.Cluster {
		s.network = network{fmt.Sprintf("hw%d", os.Getpid())}
		s.atEnd = append(s.atEnd, s.network.remove)
		if err := s.network.make(); err != nil {
			return fmt.Errorf("%w\nA cluster needs `ip` (iproute2) and the right to make network namespaces: run this as root", err)
		}
		nodes = s.network.nodes()
	} else if s.wants("disk full") {
		if err := s.mountDisks(dir); err != nil {
			return fmt.Errorf("%w\nFull disks need the right to mount. Run this as root, or leave them out: WITHOUT=disk", err)
		}
	}
	var lost error
	through := func(service, to, addr string) string {
		near, err := s.links.through(service, to, addr)
		lost = errors.Join(lost, err)
		return near
	}
	toldBack, err := s.receive()
	if err != nil {
		return err
	}
	if s.stack, err = stack.Start(ctx, stack.Options{Dir: dir, Binaries: s.opts.Binaries, NATSNodes: nodes, Through: through, Say: s.opts.Say,
		Env: func(string) []string { return toldBack }}); err != nil {
		return err
	}
	s.atEnd = append(s.atEnd, s.stack.Stop)
	if lost != nil {
		return lost
	}
	door, err := s.links.through("hospitals", "MLLP", s.stack.MLLP)
	if err != nil {
		return err
	}
	fhir, err := s.links.through("hospitals", "FHIR", strings.TrimPrefix(s.stack.FHIR, "http://"))
	if err != nil {
		return err
	}
	kinds := slices.Concat(s.processFaults(), s.wayFaults(), s.receiverFaults(), s.courierFaults(), s.diskFaults())
	if s.opts.Cluster {
		if err := s.replicate(ctx); err != nil {
			return err
		}
		kinds = slices.Concat(s.processFaults(), s.clusterFaults())
	}
	s.kinds = slices.DeleteFunc(kinds, func(f fault) bool { return !s.wants(f.kind) })
	s.traffic, err = newTraffic(s.stack, door, "http://"+fhir, s.opts.Seed)
	return err
}

// wants says whether a kind of fault is part of this storm.
func (s *storm) wants(kind string) bool {
	return !slices.ContainsFunc(s.opts.Without, func(without string) bool { return strings.Contains(kind, without) })
}

// Door is where hospitals' messages go through the storm, as host:port.
func (s *storm) Door() string { return s.traffic.door }

// Dir is the folder of the stack.
func (s *storm) Dir() string { return s.dir }

// Told are all messages that were acknowledged.
func (s *storm) Told() []oracle.Told { return s.traffic.told() }

// Stop ends the stack and removes what the storm made.
func (s *storm) Stop() error { return s.stop() }

func (s *storm) stop() error {
	if s.traffic != nil {
		s.traffic.close()
	}
	var err error
	for _, end := range slices.Backward(s.atEnd) {
		err = errors.Join(err, end())
	}
	s.links.close()
	s.receivers.close()
	s.atEnd = nil
	return err
}

// quietTraffic is for how long hospitals go on when nothing is struck any more.
const quietTraffic = 5 * time.Second

// recovery is how long everything may take to come back and to be delivered when all is quiet: what the platform promises.
const recovery = time.Minute

// tellingBack is how long hospitals may wait for what their receivers did not take: the rests between tries grow, as a receiver that is away wants it.
const tellingBack = 4 * time.Minute

// Run lets the storm rage and returns what it did and what was found. An error means that the storm itself could not be made.
func (s *storm) Run(ctx context.Context) (Report, error) {
	s.traffic.start(ctx, s.opts.Length+5*recovery)
	watching, stopWatching := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { s.witness.watch(watching, s.stack) })
	s.rage(ctx)
	s.note("quiet")
	ready, cancel := context.WithTimeout(ctx, 2*recovery)
	defer cancel()
	var err error
	for _, part := range s.stack.Parts() {
		err = errors.Join(err, part.Ready(ready))
	}
	quiet := time.Now()
	if err == nil {
		s.note("all parts are back")
		sleep(ctx, quietTraffic)
		s.traffic.stop()
		s.note("all messages are acknowledged")
	}
	found := []string{}
	await := func(check func(context.Context) []string, limit time.Duration) {
		for began := time.Now(); ; sleep(ctx, 500*time.Millisecond) {
			if found = check(ctx); len(found) == 0 || time.Since(began) > limit || ctx.Err() != nil {
				return
			}
		}
	}
	await(s.check, recovery)
	settled := time.Since(quiet)
	if len(found) == 0 {
		await(s.checkTold, tellingBack)
	}
	told := time.Since(quiet)
	stopWatching()
	watch.Wait()
	found = append(found, s.witness.violations()...)
	return s.report(ctx, quiet, settled, told, found), errors.Join(err, ctx.Err())
}

// rage strikes as planned, and returns when all is healed.
func (s *storm) rage(ctx context.Context) {
	s.began = time.Now()
	var blows sync.WaitGroup
	for _, b := range planned(s.kinds, s.opts.Seed, s.opts.Length) {
		sleep(ctx, time.Until(s.began.Add(b.at)))
		if ctx.Err() != nil {
			break
		}
		blows.Go(func() { s.strike(ctx, b) })
	}
	blows.Wait()
}

// patience is how long a blow waits for what it is to strike to be there.
const patience = 20 * time.Second

func (s *storm) strike(ctx context.Context, b blow) {
	r := rand.New(rand.NewPCG(b.seed, 2))
	var heal func() error
	var err error
	for deadline := time.Now().Add(patience); ; sleep(ctx, 100*time.Millisecond) {
		if part := s.stack.Part(b.part); part == nil || part.Pid() != 0 {
			if heal, err = b.strike(ctx, r); !errors.Is(err, errAway) {
				break
			}
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			s.note("%s: %v", b.kind, errAway)
			return
		}
	}
	if err == nil {
		s.mu.Lock()
		s.fired[b.kind]++
		s.mu.Unlock()
	}
	if heal == nil {
		s.note("%s%s", b.kind, failed(err))
		return
	}
	s.note("%s for %s%s", b.kind, b.lasts.Round(100*time.Millisecond), failed(err))
	sleep(ctx, b.lasts)
	if err := heal(); err != nil {
		s.note("%s: not healed: %v", b.kind, err)
	}
}

func failed(err error) string {
	if err == nil {
		return ""
	}
	return ": failed: " + err.Error()
}

func (s *storm) note(format string, args ...any) {
	s.opts.Say(fmt.Sprintf("%6.1fs  ", time.Since(s.began).Seconds()) + fmt.Sprintf(format, args...))
}

// sleep waits, at most until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
