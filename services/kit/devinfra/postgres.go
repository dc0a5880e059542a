package devinfra

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// superuser owns the cluster; services get roles of their own from their migrations.
const superuser = "homeward"

// longestSocketPath is what sockaddr_un holds, its closing zero byte left out.
const longestSocketPath = 107

// PostgresOptions says what cluster to run. The zero value is a throw-away one for tests.
type PostgresOptions struct {
	// Dir holds the cluster and outlives it. Empty: a temporary folder, removed by Postgres.Stop.
	Dir string
	// Parts is where fetched server programs are kept. Empty: `parts` in StateDir.
	Parts string
	// Port is a TCP port on 127.0.0.1, with a password. 0: none, only the Unix socket.
	Port int
	// Durable turns fsync on, as production has it. A kill of the server alone loses nothing either way.
	Durable bool
	// MaxConnections is 100 if 0.
	MaxConnections int
	// SharedBuffers in PostgreSQL's notation; "128MB" if empty.
	SharedBuffers string
	// Settings are further server settings, name to value.
	Settings map[string]string
	// Say receives a line for a person before anything slow or surprising. nil: slog.
	Say func(string)
}

// Cluster is a PostgreSQL cluster on disk, initialised, running or not.
type Cluster struct {
	opts      PostgresOptions
	binaries  pgBinaries
	who       account
	dir       string
	socketDir string // "" where its path would be too long
	password  string
}

// OpenCluster finds or fetches the server programs and initialises the cluster in opts.Dir if there is none.
func OpenCluster(ctx context.Context, opts PostgresOptions) (*Cluster, error) {
	if opts.Say == nil {
		opts.Say = func(line string) { slog.Info("postgres", "note", line) }
	}
	if opts.Parts == "" {
		state, err := StateDir()
		if err != nil {
			return nil, err
		}
		opts.Parts = filepath.Join(state, "parts")
	}
	who, err := databaseAccount()
	if err != nil {
		return nil, err
	}
	dir, err := reachable(opts.Dir, who, opts.Say)
	if err != nil {
		return nil, err
	}
	if err := os.Chown(dir, who.uid, who.gid); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, err
	}
	c := &Cluster{opts: opts, who: who, dir: dir}
	wanted, err := c.dataVersion()
	if err != nil {
		return nil, err
	}
	if c.binaries, err = findPostgres(ctx, opts.Parts, wanted, who, opts.Say); err != nil {
		return nil, err
	}
	if len(filepath.Join(dir, ".s.PGSQL.65535")) <= longestSocketPath {
		c.socketDir = dir
	} else if opts.Port == 0 {
		return nil, fmt.Errorf("%s is too long a path for a Unix socket: choose a shorter folder or give PostgreSQL a TCP port", dir)
	}
	if wanted == 0 {
		if err := c.initialise(ctx); err != nil {
			return nil, err
		}
	}
	password, err := os.ReadFile(c.passwordFile())
	if err != nil {
		return nil, fmt.Errorf("the cluster's password is gone: %w", err)
	}
	c.password = strings.TrimSpace(string(password))
	return c, nil
}

func (c *Cluster) data() string         { return filepath.Join(c.dir, "data") }
func (c *Cluster) passwordFile() string { return filepath.Join(c.dir, "password") }

// Port is the TCP port, and the number in the socket's name where there is no TCP.
func (c *Cluster) port() int {
	if c.opts.Port == 0 {
		return 5432
	}
	return c.opts.Port
}

// dataVersion is the major version that made the data, 0 where there is none yet.
func (c *Cluster) dataVersion() (int, error) {
	text, err := os.ReadFile(filepath.Join(c.data(), "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s is not a cluster that can be used here: %w", c.data(), err)
	}
	return version, nil
}

