// Package kittest gives tests real servers: a PostgreSQL for the test binary with a database for each test, a JetStream for each test, and
// an issuer of tokens. A server that cannot be had fails the test.
package kittest

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/devinfra"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/rpc"
	"github.com/homeward-care/homeward/services/kit/service"
)

// server is the PostgreSQL of this test binary, from the first test that asks for a database: what needs none, such as each of the
// processes that fuzz a function, does not wait for one.
var (
	server      *devinfra.Postgres
	startServer = sync.OnceValue(func() (err error) {
		server, err = devinfra.StartPostgres(context.Background(), devinfra.PostgresOptions{})
		return err
	})
)

var databases atomic.Int32

// Main runs a package's tests with a PostgreSQL beside them: `func TestMain(m *testing.M) { kittest.Main(m) }`.
func Main(m *testing.M) {
	code := m.Run()
	if server != nil {
		if err := server.Stop(); err != nil {
			fmt.Fprintf(os.Stderr, "PostgreSQL did not stop cleanly: %v\n", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// EmptyDatabase returns the URL of a new database without any table.
func EmptyDatabase(t testing.TB) string {
	t.Helper()
	if err := startServer(); err != nil {
		t.Fatalf("no PostgreSQL for the tests: %v", err)
	}
	name := fmt.Sprintf("test_%d", databases.Add(1))
	if err := server.CreateDatabases(t.Context(), name); err != nil {
		t.Fatalf("create database: %v", err)
	}
	return server.URL(name)
}

// Database returns the URL of a new database with the kit's tables and the service's.
func Database(t testing.TB, migrations fs.FS) string {
	t.Helper()
	url := EmptyDatabase(t)
	if err := pg.Migrate(t.Context(), url, migrations, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatalf("migrate: %v", err)
	}
	return url
}

// Open opens a database for looking into it; it is closed with the test.
func Open(t testing.TB, url string) *pg.DB {
	t.Helper()
	db, err := pg.Open(url, pg.Options{MaxConns: 4})
	if err != nil {
		t.Fatalf("open database: %v", err)
	}
	t.Cleanup(db.Close)
	return db
}

// NATS returns a JetStream server of this test alone.
func NATS(t testing.TB) *devinfra.NATS {
	t.Helper()
	n, err := devinfra.StartNATS(devinfra.NATSOptions{Port: -1})
	if err != nil {
		t.Fatalf("start NATS: %v", err)
	}
	t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			t.Errorf("stop NATS: %v", err)
		}
	})
	return n
}

// Issuer mints the tokens of one test.
func Issuer(t testing.TB) *devinfra.Issuer {
	t.Helper()
	i, err := devinfra.OpenIssuer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// Config is the configuration of a service under test.
func Config(t testing.TB, name, databaseURL string, n *devinfra.NATS, i *devinfra.Issuer) service.Config {
	t.Helper()
	tokenFile, err := i.WriteServiceToken(name)
	if err != nil {
		t.Fatal(err)
	}
	return service.Config{
		DatabaseURL: databaseURL, DatabaseConns: 8, NATSURL: n.ClientURL(), GRPCAddr: FreeAddr(t),
		TokenKeysFile: i.KeysFile(), TokenIssuer: devinfra.IssuerName, TokenFile: tokenFile, LogLevel: slog.LevelWarn,
	}
}

// Dial returns a connection on which every call is made by the principal.
func Dial(t testing.TB, addr string, i *devinfra.Issuer, p authn.Principal) *grpc.ClientConn {
	t.Helper()
	conn, err := rpc.Dial(addr, func() (string, error) { return i.Mint(p, time.Hour) }, noop.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Start runs a service until the test ends, and fails the test when it ends with an error.
func Start(t testing.TB, run func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("service ended with: %v", err)
		}
	})
}

// Eventually waits until the condition holds; the limit is generous, it only keeps a broken test from hanging.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("did not come true: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
