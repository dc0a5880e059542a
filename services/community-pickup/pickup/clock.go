package pickup

import (
	"fmt"
	"time"
)

// Date is a civil date, YYYY-MM-DD; the empty Date means that there is none. Dates compare with < and >, since their text sorts
// as they do.
type Date string

// ParseDate reads YYYY-MM-DD, and refuses dates that the calendar does not have.
func ParseDate(text string) (Date, error) {
	if _, err := time.Parse(time.DateOnly, text); err != nil {
		return "", fmt.Errorf("%q is not a date: write it as YYYY-MM-DD", text)
	}
	return Date(text), nil
}

// DateOf is the calendar date on which the moment falls in the zone.
func DateOf(at time.Time, zone *time.Location) Date {
	return Date(at.In(zone).Format(time.DateOnly))
}

// Add is the date so many calendar days later.
func (d Date) Add(days int) Date {
	return Date(d.utc().AddDate(0, 0, days).Format(time.DateOnly))
}

// DaysUntil counts calendar days from d to the other date; it is negative when that is earlier.
func (d Date) DaysUntil(other Date) int {
	return int(other.utc().Sub(d.utc()) / (24 * time.Hour))
}

// Start is the first instant of the date in the zone, in UTC.
func (d Date) Start(zone *time.Location) time.Time {
	u := d.utc()
	return time.Date(u.Year(), u.Month(), u.Day(), 0, 0, 0, 0, zone).UTC()
}

func (d Date) utc() time.Time {
	t, _ := time.Parse(time.DateOnly, string(d))
	return t
}

// sixWeeks is by when a pick-up must be assessed or reviewed: a number of calendar days (42) after the local date of the actual
// discharge, to the end of that day. It returns that day, and the first instant that is too late. Days are counted on the
// calendar, so a change of the clocks between cannot move the day.
//
// Source: the local promise of six weeks from discharge (design §5, "By when?"). It is not reablement's six weeks, which run
// from the start of that service (SI 2014/2673, regulation 4).
func sixWeeks(p Place, dischargedOn Date) (Date, time.Time) {
	due := dischargedOn.Add(p.ThresholdsOn(dischargedOn).PickUpDays)
	return due, due.Add(1).Start(p.Zone)
}

// firstContactBy is the end of the last working day for the first two-way contact, as the first instant that is too late: three
// working days after the day of discharge, which itself does not count.
//
// Source: design, local promise; the number is data.
func firstContactBy(p Place, dischargedOn Date) time.Time {
	day := dischargedOn
	for range p.ThresholdsOn(dischargedOn).FirstContactWorkingDays {
		day = nextWorkingDay(p, day)
	}
	return day.Add(1).Start(p.Zone)
}

// afterWorkingDays is the same time of day so many working days later. Outside a working day, counting begins with the first
// instant of the next one.
//
// Source: design §1.4, "untaken after one working day goes to duty, then to the manager".
func afterWorkingDays(p Place, from time.Time, days int) time.Time {
	local := from.In(p.Zone)
	day := DateOf(from, p.Zone)
	hour, minute, second, nano := local.Hour(), local.Minute(), local.Second(), local.Nanosecond()
	if !p.WorkingDay(day) {
		day = nextWorkingDay(p, day)
		hour, minute, second, nano = 0, 0, 0, 0
	}
	for range days {
		day = nextWorkingDay(p, day)
	}
	u := day.utc()
	return time.Date(u.Year(), u.Month(), u.Day(), hour, minute, second, nano, p.Zone).UTC()
}

func nextWorkingDay(p Place, day Date) Date {
	for day = day.Add(1); !p.WorkingDay(day); day = day.Add(1) {
	}
	return day
}

// daysUsed counts the calendar days of the clock that were gone when the discharge was learned of: a message ten days late
// starts with ten days used.
//
// Source: design §5, "By when?".
func daysUsed(p Place, dischargedOn Date, learnedAt time.Time) int {
	return max(0, dischargedOn.DaysUntil(DateOf(learnedAt, p.Zone)))
}
