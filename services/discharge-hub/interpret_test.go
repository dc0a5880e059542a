package dischargehub

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/migrations"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/run"
)

// Many large messages that came while nobody interpreted are not read into memory at one time, and all are read.
func TestABatchIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	h := newStepped(t)
	const messages, size = 6, 4 << 20
	for n := range messages {
		h.insert(adt("A01", fmt.Sprintf("M%d", n), fmt.Sprintf("V%d", n), day(1, 9)).Set("ZZZ-1", strings.Repeat("x", size)).Bytes())
	}
	pending := func() (n int) {
		if err := h.db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM inbound_pending`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for left, more := messages, true; left > 0; {
		if !more {
			t.Fatalf("the interpreter rests while %d messages wait", left)
		}
		var err error
		if more, err = h.in.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		now := pending()
		if read := left - now; read == 0 || read*size > batchBytes+size {
			t.Fatalf("a batch of %d messages of %d bytes", read, size)
		}
		left = now
	}
}

// Handovers cost the same whether many or few are stored: no statement reads more than what is about its own spells.
func TestAHandoverReadsNothingOfOthers(t *testing.T) {
	t.Parallel()
	db, err := pg.Open(kittest.Database(t, migrations.FS), pg.Options{MaxConns: 1}) // one session, whose statistics can be asked for
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	h := steppedOn(t, db)
	h.store.teller = &teller{aClientOf("RAJ")}
	const batch = 100
	blocks := func() (n int) {
		if _, err := db.Pool.Exec(t.Context(), `SELECT pg_stat_force_next_flush()`); err != nil {
			t.Fatal(err)
		}
		if err := db.Pool.QueryRow(t.Context(), `
			SELECT (SELECT sum(idx_blks_read + idx_blks_hit) FROM pg_statio_user_indexes) + (SELECT sum(heap_blks_read + heap_blks_hit) FROM pg_statio_user_tables)`).
			Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	handovers := func(round int) int {
		before := blocks()
		for n := range batch {
			number := fmt.Sprintf("%d^^^RAJ^PI", 1000*round+n)
			h.insert(adt("A03", fmt.Sprintf("M%d", n), fmt.Sprintf("V%d-%d", round, n), day(1, 9)).SetRaw("PID-3", number).Bytes())
			h.insert(adt("A31", fmt.Sprintf("P%d", n), "", day(2, 9)).SetRaw("PID-3", number).Bytes())
		}
		for _, step := range []func(context.Context) (bool, error){h.in.Step, h.in.TellSpells} {
			if _, err := step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return blocks() - before
	}
	first := handovers(1)
	for _, others := range []string{
		`INSERT INTO fact (inbound_id, spell_id, fact) SELECT -n, gen_random_uuid(), '{}' FROM generate_series(1, 20000) n`,
		`INSERT INTO stay (key, spell_id) SELECT gen_random_uuid(), gen_random_uuid() FROM generate_series(1, 100000) n`,
	} {
		if _, err := db.Pool.Exec(t.Context(), others); err != nil {
			t.Fatal(err)
		}
	}
	if last := handovers(2); last > 2*first {
		t.Errorf("%d blocks read for the first %d handovers, %d for as many with thousands stored", first, batch, last)
	}
}

// Two transactions that learn at once that two spells are about one stay: one of them tells it.
func TestOneStayOfTwoSpellsIsToldWhoeverComesFirst(t *testing.T) {
	t.Parallel()
	db := kittest.Open(t, kittest.Database(t, migrations.FS))
	key, spells := uuid.NewString(), []uuid.UUID{uuid.New(), uuid.New()}
	first, err := db.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Rollback(t.Context()) }()
	told, err := sharedStays(t.Context(), first, []spellStay{{key, spells[0], 1}})
	if err != nil || len(told) != 0 {
		t.Fatal(told, err)
	}
	second, failed := make(chan []newException, 1), make(chan error, 1)
	go func() {
		failed <- db.InTx(t.Context(), "test", func(tx pgx.Tx) error {
			told, err := sharedStays(t.Context(), tx, []spellStay{{key, spells[1], 2}})
			second <- told
			return err
		})
	}()
	kittest.Eventually(t, "the second waits for the first, or has missed it", func() bool {
		var waiting int
		if err := db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		return waiting > 0 || len(second) > 0
	})
	if err := first.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if told := <-second; len(told) != 1 || told[0].kind != discharge.TwoKeysOneStay {
		t.Errorf("the second tells %v", told)
	}
}

// Two replicas read two messages of one spell at one time: what is published last rests on both.
func TestFoldsOfOneSpellAtOneTimeMissNoFact(t *testing.T) {
	t.Parallel()
	h := newStepped(t, adt("A01", "M1", "V1", day(1, 9)))
	second := steppedOn(t, h.db)
	h.insert(adt("A03", "M2", "V1", day(2, 14)).Bytes())
	h.insert(adt("A08", "M3", "V1", day(2, 15)).Set("PD1-3.3", "F81010").Bytes())
	ended := make(chan error, 1)
	if err := h.db.InTx(t.Context(), "test", func(tx pgx.Tx) error {
		claimed, err := claimPending(t.Context(), tx, 1)
		if err != nil {
			return err
		}
		if err := h.in.apply(t.Context(), tx, []*reading{{pendingMessage: claimed[0], Reading: h.in.read(claimed[0])}}); err != nil {
			return err
		}
		go func() {
			_, err := second.in.Step(t.Context())
			ended <- err
		}()
		kittest.Eventually(t, "the second one has ended or waits", func() bool { return kittest.WaitingForLocks(t, h.db)+len(ended) > 0 })
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if s, _ := h.spellOf("M1"); s.GetDischarge() == nil || s.GetPracticeCode() != "F81010" {
		t.Errorf("published: %v", s)
	}
}

func TestUndeliveredIsFoundAfterAClockWasAhead(t *testing.T) {
	t.Parallel()
	h := newStepped(t)
	c := &chaser{store: h.store, saved: run.NewWake(), log: slog.New(slog.DiscardHandler)}
	at := func(now time.Time) {
		t.Helper()
		c.now = func() time.Time { return now }
		if _, err := c.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	at(restoredAt.Add(50 * 24 * time.Hour))
	at(restoredAt)
	h.send(admitted())
	at(restoredAt.Add(2 * time.Minute))
	var n int
	if err := h.db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM undelivered`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n != 1 {
		t.Errorf("%d handovers are known not to be delivered, one is not", n)
	}
	// The first version is delivered, and a correction is not.
	if _, err := h.db.Pool.Exec(t.Context(), `UPDATE spell s SET delivered_epoch = o.epoch, delivered_version = o.version FROM outbox o WHERE o.id = s.id`); err != nil {
		t.Fatal(err)
	}
	at(restoredAt.Add(3 * time.Minute))
	h.send(adt("A03", "M2", "V1", day(2, 14)))
	at(restoredAt.Add(4 * time.Minute))
	if err := h.db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM undelivered`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d handovers are known not to be delivered, the corrected one is not: %v", n, err)
	}
}
