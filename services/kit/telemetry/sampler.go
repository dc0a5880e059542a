package telemetry

import (
	"fmt"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// rateSampler begins every trace up to a rate, which no hospital reaches, and drops what is beyond it. A second's worth may come at once.
type rateSampler struct {
	perSecond float64
	now       func() time.Time

	mu     sync.Mutex
	tokens float64
	last   time.Time
}

func newRateSampler(perSecond float64) sdktrace.Sampler {
	if perSecond <= 0 {
		return sdktrace.AlwaysSample()
	}
	return &rateSampler{perSecond: perSecond, now: time.Now, tokens: perSecond}
}

func (s *rateSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	result := sdktrace.SamplingResult{Decision: sdktrace.Drop, Tracestate: trace.SpanContextFromContext(p.ParentContext).TraceState()}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if !s.last.IsZero() {
		s.tokens = min(max(s.perSecond, 1), s.tokens+now.Sub(s.last).Seconds()*s.perSecond)
	}
	s.last = now
	if s.tokens >= 1 {
		s.tokens--
		result.Decision = sdktrace.RecordAndSample
	}
	return result
}

func (s *rateSampler) Description() string {
	return fmt.Sprintf("at most %g traces per second", s.perSecond)
}
