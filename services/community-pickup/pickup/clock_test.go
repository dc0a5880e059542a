package pickup_test

import (
	"testing"
	"time"

	"github.com/homeward-care/homeward/services/community-pickup/pickup"
)

func TestSixWeeksAre42CalendarDaysInLondon(t *testing.T) {
	p := thurrock(t)
	tests := []struct {
		name, dischargedAt string
		on, due            pickup.Date
		dueAt              string
	}{
		{"in summer, due in summer", "2026-07-01T10:00:00Z", "2026-07-01", "2026-08-12", "2026-08-12T23:00:00Z"},
		{"23:30 UTC in summer is the next day in London", "2026-07-01T23:30:00Z", "2026-07-02", "2026-08-13", "2026-08-13T23:00:00Z"},
		{"22:59 UTC in summer is the same day", "2026-07-01T22:59:59Z", "2026-07-01", "2026-08-12", "2026-08-12T23:00:00Z"},
		{"23:30 UTC in winter is the same day", "2026-01-10T23:30:00Z", "2026-01-10", "2026-02-21", "2026-02-22T00:00:00Z"},
		{"evening before the clocks go forward", "2026-03-28T23:30:00Z", "2026-03-28", "2026-05-09", "2026-05-09T23:00:00Z"},
		{"night in which they go forward", "2026-03-29T00:30:00Z", "2026-03-29", "2026-05-10", "2026-05-10T23:00:00Z"},
		{"late on the day on which they went forward", "2026-03-29T23:30:00Z", "2026-03-30", "2026-05-11", "2026-05-11T23:00:00Z"},
		{"due on the day on which they go forward", "2026-02-15T12:00:00Z", "2026-02-15", "2026-03-29", "2026-03-29T23:00:00Z"},
		{"due on the day before", "2026-02-14T12:00:00Z", "2026-02-14", "2026-03-28", "2026-03-29T00:00:00Z"},
		{"evening before the clocks go back", "2026-10-24T22:30:00Z", "2026-10-24", "2026-12-05", "2026-12-06T00:00:00Z"},
		{"23:30 UTC on that evening is the day itself", "2026-10-24T23:30:00Z", "2026-10-25", "2026-12-06", "2026-12-07T00:00:00Z"},
		{"in the hour that happens twice", "2026-10-25T00:30:00Z", "2026-10-25", "2026-12-06", "2026-12-07T00:00:00Z"},
		{"late on the day on which they went back", "2026-10-25T23:30:00Z", "2026-10-25", "2026-12-06", "2026-12-07T00:00:00Z"},
		{"due on the day on which they go back", "2026-09-13T12:00:00Z", "2026-09-13", "2026-10-25", "2026-10-26T00:00:00Z"},
		{"due on the day before they go back", "2026-09-12T12:00:00Z", "2026-09-12", "2026-10-24", "2026-10-24T23:00:00Z"},
		{"over the end of February in a leap year", "2028-02-01T12:00:00Z", "2028-02-01", "2028-03-14", "2028-03-15T00:00:00Z"},
		{"over the end of the year", "2026-12-01T12:00:00Z", "2026-12-01", "2027-01-12", "2027-01-13T00:00:00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			task := decideAt(t, p, nil, pickup.Inputs{Spell: discharged(t, at(t, tt.dischargedAt, 1))}, tt.dischargedAt)
			if task.DischargedOn != tt.on || task.DueOn != tt.due || !task.DueAt.Equal(moment(t, tt.dueAt)) {
				t.Errorf("discharged on %s, due on %s at %s; want %s, %s, %s", task.DischargedOn, task.DueOn, task.DueAt.Format(time.RFC3339), tt.on, tt.due, tt.dueAt)
			}
		})
	}
}

