package service

import (
	"context"
	"time"

	"github.com/homeward-care/homeward/services/kit/failpoint"
)

// LoopByClock adds a background worker that does what is due by the clock; its step is told the time. After a jump of the clock it does nothing
// until the clock is back, or the service is started again by somebody who has looked: what the clock shows at the start is taken for right.
func (s *Service) LoopByClock(name string, step func(ctx context.Context, now time.Time) (bool, error), poll time.Duration) {
	var guard clockGuard
	guard.aheadBy(s.Now(), s.Elapsed())
	halted := false
	s.Loop(name, func(ctx context.Context) (bool, error) {
		now := s.Now()
		if by := guard.aheadBy(now, s.Elapsed()); by > 0 && !failpoint.Bug("clock-jump-fires") {
			if !halted {
				s.Log.ErrorContext(ctx, "alarm: the clock jumped ahead, nothing that is due by it is done; set the clock right, or restart this service if it is right now",
					"worker", name, "ahead_by", by.String())
			}
			halted = true
			return false, nil
		}
		halted = false
		return step(ctx, now)
	}, poll, nil)
}

// clockSlack is how far the wall clock may run ahead of elapsed time between two looks. A clock that jumps further was set, and would do
// what is not due; one that jumps back only makes it late.
const clockSlack = 5 * time.Minute

// clockGuard tells a wall clock that was set ahead from time that has passed.
type clockGuard struct {
	// What the wall clock is to show when the other one shows zero; and what it was before it was set back, until it is right again.
	start, before time.Time
}

// aheadBy returns by how much the wall clock has jumped ahead; 0 when it has not. A clock that was set back and then right again has not.
func (g *clockGuard) aheadBy(now time.Time, elapsed time.Duration) time.Duration {
	start := now.Add(-elapsed)
	switch ahead := start.Sub(g.start); {
	case g.start.IsZero(): // the first look
	case start.Sub(g.before).Abs() <= clockSlack:
		g.before = time.Time{}
	case ahead > clockSlack:
		return ahead
	case ahead < -clockSlack && g.before.IsZero():
		g.before = g.start
	}
	g.start = start
	return 0
}
