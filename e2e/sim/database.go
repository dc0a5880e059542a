package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/services/kit/pg"
)

// database is one PostgreSQL database with a schema for each service. It outlives the seeds, which empty it.
type database struct {
	admin   *pgx.Conn
	url     string
	schemas map[string]*schema
}

// schema is what a service's database is elsewhere.
type schema struct {
	name      string
	tables    []string
	sequences []string
	initial   map[string][]byte // rows that the migrations made, as JSON, by table
}

// Settings are what PostgreSQL needs for a simulation: it tells of a deadlock at once, so that the scheduler sees who waits for whom, and it
// makes nothing durable, because no simulated crash is PostgreSQL's own.
var Settings = map[string]string{"deadlock_timeout": "1ms", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}

func openDatabase(ctx context.Context, url string, migrations map[string]fs.FS) (*database, error) {
	admin, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	db := &database{admin: admin, url: url, schemas: map[string]*schema{}}
	for _, name := range serviceNames {
		s := &schema{name: strings.ReplaceAll(name, "-", "_"), initial: map[string][]byte{}}
		if _, err := admin.Exec(ctx, `CREATE SCHEMA `+s.name); err != nil {
			return nil, err
		}
		if err := pg.Migrate(ctx, db.urlOf(s), migrations[name], slog.New(slog.DiscardHandler)); err != nil {
			return nil, err
		}
		if err := db.watchInbox(ctx, s); err != nil {
			return nil, err
		}
		if err := db.describe(ctx, s); err != nil {
			return nil, fmt.Errorf("describe %s: %w", name, err)
		}
		db.schemas[name] = s
	}
	return db, nil
}

func (db *database) urlOf(s *schema) string {
	separator := "?"
	if strings.Contains(db.url, "?") {
		separator = "&"
	}
	return db.url + separator + "search_path=" + s.name
}

// describe reads what a migrated schema holds.
func (db *database) describe(ctx context.Context, s *schema) (err error) {
	names := func(sql string) ([]string, error) {
		rows, err := db.admin.Query(ctx, sql, s.name)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if s.tables, err = names(`SELECT tablename FROM pg_tables WHERE schemaname = $1 AND tablename NOT LIKE '%schema_version' ORDER BY tablename`); err != nil {
		return err
	}
	if s.sequences, err = names(`SELECT sequencename FROM pg_sequences WHERE schemaname = $1 AND sequencename NOT LIKE '%schema_version%' ORDER BY 1`); err != nil {
		return err
	}
	for _, t := range s.tables {
		var rows []byte
		if err := db.admin.QueryRow(ctx, `SELECT json_agg(t) FROM `+s.name+`.`+t+` t`).Scan(&rows); err != nil {
			return err
		}
		if rows != nil {
			s.initial[t] = rows
		}
	}
	return nil
}

// empty brings every schema back to what the migrations made.
func (db *database) empty(ctx context.Context) error {
	var sql strings.Builder
	sql.WriteString("BEGIN; SET LOCAL session_replication_role = replica;") // no order among tables that refer to each other
	for _, name := range serviceNames {
		s := db.schemas[name]
		for _, t := range s.tables {
			fmt.Fprintf(&sql, "DELETE FROM %s.%s;", s.name, t)
		}
		for _, seq := range s.sequences {
			fmt.Fprintf(&sql, "SELECT setval('%s.%s', 1, false);", s.name, seq)
		}
		for _, t := range s.tables {
			if rows := s.initial[t]; rows != nil {
				fmt.Fprintf(&sql, "INSERT INTO %s.%s SELECT * FROM json_populate_recordset(NULL::%s.%s, '%s');", s.name, t, s.name, t,
					strings.ReplaceAll(string(rows), "'", "''"))
			}
		}
	}
	sql.WriteString("COMMIT")
	return db.run(ctx, sql.String())
}

// keep makes the backup of a service's tables; bringBack puts it in their place.
func (db *database) keep(ctx context.Context, service string) error {
	return db.run(ctx, backupSQL(db.schemas[service]))
}

func (db *database) bringBack(ctx context.Context, service string) error {
	return db.run(ctx, restoreSQL(db.schemas[service]))
}

// vacuum removes what emptied seeds left behind.
func (db *database) vacuum(ctx context.Context) error {
	var tables []string
	for _, s := range db.schemas {
		for _, t := range s.tables {
			tables = append(tables, s.name+"."+t)
		}
	}
	return db.run(ctx, "VACUUM "+strings.Join(tables, ", "))
}

func (db *database) run(ctx context.Context, sql string) error {
	_, err := db.admin.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// blockers are the backends for whose locks a backend waits; none when it does not wait. To ask costs more than most statements do, and on a
// busy machine most of those that take long only want a processor: who waits for a lock sleeps.
func (db *database) blockers(backend uint32) (pids []int32) {
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", backend)); err == nil && bytes.Contains(stat, []byte(") R ")) {
		return nil
	}
	if err := db.admin.QueryRow(context.Background(), `SELECT pg_blocking_pids($1)`, int32(backend)).Scan(&pids); err != nil {
		panic(fmt.Sprintf("simulation: who blocks whom: %v", err))
	}
	return pids
}