func TestFirstContactIsDueAtTheEndOfTheThirdWorkingDay(t *testing.T) {
	p := thurrock(t)
	tests := []struct{ name, dischargedAt, by string }{
		{"Wednesday, over a weekend", "2026-09-02T14:25", "2026-09-08T00:00"},
		{"Monday", "2026-09-07T09:00", "2026-09-11T00:00"},
		{"Saturday", "2026-09-05T09:00", "2026-09-10T00:00"},
		{"Maundy Thursday, over Easter", "2026-04-02T09:00", "2026-04-10T00:00"},
		{"Christmas Eve, over two holidays and a weekend", "2026-12-24T09:00", "2027-01-01T00:00"},
		{"Friday before the clocks go back", "2026-10-23T09:00", "2026-10-29T00:00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			task := decideAt(t, p, nil, pickup.Inputs{Spell: discharged(t, at(t, tt.dischargedAt, 1))}, tt.dischargedAt)
			if want := moment(t, tt.by); !task.FirstContactBy.Equal(want) {
				t.Errorf("by %s, want %s", task.FirstContactBy, want)
			}
		})
	}
}

func TestAMessageTenDaysLateStartsWithTenDaysUsed(t *testing.T) {
	p := thurrock(t)
	for now, want := range map[string]int{
		"2026-09-02T14:35": 0, "2026-09-03T00:05": 1, "2026-09-12T09:00": 10, "2026-09-01T09:00": 0,
	} {
		task := decideAt(t, p, nil, pickup.Inputs{Spell: discharged(t)}, now)
		if task.DaysUsedOnArrival != want {
			t.Errorf("learned at %s: %d days used, want %d", now, task.DaysUsedOnArrival, want)
		}
		if task.DueOn != "2026-10-14" {
			t.Errorf("learned at %s: due on %s", now, task.DueOn)
		}
	}
}

func TestUntakenTimeCountsWorkingDaysFromDelivery(t *testing.T) {
	p := thurrock(t)
	tests := []struct{ name, delivered, duty, manager string }{
		{"Monday morning", "2026-09-07T10:00", "2026-09-08T10:00", "2026-09-09T10:00"},
		{"Friday afternoon", "2026-09-04T16:00", "2026-09-07T16:00", "2026-09-08T16:00"},
		{"Saturday counts from Monday's first instant", "2026-09-05T12:00", "2026-09-08T00:00", "2026-09-09T00:00"},
		{"Thursday before Easter", "2026-04-02T17:00", "2026-04-07T17:00", "2026-04-08T17:00"},
		{"Friday before the clocks go back keeps the time of day", "2026-10-23T16:00", "2026-10-26T16:00", "2026-10-27T16:00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			task := decideAt(t, p, nil, pickup.Inputs{Spell: discharged(t, at(t, tt.delivered, 1))}, tt.delivered)
			for kind, want := range map[pickup.NoticeKind]string{pickup.UntakenDuty: tt.duty, pickup.UntakenManager: tt.manager} {
				if _, fired := pickup.Fire(p, task, moment(t, want).Add(-time.Second)); has(fired, kind) {
					t.Errorf("%s fired before %s", kind, want)
				}
				if _, fired := pickup.Fire(p, task, moment(t, want)); !has(fired, kind) {
					t.Errorf("%s did not fire at %s", kind, want)
				}
			}
		})
	}
}

func TestDatesAreRead(t *testing.T) {
	for _, text := range []string{"", "2026-9-2", "2026-02-29", "02/09/2026", "2026-09-02T00:00"} {
		if _, err := pickup.ParseDate(text); err == nil {
			t.Errorf("%q was read as a date", text)
		}
	}
	if d, err := pickup.ParseDate("2028-02-29"); err != nil || d.Add(1) != "2028-03-01" {
		t.Errorf("2028-02-29: %v, %v", d, err)
	}
}

func has(notices []pickup.Notice, kind pickup.NoticeKind) bool {
	for _, n := range notices {
		if n.Kind == kind && n.WithdrawnAt.IsZero() {
			return true
		}
	}
	return false
}
