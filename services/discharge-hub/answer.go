package dischargehub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// telling is an answer to queue for a spell.
type telling struct {
	spell         uuid.UUID
	word          discharge.Word
	about         string
	again         string // of `delivered`: what it is about when that version was told before, with another outcome or team
	at            time.Time
	team, outcome string
	traceparent   string
}

// answeredOf returns the keys of the feeds whose hospitals are answered.
func answeredOf(feeds map[string]discharge.Feed) []string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(feeds)) {
		if feeds[key].Answers != nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// answeredFeeds are the feeds whose hospitals are answered.
func (s *store) answeredFeeds() []string {
	if s.answered == nil {
		return nil
	}
	return s.answered()
}

func versionKey(epoch int32, version int64) string {
	return fmt.Sprintf("%d.%d", epoch, version)
}

// answerReceived queues `received` for the versions that a fold has saved, on each answered feed that has told of their spells.
func answerReceived(ctx context.Context, tx pgx.Tx, now time.Time, answered []string, saved []event.Event, facts map[uuid.UUID][]storedFact) error {
	if len(answered) == 0 {
		return nil
	}
	var words []telling
	var feeds []string
	for _, e := range saved {
		for _, feed := range answered {
			if slices.ContainsFunc(facts[e.ID], func(f storedFact) bool { return f.Fact.Feed == feed }) {
				feeds = append(feeds, feed)
				words = append(words, telling{spell: e.ID, word: discharge.WordReceived, about: versionKey(e.Epoch, e.Version), at: now,
					traceparent: event.Traceparent(e.Trace)})
			}
		}
	}
	return queueAnswers(ctx, tx, now, `SELECT u.* FROM u`, feeds, words)
}

// answerFirst queues what is known of spells for the answered feeds that have told of them and heard nothing: what they told was known, so that no
// version was saved with whose words they would hear it.
func answerFirst(ctx context.Context, tx pgx.Tx, now time.Time, answered []string, spells []uuid.UUID, facts map[uuid.UUID][]storedFact,
	cause map[uuid.UUID]trace.SpanContext,
) error {
	var feeds []string
	var of, tasks []uuid.UUID
	for _, id := range spells {
		for _, feed := range answered {
			if slices.ContainsFunc(facts[id], func(f storedFact) bool { return f.Fact.Feed == feed }) {
				feeds, of, tasks = append(feeds, feed), append(of, id), append(tasks, uuid.MustParse(fhir.TaskID(id.String())))
			}
		}
	}
	if len(feeds) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `
		SELECT o.id, o.epoch, o.version, u.feed, u.task, coalesce(i.epoch, 0), coalesce(i.version, 0), i.data
		FROM unnest($1::text[], $2::uuid[], $3::uuid[]) AS u (feed, spell, task) JOIN outbox o ON o.id = u.spell LEFT JOIN inbox i ON i.id = u.task AND i.type = $4
		WHERE NOT EXISTS (SELECT FROM answer a WHERE a.spell_id = u.spell AND a.feed = u.feed AND a.word = 'received')`, feeds, of, tasks, taskType)
	if err != nil {
		return fmt.Errorf("read what wards do not know: %w", err)
	}
	var spell, task event.Event
	var feed string
	var data []byte
	var words []telling
	var to []string
	var confirmed []event.Event
	var read []*pickupv1.Task
	_, err = pgx.ForEachRow(rows, []any{&spell.ID, &spell.Epoch, &spell.Version, &feed, &task.ID, &task.Epoch, &task.Version, &data}, func() error {
		at := cause[spell.ID]
		words = append(words, telling{spell: spell.ID, word: discharge.WordReceived, about: versionKey(spell.Epoch, spell.Version), at: now,
			traceparent: event.Traceparent(at)})
		to = append(to, feed)
		if task.Version > 0 {
			t := &pickupv1.Task{}
			task.Key, task.Trace = spell.ID, at
			confirmed, read = append(confirmed, task), append(read, t)
			return proto.Unmarshal(data, t)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what wards do not know: %w", err)
	}
	if err := queueAnswers(ctx, tx, now, `SELECT u.* FROM u`, to, words); err != nil {
		return err
	}
	return answerTask(ctx, tx, now, answered, confirmed, read)
}

// answerTask queues what a task says, on each feed that was answered about its spell before. `delivered` is said once of each version of the
// spell, and again when the outcome or the team is another than what the ward heard last: an involvement may turn up, and a team may change.
func answerTask(ctx context.Context, tx pgx.Tx, now time.Time, answered []string, tasks []event.Event, read []*pickupv1.Task) error {
	if len(answered) == 0 {
		return nil
	}
	var words []telling
	for i, t := range read {
		w := telling{spell: tasks[i].Key, team: t.GetTeam(), outcome: outcomeWord[t.GetOutcome()], traceparent: event.Traceparent(tasks[i].Trace)}
		w.word, w.about, w.at = discharge.WordDelivered, versionKey(t.GetSpellEpoch(), t.GetSpellVersion()), now
		w.again = w.about + ", task " + versionKey(tasks[i].Epoch, tasks[i].Version)
		words = append(words, w)
		for _, later := range []struct {
			word discharge.Word
			at   *timestamppb.Timestamp
		}{{discharge.WordTaken, t.GetTakenAt()}, {discharge.WordContacted, t.GetFirstContactAt()}, {discharge.WordClosed, t.GetCompletedAt()}} {
			if later.at != nil {
				w.word, w.at = later.word, later.at.AsTime()
				w.about = strconv.FormatInt(w.at.UnixMicro(), 10)
				words = append(words, w)
			}
		}
	}
	return queueAnswers(ctx, tx, now, `
		SELECT r.feed, u.spell_id, u.word, CASE WHEN u.word = 'delivered' AND (said.outcome, said.team) <> (u.outcome, u.team) AND EXISTS (
				SELECT 1 FROM answer b WHERE b.spell_id = u.spell_id AND b.feed = r.feed AND b.word = 'delivered' AND b.about = u.about)
			THEN u.again ELSE u.about END AS about, u.at, u.team, u.outcome, u.traceparent, u.nr
		FROM u JOIN LATERAL (SELECT DISTINCT feed FROM answer a WHERE a.spell_id = u.spell_id AND a.word = 'received' AND a.feed = ANY($11)
			AND (u.word <> 'delivered' OR a.about = u.about)) r ON true
		LEFT JOIN LATERAL (SELECT outcome, team FROM answer d WHERE d.spell_id = u.spell_id AND d.feed = r.feed AND d.word = 'delivered'
			ORDER BY d.id DESC LIMIT 1) said ON true`, make([]string, len(words)), words, answered)
}

var outcomeWord = map[pickupv1.Outcome]string{
	pickupv1.Outcome_OUTCOME_IN_HOSPITAL:         "in-hospital",
	pickupv1.Outcome_OUTCOME_PICK_UP_DUE:         "due",
	pickupv1.Outcome_OUTCOME_NOT_DUE:             "not-due",
	pickupv1.Outcome_OUTCOME_IN_ANOTHER_HOSPITAL: "in-another-hospital",
}

// queueAnswers stores words in their order, each once; source says for which feeds, from the rows u. A word of a spell whose earlier one rests is
// due when that is, so that whoever looks for what is due does not pass over it each time; while the earlier one is being sent, recordAttempt sees to it.
func queueAnswers(ctx context.Context, tx pgx.Tx, now time.Time, source string, feeds []string, words []telling, more ...any) error {
	if len(words) == 0 {
		return nil
	}
	n := len(words)
	spells, kinds, times := make([]uuid.UUID, n), make([]string, n), make([]time.Time, n)
	abouts, agains := make([]string, n), make([]string, n)
	teams, outcomes, traces := make([]string, n), make([]string, n), make([]string, n)
	for i, w := range words {
		spells[i], kinds[i], times[i] = w.spell, string(w.word), w.at
		abouts[i], agains[i] = w.about, w.again
		teams[i], outcomes[i], traces[i] = w.team, w.outcome, w.traceparent
	}
	_, err := tx.Exec(ctx, `
		WITH u AS (
			SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::text[], $9::text[])
			WITH ORDINALITY AS u (feed, spell_id, word, about, at, team, outcome, traceparent, again, nr)
		), wanted AS (`+source+`)
		INSERT INTO answer (feed, spell_id, word, about, at, team, outcome, traceparent, recorded_at, next_try)
		SELECT feed, spell_id, word, about, at, team, outcome, traceparent, $10, greatest($10, (SELECT CASE WHEN e.claimed_by IS NULL THEN e.next_try END
			FROM answer e WHERE e.spell_id = wanted.spell_id AND e.feed = wanted.feed AND e.accepted_at IS NULL ORDER BY e.id LIMIT 1)) FROM wanted ORDER BY nr
		ON CONFLICT (spell_id, feed, word, about) DO NOTHING`,
		append([]any{feeds, spells, kinds, abouts, times, teams, outcomes, traces, agains, now}, more...)...)
	if err != nil {
		return fmt.Errorf("queue the ward's answers: %w", err)
	}
	return nil
}

// queuedAnswer is an answer that is due.
type queuedAnswer struct {
	discharge.Answer
	id          int64
	by          int32     // the number of the process that has claimed it
	tries       int       // with the one that is begun
	begunAt     time.Time // the attempt's, as it is recorded
	recordedAt  time.Time
	traceparent string
}

// claimAnswer takes the feed's next answer that is due and that no other replica is sending, until the lease ends; pg.ErrNothing if there is
// none. An answer waits for the earlier ones of its spell. The attempt is recorded when it is begun, so that one whose end nobody sees is too.
// An answer that is put off for longer than any is was put off by a clock that was ahead: it is due.
func (s *store) claimAnswer(ctx context.Context, feed string, now, lease time.Time) (*queuedAnswer, error) {
	a := &queuedAnswer{Answer: discharge.Answer{Feed: feed}, by: s.claims.number.Load(), begunAt: now}
	if a.by == 0 {
		return nil, pg.ErrNothing
	}
	var spell uuid.UUID
	err := s.db.Pool.QueryRow(ctx, `
		WITH claimed AS (
			UPDATE answer SET next_try = $3, tries = tries + 1, claimed_by = $5
			WHERE id = coalesce((`+fmt.Sprintf(nextAnswer, fmt.Sprintf(abandoned, 5))+`), (`+fmt.Sprintf(nextAnswer, `next_try <= $2`)+`), (`+fmt.Sprintf(nextAnswer, `next_try > $4`)+`))
			RETURNING *
		), begun AS (
			INSERT INTO answer_attempt (answer_id, at, result, said) SELECT id, $2, 'begun', '' FROM claimed
		)
		SELECT id, spell_id, word, about, at, team, outcome, tries, recorded_at, traceparent FROM claimed`,
		feed, now, lease, now.Add(discharge.AfterReject+answerLease), a.by).
		Scan(&a.id, &spell, &a.Word, &a.About, &a.At, &a.Team, &a.Outcome, &a.tries, &a.recordedAt, &a.traceparent)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, pg.ErrNothing
	}
	if err != nil {
		return nil, fmt.Errorf("claim an answer: %w", err)
	}
	a.SpellID = spell.String()
	facts, err := factsOf(ctx, s.db.Pool, []uuid.UUID{spell})
	if err != nil {
		return nil, err
	}
	if facts, err = withPeople(ctx, s.db.Pool, facts); err != nil {
		return nil, err
	}
	a.VisitNumber, a.PatientNumber = discharge.Numbers(factList(facts[spell]))
	return a, nil
}

// nextAnswer finds one of those that are abandoned, or whose next try is within a span of time; each is one look into an index. That it is the first
// of its spell is no NOT EXISTS, which PostgreSQL joins: by all the open answers of the feed while it has no statistics.
const nextAnswer = `
	SELECT id FROM answer a WHERE a.feed = $1 AND a.accepted_at IS NULL AND %s
		AND a.id = (SELECT e.id FROM answer e WHERE e.spell_id = a.spell_id AND e.feed = a.feed AND e.accepted_at IS NULL ORDER BY e.id LIMIT 1)
	ORDER BY a.next_try, a.id LIMIT 1 FOR UPDATE SKIP LOCKED`

// AnswerRejected is the kind of the exception of a spell whose answer the hospital's receiver rejects.
const answerRejected = "answer-rejected"

// recordAttempt stores what came of sending an answer, and opens or closes the exception that goes with it. The spell's later answers wait
// for it, so they need not be looked at before. Where the claim has gone to another process, only the attempt is noted: the answer is that one's.
func (s *store) recordAttempt(ctx context.Context, a *queuedAnswer, at time.Time, o attempt) error {
	var accepted *time.Time
	if o.accepted() {
		accepted = &at
	}
	detail := fmt.Sprintf("answers of feed %s: the hospital's receiver rejects what the ward is to be told of this spell. "+
		"Let the receiver be set up for it (answer_attempt holds what it says); it is tried again every hour", a.Feed)
	_, err := s.db.Pool.Exec(ctx, `
		WITH mine AS (
			UPDATE answer SET rejected = $5, accepted_at = $6, next_try = CASE WHEN $6::timestamptz IS NULL THEN $7::timestamptz ELSE next_try END, claimed_by = NULL
			WHERE id = $1 AND claimed_by = $14 AND accepted_at IS NULL RETURNING id
		), attempt AS (
			UPDATE answer_attempt SET accepted_at = CASE WHEN EXISTS (SELECT FROM mine) THEN coalesce(accepted_at, $6) ELSE accepted_at END,
				result = CASE WHEN at = $13 THEN $3 ELSE result END, said = CASE WHEN at = $13 THEN $4 ELSE said END
			WHERE answer_id = $1 AND (at = $13 OR $6::timestamptz IS NOT NULL)
		), later AS (
			UPDATE answer SET rejected = false, next_try = $7
			WHERE spell_id = $8 AND feed = $9 AND accepted_at IS NULL AND id > $1 AND $6::timestamptz IS NULL AND EXISTS (SELECT FROM mine)
		), opened AS (
			INSERT INTO exception (kind, owner, opened_at, spell_id, detail)
			SELECT $10, $11, $2, $8, $12 FROM mine
			WHERE $5 AND NOT EXISTS (SELECT 1 FROM exception e WHERE e.spell_id = $8 AND e.kind = $10 AND e.closed_at IS NULL)
		)
		UPDATE exception SET closed_at = $2
		WHERE $6::timestamptz IS NOT NULL AND EXISTS (SELECT FROM mine) AND spell_id = $8 AND kind = $10 AND closed_at IS NULL
			AND NOT EXISTS (SELECT 1 FROM answer o WHERE o.spell_id = $8 AND o.rejected AND o.accepted_at IS NULL AND o.id <> $1)`,
		a.id, at, cmp.Or(string(o.code), "none"), o.said, o.rejected(), accepted, at.Add(o.wait(a.tries)),
		uuid.MustParse(a.SpellID), a.Feed, answerRejected, hubOwner, detail, a.begunAt, a.by)
	if err != nil {
		return fmt.Errorf("record what came of an answer: %w", err)
	}
	return nil
}

// shownAttempts is how many of a spell's tries to answer its ward are shown, the newest of them.
const shownAttempts = 50

// answerHops are the ward's answers about a spell and the tries to send them. What the receivers said is not shown: it may name a person.
func (s *store) answerHops(ctx context.Context, spell uuid.UUID) ([]*opsv1.Hop, error) {
	rows, err := s.db.Pool.Query(ctx, `
		SELECT recorded_at, 'answer to the ward', word || ', feed ' || feed || CASE WHEN accepted_at IS NOT NULL THEN ', accepted' WHEN rejected THEN ', rejected'
			WHEN tries > 0 THEN ', not accepted yet' ELSE ', waits' END || ', tries: ' || tries, CASE WHEN accepted_at IS NULL THEN next_try END
		FROM answer WHERE spell_id = $1
		UNION ALL
		(SELECT t.at, 'answer sent', a.word || ', feed ' || a.feed || CASE t.result WHEN 'none' THEN ', no answer' WHEN 'begun' THEN ', begun' ELSE ', answered ' || t.result END, NULL
		FROM answer a JOIN answer_attempt t ON t.answer_id = a.id WHERE a.spell_id = $1 ORDER BY t.at DESC LIMIT $2)`, spell, shownAttempts)
	if err != nil {
		return nil, fmt.Errorf("read the ward's answers: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*opsv1.Hop, error) {
		var at time.Time
		var retry *time.Time
		h := &opsv1.Hop{Service: "discharge-hub"}
		err := row.Scan(&at, &h.Name, &h.State, &retry)
		h.At, h.NextRetry = timestamppb.New(at), timestampOf(retry)
		return h, err
	})
}
