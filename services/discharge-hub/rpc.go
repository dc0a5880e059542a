package dischargehub

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/kit/audit"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/run"
)

// server is the hub's gRPC door and what it answers.
type server struct {
	dischargev1.UnimplementedDischargeHubServiceServer
	store   *store
	feeds   func() map[string]discharge.Feed
	receive func(ctx context.Context, m inbound) error
	now     func() time.Time

	interpreter *interpreter // reads messages again
	pending     run.Wake     // raised when there is something to interpret
	pickup      pickupv1.CommunityPickupServiceClient
}

// RecordEvent stores the request as a message from MLLP is stored, and answers with the spell that it is about.
func (s *server) RecordEvent(ctx context.Context, req *dischargev1.RecordEventRequest) (*dischargev1.RecordEventResponse, error) {
	feed, ok := s.feeds()[req.GetFeed()]
	if !ok || feed.Door != discharge.DoorGRPC {
		return nil, fault.Field("feed", "is not a configured feed of the gRPC door; see the feeds folder for the keys")
	}
	who, err := authn.From(ctx)
	if err != nil {
		return nil, err
	}
	if !who.Has(authn.HubStaff) && !slices.Contains(who.Feeds, feed.Key) {
		return nil, fault.New(fault.Forbidden, "feed: %s is not one for which you may send", feed.Key)
	}
	if err := checkRecordEvent(req); err != nil {
		return nil, err
	}
	if req.GetRecordedAt().AsTime().After(s.now().Add(24 * time.Hour)) {
		return nil, fault.Field("recorded_at", "is more than a day ahead; look at the sending system's clock")
	}
	if err := checkWhenLeft(feed, req); err != nil {
		return nil, err
	}
	spell, kind := spellOf(feed, req), kinds[req.GetKind()]
	if kind == discharge.KindRevokeMerge {
		if !who.Has(authn.HubStaff) {
			return nil, fault.New(fault.Forbidden, "kind: only staff of the hub take a merge back, for nobody else sees whose spells it parts")
		}
		if err := s.store.checkRevocation(ctx, feed.Provider, strings.TrimSpace(req.GetPatientNumber()), strings.TrimSpace(req.GetPriorPatientNumber())); err != nil {
			return nil, err
		}
	}
	if spell == "" && !kind.OfPerson() {
		return nil, fault.Field("visit_number", "is missing; give it, or patient_number and admitted_at")
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return nil, err
	}
	err = s.receive(ctx, inbound{Feed: feed.Key, Format: formatRecordEvent, ControlID: req.GetMessageId(), Body: body, Accepted: true,
		Span: trace.SpanFromContext(ctx)})
	if err != nil {
		return nil, err
	}
	if spell == "" {
		return &dischargev1.RecordEventResponse{}, nil
	}
	return &dischargev1.RecordEventResponse{SpellId: spell, Reference: discharge.Reference(spell)}, nil
}

// GetHandover tells how far a handover is.
func (s *server) GetHandover(ctx context.Context, req *dischargev1.GetHandoverRequest) (*dischargev1.GetHandoverResponse, error) {
	spell, err := s.find(ctx, req)
	if err != nil {
		return nil, err
	}
	resp, err := s.store.handover(ctx, spell)
	if err == nil && !s.seesProvider(ctx, resp.GetSpell().GetProvider()) {
		return nil, notFound("spell")
	}
	return resp, err
}

// seesProvider tells whether the caller may see a provider's handovers. An integration engine sees those of the organisations for which it
// sends.
func (s *server) seesProvider(ctx context.Context, provider string) bool {
	who, err := authn.From(ctx)
	if err != nil {
		return false
	}
	feeds := s.feeds()
	return who.Has(authn.HubStaff, authn.Ops, authn.CLSWorker, authn.CLSManager, authn.Service) ||
		slices.ContainsFunc(who.Feeds, func(key string) bool { return feeds[key].Provider == provider })
}

func (s *server) find(ctx context.Context, req *dischargev1.GetHandoverRequest) (uuid.UUID, error) {
	switch key := req.GetKey().(type) {
	case *dischargev1.GetHandoverRequest_SpellId:
		id, err := uuid.Parse(key.SpellId)
		if err != nil {
			return uuid.Nil, fault.Field("spell_id", "is not a UUID")
		}
		return id, nil
	case *dischargev1.GetHandoverRequest_Reference:
		reference := discharge.NormalReference(key.Reference)
		if reference == "" {
			return uuid.Nil, fault.Field("reference", "is not a reference; it looks like HW-7K3M-9QPD")
		}
		return s.store.spellByReference(ctx, reference)
	case *dischargev1.GetHandoverRequest_ControlId:
		return s.store.spellByControlID(ctx, key.ControlId)
	case *dischargev1.GetHandoverRequest_TraceId:
		return s.store.spellByTrace(ctx, key.TraceId)
	case *dischargev1.GetHandoverRequest_EventId:
		id, err := uuid.Parse(key.EventId)
		if err != nil {
			return uuid.Nil, fault.Field("event_id", "is not a UUID")
		}
		return s.store.spellByEvent(ctx, id)
	default:
		return uuid.Nil, fault.Field("key", "is missing; give one of spell_id, reference, control_id, trace_id, event_id")
	}
}

const maxPeople = 200

// GetPeople returns who the people of the spells are. The reading is audited in the same transaction, a row for each person.
func (s *server) GetPeople(ctx context.Context, req *dischargev1.GetPeopleRequest) (*dischargev1.GetPeopleResponse, error) {
	who, err := authn.From(ctx)
	if err != nil {
		return nil, err
	}
	if len(req.GetSpellIds()) > maxPeople {
		return nil, fault.Field("spell_ids", "holds %d; ask for at most %d at once", len(req.GetSpellIds()), maxPeople)
	}
	ids := make([]uuid.UUID, len(req.GetSpellIds()))
	for i, text := range req.GetSpellIds() {
		if ids[i], err = uuid.Parse(text); err != nil {
			return nil, fault.Field("spell_ids", "entry %d is not a UUID", i)
		}
	}
	resp := &dischargev1.GetPeopleResponse{People: map[string]*dischargev1.Person{}}
	err = s.store.db.InTx(ctx, "read-people", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT spell_id, person FROM person WHERE spell_id = ANY($1)`, ids)
		if err != nil {
			return fmt.Errorf("read people: %w", err)
		}
		var entries []audit.Entry
		var id uuid.UUID
		var text []byte
		if _, err := pgx.ForEachRow(rows, []any{&id, &text}, func() error {
			var p discharge.Person
			if err := json.Unmarshal(text, &p); err != nil {
				return err
			}
			resp.People[id.String()] = personToProto(p)
			entries = append(entries, audit.Entry{At: s.now(), Actor: who.Subject, Action: "person.read", Record: id, Trace: trace.SpanContextFromContext(ctx)})
			return nil
		}); err != nil {
			return fmt.Errorf("read people: %w", err)
		}
		return audit.Append(ctx, tx, entries...)
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}
