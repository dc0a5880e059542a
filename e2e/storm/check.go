package storm

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/homeward-care/homeward/e2e/desk"
	"github.com/homeward-care/homeward/e2e/oracle"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// check holds what is stored against what was acknowledged. It returns what is wrong, or not yet right. What came of the messages is looked
// at once all services agree.
func (s *storm) check(ctx context.Context) []string {
	found := slices.Clone(s.traffic.rejected)
	for _, looks := range [][]func(context.Context) ([]string, error){{s.checkMessages, s.checkWritten, s.checkAgreement}, {s.checkRaised, s.checkOutcomes, s.checkSlots}} {
		for _, look := range looks {
			wrong, err := look(ctx)
			if err != nil {
				wrong = append(wrong, err.Error())
			}
			found = append(found, wrong...)
		}
		if len(found) > 0 {
			break
		}
	}
	return found
}

// checkMessages says that the bytes of each acknowledged message are stored, once, and interpreted.
func (s *storm) checkMessages(ctx context.Context) ([]string, error) {
	digests, err := query(ctx, s.stack, "discharge-hub", pgx.RowTo[[]byte], `SELECT digest FROM inbound`)
	if err != nil {
		return nil, err
	}
	stored := map[[sha256.Size]byte]int{}
	for _, d := range digests {
		stored[[sha256.Size]byte(d)]++
	}
	var found []string
	for _, m := range s.traffic.told() {
		if n := stored[sha256.Sum256(m.HL7)]; m.HL7 != nil && n != 1 {
			found = append(found, fmt.Sprintf("message %s was acknowledged and is stored %d times", m.ControlID, n))
		}
	}
	pending, err := query(ctx, s.stack, "discharge-hub", pgx.RowTo[int], `SELECT count(*) FROM inbound_pending`)
	if err == nil && pending[0] != 0 {
		found = append(found, fmt.Sprintf("%d messages are not interpreted", pending[0]))
	}
	return found, err
}

// checkWritten says that what was written resource by resource is kept as it was answered. What was told by it goes into the outcomes.
func (s *storm) checkWritten(ctx context.Context) ([]string, error) {
	var ids []string
	for _, v := range s.traffic.visits() {
		if v.desk != nil {
			ids = append(ids, v.desk.Resources()...)
		}
	}
	requests, err := query(ctx, s.stack, "discharge-hub", pgx.RowToStructByPos[desk.Request], desk.RequestsSQL, recordKeys)
	if err != nil {
		return nil, err
	}
	resources, err := query(ctx, s.stack, "discharge-hub", pgx.RowToStructByPos[desk.Resource], desk.ResourcesSQL, ids)
	if err != nil {
		return nil, err
	}
	kept := desk.KeptOf(requests, resources)
	var found []string
	for _, v := range s.traffic.visits() {
		if v.desk != nil {
			var wrong []string
			v.byDesk, wrong = v.desk.Check(kept)
			found = append(found, wrong...)
		}
	}
	return found, nil
}

// checkRaised says that messages that lack something or contradict themselves are exceptions, and that no others are.
func (s *storm) checkRaised(ctx context.Context) ([]string, error) {
	open, err := query(ctx, s.stack, "discharge-hub", pgx.RowToStructByPos[oracle.Raised], oracle.RaisedSQL, oracle.OfMessages)
	return oracle.CheckRaised(s.traffic.told(), open), err
}

// recordKeys is what the keys of records begin with.
const recordKeys = "FR"

