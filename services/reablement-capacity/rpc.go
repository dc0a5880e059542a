package reablementcapacity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/run"
	"github.com/homeward-care/homeward/services/reablement-capacity/reablement"
)

type server struct {
	reablementv1.UnimplementedReablementCapacityServiceServer
	store   *store
	holdFor time.Duration
	now     func() time.Time // in the time zone of the place
	saved   run.Wake
}

func (s *server) PublishCapacity(ctx context.Context, req *reablementv1.PublishCapacityRequest) (*reablementv1.PublishCapacityResponse, error) {
	id, err := parseID("capacity_id", req.GetCapacityId())
	if err != nil {
		return nil, err
	}
	from, err := reablement.ParseDate("available_from", req.GetAvailableFrom())
	if err != nil {
		return nil, refusal(err)
	}
	cmd, provider, err := s.asProvider(ctx, "capacity.publish")
	if err != nil {
		return nil, err
	}
	c, err := s.store.publish(ctx, cmd, id, provider, reablement.Offer{
		Area: req.GetArea(), Slots: int(req.GetSlots()), VisitsPerDay: int(req.GetVisitsPerDay()), AvailableFrom: from,
		ValidUntil: req.GetValidUntil().AsTime().Truncate(time.Microsecond),
	})
	if err != nil {
		return nil, refusal(err)
	}
	return &reablementv1.PublishCapacityResponse{Capacity: capacityToProto(c)}, nil
}

func (s *server) FindCapacity(ctx context.Context, req *reablementv1.FindCapacityRequest) (*reablementv1.FindCapacityResponse, error) {
	from, err := reablement.ParseDate("from", req.GetFrom())
	if err != nil {
		return nil, refusal(err)
	}
	if !reablement.IsKey(req.GetArea()) {
		return nil, fault.Field("area", "is %q; give the key of an area, for instance CLS-GRAYS", req.GetArea())
	}
	found, err := s.store.find(ctx, req.GetArea(), from, int(req.GetVisitsPerDay()), s.now())
	if err != nil {
		return nil, err
	}
	resp := &reablementv1.FindCapacityResponse{}
	for _, c := range found {
		resp.Capacities = append(resp.Capacities, capacityToProto(c))
	}
	return resp, nil
}

func (s *server) RequestReablement(ctx context.Context, req *reablementv1.RequestReablementRequest) (*reablementv1.RequestReablementResponse, error) {
	spell, cmd, _, err := s.about(ctx, req.GetSpellId(), "need.request")
	if err != nil {
		return nil, err
	}
	from, err := reablement.ParseDate("wanted_from", req.GetWantedFrom())
	if err != nil {
		return nil, refusal(err)
	}
	wanted, err := reablement.NewNeed(spell, req.GetArea(), int(req.GetVisitsPerDay()), from, cmd.at)
	if err != nil {
		return nil, refusal(err)
	}
	n, err := s.answer(s.store.request(ctx, cmd, wanted))
	return &reablementv1.RequestReablementResponse{Need: n}, err
}

func (s *server) HoldCapacity(ctx context.Context, req *reablementv1.HoldCapacityRequest) (*reablementv1.HoldCapacityResponse, error) {
	spell, cmd, who, err := s.about(ctx, req.GetSpellId(), "need.hold")
	if err != nil {
		return nil, err
	}
	capacity, err := parseID("capacity_id", req.GetCapacityId())
	if err != nil {
		return nil, err
	}
	by := ""
	if !who.Has(authn.HubStaff) {
		if by, err = providerOf(who); err != nil {
			return nil, err
		}
	}
	n, err := s.answer(s.store.hold(ctx, cmd, spell, capacity, by, s.holdFor))
	return &reablementv1.HoldCapacityResponse{Need: n}, err
}

