package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// admitted counts how many of n new traces a second are sampled over the seconds.
func admitted(perSecond float64, n int, seconds int) (sampled int) {
	at := time.Unix(0, 0)
	s := newRateSampler(perSecond)
	if limited, ok := s.(*rateSampler); ok {
		limited.now = func() time.Time { return at }
	}
	for range seconds {
		for range n {
			if s.ShouldSample(sdktrace.SamplingParameters{ParentContext: context.Background()}).Decision == sdktrace.RecordAndSample {
				sampled++
			}
			at = at.Add(time.Second / time.Duration(n))
		}
	}
	return sampled
}

func TestSamplerAdmitsEverythingUpToTheRateAndNoMore(t *testing.T) {
	for _, c := range []struct {
		name       string
		rate       float64
		perSecond  int
		seconds    int
		atLeast    int
		noMoreThan int
	}{
		{"below the rate", 100, 50, 20, 1000, 1000},
		{"at the rate", 100, 100, 20, 2000, 2000},
		{"above the rate", 100, 1000, 20, 2000, 2100},
		{"no limit", 0, 1000, 20, 20000, 20000},
		{"less than one a second", 0.5, 10, 20, 9, 11},
	} {
		if got := admitted(c.rate, c.perSecond, c.seconds); got < c.atLeast || got > c.noMoreThan {
			t.Errorf("%s: %d traces, want %d to %d", c.name, got, c.atLeast, c.noMoreThan)
		}
	}
}

func TestChildOfASampledSpanIsSampledWhateverTheRate(t *testing.T) {
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(newRateSampler(1)))).Tracer("")
	ctx, root := tracer.Start(t.Context(), "root")
	for range 50 {
		if _, child := tracer.Start(ctx, "child"); !child.SpanContext().IsSampled() {
			t.Fatal("a handover lost a part of its story")
		}
	}
	if !root.SpanContext().IsSampled() {
		t.Error("the first trace was not sampled")
	}
}

func TestLogLinesCarryServiceAndTrace(t *testing.T) {
	var out bytes.Buffer
	tel, err := New(t.Context(), Config{Service: "discharge-hub", LogTo: &out})
	if err != nil {
		t.Fatal(err)
	}
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	tel.Log.With("a", 1).InfoContext(trace.ContextWithSpanContext(t.Context(), sc), "traced")
	tel.Log.InfoContext(trace.ContextWithSpanContext(t.Context(), sc.WithTraceFlags(0)), "not sampled")
	tel.Log.DebugContext(t.Context(), "below the level")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), out.String())
	}
	var traced, untraced map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &traced); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(lines[1]), &untraced); err != nil {
		t.Fatal(err)
	}
	if traced["trace_id"] != "01000000000000000000000000000000" || traced["span_id"] != "0200000000000000" || traced["service"] != "discharge-hub" || traced["a"] != 1.0 {
		t.Errorf("line %v", traced)
	}
	if untraced["trace_id"] != nil {
		t.Errorf("line %v names a trace that nobody can find", untraced)
	}
}

func TestEndpointThatCannotBeMeantIsRefusedByName(t *testing.T) {
	for _, endpoint := range []string{"localhost:4317", "collector", "://", "ftp://collector:4317", "http://"} {
		if _, err := New(t.Context(), Config{Service: "x", Endpoint: endpoint, LogTo: &bytes.Buffer{}}); err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_ENDPOINT") {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

func TestWithoutAnEndpointNothingIsTraced(t *testing.T) {
	tel, err := New(t.Context(), Config{Service: "x", LogTo: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, span := tel.Tracer.Tracer("").Start(t.Context(), "x"); span.IsRecording() {
		t.Error("a span is recorded for nobody")
	}
	tel.Close()
}

// Neither an endpoint that refuses nor one that takes the connection and says nothing holds up work or the stop.
func TestEndpointThatIsAwayNeverBlocks(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for name, l := range map[string]net.Listener{"silent": silent, "gone": gone} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tel, err := New(t.Context(), Config{Service: "x", Endpoint: "http://" + l.Addr().String(), LogLevel: slog.LevelError, LogTo: &bytes.Buffer{}})
			if err != nil {
				t.Fatal(err)
			}
			tracer := tel.Tracer.Tracer("")
			for range 50_000 { // three times what the queue holds
				_, span := tracer.Start(t.Context(), "x")
				span.End()
			}
			tel.Close()
		})
	}
}
