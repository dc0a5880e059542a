package oracle

import (
	"fmt"
	"time"
)

// swapBeds tells of two people, each in the other's bed from then on.
const swapBeds = "A17"

// arrive is how somebody comes to be there: admitted, after having been expected or seen in A&E, or nobody tells.
func (s *story) arrive() {
	switch s.IntN(10) {
	case 0:
		return
	case 1, 2:
		s.expect()
	case 3, 4:
		if s.register(); s.chance(3) {
			return // and goes home from there
		}
	}
	s.later(300)
	s.base.Class = pick(s.Rand, "I", "I", "I", "E")
	s.turn("admitted")
	switch s.IntN(8) {
	case 0:
		s.send("A02", func(m *Says) { m.Class = "" })
	case 1:
		s.send("A08", func(m *Says) { m.Class = "I" })
	default:
		s.send("A01", nil)
	}
}

// expect is an admission that is planned, and sometimes planned no more.
func (s *story) expect() {
	s.turn("expected")
	s.send("A05", func(m *Says) { m.Class = pick(s.Rand, "P", "I", "") })
	if s.chance(3) {
		s.later(60)
		s.turn("not expected any more")
		s.send(pick(s.Rand, "A38", "A38", "A23"), nil)
	}
}

// register is a visit to A&E or a clinic.
func (s *story) register() {
	s.turn("in A&E or a clinic")
	s.base.Class = pick(s.Rand, "E", "E", "O", "R")
	s.send("A04", nil)
	if s.chance(3) {
		s.later(60)
		s.send("A02", nil)
	}
}

// whileThere is what happens in the days in hospital, with what takes it back.
func (s *story) whileThere() {
	planned := s.clock.Add(time.Duration(1+s.IntN(20)) * 24 * time.Hour)
	switch s.IntN(7) {
	case 0:
		s.turn("moved, and not")
		s.send("A02", nil)
		s.later(60)
		s.send("A12", func(m *Says) { m.Effective = s.clock.Add(-time.Hour) })
	case 1:
		s.turn("a move is planned")
		s.send("A15", nil)
		s.later(60)
		s.send("A26", nil)
	case 2:
		s.turn("a discharge is planned")
		s.send("A16", func(m *Says) { m.Planned = planned })
		if s.chance(2) {
			s.later(60)
			s.send("A25", func(m *Says) { m.Planned = planned })
		}
	case 3:
		s.turn("a discharge is expected")
		s.send("A08", func(m *Says) { m.Planned = planned })
	case 4:
		s.turn("on leave")
		s.send("A21", nil)
		if s.later(60); s.chance(2) {
			s.send("A22", nil)
		}
	case 5:
		s.swap()
	case 6:
		s.turn("has not left, which is written as a null date")
		s.send(pick(s.Rand, "A01", "A02", "A08"), func(m *Says) { m.Left = s.cannotBe() })
	}
}

// visitTurns are what else may happen to a visit, at any time.
func (s *story) visitTurns() []func() {
	return []func(){
		s.expect, s.register, s.whileThere, s.whileThere, s.renumber, s.renumber, s.together,
		func() {
			s.turn("became an outpatient")
			s.moveOrRenumber("A07", s.chance(3), func(m *Says) { m.Class = "O" })
			if s.chance(2) {
				s.later(60 * 24)
				s.send("A01", nil)
			}
		},
		func() {
			s.turn("the visit is deleted")
			s.send("A23", nil)
			if s.chance(2) {
				s.later(60 * 24)
				s.send("A08", nil)
			}
		},
	}
}

// together is something and its cancel, recorded at one moment, the cancel under the lower control id.
func (s *story) together() {
	pair := pick(s.Rand, [2]string{"A38", "A05"}, [2]string{"A12", "A02"}, [2]string{"A25", "A16"}, [2]string{"A22", "A21"}, [2]string{"A11", "A01"})
	s.turn("at one moment " + pair[1] + " and " + pair[0])
	s.send(pair[0], nil)
	s.send(pair[1], func(m *Says) {
		if m.Kind == "A16" {
			m.Planned = s.clock.Add(48 * time.Hour)
		}
	})
}

