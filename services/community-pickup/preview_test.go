package communitypickup

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
)

func TestPreviewTellsWhatWouldBeDecidedAndChangesNothing(t *testing.T) {
	c := startCommunity(t)
	id := uuid.New()
	spell := discharged(id, time.Date(2026, 9, 2, 14, 0, 0, 0, time.UTC))
	c.publish(t, "discharge", spellType, id, 1, spell)
	before := c.task(t, id, 1)
	spell.PracticeCode, spell.HomePostcodeSector = "F81010", "RM15 4"
	hub := c.as(t, authn.Principal{Subject: "test:hub", Roles: []authn.Role{authn.HubStaff}})
	resp, err := hub.PreviewTask(t.Context(), &pickupv1.PreviewTaskRequest{Spell: spell})
	if err != nil {
		t.Fatal(err)
	}
	if resp.GetBefore().GetTeam() != before.GetTask().GetTeam() || resp.GetAfter().GetTeam() != "CLS-ASOP" || resp.GetAfter().GetDueOn() != "2026-10-14" {
		t.Errorf("preview: %v", resp)
	}
	if now := c.task(t, id, 1); now.GetTask().GetTeam() != before.GetTask().GetTeam() || now.GetVersion() != before.GetVersion() {
		t.Errorf("the preview changed the task: %v", now)
	}
	spell.SpellId = uuid.NewString()
	if resp, err := hub.PreviewTask(t.Context(), &pickupv1.PreviewTaskRequest{Spell: spell}); err != nil || resp.GetBefore() != nil || resp.GetAfter().GetTeam() != "CLS-ASOP" {
		t.Errorf("of a spell that is not known: %v, %v", resp, err)
	}
	spell.SpellId = "no id"
	_, err = hub.PreviewTask(t.Context(), &pickupv1.PreviewTaskRequest{Spell: spell})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("of a spell without an id: %v", err)
	}
}
