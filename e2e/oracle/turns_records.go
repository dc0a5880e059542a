package oracle

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
)

// as says whom a message is about.
func (m *Says) as(person Says) {
	m.Person, m.Patient, m.NHS, m.Born = person.Person, person.Patient, person.NHS, person.Born
	m.Practice, m.Postcode = person.Practice, person.Postcode
}

// others are records with which the stay's person is mixed up: one of somebody else, and one of which not much is known.
func others(key string) []Says {
	return []Says{
		{Person: "X" + key, Patient: "X" + key, Born: "1921-01-31", Practice: "F81010", Postcode: "RM15 4QQ"},
		{Person: "Y" + key, Patient: "Y" + key, Practice: "F81088", Postcode: "SS17 0QQ"},
	}
}

// recordTurns are what may happen to the records of people. It may be told long after a discharge, while somebody works on the task.
func (s *story) recordTurns() []func() {
	turns := []func(){
		func() { s.join(s.IntN(3), s.IntN(2)) },
		func() { // through a third one
			s.join(s.IntN(2)*2, 1)
			s.join(1, s.IntN(2)*2)
		},
		func() { // the other way round
			s.join(0, 1)
			s.join(1, 0)
		},
		func() {
			s.numberReused()
			s.join(s.IntN(2), 1-s.IntN(2))
			if s.chance(2) {
				s.part()
			}
		},
		func() { s.join(0, 1); s.part() },
		func() {
			s.turn("a number is merged with itself")
			s.sendOf("A40", s.records()[0], func(m *Says) { m.Prior, m.Dead = m.Patient, "Y" })
		},
		s.ofSomebody, s.changeNumber, s.give, s.otherStay, s.deletePerson, s.mergeAccount,
	}
	return turns
}

// records are the stay's person and the others.
func (s *story) records() []Says { return append([]Says{s.base}, s.mixed...) }

// sendOf tells of a person, by a message that names no stay.
func (s *story) sendOf(kind string, person Says, say func(*Says)) {
	s.send(kind, func(m *Says) {
		*m = Says{Kind: kind}
		m.as(person)
		say(m)
	})
}

// join merges a number into another one, by the numbers of their records.
func (s *story) join(survivor, goes int) {
	people := s.records()
	if survivor == goes {
		survivor = (goes + 1) % len(people)
	}
	a, b := people[survivor], people[goes]
	s.turn("number " + b.Patient + " is merged into " + a.Patient)
	s.later(pick(s.Rand, 5, 60*24))
	s.sendOf(pick(s.Rand, "A40", "A40", "A40", "A34", "A18", "A36", "A47"), a, func(m *Says) {
		switch s.IntN(4) {
		case 0, 1: // no more than the numbers
			*m = Says{Kind: m.Kind, Patient: a.Patient}
		case 2:
			m.Dead = pick(s.Rand, "Y", "N")
		}
		m.Prior = b.Patient
	})
	s.joined = append(s.joined, [2]string{a.Patient, b.Patient})
}

// part takes a merge back, which only the hub's staff can.
func (s *story) part() {
	if len(s.joined) == 0 || feeds[s.feed].provider != "RAJ" {
		return
	}
	pair := pick(s.Rand, s.joined...)
	at := s.IntN(2)
	s.turn("the merge of " + pair[0] + " and " + pair[1] + " was wrong")
	s.later(60)
	m := Told{Feed: "hub-staff", ControlID: s.nextID(), Recorded: s.clock, Says: Says{Kind: unmerge, Patient: pair[at], Prior: pair[1-at]}}
	m.Event = &dischargev1.RecordEventRequest{
		Feed: m.Feed, MessageId: m.ControlID, RecordedAt: timestamppb.New(m.Recorded), Kind: dischargev1.EventKind_EVENT_KIND_REVOKE_MERGE,
		PatientNumber: m.Patient, PriorPatientNumber: m.Prior,
	}
	s.Messages = append(s.Messages, m)
}

// ofSomebody tells of one of the records: a practice, a home, a death.
func (s *story) ofSomebody() {
	person := pick(s.Rand, s.records()...)
	s.turn("told of " + person.Patient + " apart from the stay")
	s.sendOf(pick(s.Rand, "A28", "A31"), person, func(m *Says) {
		if s.chance(4) {
			m.Sent = "A08" // some senders have no A31
		}
		switch s.IntN(3) {
		case 0:
			m.Dead = pick(s.Rand, "Y", "N")
		case 1:
			m.Practice, m.Postcode = homeOf(s.Rand)
		}
	})
}

// changeNumber gives the person another number, under which everything comes from then on. The NHS number says that it is the same person,
// also to who has not heard of the change.
func (s *story) changeNumber() {
	if s.base.NHS == "" {
		return
	}
	old := s.base.Patient
	s.base.Patient = "N" + old
	s.turn("number " + old + " is " + s.base.Patient + " from now on")
	s.sendOf("A47", s.base, func(m *Says) { m.Prior = old })
	s.joined = append(s.joined, [2]string{s.base.Patient, old})
	s.later(60)
	s.send("A08", nil)
}

// give moves the visit to one of the others, and sometimes back. What comes later may still be under the wrong number.
func (s *story) give() {
	if s.base.Visit == "" {
		return
	}
	for range 1 + s.IntN(2) {
		at := s.IntN(len(s.mixed))
		s.turn("the visit is " + s.mixed[at].Patient + "'s")
		old, wrong := s.base, s.chance(4)
		s.base.as(s.mixed[at])
		s.moveOrRenumber(moveVisit, s.chance(5), func(m *Says) {
			if m.Prior = old.Patient; s.chance(6) {
				m.Prior = ""
			}
		})
		if wrong {
			s.base.as(old)
		} else {
			s.mixed[at].as(old)
		}
		s.later(60 * 24)
		s.send("A08", nil)
	}
}

// otherStay is a stay of one of the others, which is the same one if they prove to be the same person.
func (s *story) otherStay() {
	at := s.IntN(len(s.mixed))
	s.turn("a stay of " + s.mixed[at].Patient)
	s.send("A03", func(m *Says) {
		m.as(s.mixed[at])
		m.Visit, m.Admitted, m.Left, m.Method, m.Destination = "W"+m.Patient, pick(s.Rand, m.Admitted, s.clock.AddDate(0, 0, -3)), s.clock, "1", "19"
	})
	if s.chance(2) {
		s.join(0, 1+at)
	}
}
