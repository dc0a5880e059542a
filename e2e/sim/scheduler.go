package sim

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync/atomic"
	"time"
)

// flow is one thread of control in the world: a step of a worker, a hospital that sends, somebody who gives a command. It runs the real
// code in a goroutine of its own, and stops at every point where what it does touches something that others share.
type flow struct {
	name    string
	resume  chan verdict
	backend atomic.Uint32 // of the statement that runs: PostgreSQL's process
	waited  atomic.Bool   // the statement that runs was blocked

	// What follows is the scheduler's own.
	state flowState
	at    point
	proc  *process // whose code waits at the point; nil outside of all
	ended func()   // called when the flow is over
	fhir  bool     // it is a request at the FHIR door
	// blockers are the backends whose locks its statement waits for.
	blockers  []int32
	cancelled bool
	until     int // stalled: it is not chosen before that step
	// awaits is what somebody who thinks goes on at (news).
	awaits news
}

// arrival is what a flow tells the scheduler when it stops.
type arrival struct {
	flow  *flow
	state flowState
	at    point
	proc  *process
}

type flowState int

const (
	running flowState = iota
	waiting           // at a point, for the baton
	blocked           // PostgreSQL holds its statement for a lock of somebody else
	over
)

// point is where a flow waits.
type point struct {
	kind pointKind
	what string // for instance `commit`, `INSERT inbound`, `publish pickup`
}

type pointKind int

const (
	statement pointKind = iota
	committing
	stored // a statement that was blocked has ended
	publishing
	calling
	answering
	thinking
)

// verdict is what happens to a flow at its point.
type verdict struct {
	err  error // it does not do it, and is told this
	lose bool  // it does it, and the answer is lost
	// times is how often a call is made: a repetition by the network. 0 is once.
	times int
	// part is the share of a batch that is published before the connection goes.
	part float64
}

var (
	errCrashed = errors.New("simulation: the process is gone")
	errCut     = errors.New("simulation: the connection was cut before anything was sent")
)

// scheduler hands one baton from flow to flow, so that a seed decides every interleaving. The baton is passed on when the flow that has it
// comes to its next point, ends, or is blocked by another one's lock.
type scheduler struct {
	db       *database
	threads  *threads
	arrivals chan arrival
	flows    []*flow
	timer    *time.Timer
	hash     hash.Hash
	trace    io.Writer // every decision, for whoever looks for what makes two runs differ

	// doomed are sessions that the driver is about to give up: the locks of their transactions are free when it has.
	doomed []doomed
	// freed: a statement that was blocked has ended, no matter for whom the scheduler waited. That may have been in the way of others.
	freed bool

	statements, steps int
}

type doomed struct {
	flow    *flow
	session *session
}

func newScheduler(db *database, threads *threads) *scheduler {
	t := time.NewTimer(time.Hour)
	return &scheduler{db: db, threads: threads, arrivals: make(chan arrival, 256), timer: t, hash: sha256.New()}
}

type frameKey struct{}

// frame says whose code runs in a flow: a call goes on in the flow of the caller, as the process of the callee.
type frame struct {
	flow *flow
	proc *process
}

func withFrame(ctx context.Context, f *flow, p *process) context.Context {
	return context.WithValue(ctx, frameKey{}, &frame{f, p})
}

func frameOf(ctx context.Context) *frame {
	f, _ := ctx.Value(frameKey{}).(*frame)
	return f
}

// reach waits for the baton. A process that is gone does nothing any more.
func (s *scheduler) reach(fr *frame, p point) verdict {
	if fr.proc != nil && fr.proc.dead.Load() {
		return verdict{err: errCrashed}
	}
	s.arrivals <- arrival{fr.flow, waiting, p, fr.proc}
	return <-fr.flow.resume
}

// spawn starts a flow and lets it come to its first point.
func (s *scheduler) spawn(name string, ended func(), run func(f *flow)) *flow {
	f := &flow{name: name, resume: make(chan verdict), ended: ended}
	s.flows = append(s.flows, f)
	s.note("begin", f, "")
	s.threads.run(func() {
		run(f)
		s.arrivals <- arrival{flow: f, state: over}
	})
	s.settle(f)
	return f
}

