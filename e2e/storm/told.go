package storm

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/homeward-care/homeward/e2e/hospital"
	"github.com/homeward-care/homeward/e2e/oracle"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
)

// checkTold holds what the hospital was told back against what is there: it is looked at once all services agree.
func (s *storm) checkTold(ctx context.Context) []string {
	var found []string
	for _, look := range []func(context.Context) ([]string, error){s.checkFHIR, s.checkPosts, s.checkWards} {
		wrong, err := look(ctx)
		if err != nil {
			wrong = append(wrong, err.Error())
		}
		found = append(found, wrong...)
	}
	return found
}

// checkFHIR says that each acknowledged FHIR message, and each write, is stored once, with one answer.
func (s *storm) checkFHIR(ctx context.Context) ([]string, error) {
	count := func(sql string) (map[string]int, error) {
		ids, err := query(ctx, s.stack, "discharge-hub", pgx.RowTo[string], sql)
		n := map[string]int{}
		for _, id := range ids {
			n[id]++
		}
		return n, err
	}
	stored, err := count(`SELECT control_id FROM inbound WHERE feed = 'mse-fhir'`)
	if err != nil {
		return nil, err
	}
	answered, err := count(`SELECT request_id FROM fhir_answer WHERE status / 100 = 2`)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, m := range s.traffic.told() {
		if m.FHIR != nil && (stored[m.ControlID] != 1 || answered[m.ControlID] != 1) {
			found = append(found, fmt.Sprintf("FHIR message %s was acknowledged, is stored %d times and has %d answers", m.ControlID, stored[m.ControlID], answered[m.ControlID]))
		}
	}
	return found, nil
}

// checkPosts says that nothing waits to be posted, and that the webhook's newest version of each Task is what a search tells.
func (s *storm) checkPosts(ctx context.Context) ([]string, error) {
	waiting, err := query(ctx, s.stack, "discharge-hub", pgx.RowTo[string],
		`SELECT format('Task %s waits to be posted, after %s attempts, at %s', task_id, attempts, next_at) FROM webhook_due`)
	if err != nil {
		return nil, err
	}
	found := append(waiting, s.receivers.webhook.Wrong()...)
	door := hospital.FHIR{Door: s.stack.FHIR, SignIn: s.traffic.signIn}
	defer door.Close()
	tasks := 0
	for next := "/fhir/Task?_count=200"; next != ""; {
		answer, err := door.Get(ctx, next)
		if err != nil {
			return found, err
		}
		page, err := hospital.Found(answer.Body)
		if err != nil {
			return found, err
		}
		for id, task := range page.Resources {
			tasks++
			if posted := s.receivers.webhook.Task(id); !bytes.Equal(posted.Body, task) {
				found = append(found, fmt.Sprintf("the webhook has %s, the Task is %s", posted.Body, task))
			}
		}
		next = page.Next
	}
	kept, err := query(ctx, s.stack, "discharge-hub", pgx.RowTo[int], `SELECT count(*) FROM webhook_attempt`)
	if err != nil {
		return found, err
	}
	came := 0
	for _, n := range s.receivers.webhook.Posts() {
		came += n
	}
	if tasks == 0 || kept[0] < came {
		found = append(found, fmt.Sprintf("%d Tasks, %d posts came, %d attempts are recorded", tasks, came, kept[0]))
	}
	return found, nil
}

// checkWards says that no answer waits, and that each ward was told of each spell of its feed what is true of its task.
func (s *storm) checkWards(ctx context.Context) ([]string, error) {
	waiting, err := query(ctx, s.stack, "discharge-hub", pgx.RowTo[string],
		`SELECT format('an answer of feed %s waits, after %s tries, until %s', feed, tries, next_try) FROM answer WHERE accepted_at IS NULL`)
	if err != nil {
		return nil, err
	}
	found := append(waiting, s.receivers.ward.Wrong()...)
	type spell struct{ ID, Reference string }
	rows, err := query(ctx, s.stack, "discharge-hub", pgx.RowToStructByPos[spell], `SELECT id::text, reference FROM spell`)
	if err != nil {
		return found, err
	}
	references := map[string]string{}
	for _, r := range rows {
		references[r.ID] = r.Reference
	}
	data, err := query(ctx, s.stack, "community-pickup", pgx.RowTo[[]byte], `SELECT data FROM outbox WHERE type = 'homeward.pickup.task.v1'`)
	if err != nil {
		return found, err
	}
	tasks := map[string]oracle.Seen{}
	for _, d := range data {
		task := &pickupv1.Task{}
		if err := proto.Unmarshal(d, task); err != nil {
			return found, err
		}
		tasks[task.GetSpellId()] = oracle.SeenOf(task)
	}
	told := map[[2]string][]hospital.Answer{}
	heard := 0
	for _, a := range s.receivers.ward.Came() {
		key := [2]string{a.Feed, a.Reference}
		told[key] = append(told[key], a)
		heard += a.Times
	}
	looked := map[[2]string]bool{}
	for _, m := range s.traffic.told() {
		key := [2]string{m.Feed, references[m.SpellID]}
		if m.SpellID == "" || m.HL7 == nil || !slices.Contains(answeredFeeds, m.Feed) || looked[key] {
			continue
		}
		looked[key] = true
		task := tasks[m.SpellID]
		for _, wrong := range hospital.Untrue(told[key], strings.TrimPrefix(task.Outcome, "pick-up-"), task.Team) {
			found = append(found, fmt.Sprintf("spell %s, feed %s: %s", m.SpellID, m.Feed, wrong))
		}
		if len(told[key]) > 0 && told[key][0].Visit != m.Visit {
			found = append(found, fmt.Sprintf("spell %s, feed %s: told of visit %q, the hospital's is %q", m.SpellID, m.Feed, told[key][0].Visit, m.Visit))
		}
	}
	kept, err := query(ctx, s.stack, "discharge-hub", pgx.RowTo[int], `SELECT count(*) FROM answer_attempt`)
	if err == nil && kept[0] < heard {
		found = append(found, fmt.Sprintf("the wards heard %d times, and %d attempts are recorded", heard, kept[0]))
	}
	return found, err
}
