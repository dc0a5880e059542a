package pickup_test

import (
	"testing"

	"github.com/homeward-care/homeward/services/community-pickup/pickup"
)

// standing lists the notices that hold, with the moments at which they are due.
func (s *story) standing() map[pickup.NoticeKind]string {
	held := map[pickup.NoticeKind]string{}
	for _, n := range s.task.Notices {
		if n.WithdrawnAt.IsZero() && n.Kind != pickup.UntakenDuty && n.Kind != pickup.UntakenManager {
			held[n.Kind] = n.DueAt.Format("2006-01-02")
		}
	}
	return held
}

func (s *story) mustStandAs(other *story) {
	s.t.Helper()
	a, b := s.standing(), other.standing()
	if len(a) != len(b) {
		s.t.Fatalf("%v stand, want %v", a, b)
	}
	for kind, due := range b {
		if a[kind] != due {
			s.t.Errorf("%s is due %s, want %s", kind, a[kind], due)
		}
	}
}

func TestNoticesThatFiredBeforeADateWasCorrectedStandAsIfItHadBeenKnown(t *testing.T) {
	const long = "2026-11-20T09:00"
	corrected := begin(t, pickup.Inputs{Spell: discharged(t)}, long)
	corrected.sweep(long)
	corrected.spell("2026-11-20T10:00", at(t, "2026-09-01T14:25", 1))
	corrected.sweep("2026-11-20T11:00")
	known := begin(t, pickup.Inputs{Spell: discharged(t, at(t, "2026-09-01T14:25", 1))}, "2026-11-20T10:00")
	known.sweep("2026-11-20T11:00")
	corrected.mustStandAs(known)
}

func TestEndOfAWatchIsWithdrawnWhenAPickUpIsDueAfterAll(t *testing.T) {
	const long = "2026-11-20T09:00"
	late := begin(t, pickup.Inputs{Spell: discharged(t, wholeHospital)}, long)
	late.sweep(long)
	if _, ended := late.standing()[pickup.WatchEnded]; !ended {
		t.Fatal("the watch did not end")
	}
	late.spell("2026-11-20T10:00", councilPackage)
	late.sweep("2026-11-20T11:00")
	known := begin(t, pickup.Inputs{Spell: discharged(t, wholeHospital, councilPackage)}, "2026-11-20T10:00")
	known.sweep("2026-11-20T11:00")
	late.mustStandAs(known)
}

func TestNoticeThatFiredBeforeTheMomentThatIsKnownNowDoesNotLookEarly(t *testing.T) {
	s := begin(t, pickup.Inputs{Spell: discharged(t)}, "2026-09-02T14:35")
	s.sweep("2026-09-08T00:30") // first contact is late
	s.spell("2026-09-20T10:00", at(t, "2026-09-07T14:25", 1))
	for _, n := range s.task.Notices {
		if n.WithdrawnAt.IsZero() && n.DueAt.After(n.FiredAt) {
			t.Errorf("%s fired %s and is due %s", n.Kind, n.FiredAt, n.DueAt)
		}
	}
}
