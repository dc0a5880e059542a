package matrix

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/e2e/oracle"
	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/kit/devinfra"
	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// restorePoints are passed only when a database was put back to an earlier point: by the commands that say so, by the service when it starts
// after them, and by those that hold what it lost.
var restorePoints = []point{
	{"restored.commit", everywhere, nil},
	{"take-over.commit", everywhere, nil},
	{"replayed.commit", []string{hub}, nil},
	{opsv1.ReconciliationService_ListHeld_FullMethodName, []string{hub, assessment, community}, nil},
}

// restoredBy is whose database is put back so that a service passes a point.
func restoredBy(f fault) string {
	if f.point != opsv1.ReconciliationService_ListHeld_FullMethodName {
		return f.service
	}
	if f.service == hub {
		return community
	}
	return hub
}

// restoreUnder puts a service's database back to a point before most of what it was told, as the operator does it, while something fails,
// and checks that all comes out right.
func (w *world) restoreUnder(ctx context.Context, f fault, n int) error {
	name := restoredBy(f)
	s := w.begin(n)
	r := rand.New(rand.NewPCG(uint64(n), 2))
	before := oracle.NewStay(r, 10*n, s.began.AddDate(0, 0, -30)).Until(s.began)
	after := oracle.NewStay(r, 10*n+1, s.began.AddDate(0, 0, -10)).Until(s.began)
	half := len(before.Messages) / 2
	settled := func() error { return again(ctx, "all is settled", func() error { return s.check(ctx) }) }
	command, armed := w.commandUnder(f)
	if err := inTurn(
		func() error { return s.send(ctx, before.Messages[:half]...) },
		settled,
		func() error { return w.backUp(ctx, name) },
		func() error { return s.send(ctx, before.Messages[half:]...) },
		func() error { return s.send(ctx, after.Messages...) },
		settled,
	); err != nil {
		return fmt.Errorf("before the restore: %w", err)
	}

	if err := w.bringBack(ctx, name); err != nil {
		return err
	}
	fired := armed
	if f.point == "restored.commit" {
		if err := command("restored"); (err == nil) != (f.mode == "delay") {
			return fmt.Errorf("`restored` under the fault ended with %v", err)
		}
	} else if f.point != "replayed.commit" {
		var err error
		if fired, err = w.arm([]fault{f}, 1); err != nil {
			return err
		}
	}
	if err := w.command(ctx, name, "restored", ""); err != nil {
		return err
	}
	start := func() error {
		err := w.Part(name).Restart(ctx)
		if err != nil && strings.HasPrefix(f.mode, "crash") {
			return nil // it died on the way up, and is started again
		}
		return err
	}
	if err := start(); err != nil {
		return err
	}
	if f.point != "replayed.commit" {
		if err := again(ctx, "it fires", fired); err != nil {
			return err
		}
	}
	if name == hub {
		if err := s.sendAgain(ctx); err != nil {
			return err
		}
		if f.point == "replayed.commit" {
			if err := again(ctx, "`replayed` meets its fault", func() error { _ = command("replayed"); return armed() }); err != nil {
				return err
			}
		}
		if err := again(ctx, "the gap is closed", func() error { return w.closed(ctx) }); err != nil {
			return err
		}
	}
	return errors.Join(settled(), w.disarm())
}

// inTurn does one thing after another until one fails.
func inTurn(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// sendAgain is what a hospital does when it is asked for what was lost.
func (s *story) sendAgain(ctx context.Context) error {
	again := s.told
	s.told = nil
	return s.send(ctx, again...)
}

// commandUnder returns what runs a command of the service in which the fault is armed, and what asks whether that has fired.
func (w *world) commandUnder(f fault) (run func(string) error, fired func() error) {
	w.armed++
	file := filepath.Join(w.dir, fmt.Sprintf("command_%d.faults", w.armed))
	run = func(command string) error {
		if err := os.WriteFile(file, []byte(f.point+" "+f.mode+" 1\n"), 0o644); err != nil {
			return err
		}
		return w.command(context.Background(), f.service, command, file)
	}
	return run, func() error {
		_, err := os.Stat(file + ".fired")
		return err
	}
}

// command runs a command of a service's program, as the operator does.
func (w *world) command(ctx context.Context, name, command, faults string) error {
	cmd := exec.CommandContext(ctx, w.bin[name], command)
	cmd.Env = w.Environment(serviceNamed(name))
	if faults != "" {
		cmd.Env = append(cmd.Env, "HOMEWARD_FAILPOINTS="+faults)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, command, err, out)
	}
	return nil
}

// closed says `replayed`, and reports what keeps the gap open.
func (w *world) closed(ctx context.Context) error {
	open, err := w.count(ctx, hub, `SELECT count(*) FROM restore WHERE closed_at IS NULL`)
	if err != nil || open == 0 {
		return err
	}
	if err := w.command(ctx, hub, "replayed", ""); err != nil {
		return err
	}
	if open, err = w.count(ctx, hub, `SELECT count(*) FROM restore WHERE closed_at IS NULL`); err == nil && open > 0 {
		err = errors.New("spells still miss something")
	}
	return err
}

func serviceNamed(name string) stack.Service {
	return stack.Services[slices.IndexFunc(stack.Services, func(s stack.Service) bool { return s.Name == name })]
}

// backUp copies a service's database, for which the service is stopped.
func (w *world) backUp(ctx context.Context, name string) error {
	db := serviceNamed(name).Database
	return inTurn(
		w.Part(name).Stop,
		func() error {
			return w.alone(ctx, name, "DROP DATABASE IF EXISTS "+db+"_backup", "CREATE DATABASE "+db+"_backup TEMPLATE "+db)
		},
		func() error { return w.Part(name).Restart(ctx) },
	)
}

// bringBack stops a service and puts its backup in the place of its database.
func (w *world) bringBack(ctx context.Context, name string) error {
	db := serviceNamed(name).Database
	return inTurn(w.Part(name).Stop, func() error {
		return w.alone(ctx, name, "DROP DATABASE "+db+" WITH (FORCE)", "ALTER DATABASE "+db+"_backup RENAME TO "+db)
	})
}

// alone does something about a database that nobody is connected with.
func (w *world) alone(ctx context.Context, name string, statements ...string) error {
	w.db[name].Reset()
	other, err := devinfra.DatabaseURL(w.Databases[name], "postgres")
	if err != nil {
		return err
	}
	db, err := pgx.Connect(ctx, other)
	if err != nil {
		return err
	}
	defer db.Close(context.WithoutCancel(ctx))
	for _, sql := range statements {
		if err := again(ctx, sql, func() error { _, err := db.Exec(ctx, sql); return err }); err != nil {
			return err
		}
	}
	return nil
}
