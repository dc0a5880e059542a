package restore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/outbox"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/reconcile"
	"github.com/homeward-care/homeward/services/kit/restore"
)

func TestMain(m *testing.M) { kittest.Main(m) }

var migrations = fstest.MapFS{"0001_none.sql": {Data: []byte("-- +goose Up\nSELECT 1;")}}

const thing = "homeward.test.thing.v1"

var now = time.Date(2026, 9, 1, 9, 0, 0, 0, time.UTC)

func aggregate(n int) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("00000000-0000-4000-8000-%012d", n))
}

func snapshot(n int, epoch int32, version int64, data string) event.Event {
	return event.Event{Type: thing, ID: aggregate(n), Key: aggregate(n), Epoch: epoch, Version: version, OccurredAt: now, RecordedAt: now, Data: []byte(data)}
}

// holder is a consumer of the restored service.
type holder struct {
	opsv1.ReconciliationServiceClient
	db    *pg.DB
	away  error
	asked int
}

func (h *holder) ListHeld(ctx context.Context, req *opsv1.ListHeldRequest, _ ...grpc.CallOption) (*opsv1.ListHeldResponse, error) {
	h.asked++
	if h.away != nil {
		return nil, h.away
	}
	return (&reconcile.Server{DB: h.db}).ListHeld(ctx, req)
}