// initialise makes the cluster beside its final place and renames it: a half-made one is never taken for whole.
func (c *Cluster) initialise(ctx context.Context) error {
	fresh := filepath.Join(c.dir, "data.new")
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := os.WriteFile(c.passwordFile(), []byte(rand.Text()+"\n"), 0o600); err != nil {
		return err
	}
	if err := os.Chown(c.passwordFile(), c.who.uid, c.who.gid); err != nil {
		return err
	}
	args := append([]string{
		"-D", fresh, "-U", superuser, "--pwfile", c.passwordFile(),
		// The socket's folder is closed to other users; on TCP, any of them could knock.
		"--auth-local=trust", "--auth-host=scram-sha-256",
		"--data-checksums", "--encoding=UTF8", "--locale=C",
	}, c.binaries.share()...)
	if !c.opts.Durable {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(c.binaries.dir, "initdb"), args...)
	c.prepare(cmd)
	if _, err := outputOf(cmd); err != nil {
		return fmt.Errorf("make a PostgreSQL cluster in %s: %w", c.dir, err)
	}
	return os.Rename(fresh, c.data())
}

func (c *Cluster) prepare(cmd *exec.Cmd) {
	cmd.Dir = c.dir
	cmd.Env = c.binaries.environment()
	cmd.SysProcAttr = c.who.attributes()
	dieWithParent(cmd.SysProcAttr)
}

// Command returns a command that runs the server in the foreground until it gets SIGINT (fast shutdown, which it also
// gets when this process dies), its own log going to log. Whatever a killed server left behind is cleared first; one
// that still runs is waited for until ctx ends.
func (c *Cluster) Command(ctx context.Context, log *os.File) (*exec.Cmd, error) {
	if err := c.clearStaleLocks(ctx); err != nil {
		return nil, err
	}
	settings := map[string]string{
		"listen_addresses":           "",
		"port":                       strconv.Itoa(c.port()),
		"unix_socket_directories":    c.socketDir,
		"unix_socket_permissions":    "0700",
		"max_connections":            "100",
		"shared_buffers":             "128MB",
		"jit":                        "off",
		"timezone":                   "UTC",
		"log_timezone":               "UTC",
		"log_destination":            "stderr",
		"logging_collector":          "off",
		"log_line_prefix":            "%m [%p] %d ",
		"log_error_verbosity":        "terse", // details and statements can hold what people are called
		"log_min_error_statement":    "panic",
		"log_parameter_max_length":   "0",
		"log_min_duration_statement": "-1",
	}
	if c.opts.Port != 0 {
		settings["listen_addresses"] = "127.0.0.1"
	}
	if c.opts.MaxConnections != 0 {
		settings["max_connections"] = strconv.Itoa(c.opts.MaxConnections)
	}
	if c.opts.SharedBuffers != "" {
		settings["shared_buffers"] = c.opts.SharedBuffers
	}
	if !c.opts.Durable {
		settings["fsync"], settings["full_page_writes"] = "off", "off"
	}
	for name, value := range c.opts.Settings {
		settings[name] = value
	}
	args := []string{"-D", c.data()}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	cmd := exec.Command(filepath.Join(c.binaries.dir, "postgres"), args...)
	c.prepare(cmd)
	onParentDeath(cmd.SysProcAttr, syscall.SIGINT)
	cmd.Stdout, cmd.Stderr = log, log
	return cmd, nil
}

