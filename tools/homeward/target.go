package main

import (
	"errors"
	"maps"
	"os"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/devinfra"
	"github.com/homeward-care/homeward/services/kit/rpc"
	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// target is the Homeward that is talked to.
type target struct {
	mllp   string
	jaeger string // base URL of the query API
	pages  bool   // this Jaeger has pages to look at
	conns  map[string]*grpc.ClientConn
}

var peers = map[string]string{
	"discharge-hub": "DISCHARGE_HUB_ADDR", "community-pickup": "COMMUNITY_PICKUP_ADDR",
	"light-touch-assessment": "LIGHT_TOUCH_ASSESSMENT_ADDR", "reablement-capacity": "REABLEMENT_CAPACITY_ADDR",
}

// The services that a command talks to.
const (
	hubName    = "discharge-hub"
	pickupName = "community-pickup"
)

func (t *target) hub() dischargev1.DischargeHubServiceClient {
	return dischargev1.NewDischargeHubServiceClient(t.conns[hubName])
}

// everything names all the services.
func everything() []string { return slices.Sorted(maps.Keys(peers)) }

// withTarget finds the Homeward that is meant: the one that the environment names, else the one that runs in this checkout. Only the services
// that the command needs must be known.
func withTarget(needs []string, use func(t *target) error) error {
	var a stack.Addresses
	token := func() (string, error) { return os.Getenv("HOMEWARD_TOKEN"), nil }
	if os.Getenv("HOMEWARD_TOKEN") == "" {
		dir, err := devinfra.StateDir()
		if err != nil {
			return err
		}
		if a, err = stack.ReadAddresses(dir); err != nil {
			return err
		}
		issuer, err := devinfra.OpenIssuer(a.IssuerDir)
		if err != nil {
			return err
		}
		token = func() (string, error) {
			return issuer.Mint(authn.Principal{Subject: "development:homeward-cli", Roles: []authn.Role{authn.HubStaff, authn.Ops}}, time.Hour)
		}
	}
	t := &target{mllp: or("MLLP_ADDR", a.MLLP), jaeger: or("JAEGER_QUERY_URL", a.Jaeger), pages: a.JaegerPages || os.Getenv("JAEGER_QUERY_URL") != "", conns: map[string]*grpc.ClientConn{}}
	for name, variable := range peers {
		addr := or(variable, a.GRPC[name])
		if addr == "" && !slices.Contains(needs, name) {
			continue
		}
		if addr == "" {
			return errors.New("set " + variable + " to the gRPC address of " + name)
		}
		conn, err := rpc.Dial(addr, token, noop.NewTracerProvider())
		if err != nil {
			return err
		}
		defer conn.Close()
		t.conns[name] = conn
	}
	return use(t)
}

func or(variable, otherwise string) string {
	if v := os.Getenv(variable); v != "" {
		return v
	}
	return otherwise
}
