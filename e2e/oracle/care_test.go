package oracle

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
)

func TestAnAssessmentIsAsItsCommandsHaveIt(t *testing.T) {
	left := Expect([]Told{ada("A03", "2026-09-02 14:30", home)})[0]
	died := Expect([]Told{ada("A03", "2026-09-02 14:30", func(m *Told) { home(m); m.Method = "4" })})[0]
	keySafe := func(met time.Time) *assessmentv1.Condition {
		c := &assessmentv1.Condition{Due: assessmentv1.Due_DUE_BEFORE_LEAVING}
		if !met.IsZero() {
			c.MetAt = timestamppb.New(met)
		}
		return c
	}
	complete := assessmentv1.Status_STATUS_COMPLETE
	for name, c := range map[string]struct {
		want  Expected
		acts  []string
		got   *assessmentv1.Assessment
		right bool
	}{
		"asked for":                 {left, []string{"request"}, &assessmentv1.Assessment{Status: assessmentv1.Status_STATUS_REQUESTED}, true},
		"superseded without reason": {left, []string{"request"}, &assessmentv1.Assessment{Status: assessmentv1.Status_STATUS_SUPERSEDED}, false},
		"superseded":                {died, []string{"request"}, &assessmentv1.Assessment{Status: assessmentv1.Status_STATUS_SUPERSEDED}, true},
		"of somebody who died":      {died, []string{"request"}, &assessmentv1.Assessment{Status: assessmentv1.Status_STATUS_REQUESTED}, false},
		"a decline that is lost":    {left, []string{"request", "decline"}, &assessmentv1.Assessment{Status: assessmentv1.Status_STATUS_REQUESTED}, false},
		"met in time": {left, []string{"request", "complete", "meet-condition"},
			&assessmentv1.Assessment{Status: complete, Conditions: []*assessmentv1.Condition{keySafe(at("2026-09-02 10:00"))}}, true},
		"met too late": {left, []string{"request", "complete", "meet-condition"},
			&assessmentv1.Assessment{Status: complete, LeftWithUnmet: 1, Conditions: []*assessmentv1.Condition{keySafe(at("2026-09-02 18:00"))}}, true},
		"met too late, and nobody says so": {left, []string{"request", "complete", "meet-condition"},
			&assessmentv1.Assessment{Status: complete, Conditions: []*assessmentv1.Condition{keySafe(at("2026-09-02 18:00"))}}, false},
		"met, and forgotten": {left, []string{"request", "complete", "meet-condition"},
			&assessmentv1.Assessment{Status: complete, LeftWithUnmet: 1, Conditions: []*assessmentv1.Condition{keySafe(time.Time{})}}, false},
	} {
		if wrong := CheckAssessment(c.want, c.acts, c.got); (len(wrong) == 0) != c.right {
			t.Errorf("%s: %v", name, wrong)
		}
	}
}

func TestANeedIsAsItsCommandsHaveIt(t *testing.T) {
	left := Expect([]Told{ada("A03", "2026-09-02 14:30", home)})[0]
	voided := Expect([]Told{ada("A11", "2026-09-02 14:30", nil)})[0]
	requested := &reablementv1.Need{Status: reablementv1.NeedStatus_NEED_STATUS_REQUESTED}
	accepted := &reablementv1.Need{Status: reablementv1.NeedStatus_NEED_STATUS_ACCEPTED, CapacityId: "c"}
	started := func(end string) *reablementv1.Need {
		return &reablementv1.Need{Status: reablementv1.NeedStatus_NEED_STATUS_STARTED, CapacityId: "c", StartsOn: "2026-09-03", PlannedEndOn: end}
	}
	for name, c := range map[string]struct {
		want     Expected
		acts     []string
		mayEnded bool
		got      *reablementv1.Need
		right    bool
	}{
		"a hold that ran out":        {left, []string{"request", "hold"}, false, requested, true},
		"accepted":                   {left, []string{"request", "hold", "accept"}, false, accepted, true},
		"an acceptance that is lost": {left, []string{"request", "hold", "accept"}, false, requested, false},
		"voided in between":          {left, []string{"request", "hold", "accept"}, true, requested, true},
		"given back":                 {left, []string{"request", "hold", "accept", "release"}, false, requested, true},
		"given back, and still had":  {left, []string{"request", "hold", "accept", "release"}, false, accepted, false},
		"started":                    {left, []string{"request", "hold", "accept", "start"}, false, started("2026-10-15"), true},
		"for too long":               {left, []string{"request", "hold", "accept", "start"}, false, started("2026-10-16"), false},
		"voided, and still served":   {voided, []string{"request", "hold", "accept", "start"}, true, started("2026-10-15"), false},
		"a slot of nobody": {left, []string{"request"}, false,
			&reablementv1.Need{Status: reablementv1.NeedStatus_NEED_STATUS_REQUESTED, CapacityId: "c"}, false},
	} {
		if wrong := CheckNeed(c.want, c.acts, c.mayEnded, c.got); (len(wrong) == 0) != c.right {
			t.Errorf("%s: %v", name, wrong)
		}
	}
	offer := &reablementv1.Capacity{Slots: 2, Free: 1}
	if len(CheckFree(offer, 1)) > 0 || len(CheckFree(offer, 2)) == 0 || len(CheckFree(offer, 0)) == 0 {
		t.Error("a slot too many passes, or the right number does not")
	}
}

// TestABookedVisitIsNotLost books one, which goes with the team that booked it.
func TestABookedVisitIsNotLost(t *testing.T) {
	want := Expect([]Told{ada("A03", "2026-09-02 14:30", home)})[0]
	before := as(want)
	acted := []Acted{{Command: "take", Before: before}, {Command: "book", Before: before, VisitOn: "2026-09-09"}}
	right := as(want)
	right.Progress, right.VisitOn = "taken", "2026-09-09"
	if wrong := CheckActed(want, acted, right); len(wrong) > 0 {
		t.Error(wrong)
	}
	lost := right
	if lost.VisitOn = ""; len(CheckActed(want, acted, lost)) == 0 {
		t.Error("a visit that is lost passes")
	}
	if acted = append(acted, Acted{Command: "cancel-visit", Before: before}); len(CheckActed(want, acted, right)) == 0 {
		t.Error("a visit that was cancelled passes")
	}
	given := append(acted[:2:2], Acted{Command: "assign", Before: before, Team: "CLS-SLH"})
	right.Team, right.Progress = "CLS-SLH", "untaken"
	if len(CheckActed(want, given, right)) == 0 {
		t.Error("a visit of those who had the task passes")
	}
}
