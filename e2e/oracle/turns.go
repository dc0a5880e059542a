package oracle

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/homeward-care/homeward/e2e/hospital"
)

// homeOf is a practice and a home postcode: mostly of one area, sometimes stale, missing, elsewhere or contradictory.
func homeOf(r *rand.Rand) (practice, postcode string) {
	practice = pick(r, slices.Sorted(maps.Keys(practices))...)
	ours := pick(r, "RM15 4QQ", "RM16 2QQ", "RM16 3QQ", "RM16 4QQ", "RM16 6QQ", "RM16 5QQ", "RM17 5QQ", "RM18 8QQ", "RM19 1QQ", "RM20 3QQ", "SS17 0QQ")
	foreign := pick(r, "RM1 4QQ", "SS14 1QQ", "CM13 1QQ", "SE1 7QQ")
	switch r.IntN(16) {
	case 0, 1:
		return "", ours
	case 2:
		return pick(r, "Y05339", "Y07507", "V81997", "V81999", "F81003"), ours
	case 3:
		return practice, ""
	case 4:
		return "", ""
	case 5:
		return pick(r, "", "F81003", "G85001"), foreign
	case 6:
		return practice, pick(r, foreign, twoCouncils+"QQ")
	case 7:
		return practice, noFixedAbode
	case 8:
		return pick(r, "F81084", "F81698", "F81644", "F81691"), ours // closed
	}
	return practice, ours
}

// tell is the course of the story.
func (s *story) tell() {
	leaving := s.clock
	s.clock = s.base.Admitted.Add(5 * time.Minute)
	s.arrive()
	for range s.IntN(4) {
		s.later(600)
		if s.chance(2) {
			s.send(pick(s.Rand, "A02", "A08", "A02", "A21", "A22"), nil)
		} else {
			s.whileThere()
		}
	}
	if s.chance(15) {
		s.turn("admission cancelled")
		s.later(60)
		s.send("A11", nil)
		if s.chance(2) {
			s.turn("admitted after all")
			s.later(60)
			s.send("A01", nil)
		}
	}
	if s.clock.Before(leaving) {
		s.clock = leaving
	}
	if s.chance(20) {
		s.turn("stays in hospital")
		s.send("A08", nil)
	} else {
		s.discharge()
	}
	for range s.IntN(5) {
		s.later(pick(s.Rand, 5, 60, 60*24*3))
		turns := s.turns()
		switch s.IntN(6) {
		case 0, 1:
			turns = s.recordTurns()
		case 2:
			turns = s.visitTurns()
		}
		turns[s.IntN(len(turns))]()
	}
}

// discharge tells that the person has left, now or a while ago.
func (s *story) discharge() {
	s.left = s.clock
	switch s.IntN(8) {
	case 0:
		s.turn("discharged, told days late")
		s.later(60 * 24 * 12)
	case 1:
		s.turn("discharged, told an hour ahead")
		s.left = s.clock.Add(time.Hour)
	default:
		s.turn("discharged")
		s.later(90)
	}
	s.send("A03", s.away)
	s.ended()
}

func (s *story) ended() { s.clock = s.clock.Add(time.Second) }

// away says how and where to somebody left.
func (s *story) away(m *Says) {
	m.Left, m.Method, m.Destination = s.left, "1", "19"
	switch s.IntN(16) {
	case 0:
		m.Method = pick(s.Rand, "6", "7", "2")
	case 1:
		m.Destination = pick(s.Rand, "51", "53", "87")
	case 2:
		m.Destination = pick(s.Rand, "29", "54", "65", "85", "88")
	case 3:
		m.Method, m.Destination = "4", "79"
	case 4:
		m.Destination = "79"
	case 5:
		m.Dead, m.DiedAt = "Y", s.left
	case 6:
		m.Dead, m.DiedAt = pick(s.Rand, "N", ""), s.left
	case 7:
		m.Destination, m.DeadWords = "", pick(s.Rand, "Dead", "R.I.P.", "4")
	case 8:
		m.Left, m.Effective = time.Time{}, s.left // only EVN-6 tells when
	case 9:
		m.Left = time.Time{} // nothing does
	case 10:
		m.Left = s.left.AddDate(1, 0, 0) // a mistyped year
	case 11:
		m.Left = s.base.Admitted.Add(-30 * time.Hour)
	case 12:
		m.Method, m.Destination = "", ""
	case 13:
		m.Left = s.cannotBe()
	case 14: // EVN-6 does not help either
		m.Left, m.Effective = pick(s.Rand, time.Time{}, s.cannotBe()), s.cannotBe()
	}
	m.Swapped = m.DeadWords == "" && s.chance(8)
}

// cannotBe is a time at which nobody can have left: a null date, or before the person's birth.
func (s *story) cannotBe() time.Time {
	null := pick(s.Rand, time.Date(1900, 1, 1, 0, 0, 0, 0, London), time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC))
	if born, err := time.ParseInLocation(time.DateOnly, s.base.Born, London); err == nil && born.Year() >= 2000 && s.chance(2) {
		return born.Add(-time.Minute)
	}
	return null
}