// grant hands the baton to a flow that waits.
func (s *scheduler) grant(f *flow, v verdict) {
	s.steps++
	if f.at.kind == statement || f.at.kind == committing {
		s.statements++
	}
	outcome := "go"
	switch {
	case v.err != nil:
		outcome = v.err.Error()
	case v.lose:
		outcome = "lose"
	case v.times > 1:
		outcome = "twice"
	}
	s.note(f.at.what, f, outcome)
	f.state = running
	f.waited.Store(false)
	f.cancelled = false
	f.resume <- v
	s.settle(f)
}

const (
	// A statement that has not ended by then is looked at: the server has noticed a deadlock by that time.
	lookAfter = 4 * time.Millisecond
	lookAgain = time.Millisecond
	// stuck ends a seed in which a flow waits for something that the scheduler does not know.
	stuck = 30 * time.Second
)

// settle waits until the flow, and every flow that it has unblocked, is at a point, over, or blocked.
func (s *scheduler) settle(f *flow) {
	s.freed = false
	s.await(f, lookAfter)
	// Who is blocked stays so, unless the flow that went on is the one in the way.
	inTheWay := func(other *flow) bool { return slices.Contains(other.blockers, int32(f.backend.Load())) }
	for again := true; again; {
		again = false
		s.doomed = slices.DeleteFunc(s.doomed, func(d doomed) bool {
			if d.flow.state == blocked {
				return false // its statement is not over yet
			}
			<-d.session.gone
			again = true
			return true
		})
		if again || s.freed {
			inTheWay = func(*flow) bool { return true }
		}
		s.freed = false
		for _, other := range s.flows {
			if other.state == blocked && inTheWay(other) {
				s.await(other, 0)
			}
		}
		again = again || s.freed
		inTheWay = func(*flow) bool { return true }
	}
	s.sweepEnded()
}

// await waits until a flow has arrived somewhere, or is blocked for sure.
func (s *scheduler) await(f *flow, first time.Duration) {
	began := time.Now()
	look := first
	for f.state == running || f.state == blocked {
		if look == 0 && len(s.arrivals) == 0 {
			f.blockers = s.db.blockers(f.backend.Load())
			if len(f.blockers) > 0 && !s.contends(f) {
				f.waited.Store(true)
				f.state = blocked
				return
			}
			look = lookAgain
		}
		s.timer.Reset(look)
		select {
		case a := <-s.arrivals:
			s.freed = s.freed || a.flow.state == blocked
			a.flow.state, a.flow.at, a.flow.proc = a.state, a.at, a.proc
		case <-s.timer.C:
			look = 0
		}
		if time.Since(began) > stuck {
			panic(fmt.Sprintf("simulation: %s neither goes on nor is blocked, after %s", f.name, f.at.what))
		}
	}
}

// contends ends a statement that waits for a transaction for which another one waits already, with the error of a cancelled statement: when
// the transaction is over, PostgreSQL lets the two race, and no seed decides who wins. So it is with one that is queued for a row behind
// another one that waits for it: if the row has changed when the transaction is over, both look for its new version.
func (s *scheduler) contends(f *flow) bool {
	with := ""
	if f.state != blocked {
		for _, other := range s.flows {
			if other != f && other.state == blocked && slices.ContainsFunc(other.blockers, func(b int32) bool { return slices.Contains(f.blockers, b) }) {
				with = other.name
				break
			}
		}
	}
	if with == "" && s.db.queuedForRow(f.backend.Load()) {
		with = "another one"
	}
	if with != "" && !f.cancelled {
		f.cancelled = true
		s.note("waits for what "+with+" waits for, and is cancelled", f, "")
		s.db.cancel(f.backend.Load())
	}
	return with != ""
}

func (s *scheduler) sweepEnded() {
	kept := s.flows[:0]
	var ended []*flow
	for _, f := range s.flows {
		if f.state == over {
			ended = append(ended, f)
		} else {
			kept = append(kept, f)
		}
	}
	s.flows = kept
	for _, f := range ended {
		s.note("end", f, "")
		if f.ended != nil {
			f.ended()
		}
	}
}

// note adds a decision to the hash of the trace.
func (s *scheduler) note(what string, f *flow, outcome string) {
	fmt.Fprintln(s.hash, f.name, what, outcome)
	if s.trace != nil {
		fmt.Fprintln(s.trace, s.steps, f.name, what, outcome)
	}
}
