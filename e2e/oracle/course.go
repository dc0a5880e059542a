package oracle

import (
	"slices"
	"time"
)

// course is how a spell went on.
type course struct {
	begun, voided bool
	holds         *leaving // the discharge that nobody has cancelled
	number        int      // of discharges so far
	admitted      time.Time
	cancelled     bool // the last discharge was; the same cancel may come again
	// What the hub has to look into as long as it stands.
	nothingToCancel, leftWithoutDischarge, secondStay bool
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
	return m.Kind != "A13" && m.Kind != "A11" || m.Kind == "A13" && c.holds != nil || m.Kind == "A11" && c.begun
}

func (c *course) happen(m Told) {
	switch m.Kind {
	case "A01":
		c.begun, c.voided = true, false
		if c.holds != nil && !c.admitted.IsZero() && !m.Admitted.IsZero() && !c.admitted.Equal(m.Admitted) {
			c.secondStay = true
		}
	case "A02", "A08", "A21", "A22": // leave is no discharge
		c.begun = c.begun || !c.voided
	case "A03": // a second one with no cancel between corrects the first
		if c.holds == nil {
			c.number++
			c.holds = &leaving{recorded: m.Recorded}
		}
		c.begun, c.voided, c.cancelled, c.nothingToCancel, c.leftWithoutDischarge = true, false, false, false, false
		if !m.Effective.IsZero() && !m.ahead(m.Effective) {
			c.holds.effective = m.Effective
		}
	case "A13":
		c.cancelled = c.cancelled || c.holds != nil
		c.nothingToCancel = !c.cancelled
		c.holds, c.secondStay, c.leftWithoutDischarge = nil, false, false
	case "A11":
		c.begun, c.voided, c.cancelled = false, true, false
		c.holds, c.secondStay, c.leftWithoutDischarge = nil, false, false
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

func (l *leaving) correct(m Told, believed bool) {
	if believed {
		l.told = m.Left
	}
	l.method, l.destination, l.goingTo = last(l.method, m.Method), last(l.destination, m.Destination), last(l.goingTo, m.GoingTo)
	// Words stay until both fields have been told anew, for they are in only one of them.
	l.deadWords = m.DeadWords != "" || l.deadWords && (m.Method == "" || m.Destination == "")
}

func (c *course) exceptions() (kinds []string) {
	if c.nothingToCancel {
		kinds = append(kinds, "cancel-without-discharge")
	}
	if c.leftWithoutDischarge {
		kinds = append(kinds, "discharge-time-without-discharge")
	}
	if c.secondStay {
		kinds = append(kinds, "admission-after-discharge")
	}
	return kinds
}
