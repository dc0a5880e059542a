package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// Service is one of Homeward's services as the stack runs it.
type Service struct {
	Name string
	// Database is the name of its own database.
	Database string
	// Subjects are the NATS subjects that it alone publishes on.
	Subjects string
	// AddrVariable is the variable by which the others know its gRPC address.
	AddrVariable string
}

// Services are all of them, in the order of the README.
var Services = []Service{
	{"discharge-hub", "discharge_hub", "discharge.>", "DISCHARGE_HUB_ADDR"},
	{"light-touch-assessment", "light_touch_assessment", "assessment.>", "LIGHT_TOUCH_ASSESSMENT_ADDR"},
	{"community-pickup", "community_pickup", "pickup.>", "COMMUNITY_PICKUP_ADDR"},
	{"reablement-capacity", "reablement_capacity", "reablement.>", "REABLEMENT_CAPACITY_ADDR"},
}

// devstackProgram is the supervisor's own program: it is also the NATS server's.
const devstackProgram = "devstack"

// build makes the programs in Dir/bin, all with one `go build`, and fills s.programs.
func (s *Stack) build(ctx context.Context) error {
	s.programs = map[string]string{}
	bin := filepath.Join(s.opts.Dir, "bin")
	var packages []string
	want := func(name, folder string) {
		if ready := s.opts.Binaries[name]; ready != "" {
			s.programs[name] = ready
			return
		}
		s.programs[name] = filepath.Join(bin, name)
		packages = append(packages, "./"+folder)
	}
	want(devstackProgram, "tools/devstack")
	if !s.opts.PartsOnly {
		for _, service := range Services {
			want(service.Name, filepath.Join("services", service.Name, "cmd", service.Name))
		}
	}
	if len(packages) == 0 {
		return nil
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-buildvcs=false", "-trimpath", "-o", bin + string(filepath.Separator)}, packages...)...)
	cmd.Env = append(os.Environ(), "GOWORK=") // the programs of all modules are built together
	cmd.Dir = s.opts.Checkout
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// servicePart is one service.
func (s *Stack) servicePart(service Service) (*Part, error) {
	if _, err := s.issuer.WriteServiceToken(service.Name); err != nil {
		return nil, err
	}
	part := s.newPart(service.Name)
	part.command = func(_ context.Context, log *os.File) (*exec.Cmd, error) {
		cmd := exec.Command(s.programs[service.Name])
		cmd.Env = s.Environment(service)
		cmd.Stdout, cmd.Stderr = log, log
		return cmd, nil
	}
	part.ready = func(ctx context.Context) error { return untilServing(ctx, s.GRPC[service.Name]) }
	return part, nil
}

// Environment is what a service of this stack is configured by.
func (s *Stack) Environment(service Service) []string {
	through, database := func(_, addr string) string { return addr }, s.Databases[service.Name]
	if s.opts.Through != nil {
		through = func(to, addr string) string { return s.opts.Through(service.Name, to, addr) }
		if s.cluster != nil {
			database = s.cluster.URLAt(through("postgres", loopback(s.opts.Ports.Postgres)), service.Database)
		}
	}
	env := append(os.Environ(),
		"DATABASE_URL="+database,
		"NATS_URL="+natsURL(s.opts, through),
		"NATS_USER="+service.Name,
		"NATS_PASSWORD="+s.password(service.Name),
		"GRPC_ADDR="+s.GRPC[service.Name],
		"TOKEN_ISSUER="+s.TokenIssuer,
		"TOKEN_KEYS_FILE="+s.issuer.KeysFile(),
		"TOKEN_FILE="+filepath.Join(s.IssuerDir, service.Name+".token"),
		"OTEL_EXPORTER_OTLP_ENDPOINT="+s.OTLP,
	)
	for _, peer := range Services {
		env = append(env, peer.AddrVariable+"="+through(peer.Name, s.GRPC[peer.Name]))
	}
	if service.Name == "discharge-hub" {
		env = append(env, "MLLP_ADDR="+s.MLLP, "FHIR_ADDR="+loopback(s.opts.Ports.FHIR), "FHIR_PUBLIC_URL="+s.FHIR,
			"CLIENTS_DIR="+ClientsDir(s.opts.Dir), "TOKEN_SIGNING_KEY_FILE="+s.issuer.SigningKeyFile())
	}
	if s.opts.Env != nil {
		env = append(env, s.opts.Env(service.Name)...)
	}
	return env
}

// migrate brings a service's database to the newest schema.
func (s *Stack) migrate(ctx context.Context, service Service, logFile string) error {
	log, err := openLog(logFile)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, s.programs[service.Name], "migrate")
	cmd.Env = s.Environment(service)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("migrate the database of %s: %w\n%s", service.Name, err, tail(logFile))
	}
	return nil
}

// untilServing waits until the gRPC health service at addr says SERVING, which services say when their own
// dependencies answer, or until ctx ends.
func untilServing(ctx context.Context, addr string) error {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 250 * time.Millisecond}}))
	if err != nil {
		return err
	}
	defer conn.Close()
	client := healthpb.NewHealthClient(conn)
	for {
		answer, err := client.Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
		if err == nil && answer.Status == healthpb.HealthCheckResponse_SERVING {
			return nil
		}
		if err == nil {
			err = errors.New("its health is " + answer.Status.String())
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(25 * time.Millisecond):
		}
	}
}
