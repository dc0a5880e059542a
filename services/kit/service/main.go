package service

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/run"
)

// Main is the main function of a service: without an argument it runs the service, with `migrate` it brings the database to the newest
// schema and ends. The exit code is 0 after a clean stop, 1 after an error, 2 for a wrong argument.
func Main[C any](name string, migrations fs.FS, serve func(ctx context.Context, cfg C) error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // the heap is a few megabytes: collecting it less often costs little and saves a tenth of the time
	}
	ctx, stop := run.SignalContext(context.Background())
	defer stop()
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 0:
		var cfg C
		if cfg, err = FromEnv[C](); err == nil {
			err = serve(ctx, cfg)
		}
	case len(args) == 1 && args[0] == "migrate":
		type database struct {
			URL string `env:"DATABASE_URL,required,notEmpty"`
		}
		var db database
		if db, err = FromEnv[database](); err == nil {
			err = pg.Migrate(ctx, db.URL, migrations, slog.New(slog.NewJSONHandler(os.Stderr, nil)).With("service", name))
		}
	default:
		fmt.Fprintf(os.Stderr, "usage: %s          run the service, configured by the environment\n       %s migrate  bring its database to the newest schema\n", name, name)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// subjects returns the NATS subjects that carry one type of event.
func subjects(eventType string) string {
	p := strings.Split(eventType, ".")
	return p[1] + "." + p[2] + ".>"
}
