package pickup_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
)

func TestAVisitIsBookedMovedAndCancelled(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.take("worker-1", "2026-09-03T09:00")
	is := func(want *pickup.Visit) {
		t.Helper()
		if diff := cmp.Diff(want, s.task.Visit); diff != "" {
			t.Errorf("visit (-want +got):\n%s", diff)
		}
	}
	now := moment(t, "2026-09-03T10:00")
	s.do(s.task.BookVisit(s.place, "2026-09-03", time.Time{}, now)) // the same day
	is(&pickup.Visit{On: "2026-09-03"})
	late := moment(t, "2026-09-11T00:30") // the tenth in UTC
	s.do(s.task.BookVisit(s.place, "", late, now))
	is(&pickup.Visit{On: "2026-09-11", At: late})
	s.do(s.task.BookVisit(s.place, "", now.Add(-time.Hour), now)) // it is being made
	is(&pickup.Visit{On: "2026-09-03", At: now.Add(-time.Hour)})
	s.do(s.task.CancelVisit())
	is(nil)
	s.do(s.task.CancelVisit())
	is(nil)
	s.fires("2026-09-08T00:00", pickup.FirstContactLate) // a visit is not a contact
}

func TestAVisitStandsOnlyForThoseWhoBookedItAndForThisDischarge(t *testing.T) {
	booked := func() *story {
		s := begin(t, pickup.Inputs{Spell: discharged(t, home("RM14 3"))}, "2026-09-02T14:35")
		s.take("worker-1", "2026-09-03T09:00")
		s.do(s.task.BookVisit(s.place, "2026-09-10", time.Time{}, moment(t, "2026-09-03T10:00")))
		return s
	}
	s := booked()
	s.spell("2026-09-04T10:00", backInHospital)
	if s.task.Visit == nil {
		t.Error("a cancelled discharge alone takes the visit away")
	}
	s.spell("2026-09-05T10:00", at(t, "2026-09-05T09:00", 2))
	if s.task.Visit != nil {
		t.Errorf("of another discharge: %+v", s.task.Visit)
	}
	s = booked()
	s.do(s.task.AssignTeam(s.place, "CLS-TC", "agreed", moment(t, "2026-09-04T10:00")))
	if s.task.Visit != nil {
		t.Errorf("of another team: %+v", s.task.Visit)
	}
	s = booked()
	s.spell("2026-09-04T10:00", death(pickup.DeathContradictory))
	_, err := s.task.BookVisit(s.place, "2026-09-10", time.Time{}, moment(t, "2026-09-04T10:00"))
	refused(t, err, pickup.Precondition)
	s.do(s.task.CancelVisit())
}
