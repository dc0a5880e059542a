package discharge

import (
	"slices"
	"time"
)

// HourOfWeek names an hour of one week on a feed's clock.
type HourOfWeek struct {
	// Week is its Monday, at midnight UTC of that date.
	Week time.Time
	// Hour is 0 to 167, Monday from midnight to one first.
	Hour int
}

// HourOf returns the hour in which a moment lies.
func HourOf(at time.Time, zone *time.Location) HourOfWeek {
	local := at.In(zone)
	day := (int(local.Weekday()) + 6) % 7 // Monday is 0
	return HourOfWeek{
		Week: time.Date(local.Year(), local.Month(), local.Day()-day, 0, 0, 0, 0, time.UTC),
		Hour: 24*day + local.Hour(),
	}
}

// before returns the hour before, and the same hour so many weeks earlier.
func (h HourOfWeek) before(hours, weeks int) HourOfWeek {
	h.Hour -= hours
	for h.Hour < 0 {
		h.Hour += 7 * 24
		weeks++
	}
	h.Week = h.Week.AddDate(0, 0, -7*weeks)
	return h
}

// Silences are the longest times for which a feed sent nothing, by the hours that they touched. A night's silence touches all hours of the
// night, so what is usual at three is the whole night, and what is usual at noon some minutes.
type Silences map[HourOfWeek]time.Duration

// SilenceWeeks is how many weeks back a silence matters for what is usual.
const SilenceWeeks = 5

// Learn adds the silence between two messages.
func (s Silences) Learn(from, to time.Time, zone *time.Location) {
	length := to.Sub(from)
	if oldest := to.AddDate(0, 0, -7*(SilenceWeeks+1)); from.Before(oldest) {
		from = oldest
	}
	// Half hours, because some zones' clocks are half an hour off.
	for at := from; at.Before(to); at = at.Truncate(30 * time.Minute).Add(30 * time.Minute) {
		s.add(HourOf(at, zone), length)
	}
	s.add(HourOf(to, zone), length)
}

func (s Silences) add(h HourOfWeek, length time.Duration) { s[h] = max(s[h], length) }

// Usual returns how long the feed is usually silent at most at a moment: the second longest silence of this hour and the one before it in
// the last five weeks, so that one outage does not become usual; with two weeks of history the longest. With less nothing is usual.
func (s Silences) Usual(at time.Time, zone *time.Location) (time.Duration, bool) {
	hour := HourOf(at, zone)
	var weeks []time.Duration
	for w := 1; w <= SilenceWeeks; w++ {
		if longest := max(s[hour.before(0, w)], s[hour.before(1, w)]); longest > 0 {
			weeks = append(weeks, longest)
		}
	}
	if len(weeks) < 2 {
		return 0, false
	}
	slices.Sort(weeks)
	if len(weeks) == 2 {
		return weeks[1], true
	}
	return weeks[len(weeks)-2], true
}

const (
	// LeastSilence is what no feed without a limit of its own is alarmed for.
	LeastSilence = 30 * time.Minute
	// unusual is how many times longer than usual a silence must be.
	unusual = 3
)

// Silent decides whether a feed whose newest message came at last is silent for too long. It returns how long it may be silent at this
// moment; zero means that nothing is known.
func (f Feed) Silent(learned Silences, last, now time.Time) (allowed time.Duration, tooLong bool) {
	if f.Silence != nil {
		from, within := f.Silence.window(now, f.Zone)
		if last.After(from) {
			from = last
		}
		return f.Silence.After, within && now.Sub(from) >= f.Silence.After
	}
	usual, known := learned.Usual(now, f.Zone)
	if !known {
		return 0, false
	}
	allowed = max(LeastSilence, unusual*usual)
	return allowed, now.Sub(last) >= allowed
}

// window returns when the limit's hours began that now lies in, if it lies in any.
func (l SilenceLimit) window(now time.Time, zone *time.Location) (time.Time, bool) {
	if l.From == l.To {
		return time.Time{}, true
	}
	local := now.In(zone)
	at := func(day int, clock time.Duration) time.Time {
		return time.Date(local.Year(), local.Month(), local.Day()+day, 0, int(clock/time.Minute), 0, 0, zone)
	}
	for _, day := range []int{0, -1} {
		from, to := at(day, l.From), at(day, l.To)
		if l.To <= l.From {
			to = at(day+1, l.To)
		}
		if !now.Before(from) && now.Before(to) {
			return from, true
		}
	}
	return time.Time{}, false
}
