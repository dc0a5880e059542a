package pickup

import "time"

// visitAhead is how many days ahead a visit may be booked: beyond it, somebody has mistyped the year.
const visitAhead = 366

// visitUnderWay is how long after its time a visit may still be booked: by who types it in while it is being made. After that it was made, or the
// person was not met, and either is a contact.
const visitUnderWay = time.Hour

// Visit is when the team is to come for the assessment: a day, and on it a moment where one was agreed.
type Visit struct {
	On Date      `json:"on"`
	At time.Time `json:"at,omitzero"`
}

// BookVisit records for when the visit is booked: a moment, or a day if the moment is zero. It replaces the visit that was booked before. Whoever
// booked it, it stands until it is cancelled, the task goes to another team or the person is discharged again. A visit that was made is no
// booking but a contact.
func (t Task) BookVisit(p Place, on Date, at, now time.Time) (Task, error) {
	switch {
	case on == "" && at.IsZero():
		return t, invalid("say for which day or moment the visit is booked")
	case on != "" && !at.IsZero():
		return t, invalid("give the day of the visit or its moment, not both")
	case on == "":
		on = DateOf(at, p.Zone)
	}
	day, err := ParseDate(string(on))
	if err != nil {
		return t, invalid("the day of the visit: %v", err)
	}
	if err := t.mustTakeVisit(); err != nil {
		return t, err
	}
	switch ahead := DateOf(now, p.Zone).DaysUntil(day); {
	case ahead < 0:
		return t, invalid("a visit cannot be booked for %s, which is past: record the contact instead, a visit, with its time", day)
	case !at.IsZero() && at.Before(now.Add(-visitUnderWay)):
		return t, invalid("a visit cannot be booked for %s, which is past: record the contact instead, a visit, with its time", at.In(p.Zone).Format("15:04"))
	case ahead > visitAhead:
		return t, invalid("a visit cannot be booked for %s, more than a year ahead", day)
	}
	t = t.clone()
	t.Visit = &Visit{On: day}
	if !at.IsZero() {
		t.Visit.At = at.UTC()
	}
	return t.conclude(), nil
}

// CancelVisit records that no visit is booked any more. Where none is, nothing changes.
func (t Task) CancelVisit() (Task, error) {
	if err := t.mustBeOpen(); err != nil {
		return t, err
	}
	if t.Visit == nil {
		return t, nil
	}
	t = t.clone()
	t.Visit = nil
	return t.conclude(), nil
}

func (t Task) mustTakeVisit() error {
	if err := t.mustBeOpen(); err != nil {
		return err
	}
	switch {
	case t.Worker == "":
		return precondition("nobody has taken this task: take it before booking a visit")
	case t.Outcome != PickUpDue:
		return precondition("the person is in another hospital: no visit is due before the real discharge")
	}
	return t.mustBeReachable()
}
