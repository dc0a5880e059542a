package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/outbox"
	"github.com/homeward-care/homeward/services/kit/pg"
)

func TestMain(m *testing.M) { kittest.Main(m) }

var migrations = fstest.MapFS{"0001_none.sql": {Data: []byte("-- +goose Up\nSELECT 1;")}}

var now = time.Date(2026, 9, 1, 9, 0, 0, 0, time.UTC)

// aggregate is the nth id of a test, in the order of the ids.
func aggregate(n int) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("00000000-0000-4000-8000-%012d", n))
}

func snapshot(id uuid.UUID, data string) event.Event {
	return event.Event{Type: "homeward.test.thing.v1", ID: id, Key: id, OccurredAt: now, Data: []byte(data)}
}

func save(t testing.TB, db *pg.DB, events ...event.Event) (saved []event.Event) {
	t.Helper()
	if err := db.InTx(context.Background(), "test", func(tx pgx.Tx) (err error) {
		saved, err = outbox.Save(context.Background(), tx, now, events)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return saved
}

func database(t *testing.T) *pg.DB {
	t.Helper()
	t.Parallel()
	return kittest.Open(t, kittest.Database(t, migrations))
}

func unsent(t testing.TB, db *pg.DB) (n int) {
	t.Helper()
	if err := db.Pool.QueryRow(context.Background(), `SELECT count(*) FROM outbox_unsent`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestVersionsOfAnAggregateAreCountedFromOne(t *testing.T) {
	db := database(t)
	for want := int64(1); want <= 3; want++ {
		saved := save(t, db, snapshot(aggregate(1), "x"))
		if saved[0].Version != want || saved[0].Epoch != 1 || !saved[0].RecordedAt.Equal(now) {
			t.Errorf("saved %+v, want version %d", saved[0], want)
		}
	}
	if saved := save(t, db, snapshot(aggregate(2), "x")); saved[0].Version != 1 {
		t.Errorf("another aggregate begins with version %d", saved[0].Version)
	}
}

func TestBumpedEpochIsNewerThanAllBefore(t *testing.T) {
	db := database(t)
	before := save(t, db, snapshot(aggregate(1), "x"))[0]
	if _, err := db.Pool.Exec(t.Context(), `UPDATE epoch SET epoch = epoch + 1`); err != nil {
		t.Fatal(err)
	}
	after := save(t, db, snapshot(aggregate(1), "y"))[0]
	if after.Epoch != 2 || after.Version != 2 || !after.NewerThan(before.Epoch, before.Version) {
		t.Errorf("epoch %d, version %d", after.Epoch, after.Version)
	}
}

func TestSaveTellsEachSnapshotItsOwnVersion(t *testing.T) {
	db := database(t)
	save(t, db, snapshot(aggregate(2), "x"))
	saved := save(t, db, snapshot(aggregate(3), "c"), snapshot(aggregate(1), "a"), snapshot(aggregate(2), "b"))
	got := map[string]int64{}
	for _, e := range saved {
		got[string(e.Data)] = e.Version
	}
	if d := cmp.Diff(map[string]int64{"a": 1, "b": 2, "c": 1}, got); d != "" {
		t.Error(d)
	}
}

func TestRolledBackSaveLeavesNoVersionAndNothingToSend(t *testing.T) {
	db := database(t)
	refused := errors.New("refused")
	if err := db.InTx(t.Context(), "test", func(tx pgx.Tx) error {
		_, err := outbox.Save(t.Context(), tx, now, []event.Event{snapshot(aggregate(1), "x")})
		return errors.Join(err, refused)
	}); !errors.Is(err, refused) {
		t.Fatal(err)
	}
	if n := unsent(t, db); n != 0 {
		t.Errorf("%d to send", n)
	}
	if saved := save(t, db, snapshot(aggregate(1), "y")); saved[0].Version != 1 {
		t.Errorf("version %d", saved[0].Version)
	}
}

func TestSavesOfTheSameAggregatesInAnyOrderDoNotBlockEachOther(t *testing.T) {
	db := database(t)
	const writers, rounds = 4, 20
	errs := make(chan error)
	for w := range writers {
		go func() {
			var err error
			for range rounds {
				events := []event.Event{snapshot(aggregate(1), "x"), snapshot(aggregate(2), "x"), snapshot(aggregate(3), "x")}
				if w%2 == 0 {
					events[0], events[2] = events[2], events[0]
				}
				err = errors.Join(err, db.InTx(context.Background(), "test", func(tx pgx.Tx) error {
					_, err := outbox.Save(context.Background(), tx, now, events)
					return err
				}))
			}
			errs <- err
		}()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if saved := save(t, db, snapshot(aggregate(2), "x")); saved[0].Version != writers*rounds+1 {
		t.Errorf("version %d after %d saves", saved[0].Version, writers*rounds)
	}
}

func TestCurrentReturnsEachSnapshotWhole(t *testing.T) {
	db := database(t)
	save(t, db, snapshot(aggregate(1), "longer than the other"), snapshot(aggregate(2), "short"))
	var got map[uuid.UUID][]byte
	if err := db.InTx(t.Context(), "test", func(tx pgx.Tx) (err error) {
		got, err = outbox.Current(t.Context(), tx, []uuid.UUID{aggregate(1), aggregate(2), aggregate(3)})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want := map[uuid.UUID][]byte{aggregate(1): []byte("longer than the other"), aggregate(2): []byte("short")}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
