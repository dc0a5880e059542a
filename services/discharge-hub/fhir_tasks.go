package dischargehub

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// teller keeps the Tasks that are told back to the hospitals' clients.
type teller struct{ clients *roster }

// nobody tells whether no provider has a client.
func (t *teller) nobody() bool { return t == nil || len(t.clients.get().providers) == 0 }

// The words of homeward.pickup.v1 that a Task tells.
var (
	pickupOutcomes = map[pickupv1.Outcome]string{
		pickupv1.Outcome_OUTCOME_IN_HOSPITAL: "in-hospital", pickupv1.Outcome_OUTCOME_PICK_UP_DUE: "pick-up-due",
		pickupv1.Outcome_OUTCOME_NOT_DUE: "not-due", pickupv1.Outcome_OUTCOME_IN_ANOTHER_HOSPITAL: "in-another-hospital",
	}
	pickupEndings = map[pickupv1.Ending]string{
		pickupv1.Ending_ENDING_ASSESSED: "assessed", pickupv1.Ending_ENDING_REVIEWED: "reviewed", pickupv1.Ending_ENDING_DECLINED: "declined",
		pickupv1.Ending_ENDING_MOVED: "moved", pickupv1.Ending_ENDING_DIED: "died",
	}
)

func pickupOf(t *pickupv1.Task) *fhir.Pickup {
	return &fhir.Pickup{
		Outcome: pickupOutcomes[t.GetOutcome()], Reason: t.GetReason(), Team: t.GetTeam(), DueAt: optionalTime(t.GetDueAt()),
		ContactHeld: t.GetContact() == pickupv1.Contact_CONTACT_HELD,
		TakenAt:     optionalTime(t.GetTakenAt()), FirstContactAt: optionalTime(t.GetFirstContactAt()), PickedUpAt: optionalTime(t.GetPickedUpAt()),
		VisitOn: t.GetVisitOn(), VisitAt: optionalTime(t.GetVisitAt()),
		CompletedAt: optionalTime(t.GetCompletedAt()), Ending: pickupEndings[t.GetEnding()], Met: t.GetMet(),
	}
}

// hold locks spells, in the order of their ids as everybody does, if Tasks are told at all.
func (t *teller) hold(ctx context.Context, tx pgx.Tx, spells []uuid.UUID) error {
	if t.nobody() {
		return nil
	}
	if _, err := tx.Exec(ctx, `SELECT FROM spell WHERE id = ANY($1) ORDER BY id FOR UPDATE`, spells); err != nil {
		return fmt.Errorf("lock spells: %w", err)
	}
	return nil
}

// versionsEach is how many versions a Task may have between two restores of the database. After one they are counted on from its next multiple, so
// that none is given twice: a client may have been told of versions that the restore took away.
const versionsEach = 10_000_000

