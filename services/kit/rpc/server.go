// Package rpc builds gRPC servers and clients that all behave alike: deadlines on every call, tokens and a method table, errors mapped
// once, tracing, reflection, and a health answer that comes from the dependencies.
package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc/filters"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/failpoint"
	"github.com/homeward-care/homeward/services/kit/fault"
)

// ServerConfig of a service's one gRPC server.
type ServerConfig struct {
	Addr     string
	Verifier *authn.Verifier
	Table    authn.Table
	Tracer   trace.TracerProvider
	Log      *slog.Logger
	// Admit refuses a method for the time being by an error; nil admits all.
	Admit func(method string) error
	// Probes are the dependencies by name; the service is healthy while every one answers.
	Probes map[string]func(context.Context) error
}

const (
	// defaultDeadline is what a call without a deadline gets.
	defaultDeadline = 10 * time.Second
	// shave is what the server keeps of a deadline, so that a useful error still reaches the caller.
	shave = 50 * time.Millisecond
	// drainLimit is how long a stopping server waits for calls in hand.
	drainLimit = 10 * time.Second
	probeEvery = 2 * time.Second
)

// Server is a gRPC server to register services on and then to serve.
type Server struct {
	*grpc.Server
	cfg    ServerConfig
	health *health.Server
	lis    net.Listener
}

// NewServer listens, so that a port in use is told at once.
func NewServer(cfg ServerConfig) (*Server, error) {
	lis, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("GRPC_ADDR: %w", err)
	}
	s := &Server{cfg: cfg, health: health.NewServer(), lis: lis}
	s.Server = grpc.NewServer(
		grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithTracerProvider(cfg.Tracer),
			otelgrpc.WithPropagators(propagation.TraceContext{}),
			// Polls make no spans; what reconciliation repairs is traced where it is applied.
			otelgrpc.WithFilter(filters.None(filters.HealthCheck(), filters.ServiceName("homeward.ops.v1.ReconciliationService"))),
		)),
		grpc.ChainUnaryInterceptor(s.mapErrors, deadline, cfg.Table.Unary(cfg.Verifier), s.admit),
		grpc.ChainStreamInterceptor(s.mapStreamErrors, cfg.Table.Stream()),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	s.health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING) // until every dependency has answered
	healthv1.RegisterHealthServer(s.Server, s.health)
	reflection.Register(s.Server)
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() string { return s.lis.Addr().String() }

// Serve answers calls until ctx ends, then finishes the calls in hand. It refuses to start with an incomplete method table.
func (s *Server) Serve(ctx context.Context) error {
	if err := s.cfg.Table.CheckComplete(s.GetServiceInfo()); err != nil {
		return err
	}
	go s.probe(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		s.health.Shutdown()
		force := time.AfterFunc(drainLimit, s.Stop)
		defer force.Stop()
		s.GracefulStop()
	}()
	if err := s.Server.Serve(s.lis); err != nil {
		return fmt.Errorf("serve gRPC: %w", err)
	}
	<-stopped
	return nil
}

// probe keeps the health answer true: it asks every dependency and tells when the answer changes.
func (s *Server) probe(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	was := healthv1.HealthCheckResponse_SERVICE_UNKNOWN
	for {
		is := healthv1.HealthCheckResponse_SERVING
		for name, ping := range s.cfg.Probes {
			if err := ping(ctx); err != nil && ctx.Err() == nil {
				is = healthv1.HealthCheckResponse_NOT_SERVING
				if was != is {
					s.cfg.Log.WarnContext(ctx, "unhealthy: a dependency does not answer", "dependency", name, "error", err)
				}
			}
		}
		if is != was {
			s.health.SetServingStatus("", is)
			if is == healthv1.HealthCheckResponse_SERVING {
				s.cfg.Log.InfoContext(ctx, "healthy")
			}
			was = is
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// mapErrors is the edge where faults become statuses. Internal errors and panics are logged here and nowhere else.
func (s *Server) mapErrors(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.cfg.Log.ErrorContext(ctx, "panic in a call", "method", info.FullMethod, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = fault.Status(fmt.Errorf("panic")).Err()
		}
	}()
	err = failpoint.Do(ctx, info.FullMethod, func() (err error) { resp, err = handler(ctx, req); return err })
	if err == nil {
		return resp, nil
	}
	st := fault.Status(err)
	if st.Code() == codes.Internal {
		s.cfg.Log.ErrorContext(ctx, "call failed", "method", info.FullMethod, "error", err)
	}
	return nil, st.Err()
}

func (s *Server) mapStreamErrors(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return fault.Status(handler(srv, ss)).Err()
}

func (s *Server) admit(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if s.cfg.Admit != nil {
		if err := s.cfg.Admit(info.FullMethod); err != nil {
			return nil, err
		}
	}
	return handler(ctx, req)
}

func deadline(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	at := time.Now().Add(defaultDeadline)
	if d, ok := ctx.Deadline(); ok {
		at = d.Add(-shave)
	}
	ctx, cancel := context.WithDeadline(ctx, at)
	defer cancel()
	return handler(ctx, req)
}
