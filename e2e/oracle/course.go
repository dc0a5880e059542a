package oracle

import (
	"slices"
	"time"
)

// triggers are what may happen in a stay, by the HL7 trigger that tells it, with others that mean the same.
var triggers = map[string][]string{
	"A01": {"A06"}, "A02": nil, "A03": nil, "A04": nil, "A05": {"A14"}, "A07": nil, "A08": nil, "A11": nil, "A12": nil, "A13": nil, "A15": nil, "A16": nil,
	"A17": nil, "A21": {"A53"}, "A22": {"A52"}, "A23": nil, "A25": nil, "A26": nil, "A38": {"A27"}, moveVisit: {"A44"}, renumberVisit: {"A50"},
}

// inBed are what can only happen to somebody who is in hospital.
var inBed = []string{"A02", "A12", "A15", "A16", "A17", "A21", "A22"}

// elsewhere are messages in which PV1-3 is not where the person is.
var otherPlaces = []string{"A15", "A16", "A25", "A26", moveVisit, renumberVisit}

// course is how a spell went on.
type course struct {
	begun, voided bool
	// visiting is somebody who is only expected, in A&E or in a clinic, unless also an inpatient.
	visiting, inpatient bool
	holds               *leaving // the discharge that nobody has cancelled
	number              int      // of discharges so far
	admitted, planned   time.Time
	ward                string
	wards               []string // those before each move that nobody has cancelled
	onLeave             bool
	cancelled           bool // the last discharge was; the same cancel may come again
	// What the hub has to look into as long as it stands.
	nothingToCancel, leftWithoutDischarge, secondStay, outpatient, deleted, renumbered bool
}

// leaving is a discharge as last corrected.
type leaving struct {
	told, effective, recorded    time.Time
	method, destination, goingTo string
	deadWords                    bool
}

// moment is when the person left: as told (PV1-45), else when the discharge took effect (EVN-6), else when it was first recorded.
func (l leaving) moment() time.Time {
	for _, at := range []time.Time{l.told, l.effective} {
		if !at.IsZero() {
			return at
		}
	}
	return l.recorded
}

// follow goes through a person's messages. Of those that were recorded at one moment a cancel waits for what it can cancel.
func follow(own []Told) (c course) {
	if len(own) > 0 {
		c.deleted = own[len(own)-1].Kind == "A23"
	}
	for _, m := range own {
		c.renumbered = c.renumbered || m.VisitNow != ""
	}
	for len(own) > 0 {
		same := slices.IndexFunc(own, func(m Told) bool { return !m.Recorded.Equal(own[0].Recorded) })
		if same < 0 {
			same = len(own)
		}
		for moment := slices.Clone(own[:same]); len(moment) > 0; {
			next := max(0, slices.IndexFunc(moment, c.possible))
			c.happen(moment[next])
			moment = slices.Delete(moment, next, next+1)
		}
		own = own[same:]
	}
	return c
}

func (c *course) possible(m Told) bool {
	switch m.Kind {
	case "A11":
		return c.begun
	case "A12":
		return len(c.wards) > 0
	case "A13":
		return c.holds != nil
	case "A22":
		return c.onLeave
	case "A25":
		return !c.planned.IsZero()
	case "A38":
		return c.visiting
	}
	return true
}

