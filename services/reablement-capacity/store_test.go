package reablementcapacity

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/reablement-capacity/migrations"
	"github.com/homeward-care/homeward/services/reablement-capacity/reablement"
)

// The clock stands still in these tests: the store is driven without the service's workers.
var morning = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func newStore(t *testing.T) *store {
	t.Helper()
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	return &store{db: kittest.Open(t, kittest.Database(t, migrations.FS)), zone: zone}
}

func commandAt(at time.Time) command { return command{actor: "user:test", action: "test", at: at} }

func (s *store) offered(t *testing.T, slots int) uuid.UUID {
	t.Helper()
	id := uuid.New()
	if _, err := s.publish(t.Context(), commandAt(morning), id, "ACME", reablement.Offer{
		Area: "CLS-GRAYS", Slots: slots, VisitsPerDay: 4, AvailableFrom: "2026-11-20", ValidUntil: morning.Add(1000 * time.Hour),
	}); err != nil {
		t.Fatal(err)
	}
	return id
}

func (s *store) held(t *testing.T, capacity uuid.UUID) uuid.UUID {
	t.Helper()
	wanted, err := reablement.NewNeed(uuid.New(), "CLS-GRAYS", 2, "2026-11-24", morning)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.request(t.Context(), commandAt(morning), wanted); err != nil {
		t.Fatal(err)
	}
	if _, err := s.hold(t.Context(), commandAt(morning), wanted.SpellID, capacity, "", 2*time.Hour); err != nil {
		t.Fatal(err)
	}
	return wanted.SpellID
}

func (s *store) accept(ctx context.Context, spell uuid.UUID, at time.Time) error {
	_, err := s.decide(ctx, commandAt(at), spell, func(n reablement.Need, c reablement.Capacity) (reablement.Need, error) {
		return reablement.Accept(n, c, "ACME", "2026-11-24", at)
	})
	return refusal(err)
}

func (s *store) taken(t *testing.T) (n int) {
	t.Helper()
	if err := s.db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM slot`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAnExpiredHoldIsNotAcceptedBeforeTheSweeperCame(t *testing.T) {
	s := newStore(t)
	capacity := s.offered(t, 1)
	spell := s.held(t, capacity)
	end := morning.Add(2 * time.Hour)
	if err := s.accept(t.Context(), spell, end); !fault.Is(err, fault.Precondition) {
		t.Errorf("accepting at the end of the hold: %v, want a precondition", err)
	}
	if n, err := s.get(t.Context(), spell); err != nil || n.Status != reablement.Held {
		t.Fatalf("%v, %v: the test needs a hold that nobody has cleared away", n.Status, err)
	}
	// The person can be held again in the slot of the hold that ran out, though it is the only one.
	if n, err := s.hold(t.Context(), commandAt(end), spell, capacity, "", 2*time.Hour); err != nil || !n.HeldUntil.Equal(end.Add(2*time.Hour)) {
		t.Errorf("held again: %+v, %v", n, err)
	}
	if err := s.accept(t.Context(), spell, end); err != nil {
		t.Error(err)
	}
}

func TestTheSweeperTakesWhatHasRunOutAndNothingElse(t *testing.T) {
	s := newStore(t)
	capacity := s.offered(t, 3)
	expired, accepted, started := s.held(t, capacity), s.held(t, capacity), s.held(t, capacity)
	for _, spell := range []uuid.UUID{accepted, started} {
		if err := s.accept(t.Context(), spell, morning); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.decide(t.Context(), commandAt(morning), started, func(n reablement.Need, _ reablement.Capacity) (reablement.Need, error) {
		return reablement.Start(n, "ACME", "2026-11-23", "2026-12-01", "2026-11-23")
	}); err != nil {
		t.Fatal(err)
	}
	lastDayOver := time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		at           time.Time
		freed, taken int
	}{
		{morning.Add(2*time.Hour - 1), 0, 3},
		{morning.Add(2 * time.Hour), 1, 2},
		{morning.Add(2 * time.Hour), 0, 2},
		{lastDayOver.Add(-1), 0, 2},
		{lastDayOver, 1, 1},
		{lastDayOver.AddDate(1, 0, 0), 0, 1},
	} {
		freed, err := s.sweep(t.Context(), step.at)
		if err != nil || freed != step.freed || s.taken(t) != step.taken {
			t.Errorf("at %s: freed %d, %d taken, %v; want %d and %d", step.at, freed, s.taken(t), err, step.freed, step.taken)
		}
	}
	for spell, want := range map[uuid.UUID]reablement.Status{expired: reablement.Requested, accepted: reablement.Accepted, started: reablement.Started} {
		if n, err := s.get(t.Context(), spell); err != nil || n.Status != want {
			t.Errorf("%s, %v; want %s", n.Status, err, want)
		}
	}
}

func TestTheSweeperLeavesWhatSomebodyIsChanging(t *testing.T) {
	s := newStore(t)
	spell := s.held(t, s.offered(t, 1))
	later := morning.Add(3 * time.Hour)
	if err := s.db.InTx(t.Context(), "test", func(tx pgx.Tx) error {
		if _, err := lockNeed(t.Context(), tx, spell); err != nil {
			return err
		}
		freed, err := s.sweep(t.Context(), later)
		if freed != 0 {
			t.Errorf("freed %d under somebody's hands", freed)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if freed, err := s.sweep(t.Context(), later); err != nil || freed != 1 {
		t.Errorf("freed %d, %v; want 1 once nobody is at it", freed, err)
	}
}

func TestTheDatabaseRefusesASecondHolderOfASlotByItself(t *testing.T) {
	s := newStore(t)
	capacity := s.offered(t, 2)
	first, second := s.held(t, capacity), s.held(t, capacity)
	third := s.held(t, s.offered(t, 1))
	for name, sql := range map[string]string{
		"the slot of somebody else":   `INSERT INTO slot (capacity_id, slots, number, spell_id) SELECT $1, 2, 1, $2 FROM slot WHERE spell_id = $3 HAVING count(*) = 1`,
		"a slot that does not exist":  `INSERT INTO slot (capacity_id, slots, number, spell_id) SELECT $1, 2, 3, $2 WHERE $3::uuid IS NOT NULL`,
		"more slots than are offered": `INSERT INTO slot (capacity_id, slots, number, spell_id) SELECT $1, 3, 3, $2 WHERE $3::uuid IS NOT NULL`,
		"fewer slots than are taken":  `UPDATE capacity SET slots = 1 WHERE id = $1 AND $2::uuid IS NOT NULL AND $3::uuid IS NOT NULL`,
	} {
		err := s.db.InTx(t.Context(), "test", func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `DELETE FROM slot WHERE spell_id = $1`, third); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), sql, capacity, third, first)
			return err
		})
		if !pg.IsData(err) {
			t.Errorf("%s: %v, want a violated constraint", name, err)
		}
	}
	if err := s.db.InTx(t.Context(), "test", func(tx pgx.Tx) error { return takeSlot(t.Context(), tx, capacity, third, nil) }); !pg.IsData(err) {
		t.Errorf("taking a slot when none is free: %v, want a violated constraint", err)
	}
	if err := s.db.InTx(t.Context(), "test", func(tx pgx.Tx) error { return takeSlot(t.Context(), tx, capacity, second, nil) }); !pg.IsData(err) {
		t.Errorf("taking a second slot for somebody: %v, want a violated constraint", err)
	}
}
