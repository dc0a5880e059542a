package communitypickup

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"

	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/failpoint"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/run"
)

// server is how the teams work their tasks.
type server struct {
	pickupv1.UnimplementedCommunityPickupServiceServer
	store *store
	now   func() time.Time
	saved run.Wake
}

// errNotFound is the same for a task that is not there and for one of another team: who may not see it learns nothing.
var errNotFound = fault.New(fault.NotFound, "no task by that key that you may see; a discharge that was just sent may not have arrived yet")

// GetTask returns one task.
func (s *server) GetTask(ctx context.Context, req *pickupv1.GetTaskRequest) (*pickupv1.GetTaskResponse, error) {
	who, err := authn.From(ctx)
	if err != nil {
		return nil, err
	}
	var found taskWithVersion
	switch key := req.GetKey().(type) {
	case *pickupv1.GetTaskRequest_TaskId:
		id, err := uuid.Parse(key.TaskId)
		if err != nil {
			return nil, fault.Field("task_id", "is not a UUID")
		}
		found, err = s.store.task(ctx, id)
		if err != nil {
			return nil, err
		}
	case *pickupv1.GetTaskRequest_SpellId:
		id, err := uuid.Parse(key.SpellId)
		if err != nil {
			return nil, fault.Field("spell_id", "is not a UUID")
		}
		found, err = s.store.task(ctx, taskID(id))
		if err != nil {
			return nil, err
		}
	case *pickupv1.GetTaskRequest_Reference:
		if found, err = s.store.taskByReference(ctx, key.Reference); err != nil {
			return nil, err
		}
	default:
		return nil, fault.Field("key", "is missing; give one of task_id, spell_id, reference")
	}
	if !mayRead(who, found.task) {
		return nil, errNotFound
	}
	markSpan(ctx, found.task)
	return respond(found), nil
}

// mayRead says whether somebody may see a task. One without a team (not due, still in hospital) is for those who see every team's.
func mayRead(who authn.Principal, t pickup.Task) bool { return who.SeesTeam(t.Team) }

const (
	defaultTasks = 100
	maxTasks     = 500
)

// ListTasks lists the open tasks of a team.
func (s *server) ListTasks(ctx context.Context, req *pickupv1.ListTasksRequest) (*pickupv1.ListTasksResponse, error) {
	who, err := authn.From(ctx)
	if err != nil {
		return nil, err
	}
	if req.GetTeam() == "" {
		return nil, fault.Field("team", "is missing; name a team, for instance CLS-GRAYS")
	}
	if !who.SeesTeam(req.GetTeam()) {
		return nil, fault.New(fault.Forbidden, "you do not work in team %q", req.GetTeam())
	}
	limit := int(req.GetLimit())
	if limit == 0 {
		limit = defaultTasks
	}
	if limit < 0 || limit > maxTasks {
		return nil, fault.Field("limit", "is %d; ask for 1 to %d", limit, maxTasks)
	}
	list, next, err := s.store.openTasks(ctx, openTasksQuery{
		team: req.GetTeam(), progress: word(progresses, req.GetProgress()), dueBefore: timeOf(req.GetDueBefore()), limit: limit, after: req.GetPageToken(),
	})
	if err != nil {
		return nil, err
	}
	resp := &pickupv1.ListTasksResponse{NextPageToken: next}
	for _, t := range list {
		resp.Tasks = append(resp.Tasks, respond(t))
	}
	return resp, nil
}

// TakeTask makes the caller the allocated worker.
func (s *server) TakeTask(ctx context.Context, req *pickupv1.TakeTaskRequest) (*pickupv1.TakeTaskResponse, error) {
	resp, err := s.command(ctx, req.GetTaskId(), req.GetVersion(), "task.take", "", func(t pickup.Task, who authn.Principal, now time.Time) (pickup.Task, error) {
		return t.Take(who.Subject, now)
	})
	return &pickupv1.TakeTaskResponse{Task: resp}, err
}

// RecordContact records an attempt to reach the person.
func (s *server) RecordContact(ctx context.Context, req *pickupv1.RecordContactRequest) (*pickupv1.RecordContactResponse, error) {
	method, ok := contactMethods[req.GetMethod()]
	if !ok {
		return nil, fault.Field("method", "is missing; say how it was tried")
	}
	resp, err := s.command(ctx, req.GetTaskId(), req.GetVersion(), "task.contact", "method="+method, func(t pickup.Task, _ authn.Principal, now time.Time) (pickup.Task, error) {
		at := timeOf(req.GetAt())
		if at.IsZero() {
			at = now
		}
		return t.RecordContact(method, req.GetTwoWay(), at, now)
	})
	return &pickupv1.RecordContactResponse{Task: resp}, err
}

// BookVisit records for when the visit is booked.
func (s *server) BookVisit(ctx context.Context, req *pickupv1.BookVisitRequest) (*pickupv1.BookVisitResponse, error) {
	resp, err := s.command(ctx, req.GetTaskId(), req.GetVersion(), "task.visit", "booked", func(t pickup.Task, _ authn.Principal, now time.Time) (pickup.Task, error) {
		return t.BookVisit(s.store.place, pickup.Date(req.GetOn()), timeOf(req.GetAt()), now)
	})
	return &pickupv1.BookVisitResponse{Task: resp}, err
}

