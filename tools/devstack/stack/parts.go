package stack

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/homeward-care/homeward/services/kit/devinfra"
)

// NATSNode is one server of a NATS cluster.
type NATSNode struct {
	// Host is its own address, for clients and for its peers.
	Host string
	// Enter is the command that its process runs under, such as `ip netns exec NAME`; empty for none.
	Enter []string
}

// clusterPort is where the servers of a cluster speak to each other, each on its own Host.
const clusterPort = 6222

// NATSDir holds the JetStream files of the part "nats", or of the node that is named. Removing it while the part is stopped loses what the
// courier carried, no more.
func (s *Stack) NATSDir(node ...string) string {
	return filepath.Join(append(append([]string{s.opts.Dir}, node...), "nats", "jetstream")...)
}

// natsParts are the NATS servers, each in a process of its own: this project's devstack, re-executed.
func (s *Stack) natsParts() ([]*Part, error) {
	for _, service := range Services {
		s.accounts = append(s.accounts, devinfra.NATSUser{Name: service.Name, Password: rand.Text(), Publishes: []string{service.Subjects}})
	}
	if len(s.opts.NATSNodes) == 0 {
		part, err := s.natsPart("nats", NATSNode{Host: "127.0.0.1"}, devinfra.NATSOptions{StoreDir: s.NATSDir()})
		return []*Part{part}, err
	}
	var hosts []string
	for _, node := range s.opts.NATSNodes {
		hosts = append(hosts, node.Host)
	}
	var parts []*Part
	for i, node := range s.opts.NATSNodes {
		name := fmt.Sprintf("nats-%d", i+1)
		part, err := s.natsPart(name, node, devinfra.NATSOptions{Name: name, StoreDir: s.NATSDir(name), Peers: hosts, ClusterPort: clusterPort})
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}

func (s *Stack) natsPart(name string, node NATSNode, opts devinfra.NATSOptions) (*Part, error) {
	part := s.newPart(name)
	opts.Host, opts.Port, opts.Users, opts.LogFile = node.Host, s.opts.Ports.NATS, s.accounts, part.LogFile
	config := filepath.Join(filepath.Dir(opts.StoreDir), "server.json")
	text, err := json.MarshalIndent(opts, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(config), 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return nil, err
	}
	part.command = func(_ context.Context, log *os.File) (*exec.Cmd, error) {
		line := append(slices.Clone(node.Enter), s.programs[devstackProgram], "nats", config)
		cmd := exec.Command(line[0], line[1:]...)
		cmd.Stdout, cmd.Stderr = log, log
		return cmd, nil
	}
	part.ready = func(ctx context.Context) error {
		return untilDialled(ctx, net.JoinHostPort(node.Host, strconv.Itoa(opts.Port)))
	}
	return part, nil
}

// ServeNATS is the other side: a NATS server in this process, until SIGTERM or until it can store nothing any more. args names its configuration.
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
	sick := server.UntilSick(ctx) // nil after SIGTERM; otherwise whoever supervises this process starts it again
	return errors.Join(sick, server.Stop())
}

// Courier is the account by which one of the services speaks to NATS, for whoever has to look into the streams.
func (s *Stack) Courier() (user, password string) { return s.accounts[0].Name, s.accounts[0].Password }

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
