package communitypickup

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/community-pickup/migrations"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/community-pickup/places"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/run"
)

// Somebody takes a task, and before that is committed an event comes or a deadline: whoever is second works upon what the first one did.
func TestWhatIsDoneToATaskAtOneTimeIsAllKept(t *testing.T) {
	place, err := places.Embedded("thurrock")
	if err != nil {
		t.Fatal(err)
	}
	left := time.Date(2026, 9, 2, 13, 25, 0, 0, time.UTC)
	for name, second := range map[string]func(*store, uuid.UUID) error{
		"an event": func(s *store, spell uuid.UUID) error { return s.tellSpell(spell, 2, left) },
		"a deadline": func(s *store, spell uuid.UUID) error {
			_, err := (&sweeper{store: s, saved: run.NewWake()}).Step(context.Background(), left.AddDate(0, 0, 10))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &store{db: kittest.Open(t, kittest.Database(t, migrations.FS)), place: place, tracer: noop.NewTracerProvider().Tracer("")}
			spell := uuid.New()
			if err := s.tellSpell(spell, 1, left); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			if err := s.db.InTx(t.Context(), "test", func(tx pgx.Tx) error {
				found, err := lockTask(t.Context(), tx, taskID(spell))
				if err != nil {
					return err
				}
				taken, err := found.task.Take("test:grays", left.Add(time.Hour))
				if err != nil {
					return err
				}
				if err := s.save(t.Context(), tx, left.Add(time.Hour), []change{{id: taskID(spell), known: true, before: found.task, after: taken}}); err != nil {
					return err
				}
				go func() { ended <- second(s, spell) }()
				kittest.Eventually(t, "the second one has ended or waits", func() bool { return kittest.WaitingForLocks(t, s.db)+len(ended) > 0 })
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			found, err := s.task(t.Context(), taskID(spell))
			if err != nil || found.task.Worker != "test:grays" || found.task.Progress != pickup.ProgressTaken {
				t.Errorf("taken by %q, %s: %v", found.task.Worker, found.task.Progress, err)
			}
		})
	}
}

// The column by which the sweeper finds a task is its next deadline, also when that has come nearer, and when none is to come.
func TestTheSweeperLooksWhenTheNextDeadlineIs(t *testing.T) {
	t.Parallel()
	place, err := places.Embedded("thurrock")
	if err != nil {
		t.Fatal(err)
	}
	s := &store{db: kittest.Open(t, kittest.Database(t, migrations.FS)), place: place, tracer: noop.NewTracerProvider().Tracer("")}
	spell, left := uuid.New(), time.Date(2026, 9, 2, 13, 25, 0, 0, time.UTC)
	moved := func(days int) func(*dischargev1.Spell) {
		return func(p *dischargev1.Spell) { p.Discharge.At = timestamppb.New(left.AddDate(0, 0, days)) }
	}
	for i, change := range []func(*dischargev1.Spell){
		func(*dischargev1.Spell) {}, moved(40), moved(-40), func(p *dischargev1.Spell) { p.Death = dischargev1.Death_DEATH_DIED },
	} {
		if err := s.tellSpell(spell, int64(i+1), left, change); err != nil {
			t.Fatal(err)
		}
		found, err := s.task(t.Context(), taskID(spell))
		if err != nil {
			t.Fatal(err)
		}
		var looks *time.Time
		if err := s.db.Pool.QueryRow(t.Context(), `SELECT next_deadline FROM task`).Scan(&looks); err != nil {
			t.Fatal(err)
		}
		if next, is := pickup.NextDeadline(place, found.task); is != (looks != nil) || is && !looks.Equal(next) {
			t.Errorf("version %d: the sweeper looks at %v, the next deadline is %v, %t", i+1, looks, next, is)
		}
	}
}

// tellSpell applies an event of a spell that ended then.
func (s *store) tellSpell(spell uuid.UUID, version int64, left time.Time, changes ...func(*dischargev1.Spell)) error {
	p := discharged(spell, left)
	for _, change := range changes {
		change(p)
	}
	data, err := proto.Marshal(p)
	if err != nil {
		return err
	}
	e := event.Event{Type: spellType, ID: spell, Key: spell, Epoch: 1, Version: version, OccurredAt: left, RecordedAt: left, Data: data}
	return s.db.InTx(context.Background(), "test", func(tx pgx.Tx) error {
		return s.applyAll(readSpell)(context.Background(), tx, left.Add(2*time.Hour), []event.Event{e})
	})
}
