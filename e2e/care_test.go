package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
)

// TestTheTaskShowsAssessmentAndReablement assesses somebody who then leaves although a condition is unmet, and starts reablement.
func TestTheTaskShowsAssessmentAndReablement(t *testing.T) {
	t.Parallel()
	admitted := newScript("")
	admitted.set(t, []string{"PID-3=QC7701^^^RAJ^PI", "PID-5=CARMICHAELLE^CASSIOPEYA", "PID-7=19350505",
		"PID-11=55 OSPREYNEST ROAD^^GRAYS^ESSEX^RM17 6CC^GBR^H", "PD1-3=^^F81155", "PV1-19=CARE"})
	now := time.Now().In(london)
	stamp := func(d time.Duration) string { return now.Add(d).Format("20060102150405") }
	shared.sendAll(t, []sent{admitted.message(t, []string{"A01", "CARE-1", stamp(-48 * time.Hour)})})
	h, _, err := shared.handover(t.Context(), "CARE-1")
	if err != nil {
		t.Fatal(err)
	}
	spell := h.GetSpellId()
	assessed := assess(t, spell)

	left := stamp(-time.Minute)
	shared.sendAll(t, []sent{admitted.message(t, []string{"A03", "CARE-2", left, "PV1-36=1", "PV1-37=19", "PV1-45=" + left})})
	want := pickupShown{Assessment: "complete", Unmet: 1, Priority: "high", Why: "left-with-unmet-conditions"}
	shows(t, spell, want)
	// Met after the person had left, it was unmet when it mattered.
	if _, err := shared.assessments.MeetCondition(t.Context(), &assessmentv1.MeetConditionRequest{SpellId: spell, ConditionId: assessed.GetConditions()[0].GetConditionId()}); err != nil {
		t.Fatal(err)
	}
	shows(t, spell, want)

	provider := providerClient(t, "HELPING-HANDS")
	capacity := publish(t, provider, 1, "CLS-GRAYS")
	request(t, spell, "CLS-GRAYS")
	if _, err := shared.reablement.HoldCapacity(t.Context(), &reablementv1.HoldCapacityRequest{CapacityId: capacity, SpellId: spell}); err != nil {
		t.Fatal(err)
	}
	today := now.Format(time.DateOnly)
	if _, err := provider.AcceptHold(t.Context(), &reablementv1.AcceptHoldRequest{SpellId: spell, StartsOn: today}); err != nil {
		t.Fatal(err)
	}
	end := now.AddDate(0, 0, 42).Format(time.DateOnly)
	if _, err := provider.StartReablement(t.Context(), &reablementv1.StartReablementRequest{SpellId: spell, StartedOn: today, PlannedEndOn: end}); err != nil {
		t.Fatal(err)
	}
	want.Reablement, want.Until = "started", end
	shows(t, spell, want)
}

// pickupShown is what the task tells of the other services.
type pickupShown struct {
	Assessment        string
	Unmet             int32
	Priority, Why     string
	Reablement, Until string
}

func shows(t *testing.T, spell string, want pickupShown) {
	t.Helper()
	eventually(t, "the task shows it", func() error {
		resp, err := shared.task(t.Context(), spell)
		if err != nil {
			return err
		}
		task := resp.GetTask()
		got := pickupShown{task.GetAssessmentStatus(), task.GetUnmetBeforeLeaving(), word(task.GetPriority(), "PRIORITY_"),
			fmt.Sprint(task.GetPriorityReasons()), task.GetReablementStatus(), task.GetReablementEndsOn()}
		got.Why = got.Why[1 : len(got.Why)-1]
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("want -, shown +:\n%s", diff)
		}
		return nil
	})
}

