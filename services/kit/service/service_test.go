package service_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/outbox"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/service"
)

var migrations fs.FS = fstest.MapFS{"0001_note.sql": {Data: []byte("-- +goose Up\nCREATE TABLE note (word text);")}}

// A test starts this binary again as the service that it is about.
func TestMain(m *testing.M) {
	if os.Getenv("BE_A_SERVICE") == "" {
		kittest.Main(m)
	}
	service.Main("test-service", migrations, func(ctx context.Context, c service.Config) error {
		if c.GRPCAddr == "broken" {
			return errors.New("cannot listen")
		}
		fmt.Println("served with", c.DatabaseConns, "connections")
		return nil
	}, service.Command{Name: "own", Help: "do it", Run: func(_ context.Context, _ *pg.DB, _ time.Time, out io.Writer) error {
		_, err := fmt.Fprintln(out, "did it")
		return err
	}})
}

// program runs the service with these arguments and this environment alone.
func program(t *testing.T, args []string, env ...string) (output string, exit int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(env, "BE_A_SERVICE=1")
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

var complete = []string{"DATABASE_URL=postgres://x", "NATS_URL=nats://x", "GRPC_ADDR=:1", "TOKEN_KEYS_FILE=k", "TOKEN_ISSUER=i", "TOKEN_FILE=t"}

func TestEverythingThatIsMissingIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	out, exit := program(t, nil, "NATS_URL=", "DATABASE_CONNS=many", "LOG_LEVEL=LOUD")
	if exit != 1 {
		t.Errorf("exit code %d", exit)
	}
	for _, name := range []string{"DATABASE_URL", "NATS_URL", "GRPC_ADDR", "TOKEN_KEYS_FILE", "TOKEN_ISSUER", "TOKEN_FILE", "DatabaseConns", "LogLevel"} {
		if !strings.Contains(out, name) {
			t.Errorf("%s is not named in:\n%s", name, out)
		}
	}
}

func TestCompleteEnvironmentServes(t *testing.T) {
	t.Parallel()
	if out, exit := program(t, nil, complete...); exit != 0 || !strings.Contains(out, "served with 12 connections") {
		t.Errorf("exit code %d: %s", exit, out)
	}
}

func TestErrorOfTheServiceIsToldUnderItsName(t *testing.T) {
	t.Parallel()
	if out, exit := program(t, nil, append(complete, "GRPC_ADDR=broken")...); exit != 1 || !strings.Contains(out, "test-service: cannot listen") {
		t.Errorf("exit code %d: %s", exit, out)
	}
}

func TestWrongArgumentPrintsTheUsage(t *testing.T) {
	t.Parallel()
	if out, exit := program(t, []string{"migrat"}, complete...); exit != 2 || !strings.Contains(out, "usage: test-service") {
		t.Errorf("exit code %d: %s", exit, out)
	}
}

func TestMigrateNeedsTheDatabaseAloneAndCanBeRepeated(t *testing.T) {
	t.Parallel()
	url := kittest.EmptyDatabase(t)
	for range 2 {
		if out, exit := program(t, []string{"migrate"}, "DATABASE_URL="+url); exit != 0 {
			t.Fatalf("exit code %d: %s", exit, out)
		}
	}
	var tables int
	if err := kittest.Open(t, url).Pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_tables WHERE tablename IN ('note', 'outbox', 'inbox')`).Scan(&tables); err != nil || tables != 3 {
		t.Errorf("%d tables, %v", tables, err)
	}
	if out, exit := program(t, []string{"migrate"}); exit != 1 || !strings.Contains(out, "DATABASE_URL") {
		t.Errorf("without a database: exit code %d: %s", exit, out)
	}
}

func TestRestoredTellsWhatWasDoneAndWhatComesNext(t *testing.T) {
	t.Parallel()
	url := kittest.Database(t, migrations)
	for _, want := range [][]string{{"epoch 2 begins", "start the service"}, {"noted before", "epoch 2 begins"}} {
		out, exit := program(t, []string{"restored"}, "DATABASE_URL="+url)
		if exit != 0 {
			t.Fatalf("exit code %d: %s", exit, out)
		}
		for _, words := range want {
			if !strings.Contains(out, words) {
				t.Errorf("%q is not said in:\n%s", words, out)
			}
		}
	}
	if out, exit := program(t, []string{"own"}, "DATABASE_URL="+url); exit != 0 || out != "did it\n" {
		t.Errorf("a command of the service's own: exit code %d: %s", exit, out)
	}
}

func TestRestoredWaitsForTheSessionOfAKilledProcessToEnd(t *testing.T) {
	t.Parallel()
	url := kittest.Database(t, migrations)
	tx, err := kittest.Open(t, url).Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if idle, err := outbox.Idle(t.Context(), tx); err != nil || !idle { // holds what a running service holds
		t.Fatal(idle, err)
	}
	time.AfterFunc(time.Second, func() { _ = tx.Rollback(context.Background()) })
	if out, exit := program(t, []string{"restored"}, "DATABASE_URL="+url); exit != 0 {
		t.Errorf("exit code %d: %s", exit, out)
	}
}
