package discharge

import (
	"slices"
	"time"
)

// urgentWithin is how long an urgent exception may wait. Hours, not days: somebody may have left hospital, and no team knows.
const urgentWithin = 4 * time.Hour

// urgent are the kinds behind which may be a discharge that is in no spell, or a visit to somebody who has died.
var urgent = []string{NoSpellKey, NoMessageType, NoTime, VisitNumberReused, ContradictoryDeath, Unreadable}

// alarmDays are the working days, counted from when an exception was opened, after which it raises its alarms; the first is when somebody
// must have looked.
var alarmDays = [...]int{1, 2, 5}

// LookBy is when somebody must have dealt with an exception: an urgent one within hours, any other by the same time of the next working
// day. Saturdays and Sundays are none; holidays are the place's, so a deadline may fall on one: earlier rather than later.
func LookBy(kind string, opened time.Time) time.Time { return Alarms(kind, opened)[0] }

// Alarms are the moments at which an exception that nobody has dealt with raises an alarm, in their order.
func Alarms(kind string, opened time.Time) []time.Time {
	var at []time.Time
	for i, days := range alarmDays {
		if i == 0 && slices.Contains(urgent, kind) {
			at = append(at, opened.Add(urgentWithin))
			continue
		}
		at = append(at, workingDaysLater(opened, days))
	}
	slices.SortFunc(at, time.Time.Compare)
	return at
}

// workingDaysLater is the same time of day in London so many working days later.
func workingDaysLater(t time.Time, days int) time.Time {
	local := t.In(London())
	for days > 0 {
		local = local.AddDate(0, 0, 1)
		if d := local.Weekday(); d != time.Saturday && d != time.Sunday {
			days--
		}
	}
	return local.UTC()
}