func (s *server) AcceptHold(ctx context.Context, req *reablementv1.AcceptHoldRequest) (*reablementv1.AcceptHoldResponse, error) {
	spell, cmd, who, err := s.about(ctx, req.GetSpellId(), "need.accept")
	if err != nil {
		return nil, err
	}
	starts, err := reablement.ParseDate("starts_on", req.GetStartsOn())
	if err != nil {
		return nil, refusal(err)
	}
	provider, err := providerOf(who)
	if err != nil {
		return nil, err
	}
	n, err := s.answer(s.store.decide(ctx, cmd, spell, func(n reablement.Need, c reablement.Capacity) (reablement.Need, error) {
		return reablement.Accept(n, c, provider, starts, cmd.at)
	}))
	return &reablementv1.AcceptHoldResponse{Need: n}, err
}

func (s *server) ReleaseHold(ctx context.Context, req *reablementv1.ReleaseHoldRequest) (*reablementv1.ReleaseHoldResponse, error) {
	spell, cmd, _, err := s.about(ctx, req.GetSpellId(), "need.release")
	if err != nil {
		return nil, err
	}
	n, err := s.answer(s.store.decide(ctx, cmd, spell, func(n reablement.Need, _ reablement.Capacity) (reablement.Need, error) {
		return reablement.Release(n)
	}))
	return &reablementv1.ReleaseHoldResponse{Need: n}, err
}

func (s *server) StartReablement(ctx context.Context, req *reablementv1.StartReablementRequest) (*reablementv1.StartReablementResponse, error) {
	spell, cmd, who, err := s.about(ctx, req.GetSpellId(), "need.start")
	if err != nil {
		return nil, err
	}
	started, err := reablement.ParseDate("started_on", req.GetStartedOn())
	if err != nil {
		return nil, refusal(err)
	}
	end, err := reablement.ParseDate("planned_end_on", req.GetPlannedEndOn())
	if err != nil {
		return nil, refusal(err)
	}
	provider, err := providerOf(who)
	if err != nil {
		return nil, err
	}
	n, err := s.answer(s.store.decide(ctx, cmd, spell, func(n reablement.Need, _ reablement.Capacity) (reablement.Need, error) {
		return reablement.Start(n, provider, started, end, reablement.DateOf(cmd.at))
	}))
	return &reablementv1.StartReablementResponse{Need: n}, err
}

// GetNeed shows a provider only people for whom it has a slot.
func (s *server) GetNeed(ctx context.Context, req *reablementv1.GetNeedRequest) (*reablementv1.GetNeedResponse, error) {
	spell, _, who, err := s.about(ctx, req.GetSpellId(), "")
	if err != nil {
		return nil, err
	}
	n, err := s.store.get(ctx, spell)
	if err != nil {
		return nil, err
	}
	if !who.Has(authn.HubStaff, authn.CLSWorker, authn.CLSManager, authn.Service) {
		provider, err := providerOf(who)
		if err != nil {
			return nil, err
		}
		if n.Provider != provider {
			return nil, errNoNeed
		}
	}
	return &reablementv1.GetNeedResponse{Need: needToProto(n)}, nil
}

// answer wakes the relay after a command and turns its result into what the caller sees.
func (s *server) answer(n reablement.Need, err error) (*reablementv1.Need, error) {
	if err != nil {
		return nil, refusal(err)
	}
	s.saved.Raise()
	return needToProto(n), nil
}

// about says who asks for what of a spell now. It tags the span of the call with the spell, so that a search for the spell finds the call.
func (s *server) about(ctx context.Context, spell, action string) (uuid.UUID, command, authn.Principal, error) {
	id, err := parseID("spell_id", spell)
	if err != nil {
		return id, command{}, authn.Principal{}, err
	}
	trace.SpanFromContext(ctx).SetAttributes(attribute.String("homeward.spell.id", id.String()))
	who, err := authn.From(ctx)
	return id, command{actor: who.Subject, action: action, at: s.now(), trace: trace.SpanContextFromContext(ctx)}, who, err
}

