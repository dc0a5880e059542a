package dischargehub

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/kit/service"
)

// watcher learns from the stored messages how long each feed is usually silent, and raises the alarm, once for each time, when one is
// silent for longer.
type watcher struct {
	store *store
	feeds func() map[string]discharge.Feed
	// judges is the moment from which feeds are judged: after a start senders need some time to connect again.
	judges time.Time
	log    *slog.Logger
}

const (
	silencePoll  = 15 * time.Second
	silenceGrace = 15 * time.Minute
	silenceBatch = 10_000
	// silenceOverlap is how many messages are read again, because transactions do not commit in the order of their ids.
	silenceOverlap = 300
	// silenceSkew is how far the clocks of replicas may differ.
	silenceSkew = time.Minute
	silentKind  = "feed-silent"
)

// watch adds the watcher. By a clock that is ahead every feed would be silent, and stay so until that time has come.
func (h *Hub) watch(svc *service.Service) {
	w := &watcher{store: h.store, feeds: h.clients.feeds, judges: svc.Now().Add(silenceGrace), log: svc.Log}
	svc.LoopByClock("feed silence", w.Step, silencePoll)
}

// feedState is a row of feed_silence.
type feedState struct {
	last      time.Time
	alarmedAt *time.Time
	exception *int64
	changed   bool
	learned   discharge.Silences
}

// Step learns from the messages that have come since the last step, and judges.
func (w *watcher) Step(ctx context.Context, now time.Time) (bool, error) {
	var told []func() // log lines of what is committed
	more := false
	err := w.store.db.InTx(ctx, "silence", func(tx pgx.Tx) error {
		told, more = nil, false
		states, n, err := w.read(ctx, tx, now)
		if err != nil {
			return err
		}
		if more = n == silenceBatch; !more && !now.Before(w.judges) {
			for _, key := range slices.Sorted(maps.Keys(states)) {
				line, err := w.judge(ctx, tx, now, key, states[key])
				if err != nil {
					return err
				}
				if line != nil {
					told = append(told, line)
				}
			}
		}
		return w.save(ctx, tx, now, states)
	})
	if err != nil {
		return false, fmt.Errorf("watch for silent feeds: %w", err)
	}
	for _, line := range told {
		line()
	}
	return more, nil
}

// read returns the state of each feed that has ever sent, and how many messages it has read to bring it up to date. What is known by a clock that
// was ahead counts from now: a feed that sent by it must not be taken for one that sends until that time has come.
func (w *watcher) read(ctx context.Context, tx pgx.Tx, now time.Time) (map[string]*feedState, int, error) {
	var until int64
	if err := tx.QueryRow(ctx, `SELECT until FROM feed_silence_read FOR UPDATE`).Scan(&until); err != nil {
		return nil, 0, err
	}
	rows, err := tx.Query(ctx, `SELECT feed, last_at, alarmed_at, exception_id FROM feed_silence`)
	if err != nil {
		return nil, 0, err
	}
	states := map[string]*feedState{}
	var key string
	var s feedState
	if _, err := pgx.ForEachRow(rows, []any{&key, &s.last, &s.alarmedAt, &s.exception}, func() error {
		one := s
		one.learned = discharge.Silences{}
		ahead := now.Add(silenceSkew)
		if s.last.After(ahead) {
			one.last, one.changed = now, true
		}
		if s.alarmedAt != nil && s.alarmedAt.After(ahead) {
			one.alarmedAt, one.changed = &now, true
		}
		states[key] = &one
		return nil
	}); err != nil {
		return nil, 0, err
	}
	type message struct {
		feed string
		at   time.Time
	}
	var messages []message
	var m message
	var id int64
	accepted, read := false, 0
	newest := until
	rows, err = tx.Query(ctx, `SELECT id, feed, accepted, received_at FROM inbound WHERE id > $1 ORDER BY id LIMIT $2`, until-silenceOverlap, silenceBatch)
	if err != nil {
		return nil, 0, err
	}
	if _, err := pgx.ForEachRow(rows, []any{&id, &m.feed, &accepted, &m.at}, func() error {
		if read++; accepted && !m.at.After(now.Add(silenceSkew)) {
			messages = append(messages, m)
		}
		newest = max(newest, id)
		return nil
	}); err != nil {
		return nil, 0, err
	}
	slices.SortFunc(messages, func(a, b message) int { return a.at.Compare(b.at) })
	for _, m := range messages {
		s := states[m.feed]
		feed, known := w.feeds()[m.feed]
		switch {
		case s == nil:
			states[m.feed] = &feedState{last: m.at, changed: true, learned: discharge.Silences{}}
		case m.at.After(s.last):
			if known {
				s.learned.Learn(s.last, m.at, feed.Zone)
			}
			s.last, s.changed = m.at, true
		}
	}
	_, err = tx.Exec(ctx, `UPDATE feed_silence_read SET until = $1 WHERE until <> $1`, newest)
	return states, read, err
}

