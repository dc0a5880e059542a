package dischargehub

import (
	"fmt"
	"slices"
	"testing"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
)

func TestReadinessAndWithdrawalAreToldByHandAsByFHIR(t *testing.T) {
	h := startHub(t)
	n := 0
	hand := func(change func(*dischargev1.RecordEventRequest)) *dischargev1.Spell {
		t.Helper()
		n++
		req := &dischargev1.RecordEventRequest{Feed: "hub-staff", MessageId: fmt.Sprint("H", n), Kind: dischargev1.EventKind_EVENT_KIND_UPDATE,
			RecordedAt: timestamp(day(1, 9+n)), VisitNumber: "V1"}
		change(req)
		resp, err := h.client.RecordEvent(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		h.interpreted(t)
		return h.spell(t, resp.GetSpellId())
	}
	s := hand(func(r *dischargev1.RecordEventRequest) {
		r.Kind, r.Involvements = dischargev1.EventKind_EVENT_KIND_ADMIT, []dischargev1.Involvement{dischargev1.Involvement_INVOLVEMENT_HUB_REFERRAL,
			dischargev1.Involvement_INVOLVEMENT_COUNCIL_PACKAGE}
		r.CriteriaToReside, r.DischargeReadyAt = dischargev1.CriteriaToReside_CRITERIA_TO_RESIDE_NOT_MET, timestamp(day(1, 8))
	})
	if s.GetCriteriaToReside() != dischargev1.CriteriaToReside_CRITERIA_TO_RESIDE_NOT_MET || s.GetDischargeReadyOn() != "2026-09-01" || len(s.GetInvolvements()) != 2 {
		t.Errorf("ready: %v", s)
	}
	s = hand(func(r *dischargev1.RecordEventRequest) {
		r.WithdrawnInvolvements = []dischargev1.Involvement{dischargev1.Involvement_INVOLVEMENT_HUB_REFERRAL}
		r.CriteriaToReside = dischargev1.CriteriaToReside_CRITERIA_TO_RESIDE_MET
	})
	if s.GetCriteriaToReside() != dischargev1.CriteriaToReside_CRITERIA_TO_RESIDE_MET || s.GetDischargeReadyOn() != "" ||
		!slices.Equal(s.GetInvolvements(), []dischargev1.Involvement{dischargev1.Involvement_INVOLVEMENT_COUNCIL_PACKAGE}) {
		t.Errorf("not ready after all, the referral withdrawn: %v", s)
	}
	if s = hand(func(*dischargev1.RecordEventRequest) {}); s.GetCriteriaToReside() != dischargev1.CriteriaToReside_CRITERIA_TO_RESIDE_MET || len(s.GetInvolvements()) != 1 {
		t.Errorf("silence changed: %v", s)
	}
}
