package matrix

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/kit/devinfra"
)

// modes are the ways in which a point fails; see package failpoint.
var modes = []string{"crash-before", "crash-after", "error", "lost-reply", "delay"}

const (
	hub        = "discharge-hub"
	assessment = "light-touch-assessment"
	community  = "community-pickup"
	reablement = "reablement-capacity"
)

var everywhere = []string{hub, assessment, community, reablement}

// point is a named place in the services where something can fail.
type point struct {
	name     string
	services []string // in whose processes it is
	// with are faults at other points, without which nothing ever passes this one in a service's process.
	with func(service string) []fault
}

// fault is a point that fails in a mode, once.
type fault struct{ service, point, mode string }

func also(point, mode string) func(string) []fault {
	return func(service string) []fault { return []fault{{service, point, mode}} }
}

// lose keeps events from arriving, so that reconciliation has something to repair. A later version would do as well as the one that was
// lost, and another edge may come first: so nearly all that a story makes is lost.
func lose(consumer string) []fault {
	return slices.Repeat([]fault{{consumer, "bus.fetch", "lost-reply"}}, 40)
}

// loseElsewhere does it where a service's events are consumed.
func loseElsewhere(producer string) []fault {
	return lose(map[string]string{hub: assessment, assessment: hub, community: hub, reablement: community}[producer])
}

// points are all of them. Reads that nobody's promise hangs on are not here: reading again is all there is to them.
var points = []point{
	{"migrate", everywhere, nil},
	{"relay.read", everywhere, nil},
	{"relay.publish", everywhere, nil},
	{"relay.mark-sent", everywhere, nil},
	{"relay.mark-failed", everywhere, also("relay.publish", "error")},
	{"bus.fetch", everywhere, nil},
	{"inbox.commit", everywhere, nil},
	{"inbox.ack", everywhere, nil},
	{"inbox.retry", everywhere, also("inbox.commit", "error")},
	{"inbox.bury", everywhere, nil},
	{"reconcile.list", everywhere, nil},
	{"reconcile.get", everywhere, lose},
	{"reconcile.apply", everywhere, lose},
	{opsv1.ReconciliationService_ListVersions_FullMethodName, everywhere, nil},
	{opsv1.ReconciliationService_GetSnapshots_FullMethodName, everywhere, loseElsewhere},

	{"door.store", []string{hub}, nil},
	{"door.answer", []string{hub}, nil},
	{"interpret.commit", []string{hub}, nil},
	{"set-aside.commit", []string{hub}, nil},
	{"tell-spells.commit", []string{hub}, nil},
	{"chase.commit", []string{hub}, nil},
	{"silence.commit", []string{hub}, nil},
	{"read-people.commit", []string{hub}, nil},
	{"exception.read.commit", []string{hub}, nil},
	{"exception.assign.commit", []string{hub}, nil},
	{"exception.correct.commit", []string{hub}, nil},
	{"exception.dismiss.commit", []string{hub}, nil},
	{"exception.alarm.commit", []string{hub}, nil},
	{"message.replay.commit", []string{hub}, nil},
	{dischargev1.DischargeHubService_AssignException_FullMethodName, []string{hub}, nil},
	{dischargev1.DischargeHubService_CorrectException_FullMethodName, []string{hub}, nil},
	{dischargev1.DischargeHubService_DismissException_FullMethodName, []string{hub}, nil},
	{dischargev1.DischargeHubService_ReplayMessage_FullMethodName, []string{hub}, nil},
	{dischargev1.DischargeHubService_RecordEvent_FullMethodName, []string{hub}, nil},

	{"assertion.use", []string{hub}, nil},
	{"fhir.commit", []string{hub}, nil},
	{"read-fhir.commit", []string{hub}, nil},
	{"walk-tasks.commit", []string{hub}, also("webhook.commit", "crash-before")}, // it walks after a start, when there are spells
	{"webhook.claim", []string{hub}, nil},
	{"webhook.post", []string{hub}, nil},
	{"webhook.commit", []string{hub}, nil},
	{"answer.claim", []string{hub}, nil},
	{"answer.send", []string{hub}, nil},
	{"answer.record", []string{hub}, nil},

	{"task.commit", []string{community}, nil},
	{"sweep.commit", []string{community}, nil},
	{pickupv1.CommunityPickupService_TakeTask_FullMethodName, []string{community}, nil},
	{pickupv1.CommunityPickupService_RecordContact_FullMethodName, []string{community}, nil},
	{pickupv1.CommunityPickupService_BookVisit_FullMethodName, []string{community}, nil},
	{pickupv1.CommunityPickupService_CancelVisit_FullMethodName, []string{community}, nil},
	{pickupv1.CommunityPickupService_CompleteTask_FullMethodName, []string{community}, nil},
	{pickupv1.CommunityPickupService_DecideProposal_FullMethodName, []string{community}, nil},
	{pickupv1.CommunityPickupService_AssignTeam_FullMethodName, []string{community}, nil},
	{pickupv1.CommunityPickupService_ResolveContact_FullMethodName, []string{community}, nil},

	{"assessment.request.commit", []string{assessment}, nil},
	{"assessment.decide.commit", []string{assessment}, nil},
	{"assessment.read.commit", []string{assessment}, nil},
	{assessmentv1.LightTouchAssessmentService_RequestAssessment_FullMethodName, []string{assessment}, nil},
	{assessmentv1.LightTouchAssessmentService_CompleteAssessment_FullMethodName, []string{assessment}, nil},
	{assessmentv1.LightTouchAssessmentService_DeclineAssessment_FullMethodName, []string{assessment}, nil},
	{assessmentv1.LightTouchAssessmentService_MeetCondition_FullMethodName, []string{assessment}, nil},

	{"capacity.publish.commit", []string{reablement}, nil},
	{"need.request.commit", []string{reablement}, nil},
	{"need.hold.commit", []string{reablement}, nil},
	{"need.decide.commit", []string{reablement}, nil},
	{"need.sweep.commit", []string{reablement}, nil},
	{"need.read.commit", []string{reablement}, nil},
	{reablementv1.ReablementCapacityService_PublishCapacity_FullMethodName, []string{reablement}, nil},
	{reablementv1.ReablementCapacityService_RequestReablement_FullMethodName, []string{reablement}, nil},
	{reablementv1.ReablementCapacityService_HoldCapacity_FullMethodName, []string{reablement}, nil},
	{reablementv1.ReablementCapacityService_AcceptHold_FullMethodName, []string{reablement}, nil},
	{reablementv1.ReablementCapacityService_ReleaseHold_FullMethodName, []string{reablement}, nil},
	{reablementv1.ReablementCapacityService_StartReablement_FullMethodName, []string{reablement}, nil},
}

