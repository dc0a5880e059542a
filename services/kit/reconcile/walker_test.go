package reconcile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/outbox"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/reconcile"
)

func TestMain(m *testing.M) { kittest.Main(m) }

var migrations = fstest.MapFS{"0001_none.sql": {Data: []byte("-- +goose Up\nSELECT 1;")}}

const thing = "homeward.test.thing.v1"

func aggregate(n int) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("00000000-0000-4000-8000-%012d", n))
}

// edge is a producer and a consumer whose bus has lost everything.
type edge struct {
	opsv1.ReconciliationServiceClient
	producer, consumer *pg.DB
	walker             *reconcile.Walker
	now                time.Time
	away               error // what the producer answers with; nil: what it holds
	asked              []*opsv1.ListVersionsRequest
	fetched            int
	listed             func() // called after the producer has listed its versions; nil: nothing
	poison             func(event.Event) bool
}

func (e *edge) ListVersions(ctx context.Context, req *opsv1.ListVersionsRequest, _ ...grpc.CallOption) (*opsv1.ListVersionsResponse, error) {
	e.asked = append(e.asked, req)
	if e.away != nil {
		return nil, e.away
	}
	resp, err := (&reconcile.Server{DB: e.producer}).ListVersions(ctx, req)
	if e.listed != nil && len(resp.GetVersions()) > 0 {
		e.listed()
	}
	return resp, err
}

func (e *edge) GetSnapshots(ctx context.Context, req *opsv1.GetSnapshotsRequest, _ ...grpc.CallOption) (*opsv1.GetSnapshotsResponse, error) {
	e.fetched += len(req.GetIds())
	if e.away != nil {
		return nil, e.away
	}
	return (&reconcile.Server{DB: e.producer}).GetSnapshots(ctx, req)
}

func newEdge(t *testing.T) *edge {
	t.Helper()
	t.Parallel()
	e := &edge{now: time.Date(2026, 9, 1, 9, 0, 0, 0, time.UTC)}
	e.producer, e.consumer = kittest.Open(t, kittest.Database(t, migrations)), kittest.Open(t, kittest.Database(t, migrations))
	e.restart()
	return e
}

// restart makes the walker of a consumer that just started.
func (e *edge) restart() {
	in := &inbox.Inbox{
		DB: e.consumer, Now: func() time.Time { return e.now }, Tracer: noop.NewTracerProvider().Tracer(""), Log: slog.New(slog.DiscardHandler),
		Handle: func(_ context.Context, _ pgx.Tx, _ time.Time, fresh []event.Event) error {
			for _, f := range fresh {
				if e.poison != nil && e.poison(f) {
					return inbox.ErrPoison
				}
			}
			return nil
		},
	}
	e.walker = &reconcile.Walker{Type: thing, Source: e, Inbox: in, Log: in.Log, RollEvery: time.Second}
}

