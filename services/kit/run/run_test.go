package run

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

// drive runs a loop in a bubble of fake time until the test ends.
func drive(t *testing.T, l Loop) (stop func()) {
	t.Helper()
	l.Log = quiet
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the loop ended with %v", err)
		}
	}
}

func TestLoopGoesOnWhileThereIsWorkAndRestsWhenThereIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var units []time.Duration
		begin := time.Now()
		stop := drive(t, Loop{Poll: time.Second, Step: func(context.Context) (bool, error) {
			units = append(units, time.Since(begin))
			return len(units) < 3, nil
		}})
		time.Sleep(1500 * time.Millisecond)
		stop()
		want := []time.Duration{0, 0, 0, time.Second}
		if len(units) != len(want) {
			t.Fatalf("units at %v, want %v", units, want)
		}
		for i := range want {
			if units[i] != want[i] {
				t.Fatalf("units at %v, want %v", units, want)
			}
		}
	})
}

func TestStopLetsTheUnitInHandFinishAndBeginsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, finished := 0, 0
		stop := drive(t, Loop{Step: func(ctx context.Context) (bool, error) {
			begun++
			select {
			case <-time.After(10 * time.Second):
			case <-ctx.Done():
				return false, ctx.Err()
			}
			finished++
			return true, nil
		}})
		time.Sleep(time.Second)
		stop()
		if begun != 1 || finished != 1 {
			t.Errorf("%d units begun, %d finished; want 1 and 1", begun, finished)
		}
	})
}

func TestUnitThatHangsIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cut := 0
		stop := drive(t, Loop{Step: func(ctx context.Context) (bool, error) {
			<-ctx.Done()
			cut++
			return false, ctx.Err()
		}})
		time.Sleep(unitLimit + time.Second)
		stop()
		if cut == 0 {
			t.Error("the unit was left hanging")
		}
	})
}

func TestFailingStepIsRetriedWithGrowingRestsWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rests []time.Duration
		last := time.Now()
		stop := drive(t, Loop{Poll: time.Hour, Step: func(context.Context) (bool, error) {
			rests = append(rests, time.Since(last))
			last = time.Now()
			return false, errors.New("away")
		}})
		time.Sleep(time.Hour)
		stop()
		for i := 2; i < len(rests); i++ {
			if rests[i] < rests[i-1] || rests[i] > maxBackoff {
				t.Fatalf("rest %d is %v after %v", i, rests[i], rests[i-1])
			}
		}
		if n := len(rests); n < 700 {
			t.Errorf("%d tries in an hour: it has given up", n)
		}
	})
}

func TestWakeDoesNotShortenTheRestAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wake := NewWake()
		tries := 0
		stop := drive(t, Loop{Poll: time.Hour, Wake: wake, Step: func(context.Context) (bool, error) {
			tries++
			return false, errors.New("away")
		}})
		for range 60_000 { // a busy service that saves a thousand times a second
			wake.Raise()
			time.Sleep(time.Millisecond)
		}
		stop()
		if tries > 30 {
			t.Errorf("%d tries in a minute of failure: waking defeats the growing rests", tries)
		}
	})
}

func TestWakeDuringTheRestAfterAFailureIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wake := NewWake()
		tries := 0
		stop := drive(t, Loop{Poll: time.Hour, Wake: wake, Step: func(context.Context) (bool, error) {
			tries++
			if tries == 1 {
				return false, errors.New("away")
			}
			return false, nil
		}})
		synctest.Wait()
		wake.Raise()
		time.Sleep(time.Minute)
		stop()
		if tries != 3 {
			t.Errorf("%d tries, want the failure, its retry and the one that was asked for", tries)
		}
	})
}

func TestWakesCoalesceAndAreNeverLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wake := NewWake()
		units := 0
		stop := drive(t, Loop{Poll: time.Hour, Wake: wake, Step: func(context.Context) (bool, error) {
			units++
			if units == 2 { // raised while a unit runs: the work may have come after the unit looked
				wake.Raise()
			}
			return false, nil
		}})
		synctest.Wait()
		for range 10 {
			wake.Raise()
		}
		synctest.Wait()
		stop()
		if units != 3 {
			t.Errorf("%d units, want the first, one for ten wakes, and one for the wake within", units)
		}
	})
}

func TestGroupStopsAllWhenOneFailsAndTellsItsError(t *testing.T) {
	broken := errors.New("port in use")
	g := NewGroup(t.Context())
	var stopped atomic.Int32
	for range 3 {
		g.Go(func(ctx context.Context) error {
			<-ctx.Done()
			stopped.Add(1)
			return nil
		})
	}
	g.Go(func(context.Context) error { return broken })
	if err := g.Wait(); !errors.Is(err, broken) {
		t.Errorf("ended with %v", err)
	}
	if stopped.Load() != 3 {
		t.Errorf("%d of 3 were stopped before Wait returned", stopped.Load())
	}
}

func TestGroupEndsCleanlyWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := NewGroup(ctx)
	g.Go(func(ctx context.Context) error { <-ctx.Done(); return nil })
	g.Go(func(ctx context.Context) error { return nil }) // a part that has nothing more to do stops nobody
	cancel()
	if err := g.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestGroupThatFailsWhileStoppingIsStillAStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := NewGroup(ctx)
	g.Go(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	cancel()
	if err := g.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
}
