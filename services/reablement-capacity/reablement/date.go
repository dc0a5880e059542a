package reablement

import "time"

// Date is a calendar date, YYYY-MM-DD; empty when there is none. Dates compare as strings.
type Date string

// ParseDate reads a date of a request. Invalid names the field.
func ParseDate(field, s string) (Date, error) {
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return "", refuse(Invalid, field, "is %q; give a calendar date as YYYY-MM-DD", s)
	}
	return Date(s), nil
}

// DateOf is the calendar date of a moment in the moment's own time zone.
func DateOf(t time.Time) Date { return Date(t.Format(time.DateOnly)) }

// AddDays counts calendar days.
func (d Date) AddDays(n int) Date {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return ""
	}
	return DateOf(t.AddDate(0, 0, n))
}

// End is the moment at which the day is over in a time zone.
func (d Date) End(zone *time.Location) time.Time {
	t, err := time.ParseInLocation(time.DateOnly, string(d.AddDays(1)), zone)
	if err != nil {
		return time.Time{}
	}
	return t
}
