package communitypickup

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/homeward-care/homeward/services/community-pickup/migrations"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/community-pickup/places"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/run"
)

// manyTasks fills a database with open tasks of which the given number is due for a notice, and returns a sweeper over it.
func manyTasks(b *testing.B, open, due int) *sweeper {
	b.Helper()
	place, err := places.Embedded("thurrock")
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	spell := spellFromProto(discharged(uuid.New(), now.Add(-24*time.Hour)), pickup.Stamp{Epoch: 1, Version: 1})
	task := pickup.Decide(place, nil, pickup.Inputs{Spell: spell}, now)
	text, err := json.Marshal(task)
	if err != nil {
		b.Fatal(err)
	}
	db := kittest.Open(b, kittest.Database(b, migrations.FS))
	fill := func(n int, deadline time.Time, text string) {
		if _, err := db.Pool.Exec(b.Context(), `
			INSERT INTO task (id, reference, team, progress, due_at, next_deadline, task)
			SELECT gen_random_uuid(), 'HW-BENCH', 'CLS-GRAYS', 'untaken', $2, $3::timestamptz + n * interval '1 microsecond', $4 FROM generate_series(1, $1) n`,
			n, task.DueAt, deadline, text); err != nil {
			b.Fatal(err)
		}
	}
	fill(open, now.Add(24*time.Hour), string(text))
	if due > 0 {
		late := spellFromProto(discharged(uuid.New(), now.Add(-30*24*time.Hour)), pickup.Stamp{Epoch: 1, Version: 1})
		text, err := json.Marshal(pickup.Decide(place, nil, pickup.Inputs{Spell: late}, now))
		if err != nil {
			b.Fatal(err)
		}
		fill(due, now.Add(-time.Hour), string(text))
	}
	if _, err := db.Pool.Exec(b.Context(), `VACUUM ANALYZE task`); err != nil {
		b.Fatal(err)
	}
	st := &store{db: db, place: place, tracer: noop.NewTracerProvider().Tracer("")}
	return &sweeper{store: st, saved: run.NewWake()}
}

func BenchmarkSweepOverAMillionOpenTasksNoneDue(b *testing.B) {
	s := manyTasks(b, 1_000_000, 0)
	for b.Loop() {
		if _, err := s.Step(b.Context(), time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSweepTenThousandDueAmongAMillion(b *testing.B) {
	const due = 10_000
	s := manyTasks(b, 1_000_000, due)
	b.ResetTimer()
	for more := true; more; {
		var err error
		if more, err = s.Step(b.Context(), time.Now()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(due)/b.Elapsed().Seconds(), "notices/s")
	if b.N > 1 {
		b.Fatal("run this with -benchtime=1x: it fires everything once")
	}
}