// judge raises the alarm about a feed, or ends it, and returns the line to log.
func (w *watcher) judge(ctx context.Context, tx pgx.Tx, now time.Time, key string, s *feedState) (func(), error) {
	feed, known := w.feeds()[key]
	if s.alarmedAt != nil {
		if known && !s.last.After(*s.alarmedAt) {
			return nil, nil
		}
		if _, err := tx.Exec(ctx, `UPDATE exception SET closed_at = $2 WHERE id = $1 AND closed_at IS NULL`, s.exception, now); err != nil {
			return nil, err
		}
		s.alarmedAt, s.exception, s.changed = nil, nil, true
		return func() {
			w.log.InfoContext(ctx, "a feed that was silent is back, or is configured no more", "feed", key)
		}, nil
	}
	if !known || feed.Door != discharge.DoorMLLP && feed.Silence == nil || now.Sub(s.last) < time.Minute {
		return nil, nil
	}
	learned := discharge.Silences{}
	if feed.Silence == nil && now.Sub(s.last) >= discharge.LeastSilence {
		var err error
		if learned, err = learnedAt(ctx, tx, key, discharge.HourOf(now, feed.Zone).Hour); err != nil {
			return nil, err
		}
	}
	allowed, tooLong := feed.Silent(learned, s.last, now)
	if !tooLong {
		return nil, nil
	}
	quiet := now.Sub(s.last)
	detail := fmt.Sprintf("feed %s: it has sent nothing since %s, for %s; at this hour %s is the most that is allowed. "+
		"See that the hospital's engine runs and reaches the door, and ask it to send what it has kept",
		key, s.last.UTC().Format(time.RFC3339), inMinutes(quiet), inMinutes(allowed))
	var id int64
	if err := tx.QueryRow(ctx, `INSERT INTO exception (kind, owner, opened_at, detail) VALUES ($1, $2, $3, $4) RETURNING id`,
		silentKind, hubOwner, now, detail).Scan(&id); err != nil {
		return nil, err
	}
	s.alarmedAt, s.exception, s.changed = &now, &id, true
	return func() {
		w.log.ErrorContext(ctx, "alarm: a feed is silent; see that the hospital's engine runs and reaches the door",
			"feed", key, "silent_for", inMinutes(quiet), "allowed", inMinutes(allowed), "last", s.last)
	}, nil
}

func inMinutes(d time.Duration) string {
	if d < time.Minute {
		return "less than 1m"
	}
	return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
}

// learnedAt returns what was learned about an hour of the week and the one before it.
func learnedAt(ctx context.Context, tx pgx.Tx, key string, hour int) (discharge.Silences, error) {
	rows, err := tx.Query(ctx, `SELECT hour, week, longest FROM feed_silence_hour WHERE feed = $1 AND hour = ANY($2)`, key, []int{hour, (hour + 7*24 - 1) % (7 * 24)})
	if err != nil {
		return nil, err
	}
	learned := discharge.Silences{}
	var h discharge.HourOfWeek
	var longest time.Duration
	_, err = pgx.ForEachRow(rows, []any{&h.Hour, &h.Week, &longest}, func() error {
		learned[h] = longest
		return nil
	})
	return learned, err
}

// save stores what has changed.
func (w *watcher) save(ctx context.Context, tx pgx.Tx, now time.Time, states map[string]*feedState) error {
	var feeds []string
	var hours []int
	var weeks []time.Time
	var longest []time.Duration
	for key, s := range states {
		if !s.changed {
			continue
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO feed_silence (feed, last_at, alarmed_at, exception_id) VALUES ($1, $2, $3, $4)
			ON CONFLICT (feed) DO UPDATE SET last_at = excluded.last_at, alarmed_at = excluded.alarmed_at, exception_id = excluded.exception_id`,
			key, s.last, s.alarmedAt, s.exception); err != nil {
			return err
		}
		for h, d := range s.learned {
			feeds, hours, weeks, longest = append(feeds, key), append(hours, h.Hour), append(weeks, h.Week), append(longest, d)
		}
	}
	if len(feeds) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO feed_silence_hour AS h (feed, hour, week, longest) SELECT * FROM unnest($1::text[], $2::smallint[], $3::date[], $4::interval[])
		ON CONFLICT (feed, hour, week) DO UPDATE SET longest = greatest(h.longest, excluded.longest)`, feeds, hours, weeks, longest); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `DELETE FROM feed_silence_hour WHERE feed = ANY($1) AND week < $2`,
		slices.Collect(maps.Keys(states)), now.AddDate(0, 0, -7*(discharge.SilenceWeeks+2)))
	return err
}
