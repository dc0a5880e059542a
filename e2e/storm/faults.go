package storm

import (
	"context"
	"math/rand/v2"
	"time"
)

// fault is one kind of damage.
type fault struct {
	// kind is its name in the report: what is done to what.
	kind string
	// part is what it is done to: two faults of one part never overlap.
	part string
	// strike does it, and returns what undoes it after a while; nil if it is over at once.
	strike func(ctx context.Context, r *rand.Rand) (heal func() error, err error)
}

// blow is a fault at its moment.
type blow struct {
	fault
	// At is the time from the beginning of the storm, For how long it lasts.
	at, lasts time.Duration
	// seed decides what the kind leaves open, such as which connection or which bit.
	seed uint64
}

// planned deals all kinds in a random order, again and again, until the time is over. The seed decides everything.
func planned(kinds []fault, seed uint64, length time.Duration) []blow {
	r := rand.New(rand.NewPCG(seed, 1))
	free := map[string]time.Duration{} // when a part can be struck again
	var blows []blow
	var deck []fault
	pace := min(2*time.Second, length*9/10/time.Duration(len(kinds))) // so that each kind has its turn
	for at := time.Second; at < length; at += pace/2 + time.Duration(r.Int64N(int64(pace))) {
		if len(deck) == 0 {
			deck = make([]fault, len(kinds))
			for i, n := range r.Perm(len(kinds)) {
				deck[i] = kinds[n]
			}
		}
		next := 0
		for i, f := range deck {
			if free[f.part] <= at {
				next = i
				break
			}
		}
		b := blow{fault: deck[next], at: max(at, free[deck[next].part]), lasts: lasting(r, length-at), seed: r.Uint64()}
		free[b.part] = b.at + b.lasts + 3*time.Second // it has to come back, too
		deck = append(deck[:next], deck[next+1:]...)
		blows = append(blows, b)
	}
	return blows
}

// lasting is mostly some seconds; one in ten outlasts the time-outs, keep-alives and sessions of everybody.
func lasting(r *rand.Rand, left time.Duration) time.Duration {
	if r.IntN(10) == 0 && left > time.Minute {
		return 20*time.Second + time.Duration(r.Int64N(int64(20*time.Second)))
	}
	return 500*time.Millisecond + time.Duration(r.Int64N(int64(5*time.Second)))
}
