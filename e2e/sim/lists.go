package sim

import (
	"reflect"
	"slices"
	"time"

	"github.com/homeward-care/homeward/e2e/oracle"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
)

// checkLists holds what the teams' lists show, and what the rules would decide anew, against the tasks that were seen one by one.
func (w *world) checkLists(seen map[string]oracle.Seen) {
	open := map[string][]string{}
	for spell, s := range seen {
		if slices.Contains([]string{"untaken", "taken", "picked-up"}, s.Progress) {
			open[s.Team] = append(open[s.Team], spell)
		}
		w.checkPreview(spell)
	}
	for _, team := range []string{"CLS-ASOP", "CLS-GRAYS", "CLS-SLH", "CLS-TC", oracle.Hub} {
		listed := w.listTasks(team)
		slices.Sort(listed)
		slices.Sort(open[team])
		if !slices.Equal(listed, open[team]) {
			w.fail("the tasks of the spells %v are listed for %s, must be of %v", listed, team, open[team])
		}
	}
}

// listTasks turns the pages of a team's list, and looks at its order.
func (w *world) listTasks(team string) (spells []string) {
	req := &pickupv1.ListTasksRequest{Team: team, Limit: 2}
	var due time.Time
	for {
		var page pickupv1.ListTasksResponse
		if err := w.ask(asHubStaff(w.ctx), "community-pickup", pickupv1.CommunityPickupService_ListTasks_FullMethodName, req, &page); err != nil {
			w.fail("list tasks: %v", err)
			return spells
		}
		for _, t := range page.GetTasks() {
			spells = append(spells, t.GetTask().GetSpellId())
			if at := t.GetTask().GetDueAt(); at != nil {
				if at.AsTime().Before(due) {
					w.fail("spell %s: its task is listed behind one that is due later", t.GetTask().GetSpellId())
				}
				due = at.AsTime()
			}
		}
		if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
			return spells
		}
	}
}

// checkPreview asks what the rules would decide of the spell as it is: what they have decided.
func (w *world) checkPreview(spell string) {
	ctx := asHubStaff(w.ctx)
	var handover dischargev1.GetHandoverResponse
	var task pickupv1.PreviewTaskResponse
	err := w.ask(ctx, "discharge-hub", dischargev1.DischargeHubService_GetHandover_FullMethodName,
		&dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_SpellId{SpellId: spell}}, &handover)
	if err == nil {
		err = w.ask(ctx, "community-pickup", pickupv1.CommunityPickupService_PreviewTask_FullMethodName, &pickupv1.PreviewTaskRequest{Spell: handover.GetSpell()}, &task)
	}
	if before, after := oracle.SeenOf(task.GetBefore()), oracle.SeenOf(task.GetAfter()); err != nil || !reflect.DeepEqual(before, after) {
		w.fail("spell %s: its task is %+v, and would be %+v if it were decided anew: %v", spell, before, after, err)
	}
}
