package lighttouch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/timestamppb"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/run"
	"github.com/homeward-care/homeward/services/light-touch-assessment/assessment"
)

type server struct {
	assessmentv1.UnimplementedLightTouchAssessmentServiceServer
	store   *store
	sets    map[string]assessment.QuestionSet
	current assessment.QuestionSet
	now     func() time.Time
	saved   run.Wake
}

func (s *server) RequestAssessment(ctx context.Context, req *assessmentv1.RequestAssessmentRequest) (*assessmentv1.RequestAssessmentResponse, error) {
	set := s.current
	if id := req.GetQuestionSet(); id != "" {
		var ok bool
		if set, ok = s.sets[id]; !ok {
			return nil, fault.Field("question_set", "there is no question set %q; there are %v", id, slices.Sorted(maps.Keys(s.sets)))
		}
	}
	spell, cmd, err := s.command(ctx, req.GetSpellId(), "assessment.request")
	if err != nil {
		return nil, err
	}
	a, err := s.store.request(ctx, cmd, spell, set)
	if err != nil {
		return nil, err
	}
	s.saved.Raise()
	return &assessmentv1.RequestAssessmentResponse{Assessment: toProto(a)}, nil
}

func (s *server) CompleteAssessment(ctx context.Context, req *assessmentv1.CompleteAssessmentRequest) (*assessmentv1.CompleteAssessmentResponse, error) {
	c := assessment.Completion{Answers: req.GetAnswers(), Decision: decisions[req.GetDecision()]}
	for _, n := range req.GetConditions() {
		c.Conditions = append(c.Conditions, assessment.NewCondition{Code: n.GetCode(), Owner: n.GetOwner(), Due: dues[n.GetDue()]})
	}
	a, err := s.decide(ctx, req.GetSpellId(), "assessment.complete", func(a assessment.Assessment, now time.Time) (assessment.Assessment, error) {
		set, ok := s.sets[a.QuestionSet]
		if !ok {
			return a, fmt.Errorf("assessment %s: this release has no question set %q", a.SpellID, a.QuestionSet)
		}
		return assessment.Completing(a, set, c, now)
	})
	return &assessmentv1.CompleteAssessmentResponse{Assessment: a}, err
}

func (s *server) DeclineAssessment(ctx context.Context, req *assessmentv1.DeclineAssessmentRequest) (*assessmentv1.DeclineAssessmentResponse, error) {
	a, err := s.decide(ctx, req.GetSpellId(), "assessment.decline", func(a assessment.Assessment, _ time.Time) (assessment.Assessment, error) {
		return assessment.Decline(a)
	})
	return &assessmentv1.DeclineAssessmentResponse{Assessment: a}, err
}

func (s *server) MeetCondition(ctx context.Context, req *assessmentv1.MeetConditionRequest) (*assessmentv1.MeetConditionResponse, error) {
	condition, err := uuid.Parse(req.GetConditionId())
	if err != nil {
		return nil, fault.Field("condition_id", "is not a UUID; pass the condition_id of a condition")
	}
	a, err := s.decide(ctx, req.GetSpellId(), "assessment.meet-condition", func(a assessment.Assessment, now time.Time) (assessment.Assessment, error) {
		return assessment.Meet(a, condition, now)
	})
	return &assessmentv1.MeetConditionResponse{Assessment: a}, err
}

func (s *server) GetAssessment(ctx context.Context, req *assessmentv1.GetAssessmentRequest) (*assessmentv1.GetAssessmentResponse, error) {
	spell, err := spellID(ctx, req.GetSpellId())
	if err != nil {
		return nil, err
	}
	a, err := s.store.get(ctx, spell)
	return &assessmentv1.GetAssessmentResponse{Assessment: toProto(a)}, err
}

func (s *server) ListUnmet(ctx context.Context, req *assessmentv1.ListUnmetRequest) (*assessmentv1.ListUnmetResponse, error) {
	spell, err := spellID(ctx, req.GetSpellId())
	if err != nil {
		return nil, err
	}
	a, err := s.store.get(ctx, spell)
	return &assessmentv1.ListUnmetResponse{Conditions: conditionsToProto(a.Unmet())}, err
}

// decide runs a decision on the assessment of a spell, and tells a refusal in the words of gRPC.
func (s *server) decide(ctx context.Context, spell, action string, decision func(assessment.Assessment, time.Time) (assessment.Assessment, error)) (*assessmentv1.Assessment, error) {
	id, cmd, err := s.command(ctx, spell, action)
	if err != nil {
		return nil, err
	}
	a, err := s.store.decide(ctx, cmd, id, func(a assessment.Assessment) (assessment.Assessment, error) { return decision(a, cmd.at) })
	if err != nil {
		return nil, refusal(err)
	}
	s.saved.Raise()
	return toProto(a), nil
}

