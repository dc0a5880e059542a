package dischargehub

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/migrations"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// TestWhatIsDueNextIsFoundAsFastAmongMany: of a receiver that was away for a day, and of one that rejects what comes first of each spell, as many pages are
// read as of one with a handful of answers and Tasks.
func TestWhatIsDueNextIsFoundAsFastAmongMany(t *testing.T) {
	t.Parallel()
	db := kittest.Open(t, kittest.Database(t, migrations.FS))
	now, many := day(2, 14), 10_000
	away, rejecting := slices.Repeat([]string{"away"}, many), slices.Repeat([]string{"rejecting"}, many)
	received, delivered := make([]telling, many), make([]telling, many)
	for i := range many {
		received[i] = telling{spell: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)), word: discharge.WordReceived, about: "1.1", at: now}
		delivered[i] = received[i]
		delivered[i].word = discharge.WordDelivered
	}
	queue := func(at time.Time, feeds []string, words []telling) {
		t.Helper()
		if err := db.InTx(t.Context(), "queue", func(tx pgx.Tx) error { return queueAnswers(t.Context(), tx, at, `SELECT u.* FROM u`, feeds, words) }); err != nil {
			t.Fatal(err)
		}
	}
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := db.Pool.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	queue(now, away, received)
	queue(now, away, delivered)
	queue(now, rejecting, received)
	exec(`UPDATE answer SET rejected = true, next_try = $1 WHERE feed = 'rejecting'`, now.Add(discharge.AfterReject))
	exec(`VACUUM answer`) // what the update left behind is passed over once, by whoever comes first
	queue(now.Add(time.Minute), rejecting, delivered)
	exec(`INSERT INTO fhir_task (task_id, spell_id, provider, reference, visit_number, status, owner, handover, created_at, updated_at, version)
		SELECT id, id, 'RAJ', 'HW', 'V', 'received', '', '{}', $2, $2, 1 FROM unnest($1::uuid[]) id`, spellsOf(received), now)
	exec(`INSERT INTO webhook_due (client, task_id, version, since, next_at) SELECT 'epr', task_id, 1, $1, $1 FROM fhir_task`, now)

	const most = 100 // pages; eight Tasks need some fifty
	later := now.Add(2 * time.Minute)
	for _, statistics := range []bool{false, true} {
		if statistics {
			exec(`ANALYZE`)
		}
		for _, feed := range []string{"away", "rejecting"} {
			for which, args := range map[string][]any{
				`next_try <= $2`:          {feed, later},
				`next_try > $2`:           {feed, later.Add(discharge.AfterReject)},
				fmt.Sprintf(abandoned, 2): {feed, int32(1)},
			} {
				if n := pagesOf(t, db, fmt.Sprintf(nextAnswer, which), args...); n > most {
					t.Errorf("feed %s, %s: %d pages are read (statistics: %v)", feed, which, n, statistics)
				}
			}
		}
		rest := ` AND $3::text = '' AND $5::text = '' AND $6::text = ''`
		if n := pagesOf(t, db, fmt.Sprintf(nextPosts, `next_at <= $2`+rest), "epr", later, "", postBatch, "", "", []string{"RAJ"}); n > most {
			t.Errorf("Tasks: %d pages are read (statistics: %v)", n, statistics)
		}
	}
}

func spellsOf(words []telling) []uuid.UUID {
	ids := make([]uuid.UUID, len(words))
	for i, w := range words {
		ids[i] = w.spell
	}
	return ids
}

// pagesOf is how many pages a statement looks at.
func pagesOf(t *testing.T, db *pg.DB, sql string, args ...any) int {
	t.Helper()
	var text []byte
	if err := db.Pool.QueryRow(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) `+sql, args...).Scan(&text); err != nil {
		t.Fatal(err)
	}
	var plans []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	if err := json.Unmarshal(text, &plans); err != nil {
		t.Fatal(err)
	}
	return plans[0].Plan.Hit + plans[0].Plan.Read
}
