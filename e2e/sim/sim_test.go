package sim

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/services/kit/devinfra"
)

func startPostgres(t *testing.T) *devinfra.Postgres {
	t.Helper()
	server, err := devinfra.StartPostgres(t.Context(), devinfra.PostgresOptions{MaxConnections: 150, Settings: Settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := server.CreateDatabases(t.Context(), "sim"); err != nil {
		t.Fatal(err)
	}
	return server
}

// slice are seeds that have different things, and one that has everything.
func slice() (seeds []uint64) {
	for seed := range uint64(30) {
		seeds = append(seeds, seed+1)
	}
	return append(seeds, fullEvery)
}

// TestSeedsEndAsTheOracleSays runs a slice of what `make sim` runs, the first seed and the last one twice: a seed that is not the same twice
// could not be looked into.
func TestSeedsEndAsTheOracleSays(t *testing.T) {
	s, err := Open(context.WithoutCancel(t.Context()), startPostgres(t).URL("sim"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	total := NewTotal()
	traces := map[uint64]string{}
	for _, seed := range append(slice(), 1, fullEvery) {
		r, err := s.Run(t.Context(), seed)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Violations) > 0 {
			t.Fatalf("seed %d: %s\n\n%s", seed, strings.Join(r.Violations, "\n"), strings.Join(r.Story, "\n"))
		}
		if before := traces[seed]; before != "" && before != r.TraceHash {
			t.Errorf("seed %d has the trace %s, and the second time %s", seed, before, r.TraceHash)
		}
		traces[seed] = r.TraceHash
		total.Add(r)
	}
	for _, a := range Actors {
		if total.Actors[a] == 0 && a != olderBackup {
			t.Errorf("%s: nowhere in %d seeds", a, total.Seeds)
		}
	}
	if n := total.Faults[crashBeforeCommit] + total.Faults[crashAfterCommit]; n == 0 {
		t.Error("no process crashed: nothing was broken")
	}
	t.Logf("%s", total)
}

// TestARunTellsWhatNeverHappened: of a kind that never fires a run proves nothing.
func TestARunTellsWhatNeverHappened(t *testing.T) {
	total := NewTotal()
	all := Result{Faults: map[Fault]int{}, Actors: map[Actor]int{}, Triggers: map[string]int{}}
	for _, kind := range Faults {
		all.Faults[kind]++
	}
	for _, a := range Actors {
		all.Actors[a]++
	}
	for _, trigger := range Triggers {
		all.Triggers[trigger]++
	}
	delete(all.Faults, wiped)
	delete(all.Actors, clerks)
	delete(all.Triggers, "A45")
	for range enough {
		total.Add(all)
	}
	if never := total.Missing(); !slices.Equal(never, []string{string(wiped), string(clerks), "A45"}) {
		t.Errorf("never happened: %v", never)
	}
}

// TestWhatIsPreparedServesTheNextSession, and what PostgreSQL refused to prepare does not count.
func TestWhatIsPreparedServesTheNextSession(t *testing.T) {
	config, err := pgx.ParseConfig(startPostgres(t).URL("sim"))
	if err != nil {
		t.Fatal(err)
	}
	lent := &backends{}
	config.DialFunc = lent.dial
	session := func(use func(*pgx.Conn)) {
		conn, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		use(conn)
		sessionOf(conn).end()
	}
	for range 2 {
		session(func(conn *pgx.Conn) {
			for _, n := range []int{7, 8} {
				var got int
				if err := conn.QueryRow(t.Context(), `SELECT $1::int + count(*) FROM pg_prepared_statements`, n).Scan(&got); err != nil || got != n+1 {
					t.Errorf("with one statement prepared %d and their number are %d: %v", n, got, err)
				}
			}
		})
	}
	for range 2 {
		session(func(conn *pgx.Conn) {
			if _, err := conn.Exec(t.Context(), `SELECT $1::int FROM late`, 1); err == nil {
				t.Error("a table is read that is not there")
			}
		})
	}
	session(func(conn *pgx.Conn) {
		if _, err := conn.Exec(t.Context(), `CREATE TABLE late (n int)`); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), `SELECT $1::int FROM late`, 1); err != nil {
			t.Errorf("what could not be prepared before: %v", err)
		}
	})
	session(func(conn *pgx.Conn) { // the reply is lost to what is done, not to what comes before
		sessionOf(conn).lose.Store(true)
		if _, err := conn.Exec(t.Context(), `INSERT INTO late VALUES ($1)`, 1); err == nil {
			t.Error("a lost reply has arrived")
		}
	})
	session(func(conn *pgx.Conn) {
		var rows int
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM late`).Scan(&rows); err != nil || rows != 1 {
			t.Errorf("a statement whose reply was lost made %d rows: %v", rows, err)
		}
	})
	if len(lent.free) != 1 {
		t.Errorf("%d processes served one session after another", len(lent.free))
	}
}
