package dischargehub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/timestamppb"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/kit/audit"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/fault"
)

// exceptionRoles are the rows of the method table for dealing with exceptions. Whoever may only see that there are some, ops, may list them.
func exceptionRoles() authn.Table {
	return authn.Table{
		dischargev1.DischargeHubService_GetException_FullMethodName:     {authn.HubStaff},
		dischargev1.DischargeHubService_CorrectException_FullMethodName: {authn.HubStaff},
		dischargev1.DischargeHubService_DismissException_FullMethodName: {authn.HubStaff},
		dischargev1.DischargeHubService_AssignException_FullMethodName:  {authn.HubStaff},
		dischargev1.DischargeHubService_ReplayMessage_FullMethodName:    {authn.HubStaff},
		dischargev1.DischargeHubService_PreviewMapping_FullMethodName:   {authn.HubStaff, authn.Ops},
		dischargev1.DischargeHubService_ListSpells_FullMethodName:       {authn.HubStaff, authn.Ops},
	}
}

const (
	defaultExceptions = 100
	maxExceptions     = 500
	maxNote           = 4000
	maxOwner          = 200
)

// ListExceptions lists what a person has to look at.
func (s *server) ListExceptions(ctx context.Context, req *dischargev1.ListExceptionsRequest) (*dischargev1.ListExceptionsResponse, error) {
	q := exceptionQuery{after: req.GetAfterId(), limit: int(req.GetLimit()), kind: req.GetKind(), owner: req.GetOwner(), feed: req.GetFeed()}
	if q.limit == 0 {
		q.limit = defaultExceptions
	}
	if q.limit < 0 || q.limit > maxExceptions {
		return nil, fault.Field("limit", "is %d; ask for 1 to %d", q.limit, maxExceptions)
	}
	if all := exceptionKinds(); q.kind != "" && !slices.Contains(all, q.kind) {
		return nil, fault.Field("kind", "%q is unknown; choose one of %s", q.kind, strings.Join(all, ", "))
	}
	open := req.GetFilter() != dischargev1.ExceptionFilter_EXCEPTION_FILTER_CLOSED
	if req.GetFilter() != dischargev1.ExceptionFilter_EXCEPTION_FILTER_ALL {
		q.open = &open
	}
	q.late = req.GetFilter() == dischargev1.ExceptionFilter_EXCEPTION_FILTER_LATE
	if t := req.GetOpenedBefore(); t != nil {
		at := t.AsTime()
		q.openedBefore = &at
	}
	list, err := s.store.exceptions(ctx, q)
	if err != nil {
		return nil, err
	}
	resp := &dischargev1.ListExceptionsResponse{}
	for _, e := range list {
		resp.Exceptions = append(resp.Exceptions, e.toProto(s.now()))
	}
	return resp, nil
}

