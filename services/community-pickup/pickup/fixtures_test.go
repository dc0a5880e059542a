package pickup_test

import (
	"testing"
	"time"

	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/community-pickup/places"
)

const spellID = "6f1c2f0e-3a55-5d0c-9a52-7d3b8f1e2a44"

func thurrock(t testing.TB) pickup.Place {
	t.Helper()
	p, err := places.Embedded("thurrock")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// moment reads RFC 3339, or a London wall-clock time without a zone.
func moment(t testing.TB, text string) time.Time {
	t.Helper()
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UTC()
	}
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.ParseInLocation("2006-01-02T15:04", text, london)
	if err != nil {
		t.Fatal(err)
	}
	return at.UTC()
}

// discharged is an adult of Grays whom the hospital tells of on a social-care feed, discharged home on Wednesday 2 September 2026.
func discharged(t testing.TB, changes ...func(*pickup.Spell)) *pickup.Spell {
	t.Helper()
	s := &pickup.Spell{
		Stamp: pickup.Stamp{Epoch: 1, Version: 1}, SpellID: spellID, Reference: "HW-7K3M-9QPD",
		Scope: pickup.ScopeSocialCare, Status: pickup.SpellDischarged,
		Discharge: &pickup.Discharge{At: moment(t, "2026-09-02T14:25"), Method: "1", Destination: "19", Number: 1},
		Practice:  "F81155", HomeSector: "RM17 5", Adult: pickup.AdultYes, Death: pickup.DeathNone,
	}
	for _, change := range changes {
		change(s)
	}
	return s
}

// next is a newer version of the spell.
func next(s *pickup.Spell, changes ...func(*pickup.Spell)) *pickup.Spell {
	n := *s
	if s.Discharge != nil {
		d := *s.Discharge
		n.Discharge = &d
	}
	n.Version++
	for _, change := range changes {
		change(&n)
	}
	return &n
}

func wholeHospital(s *pickup.Spell) { s.Scope = pickup.ScopeWholeHospital }

func councilPackage(s *pickup.Spell) {
	s.Involved = append(s.Involved, pickup.InvolvedCouncilPackage)
}

func backInHospital(s *pickup.Spell) { s.Status, s.Discharge = pickup.SpellInHospital, nil }

func practice(code string) func(*pickup.Spell) { return func(s *pickup.Spell) { s.Practice = code } }

func home(sector string) func(*pickup.Spell) { return func(s *pickup.Spell) { s.HomeSector = sector } }

func destinationSector(sector string) func(*pickup.Spell) {
	return func(s *pickup.Spell) { s.DestSector = sector }
}

func method(code string) func(*pickup.Spell) {
	return func(s *pickup.Spell) { s.Discharge.Method = code }
}

func destination(code string) func(*pickup.Spell) {
	return func(s *pickup.Spell) { s.Discharge.Destination = code }
}

func death(d pickup.Death) func(*pickup.Spell) { return func(s *pickup.Spell) { s.Death = d } }

func adult(a pickup.Adult) func(*pickup.Spell) { return func(s *pickup.Spell) { s.Adult = a } }

// at sets the moment of the discharge, and its number.
func at(t testing.TB, text string, number int) func(*pickup.Spell) {
	return func(s *pickup.Spell) {
		s.Status = pickup.SpellDischarged
		s.Discharge = &pickup.Discharge{At: moment(t, text), Method: "1", Destination: "19", Number: number}
	}
}

// decide is the outcome of a spell that was learned of ten minutes after a discharge on 2 September.
func decide(t testing.TB, p pickup.Place, s *pickup.Spell) pickup.Task {
	t.Helper()
	return decideAt(t, p, nil, pickup.Inputs{Spell: s}, "2026-09-02T14:35")
}

func decideAt(t testing.TB, p pickup.Place, task *pickup.Task, in pickup.Inputs, now string) pickup.Task {
	t.Helper()
	if err := in.Validate(); err != nil {
		t.Fatal(err)
	}
	return pickup.Decide(p, task, in, moment(t, now))
}

func assessment(version int64, status pickup.AssessmentStatus, unmet int) *pickup.Assessment {
	return &pickup.Assessment{Stamp: pickup.Stamp{Epoch: 1, Version: version}, SpellID: spellID, Status: status, UnmetBeforeLeaving: unmet}
}

func need(version int64, status pickup.NeedStatus, ends pickup.Date) *pickup.Need {
	return &pickup.Need{Stamp: pickup.Stamp{Epoch: 1, Version: version}, SpellID: spellID, Status: status, PlannedEndOn: ends}
}