// CancelVisit records that no visit is booked any more.
func (s *server) CancelVisit(ctx context.Context, req *pickupv1.CancelVisitRequest) (*pickupv1.CancelVisitResponse, error) {
	resp, err := s.command(ctx, req.GetTaskId(), req.GetVersion(), "task.visit", "cancelled", func(t pickup.Task, _ authn.Principal, _ time.Time) (pickup.Task, error) {
		return t.CancelVisit()
	})
	return &pickupv1.CancelVisitResponse{Task: resp}, err
}

// CompleteTask closes a task.
func (s *server) CompleteTask(ctx context.Context, req *pickupv1.CompleteTaskRequest) (*pickupv1.CompleteTaskResponse, error) {
	ending := word(endings, req.GetEnding())
	if ending == "" {
		return nil, fault.Field("ending", "is missing; say what came of it")
	}
	resp, err := s.command(ctx, req.GetTaskId(), req.GetVersion(), "task.complete", "ending="+string(ending), func(t pickup.Task, _ authn.Principal, now time.Time) (pickup.Task, error) {
		return t.Complete(ending, timeOf(req.GetAt()), now)
	})
	return &pickupv1.CompleteTaskResponse{Task: resp}, err
}

// DecideProposal answers a proposed change of team.
func (s *server) DecideProposal(ctx context.Context, req *pickupv1.DecideProposalRequest) (*pickupv1.DecideProposalResponse, error) {
	detail := "refused"
	if req.GetAccept() {
		detail = "accepted"
	}
	resp, err := s.command(ctx, req.GetTaskId(), req.GetVersion(), "task.proposal", detail, func(t pickup.Task, _ authn.Principal, now time.Time) (pickup.Task, error) {
		return t.DecideProposal(req.GetAccept(), now)
	})
	return &pickupv1.DecideProposalResponse{Task: resp}, err
}

// AssignTeam gives one of the hub's tasks to a team.
func (s *server) AssignTeam(ctx context.Context, req *pickupv1.AssignTeamRequest) (*pickupv1.AssignTeamResponse, error) {
	resp, err := s.command(ctx, req.GetTaskId(), req.GetVersion(), "task.assign", "", func(t pickup.Task, _ authn.Principal, now time.Time) (pickup.Task, error) {
		return t.AssignTeam(s.store.place, req.GetTeam(), req.GetReason(), now)
	})
	return &pickupv1.AssignTeamResponse{Task: resp}, err
}

// ResolveContact decides whether the person has died.
func (s *server) ResolveContact(ctx context.Context, req *pickupv1.ResolveContactRequest) (*pickupv1.ResolveContactResponse, error) {
	detail := "alive"
	if req.GetDied() {
		detail = "died"
	}
	resp, err := s.command(ctx, req.GetTaskId(), req.GetVersion(), "task.resolve-contact", detail, func(t pickup.Task, _ authn.Principal, now time.Time) (pickup.Task, error) {
		return t.ResolveContact(s.store.place, req.GetDied(), now)
	})
	return &pickupv1.ResolveContactResponse{Task: resp}, err
}

// command applies what a person does to a task, in one transaction with its event and its audit row, if the caller may work the task and
// has seen its current version.
func (s *server) command(ctx context.Context, id string, version int64, action, detail string,
	apply func(t pickup.Task, who authn.Principal, now time.Time) (pickup.Task, error)) (*pickupv1.GetTaskResponse, error) {
	who, err := authn.From(ctx)
	if err != nil {
		return nil, err
	}
	task, err := uuid.Parse(id)
	if err != nil {
		return nil, fault.Field("task_id", "is not a UUID")
	}
	err = s.store.db.InTx(ctx, "task", func(tx pgx.Tx) error {
		found, err := lockTask(ctx, tx, task)
		if err != nil {
			return err
		}
		if !mayRead(who, found.task) {
			return errNotFound
		}
		if found.version != version && !failpoint.Bug("stale-command") {
			return fault.New(fault.Conflict, "the task is at version %d and you saw %d: read it again and repeat what still holds", found.version, version)
		}
		now := s.now()
		after, err := apply(found.task, who, now)
		if err != nil {
			return toFault(err)
		}
		markSpan(ctx, found.task)
		return s.store.save(ctx, tx, now, []change{{
			id: task, known: true, before: found.task, after: after, actor: who.Subject, action: action, detail: detail,
			trace: trace.SpanContextFromContext(ctx), occurredAt: now,
		}})
	})
	if err != nil {
		return nil, err
	}
	s.saved.Raise()
	found, err := s.store.task(ctx, task)
	if err != nil {
		return nil, err
	}
	return respond(found), nil
}

// toFault maps the domain's two kinds of errors.
func toFault(err error) error {
	var e *pickup.Error
	if !errors.As(err, &e) {
		return err
	}
	if e.Kind == pickup.Invalid {
		return fault.New(fault.Invalid, "%s", e.Message)
	}
	return fault.New(fault.Precondition, "%s", e.Message)
}

// markSpan tags the call with the handover and links it with the trace that made the task.
func markSpan(ctx context.Context, t pickup.Task) {
	span := trace.SpanFromContext(ctx)
	span.SetAttributes(taskAttributes(t)...)
	if origin := event.ParseTraceparent(t.Origin); origin.IsValid() {
		span.AddLink(trace.Link{SpanContext: origin})
	}
}

func respond(t taskWithVersion) *pickupv1.GetTaskResponse {
	return &pickupv1.GetTaskResponse{Task: taskToProto(t.task), Version: t.version, Worker: t.task.Worker, Traceparent: t.task.Origin}
}
