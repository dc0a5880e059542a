package communitypickup

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/community-pickup/migrations"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/service"
)

// kept is a database of the service in which the test lets things happen.
type kept struct {
	t     *testing.T
	db    *pg.DB
	store *store
}

func newKept(t *testing.T) *kept {
	t.Helper()
	place, err := loadPlace(Config{Place: "thurrock"})
	if err != nil {
		t.Fatal(err)
	}
	db := kittest.Open(t, kittest.Database(t, migrations.FS))
	return &kept{t: t, db: db, store: &store{db: db, place: place}}
}

func (k *kept) learn(now time.Time, spell uuid.UUID, version int64) {
	k.t.Helper()
	data, err := proto.Marshal(discharged(spell, time.Date(2026, 9, 2, 13, 25, 0, 0, time.UTC)))
	if err != nil {
		k.t.Fatal(err)
	}
	e := event.Event{Type: spellType, ID: spell, Key: spell, Epoch: 1, Version: version, OccurredAt: now, RecordedAt: now, Data: data}
	if err := k.db.InTx(k.t.Context(), "adopt", func(tx pgx.Tx) error {
		return k.store.applyAll(readSpell)(k.t.Context(), tx, now, []event.Event{e})
	}); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kept) change(now time.Time, spell uuid.UUID, do func(pickup.Task) (pickup.Task, []pickup.Notice, error)) {
	k.t.Helper()
	if err := k.db.InTx(k.t.Context(), "adopt", func(tx pgx.Tx) error {
		found, err := lockTask(k.t.Context(), tx, taskID(spell))
		if err != nil {
			return err
		}
		after, fired, err := do(found.task)
		if err != nil {
			return err
		}
		return k.store.save(k.t.Context(), tx, now, []change{{id: taskID(spell), known: true, before: found.task, after: after, actor: "test", action: "test",
			occurredAt: now, fired: fired}})
	}); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kept) published(spell uuid.UUID) event.Event {
	k.t.Helper()
	e := event.Event{Key: spell}
	if err := k.db.Pool.QueryRow(k.t.Context(), `SELECT id, type, epoch, version, occurred_at, recorded_at, data FROM outbox WHERE id = $1`, taskID(spell)).
		Scan(&e.ID, &e.Type, &e.Epoch, &e.Version, &e.OccurredAt, &e.RecordedAt, &e.Data); err != nil {
		k.t.Fatal(err)
	}
	return e
}

func (k *kept) notices() (n int) {
	k.t.Helper()
	if err := k.db.Pool.QueryRow(k.t.Context(), `SELECT count(*) FROM notice`).Scan(&n); err != nil {
		k.t.Fatal(err)
	}
	return n
}

func TestRestoredServiceHasItsTasksBack(t *testing.T) {
	t.Parallel()
	spell, other := uuid.New(), uuid.New()
	learned, worked := time.Date(2026, 9, 2, 13, 40, 0, 0, time.UTC), time.Date(2026, 9, 3, 9, 0, 0, 0, time.UTC)
	later := time.Date(2026, 9, 20, 9, 0, 0, 0, time.UTC)
	// All that happened.
	whole := newKept(t)
	for _, id := range []uuid.UUID{spell, other} {
		whole.learn(learned, id, 1)
		whole.change(worked, id, func(task pickup.Task) (pickup.Task, []pickup.Notice, error) {
			task, err := task.Take("user:grays", worked)
			return task, nil, err
		})
		whole.change(worked, id, func(task pickup.Task) (pickup.Task, []pickup.Notice, error) {
			task, err := task.BookVisit(whole.store.place, "", worked.AddDate(0, 0, 7), worked)
			return task, nil, err
		})
		whole.change(later, id, func(task pickup.Task) (pickup.Task, []pickup.Notice, error) {
			task, fired := pickup.Fire(whole.store.place, task, later)
			return task, fired, nil
		})
	}
	if whole.notices() == 0 {
		t.Fatal("the story has no notices")
	}
	// What the restored database kept: one spell, untaken.
	back := newKept(t)
	back.learn(learned, spell, 1)
	wire := func(s *service.Service) error { return Wire(s, Config{}, back.store.place) }
	published := kittest.TakeOver(t, back.db, later, wire, whole.published(spell), whole.published(other))
	if len(published) != 2 {
		t.Fatalf("%d tasks were published anew", len(published))
	}
	for _, id := range []uuid.UUID{spell, other} {
		var got, want pickupv1.Task
		if err := proto.Unmarshal(published[id.String()].Data, &got); err != nil {
			t.Fatal(err)
		}
		if err := proto.Unmarshal(whole.published(id).Data, &want); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(&got, &want) {
			t.Errorf("published is\n%v\nwant\n%v", &got, &want)
		}
	}
	if back.notices() != whole.notices() {
		t.Errorf("%d notices are recorded, want %d", back.notices(), whole.notices())
	}
	back.learn(later, other, 1) // its spell comes back by reconciliation
	var got, want pickupv1.Task
	if err := proto.Unmarshal(back.published(other).Data, &got); err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(whole.published(other).Data, &want); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(&got, &want) {
		t.Errorf("after its spell is back:\n%v\nwant\n%v", &got, &want)
	}
	due := newestDue(t, back, later)
	if due != 0 {
		t.Errorf("%d tasks would fire again", due)
	}
}

func newestDue(t *testing.T, k *kept, now time.Time) (n int) {
	t.Helper()
	if err := k.db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM task WHERE next_deadline <= $1`, now).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
