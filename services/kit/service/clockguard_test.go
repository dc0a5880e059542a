package service

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestClockThatJumpsAheadIsToldFromTimeThatPasses(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
	type look struct {
		clock, elapsed time.Duration
		ahead          bool
	}
	for name, looks := range map[string][]look{
		"time passes":                       {{0, 0, false}, {time.Hour, time.Hour, false}, {1000 * time.Hour, 1000 * time.Hour, false}},
		"it drifts a little":                {{0, 0, false}, {time.Hour, time.Hour + time.Minute, false}, {2 * time.Hour, 2*time.Hour - 2*time.Minute, false}},
		"it jumps ahead":                    {{0, 0, false}, {time.Hour, time.Minute, true}, {2 * time.Hour, time.Hour + time.Minute, true}},
		"it jumps ahead and is set right":   {{0, 0, false}, {time.Hour, time.Minute, true}, {2 * time.Minute, 2 * time.Minute, false}},
		"it is set back":                    {{0, 0, false}, {-time.Hour, time.Minute, false}, {0, time.Hour + time.Minute, false}},
		"it is set back and is right again": {{0, 0, false}, {-time.Hour, time.Minute, false}, {-time.Hour, 2 * time.Minute, false}, {3 * time.Minute, 3 * time.Minute, false}},
		"it is set back, and far ahead":     {{0, 0, false}, {-time.Hour, time.Minute, false}, {time.Hour, 2 * time.Minute, true}, {3 * time.Minute, 3 * time.Minute, false}},
		"right again, and ahead once more":  {{0, 0, false}, {-time.Hour, 0, false}, {0, 0, false}, {-time.Hour, 0, false}, {time.Hour, 0, true}, {0, 0, false}},
		"it is set back twice":              {{0, 0, false}, {-time.Hour, 0, false}, {-2 * time.Hour, 0, false}, {-time.Hour, 0, true}, {0, 0, false}},
	} {
		var g clockGuard
		for i, l := range looks {
			if by := g.aheadBy(at.Add(l.clock), l.elapsed); (by > 0) != l.ahead {
				t.Errorf("%s: look %d says %s ahead", name, i, by)
			}
		}
	}
}

func TestWhatIsDueByTheClockWaitsWhileThatIsAhead(t *testing.T) {
	t.Parallel()
	at, elapsed := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC), time.Duration(0)
	var log bytes.Buffer
	s := &Service{Now: func() time.Time { return at }, Elapsed: func() time.Duration { return elapsed }, Log: slog.New(slog.NewTextHandler(&log, nil))}
	var did []time.Time
	s.LoopByClock("sweep", func(_ context.Context, now time.Time) (bool, error) { did = append(did, now); return false, nil }, time.Second)
	for _, clock := range []time.Duration{time.Second, 1200 * time.Hour, 1200 * time.Hour, 2 * time.Second} {
		at, elapsed = time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC).Add(clock), elapsed+time.Second
		if _, err := s.Workers[0].Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(did) != 2 || did[0].Second() != 1 || did[1].Second() != 2 {
		t.Errorf("it was done at %v", did)
	}
	if n := strings.Count(log.String(), "alarm: the clock jumped ahead"); n != 1 {
		t.Errorf("%d alarms:\n%s", n, log.String())
	}
}