// What names a point in the source. Anything else that passes one there must be in namedElsewhere.
var (
	passes      = regexp.MustCompile(`failpoint\.Do\(`)
	literal     = regexp.MustCompile(`failpoint\.Do\([^,]+, "([^"]+)"|\beach\(ctx, "([^"]+)"`)
	begins      = regexp.MustCompile(`\.InTx\(`)
	transaction = regexp.MustCompile(`\.InTx\(ctx, "([^"]+)"`)
)

// namedElsewhere counts the passes of a file whose point is a transaction's, a method's or the caller's.
var namedElsewhere = map[string]int{
	"services/kit/pg/pg.go":          1,
	"services/kit/rpc/server.go":     1,
	"services/kit/inbox/consumer.go": -1, // one pass that two calls name
}

func TestTheMatrixRunsEveryPointThatTheSourceNames(t *testing.T) {
	checkout, err := devinfra.Checkout()
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	err = filepath.WalkDir(filepath.Join(checkout, "services"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := filepath.Rel(checkout, path)
		if err != nil {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		literals, transactions := literal.FindAllStringSubmatch(string(source), -1), transaction.FindAllStringSubmatch(string(source), -1)
		for _, m := range literals {
			named[m[1]+m[2]] = true
		}
		for _, m := range transactions {
			named[m[1]+".commit"] = true
		}
		if len(passes.FindAll(source, -1)) != len(literals)+namedElsewhere[filepath.ToSlash(file)] || len(begins.FindAll(source, -1)) != len(transactions) {
			t.Errorf("%s: name the point or the transaction by a literal, so that it is found here", file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Methods that only read are left out, but those that reconciliation rests on.
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				method := string(service.Methods().Get(j).Name())
				reads := strings.HasPrefix(method, "Get") || strings.HasPrefix(method, "List") || strings.HasPrefix(method, "Find") || strings.HasPrefix(method, "Explain") ||
					strings.HasPrefix(method, "Preview")
				if strings.HasPrefix(string(service.FullName()), "homeward.") && (!reads || service.Name() == "ReconciliationService") {
					named["/"+string(service.FullName())+"/"+method] = true
				}
			}
		}
		return true
	})
	run := map[string]bool{}
	for _, p := range slices.Concat(points, restorePoints) {
		run[p.name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if !run[name] {
			t.Errorf("the point %s is in no cell of the matrix: add it to points", name)
		}
		delete(run, name)
	}
	for name := range run {
		t.Errorf("the matrix runs %s, which the source does not name", name)
	}
}

func TestAServiceAsItIsShippedHasNoFaultPoints(t *testing.T) {
	checkout, err := devinfra.Checkout()
	if err != nil {
		t.Fatal(err)
	}
	for _, tags := range []string{"", "failpoints"} {
		program := filepath.Join(t.TempDir(), "program")
		cmd := exec.Command("go", "build", "-tags", tags, "-o", program, "./services/"+hub+"/cmd/"+hub)
		cmd.Dir = checkout
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		binary, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"HOMEWARD_FAILPOINTS", "HOMEWARD_BUG", "relay.mark-sent", "inbox.bury", "door.store", "id-cursor", "fold-by-arrival"} {
			if bytes.Contains(binary, []byte(name)) != (tags == "failpoints") {
				t.Errorf("built with the tags %q: %s is there, or is not", tags, name)
			}
		}
	}
}
