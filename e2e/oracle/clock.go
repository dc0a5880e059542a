package oracle

import (
	"strings"
	"time"
	_ "time/tzdata" // London's clocks, whatever machine this runs on
)

// London is where discharges have their date and teams their working days.
var London = mustLoad("Europe/London")

func mustLoad(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(err) // tzdata is part of the program
	}
	return zone
}

// holidays are the bank holidays of England (gov.uk/bank-holidays).
const holidays = `
2025-01-01 2025-04-18 2025-04-21 2025-05-05 2025-05-26 2025-08-25 2025-12-25 2025-12-26
2026-01-01 2026-04-03 2026-04-06 2026-05-04 2026-05-25 2026-08-31 2026-12-25 2026-12-28
2027-01-01 2027-03-26 2027-03-29 2027-05-03 2027-05-31 2027-08-30 2027-12-27 2027-12-28
2028-01-03 2028-04-14 2028-04-17 2028-05-01 2028-05-29 2028-08-28 2028-12-25 2028-12-26`

// startOf is the first instant of the date so many days after the date on which a moment falls in London.
func startOf(at time.Time, days int) time.Time {
	local := at.In(London)
	return time.Date(local.Year(), local.Month(), local.Day()+days, 0, 0, 0, 0, London).UTC()
}

func dateOf(at time.Time) string { return at.In(London).Format(time.DateOnly) }

func workingDay(day time.Time) bool {
	weekday := day.In(London).Weekday()
	return weekday != time.Saturday && weekday != time.Sunday && !strings.Contains(holidays, dateOf(day))
}

// nextWorked is how many days after the date of a moment the next working day is.
func nextWorked(at time.Time, from int) int {
	for from++; !workingDay(startOf(at, from)); from++ {
	}
	return from
}

// endOfWorkingDay is the end of the nth working day after a date, which itself does not count.
func endOfWorkingDay(at time.Time, n int) time.Time {
	day := 0
	for range n {
		day = nextWorked(at, day)
	}
	return startOf(at, day+1)
}

// afterWorkingDays is the same time of day n working days later; what happens on a day off counts from the start of the next working day.
func afterWorkingDays(at time.Time, n int) time.Time {
	at = at.In(London)
	if !workingDay(at) {
		at = startOf(at, nextWorked(at, 0)).In(London)
	}
	day := 0
	for range n {
		day = nextWorked(at, day)
	}
	return time.Date(at.Year(), at.Month(), at.Day()+day, at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), London).UTC()
}