// tell brings the Tasks of spells up to date, in the transaction that changed the spells or what is known of their tasks. A Task that says
// something new gets a new version and is due to be posted; so does one of before a restore, because what clients were told last may be gone
// from here. The caller holds the spells.
func (t *teller) tell(ctx context.Context, tx pgx.Tx, now time.Time, spells []uuid.UUID) error {
	if t.nobody() || len(spells) == 0 {
		return nil
	}
	tasks := make([]uuid.UUID, len(spells))
	for i, id := range spells {
		tasks[i] = uuid.MustParse(fhir.TaskID(id.String()))
	}
	rows, err := tx.Query(ctx, `
		SELECT s.id, s.reference, (s.delivered_epoch, s.delivered_version) = (o.epoch, o.version), o.data, i.data,
			CASE WHEN t.version > (e.epoch - 1) * $4::bigint THEN t.handover ELSE '' END,
			coalesce(nullif(t.visit_number, ''), first.visit_number, '')
		FROM unnest($1::uuid[], $2::uuid[]) AS u (id, task) JOIN spell s ON s.id = u.id JOIN outbox o ON o.id = u.id
		LEFT JOIN inbox i ON i.id = u.task AND i.type = $3 LEFT JOIN fhir_task t ON t.task_id = u.task
		LEFT JOIN LATERAL (SELECT f.fact::json->>'visit_number' AS visit_number FROM fact f
			WHERE coalesce(t.visit_number, '') = '' AND f.spell_id = s.id AND f.fact::json->>'visit_number' <> '' ORDER BY f.inbound_id LIMIT 1) first ON true
		CROSS JOIN epoch e`,
		spells, tasks, taskType, versionsEach)
	if err != nil {
		return fmt.Errorf("read handovers: %w", err)
	}
	changed, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*changedTask, error) {
		c := &changedTask{}
		var spell, task []byte
		if err := row.Scan(&c.spell, &c.now.Reference, &c.now.Delivered, &spell, &task, &c.before, &c.now.VisitNumber); err != nil {
			return nil, err
		}
		return c, c.read(spell, task)
	})
	if err != nil {
		return fmt.Errorf("read handovers: %w", err)
	}
	all := t.clients.get()
	changed = slices.DeleteFunc(changed, func(c *changedTask) bool {
		_, told := all.providers[c.now.Provider]
		return !told || c.after == c.before
	})
	return all.save(ctx, tx, now, changed)
}

// changedTask is what is told of a handover, as it was and as it is.
type changedTask struct {
	spell         uuid.UUID
	now           fhir.Handover
	before, after string
}

func (c *changedTask) read(spell, task []byte) error {
	var s dischargev1.Spell
	if err := proto.Unmarshal(spell, &s); err != nil {
		return err
	}
	c.now.SpellID, c.now.Provider = c.spell.String(), s.GetProvider()
	c.now.Voided = s.GetStatus() == dischargev1.SpellStatus_SPELL_STATUS_VOIDED
	c.now.DischargeCancelled = slices.Contains(s.GetFlags(), discharge.FlagDischargeCancelled)
	c.now.VisitNumber = storedControlID(c.now.VisitNumber)
	if len(task) > 0 {
		var t pickupv1.Task
		if err := proto.Unmarshal(task, &t); err != nil {
			return err
		}
		c.now.Pickup = pickupOf(&t)
	}
	text, err := json.Marshal(c.now)
	c.after = string(text)
	return err
}

func (all *clientele) save(ctx context.Context, tx pgx.Tx, now time.Time, changed []*changedTask) error {
	if len(changed) == 0 {
		return nil
	}
	slices.SortFunc(changed, func(a, b *changedTask) int { return bytes.Compare(a.spell[:], b.spell[:]) })
	n := len(changed)
	tasks, spells := make([]uuid.UUID, n), make([]uuid.UUID, n)
	who, references, visits := make([]string, n), make([]string, n), make([]string, n)
	statuses, owners, texts := make([]string, n), make([]string, n), make([]string, n)
	var posted, clients []string
	for i, c := range changed {
		tasks[i], spells[i] = uuid.MustParse(fhir.TaskID(c.now.SpellID)), c.spell
		who[i], references[i], visits[i], texts[i] = c.now.Provider, c.now.Reference, c.now.VisitNumber, c.after
		statuses[i] = c.now.State().Status
		if c.now.Pickup != nil {
			owners[i] = c.now.Pickup.Team
		}
		for _, client := range all.providers[c.now.Provider] {
			posted, clients = append(posted, tasks[i].String()), append(clients, client)
		}
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO fhir_task AS t (task_id, spell_id, provider, reference, visit_number, status, owner, handover, created_at, updated_at, version)
		SELECT *, $9, $9, (SELECT epoch - 1 FROM epoch) * $10::bigint + 1 FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
		ON CONFLICT (task_id) DO UPDATE SET visit_number = excluded.visit_number, status = excluded.status, owner = excluded.owner,
			handover = excluded.handover, version = greatest(t.version + 1, excluded.version), updated_at = greatest(excluded.updated_at, t.updated_at + interval '1 microsecond')`,
		tasks, spells, who, references, visits, statuses, owners, texts, now, versionsEach); err != nil {
		return fmt.Errorf("save tasks: %w", err)
	}
	if len(clients) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO webhook_due AS d (client, task_id, version, since, next_at)
		SELECT u.client, u.task, t.version, $3, $3 FROM unnest($1::text[], $2::uuid[]) AS u (client, task) JOIN fhir_task t ON t.task_id = u.task ORDER BY 1, 2
		ON CONFLICT (client, task_id) DO UPDATE SET version = excluded.version`, clients, posted, now); err != nil {
		return fmt.Errorf("queue webhooks: %w", err)
	}
	for _, client := range clients {
		all.due[client].Raise()
	}
	return nil
}