// save stores one more version of the aggregates from to to.
func (e *edge) save(t *testing.T, from, to int) {
	t.Helper()
	var events []event.Event
	for n := from; n <= to; n++ {
		events = append(events, event.Event{Type: thing, ID: aggregate(n), Key: aggregate(n), OccurredAt: e.now, Data: []byte("x")})
	}
	if err := e.producer.InTx(t.Context(), "test", func(tx pgx.Tx) error {
		_, err := outbox.Save(t.Context(), tx, e.now, events)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// pass lets the time pass and the walker step every second.
func (e *edge) pass(t *testing.T, d time.Duration) {
	t.Helper()
	for end := e.now.Add(d); e.now.Before(end); e.now = e.now.Add(time.Second) {
		for {
			worked, err := e.walker.Step(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !worked {
				break
			}
		}
	}
}

func exec(t *testing.T, db *pg.DB, sql string, args ...any) {
	t.Helper()
	if _, err := db.Pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// same compares what the producer holds with what the consumer applied.
func (e *edge) same(t *testing.T) bool {
	t.Helper()
	const sum = `SELECT count(*) || ' ' || coalesce(md5(string_agg(id || ':' || epoch || ':' || version, ',' ORDER BY id)), '') FROM `
	var have, want string
	if err := errors.Join(e.producer.Pool.QueryRow(t.Context(), sum+"outbox").Scan(&want), e.consumer.Pool.QueryRow(t.Context(), sum+"inbox").Scan(&have)); err != nil {
		t.Fatal(err)
	}
	return have == want
}

func (e *edge) mustBeSame(t *testing.T) {
	t.Helper()
	if !e.same(t) {
		t.Error("the consumer does not hold what the producer holds")
	}
}

func TestStartingConsumerIsBroughtEverything(t *testing.T) {
	for _, held := range []int{0, 1, 999, 1000, 1001, 2000, 2500} {
		t.Run(fmt.Sprint(held), func(t *testing.T) {
			e := newEdge(t)
			for from := 1; from <= held; from += 500 {
				e.save(t, from, min(from+499, held))
			}
			e.pass(t, time.Second)
			e.mustBeSame(t)
			if e.fetched != held {
				t.Errorf("%d snapshots were fetched of %d", e.fetched, held)
			}
		})
	}
}

func TestRebuildFillsAnEmptyInbox(t *testing.T) {
	for _, held := range []int{0, 1000, 1001} {
		t.Run(fmt.Sprint(held), func(t *testing.T) {
			e := newEdge(t)
			for from := 1; from <= held; from += 500 {
				e.save(t, from, min(from+499, held))
			}
			if err := e.walker.Rebuild(t.Context()); err != nil {
				t.Fatal(err)
			}
			e.mustBeSame(t)
		})
	}
}

// Narrowing by time would make the producer read all it holds for every page.
func TestFirstWalkAsksForNoWindowAndLaterOnesForASmallOne(t *testing.T) {
	e := newEdge(t)
	e.pass(t, time.Minute)
	if first := e.asked[0]; first.GetChangedSince() != nil || first.GetChangedBefore() != nil {
		t.Errorf("asked first for %v", first)
	}
	windows := 0
	for _, a := range e.asked[1:] {
		if a.GetChangedSince() == nil {
			continue
		}
		windows++
		if width := a.GetChangedBefore().AsTime().Sub(a.GetChangedSince().AsTime()); width > time.Minute {
			t.Errorf("asked for a window of %v", width)
		}
	}
	if windows < 4 {
		t.Errorf("%d windows in a minute", windows)
	}
}

func TestRecentChangeThatTheBusLostIsRepairedWithinAMinute(t *testing.T) {
	e := newEdge(t)
	e.walker.RollEvery = time.Hour // only the recent changes
	e.save(t, 1, 3)
	e.pass(t, 30*time.Second)
	for range 3 {
		e.save(t, 2, 1500)
		e.pass(t, 40*time.Second)
		e.mustBeSame(t)
	}
}

func TestYoungChangesAreLeftToTheBus(t *testing.T) {
	e := newEdge(t)
	e.walker.RollEvery = time.Hour
	e.pass(t, 20*time.Second)
	e.save(t, 1, 1)
	e.pass(t, time.Second)
	if e.fetched != 0 {
		t.Error("fetched what was saved this very second")
	}
}

func TestChangeThatWasCommittedLateIsFoundByTheRollingPass(t *testing.T) {
	e := newEdge(t)
	e.save(t, 1, 2)
	e.pass(t, time.Minute)
	// Its time is long before every window that is still to come.
	exec(t, e.producer, `UPDATE outbox SET version = 2, recorded_at = recorded_at - interval '1 day' WHERE id = $1`, aggregate(2))
	e.pass(t, time.Minute)
	e.mustBeSame(t)
}

func TestChangeThatWasCommittedAMomentLateIsFoundByTheNextLook(t *testing.T) {
	e := newEdge(t)
	e.walker.RollEvery = time.Hour
	e.save(t, 1, 2)
	e.pass(t, time.Minute)
	looked := e.asked[len(e.asked)-1].GetChangedBefore().AsTime()
	exec(t, e.producer, `UPDATE outbox SET version = 2, recorded_at = $2 WHERE id = $1`, aggregate(2), looked.Add(-2*time.Second))
	e.pass(t, 20*time.Second)
	e.mustBeSame(t)
}

func TestProducerWhoseClockDiffersLosesNothing(t *testing.T) {
	for _, skew := range []time.Duration{-5 * time.Minute, 5 * time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			e := newEdge(t)
			e.pass(t, time.Minute)
			e.save(t, 1, 1200)
			exec(t, e.producer, `UPDATE outbox SET recorded_at = recorded_at + $1::interval`, skew)
			e.pass(t, time.Minute)
			e.mustBeSame(t)
		})
	}
}

func TestRollingPassGoesRoundAllPages(t *testing.T) {
	e := newEdge(t)
	for from := 1; from <= 2000; from += 500 {
		e.save(t, from, from+499)
	}
	e.pass(t, 10*time.Second)
	for range 2 {
		exec(t, e.consumer, `UPDATE inbox SET version = 0 WHERE id IN ($1, $2, $3)`, aggregate(1), aggregate(1001), aggregate(2000))
		e.pass(t, time.Minute)
		e.mustBeSame(t)
	}
}

func TestConsumerRestoredToAnEarlierStateCatchesUp(t *testing.T) {
	e := newEdge(t)
	e.save(t, 1, 1100)
	e.save(t, 1, 1100)
	e.pass(t, 10*time.Second)
	exec(t, e.consumer, `UPDATE inbox SET version = 1 WHERE id <= $1`, aggregate(900))
	exec(t, e.consumer, `DELETE FROM inbox WHERE id > $1`, aggregate(900))
	e.restart()
	e.pass(t, time.Second)
	e.mustBeSame(t)
}

func TestProducerRestoredWithANewEpochIsFollowed(t *testing.T) {
	e := newEdge(t)
	e.save(t, 1, 1)
	e.save(t, 1, 1)
	e.pass(t, 10*time.Second)
	exec(t, e.producer, `UPDATE outbox SET version = 1`)
	exec(t, e.producer, `UPDATE epoch SET epoch = 2`)
	e.save(t, 1, 1)
	e.pass(t, time.Minute)
	e.mustBeSame(t)
}

func TestBuriedVersionIsNotTriedAgainAndTheNextOneIs(t *testing.T) {
	e := newEdge(t)
	e.poison = func(f event.Event) bool { return f.ID == aggregate(1) && f.Version == 1 }
	e.save(t, 1, 2)
	e.pass(t, time.Minute)
	var attempts int
	if err := e.consumer.Pool.QueryRow(t.Context(), `SELECT sum(attempts) FROM dead_letter`).Scan(&attempts); err != nil || attempts != 1 {
		t.Errorf("buried %d times, %v", attempts, err)
	}
	e.save(t, 1, 1)
	e.pass(t, time.Minute)
	e.mustBeSame(t)
}

func TestProducerThatIsAwayIsWalkedFromWhereItEnded(t *testing.T) {
	e := newEdge(t)
	e.save(t, 1, 1500)
	away := errors.New("unavailable")
	if worked, err := e.walker.Step(t.Context()); !worked || err != nil {
		t.Fatalf("first page: %v, %v", worked, err)
	}
	e.away = away
	for range 3 {
		if _, err := e.walker.Step(t.Context()); !errors.Is(err, away) {
			t.Fatalf("error %v", err)
		}
	}
	e.away = nil
	e.pass(t, time.Second)
	e.mustBeSame(t)
	if e.fetched != 1500 {
		t.Errorf("%d snapshots were fetched of 1500", e.fetched)
	}
}

func TestClockThatJumpedAheadAndBackDoesNotStopTheWalk(t *testing.T) {
	for name, rest := range map[string]time.Duration{"recent changes": time.Hour, "rolling pass": time.Second} {
		t.Run(name, func(t *testing.T) {
			e := newEdge(t)
			e.walker.RollEvery = rest
			e.pass(t, 30*time.Second)
			e.now = e.now.Add(24 * time.Hour)
			e.pass(t, 30*time.Second)
			e.now = e.now.Add(-24 * time.Hour)
			e.save(t, 1, 3)
			if name == "rolling pass" {
				exec(t, e.producer, `UPDATE outbox SET recorded_at = recorded_at - interval '1 hour'`)
			}
			e.pass(t, time.Minute)
			e.mustBeSame(t)
		})
	}
}

func TestProducerThatWasRestoredUndeclaredRaisesAnAlarm(t *testing.T) {
	e := newEdge(t)
	var log bytes.Buffer
	e.walker.Log, e.walker.Producer = slog.New(slog.NewTextHandler(&log, nil)), "producer:50051"
	e.save(t, 1, 3)
	e.save(t, 1, 3)
	e.pass(t, 30*time.Second)
	if log.String() != "" && strings.Contains(log.String(), "alarm") {
		t.Fatalf("an alarm without a restore: %s", log.String())
	}
	exec(t, e.producer, `UPDATE outbox SET version = 1 WHERE id <> $1`, aggregate(2))
	e.pass(t, 30*time.Second)
	for _, word := range []string{"alarm", "restored", "producer=producer:50051", "behind=2"} {
		if !strings.Contains(log.String(), word) {
			t.Errorf("the log does not say %q: %s", word, log.String())
		}
	}
	exec(t, e.producer, `UPDATE epoch SET epoch = 2`)
	e.save(t, 1, 3)
	e.pass(t, 30*time.Second)
	log.Reset()
	e.pass(t, 2*time.Minute)
	if strings.Contains(log.String(), "alarm") {
		t.Errorf("an alarm after the restore was made good: %s", log.String())
	}
}

// The bus may bring a version between the producer's list and the comparison: that is no restore.
func TestVersionThatTheBusBringsDuringTheWalkRaisesNoAlarm(t *testing.T) {
	e := newEdge(t)
	var log bytes.Buffer
	e.walker.Log = slog.New(slog.NewTextHandler(&log, nil))
	e.save(t, 1, 1)
	e.pass(t, 30*time.Second)
	e.listed = func() {
		e.listed = nil
		e.save(t, 1, 1)
		exec(t, e.consumer, `UPDATE inbox SET version = 2`)
	}
	e.pass(t, 30*time.Second)
	if e.listed != nil || strings.Contains(log.String(), "alarm") {
		t.Errorf("the log: %s", log.String())
	}
}
