package dischargehub

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/discharge-hub/migrations"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// claimant is a replica with its own session, which tells a ward or posts a Task.
type claimant struct {
	*store
	poster poster
	answer *queuedAnswer
	post   []post
}

func newClaimant(t *testing.T, db *pg.DB, url string) *claimant {
	t.Helper()
	c := &claimant{store: &store{db: db, claims: living(t, db)}}
	c.poster = poster{client: client{ID: "epr", Feeds: []discharge.Feed{{Provider: "RAJ"}}, Webhook: &webhook{URL: url}}, store: c.store, atATime: postBatch,
		http: newPostClient(), tracer: noop.NewTracerProvider().Tracer("")}
	return c
}

// living are the claims of a process until the test ends.
func living(t *testing.T, db *pg.DB) *claims {
	t.Helper()
	c := &claims{db: db}
	t.Cleanup(c.Close)
	c.live(t)
	return c
}

func (c *claims) live(t *testing.T) {
	t.Helper()
	kittest.Eventually(t, "it has a session", func() bool {
		if _, err := c.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c.session != nil
	})
}

// die is what PostgreSQL does when the process is gone.
func (c *claimant) die(t *testing.T) {
	t.Helper()
	pid := c.claims.session.Conn().PgConn().PID()
	if _, err := c.db.Pool.Exec(t.Context(), `SELECT pg_terminate_backend($1)`, pid); err != nil {
		t.Fatal(err)
	}
	kittest.Eventually(t, "its session is over", func() bool {
		var n int
		err := c.db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE pid = $1`, pid).Scan(&n)
		return err == nil && n == 0
	})
}

// TestAClaimIsGoodAsLongAsItsProcessLives: an answer to a ward, and the post of a Task, is taken from a process that has died, and from one that
// stands still when the lease is over, and from no other. Whoever has lost it writes nothing of what came of it.
func TestAClaimIsGoodAsLongAsItsProcessLives(t *testing.T) {
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	t.Cleanup(receiver.Close)
	start := day(2, 14)
	for name, kind := range map[string]struct {
		lease  time.Duration
		claim  func(c *claimant, at time.Time) error
		record func(c *claimant, at time.Time) error // that it was not taken
		row    string
	}{
		"answer": {
			answerLease,
			func(c *claimant, at time.Time) (err error) {
				c.answer, err = c.claimAnswer(context.Background(), "open", at, at.Add(answerLease))
				return err
			},
			func(c *claimant, at time.Time) error {
				return c.recordAttempt(context.Background(), c.answer, at, attempt{code: hl7.Error})
			},
			`SELECT coalesce(claimed_by, 0), next_try FROM answer`,
		},
		"post": {
			postLease,
			func(c *claimant, at time.Time) (err error) {
				c.poster.now = func() time.Time { return at }
				c.post, err = c.poster.claim(context.Background())
				return err
			},
			func(c *claimant, at time.Time) error {
				c.poster.now = func() time.Time { return at }
				return c.poster.deliver(context.Background(), c.post[0])
			},
			`SELECT coalesce(claimed_by, 0), next_at FROM webhook_due`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := kittest.Open(t, kittest.Database(t, migrations.FS))
			a, b := newClaimant(t, db, receiver.URL), newClaimant(t, db, receiver.URL)
			task := uuid.New()
			for _, sql := range []string{
				`INSERT INTO answer (feed, spell_id, word, about, at, team, outcome, traceparent, recorded_at, next_try) VALUES ('open', $1, 'received', '1.1', $2, '', '', '', $2, $2)`,
				`INSERT INTO fhir_task (task_id, spell_id, provider, reference, visit_number, status, owner, handover, created_at, updated_at, version)
					VALUES ($1, $1, 'RAJ', 'HW-1', 'V1', 'received', '', '{"provider":"RAJ"}', $2, $2, 1)`,
				`INSERT INTO webhook_due (client, task_id, version, since, next_at) VALUES ('epr', $1, 1, $2, $2)`,
			} {
				if _, err := db.Pool.Exec(t.Context(), sql, task, start); err != nil {
					t.Fatal(err)
				}
			}
			row := func() (by int32, next time.Time) {
				if err := db.Pool.QueryRow(t.Context(), kind.row).Scan(&by, &next); err != nil {
					t.Fatal(err)
				}
				return by, next
			}
			claims := func(c *claimant, at time.Time, want error, when string) {
				t.Helper()
				if err := kind.claim(c, at); !errors.Is(err, want) {
					t.Fatalf("%s: %v, want %v", when, err, want)
				}
			}
			claims(a, start, nil, "nobody has it")
			claims(b, start.Add(time.Second), pg.ErrNothing, "the other process is at it")
			claims(a, start.Add(2*time.Second), nil, "its own process could not note what came of it")
			claims(b, start.Add(kind.lease), pg.ErrNothing, "its process is at it again")
			claims(b, start.Add(2*time.Second+kind.lease), nil, "its process stands still")

			if err := kind.record(a, start.Add(3*time.Second+kind.lease)); err != nil {
				t.Fatal(err)
			}
			if by, next := row(); by != b.claims.number.Load() || !next.Equal(start.Add(2*time.Second+2*kind.lease)) {
				t.Errorf("whoever had lost it wrote what came of it: it is %d's until %v", by, next)
			}
			claims(a, start.Add(4*time.Second+kind.lease), pg.ErrNothing, "the other process is at it, and the one before has said what it knows")

			number := b.claims.number.Load()
			b.die(t)
			claims(a, start.Add(5*time.Second+kind.lease), nil, "its process has died")
			b.claims.live(t)
			if now := b.claims.number.Load(); now != number {
				t.Errorf("a process whose session was cut was %d and is %d: what it claimed is nobody's", number, now)
			}
			if err := kind.record(b, start.Add(6*time.Second+kind.lease)); err != nil {
				t.Fatal(err)
			}
			if by, _ := row(); by != a.claims.number.Load() {
				t.Errorf("a process whose session had gone wrote what came of it: it is %d's", by)
			}
			if err := kind.record(a, start.Add(7*time.Second+kind.lease)); err != nil {
				t.Fatal(err)
			}
			claims(b, start.Add(8*time.Second+kind.lease), pg.ErrNothing, "it rests")
			claims(b, start.Add(20*time.Second+kind.lease), nil, "the rest is over")
		})
	}
}

// TestNobodyClaimsWithoutASession: a claim that no session stands for would look abandoned to everybody.
func TestNobodyClaimsWithoutASession(t *testing.T) {
	db := kittest.Open(t, kittest.Database(t, migrations.FS))
	if _, err := db.Pool.Exec(t.Context(), `INSERT INTO answer (feed, spell_id, word, about, at, team, outcome, traceparent, recorded_at, next_try)
		VALUES ('open', gen_random_uuid(), 'received', '1.1', now(), '', '', '', now(), now())`); err != nil {
		t.Fatal(err)
	}
	s := &store{db: db, claims: &claims{db: db}}
	if _, err := s.claimAnswer(t.Context(), "open", time.Now().Add(time.Minute), time.Now().Add(time.Hour)); !errors.Is(err, pg.ErrNothing) {
		t.Errorf("claimed without a session: %v", err)
	}
}
