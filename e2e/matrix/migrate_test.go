package matrix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/services/kit/devinfra"
)

// migrateUnder brings a new database to the newest schema while that fails, then once more, and compares it with that of the running service.
func (w *world) migrateUnder(ctx context.Context, f fault) error {
	w.armed++
	name := fmt.Sprintf("migrated_%d", w.armed)
	if err := devinfra.CreateDatabases(ctx, w.Databases[f.service], name); err != nil {
		return err
	}
	url, err := devinfra.DatabaseURL(w.Databases[f.service], name)
	if err != nil {
		return err
	}
	faults := filepath.Join(w.dir, name+".faults")
	if err := os.WriteFile(faults, []byte("migrate "+f.mode+" 1\n"), 0o644); err != nil {
		return err
	}
	migrate := func() error {
		cmd := exec.CommandContext(ctx, w.bin[f.service], "migrate")
		cmd.Env = append(w.Environment(serviceNamed(f.service)), "DATABASE_URL="+url, "HOMEWARD_FAILPOINTS="+faults)
		return cmd.Run()
	}
	if err := migrate(); (err == nil) != (f.mode == "delay") {
		return fmt.Errorf("under the fault it ended with %v", err)
	}
	if _, err := os.Stat(faults + ".fired"); err != nil {
		return fmt.Errorf("it never fired: %w", err)
	}
	if err := migrate(); err != nil {
		return fmt.Errorf("after the fault: %w", err)
	}
	whole, err := schema(ctx, w.Databases[f.service])
	if err != nil {
		return err
	}
	made, err := schema(ctx, url)
	if err != nil {
		return err
	}
	if !slices.Equal(whole, made) {
		return errors.New("the schema is not the one that the service runs on")
	}
	return nil
}

func schema(ctx context.Context, url string) ([]string, error) {
	db, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer db.Close(context.WithoutCancel(ctx))
	rows, err := db.Query(ctx, `SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default) FROM information_schema.columns
		WHERE table_schema = 'public' UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
