package dischargehub

import (
	"bytes"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/migrations"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/service"
)

// watched is a watcher whose clock and messages are the test's.
type watched struct {
	*watcher
	t     *testing.T
	db    *pg.DB
	clock time.Time
	log   bytes.Buffer
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	t.Parallel()
	feeds, err := loadFeeds("")
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{t: t, db: kittest.Open(t, kittest.Database(t, migrations.FS)), clock: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)}
	byKey := feedsByKey(feeds)
	w.watcher = &watcher{store: &store{db: w.db}, feeds: func() map[string]discharge.Feed { return byKey }, log: slog.New(slog.NewTextHandler(&w.log, nil))}
	return w
}

// came stores that messages of a feed came, so far apart, until the clock has gone on by that.
func (w *watched) came(feed string, apart, on time.Duration) {
	w.t.Helper()
	until := w.clock.Add(on)
	if _, err := w.db.Pool.Exec(w.t.Context(), `
		INSERT INTO inbound (feed, format, control_id, digest, received_at, traceparent, accepted, body)
		SELECT $1, 'hl7v2', '', sha256((($1 || at))::bytea), at, '', true, '' FROM generate_series($2::timestamptz, $3::timestamptz, $4::interval) AS at`,
		feed, w.clock.Add(apart), until, apart); err != nil {
		w.t.Fatal(err)
	}
	w.clock = until
}

func (w *watched) steps() {
	w.t.Helper()
	for more := true; more; {
		var err error
		if more, err = w.Step(w.t.Context(), w.clock); err != nil {
			w.t.Fatal(err)
		}
	}
}

// open returns the details of the open exceptions about silent feeds.
func (w *watched) open() string {
	w.t.Helper()
	w.steps()
	var text string
	if err := w.db.Pool.QueryRow(w.t.Context(), `SELECT coalesce(string_agg(detail, '; '), '') FROM exception WHERE kind = 'feed-silent' AND closed_at IS NULL`).Scan(&text); err != nil {
		w.t.Fatal(err)
	}
	return text
}

func TestAFeedThatFallsSilentIsAlarmedOnceUntilItIsBack(t *testing.T) {
	w := newWatched(t)
	w.came("mse-basildon", 4*time.Minute, 4*7*24*time.Hour+12*time.Hour) // 10,260 messages: more than one step reads
	w.steps()
	w.clock = w.clock.Add(29 * time.Minute)
	if got := w.open(); got != "" {
		t.Errorf("alarm after half an hour: %s", got)
	}
	w.clock = w.clock.Add(6 * time.Minute)
	if got := w.open(); !strings.Contains(got, "mse-basildon") || !strings.Contains(got, "35m") {
		t.Errorf("exception %q", got)
	}
	w.clock = w.clock.Add(time.Hour)
	w.open()
	if n := strings.Count(w.log.String(), "alarm: a feed is silent"); n != 1 {
		t.Errorf("%d alarms about one silence", n)
	}
	w.came("mse-basildon", time.Minute, 2*time.Minute)
	if got := w.open(); got != "" || !strings.Contains(w.log.String(), "is back") {
		t.Errorf("the feed is back, and still open is %q", got)
	}
	w.clock = w.clock.Add(35 * time.Minute)
	if w.open() == "" {
		t.Error("a second silence raises no alarm")
	}
	w.feeds = func() map[string]discharge.Feed { return nil }
	if got := w.open(); got != "" {
		t.Errorf("a feed that is configured no more: %s", got)
	}
}

func TestNobodyIsJudgedBeforeTheSendersHadTimeToConnect(t *testing.T) {
	w := newWatched(t)
	w.came("mse-basildon", 10*time.Minute, 4*7*24*time.Hour)
	w.clock = w.clock.Add(3 * time.Hour)
	w.judges = w.clock.Add(silenceGrace)
	if got := w.open(); got != "" {
		t.Errorf("just started: %s", got)
	}
	w.clock = w.judges
	if w.open() == "" {
		t.Error("no alarm a while after the start")
	}
}

func TestAFeedOfHandsAndOneThatNeverSentAreNotSilent(t *testing.T) {
	w := newWatched(t)
	w.came("hub-staff", 10*time.Minute, 4*7*24*time.Hour)
	w.clock = w.clock.Add(24 * time.Hour)
	if got := w.open(); got != "" {
		t.Errorf("alarm: %s", got)
	}
}

