package matrix

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"

	"github.com/homeward-care/homeward/e2e/hospital"
	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/devinfra"
	"github.com/homeward-care/homeward/services/kit/rpc"
	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// limit ends a wait for something that other processes do. The promise allows a minute; a lost batch may need half of that to come again.
const limit = 90 * time.Second

// world is a running stack whose services are built to fail on command.
type world struct {
	*stack.Stack
	dir    string
	bin    map[string]string // the programs
	conns  []*grpc.ClientConn
	hub    dischargev1.DischargeHubServiceClient
	tasks  pickupv1.CommunityPickupServiceClient
	assess assessmentv1.LightTouchAssessmentServiceClient
	needs  reablementv1.ReablementCapacityServiceClient // as hub staff
	offers reablementv1.ReablementCapacityServiceClient // as a provider
	db     map[string]*pgxpool.Pool
	told   *hospital.Webhook
	ward   *hospital.Ward
	signIn func(context.Context) (token string, err error) // at the FHIR door
	armed  int                                             // how often faults were armed
	poison map[string]bool                                 // ids of events that nobody can apply
}

// startWorld starts a stack of ready-made programs in a new folder.
func startWorld(ctx context.Context, dir string, binaries map[string]string) (*world, error) {
	dir, err := os.MkdirTemp(dir, "stack-")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, bin: binaries, db: map[string]*pgxpool.Pool{}, poison: map[string]bool{}}
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL may run as another user
		return nil, err
	}
	toldBack, err := w.receive()
	if err != nil {
		return nil, err
	}
	w.Stack, err = stack.Start(ctx, stack.Options{
		Dir: dir, Binaries: maps.Clone(binaries), Say: func(string) {},
		Env: func(service string) []string { return append(toldBack, "HOMEWARD_FAILPOINTS="+w.faultsFile(service)) },
	})
	if err != nil {
		return nil, err
	}
	for _, service := range stack.Services {
		if w.db[service.Name], err = pgxpool.New(ctx, w.Databases[service.Name]); err != nil {
			return nil, err
		}
	}
	if _, err := w.db[hub].Exec(ctx, refuse); err != nil {
		return nil, err
	}
	staff := authn.Principal{Subject: "test:hub-staff", Roles: []authn.Role{authn.HubStaff}}
	provider := authn.Principal{Subject: "test:provider", Roles: []authn.Role{authn.Provider}, Provider: "HELPING-HANDS"}
	w.hub = dischargev1.NewDischargeHubServiceClient(w.dial(hub, staff))
	w.tasks = pickupv1.NewCommunityPickupServiceClient(w.dial(community, staff))
	w.assess = assessmentv1.NewLightTouchAssessmentServiceClient(w.dial(assessment, staff))
	w.needs = reablementv1.NewReablementCapacityServiceClient(w.dial(reablement, staff))
	w.offers = reablementv1.NewReablementCapacityServiceClient(w.dial(reablement, provider))
	return w, nil
}

// refuse makes the hub's database refuse one type of message as it would data that it cannot hold: the hub lets none such through.
const refuse = `
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''refused'' USING ERRCODE = ''data_exception''; END';
	CREATE TRIGGER refuse BEFORE INSERT ON not_handled FOR EACH ROW WHEN (new.message = '` + refusedType + `') EXECUTE FUNCTION refuse()`

func (w *world) dial(service string, who authn.Principal) *grpc.ClientConn {
	conn, err := rpc.Dial(w.GRPC[service], func() (string, error) { return w.Issuer().Mint(who, time.Hour) }, noop.NewTracerProvider())
	if err != nil {
		panic(err) // an address that the stack itself made
	}
	w.conns = append(w.conns, conn)
	return conn
}

func (w *world) close() error {
	for _, conn := range w.conns {
		_ = conn.Close()
	}
	for _, db := range w.db {
		db.Close()
	}
	w.told.Close()
	w.ward.Close()
	return w.Stop()
}

// build builds the services so that they can fail on command, and what a stack needs beside them.
func build(ctx context.Context, dir string) (map[string]string, error) {
	checkout, err := devinfra.Checkout()
	if err != nil {
		return nil, err
	}
	programs := map[string]string{"devstack": filepath.Join(dir, "devstack")}
	args := []string{"build", "-tags", "failpoints", "-o", dir + string(filepath.Separator), "./tools/devstack"}
	for _, service := range everywhere {
		programs[service] = filepath.Join(dir, service)
		args = append(args, "./services/"+service+"/cmd/"+service)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = checkout
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return programs, nil
}

func (w *world) faultsFile(service string) string { return filepath.Join(w.dir, service+".faults") }

// arm tells the running services how to fail. It returns what asks whether the first of the faults have.
func (w *world) arm(faults []fault, first int) (fired func() error, err error) {
	w.armed++
	lines, files, starts := make([]string, len(faults)), map[string]string{}, map[string]int{}
	for i, f := range faults {
		lines[i] = fmt.Sprintf("%s %s 1 %d/%d", f.point, f.mode, w.armed, i)
		files[f.service] += lines[i] + "\n"
		starts[f.service] = w.Part(f.service).Starts()
	}
	for service, text := range files {
		fresh := w.faultsFile(service) + ".fresh"
		if err := os.WriteFile(fresh, []byte(text), 0o644); err != nil {
			return nil, err
		}
		if err := os.Rename(fresh, w.faultsFile(service)); err != nil {
			return nil, err
		}
	}
	return func() error {
		for i, f := range faults[:first] {
			log, err := os.ReadFile(w.faultsFile(f.service) + ".fired")
			if err != nil && !os.IsNotExist(err) {
				return err
			}
			if !slices.Contains(strings.Split(string(log), "\n"), lines[i]) {
				return fmt.Errorf("%s has not passed %s", f.service, f.point)
			}
			if strings.HasPrefix(f.mode, "crash") && w.Part(f.service).Starts() == starts[f.service] {
				return fmt.Errorf("%s has not died at %s", f.service, f.point)
			}
		}
		return nil
	}, nil
}

// disarm takes away what has not fired.
func (w *world) disarm() error {
	for _, service := range stack.Services {
		if err := os.Remove(w.faultsFile(service.Name)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

// again does something until it succeeds, as whoever gets no answer does. It returns what was wrong before the time was up.
func again(ctx context.Context, what string, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var wrong error
	for {
		err := f()
		if err == nil {
			return nil
		}
		if wrong == nil || ctx.Err() == nil {
			wrong = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, wrong)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// password is a service's at NATS.
func (w *world) password(service string) (password string) {
	for _, s := range stack.Services {
		for _, v := range w.Environment(s) {
			if found, ok := strings.CutPrefix(v, "NATS_PASSWORD="); ok && s.Name == service {
				password = found
			}
		}
	}
	return password
}

// count asks a service's database for one number.
func (w *world) count(ctx context.Context, service, sql string, args ...any) (n int, err error) {
	err = w.db[service].QueryRow(ctx, sql, args...).Scan(&n)
	return n, err
}

// aggregates are ids with the versions that a table holds.
func (w *world) aggregates(ctx context.Context, service, table, eventType string) (map[uuid.UUID]string, error) {
	rows, err := w.db[service].Query(ctx, `SELECT id, epoch || '.' || version FROM `+table+` WHERE type = $1`, eventType)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[uuid.UUID]string{}
	for rows.Next() {
		var id uuid.UUID
		var version string
		if err := rows.Scan(&id, &version); err != nil {
			return nil, err
		}
		all[id] = version
	}
	return all, rows.Err()
}
