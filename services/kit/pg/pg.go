// Package pg opens a service's PostgreSQL: the pool, its transactions, the migrations, and the hooks through which every statement and
// every commit passes.
package pg

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/kit/failpoint"
)

// Hooks let a test stand at every boundary with the database. The zero value does nothing.
type Hooks struct {
	// Before is called before each statement, `begin`, `commit` and `rollback` included; it may block, and an error from it keeps
	// the statement from being sent.
	Before func(ctx context.Context, sql string) error
	// Committed is called after each successful commit; an error from it is what the caller sees, as when the reply is lost.
	Committed func(ctx context.Context) error
}

// Options of a pool.
type Options struct {
	MaxConns int32
	Tracer   trace.TracerProvider
	Hooks    Hooks
	// Watch sees each statement begin and end, `begin`, `commit` and `rollback` included; Dial makes the connections. A simulation stands
	// there to say when a statement runs and whether its reply arrives. Nil: nobody watches, connections are made as always.
	Watch pgx.QueryTracer
	Dial  pgconn.DialFunc
}

// DB is a pool and the way to its transactions.
type DB struct {
	Pool  *pgxpool.Pool
	hooks Hooks
}

// Open makes the pool; it does not wait for the server, so that services start in any order.
func Open(url string, o Options) (*DB, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	if o.MaxConns > 0 {
		cfg.MaxConns = o.MaxConns
	}
	// A business transaction is short; one that hangs would hold its locks against every other worker.
	cfg.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "30s"
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	// A connection whose other end has vanished must not keep its locks for hours.
	cfg.ConnConfig.RuntimeParams["tcp_keepalives_idle"] = "10"
	cfg.ConnConfig.RuntimeParams["tcp_keepalives_interval"] = "5"
	cfg.ConnConfig.RuntimeParams["tcp_keepalives_count"] = "3"
	for name, value := range plans {
		cfg.ConnConfig.RuntimeParams[name] = value
	}
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	var tracers []pgx.QueryTracer
	if o.Tracer != nil {
		tracers = append(tracers, recordingOnly{otelpgx.NewTracer(otelpgx.WithTracerProvider(o.Tracer), otelpgx.WithSpanNameFunc(spanName),
			otelpgx.WithDisableConnectionDetailsInAttributes(), otelpgx.WithDisableSQLStatementInAttributes())})
	}
	if o.Hooks.Before != nil {
		tracers = append(tracers, hookTracer{o.Hooks.Before})
	}
	if o.Watch != nil {
		tracers = append(tracers, o.Watch)
	}
	if o.Dial != nil {
		cfg.ConnConfig.DialFunc = o.Dial
		// Whether a connection that was idle lives is not asked first: by how long it was idle, on the machine's clock, no seed would be the same twice.
		cfg.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	}
	if len(tracers) > 0 {
		cfg.ConnConfig.Tracer = multitracer.New(tracers...)
	}
	// pgx alone writes a uuid.UUID as text first, at ten times the price.
	cfg.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		pgxuuid.Register(conn.TypeMap())
		return nil
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL: %w", err)
	}
	return &DB{Pool: pool, hooks: o.Hooks}, nil
}

// plans pins how statements are run. They look rows up by arrays of keys, in tables that begin empty and grow by millions: a plan that
// was made for the empty table, or for one large batch, would read the whole table each time and be kept. By these every look-up goes
// through its index, whatever was there when it was planned.
var plans = map[string]string{
	"plan_cache_mode":   "force_generic_plan",
	"enable_seqscan":    "off",
	"enable_bitmapscan": "off",
	"enable_hashjoin":   "off",
	"enable_mergejoin":  "off",
	"enable_material":   "off",
	"jit":               "off",
}

// Close waits for connections in use and closes the pool.
func (db *DB) Close() { db.Pool.Close() }

// rollbackLimit cuts off a rollback that hangs; the connection is closed then, which rolls back too.
const rollbackLimit = 5 * time.Second

// ErrNothing is what a transaction's function returns when it found nothing to do.
var ErrNothing = errors.New("nothing to commit")

// InTx runs f in a transaction that goes by the given name. An error from f rolls back; ErrNothing does too, and is none. An error from the
// commit leaves the outcome unknown: what f does must be safe to repeat.
func (db *DB) InTx(ctx context.Context, name string, f func(tx pgx.Tx) error) error {
	tx, err := db.Pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackLimit)
		defer cancel()
		_ = tx.Rollback(ctx) // does nothing after the commit
	}()
	if err := f(tx); errors.Is(err, ErrNothing) {
		return nil
	} else if err != nil {
		return err
	}
	if err := failpoint.Do(ctx, name+".commit", func() error { return tx.Commit(ctx) }); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if db.hooks.Committed != nil {
		return db.hooks.Committed(ctx)
	}
	return nil
}

// Ping reports whether the server answers.
func (db *DB) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return db.Pool.Ping(ctx)
}

// IsData reports whether the server refused the data: repeating the same cannot help. Everything else may pass: lost connections,
// deadlocks and shutdowns, and a table, column or right that is not there yet, as before a migration.
func IsData(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) || len(e.Code) < 2 {
		return false
	}
	switch e.Code[:2] {
	case "22", "23", "54": // data exception, integrity constraint violation, program limit exceeded
		return true
	}
	return false
}

// hookTracer turns a hook's error into a context that is already over, so that pgx does not send the statement.
type hookTracer struct {
	before func(ctx context.Context, sql string) error
}

func (h hookTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if err := h.before(ctx, q.SQL); err != nil {
		ctx, cancel := context.WithCancelCause(ctx)
		cancel(err)
		return ctx
	}
	return ctx
}

func (hookTracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// recordingOnly keeps untraced work free of tracing's cost: without a recording span there is nothing to record on.
type recordingOnly struct{ traced *otelpgx.Tracer }

func (r recordingOnly) TraceQueryStart(ctx context.Context, c *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx
	}
	return r.traced.TraceQueryStart(ctx, c, q)
}

func (r recordingOnly) TraceQueryEnd(ctx context.Context, c *pgx.Conn, q pgx.TraceQueryEndData) {
	if trace.SpanFromContext(ctx).IsRecording() {
		r.traced.TraceQueryEnd(ctx, c, q)
	}
}

// The first table that a statement writes to, or else reads from, or else the function that it calls. Keywords are in capitals, names are not.
var (
	writes = regexp.MustCompile(`\b(INSERT INTO|UPDATE|DELETE FROM) ([a-z_]+)`)
	reads  = regexp.MustCompile(`\b(?:FROM|JOIN) ([a-z_]+)(?:[\s)]|$)`)
	calls  = regexp.MustCompile(`^\s*SELECT ([a-z_]+)\(`)
)

// spanName is the name of a statement's span: its operation and its target, as OpenTelemetry's database conventions have it.
func spanName(sql string) string {
	if m := writes.FindStringSubmatch(sql); m != nil {
		operation, _, _ := strings.Cut(m[1], " ")
		return operation + " " + m[2]
	}
	if m := reads.FindStringSubmatch(sql); m != nil {
		return "SELECT " + m[1]
	}
	if m := calls.FindStringSubmatch(sql); m != nil {
		return "SELECT " + m[1]
	}
	word, _, _ := strings.Cut(strings.TrimSpace(sql), " ")
	return strings.ToUpper(word)
}
