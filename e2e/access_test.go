package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/devinfra"
)

func wantCode(t *testing.T, what string, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("%s: %s (%v), want %s", what, got, err, want)
	}
}

// TestNoMethodAnswersWithoutAGoodToken calls every method of every service with no token, and with one of a stranger's key.
func TestNoMethodAnswersWithoutAGoodToken(t *testing.T) {
	t.Parallel()
	stranger, err := devinfra.OpenIssuer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	forged, err := stranger.Mint(authn.Principal{Subject: "test:stranger", Roles: []authn.Role{authn.HubStaff, authn.Service}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{"no token": "", "a stranger's token": "Bearer " + forged, "no bearer": forged}
	methods := 0
	for service, own := range map[string]*grpc.ServiceDesc{
		"discharge-hub":          &dischargev1.DischargeHubService_ServiceDesc,
		"light-touch-assessment": &assessmentv1.LightTouchAssessmentService_ServiceDesc,
		"community-pickup":       &pickupv1.CommunityPickupService_ServiceDesc,
		"reablement-capacity":    &reablementv1.ReablementCapacityService_ServiceDesc,
	} {
		conn, err := grpc.NewClient(shared.GRPC[service], grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, desc := range []*grpc.ServiceDesc{own, &opsv1.ReconciliationService_ServiceDesc, &opsv1.ExplainService_ServiceDesc} {
			for _, m := range desc.Methods {
				method := "/" + desc.ServiceName + "/" + m.MethodName
				for what, token := range tokens {
					ctx := t.Context()
					if token != "" {
						ctx = metadata.AppendToOutgoingContext(ctx, "authorization", token)
					}
					wantCode(t, service+method+" with "+what, conn.Invoke(ctx, method, &emptypb.Empty{}, &emptypb.Empty{}), codes.Unauthenticated)
					methods++
				}
			}
		}
	}
	if methods < 90 {
		t.Errorf("only %d calls", methods)
	}
}

// TestPeopleSeeTheirOwnTeamsTasksOnly goes by role and by team.
func TestPeopleSeeTheirOwnTeamsTasksOnly(t *testing.T) {
	t.Parallel()
	h := dischargeSomebody(t, "ACCESS")
	key := &pickupv1.GetTaskRequest{Key: &pickupv1.GetTaskRequest_SpellId{SpellId: h.GetSpellId()}}
	own, other := shared.as(t, authn.CLSWorker, "CLS-GRAYS"), shared.as(t, authn.CLSWorker, "CLS-TC")

	task, err := own.GetTask(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.GetTask(t.Context(), key)
	wantCode(t, "another team reads the task", err, codes.NotFound)
	take := &pickupv1.TakeTaskRequest{TaskId: task.GetTask().GetTaskId(), Version: task.GetVersion()}
	_, err = other.TakeTask(t.Context(), take)
	wantCode(t, "another team takes the task", err, codes.NotFound)
	_, err = other.ListTasks(t.Context(), &pickupv1.ListTasksRequest{Team: "CLS-GRAYS"})
	wantCode(t, "another team lists the tasks", err, codes.PermissionDenied)
	list, err := own.ListTasks(t.Context(), &pickupv1.ListTasksRequest{Team: "CLS-GRAYS", Limit: 500})
	if err != nil || !slices.ContainsFunc(list.GetTasks(), func(r *pickupv1.GetTaskResponse) bool { return r.GetTask().GetSpellId() == h.GetSpellId() }) {
		t.Errorf("the team's own list does not hold its task: %v", err)
	}
	_, err = shared.as(t, authn.Provider, "CLS-GRAYS").GetTask(t.Context(), key)
	wantCode(t, "a provider reads a task", err, codes.PermissionDenied)
	_, err = own.ResolveContact(t.Context(), &pickupv1.ResolveContactRequest{TaskId: take.GetTaskId(), Version: take.GetVersion()})
	wantCode(t, "a worker decides about a death", err, codes.PermissionDenied)

	if _, err := own.TakeTask(t.Context(), take); err != nil {
		t.Errorf("the team's worker takes the task: %v", err)
	}
	_, err = own.TakeTask(t.Context(), take)
	wantCode(t, "a command with the version of before", err, codes.Aborted)
}

// TestNamesAreForHubStaffAndEveryLookIsAudited asks who a person is.
func TestNamesAreForHubStaffAndEveryLookIsAudited(t *testing.T) {
	t.Parallel()
	h := dischargeSomebody(t, "NAMES")
	ask := &dischargev1.GetPeopleRequest{SpellIds: []string{h.GetSpellId()}}
	conn, err := shared.dial("discharge-hub", authn.Principal{Subject: "test:worker", Roles: []authn.Role{authn.CLSWorker, authn.Integration, authn.Ops}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = dischargev1.NewDischargeHubServiceClient(conn).GetPeople(t.Context(), ask)
	wantCode(t, "others ask for names", err, codes.PermissionDenied)

	people, err := shared.hub.GetPeople(t.Context(), ask)
	if err != nil || people.GetPeople()[h.GetSpellId()].GetFamilyName() != "TRACEWELLYN" {
		t.Fatalf("hub staff get %v, %v", people, err)
	}
	looks, err := query(t.Context(), shared, "discharge-hub", pgx.RowTo[string], `SELECT actor FROM audit WHERE record = $1 AND action = 'person.read'`, h.GetSpellId())
	if err != nil || !slices.Equal(looks, []string{"test:hub-staff"}) {
		t.Errorf("the audit says %q: %v", looks, err)
	}
}
