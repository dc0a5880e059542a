// Package telemetry makes a service's logger and tracer. Both are returned and passed on; nothing is set globally, so that several
// services can live in one process under their own names. Telemetry never blocks work: what cannot be exported is dropped.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Config of a service's telemetry.
type Config struct {
	Service string
	// Endpoint is the OTLP gRPC endpoint, `http://host:port`; empty turns tracing off. It may come up later.
	Endpoint string
	// TracesPerSecond limits how many new traces are begun; beyond it work goes untraced. 0 means no limit.
	TracesPerSecond float64
	LogLevel        slog.Level
	LogTo           io.Writer
}

// Telemetry is what a service reports with.
type Telemetry struct {
	Log    *slog.Logger
	Tracer trace.TracerProvider
	// Close exports what is left, bounded in time.
	Close func()
}

// New makes the telemetry of one service.
func New(ctx context.Context, c Config) (Telemetry, error) {
	log := slog.New(traceHandler{slog.NewJSONHandler(c.LogTo, &slog.HandlerOptions{Level: c.LogLevel})}).With("service", c.Service)
	if c.Endpoint == "" {
		return Telemetry{Log: log, Tracer: noop.NewTracerProvider(), Close: func() {}}, nil
	}
	if u, err := url.Parse(c.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return Telemetry{}, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT is %q: it must be like http://host:4317", c.Endpoint)
	}
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(c.Endpoint), otlptracegrpc.WithTimeout(5*time.Second))
	if err != nil {
		return Telemetry{}, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(time.Second), sdktrace.WithMaxQueueSize(16384), sdktrace.WithMaxExportBatchSize(2048)),
		sdktrace.WithSampler(sdktrace.ParentBased(newRateSampler(c.TracesPerSecond))),
		sdktrace.WithResource(resource.NewSchemaless(semconv.ServiceName(c.Service), semconv.ServiceNamespace("homeward"))),
	)
	return Telemetry{Log: log, Tracer: provider, Close: func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		_ = provider.Shutdown(ctx) // an endpoint that is away must not hold up the stop
	}}, nil
}

// traceHandler adds the ids of the current span to each log line.
type traceHandler struct{ slog.Handler }

func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsSampled() {
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traceHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(a)}
}
func (h traceHandler) WithGroup(n string) slog.Handler { return traceHandler{h.Handler.WithGroup(n)} }
