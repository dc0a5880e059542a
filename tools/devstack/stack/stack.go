// Package stack runs the whole of Homeward on one machine: NATS, PostgreSQL, Jaeger and the services, each a process of
// its own that is started again when it dies. `make run` is this package with a terminal; e2e and the bench use it with
// free ports and a folder of their own.
package stack

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/homeward-care/homeward/services/kit/devinfra"
)

// JaegerMode says how long to wait for Jaeger, which takes minutes to build once.
type JaegerMode int

const (
	// JaegerOff runs none; services export no traces.
	JaegerOff JaegerMode = iota
	// JaegerLater starts everything else at once and Jaeger when it is there.
	JaegerLater
	// JaegerFirst waits for it.
	JaegerFirst
)

// Options says what to run and where. The zero value is a whole stack without Jaeger, on free ports, in a temporary folder.
type Options struct {
	// Dir holds everything that the stack makes and outlives it. Empty: a temporary folder, removed by Stop.
	// For root it has to be a folder that other users can enter, else PostgreSQL's data goes to /var/lib.
	Dir string
	// Checkout is the project's folder. Empty: found above the working directory.
	Checkout string
	// Ports to listen on; each 0 becomes a free one.
	Ports Ports
	// Jaeger says whether to run one. Traces go to OTLPEndpoint instead if that is set.
	Jaeger       JaegerMode
	OTLPEndpoint string
	// DatabaseURL is an administrator's URL of a PostgreSQL to use instead of a private one.
	DatabaseURL string
	// Postgres holds what to change about the private one: Durable, Settings, MaxConnections, SharedBuffers.
	Postgres devinfra.PostgresOptions
	// PartsOnly leaves the services out, for one who runs them from an editor.
	PartsOnly bool
	// Binaries are ready-made programs by service; the others are built from the checkout.
	Binaries map[string]string
	// NATSNodes makes the courier a cluster: each node is a part, "nats-1" and so on. Empty: one server, the part "nats".
	NATSNodes []NATSNode
	// Through returns the address at which a service is to look for what it needs ("nats" or a node, "postgres", a service) instead of
	// where that listens, for a proxy between them. It is asked at each start of the service. nil: no proxies.
	Through func(service, to, addr string) string
	// Env is added to a service's environment, as "NAME=value", over what the stack sets.
	Env func(service string) []string
	// Say receives lines for a person: what takes long, what died. nil: slog.
	Say func(line string)
}

