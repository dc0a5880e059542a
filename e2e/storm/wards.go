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

	"github.com/homeward-care/homeward/e2e/hospital"
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

// ward sends a visit, asks for an assessment and for reablement, and reaches for a slot that others reach for too, one person after another.
// Each step is repeated until it has an answer.
func (t *traffic) ward(ctx context.Context) {
	s := &hospital.Sender{Addr: t.door}
	defer t.hangUp(s)
	for ctx.Err() == nil {
		v := t.next()
		if !t.send(ctx, s, v) {
			return
		}
		t.care(ctx, v)
		sleep(ctx, pause)
	}
}

func (t *traffic) care(ctx context.Context, v *visit) {
	var spell string
	if !until(ctx, func() error {
		h, err := t.clients.hub.GetHandover(ctx, &dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_ControlId{ControlId: v.number + "A"}})
		spell = h.GetSpellId()
		return err
	}) || !until(ctx, func() error {
		_, err := t.clients.assessments.RequestAssessment(ctx, &assessmentv1.RequestAssessmentRequest{SpellId: spell})
		return err
	}) {
		return
	}
	t.mark(&v.assessment)
	if !until(ctx, func() error {
		_, err := t.clients.reablement.RequestReablement(ctx, &reablementv1.RequestReablementRequest{SpellId: spell, Area: area, VisitsPerDay: 1, WantedFrom: "2026-03-02"})
		return err
	}) {
		return
	}
	t.mark(&v.reablement)
	o := t.offer(ctx)
	if o == nil {
		return
	}
	held := false
	if !until(ctx, func() error {
		_, err := t.clients.reablement.HoldCapacity(ctx, &reablementv1.HoldCapacityRequest{CapacityId: o.id.String(), SpellId: spell})
		held = err == nil
		if status.Code(err) == codes.FailedPrecondition {
			return nil // no slot is free
		}
		return err
	}) {
		return
	}
	t.offering.Lock()
	if held {
		o.promised = append(o.promised, spell)
	} else {
		o.refusals++
	}
	t.offering.Unlock()
	if held {
		until(ctx, func() error {
			_, err := t.clients.provider.AcceptHold(ctx, &reablementv1.AcceptHoldRequest{SpellId: spell, StartsOn: time.Now().Format(time.DateOnly)})
			return err
		})
	}
}

func (t *traffic) mark(done *bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*done = true
}

// offer is the capacity that everybody reaches for: a new one after some were sent away. nil if there will be none.
func (t *traffic) offer(ctx context.Context) *offer {
	t.offering.Lock() // the others wait for a new one; the hospitals do not
	defer t.offering.Unlock()
	if n := len(t.offers); n > 0 && t.offers[n-1].refusals < 2 {
		return t.offers[n-1]
	}
	o := &offer{id: uuid.New()}
	if !until(ctx, func() error {
		_, err := t.clients.provider.PublishCapacity(ctx, &reablementv1.PublishCapacityRequest{
			CapacityId: o.id.String(), Area: area, Slots: slots, VisitsPerDay: 4, AvailableFrom: time.Now().Format(time.DateOnly),
			ValidUntil: timestamppb.New(time.Now().Add(24 * time.Hour)),
		})
		return err
	}) {
		return nil
	}
	t.offers = append(t.offers, o)
	return o
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

// until repeats a call until it has an answer, and reports false when ctx ended first.
func until(ctx context.Context, call func() error) bool {
	for ctx.Err() == nil {
		if call() == nil {
			return true
		}
		sleep(ctx, 50*time.Millisecond)
	}
	return false
}