// checkOutcomes says that each stay has its spells and each spell its one task, as the oracle has it, and that nothing else came of them.
func (s *storm) checkOutcomes(ctx context.Context) ([]string, error) {
	rows, err := query(ctx, s.stack, "community-pickup", pgx.RowTo[[]byte], `SELECT data FROM outbox WHERE type = 'homeward.pickup.task.v1'`)
	if err != nil {
		return nil, err
	}
	var found []string
	tasks := map[string]*pickupv1.Task{}
	for _, row := range rows {
		task := &pickupv1.Task{}
		if err := proto.Unmarshal(row, task); err != nil {
			return nil, err
		}
		if tasks[task.GetSpellId()] != nil {
			found = append(found, fmt.Sprintf("spell %s has two tasks", task.GetSpellId()))
		}
		tasks[task.GetSpellId()] = task
	}
	care, err := s.care(ctx)
	if err != nil {
		return found, err
	}
	type record struct{ Spell, Number, Ward string }
	people, err := query(ctx, s.stack, "discharge-hub", pgx.RowToStructByPos[record],
		`SELECT spell_id::text, person::json->>'PatientNumber', person::json->>'Ward' FROM person`)
	if err != nil {
		return found, err
	}
	records := map[string]record{}
	for _, p := range people {
		records[p.Spell] = p
	}
	stays := map[string]*visit{}
	for _, v := range s.traffic.visits() {
		for _, m := range v.told() {
			for _, spell := range m.SpellIDs() {
				stays[spell] = v
			}
		}
		if known := care[v.SpellID]; v.assessment && known.Assessment == "" || v.reablement && known.Reablement == "" {
			found = append(found, fmt.Sprintf("spell %s: assessment or reablement was asked for and acknowledged; known is %+v", v.SpellID, known))
		}
	}
	expected := map[string]bool{}
	for _, want := range oracle.ExpectWith(s.traffic.told(), care) {
		expected[want.SpellID] = true
		task := tasks[want.SpellID]
		if task == nil {
			found = append(found, fmt.Sprintf("spell %s has no task", want.SpellID))
			continue
		}
		h, err := s.traffic.clients.hub.GetHandover(ctx, &dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_SpellId{SpellId: want.SpellID}})
		if err != nil {
			return found, err
		}
		seen := oracle.SeenOf(task).With(h).WithRecord(records[want.SpellID].Number, records[want.SpellID].Ward)
		wrong := append(oracle.Check(want, seen), oracle.CheckNotices(want, seen, oracle.Delivered{From: s.traffic.began, To: time.Now()}, s.traffic.began)...)
		if task.GetAssessmentStatus() != care[want.SpellID].Assessment || task.GetReablementStatus() != care[want.SpellID].Reablement {
			wrong = append(wrong, fmt.Sprintf("spell %s: the task knows of assessment %q and reablement %q; they are %+v", want.SpellID,
				task.GetAssessmentStatus(), task.GetReablementStatus(), care[want.SpellID]))
		}
		if len(wrong) > 0 {
			found = append(found, fmt.Sprintf("%s (stay %s: %s)", strings.Join(wrong, "; "), stays[want.SpellID].Key, strings.Join(stays[want.SpellID].Turns, ", ")))
		}
	}
	spells, err := versions(ctx, s.stack, "discharge-hub", `SELECT id, epoch, version FROM outbox`)
	if err != nil {
		return found, err
	}
	for spell := range tasks {
		if id, err := uuid.Parse(spell); err != nil || spells[id] == (version{}) {
			found = append(found, fmt.Sprintf("there is a task of spell %s, which the hub does not know", spell))
		}
	}
	ours, err := query(ctx, s.stack, "discharge-hub", pgx.RowTo[string], `
		SELECT DISTINCT f.spell_id::text FROM fact f JOIN inbound i ON i.id = f.inbound_id WHERE i.control_id ~ '^(OR|FR)[0-9]{6}-'`)
	for _, id := range ours {
		if !expected[id] {
			found = append(found, fmt.Sprintf("spell %s came of nothing that was acknowledged", id))
		}
	}
	return found, err
}

// care is what the other services know of each spell.
func (s *storm) care(ctx context.Context) (map[string]oracle.Care, error) {
	type row struct{ Spell, Status string }
	assessments, err := query(ctx, s.stack, "light-touch-assessment", pgx.RowToStructByPos[row], `SELECT spell_id::text, status FROM assessment`)
	if err != nil {
		return nil, err
	}
	needs, err := query(ctx, s.stack, "reablement-capacity", pgx.RowToStructByPos[row], `SELECT spell_id::text, status FROM need`)
	care := map[string]oracle.Care{}
	for _, a := range assessments {
		care[a.Spell] = oracle.Care{Assessment: a.Status}
	}
	for _, n := range needs {
		known := care[n.Spell]
		known.Reablement = n.Status
		care[n.Spell] = known
	}
	return care, err
}

// edges are all ways of events: who applies whose.
var edges = []struct{ producer, eventType, consumer string }{
	{"discharge-hub", "homeward.discharge.spell.v1", "light-touch-assessment"},
	{"discharge-hub", "homeward.discharge.spell.v1", "reablement-capacity"},
	{"discharge-hub", "homeward.discharge.spell.v1", "community-pickup"},
	{"light-touch-assessment", "homeward.assessment.assessment.v1", "community-pickup"},
	{"light-touch-assessment", "homeward.assessment.assessment.v1", "reablement-capacity"},
	{"light-touch-assessment", "homeward.assessment.assessment.v1", "discharge-hub"},
	{"reablement-capacity", "homeward.reablement.need.v1", "community-pickup"},
	{"community-pickup", "homeward.pickup.task.v1", "discharge-hub"},
}