func (c *course) happen(m Told) {
	c.move(m)
	if !m.Planned.IsZero() {
		c.planned = m.Planned
	}
	switch m.Kind {
	case "A01":
		c.begun, c.voided, c.inpatient, c.outpatient, c.onLeave = true, false, true, false, false
		if c.holds != nil && !c.admitted.IsZero() && !m.Admitted.IsZero() && !c.admitted.Equal(m.Admitted) {
			c.secondStay = true
		}
	case "A04":
		c.begun, c.voided, c.visiting = true, false, true
	case "A05":
		c.voided, c.visiting = c.voided && c.begun, c.visiting || !c.begun
	case "A38", "A23": // nobody who is or was there is lost by it
		c.voided = c.voided || !c.begun
	case "A07": // nobody is discharged by it
		c.begun = c.begun || !c.voided
		c.outpatient, c.onLeave = c.begun && c.holds == nil && (c.inpatient || !c.visiting), false
	case "A08":
		c.begun = c.begun || !c.voided && !c.visiting
	case "A25":
		c.planned = time.Time{}
	case "A03": // a second one with no cancel between corrects the first
		if c.holds == nil {
			c.number++
			c.holds = &leaving{recorded: m.Recorded}
		}
		c.begun, c.voided, c.cancelled, c.nothingToCancel = true, false, false, false
		c.leftWithoutDischarge, c.outpatient, c.onLeave = false, false, false
		if !m.Effective.IsZero() && !m.ahead(m.Effective) {
			c.holds.effective = m.Effective
		}
	case "A13":
		c.cancelled = c.cancelled || c.holds != nil
		c.nothingToCancel = !c.cancelled
		c.holds, c.secondStay, c.leftWithoutDischarge = nil, false, false
	case "A11": // as if nothing had been, but that discharges go on being counted
		*c = course{voided: true, number: c.number, admitted: c.admitted, ward: c.ward, nothingToCancel: c.nothingToCancel, deleted: c.deleted, renumbered: c.renumbered}
	}
	c.recognise(m)
	switch m.Kind {
	case "A21": // leave is no discharge
		c.onLeave = c.begun && c.holds == nil
	case "A22":
		c.onLeave = false
	}
	if !m.Admitted.IsZero() {
		c.admitted = m.Admitted
	}
	switch believed := !m.Left.IsZero() && !m.ahead(m.Left); {
	case c.holds != nil && (m.Kind == "A03" || m.Kind == "A08"):
		c.holds.correct(m, believed)
	case c.holds == nil && believed && m.Kind != "A13" && m.Kind != "A11":
		c.leftWithoutDischarge = true
	}
}

// recognise sees that somebody is there, and an inpatient: by the class of one, and by what happens to inpatients alone unless the class is
// another one. The class never tells that somebody is no inpatient.
func (c *course) recognise(m Told) {
	if c.voided || m.Kind == "A05" || m.Kind == "A13" || m.Kind == "A11" {
		return
	}
	bed := slices.Contains(inBed, m.Kind)
	c.begun = c.begun || bed
	c.inpatient = c.inpatient || bed && m.Class == "" || c.begun && m.Class == "I"
}

// move follows the person from ward to ward. A move that is cancelled leads back to the ward before it, or where none is known, to where the
// cancel says.
func (c *course) move(m Told) {
	switch moves := len(c.wards); {
	case m.Kind == "A12" && moves > 0:
		c.ward, c.wards = c.wards[moves-1], c.wards[:moves-1]
		return
	case m.Kind == "A02", m.Kind == "A17":
		c.wards = append(c.wards, c.ward)
	case slices.Contains(otherPlaces, m.Kind):
		return
	}
	c.ward = last(c.ward, m.Ward)
}

func (l *leaving) correct(m Told, believed bool) {
	if believed {
		l.told = m.Left
	}
	l.method, l.destination, l.goingTo = last(l.method, m.Method), last(l.destination, m.Destination), last(l.goingTo, m.GoingTo)
	// Words stay until both fields have been told anew, for they are in only one of them.
	l.deadWords = m.DeadWords != "" || l.deadWords && (m.Method == "" || m.Destination == "")
}

func (c *course) exceptions() (kinds []string) {
	for kind, stands := range map[string]bool{
		"cancel-without-discharge": c.nothingToCancel, "discharge-time-without-discharge": c.leftWithoutDischarge, "admission-after-discharge": c.secondStay,
		"became-outpatient-without-discharge": c.outpatient, "visit-deleted": c.deleted && c.begun, "visit-number-changed": c.renumbered,
	} {
		if stands {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// checkedFlags are those of the hub's flags that the oracle knows.
var checkedFlags = []string{"discharge-cancelled", "not-admitted", "on-leave"}

func (c *course) flags() (flags []string) {
	if c.holds != nil && c.visiting && !c.inpatient {
		flags = append(flags, "not-admitted")
	}
	if c.cancelled && c.holds == nil {
		flags = append(flags, "discharge-cancelled")
	}
	if c.onLeave {
		flags = append(flags, "on-leave")
	}
	return flags
}
