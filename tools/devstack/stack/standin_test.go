package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/homeward-care/homeward/services/kit/authn"
)

// TestMain makes this test binary every program that a stack runs: started with the variable standinFor it is that
// service, with `nats` it is the NATS server, with supervise it is a supervisor to be killed.
func TestMain(m *testing.M) {
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "nats":
		err = ServeNATS(os.Args[2:])
	case os.Getenv(standinFor) != "":
		err = standIn(os.Args[1:])
	case os.Getenv(superviseIn) != "":
		err = supervise(os.Getenv(superviseIn))
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const (
	standinFor  = "STANDIN_FOR"
	brokenIn    = "STANDIN_BROKEN"
	superviseIn = "SUPERVISE_IN"
)

// standIn does what a service does with its environment: it refuses to serve where anything in it does not work.
func standIn(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	db, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	if len(args) == 1 && args[0] == "migrate" {
		if os.Getenv(brokenIn) == "migrate" {
			return errors.New("the schema is from the future")
		}
		_, err := db.Exec(ctx, "CREATE TABLE IF NOT EXISTS migrated ()")
		return err
	}
	if _, err := db.Exec(ctx, "SELECT FROM migrated"); err != nil {
		return err
	}
	broker, err := nats.Connect(os.Getenv("NATS_URL"), nats.UserInfo(os.Getenv("NATS_USER"), os.Getenv("NATS_PASSWORD")))
	if err != nil {
		return err
	}
	broker.Close()
	if err := checkToken(); err != nil {
		return err
	}
	for _, peer := range Services {
		if os.Getenv(peer.AddrVariable) == "" {
			return fmt.Errorf("no address of %s", peer.Name)
		}
	}
	listener, err := net.Listen("tcp", os.Getenv("GRPC_ADDR"))
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, health.NewServer())
	context.AfterFunc(ctx, server.Stop)
	return server.Serve(listener)
}

func checkToken() error {
	verifier, err := authn.NewVerifier(os.Getenv("TOKEN_KEYS_FILE"), os.Getenv("TOKEN_ISSUER"))
	if err != nil {
		return err
	}
	token, err := os.ReadFile(os.Getenv("TOKEN_FILE"))
	if err != nil {
		return err
	}
	who, err := verifier.Verify(string(token))
	if err != nil {
		return err
	}
	if want := "service:" + os.Getenv(standinFor); who.Subject != want || !who.Has(authn.Service) {
		return fmt.Errorf("the token is for %v, not %s", who, want)
	}
	return nil
}

// standIns are options in which this test binary is every program.
func standIns(dir string, more ...string) Options {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	programs := map[string]string{devstackProgram: self}
	for _, service := range Services {
		programs[service.Name] = self
	}
	return Options{
		Dir:      dir,
		Binaries: programs,
		Env:      func(service string) []string { return append(more, standinFor+"="+service) },
	}
}

// supervise runs a stack in dir, says so by a line for each process, and never stops it.
func supervise(dir string) error {
	s, err := Start(context.Background(), standIns(dir, superviseIn+"="))
	if err != nil {
		return err
	}
	for _, part := range s.Parts() {
		fmt.Println(part.Pid())
	}
	fmt.Println("up")
	select {}
}
