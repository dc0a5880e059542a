// Package authn says who is asking and whether they may: it verifies bearer tokens, puts a principal into every context, and checks each
// call against a table in which nothing is allowed by default.
package authn

import (
	"context"
	"slices"

	"github.com/homeward-care/homeward/services/kit/fault"
)

// Role is what somebody may do by their job.
type Role string

// The roles, as they stand in the token's claim `roles`.
const (
	HubStaff    Role = "hub-staff"
	CLSWorker   Role = "cls-worker"
	CLSManager  Role = "cls-manager"
	Provider    Role = "provider"
	Ops         Role = "ops"
	Integration Role = "integration" // a hospital's integration engine
	Service     Role = "service"     // one of Homeward's own
)

// Principal is who is asking.
type Principal struct {
	// Subject identifies a person or service to the issuer; it is what the audit names.
	Subject string
	Roles   []Role
	// Teams are the keys of the CLS teams whose tasks the person works.
	Teams []string
	// Provider is the key of the reablement provider for whom the person works.
	Provider string
	// Feeds are the keys of the feeds for which an integration engine may send.
	Feeds []string
}

// Has reports whether the principal has one of the roles.
func (p Principal) Has(roles ...Role) bool {
	return slices.ContainsFunc(p.Roles, func(r Role) bool { return slices.Contains(roles, r) })
}

// SeesTeam reports whether the principal may see and work the records of a team. Hub staff and services see every team's; ops see that they
// exist, not whose they are.
func (p Principal) SeesTeam(team string) bool {
	return p.Has(HubStaff, Service, Ops) || p.Has(CLSWorker, CLSManager) && slices.Contains(p.Teams, team)
}

type key struct{}

// With returns a context that carries the principal.
func With(ctx context.Context, p Principal) context.Context { return context.WithValue(ctx, key{}, p) }

// From returns the principal of a context; without one the call is a programming error that must not pass.
func From(ctx context.Context) (Principal, error) {
	p, ok := ctx.Value(key{}).(Principal)
	if !ok {
		return Principal{}, fault.New(fault.Unauthenticated, "nobody is signed in")
	}
	return p, nil
}