// turns are what may happen next. Each can happen at any time, whether it makes sense or not: hospitals do.
func (s *story) turns() []func() {
	hub := feeds[s.feed].provider == "RAJ"
	turns := []func(){
		func() { s.turn("discharge cancelled"); s.send("A13", func(m *Says) { m.Effective = s.left }) },
		func() {
			s.turn("discharge cancelled")
			s.send("A13", func(m *Says) { m.Effective = s.left })
			s.later(60 * 24 * 5)
			s.discharge()
		},
		func() { s.turn("discharge cancelled"); s.send("A13", nil); s.later(60 * 24); s.discharge() },
		func() {
			s.turn("discharge corrected")
			s.left = s.left.Add(time.Duration(s.IntN(96)-72) * time.Hour)
			s.send("A03", s.away)
		},
		func() { s.turn("discharge corrected by an update"); s.send("A08", s.away) },
		func() {
			s.turn("practice or home corrected")
			s.base.Practice, s.base.Postcode = homeOf(s.Rand)
			s.send("A08", func(m *Says) { m.Effective = pick(s.Rand, time.Time{}, s.left.Add(-time.Hour)) })
		},
		func() {
			s.turn("moved after the discharge")
			s.send("A08", func(m *Says) {
				m.Practice, m.Postcode = homeOf(s.Rand)
				m.Effective = s.clock
			})
		},
		func() {
			s.turn("practice taken back")
			s.send("A08", func(m *Says) { m.Practice = hospital.Null })
		},
		func() { s.turn("died"); s.send("A08", func(m *Says) { m.Dead, m.DiedAt = "Y", s.clock }) },
		func() {
			s.turn("death denied and told")
			s.send("A08", func(m *Says) { m.Dead, m.DiedAt = "N", s.clock })
			if s.chance(2) {
				s.later(600)
				s.turn("death taken back")
				s.send("A08", func(m *Says) { m.Dead, m.NotDied = "N", true })
			}
		},
		func() { s.turn("death in words"); s.send("A08", func(m *Says) { m.Dead = "Deceased" }) },
		func() {
			s.turn("death taken back")
			s.send("A08", func(m *Says) {
				m.Dead, m.NotDied, m.Method, m.Destination = pick(s.Rand, "N", hospital.Null), true, "1", "19"
			})
		},
		func() {
			s.turn("came back under the same number")
			s.send("A01", func(m *Says) { m.Admitted = s.admittedAgain() })
		},
		func() { s.turn("admission cancelled"); s.send("A11", nil) },
		func() { s.turn("test message"); s.send("A13", func(m *Says) { m.Test = true }) },
		func() { s.turn("trigger that nobody handles"); s.send("A60", func(m *Says) { m.Dead = "Y" }) },
		func() {
			s.turn("told of the person apart from the stay")
			s.send("A31", func(m *Says) {
				if m.Practice = "F81010"; s.chance(3) {
					m.Dead = "Y"
				}
			})
		},
		func() {
			s.turn("control id reused")
			s.sendAs(fmt.Sprintf("%s-%d", s.Key, s.ids), "A08", func(m *Says) { m.Method = "1" })
		},
		s.numberReused, s.secondKey, s.flurry,
	}
	if hub {
		turns = append(turns,
			func() {
				s.turn("hub referral")
				s.record("A08", func(m *Says) { m.Involved = []string{pick(s.Rand, "hub-referral", "council-package")} })
			},
			func() {
				s.turn("pathway")
				s.record("A08", func(m *Says) { m.Pathway = pick(s.Rand, "0", "1", "2", "3") })
			},
			func() {
				s.turn("discharge recorded by the hub")
				s.left = s.clock.Add(-time.Hour)
				s.record("A03", func(m *Says) {
					m.Left, m.Method, m.Destination = s.left, "1", "29"
					m.Patient, m.NHS, m.Born = s.base.Patient, s.base.NHS, s.base.Born
					m.Practice, m.Postcode = s.base.Practice, s.base.Postcode
					m.GoingTo = pick(s.Rand, "", "SS17 8QQ", "RM20 3QQ", "RM1 4QQ")
				})
			},
			func() {
				s.turn("told by the hospital's other feed too")
				s.feed = pick(s.Rand, "mse-basildon", "mse-all")
				s.send("A08", nil)
			})
	}
	return turns
}

// admittedAgain is another admission; of a stay without visit number the admission is the key, and stays.
func (s *story) admittedAgain() time.Time {
	if s.base.Visit == "" {
		return s.base.Admitted
	}
	return pick(s.Rand, s.base.Admitted, s.clock.Add(-time.Minute).Truncate(time.Minute))
}

// numberReused tells of somebody else under the same visit number.
func (s *story) numberReused() {
	if s.base.Visit == "" {
		return
	}
	s.turn("visit number used for somebody else")
	s.send(pick(s.Rand, "A01", "A03", "A08"), func(m *Says) {
		m.as(s.mixed[0])
		m.Left, m.Method, m.Destination = s.clock, "1", "19"
	})
}

// secondKey leaves the visit number out once, so that the stay has two keys.
func (s *story) secondKey() {
	s.turn("told without visit number")
	s.send(pick(s.Rand, "A03", "A08"), func(m *Says) {
		m.Visit = ""
		s.away(m)
	})
}

// flurry is a discharge, its cancel and the next discharge, all recorded at one moment, by a sender whose clock has no seconds.
func (s *story) flurry() {
	s.turn("discharged, cancelled and discharged in one minute")
	s.left = s.clock
	say := func(m *Says) { m.Left, m.Method, m.Destination = s.left, "1", "19" }
	s.send("A03", say)
	s.send("A13", nil)
	if s.chance(2) {
		s.send("A03", say)
	}
}
