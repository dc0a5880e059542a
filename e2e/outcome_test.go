package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
)

// errPending says that a message is stored and not delivered yet.
var errPending = errors.New("not delivered yet")

// handover asks how far the handover of a message is, until it is delivered. A message that belongs to no handover has none, and a reason.
func (p *platform) handover(ctx context.Context, controlID string) (h *dischargev1.GetHandoverResponse, none string, err error) {
	err = within(ctx, limit, func() error {
		var err error
		h, err = p.hub.GetHandover(ctx, &dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_ControlId{ControlId: controlID}})
		switch {
		case status.Code(err) == codes.FailedPrecondition:
			h, none = nil, status.Convert(err).Message()
			return nil
		case err != nil:
			return err
		case h.GetDeliveredAt() == nil:
			return fmt.Errorf("%w: %s at version %d", errPending, controlID, h.GetVersion())
		}
		return nil
	})
	return h, none, err
}

func (p *platform) task(ctx context.Context, spell string) (*pickupv1.GetTaskResponse, error) {
	return p.tasks.GetTask(ctx, &pickupv1.GetTaskRequest{Key: &pickupv1.GetTaskRequest_SpellId{SpellId: spell}})
}

// outcome is what became of the spell of a message, in lines of text that do not depend on when the test runs.
func (p *platform) outcome(ctx context.Context, controlID string) ([]string, error) {
	h, none, err := p.handover(ctx, controlID)
	if err != nil {
		return nil, err
	}
	if h == nil {
		return []string{"no handover: " + none}, nil
	}
	task, err := p.task(ctx, h.GetSpellId())
	if err != nil {
		return nil, err
	}
	text := describe(task.GetTask())
	if len(h.GetExceptions()) > 0 {
		text = append(text, "exceptions: "+strings.Join(h.GetExceptions(), ", "))
	}
	return text, nil
}

func describe(t *pickupv1.Task) []string {
	lines := []string{fmt.Sprintf("%s (%s): %s", word(t.GetOutcome(), "OUTCOME_"), t.GetReason(), t.GetReasonText())}
	add := func(name, format string, args ...any) { lines = append(lines, name+": "+fmt.Sprintf(format, args...)) }
	if t.GetTeam() != "" {
		add("team", "%s, by %s: %s", t.GetTeam(), strings.TrimSpace(t.GetRoute().GetRule()+" "+t.GetRoute().GetInput()), t.GetRoute().GetText())
	}
	if t.GetDueOn() != "" {
		add("due", "%s, late from %s; contact by %s", t.GetDueOn(), t.GetDueAt().AsTime().Format(time.RFC3339), t.GetFirstContactBy().AsTime().Format(time.RFC3339))
		add("because", "%s", t.GetDueReason())
	}
	if t.GetPriority() != pickupv1.Priority_PRIORITY_UNSPECIFIED {
		add("priority", "%s", strings.TrimSuffix(word(t.GetPriority(), "PRIORITY_")+", "+strings.Join(t.GetPriorityReasons(), ", "), ", "))
	}
	if t.GetContact() != pickupv1.Contact_CONTACT_ALLOWED {
		add("contact", "%s", word(t.GetContact(), "CONTACT_"))
	}
	if pr := t.GetProgress(); pr != pickupv1.Progress_PROGRESS_UNSPECIFIED && pr != pickupv1.Progress_PROGRESS_UNTAKEN {
		add("progress", "%s", word(pr, "PROGRESS_"))
	}
	if t.GetProposedTeam() != "" {
		add("proposed", "%s, by %s", t.GetProposedTeam(), t.GetProposedReason())
	}
	if t.GetAssessmentStatus() != "" {
		add("assessment", "%s, %d unmet before leaving", t.GetAssessmentStatus(), t.GetUnmetBeforeLeaving())
	}
	if t.GetReablementStatus() != "" {
		add("reablement", "%s", strings.TrimSuffix(t.GetReablementStatus()+", until "+t.GetReablementEndsOn(), ", until "))
	}
	if len(t.GetFlags()) > 0 {
		add("flags", "%s", strings.Join(t.GetFlags(), ", "))
	}
	return lines
}

// word is an enum's value as people write it.
func word(value fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(value.String(), prefix), "_", "-"))
}
