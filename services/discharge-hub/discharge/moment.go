package discharge

import (
	"sync"
	"time"
)

// London returns the time zone in which discharges have their calendar date. It panics in a program that has no time zone data:
// import time/tzdata there, as LoadFeeds asks for with an ordinary error.
var London = sync.OnceValue(func() *time.Location {
	loc, err := time.LoadLocation("Europe/London")
	if err != nil {
		panic("no time zone data in this program: import time/tzdata in its main package: " + err.Error())
	}
	return loc
})

// OfThisAge tells whether a hospital can have meant this time. Days are counted from it and it is stored and published, where years have
// four digits.
func OfThisAge(at time.Time) bool { return at.Year() >= 1850 && at.Year() <= 2200 }

// Recordable tells whether a message can have been recorded at this time, or somebody have left of whom it tells: 19000101, 18991230 and 19700101 are
// null dates. A message that is ordered by one comes before all others, and what it says, a death or a second discharge, is taken for overcome by them.
func Recordable(at time.Time) bool { return OfThisAge(at) && at.Year() >= 2000 }

// Moment is a time as a hospital tells it, in UTC. Some tell only the day.
type Moment struct {
	At time.Time `json:"at"`
	// DayOnly says that At is the beginning of a day and that the time of day is unknown.
	DayOnly bool `json:"day_only,omitzero"`
}

// IsZero tells whether there is no time.
func (m Moment) IsZero() bool { return m.At.IsZero() }

// Date returns the calendar date in London, YYYY-MM-DD.
func (m Moment) Date() string { return m.At.In(London()).Format(time.DateOnly) }

// differs tells whether m and n are certainly two times: where either is only a day, two days.
func (m Moment) differs(n Moment) bool { return m.After(n) || n.After(m) }

// After tells whether m is certainly later than n: where either is only a day, days are compared.
func (m Moment) After(n Moment) bool {
	if m.DayOnly || n.DayOnly {
		return m.Date() > n.Date()
	}
	return m.At.After(n.At)
}