// GetException returns an exception with its raw message and a finger on the place that is at fault.
func (s *server) GetException(ctx context.Context, req *dischargev1.GetExceptionRequest) (*dischargev1.GetExceptionResponse, error) {
	who, err := authn.From(ctx)
	if err != nil {
		return nil, err
	}
	resp := &dischargev1.GetExceptionResponse{}
	err = s.store.db.InTx(ctx, "exception.read", func(tx pgx.Tx) error {
		e, err := exceptionOf(ctx, tx, req.GetId())
		if err != nil {
			return err
		}
		p := e.problem()
		resp.Exception, resp.Note, resp.ClosedBy = e.toProto(s.now()), e.Note, e.ClosedBy
		resp.Found, resp.ToDo, resp.Expected = p.Found, p.Do, discharge.Expected(e.Kind, e.Format.door())
		if e.InboundID != nil {
			m, err := messageOf(ctx, tx, *e.InboundID, false)
			if err != nil {
				return err
			}
			if resp.Message, err = m.shown(); err != nil {
				return err
			}
			resp.Format, resp.Finger = string(m.Format), fingerOn(m.Format, resp.Message, p)
			err = tx.QueryRow(ctx, `SELECT inbound_id FROM correction WHERE supersedes = $1`, m.ID).Scan(&resp.CorrectedByMessageId)
			if err != nil && !errors.Is(err, pgx.ErrNoRows) {
				return fmt.Errorf("find the copy: %w", err)
			}
		}
		return audit.Append(ctx, tx, s.entry(ctx, who, e, "exception.read", ""))
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// CorrectException stores a corrected copy of an exception's message.
func (s *server) CorrectException(ctx context.Context, req *dischargev1.CorrectExceptionRequest) (*dischargev1.CorrectExceptionResponse, error) {
	if err := checkNote(req.GetNote()); err != nil {
		return nil, err
	}
	who, err := authn.From(ctx)
	if err != nil {
		return nil, err
	}
	resp := &dischargev1.CorrectExceptionResponse{}
	err = s.store.db.InTx(ctx, "exception.correct", func(tx pgx.Tx) error {
		e, err := lockException(ctx, tx, req.GetId())
		if err != nil {
			return err
		}
		if e.InboundID == nil {
			return fault.New(fault.Precondition, "exception %d is about no message: there is nothing to correct", e.ID)
		}
		m, err := messageOf(ctx, tx, *e.InboundID, false)
		if err != nil {
			return err
		}
		body, controlID, err := s.copyOf(m, req.GetMessage())
		if err != nil {
			return err
		}
		spell, err := s.readCopy(m, body)
		if err != nil {
			return err
		}
		id, again, err := storeCorrection(ctx, tx, s.now(), e, m, controlID, event.Traceparent(trace.SpanContextFromContext(ctx)), body)
		if err != nil {
			return err
		}
		resp.MessageId, resp.SpellId, resp.Reference = id, spell, discharge.Reference(spell)
		if !again {
			if err := e.fresh(req.GetVersion()); err != nil {
				return err
			}
			if err := closeCorrected(ctx, tx, s.now(), e, who.Subject, req.GetNote()); err != nil {
				return err
			}
			if err := audit.Append(ctx, tx, s.entry(ctx, who, e, "exception.correct", fmt.Sprintf("copy=%d", id))); err != nil {
				return err
			}
		}
		resp.Exception, err = s.current(ctx, tx, e.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.pending.Raise()
	return resp, nil
}

// readCopy reads a corrected copy as the interpreter will, and refuses one of which nothing would come.
func (s *server) readCopy(m storedMessage, body []byte) (spell string, err error) {
	p := m.pendingMessage
	p.Body = body
	r := s.interpreter.read(p)
	switch {
	case r.NotHandled != "":
		return "", fault.Field("message", "%s says nothing to the hub", r.NotHandled)
	case !r.Usable && len(r.Problems) > 0:
		return "", fault.Field("message", "is still of no use: %s", r.Problems[0].At(m.Format.door()))
	case !r.Usable:
		return "", fault.Field("message", "is still of no use")
	}
	return r.Fact.SpellID, nil
}

// closeCorrected closes the exception, and with it what else is wrong with the same message: the copy is read for itself.
func closeCorrected(ctx context.Context, tx pgx.Tx, now time.Time, e exceptionRow, by, note string) error {
	rows, err := tx.Query(ctx, `SELECT id FROM exception WHERE inbound_id = $1 AND closed_at IS NULL AND (id = $2 OR kind <> ALL($3)) ORDER BY id`,
		e.InboundID, e.ID, discharge.SpellProblems())
	if err != nil {
		return fmt.Errorf("find exceptions: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("find exceptions: %w", err)
	}
	for _, id := range ids {
		if err := closeException(ctx, tx, now, id, closedCorrected, by, "", note); err != nil {
			return err
		}
	}
	return nil
}

// DismissException closes an exception of which nothing is to come.
func (s *server) DismissException(ctx context.Context, req *dischargev1.DismissExceptionRequest) (*dischargev1.DismissExceptionResponse, error) {
	reason := word(dismissReasons, req.GetReason())
	if reason == "" {
		return nil, fault.Field("reason", "is missing or unknown; choose one of the list")
	}
	if err := checkNote(req.GetNote()); err != nil {
		return nil, err
	}
	who, err := authn.From(ctx)
	if err != nil {
		return nil, err
	}
	resp := &dischargev1.DismissExceptionResponse{}
	err = s.store.db.InTx(ctx, "exception.dismiss", func(tx pgx.Tx) error {
		e, err := lockException(ctx, tx, req.GetId())
		if err != nil {
			return err
		}
		again := e.ClosedHow == closedDismissed && e.ClosedBy == who.Subject && e.Reason == reason && e.Note == req.GetNote()
		if !again {
			if err := e.fresh(req.GetVersion()); err != nil {
				return err
			}
			if err := closeException(ctx, tx, s.now(), e.ID, closedDismissed, who.Subject, reason, req.GetNote()); err != nil {
				return err
			}
			if err := audit.Append(ctx, tx, s.entry(ctx, who, e, "exception.dismiss", "reason="+reason)); err != nil {
				return err
			}
		}
		resp.Exception, err = s.current(ctx, tx, e.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// AssignException says who looks into an exception.
func (s *server) AssignException(ctx context.Context, req *dischargev1.AssignExceptionRequest) (*dischargev1.AssignExceptionResponse, error) {
	if len(req.GetOwner()) > maxOwner || strings.ContainsRune(req.GetOwner(), 0) {
		return nil, fault.Field("owner", "is longer than %d characters or holds a NUL; give `hub` or a subject", maxOwner)
	}
	who, err := authn.From(ctx)
	if err != nil {
		return nil, err
	}
	resp := &dischargev1.AssignExceptionResponse{}
	err = s.store.db.InTx(ctx, "exception.assign", func(tx pgx.Tx) error {
		e, err := lockException(ctx, tx, req.GetId())
		if err != nil {
			return err
		}
		owner := req.GetOwner()
		if owner == "" {
			owner = who.Subject
		}
		if e.ClosedAt != nil || e.Owner != owner {
			if err := e.fresh(req.GetVersion()); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `UPDATE exception SET owner = $2, version = version + 1 WHERE id = $1`, e.ID, owner); err != nil {
				return fmt.Errorf("assign exception: %w", err)
			}
			if err := audit.Append(ctx, tx, s.entry(ctx, who, e, "exception.assign", "owner="+owner)); err != nil {
				return err
			}
		}
		resp.Exception, err = s.current(ctx, tx, e.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (s *server) current(ctx context.Context, tx pgx.Tx, id int64) (*dischargev1.MessageException, error) {
	e, err := exceptionOf(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	return e.toProto(s.now()), nil
}

// entry is the audit's line about an act on an exception. Its record is the spell, or where none could be found an id of the exception's own.
func (s *server) entry(ctx context.Context, who authn.Principal, e exceptionRow, action, detail string) audit.Entry {
	record := uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "homeward exception %d", e.ID))
	if e.SpellID != nil {
		record = *e.SpellID
	}
	what := fmt.Sprintf("exception=%d kind=%s", e.ID, e.Kind)
	if e.InboundID != nil {
		what += fmt.Sprintf(" message=%d", *e.InboundID)
	}
	return audit.Entry{At: s.now(), Actor: who.Subject, Action: action, Record: record, Detail: strings.TrimSpace(what + " " + detail),
		Trace: trace.SpanContextFromContext(ctx)}
}

func checkNote(note string) error {
	switch {
	case strings.TrimSpace(note) == "":
		return fault.Field("note", "is missing; say why, for whoever looks at this later")
	case len(note) > maxNote || strings.ContainsRune(note, 0):
		return fault.Field("note", "is longer than %d bytes or holds a NUL", maxNote)
	}
	return nil
}

// timeOr is a told time, or another.
func timeOr(t *timestamppb.Timestamp, otherwise time.Time) time.Time {
	if t == nil {
		return otherwise
	}
	return t.AsTime()
}
