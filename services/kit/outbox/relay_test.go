package outbox_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace/noop"
	"pgregory.net/rapid"

	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/outbox"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// courier takes what relays publish; it can be told to fail.
type courier struct {
	taken []event.Event
	// fails says which events are not acknowledged; nil: none.
	fails func(event.Event) error
	// during is called while the events are on their way.
	during func()
}

func (c *courier) publish(_ context.Context, events []event.Event) []error {
	errs := make([]error, len(events))
	for i, e := range events {
		if c.fails != nil {
			errs[i] = c.fails(e)
		}
		if errs[i] == nil {
			c.taken = append(c.taken, e)
		}
	}
	if c.during != nil {
		c.during()
	}
	return errs
}

func relay(t testing.TB, db *pg.DB, c *courier) *outbox.Relay {
	t.Helper()
	clock := now
	tick := func() time.Time { clock = clock.Add(time.Minute); return clock } // so that every step looks whether its session is still there
	r := &outbox.Relay{DB: db, Publish: c.publish, Now: tick, Tracer: noop.NewTracerProvider().Tracer("")}
	t.Cleanup(r.Close)
	return r
}

func step(t testing.TB, r *outbox.Relay) (worked bool) {
	t.Helper()
	worked, err := r.Step(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return worked
}

func TestRelaySendsTheNewestSnapshotOnce(t *testing.T) {
	db, c := database(t), &courier{}
	r := relay(t, db, c)
	save(t, db, snapshot(aggregate(1), "old"))
	want := save(t, db, snapshot(aggregate(1), "new"))[0]
	step(t, r)
	step(t, r)
	if len(c.taken) != 1 || string(c.taken[0].Data) != "new" || c.taken[0].EventID() != want.EventID() || unsent(t, db) != 0 {
		t.Errorf("taken %v, %d unsent", c.taken, unsent(t, db))
	}
}

func TestVersionSavedWhileAnotherIsOnItsWayIsSentToo(t *testing.T) {
	db, c := database(t), &courier{}
	r := relay(t, db, c)
	save(t, db, snapshot(aggregate(1), "first"))
	c.during = func() { c.during = nil; save(t, db, snapshot(aggregate(1), "second")) }
	step(t, r)
	step(t, r)
	if len(c.taken) != 2 || string(c.taken[1].Data) != "second" {
		t.Errorf("taken %v", c.taken)
	}
}

func TestWhatIsNotAcknowledgedStaysWithItsErrorAndHoldsUpNoOther(t *testing.T) {
	db, c := database(t), &courier{}
	r := relay(t, db, c)
	save(t, db, snapshot(aggregate(1), "x"), snapshot(aggregate(2), "x"), snapshot(aggregate(3), "x"))
	c.fails = func(e event.Event) error {
		if e.ID == aggregate(2) {
			return errors.New("no room")
		}
		return nil
	}
	fail := func() {
		t.Helper()
		if _, err := r.Step(t.Context()); err == nil || !strings.Contains(err.Error(), "publish 1 of") {
			t.Fatalf("error %v", err)
		}
	}
	fail()
	if _, err := db.Pool.Exec(t.Context(), `UPDATE outbox_unsent SET attempts = 1000000`); err != nil { // nobody gives up
		t.Fatal(err)
	}
	fail()
	var id uuid.UUID
	var attempts int
	var lastError string
	if err := db.Pool.QueryRow(t.Context(), `SELECT id, attempts, last_error FROM outbox_unsent`).Scan(&id, &attempts, &lastError); err != nil {
		t.Fatal(err)
	}
	if id != aggregate(2) || attempts != 1000001 || lastError != "no room" || unsent(t, db) != 1 || len(c.taken) != 2 {
		t.Errorf("unsent: %s after %d attempts with %q; taken %v", id, attempts, lastError, c.taken)
	}
	c.fails = nil
	step(t, r)
	if unsent(t, db) != 0 || len(c.taken) != 3 {
		t.Errorf("%d unsent, taken %v", unsent(t, db), c.taken)
	}
}

func TestBacklogIsSentInBatchesWithoutRest(t *testing.T) {
	db, c := database(t), &courier{}
	r := relay(t, db, c)
	for n := range 3 {
		events := make([]event.Event, 400)
		for i := range events {
			events[i] = snapshot(aggregate(n*400+i), "x")
		}
		save(t, db, events...)
	}
	for step(t, r) {
	}
	if len(c.taken) != 1200 || unsent(t, db) != 0 {
		t.Errorf("%d of 1200 sent, %d unsent", len(c.taken), unsent(t, db))
	}
}

func TestOnlyOneOfTwoRelaysSendsAndTheOtherTakesOver(t *testing.T) {
	db, first, second := database(t), &courier{}, &courier{}
	one, two := relay(t, db, first), relay(t, db, second)
	step(t, one)
	save(t, db, snapshot(aggregate(1), "x"))
	if step(t, two); len(second.taken) != 0 {
		t.Error("both relays send")
	}
	if step(t, one); len(first.taken) != 1 {
		t.Error("nobody sends")
	}
	one.Close()
	save(t, db, snapshot(aggregate(1), "y"))
	kittest.Eventually(t, "the other takes over", func() bool { step(t, two); return len(second.taken) == 1 })
}

func TestRelayWhoseSessionIsLostYieldsToWhoeverHoldsTheLock(t *testing.T) {
	db, first, second := database(t), &courier{}, &courier{}
	one, two := relay(t, db, first), relay(t, db, second)
	step(t, one)
	if _, err := db.Pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks
		WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`); err != nil {
		t.Fatal(err)
	}
	save(t, db, snapshot(aggregate(1), "x"))
	kittest.Eventually(t, "the lock is free for another", func() bool { step(t, two); return len(second.taken) == 1 })
	save(t, db, snapshot(aggregate(1), "y"))
	if _, err := one.Step(t.Context()); err == nil {
		t.Error("the loss of its session went unnoticed")
	}
	if step(t, one); len(first.taken) != 0 {
		t.Error("it sends without the lock")
	}
	two.Close()
	kittest.Eventually(t, "it takes over again", func() bool { step(t, one); return len(first.taken) == 1 })
}

func TestRelayOutlivesTheLossOfEverySession(t *testing.T) {
	db, c := database(t), &courier{}
	r := relay(t, db, c)
	step(t, r)
	save(t, db, snapshot(aggregate(1), "x"))
	if _, err := db.Pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
		t.Fatal(err)
	}
	kittest.Eventually(t, "it sends again", func() bool {
		_, _ = r.Step(t.Context())
		return len(c.taken) == 1 && unsent(t, db) == 0
	})
}

func TestCrashBetweenPublishingAndMarkingSendsTheSameEventAgain(t *testing.T) {
	t.Parallel()
	url := kittest.Database(t, migrations)
	var crash atomic.Bool
	db, err := pg.Open(url, pg.Options{Hooks: pg.Hooks{Before: func(_ context.Context, sql string) error {
		if crash.Load() && strings.Contains(sql, "DELETE FROM outbox_unsent") {
			return errors.New("crash")
		}
		return nil
	}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	c := &courier{}
	save(t, db, snapshot(aggregate(1), "x"))
	crash.Store(true)
	before := relay(t, db, c)
	if _, err := before.Step(t.Context()); err == nil || len(c.taken) != 1 {
		t.Fatalf("no crash: %v, taken %v", err, c.taken)
	}
	before.Close()
	crash.Store(false)
	step(t, relay(t, db, c))
	if len(c.taken) != 2 || c.taken[0].EventID() != c.taken[1].EventID() || unsent(t, db) != 0 {
		t.Errorf("taken %v, %d unsent", c.taken, unsent(t, db))
	}
}

func resend(t testing.TB, db *pg.DB, ids ...uuid.UUID) {
	t.Helper()
	if err := db.InTx(context.Background(), "test", func(tx pgx.Tx) error { return outbox.Resend(context.Background(), tx, ids) }); err != nil {
		t.Fatal(err)
	}
}

func TestResendSendsTheCurrentSnapshotAgain(t *testing.T) {
	db, c := database(t), &courier{}
	r := relay(t, db, c)
	save(t, db, snapshot(aggregate(1), "x"), snapshot(aggregate(2), "x"))
	step(t, r)
	resend(t, db, aggregate(2), aggregate(2), aggregate(9))
	resend(t, db, aggregate(2))
	step(t, r)
	if len(c.taken) != 3 || c.taken[2].EventID() != c.taken[1].EventID() {
		t.Errorf("taken %v", c.taken)
	}
}

func TestHoweverPublishingFailsTheNewestVersionIsSentInTheEnd(t *testing.T) {
	db := database(t)
	rapid.Check(t, func(rt *rapid.T) {
		if _, err := db.Pool.Exec(t.Context(), `TRUNCATE outbox, outbox_unsent`); err != nil {
			rt.Fatal(err)
		}
		c := &courier{}
		r := relay(t, db, c)
		defer func() { r.Close() }()
		newest := map[uuid.UUID]event.Event{}
		saveOne := func() {
			e := save(t, db, snapshot(aggregate(rapid.IntRange(1, 3).Draw(rt, "aggregate")), "x"))[0]
			newest[e.ID] = e
		}
		rt.Repeat(map[string]func(*rapid.T){
			"save":   func(*rapid.T) { saveOne() },
			"resend": func(*rapid.T) { resend(t, db, aggregate(1), aggregate(2)) },
			"send":   func(*rapid.T) { step(t, r) },
			"save while sending": func(*rapid.T) {
				c.during = saveOne
				step(t, r)
				c.during = nil
			},
			"fail": func(*rapid.T) {
				c.fails = func(e event.Event) error {
					if e.ID == aggregate(1) {
						return errors.New("away")
					}
					return nil
				}
				_, _ = r.Step(t.Context())
				c.fails = nil
			},
			"restart": func(*rapid.T) { r.Close(); r = relay(t, db, c) },
		})
		kittest.Eventually(t, "all is sent", func() bool { step(t, r); return unsent(t, db) == 0 })
		sent := map[uuid.UUID]event.Event{}
		for _, e := range c.taken {
			if last, ok := sent[e.ID]; ok && last.NewerThan(e.Epoch, e.Version) {
				rt.Fatalf("version %d of %s was sent after %d", e.Version, e.ID, last.Version)
			}
			sent[e.ID] = e
		}
		for id, e := range newest {
			if sent[id].Version != e.Version {
				rt.Fatalf("of %s version %d was sent last, want %d", id, sent[id].Version, e.Version)
			}
		}
	})
}
