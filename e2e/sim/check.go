package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/e2e/oracle"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
)

// disagreements says what is still on its way; empty when the services agree.
func (w *world) disagreements() string {
	var all []string
	ask := func(what, sql string) {
		var n int
		if err := w.db.admin.QueryRow(w.ctx, sql).Scan(&n); err != nil {
			all = append(all, what+": "+err.Error())
		} else if n > 0 {
			all = append(all, fmt.Sprintf("%d %s", n, what))
		}
	}
	if left := w.restore.left(); left != "" {
		all = append(all, left)
	}
	ask("messages not interpreted", `SELECT count(*) FROM discharge_hub.inbound_pending`)
	ask("messages about people not told to their spells", `SELECT count(*) FROM discharge_hub.person_pending`)
	ask("spells not delivered", `SELECT count(*) FROM discharge_hub.spell s JOIN discharge_hub.outbox o USING (id)
		WHERE (s.delivered_epoch, s.delivered_version) IS DISTINCT FROM (o.epoch, o.version)`)
	for _, service := range w.services {
		ask("events of "+service+" not sent", `SELECT count(*) FROM `+w.db.schemas[service].name+`.outbox_unsent`)
	}
	for _, e := range edges {
		if !slices.Contains(w.services, e.from) || !slices.Contains(w.services, e.to) {
			continue
		}
		ask(e.event+" not at "+e.to, fmt.Sprintf(`SELECT count(*) FROM %s.outbox o LEFT JOIN %s.inbox i ON i.id = o.id AND i.type = o.type
			WHERE o.type = '%s' AND (i.epoch, i.version) IS DISTINCT FROM (o.epoch, o.version)`, w.db.schemas[e.from].name, w.db.schemas[e.to].name, e.event))
	}
	return strings.Join(all, "; ")
}

// edges are who applies whose events.
var edges = []struct{ from, to, event string }{
	{"discharge-hub", "community-pickup", "homeward.discharge.spell.v1"},
	{"discharge-hub", "light-touch-assessment", "homeward.discharge.spell.v1"},
	{"discharge-hub", "reablement-capacity", "homeward.discharge.spell.v1"},
	{"community-pickup", "discharge-hub", "homeward.pickup.task.v1"},
	{"light-touch-assessment", "discharge-hub", "homeward.assessment.assessment.v1"},
	{"light-touch-assessment", "community-pickup", "homeward.assessment.assessment.v1"},
	{"light-touch-assessment", "reablement-capacity", "homeward.assessment.assessment.v1"},
	{"reablement-capacity", "community-pickup", "homeward.reablement.need.v1"},
}

// check compares every outcome with the oracle, and looks for what must not be there.
func (w *world) check() {
	w.correctTold()
	asked := w.askCare()
	care := asked.known()
	expected := oracle.ExpectWith(w.told, care)
	w.checkCare(asked, expected)
	spells, open, all := map[string]bool{}, map[string][]string{}, map[string]oracle.Seen{}
	for _, want := range expected {
		spells[want.SpellID] = true
		seen, err := w.see(want.SpellID)
		if err != nil {
			w.fail("spell %s (%s): %v", want.SpellID, want.Outcome, err)
			continue
		}
		all[want.SpellID] = seen
		if len(seen.Exceptions) > 0 {
			open[want.SpellID] = seen.Exceptions
		}
		if w.restore.spoilt[want.SpellID] {
			continue // what people did about it in the gap is not known any more; that it is there and delivered is
		}
		want.Exceptions, seen.Exceptions = w.staff.forgetDismissed(want.Exceptions, want.SpellID), w.staff.forgetDismissed(seen.Exceptions, want.SpellID)
		if w.least < -24*time.Hour { // a hub that was so far behind took every message for one of tomorrow
			seen.Exceptions = slices.DeleteFunc(slices.Clone(seen.Exceptions), func(kind string) bool { return kind == "recorded-in-the-future" })
		}
		acted := w.staff.acted[want.SpellID]
		wrong := oracle.CheckActed(want, acted, seen)
		if len(acted) == 0 {
			wrong = append(wrong, oracle.CheckNotices(want, seen, oracle.Delivered{From: w.startedAt.Add(w.least), To: w.staff.settled.Add(w.most)}, w.now())...)
		}
		for _, line := range wrong {
			w.fail("%s", line)
		}
		fmt.Fprintln(w.sched.hash, compact(seen))
	}
	w.spells = len(spells)
	w.nothingElse(spells)
	w.checkQueue(expected, open)
	w.checkLists(all)
	w.checkPreviews()
	w.checkTold(expected, care)
}

