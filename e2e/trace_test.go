package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/timestamppb"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
)

// TestOneDischargeIsOneTrace follows one A03 through every service by Jaeger's query API, and finds the contact of a later day by its tag.
func TestOneDischargeIsOneTrace(t *testing.T) {
	h := dischargeSomebody(t, "TRACED")
	origin := spanContext(h.GetTraceparent())
	if !origin.IsValid() {
		t.Fatal("the handover was not traced")
	}
	// What is asked about the handover belongs to its story.
	task, err := shared.tasks.GetTask(trace.ContextWithRemoteSpanContext(t.Context(), origin),
		&pickupv1.GetTaskRequest{Key: &pickupv1.GetTaskRequest_SpellId{SpellId: h.GetSpellId()}})
	if err != nil {
		t.Fatal(err)
	}

	const (
		spell = "homeward.discharge.spell.v1"
		made  = "homeward.pickup.task.v1"
		hub   = "discharge-hub: "
		cls   = "community-pickup: "
	)
	received := []string{hub + "receive ADT^A03 (server)"}
	interpreted := append(received, hub+"interpret message (internal)")
	told := append(interpreted, hub+"send "+spell+" (producer)")
	decided := append(told, cls+"process "+spell+" (consumer)")
	ways := [][]string{
		append(received, hub+"INSERT inbound (client)"),
		append(interpreted, hub+"INSERT fact (client)"),
		append(interpreted, hub+"INSERT outbox (client)"),
		append(told, "light-touch-assessment: process "+spell+" (consumer)", "light-touch-assessment: INSERT inbox (client)"),
		append(told, "reablement-capacity: process "+spell+" (consumer)", "reablement-capacity: INSERT inbox (client)"),
		append(decided, cls+"INSERT task (client)"),
		append(decided, cls+"INSERT outbox (client)"),
		append(decided, cls+"send "+made+" (producer)", hub+"process "+made+" (consumer)", hub+"UPDATE spell (client)"),
		append(interpreted, cls+"homeward.pickup.v1.CommunityPickupService/GetTask (server)", cls+"SELECT task (client)"),
	}
	eventually(t, "Jaeger has the whole tree", func() error {
		found, err := findTrace(t, origin.TraceID().String())
		if err != nil {
			return err
		}
		for i, way := range ways {
			if !found.has("", slices.Clone(way)) {
				return fmt.Errorf("way %d is not there: %s\nin\n%s", i, strings.Join(way, " > "), found)
			}
		}
		if roots := len(found.children("")); roots != 1 {
			return fmt.Errorf("%d roots in\n%s", roots, found)
		}
		return nil
	})
	contactLinksTo(t, origin, task)
}