// assess completes an assessment with one condition that must be met before leaving.
func assess(t *testing.T, spell string) *assessmentv1.Assessment {
	t.Helper()
	if _, err := shared.assessments.RequestAssessment(t.Context(), &assessmentv1.RequestAssessmentRequest{SpellId: spell}); err != nil {
		t.Fatal(err)
	}
	done, err := shared.assessments.CompleteAssessment(t.Context(), &assessmentv1.CompleteAssessmentRequest{
		SpellId: spell, Decision: assessmentv1.Decision_DECISION_SAFE_WITH_CONDITIONS,
		Conditions: []*assessmentv1.NewCondition{{Code: "key-safe", Owner: "ward", Due: assessmentv1.Due_DUE_BEFORE_LEAVING}},
		Answers: map[string]string{
			"agrees-to-discharge": "yes", "consents-to-sharing": "yes", "asked-what-matters": "yes", "home-can-be-lived-in": "yes", "can-get-in": "no",
			"toilet": "yes", "bed": "yes", "food-and-drink": "yes", "medicines": "yes", "warmth": "yes", "phone": "yes", "transfers": "alone",
			"carer": "yes", "falls": "no", "self-neglect": "no", "safeguarding": "no", "fire": "no", "package": "none", "reablement-potential": "yes",
			"escalation-contact-given": "yes", "assessor-basis": "hub-staff",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	unmet, err := shared.assessments.ListUnmet(t.Context(), &assessmentv1.ListUnmetRequest{SpellId: spell})
	if err != nil || len(unmet.GetConditions()) != 1 || unmet.GetConditions()[0].GetCode() != "key-safe" {
		t.Fatalf("unmet before leaving: %v, %v", unmet, err)
	}
	return done.GetAssessment()
}

// TestTheLastSlotIsNotGivenTwice lets hub staff and the provider reach for the last slots for many people at once.
func TestTheLastSlotIsNotGivenTwice(t *testing.T) {
	t.Parallel()
	const slots, wanted = 2, 12
	provider := providerClient(t, "LAST-SLOT")
	capacity := publish(t, provider, slots, "CLS-SLH")
	stranger := providerClient(t, "SOMEBODY-ELSE")
	var wait sync.WaitGroup
	results := make([]error, wanted)
	for i := range wanted {
		spell := uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, "last slot", i)).String()
		request(t, spell, "CLS-SLH")
		_, err := stranger.HoldCapacity(t.Context(), &reablementv1.HoldCapacityRequest{CapacityId: capacity, SpellId: spell})
		wantCode(t, "a provider holds another's slot", err, codes.NotFound)
		caller := shared.reablement
		if i%2 == 1 {
			caller = provider
		}
		wait.Go(func() {
			_, results[i] = caller.HoldCapacity(t.Context(), &reablementv1.HoldCapacityRequest{CapacityId: capacity, SpellId: spell})
		})
	}
	wait.Wait()
	given := 0
	for _, err := range results {
		if err == nil {
			given++
		} else if status.Code(err) != codes.FailedPrecondition {
			t.Errorf("refused as %v", err)
		}
	}
	if given != slots {
		t.Errorf("%d of %d slots were given", given, slots)
	}
	found, err := shared.reablement.FindCapacity(t.Context(), &reablementv1.FindCapacityRequest{Area: "CLS-SLH", From: time.Now().In(london).Format(time.DateOnly), VisitsPerDay: 1})
	if err != nil || len(found.GetCapacities()) != 0 {
		t.Errorf("there is still %v: %v", found.GetCapacities(), err)
	}
}

func providerClient(t *testing.T, key string) reablementv1.ReablementCapacityServiceClient {
	t.Helper()
	conn, err := shared.dial("reablement-capacity", authn.Principal{Subject: "test:" + key, Roles: []authn.Role{authn.Provider}, Provider: key})
	if err != nil {
		t.Fatal(err)
	}
	return reablementv1.NewReablementCapacityServiceClient(conn)
}

func publish(t *testing.T, provider reablementv1.ReablementCapacityServiceClient, slots int32, area string) (capacity string) {
	t.Helper()
	capacity = uuid.NewString()
	if _, err := provider.PublishCapacity(t.Context(), &reablementv1.PublishCapacityRequest{
		CapacityId: capacity, Area: area, Slots: slots, VisitsPerDay: 4, AvailableFrom: time.Now().In(london).Format(time.DateOnly),
		ValidUntil: timestamppb.New(time.Now().Add(24 * time.Hour)),
	}); err != nil {
		t.Fatal(err)
	}
	return capacity
}

func request(t *testing.T, spell, area string) {
	t.Helper()
	if _, err := shared.reablement.RequestReablement(t.Context(), &reablementv1.RequestReablementRequest{
		SpellId: spell, Area: area, VisitsPerDay: 1, WantedFrom: time.Now().In(london).Format(time.DateOnly),
	}); err != nil {
		t.Fatal(err)
	}
}
