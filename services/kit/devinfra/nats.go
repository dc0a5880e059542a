package devinfra

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// NATSUser is one service's account at the broker.
type NATSUser struct {
	Name     string `json:"name"`
	Password string `json:"password"`
	// Publishes are the subjects that it alone owns, such as "discharge.>".
	Publishes []string `json:"publishes"`
}

// NATSOptions says what server to run. The zero value is an in-process one in a temporary folder, for tests.
type NATSOptions struct {
	// Name is the server's; in a cluster each has another. Empty: "homeward".
	Name string `json:"name"`
	// Host is the address that it listens on. Empty: 127.0.0.1.
	Host string `json:"host"`
	// StoreDir holds JetStream's files and outlives the server. Empty: a temporary folder, removed by NATS.Stop.
	StoreDir string `json:"store_dir"`
	// Port on Host; -1 for a free one; 0 for none: connections are then made in process (nats.InProcessServer).
	Port int `json:"port"`
	// Users, if any, are the only ones who may connect. Without, anyone on this machine may.
	Users []NATSUser `json:"users"`
	// LogFile receives the server's own log. Empty: none.
	LogFile string `json:"log_file"`
	// Peers are the Hosts of all servers of a cluster, this one's included. They speak to each other on ClusterPort. Empty: it stands alone.
	Peers       []string `json:"peers"`
	ClusterPort int      `json:"cluster_port"`
}

// ReadNATSOptions reads options that were written as JSON, for a server in a process of its own.
func ReadNATSOptions(path string) (NATSOptions, error) {
	var opts NATSOptions
	text, err := os.ReadFile(path)
	if err != nil {
		return opts, err
	}
	if err := json.Unmarshal(text, &opts); err != nil {
		return opts, fmt.Errorf("%s: %w", path, err)
	}
	return opts, nil
}

// NATS is a running server with JetStream.
type NATS struct {
	*server.Server
	temporary string
}

// StartNATS starts a server in this process and waits until it takes connections.
func StartNATS(opts NATSOptions) (*NATS, error) {
	n := &NATS{}
	if opts.StoreDir == "" {
		dir, err := os.MkdirTemp("", "homeward-nats-")
		if err != nil {
			return nil, err
		}
		opts.StoreDir, n.temporary = dir, dir
	}
	if err := os.MkdirAll(opts.StoreDir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if n.Server, err = server.NewServer(serverOptions(opts)); err != nil {
		return nil, errors.Join(fmt.Errorf("configure the NATS server: %w", err), n.Stop())
	}
	if opts.LogFile != "" {
		n.ConfigureLogger()
	}
	n.Start()
	if !n.ReadyForConnections(30 * time.Second) {
		return nil, errors.Join(fmt.Errorf("the NATS server on port %d did not become ready: see %s", opts.Port, opts.LogFile), n.Stop())
	}
	return n, nil
}

// Stop ends the server, its streams safe on disk, and removes a temporary store.
func (n *NATS) Stop() error {
	if n.Server != nil {
		n.Shutdown()
		n.WaitForShutdown()
	}
	if n.temporary == "" {
		return nil
	}
	return os.RemoveAll(n.temporary)
}

// maxStore is more than any disk here has, in bytes: the disk alone is the limit.
const maxStore = 1 << 40

// sickLook is how often a server's health is looked at.
const sickLook = time.Second

// UntilSick waits until the server answers and yet stores nothing, and says why; nil when ctx ends first. A stream that once met a full disk
// takes no message until the server starts again, whatever the disk is like since. Whoever runs a server acts on its health like this;
// a node of a cluster is healthy again by itself, so there only the end of JetStream counts.
func (n *NATS) UntilSick(ctx context.Context) error {
	look := time.NewTicker(sickLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		if health := n.Healthz(&server.HealthzOptions{JSEnabledOnly: n.ClusterName() != ""}); health.Error != "" {
			return fmt.Errorf("the NATS server is not healthy: %s", health.Error)
		}
	}
}

func serverOptions(opts NATSOptions) *server.Options {
	o := &server.Options{
		ServerName: cmp.Or(opts.Name, "homeward"),
		Host:       cmp.Or(opts.Host, "127.0.0.1"),
		Port:       opts.Port,
		DontListen: opts.Port == 0,
		JetStream:  true,
		StoreDir:   filepath.Clean(opts.StoreDir),
		// Without a limit the server takes a share of what is free when it starts for one: nothing, for good, if it starts on a full disk.
		JetStreamMaxStore: maxStore,
		NoSigs:            true,
		NoLog:             opts.LogFile == "",
		LogFile:           opts.LogFile,
		Logtime:           true,
	}
	if len(opts.Peers) > 0 {
		o.Cluster = server.ClusterOpts{Name: "homeward", Host: o.Host, Port: opts.ClusterPort}
		for _, peer := range opts.Peers {
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: net.JoinHostPort(peer, strconv.Itoa(opts.ClusterPort))})
		}
	}
	for _, u := range opts.Users {
		o.Users = append(o.Users, &server.User{
			Username: u.Name,
			Password: u.Password,
			Permissions: &server.Permissions{
				// Own subjects, and what a JetStream client says to the server. Events of others are read through
				// pull consumers, whose messages come to the client's inbox.
				Publish:   &server.SubjectPermission{Allow: append([]string{"$JS.API.>", "$JS.ACK.>", "_INBOX.>"}, u.Publishes...)},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
			},
		})
	}
	return o
}