func TestAFeedsOwnLimitNeedsNoHistory(t *testing.T) {
	w := newWatched(t)
	feed := w.feeds()["bhrut"]
	feed.Silence = &discharge.SilenceLimit{After: 10 * time.Minute}
	w.feeds()["bhrut"] = feed
	w.came("bhrut", time.Minute, 3*time.Minute)
	w.clock = w.clock.Add(9 * time.Minute)
	if got := w.open(); got != "" {
		t.Errorf("alarm: %s", got)
	}
	w.clock = w.clock.Add(time.Minute)
	if w.open() == "" {
		t.Error("no alarm")
	}
}

func TestAMessageWhoseTransactionCommitsLateIsHeard(t *testing.T) {
	w := newWatched(t)
	w.came("mse-basildon", 10*time.Minute, 4*7*24*time.Hour)
	w.steps()
	tx, err := w.db.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `INSERT INTO inbound (feed, format, control_id, digest, received_at, traceparent, accepted, body)
		VALUES ('mse-basildon', 'hl7v2', '', 'late', $1, '', true, '')`, w.clock.Add(20*time.Minute)); err != nil {
		t.Fatal(err)
	}
	w.came("bhrut", time.Minute, 21*time.Minute)
	w.open() // reads behind it
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.clock = w.clock.Add(20 * time.Minute)
	if got := w.open(); got != "" {
		t.Errorf("alarm about a feed that sent twenty minutes ago: %s", got)
	}
}

func TestNoFeedIsSilentByAClockThatIsAhead(t *testing.T) {
	w := newWatched(t)
	w.came("mse-basildon", 10*time.Minute, 4*7*24*time.Hour)
	w.steps()
	svc := &service.Service{Now: func() time.Time { return w.clock }, Elapsed: func() time.Duration { return 0 }, Log: w.watcher.log}
	hub := &Hub{clients: &roster{}, store: w.store}
	hub.clients.current.Store(newClientele(slices.Collect(maps.Values(w.feeds())), nil))
	hub.watch(svc)
	w.clock = w.clock.Add(24 * time.Hour)
	if _, err := svc.Workers[0].Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	var open int
	if err := w.db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM exception`).Scan(&open); err != nil || open != 0 {
		t.Errorf("%d exceptions, %v", open, err)
	}
}

// A feed sends by a clock that is a day ahead, which is set right, and then sends nothing more. It is called silent in time, whether the messages
// were looked at by the wrong clock or by the right one.
func TestAFeedThatSentWhileTheClockWasAheadIsCalledSilentInTime(t *testing.T) {
	for name, looks := range map[string]bool{"looked at by the wrong clock": true, "looked at by the right one": false} {
		t.Run(name, func(t *testing.T) {
			w := newWatched(t)
			w.came("mse-basildon", 10*time.Minute, 4*7*24*time.Hour)
			w.steps()
			right := w.clock
			w.clock = right.Add(24 * time.Hour)
			w.came("mse-basildon", time.Minute, 5*time.Minute)
			if looks {
				w.steps()
			}
			w.clock = right.Add(5 * time.Minute)
			if got := w.open(); got != "" {
				t.Errorf("alarm about a feed that has just sent: %s", got)
			}
			w.clock = w.clock.Add(2 * time.Hour)
			if w.open() == "" {
				t.Error("no alarm after two hours")
			}
			w.came("mse-basildon", time.Minute, time.Minute)
			if got := w.open(); got != "" {
				t.Errorf("it is back, and the alarm stands: %s", got)
			}
		})
	}
}

// An alarm by a clock that was ahead ends when the feed sends by the right one.
func TestAnAlarmByAClockThatWasAheadEnds(t *testing.T) {
	w := newWatched(t)
	w.came("mse-basildon", 10*time.Minute, 4*7*24*time.Hour)
	w.steps()
	right := w.clock
	w.clock = right.Add(24 * time.Hour)
	if w.open() == "" {
		t.Fatal("no alarm")
	}
	w.clock = right
	w.steps()
	w.came("mse-basildon", time.Minute, time.Minute)
	if got := w.open(); got != "" {
		t.Errorf("the alarm stands: %s", got)
	}
}
