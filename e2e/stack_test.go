// Package e2e proves the promises of the platform on the real thing: the services, PostgreSQL, NATS and Jaeger as processes, asked through
// their front doors alone. One stack serves all tests that break nothing; a test that kills processes has one of its own.
package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/rpc"
	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// limit ends a wait for something that other processes do. It is what the promise allows: a minute.
const limit = time.Minute

// shared is the stack of all tests that break nothing.
var shared *platform

// binaries are the programs that the shared stack built, for the other stacks.
var binaries = map[string]string{}

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// runAll runs the tests and then looks through everything that they left for people's identifiers.
func runAll(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "homeward-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL may run as another user
		return 1, err
	}
	feedsDir := filepath.Join(dir, "feeds")
	if err := writeFeeds(feedsDir); err != nil {
		return 1, err
	}
	// Every handover is traced, so that the search of the traces misses none.
	env := func(string) []string { return []string{"TRACES_PER_SECOND=0", "FEEDS_DIR=" + feedsDir} }
	s, err := stack.Start(context.Background(), stack.Options{Dir: dir, Jaeger: stack.JaegerFirst, Env: env, Say: say})
	if err != nil {
		return 1, err
	}
	defer s.Stop()
	binaries["devstack"] = filepath.Join(dir, "bin", "devstack")
	for _, service := range stack.Services {
		binaries[service.Name] = filepath.Join(dir, "bin", service.Name)
	}
	if shared, err = open(s); err != nil {
		return 1, err
	}
	defer shared.close()
	code := m.Run()
	if len(identifiers.kinds) == 0 {
		return code, nil // the tests that ran sent nobody's message
	}
	return code, shared.findNoIdentifiers(identifiers)
}

func say(line string) { fmt.Fprintln(os.Stderr, "stack:", line) }

// platform is a running stack as those who use it see it.
type platform struct {
	*stack.Stack
	conns []*grpc.ClientConn
	hub   dischargev1.DischargeHubServiceClient
	tasks pickupv1.CommunityPickupServiceClient
	// As hub staff.
	assessments assessmentv1.LightTouchAssessmentServiceClient
	reablement  reablementv1.ReablementCapacityServiceClient
}

// open connects to a stack as hub staff.
func open(s *stack.Stack) (*platform, error) {
	p := &platform{Stack: s}
	staff := authn.Principal{Subject: "test:hub-staff", Roles: []authn.Role{authn.HubStaff}}
	conns := map[string]*grpc.ClientConn{}
	for _, service := range stack.Services {
		conn, err := p.dial(service.Name, staff)
		if err != nil {
			return nil, err
		}
		conns[service.Name] = conn
	}
	p.hub = dischargev1.NewDischargeHubServiceClient(conns["discharge-hub"])
	p.tasks = pickupv1.NewCommunityPickupServiceClient(conns["community-pickup"])
	p.assessments = assessmentv1.NewLightTouchAssessmentServiceClient(conns["light-touch-assessment"])
	p.reablement = reablementv1.NewReablementCapacityServiceClient(conns["reablement-capacity"])
	return p, nil
}

// dial connects to a service as somebody.
func (p *platform) dial(service string, who authn.Principal) (*grpc.ClientConn, error) {
	token := func() (string, error) { return p.Issuer().Mint(who, time.Hour) }
	conn, err := rpc.Dial(p.GRPC[service], token, noop.NewTracerProvider())
	if err == nil {
		p.conns = append(p.conns, conn)
	}
	return conn, err
}

// as is a client of community-pickup for somebody with a role in a team.
func (p *platform) as(t *testing.T, role authn.Role, team string) pickupv1.CommunityPickupServiceClient {
	t.Helper()
	conn, err := p.dial("community-pickup", authn.Principal{Subject: "test:" + string(role) + "-" + team, Roles: []authn.Role{role}, Teams: []string{team}})
	if err != nil {
		t.Fatal(err)
	}
	return pickupv1.NewCommunityPickupServiceClient(conn)
}

func (p *platform) close() {
	for _, conn := range p.conns {
		_ = conn.Close()
	}
}

// startAnother starts a stack of the test's own, without Jaeger.
func startAnother(t *testing.T) *platform {
	t.Helper()
	s, err := stack.Start(t.Context(), stack.Options{Binaries: maps.Clone(binaries), Say: say})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	p, err := open(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

// eventually waits for what processes do on their own. Only the promise's limit bounds it: no test asserts how long anything takes.
func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	if err := within(t.Context(), limit, holds); err != nil {
		t.Fatalf("within %s, not: %s: %v", limit, what, err)
	}
}

func within(ctx context.Context, limit time.Duration, holds func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := holds()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// query reads rows of a service's database.
func query[T any](ctx context.Context, p *platform, service string, row pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	db, err := pgx.Connect(ctx, p.Databases[service])
	if err != nil {
		return nil, err
	}
	defer db.Close(context.WithoutCancel(ctx))
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, row)
}
