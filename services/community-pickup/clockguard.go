package communitypickup

import "time"

// clockSlack is how far the wall clock may run ahead of elapsed time between two looks. A clock that jumps further was set, and would fire
// what is not due; one that jumps back only fires late.
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
