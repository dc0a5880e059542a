package stack

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/homeward-care/homeward/services/kit/devinfra"
)

// NATSDir holds JetStream's files. Removing it while the part is stopped loses what the courier carried, no more.
func (s *Stack) NATSDir() string { return filepath.Join(s.opts.Dir, "nats", "jetstream") }

// natsPart is a NATS server in a process of its own: this project's devstack, re-executed.
func (s *Stack) natsPart() (*Part, error) {
	for _, service := range Services {
		s.accounts = append(s.accounts, devinfra.NATSUser{Name: service.Name, Password: rand.Text(), Publishes: []string{service.Subjects}})
	}
	part := s.newPart("nats")
	dir := filepath.Join(s.opts.Dir, "nats")
	config := filepath.Join(dir, "server.json")
	text, err := json.MarshalIndent(devinfra.NATSOptions{
		StoreDir: s.NATSDir(), Port: s.opts.Ports.NATS, Users: s.accounts, LogFile: part.LogFile,
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return nil, err
	}
	part.command = func(_ context.Context, log *os.File) (*exec.Cmd, error) {
		cmd := exec.Command(s.programs[devstackProgram], "nats", config)
		cmd.Stdout, cmd.Stderr = log, log
		return cmd, nil
	}
	part.ready = func(ctx context.Context) error { return untilDialled(ctx, loopback(s.opts.Ports.NATS)) }
	return part, nil
}

// ServeNATS is the other side: a NATS server in this process, until SIGTERM. args names its configuration.
func ServeNATS(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: devstack nats CONFIG")
	}
	opts, err := devinfra.ReadNATSOptions(args[0])
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), drain)
	defer stop()
	server, err := devinfra.StartNATS(opts)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return server.Stop()
}

func (s *Stack) password(service string) string {
	for _, account := range s.accounts {
		if account.Name == service {
			return account.Password
		}
	}
	return ""
}

// postgresPart is a private PostgreSQL.
func (s *Stack) postgresPart(ctx context.Context) (*Part, error) {
	opts := s.opts.Postgres
	opts.Dir = filepath.Join(s.opts.Dir, "postgres")
	opts.Port = s.opts.Ports.Postgres
	opts.Say = s.opts.Say
	var err error
	if s.cluster, err = devinfra.OpenCluster(ctx, opts); err != nil {
		return nil, err
	}
	part := s.newPart("postgres")
	part.command = func(ctx context.Context, log *os.File) (*exec.Cmd, error) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		return s.cluster.Command(ctx, log)
	}
	part.ready = s.cluster.Ready
	part.stopWith, part.patience = fastShutdown, 30*time.Second
	return part, nil
}

func (s *Stack) createDatabases(ctx context.Context) error {
	admin := s.opts.DatabaseURL
	if s.cluster != nil {
		admin = s.cluster.URL("postgres")
	}
	var names []string
	s.Databases = map[string]string{}
	for _, service := range Services {
		url, err := devinfra.DatabaseURL(admin, service.Database)
		if err != nil {
			return err
		}
		s.Databases[service.Name] = url
		names = append(names, service.Database)
	}
	return devinfra.CreateDatabases(ctx, admin, names...)
}

func (s *Stack) jaegerPart(binary string) *Part {
	jaeger := devinfra.Jaeger{Binary: binary, OTLPPort: s.opts.Ports.OTLP, QueryPort: s.opts.Ports.JaegerQuery}
	part := s.newPart("jaeger")
	part.command = func(_ context.Context, log *os.File) (*exec.Cmd, error) {
		return jaeger.Command(s.opts.Dir, log)
	}
	part.ready = jaeger.Ready
	return part
}

// untilDialled waits until something accepts connections at addr, or ctx ends.
func untilDialled(ctx context.Context, addr string) error {
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}
