package storm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// ways are the links that stand between the processes, made when somebody first asks for one.
type ways struct {
	mu  sync.Mutex
	all []*way
}

type way struct {
	from, to string
	*link
}

// through is the address by which from reaches to.
func (w *ways) through(from, to, target string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, known := range w.all {
		if known.from == from && known.to == to {
			return known.addr, nil
		}
	}
	l, err := newLink(target)
	if err != nil {
		return "", fmt.Errorf("a way from %s to %s: %w", from, to, err)
	}
	w.all = append(w.all, &way{from, to, l})
	return l.addr, nil
}

// of are the links from one process to another; an empty name stands for all.
func (w *ways) of(from, to string) []*way {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.all), func(l *way) bool { return from != "" && l.from != from || to != "" && l.to != to })
}

func (w *ways) close() {
	for _, l := range w.of("", "") {
		l.close()
	}
}

// The kinds of ways: what is reached by them.
const (
	toDoor     = "MLLP"
	toCourier  = "NATS"
	toDatabase = "PostgreSQL"
	toPeer     = "gRPC"
	toFHIR     = "FHIR"
	toWebhook  = "webhook"
	toWard     = "ward"
)

func (w *way) kind() string {
	switch {
	case w.to == "MLLP":
		return toDoor
	case w.to == toFHIR, w.to == toWebhook, w.to == toWard:
		return w.to
	case strings.HasPrefix(w.to, "nats"):
		return toCourier
	case w.to == "postgres":
		return toDatabase
	}
	return toPeer
}

// wayFaults break connections: one way of a kind, or, one time in three, all of the kind.
func (s *storm) wayFaults() []fault {
	var kinds []fault
	for _, kind := range []string{toDoor, toFHIR, toCourier, toDatabase, toPeer, toWebhook, toWard} {
		some := func(r *rand.Rand) []*way {
			all := slices.DeleteFunc(s.links.of("", ""), func(w *way) bool { return w.kind() != kind })
			if r.IntN(3) > 0 {
				return []*way{all[r.IntN(len(all))]}
			}
			return all
		}
		add := func(what string, begin, end func(w *way, r *rand.Rand)) {
			kinds = append(kinds, fault{what + " " + kind, "way to " + kind, func(_ context.Context, r *rand.Rand) (func() error, error) {
				struck := some(r)
				for _, w := range struck {
					begin(w, r)
				}
				return func() error {
					for _, w := range struck {
						end(w, r)
					}
					return nil
				}, nil
			}})
		}
		add("cut", func(w *way, _ *rand.Rand) { w.cut() }, func(w *way, _ *rand.Rand) { w.cut() })
		add("refuse", func(w *way, _ *rand.Rand) { w.refuse() }, func(w *way, _ *rand.Rand) { w.accept() })
		add("half-open", func(w *way, _ *rand.Rand) { w.stall() }, func(w *way, r *rand.Rand) {
			if r.IntN(2) == 0 {
				w.cut() // it was dead; otherwise what was held back arrives late
			}
			w.flow()
		})
		add("slow", func(w *way, r *rand.Rand) { w.slow(time.Duration(1+r.Int64N(300)) * time.Millisecond) }, func(w *way, _ *rand.Rand) { w.slow(0) })
	}
	return kinds
}
