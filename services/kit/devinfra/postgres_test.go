package devinfra

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// openFolder is a folder that PostgreSQL's own user can enter even when the tests run as root.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hw-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func startPostgres(t *testing.T, opts PostgresOptions) *Postgres {
	t.Helper()
	p, err := StartPostgres(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func run(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func query(t *testing.T, url, sql string) (text string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), sql).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

func TestPostgresKeepsItsDataOverStopAndKill(t *testing.T) {
	opts := PostgresOptions{Dir: filepath.Join(openFolder(t), "pg")}
	p := startPostgres(t, opts)
	if err := p.CreateDatabases(t.Context(), "hub", "pickup", "hub"); err != nil {
		t.Fatal(err)
	}
	run(t, p.URL("hub"), "CREATE TABLE kept AS SELECT 'before' AS word")
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}

	p = startPostgres(t, opts)
	if got := query(t, p.URL("hub"), "SELECT word FROM kept"); got != "before" {
		t.Fatalf("after a stop: %q", got)
	}
	run(t, p.URL("hub"), "UPDATE kept SET word = 'after'")
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Done()

	p = startPostgres(t, opts)
	if got := query(t, p.URL("hub"), "SELECT word FROM kept"); got != "after" {
		t.Fatalf("after a kill: %q", got)
	}
	if err := p.CreateDatabases(t.Context(), "hub"); err != nil {
		t.Fatalf("databases that exist: %v", err)
	}
}

func TestPostgresStartsThoughAnotherProcessNowHasTheOldProcessID(t *testing.T) {
	opts := PostgresOptions{Dir: filepath.Join(openFolder(t), "pg")}
	p := startPostgres(t, opts)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(p.data(), "postmaster.pid")
	if err := os.WriteFile(lock, []byte("1\n"+p.data()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	startPostgres(t, opts)
}

func TestPostgresRefusesASecondServerOnTheSameData(t *testing.T) {
	opts := PostgresOptions{Dir: filepath.Join(openFolder(t), "pg")}
	startPostgres(t, opts)
	ctx, cancel := context.WithCancel(t.Context())
	cluster, err := OpenCluster(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := cluster.Command(ctx, nil); err == nil {
		t.Fatal("a second server on the same data was allowed")
	}
}

func TestPostgresAsksForAPasswordOnTCPOnly(t *testing.T) {
	port := freePort(t)
	p := startPostgres(t, PostgresOptions{Port: port})
	p.socketDir = ""
	if got := query(t, p.URL("postgres"), "SELECT 'in'"); got != "in" {
		t.Fatal(got)
	}
	p.password = "wrong"
	if conn, err := pgx.Connect(t.Context(), p.URL("postgres")); err == nil {
		conn.Close(t.Context())
		t.Fatal("a wrong password was accepted")
	}
}

func TestTemporaryPostgresLeavesNothing(t *testing.T) {
	p := startPostgres(t, PostgresOptions{})
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(p.temporary); !os.IsNotExist(err) {
		t.Fatalf("%s is still there: %v", p.temporary, err)
	}
}

func TestDatabaseURLKeepsServerAndOptions(t *testing.T) {
	got, err := DatabaseURL("postgres://me:pw@db.example:5432/postgres?sslmode=require", "discharge_hub")
	if want := "postgres://me:pw@db.example:5432/discharge_hub?sslmode=require"; err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if _, err := DatabaseURL("db.example", "x"); err == nil {
		t.Error("a URL without a scheme was accepted")
	}
}