// command says who asks now.
func (s *server) command(ctx context.Context, spell, action string) (uuid.UUID, command, error) {
	id, err := spellID(ctx, spell)
	if err != nil {
		return id, command{}, err
	}
	who, err := authn.From(ctx)
	return id, command{actor: who.Subject, action: action, at: s.now(), trace: trace.SpanContextFromContext(ctx)}, err
}

// spellID reads the id and tags the span of the call with it, so that a search for the spell finds the call.
func spellID(ctx context.Context, s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil {
		return id, fault.Field("spell_id", "is not a UUID; pass the spell_id of the handover")
	}
	trace.SpanFromContext(ctx).SetAttributes(attribute.String("homeward.spell.id", id.String()))
	return id, nil
}

// refusal tells a refusal of the domain in the words of the kit; any other error passes.
func refusal(err error) error {
	var r *assessment.Error
	if !errors.As(err, &r) {
		return err
	}
	switch r.Kind {
	case assessment.NotFound:
		return fault.New(fault.NotFound, "%s", r)
	case assessment.Precondition:
		return fault.New(fault.Precondition, "%s", r)
	default:
		return fault.Field(r.Field, "%s", r.Reason)
	}
}

var (
	decisions = map[assessmentv1.Decision]assessment.Decision{
		assessmentv1.Decision_DECISION_SAFE:                 assessment.Safe,
		assessmentv1.Decision_DECISION_SAFE_WITH_CONDITIONS: assessment.SafeWithConditions,
		assessmentv1.Decision_DECISION_NOT_YET_SAFE:         assessment.NotYetSafe,
		assessmentv1.Decision_DECISION_NEEDS_HUB_MDT:        assessment.NeedsHubMDT,
	}
	dues = map[assessmentv1.Due]assessment.Due{
		assessmentv1.Due_DUE_BEFORE_LEAVING:  assessment.BeforeLeaving,
		assessmentv1.Due_DUE_WITHIN_24_HOURS: assessment.Within24Hours,
		assessmentv1.Due_DUE_WITHIN_72_HOURS: assessment.Within72Hours,
	}
	statuses = map[assessmentv1.Status]assessment.Status{
		assessmentv1.Status_STATUS_REQUESTED:          assessment.Requested,
		assessmentv1.Status_STATUS_COMPLETE:           assessment.Complete,
		assessmentv1.Status_STATUS_DECLINED_BY_PERSON: assessment.Declined,
		assessmentv1.Status_STATUS_SUPERSEDED:         assessment.Superseded,
	}
)

// wire returns the enum value that stands for a word of the domain; the zero value for none.
func wire[E, W comparable](table map[E]W, word W) (e E) {
	for value, w := range table {
		if w == word {
			return value
		}
	}
	return e
}

func toProto(a assessment.Assessment) *assessmentv1.Assessment {
	return &assessmentv1.Assessment{
		SpellId: a.SpellID.String(), Status: wire(statuses, a.Status), QuestionSet: a.QuestionSet, Decision: wire(decisions, a.Decision),
		Conditions: conditionsToProto(a.Conditions), RequestedAt: stamp(a.RequestedAt), CompletedAt: stamp(a.CompletedAt),
		LeftWithUnmet: int32(a.LeftWithUnmet),
	}
}

func conditionsToProto(conditions []assessment.Condition) []*assessmentv1.Condition {
	var all []*assessmentv1.Condition
	for _, c := range conditions {
		all = append(all, &assessmentv1.Condition{
			ConditionId: c.ID.String(), Code: c.Code, Owner: c.Owner, Due: wire(dues, c.Due), MetAt: stamp(c.MetAt),
		})
	}
	return all
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// explain tells the state of the assessment as a hop of its handover.
func (s *store) explain(ctx context.Context, spell uuid.UUID) ([]*opsv1.Hop, error) {
	a, err := s.get(ctx, spell)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	at := a.RequestedAt
	state := fmt.Sprintf("%s with %s", a.Status, a.QuestionSet)
	if a.Status == assessment.Complete {
		at = a.CompletedAt
		state = fmt.Sprintf("%s with %s: %s, %d conditions, %d of them unmet; left with %d unmet before leaving",
			a.Status, a.QuestionSet, a.Decision, len(a.Conditions), len(a.Unmet()), a.LeftWithUnmet)
	}
	return []*opsv1.Hop{{At: timestamppb.New(at), Service: name, Name: "light-touch assessment", State: state}}, nil
}
