package communitypickup

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/kit/authn"
)

func TestPreviewTellsWhatWouldBeDecidedAndChangesNothing(t *testing.T) {
	c := startCommunity(t)
	id := uuid.New()
	left := time.Now().AddDate(0, 0, -1) // nothing is due yet that would change the task meanwhile
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	spell, due := discharged(id, left), pickup.DateOf(left, london).Add(42)
	c.publish(t, "discharge", spellType, id, 1, spell)
	before := c.task(t, id, 1)
	spell.PracticeCode, spell.HomePostcodeSector = "F81010", "RM15 4"
	hub := c.as(t, authn.Principal{Subject: "test:hub", Roles: []authn.Role{authn.HubStaff}})
	resp, err := hub.PreviewTask(t.Context(), &pickupv1.PreviewTaskRequest{Spell: spell})
	if err != nil {
		t.Fatal(err)
	}
	if resp.GetBefore().GetTeam() != before.GetTask().GetTeam() || resp.GetAfter().GetTeam() != "CLS-ASOP" || resp.GetAfter().GetDueOn() != string(due) {
		t.Errorf("preview: %v", resp)
	}
	if now := c.task(t, id, 1); now.GetTask().GetTeam() != before.GetTask().GetTeam() || now.GetVersion() != before.GetVersion() {
		t.Errorf("the preview changed the task: %v", now)
	}
	spell.SpellId = uuid.NewString()
	resp, err = hub.PreviewTask(t.Context(), &pickupv1.PreviewTaskRequest{Spell: spell})
	if err != nil || resp.GetBefore() != nil || resp.GetAfter().GetTeam() != "CLS-ASOP" {
		t.Errorf("of a spell that is not known: %v, %v", resp, err)
	}
	spell.SpellId = "no id"
	_, err = hub.PreviewTask(t.Context(), &pickupv1.PreviewTaskRequest{Spell: spell})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("of a spell without an id: %v", err)
	}
}