// clearStaleLocks removes the lock files of a server that was killed. PostgreSQL does so itself unless its process id
// has been given to another process of the same user meanwhile, as it soon is in a container. No file is touched while
// any process of the cluster lives: a killed server's backends take a moment to notice, and must not meet a new one.
func (c *Cluster) clearStaleLocks(ctx context.Context) error {
	if _, err := os.Stat("/proc/self/cwd"); err != nil {
		return nil // only PostgreSQL itself can tell then
	}
	for {
		pid := c.processes()
		if pid == "" {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another PostgreSQL (process %s) runs on %s: stop it first (kill -INT %s)", pid, c.data(), pid)
		case <-time.After(20 * time.Millisecond):
		}
	}
	socket := filepath.Join(c.dir, fmt.Sprintf(".s.PGSQL.%d", c.port()))
	for _, path := range []string{filepath.Join(c.data(), "postmaster.pid"), socket, socket + ".lock"} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// processes returns the first process of a server on this cluster, "" if there is none. They are known by their working
// folder, which is the cluster's.
func (c *Cluster) processes() (pid string) {
	folders, _ := filepath.Glob("/proc/[0-9]*/cwd") // fails only for a malformed pattern
	for _, link := range folders {
		if folder, err := os.Readlink(link); err == nil && folder == c.data() {
			return strings.Split(link, "/")[2]
		}
	}
	return ""
}

// URL is what a program on this machine connects to a database with.
func (c *Cluster) URL(database string) string {
	if c.socketDir == "" {
		return c.URLAt("127.0.0.1:"+strconv.Itoa(c.opts.Port), database)
	}
	query := url.Values{"host": {c.socketDir}, "port": {strconv.Itoa(c.port())}, "user": {superuser}}
	return "postgres:///" + database + "?" + query.Encode()
}

// URLAt is what a program connects with over TCP, to the server or to what stands before it at addr. The server needs a Port for that.
func (c *Cluster) URLAt(addr, database string) string {
	return (&url.URL{Scheme: "postgres", User: url.UserPassword(superuser, c.password), Host: addr, Path: "/" + database}).String()
}

// Ready waits until the server answers a query or ctx ends.
func (c *Cluster) Ready(ctx context.Context) error {
	for {
		conn, err := pgx.Connect(ctx, c.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL in %s does not answer: %w", c.dir, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// CreateDatabases makes the databases that do not exist yet.
func (c *Cluster) CreateDatabases(ctx context.Context, names ...string) error {
	return CreateDatabases(ctx, c.URL("postgres"), names...)
}

// CreateDatabases makes the databases that do not exist yet on the server that adminURL names.
func CreateDatabases(ctx context.Context, adminURL string, names ...string) error {
	conn, err := pgx.Connect(ctx, adminURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, name := range names {
		var exists bool
		if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists); err != nil {
			return err
		}
		if exists {
			continue
		}
		if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
			return fmt.Errorf("create database %s: %w", name, err)
		}
	}
	return nil
}

// DatabaseURL is adminURL with another database.
func DatabaseURL(adminURL, database string) (string, error) {
	u, err := url.Parse(adminURL)
	if err != nil || u.Scheme == "" {
		return "", errors.New("a database URL looks like postgres://user:password@host:5432/name")
	}
	u.Path = "/" + database
	return u.String(), nil
}

// Postgres is a running cluster.
type Postgres struct {
	*Cluster
	*Process
	temporary string
}

// StartPostgres opens the cluster, starts it and waits until it answers.
func StartPostgres(ctx context.Context, opts PostgresOptions) (*Postgres, error) {
	temporary := ""
	if opts.Dir == "" {
		dir, err := os.MkdirTemp("", "homeward-pg-")
		if err != nil {
			return nil, err
		}
		opts.Dir, temporary = filepath.Join(dir, "pg"), dir
		if err := os.Chmod(dir, 0o755); err != nil { // the server may run as another user
			return nil, err
		}
	}
	p := &Postgres{temporary: temporary}
	err := p.start(ctx, opts)
	if err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

func (p *Postgres) start(ctx context.Context, opts PostgresOptions) (err error) {
	if p.Cluster, err = OpenCluster(ctx, opts); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the server has it open itself
	cmd, err := p.Command(ctx, log)
	if err != nil {
		return err
	}
	if p.Process, err = Start(cmd); err != nil {
		return err
	}
	ready := make(chan error, 1)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	go func() { ready <- p.Ready(ctx) }()
	select {
	case err := <-ready:
		return err
	case <-p.Done():
		cancel()
		<-ready
		return fmt.Errorf("PostgreSQL ended while it started (%w): see %s", p.Err(), filepath.Join(p.dir, "log"))
	}
}

// Stop shuts the server down (connections are closed, nothing is lost) and removes a temporary cluster.
func (p *Postgres) Stop() error {
	var err error
	if p.Process != nil {
		err = p.Process.Stop(syscall.SIGINT, 30*time.Second)
	}
	if p.temporary != "" {
		err = errors.Join(err, os.RemoveAll(p.temporary))
	}
	return err
}
