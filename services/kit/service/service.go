package service

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/bus"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/explain"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/kit/outbox"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/reconcile"
	"github.com/homeward-care/homeward/services/kit/restore"
	"github.com/homeward-care/homeward/services/kit/rpc"
	"github.com/homeward-care/homeward/services/kit/run"
	"github.com/homeward-care/homeward/services/kit/telemetry"
)

// Service is what a service is wired to: where it keeps things, how it hears and tells, and what time it is. New makes one of real parts;
// a simulation makes one of its own, wires the same service to it, and steps its workers itself.
type Service struct {
	Name   string
	Log    *slog.Logger
	Tracer trace.TracerProvider
	DB     *pg.DB
	// RPC is where the service registers what it answers, Dial how it reaches another one.
	RPC  grpc.ServiceRegistrar
	Dial func(addr string) (grpc.ClientConnInterface, error)
	// Verifier checks tokens for doors other than gRPC; nil where the service has none.
	Verifier *authn.Verifier
	// Publisher returns what hands events to a stream; Subscribe returns what brings those of the subjects, as bus.Subscription does.
	Publisher func(stream string) func(ctx context.Context, events []event.Event) []error
	Subscribe func(stream, subjects string) func(ctx context.Context, max int) ([]bus.Delivery, error)
	// Now is the wall clock, Elapsed one that only runs: together they tell a clock that was set from time that has passed.
	Now     func() time.Time
	Elapsed func() time.Duration
	// Saved is raised after a commit that saved events, so that the relay need not wait for its poll.
	Saved run.Wake
	// Workers are the background workers that the wiring has added.
	Workers []run.Loop

	parts []func(ctx context.Context) error
	close []func()
	// serve answers gRPC; while the service is not open it answers only what another restored service asks.
	serve    func(ctx context.Context) error
	open     atomic.Bool
	takeOver *restore.TakeOver
}

// New opens the parts of a service. It does not wait for PostgreSQL or NATS: the health answer tells whether they are there.
func New(ctx context.Context, name string, c Config, table authn.Table) (*Service, error) {
	if c.DatabaseConns < leastConns {
		return nil, fmt.Errorf("DATABASE_CONNS is %d; give at least %d: some parts keep one to themselves, as the relay does", c.DatabaseConns, leastConns)
	}
	tel, err := telemetry.New(ctx, telemetry.Config{Service: name, Endpoint: c.OTLPEndpoint, TracesPerSecond: c.TraceRate, LogLevel: c.LogLevel, LogTo: os.Stderr})
	if err != nil {
		return nil, err
	}
	s := &Service{Name: name, Log: tel.Log, Tracer: tel.Tracer, Now: now, Elapsed: elapsed, Saved: run.NewWake()}
	s.close = append(s.close, tel.Close)
	verifier, err := authn.NewVerifier(c.TokenKeysFile, c.TokenIssuer)
	if err != nil {
		return nil, err
	}
	s.Verifier = verifier
	if s.DB, err = pg.Open(c.DatabaseURL, pg.Options{MaxConns: c.DatabaseConns, Tracer: tel.Tracer}); err != nil {
		return nil, err
	}
	s.close = append(s.close, s.DB.Close)
	courier, err := bus.Connect(bus.Config{URL: c.NATSURL, User: c.NATSUser, Password: c.NATSPassword, Service: name}, tel.Log)
	if err != nil {
		return nil, err
	}
	s.close = append(s.close, courier.Close)
	s.Publisher = func(stream string) func(context.Context, []event.Event) []error {
		return courier.Publisher(stream).Publish
	}
	s.Subscribe = func(stream, subjects string) func(context.Context, int) ([]bus.Delivery, error) {
		return courier.Subscribe(stream, subjects).Fetch
	}
	token := authn.TokenFile{Path: c.TokenFile}
	s.Dial = func(addr string) (grpc.ClientConnInterface, error) {
		conn, err := rpc.Dial(addr, token.Token, noop.NewTracerProvider())
		if err != nil {
			return nil, err
		}
		s.close = append(s.close, func() { _ = conn.Close() })
		return conn, nil
	}
	server, err := rpc.NewServer(rpc.ServerConfig{
		Addr: c.GRPCAddr, Verifier: verifier, Table: table, Tracer: tel.Tracer, Log: tel.Log, Admit: s.admit,
		Probes: map[string]func(context.Context) error{"PostgreSQL": s.DB.Ping, "NATS": courier.Ping},
	})
	if err != nil {
		return nil, err
	}
	s.RPC, s.serve = server, server.Serve
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
		opsv1.ReconciliationService_ListHeld_FullMethodName:     {authn.Service},
		opsv1.ExplainService_ExplainHandover_FullMethodName:     {authn.Ops, authn.HubStaff},
	}
}

// Go adds a part that runs until its context ends.
func (s *Service) Go(part func(ctx context.Context) error) { s.parts = append(s.parts, part) }