// contactLinksTo lets a worker take the task and reach the person: that is a trace of its own, found by the spell, and linked.
func contactLinksTo(t *testing.T, origin trace.SpanContext, task *pickupv1.GetTaskResponse) {
	t.Helper()
	worker := shared.as(t, authn.CLSWorker, task.GetTask().GetTeam())
	taken, err := worker.TakeTask(t.Context(), &pickupv1.TakeTaskRequest{TaskId: task.GetTask().GetTaskId(), Version: task.GetVersion()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := worker.RecordContact(t.Context(), &pickupv1.RecordContactRequest{
		TaskId: task.GetTask().GetTaskId(), Version: taken.GetTask().GetVersion(), Method: pickupv1.ContactMethod_CONTACT_METHOD_PHONE, TwoWay: true,
		At: timestamppb.Now(),
	}); err != nil {
		t.Fatal(err)
	}
	tags, err := json.Marshal(map[string]string{"homeward.spell.id": task.GetTask().GetSpellId()})
	if err != nil {
		t.Fatal(err)
	}
	search := url.Values{"service": {"community-pickup"}, "tags": {string(tags)}, "lookback": {"1h"}}.Encode()
	eventually(t, "the search for the spell finds the contact, and its link", func() error {
		traces, err := askJaeger(t, "/api/traces?"+search)
		if err != nil {
			return err
		}
		for _, found := range traces {
			for _, s := range found.Spans {
				if !strings.HasSuffix(s.Name, "/RecordContact") {
					continue
				}
				if found.ID == origin.TraceID().String() {
					return fmt.Errorf("the contact is in the handover's own trace, six weeks long")
				}
				for _, r := range s.References {
					if r.Type == "FOLLOWS_FROM" && r.TraceID == origin.TraceID().String() {
						return nil
					}
				}
				return fmt.Errorf("the contact has no link to %s: %+v", origin.TraceID(), s.References)
			}
		}
		return fmt.Errorf("no contact in %d traces", len(traces))
	})
}

// dischargeSomebody sends an A03 of today and waits until it is delivered.
func dischargeSomebody(t *testing.T, visit string) *dischargev1.GetHandoverResponse {
	t.Helper()
	left := time.Now().In(london).Add(-time.Hour).Format("20060102150405")
	s := newScript("")
	s.set(t, []string{"PID-3=QT" + visit + "^^^RAJ^PI", "PID-5=TRACEWELLYN^TIBERIANNE", "PID-7=19341204", "PID-11=44 OSPREYNEST ROAD^^GRAYS^ESSEX^RM17 6TR^GBR^H",
		"PD1-3=^^F81155", "PV1-19=" + visit, "PV1-36=1", "PV1-37=19", "PV1-45=" + left})
	shared.sendAll(t, []sent{s.message(t, []string{"A03", visit + "-1", left})})
	h, _, err := shared.handover(t.Context(), visit+"-1")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func spanContext(traceparent string) trace.SpanContext {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent})
	return trace.SpanContextFromContext(ctx)
}

// jaegerTrace is what Jaeger's query API says of one trace.
type jaegerTrace struct {
	ID        string       `json:"traceID"`
	Spans     []jaegerSpan `json:"spans"`
	Processes map[string]struct {
		Service string `json:"serviceName"`
	} `json:"processes"`
}

type jaegerSpan struct {
	ID         string `json:"spanID"`
	Name       string `json:"operationName"`
	Process    string `json:"processID"`
	References []struct {
		Type    string `json:"refType"`
		TraceID string `json:"traceID"`
		SpanID  string `json:"spanID"`
	} `json:"references"`
	Tags []struct {
		Key   string `json:"key"`
		Value any    `json:"value"`
	} `json:"tags"`
}

// parent is the span below which this one lies; empty for a root.
func (s jaegerSpan) parent() string {
	for _, r := range s.References {
		if r.Type == "CHILD_OF" {
			return r.SpanID
		}
	}
	return ""
}

func (j jaegerTrace) children(parent string) []jaegerSpan {
	var below []jaegerSpan
	for _, s := range j.Spans {
		if s.parent() == parent {
			below = append(below, s)
		}
	}
	return below
}

// label is `service: name (kind)`.
func (j jaegerTrace) label(s jaegerSpan) string {
	kind := ""
	for _, tag := range s.Tags {
		if tag.Key == "span.kind" {
			kind = fmt.Sprint(tag.Value)
		}
	}
	return fmt.Sprintf("%s: %s (%s)", j.Processes[s.Process].Service, s.Name, kind)
}

// has says whether spans lie below one another in this way.
func (j jaegerTrace) has(parent string, way []string) bool {
	if len(way) == 0 {
		return true
	}
	return slices.ContainsFunc(j.children(parent), func(s jaegerSpan) bool { return j.label(s) == way[0] && j.has(s.ID, way[1:]) })
}

// String is the tree.
func (j jaegerTrace) String() string {
	var b strings.Builder
	var write func(parent, indent string)
	write = func(parent, indent string) {
		for _, s := range j.children(parent) {
			b.WriteString(indent + j.label(s) + "\n")
			write(s.ID, indent+"  ")
		}
	}
	write("", "")
	return b.String()
}

func findTrace(t *testing.T, id string) (jaegerTrace, error) {
	t.Helper()
	traces, err := askJaeger(t, "/api/traces/"+id)
	if err != nil {
		return jaegerTrace{}, err
	}
	if len(traces) != 1 {
		return jaegerTrace{}, fmt.Errorf("Jaeger has %d traces of this id", len(traces))
	}
	return traces[0], nil
}

func askJaeger(t *testing.T, path string) ([]jaegerTrace, error) {
	t.Helper()
	body, err := shared.jaeger(t.Context(), path)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data []jaegerTrace `json:"data"`
	}
	err = json.Unmarshal(body, &answer)
	return answer.Data, err
}