// checkAgreement says that each consumer holds the newest version of everything that its producer published, that nothing waits to be sent
// or was buried, and that the hub knows every spell to be delivered at its version.
func (s *storm) checkAgreement(ctx context.Context) ([]string, error) {
	var found []string
	for _, e := range edges {
		published, err := versions(ctx, s.stack, e.producer, `SELECT id, epoch, version FROM outbox WHERE type = $1`, e.eventType)
		if err != nil {
			return found, err
		}
		applied, err := versions(ctx, s.stack, e.consumer, `SELECT id, epoch, version FROM inbox WHERE type = $1`, e.eventType)
		if err != nil {
			return found, err
		}
		differing := 0
		for id, v := range published {
			if applied[id] != v {
				differing++
			}
		}
		for id := range applied {
			if _, ok := published[id]; !ok {
				differing++
			}
		}
		if differing > 0 {
			found = append(found, fmt.Sprintf("%s and %s differ in %d of %d of %s", e.producer, e.consumer, differing, len(published), e.eventType))
		}
	}
	for _, service := range stack.Services {
		for what, sql := range map[string]string{"dead letters": `SELECT count(*) FROM dead_letter`, "unsent events": `SELECT count(*) FROM outbox_unsent`} {
			n, err := query(ctx, s.stack, service.Name, pgx.RowTo[int], sql)
			if err != nil {
				return found, err
			}
			if n[0] != 0 {
				found = append(found, fmt.Sprintf("%s has %d %s", service.Name, n[0], what))
			}
		}
	}
	open, err := query(ctx, s.stack, "discharge-hub", pgx.RowTo[int], `
		SELECT count(*) FROM spell s LEFT JOIN outbox o USING (id) WHERE (s.delivered_epoch, s.delivered_version) IS DISTINCT FROM (o.epoch, o.version)`)
	if err == nil && open[0] != 0 {
		found = append(found, fmt.Sprintf("%d spells are not delivered", open[0]))
	}
	return found, err
}

// checkSlots says that no offer was promised to more people than it has slots, and that each promise is kept. Only what the spell itself came
// to, such as a death, takes a promise back, even if that was corrected later; the audit tells of it.
func (s *storm) checkSlots(ctx context.Context) ([]string, error) {
	type given struct {
		Capacity uuid.UUID
		Spell    string
	}
	rows, err := query(ctx, s.stack, "reablement-capacity", pgx.RowToStructByPos[given], `
		SELECT capacity_id, spell_id::text FROM need WHERE status IN ('held', 'accepted', 'started')`)
	if err != nil {
		return nil, err
	}
	takenBack, err := query(ctx, s.stack, "reablement-capacity", pgx.RowTo[string], `SELECT DISTINCT record::text FROM audit WHERE action = 'need.follow-spell'`)
	if err != nil {
		return nil, err
	}
	taken := map[uuid.UUID][]string{}
	for _, g := range rows {
		taken[g.Capacity] = append(taken[g.Capacity], g.Spell)
	}
	var found []string
	for capacity, promised := range s.traffic.promises() {
		kept := slices.DeleteFunc(promised, func(spell string) bool { return slices.Contains(takenBack, spell) })
		if len(kept) > slots || len(taken[capacity]) > slots {
			found = append(found, fmt.Sprintf("offer %s of %d slots was promised to %d and is held by %d", capacity, slots, len(kept), len(taken[capacity])))
		}
		for _, spell := range kept {
			if !slices.Contains(taken[capacity], spell) {
				found = append(found, fmt.Sprintf("spell %s was promised a slot of offer %s and has none", spell, capacity))
			}
		}
	}
	return found, nil
}

// figures are the number of tasks, and how long deliveries took at most, for what was acknowledged in the storm and after it.
func (s *storm) figures(ctx context.Context, quiet time.Time) (tasks int, longest, longestQuiet time.Duration, err error) {
	n, err := query(ctx, s.stack, "community-pickup", pgx.RowTo[int], `SELECT count(*) FROM task`)
	if err != nil {
		return 0, 0, 0, err
	}
	type delivery struct {
		Spell string
		At    time.Time
	}
	rows, err := query(ctx, s.stack, "discharge-hub", pgx.RowToStructByPos[delivery], `SELECT id::text, delivered_at FROM spell WHERE delivered_at IS NOT NULL`)
	delivered := map[string]time.Time{}
	for _, d := range rows {
		delivered[d.Spell] = d.At
	}
	for _, v := range s.traffic.visits() {
		took := delivered[v.SpellID].Sub(v.acknowledged)
		if v.acknowledged.After(quiet) {
			longestQuiet = max(longestQuiet, took)
		} else {
			longest = max(longest, took)
		}
	}
	return n[0], longest, longestQuiet, err
}

// version is what orders the events of one aggregate.
type version struct {
	Epoch   int32
	Version int64
}

func (v version) before(w version) bool {
	return v.Epoch < w.Epoch || v.Epoch == w.Epoch && v.Version < w.Version
}

func versions(ctx context.Context, s *stack.Stack, service, sql string, args ...any) (map[uuid.UUID]version, error) {
	type row struct {
		ID      uuid.UUID
		Epoch   int32
		Version int64
	}
	rows, err := query(ctx, s, service, pgx.RowToStructByPos[row], sql, args...)
	all := map[uuid.UUID]version{}
	for _, r := range rows {
		all[r.ID] = version{r.Epoch, r.Version}
	}
	return all, err
}

// query reads rows of a service's database, past the storm's links.
func query[T any](ctx context.Context, s *stack.Stack, service string, row pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	db, err := pgx.Connect(ctx, s.Databases[service])
	if err != nil {
		return nil, err
	}
	defer db.Close(context.WithoutCancel(ctx))
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, row)
}