// drop takes back what is due to be posted to clients that are told of the Task's provider no more: their attempts are over, as if the Task had
// been taken. It closes the exceptions of Tasks that are
// due to nobody else.
func (all *clientele) drop(ctx context.Context, tx pgx.Tx, now time.Time) error {
	var clients, told []string
	for provider, list := range all.providers {
		for _, client := range list {
			clients, told = append(clients, client), append(told, provider)
		}
	}
	if _, err := tx.Exec(ctx, `
		WITH dropped AS (
			DELETE FROM webhook_due d USING fhir_task t WHERE t.task_id = d.task_id AND NOT EXISTS (
				SELECT FROM unnest($1::text[], $2::text[]) AS told (client, provider) WHERE told.client = d.client AND told.provider = t.provider)
			RETURNING d.client, t.task_id, t.spell_id
		), over AS (
			UPDATE webhook_attempt a SET taken_at = $3 FROM dropped o WHERE a.task_id = o.task_id AND a.client = o.client AND a.taken_at IS NULL
		)
		UPDATE exception e SET closed_at = $3 FROM dropped o WHERE e.spell_id = o.spell_id AND e.kind = $4 AND e.closed_at IS NULL
			AND NOT EXISTS (SELECT FROM webhook_due d WHERE d.task_id = o.task_id AND (d.client, d.task_id) NOT IN (SELECT client, task_id FROM dropped))`,
		clients, told, now, webhookUndelivered); err != nil {
		return fmt.Errorf("drop webhooks: %w", err)
	}
	return nil
}

// taskWalker brings the Tasks of all spells up to date, after each start, whenever the clients change, and every day: of those that were there
// before their provider had a client, and of those that changed while a restore was put right. What is due to clients that are gone it drops.
type taskWalker struct {
	store   *store
	clients *roster
	now     func() time.Time
	of      *clientele // for whom it walks
	after   uuid.UUID
}

const (
	walkBatch = 250
	walkEvery = 24 * time.Hour
)

// Step walks one batch.
func (w *taskWalker) Step(ctx context.Context) (bool, error) {
	if all := w.clients.get(); all != w.of {
		w.of, w.after = all, uuid.Nil
	}
	var ids []uuid.UUID
	err := w.store.db.InTx(ctx, "walk-tasks", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT id FROM spell WHERE id > $1 ORDER BY id LIMIT $2 FOR UPDATE`, w.after, walkBatch)
		if err != nil {
			return err
		}
		if ids, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID]); err != nil || len(ids) == 0 {
			return errOrNothing(err)
		}
		if w.after == uuid.Nil {
			if err := w.of.drop(ctx, tx, w.now()); err != nil {
				return err
			}
		}
		return w.store.teller.tell(ctx, tx, w.now(), ids)
	})
	if err != nil {
		return false, fmt.Errorf("walk tasks: %w", err)
	}
	if len(ids) == 0 {
		w.after = uuid.Nil
		return false, nil
	}
	w.after = ids[len(ids)-1]
	return true, nil
}

func errOrNothing(err error) error {
	if err == nil {
		return pg.ErrNothing
	}
	return err
}