func newHolder(t *testing.T, keepData bool, events ...event.Event) *holder {
	t.Helper()
	h := &holder{db: kittest.Open(t, kittest.Database(t, migrations))}
	in := &inbox.Inbox{DB: h.db, KeepData: keepData, Now: func() time.Time { return now }, Tracer: noop.NewTracerProvider().Tracer(""),
		Log: slog.New(slog.DiscardHandler), Handle: func(context.Context, pgx.Tx, time.Time, []event.Event) error { return nil }}
	for part := range slices.Chunk(events, 400) {
		if err := in.Apply(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// restored is a producer with a restored database, whose adopting publishes snapshots as they are.
type restored struct {
	*restore.TakeOver
	log     bytes.Buffer
	refuses func(event.Event) error
	unknown int // snapshots without data
	done    int
}

func newRestored(t *testing.T, hooks pg.Hooks, holders ...*holder) *restored {
	t.Helper()
	t.Parallel()
	db, err := pg.Open(kittest.Database(t, migrations), pg.Options{MaxConns: 4, Hooks: hooks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	r := &restored{}
	r.TakeOver = &restore.TakeOver{DB: db, Type: thing, Now: func() time.Time { return now.Add(time.Hour) }, Log: slog.New(slog.NewTextHandler(&r.log, nil)),
		Adopt: func(ctx context.Context, tx pgx.Tx, now time.Time, fresh []event.Event) error {
			var events []event.Event
			for _, e := range fresh {
				if r.refuses != nil && r.refuses(e) != nil {
					return r.refuses(e)
				}
				if len(e.Data) > 0 {
					events = append(events, e)
				} else {
					r.unknown++
				}
			}
			_, err := outbox.Save(ctx, tx, now, events)
			return err
		},
		Done: func(context.Context, pgx.Tx, time.Time, restore.Restore) error { r.done++; return nil },
	}
	for i, h := range holders {
		r.Holders = append(r.Holders, restore.Holder{Name: fmt.Sprint("holder ", i), Source: h})
	}
	return r
}

func (r *restored) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := r.DB.Pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// own puts a row into the outbox, as it came back from the backup.
func (r *restored) own(t *testing.T, e event.Event) {
	t.Helper()
	r.exec(t, `INSERT INTO outbox (id, type, key, epoch, version, occurred_at, recorded_at, traceparent, data) VALUES ($1, $2, $1, $3, $4, $5, $5, '', $6)`,
		e.ID, e.Type, e.Epoch, e.Version, e.OccurredAt, e.Data)
}

func (r *restored) declare(t *testing.T) restore.Restore {
	t.Helper()
	got, _, err := restore.Declare(t.Context(), r.DB, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (r *restored) run(t *testing.T) {
	t.Helper()
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// published tells what the outbox holds, as `<last digits of the id> <epoch>.<version> <data>`.
func (r *restored) published(t *testing.T) string {
	t.Helper()
	rows, err := r.DB.Pool.Query(t.Context(), `SELECT right(id::text, 2) || ' ' || epoch || '.' || version || ' ' || convert_from(data, 'UTF8') FROM outbox ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, ", ")
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

func TestDeclaringBeginsAnEpochOnceAndTellsTheGap(t *testing.T) {
	r := newRestored(t, pg.Hooks{})
	r.own(t, snapshot(1, 1, 1, "x"))
	ahead := snapshot(2, 1, 1, "recorded by a clock that was weeks ahead")
	ahead.OccurredAt = now.AddDate(0, 0, 50) // own records it then
	r.own(t, ahead)
	first, again, err := restore.Declare(t.Context(), r.DB, now.Add(time.Hour))
	if err != nil || again || first.Epoch != 2 || !first.KeptUntil.Equal(now) {
		t.Fatalf("%+v, again %v, %v", first, again, err)
	}
	if from, to := first.Gap(); !from.Equal(now.Add(-time.Minute)) || !to.Equal(now.Add(time.Hour)) {
		t.Errorf("the gap is from %s to %s", from, to)
	}
	second, again, err := restore.Declare(t.Context(), r.DB, now.Add(2*time.Hour))
	if err != nil || !again || second != first {
		t.Errorf("declared twice: %+v, again %v, %v", second, again, err)
	}
	r.run(t)
	if third := r.declare(t); third.Epoch != 3 {
		t.Errorf("another restore begins epoch %d", third.Epoch)
	}
}

func TestDeclaringIsRefusedWhileTheServiceRuns(t *testing.T) {
	r := newRestored(t, pg.Hooks{})
	relay := &outbox.Relay{DB: r.DB, Now: r.Now, Tracer: noop.NewTracerProvider().Tracer("")}
	if _, err := relay.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := restore.Declare(t.Context(), r.DB, now); !fault.Is(err, fault.Precondition) {
		t.Errorf("error %v", err)
	}
	relay.Close()
	r.declare(t)
}

func TestWithoutADeclaredRestoreNobodyIsAsked(t *testing.T) {
	h := newHolder(t, true, snapshot(1, 1, 9, "held"))
	r := newRestored(t, pg.Hooks{}, h)
	r.run(t)
	if h.asked != 0 || r.done != 0 || r.published(t) != "" {
		t.Errorf("asked %d times, done %d times, published %s", h.asked, r.done, r.published(t))
	}
}

func TestNewestOfAllHoldersIsAdoptedInTheNewEpoch(t *testing.T) {
	one := newHolder(t, true, snapshot(1, 1, 5, "lost"), snapshot(2, 1, 3, "put back"), snapshot(3, 1, 2, "same"), snapshot(4, 1, 1, "old"), snapshot(5, 1, 7, "behind"),
		snapshot(6, 1, 2, "as it was published before"))
	two := newHolder(t, true, snapshot(1, 1, 4, "lost, older"), snapshot(2, 1, 4, "put back, newest"))
	versions := newHolder(t, false, snapshot(3, 1, 2, "same"), snapshot(5, 1, 8, "ahead of all"), snapshot(2, 1, 4, "put back, newest"))
	r := newRestored(t, pg.Hooks{}, one, two, versions)
	r.own(t, snapshot(2, 1, 1, "own"))
	r.own(t, snapshot(3, 1, 2, "same"))
	r.own(t, snapshot(4, 1, 2, "newer"))
	r.own(t, snapshot(5, 1, 6, "own"))
	r.own(t, snapshot(6, 1, 2, "published after a restore that nobody declared"))
	r.declare(t)
	r.run(t)
	expect(t, "published", r.published(t),
		"01 2.1 lost, 02 2.2 put back, newest, 03 2.2 same, 04 2.2 newer, 05 1.6 own, 06 2.3 as it was published before")
	if r.unknown != 1 || r.done != 1 {
		t.Errorf("%d known by version only, done %d times", r.unknown, r.done)
	}
	r.run(t)
	if one.asked != 1 || r.done != 1 {
		t.Errorf("asked %d times, done %d times: it was done before", one.asked, r.done)
	}
}

// A database that is restored a second time, to before the first restore, has forgotten the epoch that its consumers know.
func TestEpochOutrunsEveryOneThatConsumersHaveSeen(t *testing.T) {
	r := newRestored(t, pg.Hooks{}, newHolder(t, true, snapshot(1, 4, 1, "held"), snapshot(2, 4, 1, "since the first restore")))
	r.own(t, snapshot(2, 3, 6, "of before the first restore"))
	r.declare(t)
	r.run(t)
	expect(t, "published", r.published(t), "01 5.1 held, 02 5.7 since the first restore")
	if open, err := restore.Open(t.Context(), r.DB); err != nil || len(open) != 1 || open[0].Epoch != 5 || open[0].TakenOverAt.IsZero() {
		t.Errorf("open restores: %+v, %v", open, err)
	}
}

func TestWhatIsStillOnItsWayIsOutrun(t *testing.T) {
	came := snapshot(1, 1, 3, "as it was backed up")
	h := newHolder(t, true, came)
	r := newRestored(t, pg.Hooks{}, h)
	r.own(t, came)
	r.declare(t)
	r.run(t)
	late := snapshot(1, 1, 5, "published before the restore, and not there when it was asked")
	var epoch int32
	var version int64
	if err := r.DB.Pool.QueryRow(t.Context(), `SELECT epoch, version FROM outbox WHERE id = $1`, came.ID).Scan(&epoch, &version); err != nil {
		t.Fatal(err)
	}
	if now := snapshot(1, epoch, version, ""); !now.NewerThan(late.Epoch, late.Version) {
		t.Errorf("the consumer keeps epoch %d, version %d, and what holds is epoch %d, version %d", late.Epoch, late.Version, epoch, version)
	}
}

func TestHolderThatIsAwayKeepsTheTakeOverDue(t *testing.T) {
	here, away := newHolder(t, true, snapshot(1, 1, 4, "older")), newHolder(t, true, snapshot(1, 1, 5, "newest"))
	away.away = errors.New("unavailable")
	r := newRestored(t, pg.Hooks{}, here, away)
	r.declare(t)
	for range 2 {
		if err := r.Run(t.Context()); !errors.Is(err, away.away) || !strings.Contains(err.Error(), "holder 1") {
			t.Fatalf("error %v", err)
		}
	}
	expect(t, "published while one is away", r.published(t), "")
	away.away = nil
	r.run(t)
	expect(t, "published", r.published(t), "01 2.1 newest")
}

func TestPagesAreWalkedToTheEnd(t *testing.T) {
	for _, held := range []int{0, 1, 499, 500, 501, 1000} {
		t.Run(fmt.Sprint(held), func(t *testing.T) {
			events := make([]event.Event, held)
			for i := range events {
				events[i] = snapshot(i+1, 1, 2, "x")
			}
			r := newRestored(t, pg.Hooks{}, newHolder(t, true, events...))
			r.declare(t)
			r.run(t)
			var n int
			if err := r.DB.Pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE epoch = 2`).Scan(&n); err != nil || n != held {
				t.Errorf("%d were taken over, %v", n, err)
			}
		})
	}
}

func TestBadSnapshotIsSetAsideWithAnAlarm(t *testing.T) {
	r := newRestored(t, pg.Hooks{}, newHolder(t, true, snapshot(1, 1, 1, "a"), snapshot(2, 1, 1, "bad"), snapshot(3, 1, 1, "c")))
	r.refuses = func(e event.Event) error {
		if string(e.Data) == "bad" {
			return fmt.Errorf("%w: not readable", inbox.ErrPoison)
		}
		return nil
	}
	r.declare(t)
	r.run(t)
	expect(t, "published", r.published(t), "01 2.1 a, 03 2.1 c")
	if !strings.Contains(r.log.String(), "alarm: a snapshot could not be taken over") {
		t.Errorf("no alarm in %s", r.log.String())
	}
}

// Whatever statement or commit it is cut off at, the take-over done again comes to the same.
func TestTakeOverCutOffAnywhereIsDoneAgain(t *testing.T) {
	h := newHolder(t, true, snapshot(1, 1, 5, "lost"), snapshot(2, 1, 3, "put back"))
	countdown := -1
	cut := errors.New("cut off")
	down := func() error {
		if countdown--; countdown == 0 {
			return cut
		}
		return nil
	}
	r := newRestored(t, pg.Hooks{Before: func(context.Context, string) error { return down() }, Committed: func(context.Context) error { return down() }}, h)
	r.own(t, snapshot(2, 1, 1, "own"))
	r.declare(t)
	cuts := 0
	for n := 1; ; n++ {
		countdown = n
		err := r.Run(t.Context())
		countdown = -1
		if err == nil {
			break
		}
		cuts++
	}
	if cuts < 5 {
		t.Fatalf("cut off %d times only", cuts)
	}
	expect(t, "published", r.published(t), "01 2.1 lost, 02 2.2 put back")
}