// AtClose adds what is given back when the service has stopped, before the parts that it was made of.
func (s *Service) AtClose(f func()) { s.close = append(s.close, f) }

// apart is the beat of the workers that handovers pass through: at most so much is added by each, and under load a batch holds what came
// in that time.
const apart = 15 * time.Millisecond

// Loop adds a background worker.
func (s *Service) Loop(name string, step run.Step, poll time.Duration, wake <-chan struct{}) {
	s.loop(name, step, poll, apart, wake)
}

func (s *Service) loop(name string, step run.Step, poll, apart time.Duration, wake <-chan struct{}) {
	s.Workers = append(s.Workers, run.Loop{Name: name, Step: step, Poll: poll, Apart: apart, Wake: wake, Log: s.Log})
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
	relay := &outbox.Relay{DB: s.DB, Publish: s.Publisher(stream), Now: s.Now, Tracer: s.TracerFor("kit/outbox")}
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
	consumer := &inbox.Consumer{Inbox: in, Fetch: s.Subscribe(e.Stream, subjects(e.Type))}
	if e.Apart == 0 {
		e.Apart = apart
	}
	s.loop("consume "+e.Type, apply(consumer.Step), 0, e.Apart, nil)

	conn, err := s.Dial(e.Addr)
	if err != nil {
		return err
	}
	walker := &reconcile.Walker{Type: e.Type, Producer: e.Addr, Source: opsv1.NewReconciliationServiceClient(conn), Inbox: in, Log: s.Log, RollEvery: time.Second}
	s.Loop("reconcile "+e.Type, apply(walker.Step), walkPoll, nil)
	return nil
}

// Own is the kind of aggregate that the service publishes, and how it comes back after a restore.
type Own struct {
	Type string
	// HeldBy are the gRPC addresses of the consumers that hold it, by their names.
	HeldBy map[string]string
	// Adopt and Done are those of restore.TakeOver.
	Adopt inbox.Handler
	Done  func(ctx context.Context, tx pgx.Tx, now time.Time, r restore.Restore) error
}

// TakesOver says how the service takes over its own aggregates from consumers after its database was restored.
func (s *Service) TakesOver(own Own) error {
	t := &restore.TakeOver{DB: s.DB, Type: own.Type, Adopt: own.Adopt, Done: own.Done, Now: s.Now, Log: s.Log}
	for _, name := range slices.Sorted(maps.Keys(own.HeldBy)) {
		conn, err := s.Dial(own.HeldBy[name])
		if err != nil {
			return err
		}
		t.Holders = append(t.Holders, restore.Holder{Name: name, Source: opsv1.NewReconciliationServiceClient(conn)})
	}
	s.takeOver = t
	return nil
}

// TakeOver does the take-over that a declared restore made due; without one it does nothing. Only after it may anything else of the service
// run. After an error do it again.
func (s *Service) TakeOver(ctx context.Context) error {
	if s.takeOver == nil {
		return nil
	}
	return s.takeOver.Run(ctx)
}

// admit refuses calls until the service is open, but not those of other services that take over: two that were restored together would
// wait for each other.
func (s *Service) admit(method string) error {
	if s.open.Load() || method == opsv1.ReconciliationService_ListHeld_FullMethodName || strings.HasPrefix(method, "/grpc.") {
		return nil
	}
	return fault.New(fault.Unavailable, "the service is not open yet: it starts, or takes over what was lost in a restore; try again")
}

// Close gives back what the parts hold, the last one first.
func (s *Service) Close() {
	for i := len(s.close) - 1; i >= 0; i-- {
		s.close[i]()
	}
}

// untilTakenOver tries the take-over until it is done. It reports false when ctx ended first. Open with less than others hold, the service
// would take back what they know.
func (s *Service) untilTakenOver(ctx context.Context) bool {
	for failures := 0; ; failures++ {
		err := s.TakeOver(ctx)
		if err == nil {
			return true
		}
		if failures%10 == 0 && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "alarm: the service keeps its doors closed: it cannot see that nothing is to be taken over after a restore; it tries again",
				"failures", failures+1, "error", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(min(time.Second<<min(failures, 3), 5*time.Second)):
		}
	}
}

// runOpen opens the service and runs everything but gRPC, which runs already.
func (s *Service) runOpen(ctx context.Context) error {
	if !s.untilTakenOver(ctx) {
		return nil
	}
	s.open.Store(true)
	g := run.NewGroup(ctx)
	for _, part := range s.parts {
		g.Go(part)
	}
	for _, worker := range s.Workers {
		g.Go(worker.Run)
	}
	s.Log.InfoContext(ctx, "started")
	return g.Wait()
}

// Run runs all parts until ctx ends, then closes what they used.
func (s *Service) Run(ctx context.Context) error {
	g := run.NewGroup(ctx)
	g.Go(s.serve)
	g.Go(s.runOpen)
	err := g.Wait()
	s.Close()
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	s.Log.InfoContext(context.WithoutCancel(ctx), "stopped")
	return nil
}