// see reads a task and its handover as an observer does.
func (w *world) see(spell string) (oracle.Seen, error) {
	ctx := asHubStaff(w.ctx)
	var task pickupv1.GetTaskResponse
	if err := w.ask(ctx, "community-pickup", pickupv1.CommunityPickupService_GetTask_FullMethodName,
		&pickupv1.GetTaskRequest{Key: &pickupv1.GetTaskRequest_SpellId{SpellId: spell}}, &task); err != nil {
		return oracle.Seen{}, fmt.Errorf("task: %w", err)
	}
	var handover dischargev1.GetHandoverResponse
	if err := w.ask(ctx, "discharge-hub", dischargev1.DischargeHubService_GetHandover_FullMethodName,
		&dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_SpellId{SpellId: spell}}, &handover); err != nil {
		return oracle.Seen{}, fmt.Errorf("handover: %w", err)
	}
	if handover.GetDeliveredAt() == nil {
		return oracle.Seen{}, fmt.Errorf("not delivered")
	}
	var number, ward string
	if err := w.db.admin.QueryRow(w.ctx, `SELECT person::json->>'PatientNumber', person::json->>'Ward' FROM discharge_hub.person WHERE spell_id = $1`, spell).Scan(&number, &ward); err != nil {
		return oracle.Seen{}, fmt.Errorf("person: %w", err)
	}
	return oracle.SeenOf(task.GetTask()).With(&handover).WithRecord(number, ward), nil
}

// nothingElse looks for tasks without a spell, spells that nobody told of, doubles, dead letters and slots that were given twice.
func (w *world) nothingElse(spells map[string]bool) {
	rows, err := w.db.admin.Query(w.ctx, `SELECT id FROM discharge_hub.spell ORDER BY id`)
	if err != nil {
		w.fail("list spells: %v", err)
		return
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		w.fail("list spells: %v", err)
	}
	for _, id := range ids {
		if !spells[id.String()] {
			w.fail("spell %s: nobody told of it", id)
		}
	}
	w.none("tasks too many or too few", fmt.Sprintf(`SELECT count(*) - %d FROM community_pickup.task`, len(spells)))
	for _, s := range w.db.schemas {
		w.none("dead letters in "+s.name, `SELECT count(*) FROM `+s.name+`.dead_letter`)
	}
	w.none("notices that fired before they were due", `SELECT count(*) FROM community_pickup.notice WHERE fired_at < due_at`)
	w.none("notices that fired twice", `SELECT count(*) FROM (SELECT 1 FROM community_pickup.notice WHERE kind <> 'review-other-hospital'
		GROUP BY task_id, kind, schedule HAVING count(*) > 1) n`)
	w.none("capacities with more people than slots", `SELECT count(*) FROM reablement_capacity.capacity c
		WHERE (SELECT count(*) FROM reablement_capacity.slot s WHERE s.capacity_id = c.id) > c.slots`)
	w.none("slots of people who have no place", `SELECT count(*) FROM reablement_capacity.slot s JOIN reablement_capacity.need n USING (spell_id)
		WHERE n.capacity_id IS DISTINCT FROM s.capacity_id`)
	w.none("sweeps of a task that fired nothing", `SELECT count(*) FROM community_pickup.audit WHERE action = 'task.notice' AND detail LIKE 'notices= %'`)
	w.none("holds that did not end in time", fmt.Sprintf(`SELECT count(*) FROM reablement_capacity.need WHERE status = 'held' AND held_until < '%s'`,
		w.now().Add(-healStep).Format(time.RFC3339Nano)))
	w.none("needs that hold no slot", fmt.Sprintf(`SELECT count(*) FROM reablement_capacity.need n
		WHERE n.status IN ('held', 'accepted', 'started') AND (n.status <> 'held' OR n.held_until > '%[1]s') AND NOT EXISTS (SELECT 1 FROM reablement_capacity.slot s WHERE s.spell_id = n.spell_id)
		AND (n.planned_end_on IS NULL OR n.planned_end_on >= ('%[1]s'::timestamptz AT TIME ZONE 'Europe/London')::date)`, w.now().Format(time.RFC3339Nano)))
}

// none fails when a query counts anything.
func (w *world) none(what, sql string) {
	var n int
	if err := w.db.admin.QueryRow(w.ctx, sql).Scan(&n); err != nil {
		w.fail("%s: %v", what, err)
	} else if n != 0 {
		w.fail("%d %s", n, what)
	}
}
