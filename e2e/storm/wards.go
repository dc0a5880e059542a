package storm

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/rpc"
)

// clients are the services as hub staff and as a provider see them.
type clients struct {
	hub         dischargev1.DischargeHubServiceClient
	assessments assessmentv1.LightTouchAssessmentServiceClient
	reablement  reablementv1.ReablementCapacityServiceClient
	provider    reablementv1.ReablementCapacityServiceClient
}

func (t *traffic) connect() error {
	var failed error
	dial := func(service string, who authn.Principal) *grpc.ClientConn {
		token := func() (string, error) { return t.stack.Issuer().Mint(who, time.Hour) }
		conn, err := rpc.Dial(t.stack.GRPC[service], token, noop.NewTracerProvider())
		if err != nil {
			failed = errors.Join(failed, err)
			return nil
		}
		t.conns = append(t.conns, conn)
		return conn
	}
	staff := authn.Principal{Subject: "test:hub-staff", Roles: []authn.Role{authn.HubStaff}}
	t.clients = clients{
		hub:         dischargev1.NewDischargeHubServiceClient(dial("discharge-hub", staff)),
		assessments: assessmentv1.NewLightTouchAssessmentServiceClient(dial("light-touch-assessment", staff)),
		reablement:  reablementv1.NewReablementCapacityServiceClient(dial("reablement-capacity", staff)),
		provider: reablementv1.NewReablementCapacityServiceClient(dial("reablement-capacity",
			authn.Principal{Subject: "test:provider", Roles: []authn.Role{authn.Provider}, Provider: "STORM-CARE"})),
	}
	return failed
}

// offer is capacity of a provider, and the spells to whom it was promised.
type offer struct {
	id       uuid.UUID
	promised []string
	refusals int
}

const (
	slots = 2
	area  = "CLS-GRAYS"
)

// care asks for an assessment and for reablement, and reaches for a slot that others reach for too. Each step is repeated until it has an
// answer; what was answered with yes is remembered. A no is an answer, too: somebody who died needs no reablement any more.
func (t *traffic) care(ctx context.Context, v *visit) error {
	var err error
	if v.assessment, err = answered(ctx, func() error {
		_, err := t.clients.assessments.RequestAssessment(ctx, &assessmentv1.RequestAssessmentRequest{SpellId: v.SpellID})
		return err
	}); err != nil {
		return err
	}
	if v.reablement, err = answered(ctx, func() error {
		_, err := t.clients.reablement.RequestReablement(ctx, &reablementv1.RequestReablementRequest{SpellId: v.SpellID, Area: area, VisitsPerDay: 1, WantedFrom: "2026-03-02"})
		return err
	}); err != nil || !v.reablement {
		return err
	}
	o, err := t.offer(ctx)
	if err != nil {
		return err
	}
	held, err := answered(ctx, func() error {
		_, err := t.clients.reablement.HoldCapacity(ctx, &reablementv1.HoldCapacityRequest{CapacityId: o.id.String(), SpellId: v.SpellID})
		return err
	})
	if err != nil {
		return err
	}
	t.offering.Lock()
	if held {
		o.promised = append(o.promised, v.SpellID)
	} else {
		o.refusals++
	}
	t.offering.Unlock()
	if held {
		_, err = answered(ctx, func() error {
			_, err := t.clients.provider.AcceptHold(ctx, &reablementv1.AcceptHoldRequest{SpellId: v.SpellID, StartsOn: time.Now().Format(time.DateOnly)})
			return err
		})
	}
	return err
}

// answered repeats a call until it is answered with yes or no.
func answered(ctx context.Context, call func() error) (yes bool, err error) {
	err = until(ctx, func() error {
		err := call()
		yes = err == nil
		if status.Code(err) == codes.FailedPrecondition {
			return nil
		}
		return err
	})
	return yes, err
}

// offer is the capacity that everybody reaches for: a new one after some were sent away.
func (t *traffic) offer(ctx context.Context) (*offer, error) {
	t.offering.Lock() // the others wait for a new one
	defer t.offering.Unlock()
	if n := len(t.offers); n > 0 && t.offers[n-1].refusals < 2 {
		return t.offers[n-1], nil
	}
	o := &offer{id: uuid.New()}
	err := until(ctx, func() error {
		_, err := t.clients.provider.PublishCapacity(ctx, &reablementv1.PublishCapacityRequest{
			CapacityId: o.id.String(), Area: area, Slots: slots, VisitsPerDay: 4, AvailableFrom: time.Now().Format(time.DateOnly),
			ValidUntil: timestamppb.New(time.Now().Add(24 * time.Hour)),
		})
		return err
	})
	if err == nil {
		t.offers = append(t.offers, o)
	}
	return o, err
}

// promises are the spells to whom slots were promised, by offer.
func (t *traffic) promises() map[uuid.UUID][]string {
	t.offering.Lock()
	defer t.offering.Unlock()
	all := map[uuid.UUID][]string{}
	for _, o := range t.offers {
		all[o.id] = slices.Clone(o.promised)
	}
	return all
}

// until repeats a call until it has an answer. The error is the last one when ctx ended first.
func until(ctx context.Context, call func() error) error {
	for {
		err := call()
		if err == nil || ctx.Err() != nil {
			return err
		}
		sleep(ctx, 50*time.Millisecond)
	}
}