func (s *server) asProvider(ctx context.Context, action string) (command, string, error) {
	who, err := authn.From(ctx)
	if err != nil {
		return command{}, "", err
	}
	provider, err := providerOf(who)
	return command{actor: who.Subject, action: action, at: s.now(), trace: trace.SpanContextFromContext(ctx)}, provider, err
}

func providerOf(who authn.Principal) (string, error) {
	if who.Provider == "" {
		return "", fault.New(fault.Forbidden, "the token names no provider (claim provider); sign in as somebody who works for one")
	}
	return who.Provider, nil
}

func parseID(field, s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil || id == uuid.Nil {
		return id, fault.Field(field, "is %q, which is not the UUID of anything", s)
	}
	return id, nil
}

// refusal tells a refusal of the domain in the words of the kit; any other error passes.
func refusal(err error) error {
	var r *reablement.Error
	if !errors.As(err, &r) {
		return err
	}
	switch r.Kind {
	case reablement.NotFound:
		return fault.New(fault.NotFound, "%s", r)
	case reablement.Precondition:
		return fault.New(fault.Precondition, "%s", r)
	case reablement.Forbidden:
		return fault.New(fault.Forbidden, "%s", r)
	default:
		return fault.Field(r.Field, "%s", r.Reason)
	}
}

var statuses = map[reablement.Status]reablementv1.NeedStatus{
	reablement.Requested: reablementv1.NeedStatus_NEED_STATUS_REQUESTED,
	reablement.Held:      reablementv1.NeedStatus_NEED_STATUS_HELD,
	reablement.Accepted:  reablementv1.NeedStatus_NEED_STATUS_ACCEPTED,
	reablement.Started:   reablementv1.NeedStatus_NEED_STATUS_STARTED,
	reablement.Withdrawn: reablementv1.NeedStatus_NEED_STATUS_WITHDRAWN,
}

func needToProto(n reablement.Need) *reablementv1.Need {
	p := &reablementv1.Need{
		SpellId: n.SpellID.String(), Status: statuses[n.Status], Area: n.Area, VisitsPerDay: int32(n.VisitsPerDay),
		WantedFrom: string(n.WantedFrom), Provider: n.Provider, StartsOn: string(n.StartsOn), PlannedEndOn: string(n.PlannedEnd),
		RequestedAt: timestamppb.New(n.RequestedAt),
	}
	if n.CapacityID != uuid.Nil {
		p.CapacityId = n.CapacityID.String()
	}
	if !n.HeldUntil.IsZero() {
		p.HeldUntil = timestamppb.New(n.HeldUntil)
	}
	return p
}

func capacityToProto(c reablement.Capacity) *reablementv1.Capacity {
	return &reablementv1.Capacity{
		CapacityId: c.ID.String(), Provider: c.Provider, Area: c.Area, Slots: int32(c.Slots), Free: int32(c.Free()),
		VisitsPerDay: int32(c.VisitsPerDay), AvailableFrom: string(c.AvailableFrom), ValidUntil: timestamppb.New(c.ValidUntil),
	}
}

// explain tells the state of the need as a hop of its handover.
func (s *store) explain(ctx context.Context, spell uuid.UUID) ([]*opsv1.Hop, error) {
	n, err := s.get(ctx, spell)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	state := fmt.Sprintf("%s in %s, %d visits a day from %s", n.Status, n.Area, n.VisitsPerDay, n.WantedFrom)
	switch n.Status {
	case reablement.Held:
		state += fmt.Sprintf("; held with %s until %s", n.Provider, n.HeldUntil.Format(time.RFC3339))
	case reablement.Accepted:
		state += fmt.Sprintf("; %s starts on %s", n.Provider, n.StartsOn)
	case reablement.Started:
		state += fmt.Sprintf("; %s started on %s, planned to %s", n.Provider, n.StartsOn, n.PlannedEnd)
	}
	return []*opsv1.Hop{{At: timestamppb.New(n.RequestedAt), Service: name, Name: "reablement need", State: state}}, nil
}