// Stack is a running stack.
type Stack struct {
	Addresses

	opts Options
	// temporary is the folder to remove at the end, if it is one of our making.
	temporary string

	lock     *os.File
	issuer   *devinfra.Issuer
	cluster  *devinfra.Cluster // nil with DatabaseURL
	programs map[string]string
	accounts []devinfra.NATSUser

	mu     sync.Mutex
	parts  []*Part // in starting order
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// startLimit bounds how long a part may take to become ready.
const startLimit = 2 * time.Minute

// Start starts everything and returns when it is ready for work. The stack runs until Stop, whatever becomes of ctx.
func Start(ctx context.Context, opts Options) (*Stack, error) {
	if opts.Say == nil {
		opts.Say = func(line string) { slog.Info("stack", "note", line) }
	}
	s := &Stack{opts: opts}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) error {
	var background context.Context
	background, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.prepare(); err != nil {
		return err
	}
	if err := s.build(ctx); err != nil {
		return err
	}
	if err := s.startParts(ctx); err != nil {
		return err
	}
	if err := s.startJaeger(ctx, background); err != nil {
		return err
	}
	if !s.opts.PartsOnly {
		if err := s.startServices(ctx); err != nil {
			return err
		}
	}
	s.work.Go(func() { s.housekeep(background) })
	return s.Addresses.write(s.opts.Dir)
}

// prepare claims folder and ports, and makes what every part needs to know.
func (s *Stack) prepare() (err error) {
	o := &s.opts
	if o.Checkout == "" {
		if o.Checkout, err = devinfra.Checkout(); err != nil {
			return err
		}
	}
	if o.Dir == "" {
		if s.temporary, err = os.MkdirTemp("", "homeward-"); err != nil {
			return err
		}
		o.Dir = s.temporary
		if err := os.Chmod(o.Dir, 0o755); err != nil { // PostgreSQL may run as another user
			return err
		}
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return err
	}
	if err := checkSystem(o.Dir); err != nil {
		return err
	}
	if s.lock, err = lockDir(o.Dir); err != nil {
		return err
	}
	var chosen []namedPort
	for _, p := range o.Ports.list() {
		if p.port != 0 {
			chosen = append(chosen, p)
		}
	}
	if err := checkPorts(chosen); err != nil {
		return err
	}
	if err := o.Ports.fill(); err != nil {
		return err
	}
	if s.issuer, err = devinfra.OpenIssuer(IssuerDir(o.Dir)); err != nil {
		return err
	}
	if _, err := OpenClient(o.Dir); err != nil {
		return err
	}
	s.Addresses = addressesOf(*o, s.issuer)
	return nil
}

// startParts starts what the services stand on.
func (s *Stack) startParts(ctx context.Context) error {
	parts, err := s.natsParts()
	if err != nil {
		return err
	}
	if s.opts.DatabaseURL == "" {
		postgres, err := s.postgresPart(ctx)
		if err != nil {
			return err
		}
		parts = append(parts, postgres)
	}
	if err := s.run(ctx, parts...); err != nil {
		return err
	}
	return s.createDatabases(ctx)
}

// startJaeger starts Jaeger now if it is there, and otherwise builds it, here or behind the rest.
func (s *Stack) startJaeger(ctx, background context.Context) error {
	if s.opts.Jaeger == JaegerOff || s.opts.OTLPEndpoint != "" {
		return nil
	}
	parts, err := partsDir()
	if err != nil {
		return err
	}
	if found := devinfra.FindJaeger(parts); found != "" {
		s.JaegerPages = devinfra.Jaeger{Binary: found}.HasPages(parts)
		return s.run(ctx, s.jaegerPart(found))
	}
	if s.opts.Jaeger == JaegerFirst {
		built, err := devinfra.BuildJaeger(ctx, s.opts.Checkout, parts)
		if err != nil {
			return err
		}
		return s.run(ctx, s.jaegerPart(built))
	}
	s.opts.Say("Jaeger is being built, once, behind the rest (about 5 minutes); traces from before it is there are lost, everything else works")
	s.work.Go(func() {
		built, err := devinfra.BuildJaeger(background, s.opts.Checkout, parts)
		if err == nil {
			err = s.run(background, s.jaegerPart(built))
		}
		switch {
		case background.Err() != nil:
		case err != nil:
			s.opts.Say("there are no traces: " + err.Error())
		default:
			s.opts.Say("Jaeger is there: traces from now on at " + s.Jaeger)
		}
	})
	return nil
}

// startServices brings every service's database up to date and starts it.
func (s *Stack) startServices(ctx context.Context) error {
	var parts []*Part
	for _, service := range Services {
		part, err := s.servicePart(service)
		if err != nil {
			return err
		}
		if err := s.migrate(ctx, service, part.LogFile); err != nil {
			return err
		}
		parts = append(parts, part)
	}
	return s.run(ctx, parts...)
}

// run starts parts together and waits until all are ready.
func (s *Stack) run(ctx context.Context, parts ...*Part) error {
	s.mu.Lock()
	s.parts = append(s.parts, parts...)
	s.mu.Unlock()
	for _, part := range parts {
		part.Start()
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for _, part := range parts {
		if err := part.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Part returns a part by its name: "nats", "postgres", "jaeger" or a service; nil if it is not (or not yet) there.
func (s *Stack) Part(name string) *Part {
	for _, part := range s.Parts() {
		if part.Name == name {
			return part
		}
	}
	return nil
}

// Parts are all parts, in the order in which they were started.
func (s *Stack) Parts() []*Part {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.parts)
}

// Issuer mints tokens that this stack's services accept.
func (s *Stack) Issuer() *devinfra.Issuer { return s.issuer }

// housekeep refreshes the services' tokens and keeps logs short until ctx ends.
func (s *Stack) housekeep(ctx context.Context) {
	hourly := time.NewTicker(time.Hour)
	defer hourly.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hourly.C:
		}
		for _, service := range Services {
			if _, err := s.issuer.WriteServiceToken(service.Name); err != nil {
				s.opts.Say("the token of " + service.Name + " could not be refreshed: " + err.Error())
			}
		}
		for _, part := range s.Parts() {
			if err := rotate(part.LogFile); err != nil {
				s.opts.Say("the log of " + part.Name + " could not be shortened: " + err.Error())
			}
		}
	}
}

// Stop ends the parts in the reverse of their starting order, the services together, and waits for them. Data stays,
// unless the folder is a temporary one. It takes at most about a minute, whatever the parts do. A second call does nothing.
func (s *Stack) Stop() error {
	s.cancel()
	s.work.Wait()
	parts := s.Parts()
	slices.Reverse(parts)
	isService := func(p *Part) bool { return s.programs[p.Name] != "" }
	failed := make([]error, len(parts))
	var services sync.WaitGroup
	for i, part := range parts {
		if isService(part) {
			services.Go(func() { failed[i] = part.Stop() })
		}
	}
	services.Wait()
	for i, part := range parts {
		if !isService(part) {
			failed[i] = part.Stop()
		}
	}
	if s.lock != nil {
		failed = append(failed, removeAddresses(s.opts.Dir), s.lock.Close())
		s.lock = nil
	}
	if s.temporary != "" {
		failed = append(failed, os.RemoveAll(s.temporary))
	}
	return errors.Join(failed...)
}

// What asks a part to stop: services drain on SIGTERM, PostgreSQL's fast shutdown is SIGINT.
const (
	drain        = syscall.SIGTERM
	fastShutdown = syscall.SIGINT
)

// IssuerDir is where a stack in dir keeps the development issuer.
func IssuerDir(dir string) string { return filepath.Join(dir, "issuer") }

func partsDir() (string, error) {
	state, err := devinfra.StateDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(state, "parts"), nil
}

func (s *Stack) newPart(name string) *Part {
	return &Part{
		Name:     name,
		LogFile:  filepath.Join(s.opts.Dir, "log", name+".log"),
		stopWith: drain,
		patience: 15 * time.Second,
		say:      s.opts.Say,
	}
}
