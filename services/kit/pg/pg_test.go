package pg_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/pg"
)

func TestMain(m *testing.M) { kittest.Main(m) }

var migrations = fstest.MapFS{"0001_note.sql": {Data: []byte("-- +goose Up\nCREATE TABLE note (word text PRIMARY KEY);")}}

// open opens a new database with the hooks, and another way in without.
func open(t *testing.T, hooks pg.Hooks) (hooked, plain *pg.DB) {
	t.Helper()
	t.Parallel()
	url := kittest.Database(t, migrations)
	db, err := pg.Open(url, pg.Options{Hooks: hooks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db, kittest.Open(t, url)
}

func note(word string) func(pgx.Tx) error {
	return func(tx pgx.Tx) error {
		_, err := tx.Exec(context.Background(), `INSERT INTO note VALUES ($1)`, word)
		return err
	}
}

func notes(t *testing.T, db *pg.DB) (n int) {
	t.Helper()
	if err := db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM note`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTransactionCommitsOrLeavesNothing(t *testing.T) {
	db, _ := open(t, pg.Hooks{})
	if err := db.InTx(t.Context(), "test", note("kept")); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	err := db.InTx(t.Context(), "test", func(tx pgx.Tx) error { return errors.Join(note("gone")(tx), refused) })
	if !errors.Is(err, refused) || notes(t, db) != 1 {
		t.Errorf("error %v, %d notes", err, notes(t, db))
	}
}

func TestATransactionThatFoundNothingIsNoErrorAndLeavesNothing(t *testing.T) {
	db, _ := open(t, pg.Hooks{})
	err := db.InTx(t.Context(), "test", func(tx pgx.Tx) error { return errors.Join(note("gone")(tx), pg.ErrNothing) })
	if err != nil || notes(t, db) != 0 {
		t.Errorf("error %v, %d notes", err, notes(t, db))
	}
}

func TestPanicInATransactionLeavesNothingAndNoConnectionInUse(t *testing.T) {
	db, _ := open(t, pg.Hooks{})
	func() {
		defer func() { _ = recover() }()
		_ = db.InTx(t.Context(), "test", func(tx pgx.Tx) error {
			_ = note("gone")(tx)
			panic("broken")
		})
	}()
	if notes(t, db) != 0 || db.Pool.Stat().AcquiredConns() != 0 {
		t.Errorf("%d notes, %d connections in use", notes(t, db), db.Pool.Stat().AcquiredConns())
	}
}

func TestHookKeepsAStatementFromBeingSent(t *testing.T) {
	for _, denied := range []string{"begin", "INSERT", "commit"} {
		t.Run(denied, func(t *testing.T) {
			db, plain := open(t, pg.Hooks{Before: func(_ context.Context, sql string) error {
				if strings.HasPrefix(sql, denied) {
					return errors.New("cut off")
				}
				return nil
			}})
			if err := db.InTx(t.Context(), "test", note("x")); err == nil {
				t.Error("the caller was not told")
			}
			if n := notes(t, plain); n != 0 {
				t.Errorf("%d notes", n)
			}
		})
	}
}

func TestACommitThatRanOutOfTimeIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	db, plain := open(t, pg.Hooks{Before: func(_ context.Context, sql string) error {
		if sql == "commit" {
			cancel()
		}
		return nil
	}})
	if err := db.InTx(ctx, "test", note("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, %d notes", err, notes(t, plain))
	}
}

func TestHookCanHoldACommitWhileOthersLook(t *testing.T) {
	reached, release := make(chan struct{}), make(chan struct{})
	db, plain := open(t, pg.Hooks{Before: func(_ context.Context, sql string) error {
		if sql == "commit" {
			close(reached)
			<-release
		}
		return nil
	}})
	done := make(chan error)
	go func() { done <- db.InTx(context.WithoutCancel(t.Context()), "test", note("x")) }()
	<-reached
	if n := notes(t, plain); n != 0 {
		t.Errorf("%d notes before the commit", n)
	}
	close(release)
	if err := <-done; err != nil || notes(t, plain) != 1 {
		t.Errorf("error %v, %d notes after the commit", err, notes(t, plain))
	}
}

func TestCommitWhoseReplyIsLostHasHappenedAndIsAnError(t *testing.T) {
	lost := errors.New("reply lost")
	db, plain := open(t, pg.Hooks{Committed: func(context.Context) error { return lost }})
	if err := db.InTx(t.Context(), "test", note("x")); !errors.Is(err, lost) || notes(t, plain) != 1 {
		t.Errorf("error %v, %d notes", err, notes(t, plain))
	}
}

func TestRollbackThatHangsIsCutOff(t *testing.T) {
	db, _ := open(t, pg.Hooks{Before: func(ctx context.Context, sql string) error {
		if sql == "rollback" { // the other end has vanished
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}})
	refused := errors.New("refused")
	if err := db.InTx(t.Context(), "test", func(pgx.Tx) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("error %v", err)
	}
}

func TestSessionsCountTimeInUTC(t *testing.T) {
	db, _ := open(t, pg.Hooks{})
	var zone string
	if err := db.Pool.QueryRow(t.Context(), `SHOW timezone`).Scan(&zone); err != nil || zone != "UTC" {
		t.Errorf("time zone %s, %v", zone, err)
	}
}

func TestDataIsWhatNoRepetitionMends(t *testing.T) {
	db, _ := open(t, pg.Hooks{})
	if err := db.InTx(t.Context(), "test", note("x")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, sql string
		want      bool
	}{
		{"a row twice", `INSERT INTO note VALUES ('x')`, true},
		{"nothing where something must be", `INSERT INTO note VALUES (NULL)`, true},
		{"a number out of range", `SELECT 100000::smallint`, true},
		{"bytes that are no text", `SELECT convert_from('\xff', 'UTF8')`, true},
		{"a key too long for its index", `INSERT INTO note SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000) i`, true},
		// The schema may be about to be migrated, a right about to be given: what came before must not be given up for good.
		{"a table that is not there yet", `SELECT * FROM not_yet_migrated`, false},
		{"a column that is not there yet", `SELECT not_yet_migrated FROM note`, false},
		{"a right that is missing", `DO $$ BEGIN RAISE insufficient_privilege; END $$`, false},
		{"a deadlock", `DO $$ BEGIN RAISE deadlock_detected; END $$`, false},
		{"a server that stops", `DO $$ BEGIN RAISE admin_shutdown; END $$`, false},
		{"a full disk", `DO $$ BEGIN RAISE disk_full; END $$`, false},
		{"a session that ends", `SELECT pg_terminate_backend(pg_backend_pid())`, false},
	} {
		_, err := db.Pool.Exec(t.Context(), c.sql)
		if err == nil {
			t.Fatalf("%s: no error", c.name)
		}
		if got := pg.IsData(err); got != c.want {
			t.Errorf("%s (%v): data %v", c.name, err, got)
		}
	}
	if pg.IsData(nil) || pg.IsData(errors.New("x")) || pg.IsData(context.DeadlineExceeded) {
		t.Error("what does not come from the server is taken for its refusal")
	}
}

func TestMigratingTwiceAtOnceIsMigratingOnce(t *testing.T) {
	t.Parallel()
	url := kittest.EmptyDatabase(t)
	errs := make(chan error)
	const at = 2
	for range at {
		go func() { errs <- pg.Migrate(t.Context(), url, migrations, slog.New(slog.DiscardHandler)) }()
	}
	for range at {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if err := pg.Migrate(t.Context(), url, migrations, slog.New(slog.DiscardHandler)); err != nil {
		t.Errorf("when nothing is to be done: %v", err)
	}
	if n := notes(t, kittest.Open(t, url)); n != 0 {
		t.Errorf("%d notes", n)
	}
}

func TestMigrationThatFailsSaysWhichAndLeavesNothingOfIt(t *testing.T) {
	t.Parallel()
	url := kittest.Database(t, migrations)
	broken := fstest.MapFS{"0001_note.sql": migrations["0001_note.sql"],
		"0002_more.sql": {Data: []byte("-- +goose Up\nCREATE TABLE more (x int);\nCREATE TABLE note (word text);")}}
	err := pg.Migrate(t.Context(), url, broken, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "version:2") {
		t.Errorf("error %v", err)
	}
	var there bool
	if err := kittest.Open(t, url).Pool.QueryRow(t.Context(), `SELECT to_regclass('more') IS NOT NULL`).Scan(&there); err != nil || there {
		t.Errorf("half a migration is there: %v, %v", there, err)
	}
}

func TestOpenNamesTheSettingAtFault(t *testing.T) {
	if _, err := pg.Open("postgres://host:port/x", pg.Options{}); err == nil || !strings.Contains(err.Error(), "DATABASE_URL") {
		t.Errorf("error %v", err)
	}
}