// queuedForRow reports whether a backend waits for its turn to lock a row, behind another one that waits for the row itself.
func (db *database) queuedForRow(backend uint32) (queued bool) {
	if err := db.admin.QueryRow(context.Background(), `SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND locktype = 'tuple' AND NOT granted)`, int32(backend)).
		Scan(&queued); err != nil {
		panic(fmt.Sprintf("simulation: who waits for a row: %v", err))
	}
	return queued
}

// cancel ends the statement of a backend.
func (db *database) cancel(backend uint32) {
	if _, err := db.admin.Exec(context.Background(), `SELECT pg_cancel_backend($1)`, int32(backend)); err != nil {
		panic(fmt.Sprintf("simulation: cancel a statement: %v", err))
	}
}

// open opens a service's database for the code under test; the scheduler decides when each statement runs and whether its answer arrives.
func (db *database) open(service string, s *watchFor) (*pg.DB, error) {
	return pg.Open(db.urlOf(db.schemas[service]), pg.Options{MaxConns: 48, Watch: s, Dial: (&backends{}).dial})
}

// watchFor stands before and after every statement, for the scheduler of the seed that runs.
type watchFor struct{ s *scheduler }

func (w *watchFor) TraceQueryStart(ctx context.Context, conn *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	fr := frameOf(ctx)
	if fr == nil || strings.HasPrefix(q.SQL, "--") || q.SQL == "rollback" && fr.proc.dead.Load() {
		return ctx // nobody's statement, a ping of the pool, or what the server does by itself when a client is gone
	}
	p := point{statement, label(q.SQL)}
	if q.SQL == "commit" {
		p.kind = committing
	}
	v := w.s.reach(fr, p)
	if v.lose || v.err != nil && p.kind == committing { // pgx gives up a connection that is not idle after a commit
		w.s.doomed = append(w.s.doomed, doomed{fr.flow, sessionOf(conn)})
	}
	if v.err != nil {
		ctx, cancel := context.WithCancelCause(ctx)
		cancel(v.err)
		return ctx
	}
	fr.flow.backend.Store(conn.PgConn().PID())
	if strings.Contains(q.SQL, "synchronous_commit") { // the relay has the lock: this connection holds it
		fr.proc.session = sessionOf(conn)
	}
	if strings.Contains(q.SQL, "pg_try_advisory_lock(hashtext('claims") {
		fr.proc.claims = sessionOf(conn)
	}
	if v.lose {
		sessionOf(conn).lose.Store(true)
	}
	return ctx
}

func (w *watchFor) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryEndData) {
	if d.Err != nil && w.s.trace != nil {
		fmt.Fprintln(w.s.trace, "      error:", d.Err)
	}
	if fr := frameOf(ctx); fr != nil && fr.flow.waited.Swap(false) && ctx.Err() == nil {
		// It was blocked, and what unblocked it goes on too: only one of them may.
		w.s.reach(fr, point{stored, "go on"})
	}
}

var verbs = regexp.MustCompile(`\b(INSERT INTO|UPDATE|DELETE FROM|FROM) ([a-z_]+)|pg_[a-z_]+`)

// labels are the names of the statements that were seen.
var labels sync.Map

// label names a statement for the story.
func label(sql string) string {
	name, known := labels.Load(sql)
	if !known {
		name, _ = labels.LoadOrStore(sql, shorten(sql))
	}
	return name.(string)
}

func shorten(sql string) string {
	if found := verbs.FindString(sql); found != "" {
		return found
	}
	if len(sql) > 30 {
		sql = sql[:30]
	}
	return strings.Join(strings.Fields(sql), " ")
}

// compact writes a value for the hash of the trace.
func compact(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
