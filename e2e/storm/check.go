package storm

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// check holds what is stored against what was acknowledged. It returns what is wrong, or not yet right.
func (s *storm) check(ctx context.Context) []string {
	var found []string
	for _, err := range s.traffic.rejected {
		found = append(found, err.Error())
	}
	for _, look := range []func(context.Context) ([]string, error){s.checkMessages, s.checkOutcomes, s.checkAgreement, s.checkSlots} {
		wrong, err := look(ctx)
		if err != nil {
			wrong = append(wrong, err.Error())
		}
		found = append(found, wrong...)
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
	for _, v := range s.traffic.visits() {
		for _, m := range v.messages {
			if n := stored[sha256.Sum256(m.Encode())]; n != 1 {
				found = append(found, fmt.Sprintf("message %s was acknowledged and is stored %d times", m["MSH-10"], n))
			}
		}
	}
	pending, err := query(ctx, s.stack, "discharge-hub", pgx.RowTo[int], `SELECT count(*) FROM inbound_pending`)
	if err == nil && pending[0] != 0 {
		found = append(found, fmt.Sprintf("%d messages are not interpreted", pending[0]))
	}
	return found, err
}

// checkOutcomes says that each visit has one spell and one task, as the rules have it, and that there is no task without a spell.
func (s *storm) checkOutcomes(ctx context.Context) ([]string, error) {
	spells, err := s.spells(ctx)
	if err != nil {
		return nil, err
	}
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
	for _, v := range s.traffic.visits() {
		if n := len(spells[v.number]); n != 1 {
			found = append(found, fmt.Sprintf("visit %s has %d spells", v.number, n))
			continue
		}
		found = append(found, v.check(tasks[spells[v.number][0]])...)
	}
	return found, nil
}

// check compares a task with what must have become of the visit.
func (v *visit) check(task *pickupv1.Task) []string {
	switch {
	case task == nil:
		return []string{fmt.Sprintf("visit %s has no task", v.number)}
	case task.GetOutcome() != pickupv1.Outcome_OUTCOME_PICK_UP_DUE || task.GetTeam() != v.team || task.GetDueOn() != v.due:
		return []string{fmt.Sprintf("visit %s: %s, %s, due %s; not %s, %s", v.number, task.GetOutcome(), task.GetTeam(), task.GetDueOn(), v.team, v.due)}
	case v.assessment && task.GetAssessmentStatus() == "", v.reablement && task.GetReablementStatus() == "":
		return []string{fmt.Sprintf("visit %s: the task knows of assessment %q and reablement %q", v.number, task.GetAssessmentStatus(), task.GetReablementStatus())}
	}
	return nil
}

// spells maps visit numbers to the spells that the hub made of them.
func (s *storm) spells(ctx context.Context) (map[string][]string, error) {
	type pair struct{ Visit, Spell string }
	pairs, err := query(ctx, s.stack, "discharge-hub", pgx.RowToStructByPos[pair], `
		SELECT DISTINCT coalesce(fact::json->>'visit_number', ''), spell_id::text FROM fact`)
	spells := map[string][]string{}
	for _, p := range pairs {
		spells[p.Visit] = append(spells[p.Visit], p.Spell)
	}
	return spells, err
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

// checkSlots says that no offer was promised to more people than it has slots, and that each promise is kept.
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
	taken := map[uuid.UUID][]string{}
	for _, g := range rows {
		taken[g.Capacity] = append(taken[g.Capacity], g.Spell)
	}
	var found []string
	for capacity, promised := range s.traffic.promises() {
		if len(promised) > slots || len(taken[capacity]) > slots {
			found = append(found, fmt.Sprintf("offer %s of %d slots was promised to %d and is held by %d", capacity, slots, len(promised), len(taken[capacity])))
		}
		for _, spell := range promised {
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
	spells, err := s.spells(ctx)
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
		for _, spell := range spells[v.number] {
			took := delivered[spell].Sub(v.acknowledged)
			if v.acknowledged.After(quiet) {
				longestQuiet = max(longestQuiet, took)
			} else {
				longest = max(longest, took)
			}
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
