package service

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/bus"
	"github.com/homeward-care/homeward/services/kit/explain"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/kit/outbox"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/reconcile"
	"github.com/homeward-care/homeward/services/kit/rpc"
	"github.com/homeward-care/homeward/services/kit/run"
	"github.com/homeward-care/homeward/services/kit/telemetry"
)

// Service holds the parts of one running service.
type Service struct {
	Name   string
	Log    *slog.Logger
	Tracer trace.TracerProvider
	DB     *pg.DB
	Bus    *bus.Bus
	RPC    *rpc.Server
	Now    func() time.Time
	// Saved is raised after a commit that saved events, so that the relay need not wait for its poll.
	Saved run.Wake

	parts []func(ctx context.Context) error
	close []func()
	token authn.TokenFile
}

// New opens the parts of a service. It does not wait for PostgreSQL or NATS: the health answer tells whether they are there.
func New(ctx context.Context, name string, c Config, table authn.Table) (*Service, error) {
	if c.DatabaseConns < leastConns {
		return nil, fmt.Errorf("DATABASE_CONNS is %d; give at least %d: the relay keeps one to itself", c.DatabaseConns, leastConns)
	}
	tel, err := telemetry.New(ctx, telemetry.Config{Service: name, Endpoint: c.OTLPEndpoint, TracesPerSecond: c.TraceRate, LogLevel: c.LogLevel, LogTo: os.Stderr})
	if err != nil {
		return nil, err
	}
	s := &Service{Name: name, Log: tel.Log, Tracer: tel.Tracer, Now: now, Saved: run.NewWake(), token: authn.TokenFile{Path: c.TokenFile}}
	s.close = append(s.close, tel.Close)
	verifier, err := authn.NewVerifier(c.TokenKeysFile, c.TokenIssuer)
	if err != nil {
		return nil, err
	}
	if s.DB, err = pg.Open(c.DatabaseURL, pg.Options{MaxConns: c.DatabaseConns, Tracer: tel.Tracer}); err != nil {
		return nil, err
	}
	s.close = append(s.close, s.DB.Close)
	if s.Bus, err = bus.Connect(bus.Config{URL: c.NATSURL, User: c.NATSUser, Password: c.NATSPassword, Service: name}, tel.Log); err != nil {
		return nil, err
	}
	s.close = append(s.close, s.Bus.Close)
	s.RPC, err = rpc.NewServer(rpc.ServerConfig{
		Addr: c.GRPCAddr, Verifier: verifier, Table: table, Tracer: tel.Tracer, Log: tel.Log,
		Probes: map[string]func(context.Context) error{"PostgreSQL": s.DB.Ping, "NATS": s.Bus.Ping},
	})
	if err != nil {
		return nil, err
	}
	s.Go(s.RPC.Serve)
	return s, nil
}

const leastConns = 4

// now is the one clock of a running service. Microseconds are what PostgreSQL keeps.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// OpsRoles are the rows of the method table for what every service answers about its events.
func OpsRoles() authn.Table {
	return authn.Table{
		opsv1.ReconciliationService_ListVersions_FullMethodName: {authn.Service},
		opsv1.ReconciliationService_GetSnapshots_FullMethodName: {authn.Service},
		opsv1.ExplainService_ExplainHandover_FullMethodName:     {authn.Ops, authn.HubStaff},
	}
}

// Go adds a part that runs until its context ends.
func (s *Service) Go(part func(ctx context.Context) error) { s.parts = append(s.parts, part) }

// apart is the beat of the workers that handovers pass through: at most so much is added by each, and under load a batch holds what came
// in that time.
const apart = 15 * time.Millisecond

// Loop adds a background worker.
func (s *Service) Loop(name string, step run.Step, poll time.Duration, wake <-chan struct{}) {
	s.loop(name, step, poll, apart, wake)
}

func (s *Service) loop(name string, step run.Step, poll, apart time.Duration, wake <-chan struct{}) {
	s.Go(run.Loop{Name: name, Step: step, Poll: poll, Apart: apart, Wake: wake, Log: s.Log}.Run)
}

// TracerFor returns the tracer of a part of the service.
func (s *Service) TracerFor(part string) trace.Tracer {
	return s.Tracer.Tracer("github.com/homeward-care/homeward/services/" + part)
}

const (
	relayPoll = time.Second
	walkPoll  = time.Second
)

// Publish relays the service's outbox to its stream, and answers walks over it and questions about it.
func (s *Service) Publish(stream string, ex *explain.Server) {
	relay := &outbox.Relay{DB: s.DB, Publish: s.Bus.Publisher(stream).Publish, Now: s.Now, Tracer: s.TracerFor("kit/outbox")}
	s.Loop("relay", relay.Step, relayPoll, s.Saved)
	s.close = append(s.close, relay.Close)
	ex.DB, ex.Service = s.DB, s.Name
	opsv1.RegisterReconciliationServiceServer(s.RPC, &reconcile.Server{DB: s.DB})
	opsv1.RegisterExplainServiceServer(s.RPC, ex)
}

// Edge is one type of another service's events that this service applies.
type Edge struct {
	// Stream and Type of the events, and the gRPC address of their producer.
	Stream, Type, Addr string
	Handle             inbox.Handler
	// KeepData keeps the newest snapshots in the inbox, for a service that derives from them later.
	KeepData bool
	// Apart is the least time between two batches; 0 means the beat of a handover on its way. Where nobody waits, a slower one is cheaper.
	Apart time.Duration
}

// Consume applies an edge's events as the bus brings them, and as reconciliation with their producer finds them.
func (s *Service) Consume(e Edge) error {
	in := &inbox.Inbox{DB: s.DB, Handle: e.Handle, KeepData: e.KeepData, Now: s.Now, Tracer: s.TracerFor("kit/inbox"), Log: s.Log}
	apply := func(step run.Step) run.Step {
		return func(ctx context.Context) (bool, error) {
			worked, err := step(ctx)
			s.Saved.Raise()
			return worked, err
		}
	}
	consumer := &inbox.Consumer{Inbox: in, Fetch: s.Bus.Subscribe(e.Stream, subjects(e.Type)).Fetch}
	if e.Apart == 0 {
		e.Apart = apart
	}
	s.loop("consume "+e.Type, apply(consumer.Step), 0, e.Apart, nil)

	conn, err := rpc.Dial(e.Addr, s.token.Token, noop.NewTracerProvider())
	if err != nil {
		return err
	}
	s.close = append(s.close, func() { _ = conn.Close() })
	walker := &reconcile.Walker{Type: e.Type, Source: opsv1.NewReconciliationServiceClient(conn), Inbox: in, Log: s.Log, RollEvery: time.Second}
	s.Loop("reconcile "+e.Type, apply(walker.Step), walkPoll, nil)
	return nil
}

// Run runs all parts until ctx ends, then closes what they used.
func (s *Service) Run(ctx context.Context) error {
	g := run.NewGroup(ctx)
	for _, part := range s.parts {
		g.Go(part)
	}
	s.Log.InfoContext(ctx, "started", "grpc", s.RPC.Addr())
	err := g.Wait()
	for i := len(s.close) - 1; i >= 0; i-- {
		s.close[i]()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	s.Log.InfoContext(context.WithoutCancel(ctx), "stopped")
	return nil
}
