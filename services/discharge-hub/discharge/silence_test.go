package discharge

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func london(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestHoursOfTheWeek(t *testing.T) {
	zone := london(t)
	for at, want := range map[string]struct {
		hour int
		week string
	}{
		"2026-11-23T00:00:00Z": {0, "2026-11-23"}, // Monday
		"2026-11-25T13:59:00Z": {61, "2026-11-23"},
		"2026-11-29T23:30:00Z": {167, "2026-11-23"},
		"2026-06-28T23:30:00Z": {0, "2026-06-29"},   // Monday has begun in London
		"2026-10-25T00:30:00Z": {145, "2026-10-19"}, // the hour that comes twice is one hour
		"2026-10-25T01:30:00Z": {145, "2026-10-19"},
		"2027-01-01T12:00:00Z": {108, "2026-12-28"},
	} {
		moment, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if h := HourOf(moment, zone); h.Hour != want.hour || h.Week.Format(time.DateOnly) != want.week {
			t.Errorf("%s is hour %d of %s, want %d of %s", at, h.Hour, h.Week.Format(time.DateOnly), want.hour, want.week)
		}
	}
}

func TestALimitOfItsOwnHoldsInItsHours(t *testing.T) {
	zone := london(t)
	day := SilenceLimit{After: 45 * time.Minute, From: 7 * time.Hour, To: 22 * time.Hour}
	night := SilenceLimit{After: 4 * time.Hour, From: 22 * time.Hour, To: 7 * time.Hour}
	always := SilenceLimit{After: 2 * time.Hour}
	for _, c := range []struct {
		name      string
		limit     SilenceLimit
		last, now string
		want      bool
	}{
		{"short", day, "2026-11-25T10:00", "2026-11-25T10:44", false},
		{"as long as it says", day, "2026-11-25T10:00", "2026-11-25T10:45", true},
		{"at night", day, "2026-11-25T21:00", "2026-11-26T06:59", false},
		{"the night does not count in the morning", day, "2026-11-25T21:00", "2026-11-26T07:44", false},
		{"the morning does", day, "2026-11-25T21:00", "2026-11-26T07:45", true},
		{"before midnight", night, "2026-11-25T12:00", "2026-11-25T23:59", false},
		{"after midnight", night, "2026-11-25T12:00", "2026-11-26T02:00", true},
		{"all day", always, "2026-11-25T23:00", "2026-11-26T01:30", true},
		{"clocks go back in the night", night, "2026-10-24T20:00", "2026-10-25T00:59", false},
		{"clocks have gone back", night, "2026-10-24T20:00", "2026-10-25T02:00", true},
		{"clocks go forward: it is 02:30 after three and a half hours", night, "2026-03-28T20:00", "2026-03-29T02:30", false},
		{"clocks have gone forward", night, "2026-03-28T20:00", "2026-03-29T03:00", true},
	} {
		last, err1 := time.ParseInLocation("2006-01-02T15:04", c.last, zone)
		now, err2 := time.ParseInLocation("2006-01-02T15:04", c.now, zone)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if _, got := (Feed{Zone: zone, Silence: &c.limit}).Silent(nil, last, now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// habit is how a feed sends: at most so far apart in its hours, and not at all outside of them.
type habit struct {
	apart     time.Duration
	from, to  int // hours of the day
	weekends  bool
	variation float64 // of the first and the last message of a day, in hours
}

// messages are the times at which a feed of that habit sends.
func (h habit) messages(begin time.Time, days int, zone *time.Location, r *rand.Rand) []time.Time {
	var all []time.Time
	for day := range days {
		local := begin.In(zone)
		midnight := time.Date(local.Year(), local.Month(), local.Day()+day, 0, 0, 0, 0, zone)
		if weekend := midnight.Weekday() == time.Saturday || midnight.Weekday() == time.Sunday; weekend && !h.weekends {
			continue
		}
		clock := func(hour int) time.Time {
			shift := time.Duration(h.variation * r.Float64() * float64(time.Hour))
			return time.Date(midnight.Year(), midnight.Month(), midnight.Day(), hour, 0, 0, 0, zone).Add(shift)
		}
		for at, end := clock(h.from), clock(h.to); at.Before(end); at = at.Add(time.Duration((0.2 + 0.8*r.Float64()) * float64(h.apart))) {
			all = append(all, at)
		}
	}
	return all
}

func habits() *rapid.Generator[habit] {
	return rapid.Custom(func(t *rapid.T) habit {
		h := habit{
			apart: time.Duration(rapid.IntRange(5, 90).Draw(t, "minutes")) * time.Minute,
			from:  rapid.IntRange(0, 9).Draw(t, "from"), to: rapid.IntRange(16, 24).Draw(t, "to"),
			weekends: rapid.Bool().Draw(t, "weekends"),
		}
		// A night whose length changes by more than half of itself is no habit.
		night := float64(24 - h.to + h.from)
		h.variation = rapid.Float64Range(0, max(0.25, min(0.9, night/2))).Draw(t, "variation")
		return h
	})
}

// seasons begin eight weeks before the last week, so that clocks change in it, before it, or not at all.
var seasons = []string{"2026-02-02", "2026-02-09", "2026-08-31", "2026-09-07", "2026-05-04", "2026-11-09"}

const learnedDays = 8 * 7

func TestAFeedThatKeepsItsHabitIsNeverSilentAndOneThatStopsAlwaysIs(t *testing.T) {
	feed := Feed{Zone: london(t)}
	rapid.Check(t, func(t *rapid.T) {
		h := habits().Draw(t, "habit")
		begin, err := time.ParseInLocation(time.DateOnly, rapid.SampledFrom(seasons).Draw(t, "begin"), feed.Zone)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed")))
		messages := h.messages(begin, learnedDays+14, feed.Zone, r)
		judged := begin.AddDate(0, 0, learnedDays)
		learned := Silences{}
		last := messages[0]
		for _, at := range messages[1:] {
			if at.After(judged) {
				for now := last; now.Before(at); now = now.Add(10 * time.Minute) {
					if allowed, tooLong := feed.Silent(learned, last, now); tooLong {
						t.Fatalf("at %v: alarm after %v of silence, allowed %v, though it keeps its habit", now.In(feed.Zone), now.Sub(last), allowed)
					}
				}
			}
			learned.Learn(last, at, feed.Zone)
			last = at
		}
		// It stops for good. The longest silence that its habit allows is a weekend.
		for now := last; ; now = now.Add(10 * time.Minute) {
			if _, tooLong := feed.Silent(learned, last, now); tooLong {
				break
			}
			if now.Sub(last) > 4*24*time.Hour {
				t.Fatalf("no alarm after %v", now.Sub(last))
			}
		}
	})
}

func TestAFeedThatStopsAtNoonIsNoticedWithinAnHour(t *testing.T) {
	feed := Feed{Zone: london(t)}
	begin := time.Date(2026, 9, 7, 0, 0, 0, 0, feed.Zone)
	h := habit{apart: 10 * time.Minute, from: 7, to: 22, weekends: false}
	learned := Silences{}
	messages := h.messages(begin, learnedDays+2, feed.Zone, rand.New(rand.NewPCG(1, 1)))
	outage := begin.AddDate(0, 0, learnedDays-6).Add(10 * time.Hour) // last week, the same day: it is no habit
	last := messages[0]
	noon := begin.AddDate(0, 0, learnedDays+1).Add(12 * time.Hour)
	for _, at := range messages[1:] {
		if at.After(noon) {
			break
		}
		if at.After(outage) && at.Before(outage.Add(8*time.Hour)) {
			continue
		}
		learned.Learn(last, at, feed.Zone)
		last = at
	}
	if _, tooLong := feed.Silent(learned, last, noon.Add(20*time.Minute)); tooLong {
		t.Error("alarm after twenty minutes")
	}
	if allowed, tooLong := feed.Silent(learned, last, noon.Add(time.Hour)); !tooLong {
		t.Errorf("no alarm after an hour; allowed are %v", allowed)
	}
}

func TestAFeedWithoutHistoryIsNotJudged(t *testing.T) {
	feed := Feed{Zone: london(t)}
	last := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	learned := Silences{}
	for range 8 * 24 { // eight days
		learned.Learn(last, last.Add(time.Hour), feed.Zone)
		last = last.Add(time.Hour)
		if allowed, tooLong := feed.Silent(learned, last, last.AddDate(0, 0, 3)); tooLong {
			t.Fatalf("alarm on %v after %v, allowed %v", last, 3*24*time.Hour, allowed)
		}
	}
	if _, tooLong := feed.Silent(nil, last, last.AddDate(1, 0, 0)); tooLong {
		t.Error("alarm about a feed of which nothing is known")
	}
}

func TestASilenceOfAYearIsLearnedInNoTime(t *testing.T) {
	learned := Silences{}
	from := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	learned.Learn(from, from.AddDate(5, 0, 0), london(t))
	if n := len(learned); n > (SilenceWeeks+2)*7*24 {
		t.Errorf("%d hours are kept of one silence", n)
	}
}
