// Package run is the life-cycle of a service: background workers that do one unit of work at a time, and a stop that lets each finish
// the unit it is in.
package run

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Step does one unit of work. It reports whether it found any, so that the loop goes on at once while there is work. It must be safe to
// repeat: a step can be cut off anywhere.
type Step func(ctx context.Context) (worked bool, err error)

// Loop says how a step is driven.
type Loop struct {
	Name string
	Step Step
	// Poll is how long to rest when there was no work.
	Poll time.Duration
	// Wake ends the rest early; nil when nothing can.
	Wake <-chan struct{}
	// Apart is the least time between the beginnings of two steps, unless the first one reports that more is waiting: what comes
	// meanwhile shares the next step. A batch costs little more than a single one.
	Apart time.Duration
	Log   *slog.Logger
}

const maxBackoff = 5 * time.Second

// Run drives the step until ctx ends. A failing step is retried with growing rests, without end; only the first failure of a run of
// them and every tenth is logged.
func (l Loop) Run(ctx context.Context) error {
	// The unit in hand is finished when the service stops; only the next one is not begun.
	unit := context.WithoutCancel(ctx)
	failures := 0
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		wake := l.Wake
		if failures > 0 {
			wake = nil // a busy service must not hammer what is away; the signal keeps until the rest is over
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-rest.C:
		}
		for ctx.Err() == nil {
			began := time.Now()
			worked, err := l.step(unit)
			if err != nil {
				if failures%10 == 0 {
					l.Log.WarnContext(unit, "worker failed, will retry", "worker", l.Name, "failures", failures+1, "error", err)
				}
				failures++
				rest.Reset(backoff(failures))
				break
			}
			if failures > 0 {
				l.Log.InfoContext(unit, "worker recovered", "worker", l.Name, "failures", failures)
				failures = 0
			}
			if !worked {
				if !sleep(ctx, l.Apart-time.Since(began)) {
					return nil
				}
				rest.Reset(l.Poll)
				break
			}
		}
	}
}

// sleep reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// unitLimit cuts off a unit that hangs, for instance on a connection whose other end has vanished.
const unitLimit = time.Minute

func (l Loop) step(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, unitLimit)
	defer cancel()
	return l.Step(ctx)
}

func backoff(failures int) time.Duration {
	d := 50 * time.Millisecond << min(failures-1, 10)
	return min(d, maxBackoff)
}

// Wake is a signal that coalesces: raising it twice before it is seen is raising it once.
type Wake chan struct{}

// NewWake returns a signal for one waiter.
func NewWake() Wake { return make(Wake, 1) }

// Raise never blocks.
func (w Wake) Raise() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// SignalContext returns a context that ends at SIGINT or SIGTERM; a second signal ends the process.
func SignalContext(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// Group runs the parts of a service together: when one ends with an error, or ctx ends, all are told to stop, and Wait returns when
// all have.
type Group struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{}
	parts  int
}

var errStopped = errors.New("stopped")

// NewGroup returns a group whose parts stop when ctx ends.
func NewGroup(ctx context.Context) *Group {
	ctx, cancel := context.WithCancelCause(ctx)
	return &Group{ctx: ctx, cancel: cancel, done: make(chan struct{})}
}

// Go starts a part. Parts are started by one goroutine, before Wait.
func (g *Group) Go(part func(ctx context.Context) error) {
	g.parts++
	go func() {
		if err := part(g.ctx); err != nil {
			g.cancel(err)
		}
		g.done <- struct{}{}
	}()
}

// Wait returns when every part has ended, with the first error that stopped the group.
func (g *Group) Wait() error {
	for range g.parts {
		<-g.done
	}
	g.cancel(errStopped)
	if err := context.Cause(g.ctx); !errors.Is(err, errStopped) && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
