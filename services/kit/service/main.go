package service

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/restore"
	"github.com/homeward-care/homeward/services/kit/run"
)

// Command is what a service's program does instead of running the service, given its database alone.
type Command struct {
	Name, Help string
	// Run does it, and tells the operator in plain words what was done and what comes next.
	Run func(ctx context.Context, db *pg.DB, now time.Time, out io.Writer) error
}

// Main is the main function of a service: without an argument it runs the service, with `migrate` it brings the database to the newest
// schema, with `restored` it notes that the database was put back to an earlier point, and with the name of a command of the service's own,
// which may stand in for `restored`, it runs that. The exit code is 0 after a clean stop, 1 after an error, 2 for a wrong argument.
func Main[C any](name string, migrations fs.FS, serve func(ctx context.Context, cfg C) error, own ...Command) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // the heap is a few megabytes: collecting it less often costs little and saves a tenth of the time
	}
	ctx, stop := run.SignalContext(context.Background())
	defer stop()
	commands := own
	if !slices.ContainsFunc(own, func(c Command) bool { return c.Name == "restored" }) {
		commands = append(commands, Command{Name: "restored", Help: RestoredHelp, Run: Restored})
	}
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 0:
		var cfg C
		if cfg, err = FromEnv[C](); err == nil {
			err = serve(ctx, cfg)
		}
	case len(args) == 1 && args[0] == "migrate":
		var db database
		if db, err = FromEnv[database](); err == nil {
			err = pg.Migrate(ctx, db.URL, migrations, slog.New(slog.NewJSONHandler(os.Stderr, nil)).With("service", name))
		}
	default:
		i := slices.IndexFunc(commands, func(c Command) bool { return len(args) == 1 && args[0] == c.Name })
		if i < 0 {
			usage(name, commands)
			os.Exit(2)
		}
		err = commands[i].onDatabase(ctx)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

type database struct {
	URL string `env:"DATABASE_URL,required,notEmpty"`
}

func (c Command) onDatabase(ctx context.Context) error {
	env, err := FromEnv[database]()
	if err != nil {
		return err
	}
	db, err := pg.Open(env.URL, pg.Options{MaxConns: 2})
	if err != nil {
		return err
	}
	defer db.Close()
	return c.Run(ctx, db, now(), os.Stdout)
}

func usage(name string, commands []Command) {
	line := func(argument, help string) {
		fmt.Fprintf(os.Stderr, "       %-32s %s\n", strings.TrimSpace(name+" "+argument), help)
	}
	fmt.Fprintln(os.Stderr, "usage: "+name+" [command]")
	line("", "run the service, configured by the environment")
	line("migrate", "bring its database to the newest schema")
	for _, c := range commands {
		line(c.Name, c.Help)
	}
}

// RestoredHelp is the line about `restored`.
const RestoredHelp = "note that its database was put back to an earlier point"

// endingLimit is how long PostgreSQL may take to notice that a process which was killed has gone.
const endingLimit = 10 * time.Second

// Restored is the command that declares a restore.
func Restored(ctx context.Context, db *pg.DB, now time.Time, out io.Writer) error {
	r, again, err := restore.Declare(ctx, db, now)
	for end := time.Now().Add(endingLimit); fault.Is(err, fault.Precondition) && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(endingLimit / 50)
		r, again, err = restore.Declare(ctx, db, now)
	}
	if err != nil {
		return err
	}
	if again {
		fmt.Fprintln(out, "This was noted before and nothing was changed; the take-over is still due.")
	}
	from, to := r.Gap()
	fmt.Fprintf(out, `The database was restored: epoch %d begins, and a take-over is due.
What was recorded from %s to %s may be missing.
Next: start the service. Before it opens its doors it takes over what other services hold; while one of them does not answer it waits and its log says so.
Then read its log: "taken over after a restore" tells what came back. What people did in that time and nobody holds is to be done again.
`, r.Epoch, from.Format(time.RFC3339), to.Format(time.RFC3339))
	return nil
}

// subjects returns the NATS subjects that carry one type of event.
func subjects(eventType string) string {
	p := strings.Split(eventType, ".")
	return p[1] + "." + p[2] + ".>"
}