// swap gives the person's bed to one of the others, and that one's bed to the person.
func (s *story) swap() {
	if s.base.Visit == "" {
		return
	}
	other := s.base
	other.as(pick(s.Rand, s.mixed...))
	s.turn("swaps beds with " + other.Patient)
	other.Kind, other.Class, other.Ward = swapBeds, "I", "HDU"
	other.Visit, other.Admitted = "W"+other.Patient, pick(s.Rand, s.base.Admitted, s.base.Admitted.Add(26*time.Hour))
	m := Told{Feed: s.feed, ControlID: s.nextID(), Recorded: s.clock, Says: s.base}
	m.Kind, m.Ward = swapBeds, "ITU"
	m.Also = []About{{SpellID(feeds[s.feed].provider, other.Visit, "", other.Admitted), other}}
	s.sendTold(m)
}

// renumber lets the visit go on under another number. What comes later may still come under the old one.
func (s *story) renumber() {
	if s.base.Visit == "" {
		return
	}
	old := s.base.Visit
	s.moveOrRenumber(renumberVisit, true, nil)
	if s.chance(4) {
		s.base.Visit = old
	}
	s.later(60 * 24)
	s.send(pick(s.Rand, "A08", "A08", "A01"), nil)
}

// moveOrRenumber tells something of the visit that may go with another number for it.
func (s *story) moveOrRenumber(kind string, renumbered bool, say func(*Says)) {
	if s.base.Visit == "" || !renumbered {
		s.send(kind, say)
		return
	}
	old := s.base.Visit
	s.base.Visit = s.nextVisit()
	s.turn("visit " + old + " is " + s.base.Visit + " from now on")
	m := Told{Feed: s.feed, ControlID: s.nextID(), Recorded: s.clock, Says: s.base}
	m.Kind, m.Ward = kind, pick(s.Rand, "ELM", "OAK", "ASU")
	if more := triggers[kind]; len(more) > 0 && s.chance(3) {
		m.Sent = pick(s.Rand, more...)
	}
	if say != nil {
		say(&m.Says)
	}
	now := m.Says
	m.Visit, m.VisitNow = old, s.base.Visit
	switch kind {
	case moveVisit: // it says whose both numbers are
		m.Also = []About{{SpellID(feeds[m.Feed].provider, now.Visit, "", now.Admitted), now}}
	case "A07": // the stay that became an outpatient's visit is the old number's, the visit the new one's
		now.Kind = "A04"
		m.Also = []About{{SpellID(feeds[m.Feed].provider, now.Visit, "", now.Admitted), now}}
	}
	s.sendTold(m)
}

func (s *story) nextVisit() string { return fmt.Sprintf("V%s.%d", s.Key, s.ids) }

// deletePerson tells that the record of somebody was deleted, mostly because it was a double.
func (s *story) deletePerson() {
	person := pick(s.Rand, s.records()...)
	s.turn("the record of " + person.Patient + " is deleted")
	s.sendOf(deletePerson, person, func(m *Says) {
		if s.chance(2) {
			*m = Says{Kind: m.Kind, Patient: person.Patient}
		}
	})
	if s.later(60 * 24); s.chance(2) {
		s.sendOf("A31", person, func(*Says) {})
	}
}

// mergeAccount merges what was charged to two visits, and two people only where their numbers differ.
func (s *story) mergeAccount() {
	if s.base.Visit == "" {
		return
	}
	old := s.base
	m := Told{Feed: s.feed, ControlID: s.nextID(), Recorded: s.clock, Says: Says{Kind: "A31", Sent: "A35"}}
	m.as(s.base)
	if s.chance(2) {
		m.Kind, m.Prior = "A35", s.mixed[s.IntN(len(s.mixed))].Patient
		s.joined = append(s.joined, [2]string{m.Patient, m.Prior})
		s.turn("account and number " + m.Prior + " are merged into " + m.Patient)
	}
	if s.chance(2) {
		s.base.Visit = s.nextVisit()
		s.turn("visit " + old.Visit + " is " + s.base.Visit + " from now on")
		old.Kind, old.VisitNow, old.Class, old.Ward = renumberVisit, s.base.Visit, "", ""
		m.Admitted = old.Admitted
		m.Also = []About{{SpellID(feeds[m.Feed].provider, old.Visit, "", old.Admitted), old}}
	}
	s.sendTold(m)
	s.later(60)
	s.send("A08", nil)
}
