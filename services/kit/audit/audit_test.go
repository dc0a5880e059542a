package audit_test

import (
	"errors"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/kit/audit"
	"github.com/homeward-care/homeward/services/kit/kittest"
)

func TestMain(m *testing.M) { kittest.Main(m) }

var migrations = fstest.MapFS{"0001_none.sql": {Data: []byte("-- +goose Up\nSELECT 1;")}}

func TestEntriesAreKeptWithTheirTransactionAndNotWithout(t *testing.T) {
	db := kittest.Open(t, kittest.Database(t, migrations))
	record, at := uuid.New(), time.Date(2026, 9, 1, 9, 0, 0, 0, time.UTC)
	traced := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	entry := audit.Entry{At: at, Actor: "person:7", Action: "task.take", Record: record, Detail: "team=CLS-GRAYS", Trace: traced}
	refused := errors.New("refused")
	if err := db.InTx(t.Context(), "test", func(tx pgx.Tx) error { return errors.Join(audit.Append(t.Context(), tx, entry), refused) }); !errors.Is(err, refused) {
		t.Fatal(err)
	}
	untraced := entry
	untraced.Trace = trace.SpanContext{}
	if err := db.InTx(t.Context(), "test", func(tx pgx.Tx) error { return audit.Append(t.Context(), tx, entry, untraced) }); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Pool.Query(t.Context(), `SELECT concat_ws(' ', seq > 0, to_char(at, 'YYYY-MM-DD HH24:MI'), actor, action, record = $1, detail, '[' || trace_id || ']') FROM audit ORDER BY seq`, record)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	const line = "t 2026-09-01 09:00 person:7 task.take t team=CLS-GRAYS "
	if len(got) != 2 || got[0] != line+"[01000000000000000000000000000000]" || got[1] != line+"[]" {
		t.Errorf("kept %q", got)
	}
}
