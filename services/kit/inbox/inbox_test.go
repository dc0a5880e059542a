package inbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace/noop"
	"pgregory.net/rapid"

	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/pg"
)

func TestMain(m *testing.M) { kittest.Main(m) }

// An effect is what the handler under test does with a version: a row that must be there once.
var migrations = fstest.MapFS{"0001_effect.sql": {Data: []byte("-- +goose Up\nCREATE TABLE effect (id uuid, epoch int, version bigint, data bytea);")}}

const thing = "homeward.test.thing.v1"

var now = time.Date(2026, 9, 1, 9, 0, 0, 0, time.UTC)

func aggregate(n int) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("00000000-0000-4000-8000-%012d", n))
}

func snapshot(n int, epoch int32, version int64) event.Event {
	return event.Event{Type: thing, ID: aggregate(n), Key: aggregate(n), Epoch: epoch, Version: version, OccurredAt: now, RecordedAt: now,
		Data: []byte(fmt.Sprint(version))}
}

// work is a handler that writes an effect for each event, after check.
func work(check func(event.Event) error) inbox.Handler {
	return func(ctx context.Context, tx pgx.Tx, _ time.Time, fresh []event.Event) error {
		for _, e := range fresh {
			if _, err := tx.Exec(ctx, `INSERT INTO effect VALUES ($1, $2, $3, $4)`, e.ID, e.Epoch, e.Version, e.Data); err != nil {
				return err
			}
			if check != nil {
				if err := check(e); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

func newInbox(t *testing.T, hooks pg.Hooks, handle inbox.Handler) *inbox.Inbox {
	t.Helper()
	t.Parallel()
	db, err := pg.Open(kittest.Database(t, migrations), pg.Options{MaxConns: 4, Hooks: hooks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return &inbox.Inbox{DB: db, Handle: handle, KeepData: true, Now: func() time.Time { return now }, Tracer: noop.NewTracerProvider().Tracer(""),
		Log: slog.New(slog.DiscardHandler)}
}

func apply(t testing.TB, in *inbox.Inbox, events ...event.Event) {
	t.Helper()
	if err := in.Apply(context.Background(), events); err != nil {
		t.Fatal(err)
	}
}

// lines returns the rows of a query of one text column, in order.
func lines(t testing.TB, in *inbox.Inbox, query string) []string {
	t.Helper()
	rows, err := in.DB.Pool.Query(context.Background(), query)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	return got
}

// effects tells what was applied, as `<aggregate> <epoch>.<version>`.
func effects(t testing.TB, in *inbox.Inbox) []string {
	return lines(t, in, `SELECT right(id::text, 1) || ' ' || epoch || '.' || version FROM effect`)
}

// fences tells what the inbox remembers, in the same form.
func fences(t testing.TB, in *inbox.Inbox) []string {
	return lines(t, in, `SELECT right(id::text, 1) || ' ' || epoch || '.' || version FROM inbox`)
}

func buried(t testing.TB, in *inbox.Inbox) []string {
	return lines(t, in, `SELECT right(id::text, 1) || ' ' || epoch || '.' || version || ' x' || attempts FROM dead_letter`)
}

func expect(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestEqualAndOlderVersionsAreIgnored(t *testing.T) {
	in := newInbox(t, pg.Hooks{}, work(nil))
	apply(t, in, snapshot(1, 1, 5))
	apply(t, in, snapshot(1, 1, 5))
	apply(t, in, snapshot(1, 1, 4))
	apply(t, in, snapshot(1, 1, 6))
	expect(t, "effects", effects(t, in), "1 1.5", "1 1.6")
}

func TestHigherEpochWinsWhateverItsVersion(t *testing.T) {
	in := newInbox(t, pg.Hooks{}, work(nil))
	apply(t, in, snapshot(1, 1, 9))
	apply(t, in, snapshot(1, 2, 3))
	apply(t, in, snapshot(1, 1, 10))
	expect(t, "effects", effects(t, in), "1 1.9", "1 2.3")
	expect(t, "fences", fences(t, in), "1 2.3")
}

func TestOfABatchOnlyTheNewestOfEachIsApplied(t *testing.T) {
	in := newInbox(t, pg.Hooks{}, work(nil))
	apply(t, in, snapshot(2, 1, 2), snapshot(1, 1, 1), snapshot(2, 1, 3), snapshot(2, 1, 1))
	expect(t, "effects", effects(t, in), "1 1.1", "2 1.3")
}

func TestTypesHaveFencesOfTheirOwn(t *testing.T) {
	in := newInbox(t, pg.Hooks{}, work(nil))
	other := snapshot(1, 1, 1)
	other.Type = "homeward.test.other.v1"
	apply(t, in, snapshot(1, 1, 2))
	apply(t, in, other)
	expect(t, "effects", effects(t, in), "1 1.1", "1 1.2")
}

// Whatever is brought twice, late, or in pieces: each version is applied at most once, versions only ever rise, and the newest is applied.
func TestEachVersionIsAppliedOnceInRisingOrderHoweverItComes(t *testing.T) {
	in := newInbox(t, pg.Hooks{}, nil)
	applied := map[uuid.UUID][]event.Event{}
	in.Handle = func(_ context.Context, _ pgx.Tx, _ time.Time, fresh []event.Event) error {
		for _, e := range fresh {
			applied[e.ID] = append(applied[e.ID], e)
		}
		return nil
	}
	rapid.Check(t, func(rt *rapid.T) {
		clear(applied)
		if _, err := in.DB.Pool.Exec(t.Context(), `TRUNCATE inbox`); err != nil {
			rt.Fatal(err)
		}
		var sent []event.Event
		for n := 1; n <= 3; n++ {
			for epoch := int32(1); epoch <= 2; epoch++ {
				for version := int64(1); version <= 3; version++ {
					sent = append(sent, snapshot(n, epoch, version))
				}
			}
		}
		repeated := rapid.SliceOfN(rapid.SampledFrom(sent), 0, 10).Draw(rt, "brought twice")
		order := rapid.Permutation(append(slices.Clone(sent), repeated...)).Draw(rt, "order")
		for len(order) > 0 {
			n := rapid.IntRange(1, len(order)).Draw(rt, "batch")
			apply(t, in, order[:n]...)
			order = order[n:]
		}
		for id, got := range applied {
			for i := 1; i < len(got); i++ {
				if !got[i].NewerThan(got[i-1].Epoch, got[i-1].Version) {
					rt.Fatalf("%s: %d.%d was applied after %d.%d", id, got[i].Epoch, got[i].Version, got[i-1].Epoch, got[i-1].Version)
				}
			}
			if last := got[len(got)-1]; last.Epoch != 2 || last.Version != 3 {
				rt.Fatalf("%s ended at %d.%d", id, last.Epoch, last.Version)
			}
		}
		if len(applied) != 3 {
			rt.Fatalf("%d of 3 aggregates were applied", len(applied))
		}
	})
}

func TestTheSameEventFromBusAndWalkAtOnceIsAppliedOnce(t *testing.T) {
	in := newInbox(t, pg.Hooks{}, work(nil))
	errs := make(chan error)
	const bringers = 4
	for b := range bringers {
		go func() {
			var err error
			for version := int64(1); version <= 20; version++ {
				batch := []event.Event{snapshot(1, 1, version), snapshot(2, 1, version), snapshot(3, 1, version)}
				if b%2 == 0 {
					slices.Reverse(batch)
				}
				err = errors.Join(err, in.Apply(context.Background(), batch))
			}
			errs <- err
		}()
	}
	for range bringers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := effects(t, in); len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("applied twice: %v", got)
	}
	expect(t, "fences", fences(t, in), "1 1.20", "2 1.20", "3 1.20")
}

func TestHandlersErrorTakesTheFenceBack(t *testing.T) {
	away := errors.New("database is away")
	fail := true
	in := newInbox(t, pg.Hooks{}, work(func(event.Event) error {
		if fail {
			return away
		}
		return nil
	}))
	if err := in.Apply(t.Context(), []event.Event{snapshot(1, 1, 1)}); !errors.Is(err, away) {
		t.Fatalf("error %v", err)
	}
	expect(t, "fences", fences(t, in))
	expect(t, "buried", buried(t, in))
	fail = false
	apply(t, in, snapshot(1, 1, 1))
	expect(t, "effects", effects(t, in), "1 1.1")
}

func poisonous(poison func() error) inbox.Handler {
	return work(func(e event.Event) error {
		if e.ID == aggregate(2) && e.Version < 9 {
			return poison()
		}
		return nil
	})
}

func TestPoisonIsBuriedAndTheOthersAreApplied(t *testing.T) {
	for name, poison := range map[string]func() error{
		"named by the handler":         func() error { return fmt.Errorf("%w: unknown status", inbox.ErrPoison) },
		"refused by the database":      func() error { return data(t, "22003") },
		"a panic":                      func() error { panic("nil map") },
		"an error no column can store": func() error { return fmt.Errorf("%w: status \x00\xff", inbox.ErrPoison) },
	} {
		t.Run(name, func(t *testing.T) {
			in := newInbox(t, pg.Hooks{}, poisonous(poison))
			apply(t, in, snapshot(1, 1, 1), snapshot(2, 1, 1), snapshot(3, 1, 1))
			expect(t, "effects", effects(t, in), "1 1.1", "3 1.1")
			expect(t, "buried", buried(t, in), "2 1.1 x1")
			apply(t, in, snapshot(2, 1, 1))
			expect(t, "buried", buried(t, in), "2 1.1 x2")
			apply(t, in, snapshot(2, 1, 9))
			expect(t, "effects", effects(t, in), "1 1.1", "2 1.9", "3 1.1")
		})
	}
}

func TestBesidePoisonAnEventThatCannotBeAppliedNowIsBroughtAgain(t *testing.T) {
	away := errors.New("database is away")
	fail := true
	in := newInbox(t, pg.Hooks{}, nil)
	in.Handle = func(ctx context.Context, tx pgx.Tx, now time.Time, fresh []event.Event) error {
		if len(fresh) == 1 && fresh[0].ID == aggregate(3) && fail {
			return away
		}
		return poisonous(func() error { return inbox.ErrPoison })(ctx, tx, now, fresh)
	}
	batch := []event.Event{snapshot(1, 1, 1), snapshot(2, 1, 1), snapshot(3, 1, 1)}
	if err := in.Apply(t.Context(), batch); !errors.Is(err, away) {
		t.Fatalf("error %v", err)
	}
	fail = false
	apply(t, in, batch...)
	expect(t, "effects", effects(t, in), "1 1.1", "3 1.1")
	expect(t, "buried", buried(t, in), "2 1.1 x2")
}

func TestEventWithoutDataHoldsUpNobody(t *testing.T) {
	in := newInbox(t, pg.Hooks{}, nil)
	in.Handle = func(_ context.Context, _ pgx.Tx, _ time.Time, fresh []event.Event) error {
		if slices.ContainsFunc(fresh, func(e event.Event) bool { return len(e.Data) == 0 }) {
			return inbox.ErrPoison
		}
		return nil
	}
	empty := snapshot(2, 1, 1)
	empty.Data = nil
	apply(t, in, snapshot(1, 1, 1), empty)
	expect(t, "fences", fences(t, in), "1 1.1")
	expect(t, "buried", buried(t, in), "2 1.1 x1")
}

func TestConflictThatARepetitionMendsBuriesNothing(t *testing.T) {
	tries := 0
	in := newInbox(t, pg.Hooks{}, work(func(event.Event) error {
		tries++
		if tries == 1 { // another worker inserted the same row a moment earlier; next time it will be seen
			return data(t, "23505")
		}
		return nil
	}))
	apply(t, in, snapshot(1, 1, 1))
	expect(t, "effects", effects(t, in), "1 1.1")
	expect(t, "buried", buried(t, in))
}

func TestMissingTableBuriesNothing(t *testing.T) {
	in := newInbox(t, pg.Hooks{}, work(func(event.Event) error { return data(t, "42P01") }))
	if err := in.Apply(t.Context(), []event.Event{snapshot(1, 1, 1), snapshot(2, 1, 1)}); err == nil {
		t.Error("nothing could be applied, and the bus was not told")
	}
	expect(t, "buried", buried(t, in))
}

func TestCommitWhoseReplyIsLostHasItsEffectOnce(t *testing.T) {
	var lose atomic.Bool
	lose.Store(true)
	in := newInbox(t, pg.Hooks{Committed: func(context.Context) error {
		if lose.Swap(false) {
			return errors.New("reply lost")
		}
		return nil
	}}, work(nil))
	if err := in.Apply(t.Context(), []event.Event{snapshot(1, 1, 1)}); err == nil {
		t.Fatal("the reply was not lost")
	}
	apply(t, in, snapshot(1, 1, 1))
	expect(t, "effects", effects(t, in), "1 1.1")
}

func TestHandlerSeesEventsSortedAndDistinct(t *testing.T) {
	var got []event.Event
	in := newInbox(t, pg.Hooks{}, func(_ context.Context, _ pgx.Tx, _ time.Time, fresh []event.Event) error {
		got = append(got, fresh...)
		return nil
	})
	apply(t, in, snapshot(2, 1, 4))
	got = nil
	apply(t, in, snapshot(3, 1, 1), snapshot(2, 1, 4), snapshot(1, 1, 1), snapshot(3, 1, 2))
	if d := cmp.Diff([]event.Event{snapshot(1, 1, 1), snapshot(3, 1, 2)}, got, cmp.Comparer(func(a, b event.Event) bool {
		return a.ID == b.ID && a.Version == b.Version && bytes.Equal(a.Data, b.Data)
	})); d != "" {
		t.Error(d)
	}
}

func TestDeadLetterKeepsTheEventAndItsError(t *testing.T) {
	in := newInbox(t, pg.Hooks{}, work(func(event.Event) error { return fmt.Errorf("%w: unknown status", inbox.ErrPoison) }))
	apply(t, in, snapshot(1, 1, 7))
	got := lines(t, in, `SELECT type || ' ' || encode(data, 'escape') || ' ' || error FROM dead_letter`)
	if len(got) != 1 || !strings.HasPrefix(got[0], thing+" 7 ") || !strings.Contains(got[0], "unknown status") {
		t.Errorf("kept: %q", got)
	}
}
