package pg

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"github.com/homeward-care/homeward/services/kit/failpoint"
)

//go:embed migrations/*.sql
var kitMigrations embed.FS

// Migrate brings a service's database to the newest schema: first the kit's tables, then the service's own. Two at once wait for each
// other; it is safe beside a running older version, because migrations only add.
func Migrate(ctx context.Context, url string, service fs.FS, log *slog.Logger) error {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer db.Close()
	kit, err := fs.Sub(kitMigrations, "migrations")
	if err != nil {
		return err
	}
	for _, set := range []struct {
		table string
		files fs.FS
	}{{"kit_schema_version", kit}, {"schema_version", service}} {
		if err := migrateSet(ctx, db, set.table, set.files, log); err != nil {
			return fmt.Errorf("migrate %s: %w", set.table, err)
		}
	}
	return nil
}

func migrateSet(ctx context.Context, db *sql.DB, table string, files fs.FS, log *slog.Logger) error {
	store, err := database.NewStore(goose.DialectPostgres, table)
	if err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	p, err := goose.NewProvider("", db, files, goose.WithStore(store), goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	var results []*goose.MigrationResult
	err = failpoint.Do(ctx, "migrate", func() (err error) { results, err = p.Up(ctx); return err })
	for _, r := range results {
		if r.Error == nil {
			log.InfoContext(ctx, "migration applied", "table", table, "file", r.Source.Path)
		}
	}
	return err
}
