package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/homeward-care/homeward/e2e/desk"
	"github.com/homeward-care/homeward/e2e/hospital"
	"github.com/homeward-care/homeward/e2e/oracle"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
)

// teamsOfMerged: what was told under one of two numbers holds for the stay under the other, and nothing was lost or doubled by the merge.
func (s *story) teamsOfMerged(ctx context.Context) error {
	for _, m := range s.merges {
		n, err := s.w.count(ctx, hub, `SELECT count(*) FROM inbound WHERE control_id = ANY($1)`, m.sent)
		if err == nil && n != len(m.sent) {
			err = fmt.Errorf("%d of %d messages about a merge are stored", n, len(m.sent))
		}
		if err != nil {
			return err
		}
		task, err := s.w.tasks.GetTask(ctx, &pickupv1.GetTaskRequest{Key: &pickupv1.GetTaskRequest_SpellId{SpellId: m.spell}})
		if err != nil {
			return err
		}
		if got := task.GetTask().GetTeam(); got != m.team {
			return fmt.Errorf("the task of the merged person's spell %s is %q's, must be %s's", m.spell, got, m.team)
		}
	}
	return nil
}

// written: what was answered to who tells resource by resource is what is kept. What they told by it goes into the outcomes.
func (s *story) written(ctx context.Context) error {
	if s.desk == nil {
		return nil
	}
	requests, err := rowsOf[desk.Request](ctx, s.w, desk.RequestsSQL, s.desk.Record.Key)
	if err != nil {
		return err
	}
	resources, err := rowsOf[desk.Resource](ctx, s.w, desk.ResourcesSQL, s.desk.Resources())
	if err != nil {
		return err
	}
	told, wrong := s.desk.Check(desk.KeptOf(requests, resources))
	s.byDesk = told
	return errors.Join(complaints(wrong)...)
}

func complaints(wrong []string) (failed []error) {
	for _, w := range wrong {
		failed = append(failed, errors.New(w))
	}
	return failed
}

// all is what was told in messages and in resources.
func (s *story) all() []oracle.Told { return slices.Concat(s.told, s.byDesk) }

// rowsOf reads rows of the hub's database.
func rowsOf[T any](ctx context.Context, w *world, sql string, args ...any) ([]T, error) {
	rows, err := w.db[hub].Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}

// storedByFHIR: each message that was answered with 2xx is stored once, with its answer and one version of its resource.
func (s *story) storedByFHIR(ctx context.Context) error {
	var ids, spells []string
	for _, m := range s.told {
		if m.FHIR != nil {
			ids, spells = append(ids, m.ControlID), append(spells, m.SpellID)
		}
	}
	var failed []error
	for what, sql := range map[string]string{
		"requests stored":  `SELECT count(*) FROM inbound WHERE feed = 'mse-fhir' AND control_id = ANY($1)`,
		"answers kept":     `SELECT count(*) FROM fhir_answer WHERE status / 100 = 2 AND request_id = ANY($1)`,
		"spells' messages": `SELECT count(*) FROM fact f JOIN inbound i ON i.id = f.inbound_id WHERE i.feed = 'mse-fhir' AND i.control_id = ANY($1)`,
	} {
		n, err := s.w.count(ctx, hub, sql, ids)
		if err == nil && n != len(ids) {
			err = fmt.Errorf("%d %s for %d acknowledged FHIR messages", n, what, len(ids))
		}
		failed = append(failed, err)
	}
	n, err := s.w.count(ctx, hub, `SELECT count(*) FROM fhir_resource WHERE type = 'Encounter' AND version = 1 AND id = ANY($1::text[]::uuid[])`, spells)
	if err == nil && n != len(spells) {
		err = fmt.Errorf("%d of %d Encounters are there in one version", n, len(spells))
	}
	return errors.Join(append(failed, err)...)
}

// spells are those that the story tells of, with the feeds at which they were told.
func (s *story) spells() map[string][]string {
	all := map[string][]string{}
	for _, m := range s.all() {
		for _, spell := range m.SpellIDs() {
			if !slices.Contains(all[spell], m.Feed) {
				all[spell] = append(all[spell], m.Feed)
			}
		}
	}
	for _, m := range s.merges {
		all[m.spell] = []string{"mse-basildon"}
	}
	return all
}

// posted: nothing waits to be posted, what the webhook took last of each Task is what GET tells, and every post is in the hub's records.
func (s *story) posted(ctx context.Context) error {
	waiting, err := s.w.count(ctx, hub, `SELECT count(*) FROM webhook_due`)
	if err == nil && waiting != 0 {
		err = fmt.Errorf("%d Tasks wait to be posted", waiting)
	}
	if err != nil {
		return err
	}
	failed := complaints(s.w.told.Wrong())
	tasks, err := s.tasksByFHIR(ctx)
	if err != nil {
		return err
	}
	posts := s.w.told.Posts()
	for spell, feeds := range s.spells() {
		if slices.Contains(feeds, "bhrut") || slices.Contains(feeds, "dartford") {
			continue // no client is told of these providers' Tasks
		}
		id := oracle.TaskID(spell)
		newest := s.w.told.Task(id)
		if len(tasks[id]) == 0 || !bytes.Equal(newest.Body, tasks[id]) {
			failed = append(failed, fmt.Errorf("the webhook has %s, the Task is %s", newest.Body, tasks[id]))
		}
		if !s.fresh {
			continue
		}
		kept, err := s.w.count(ctx, hub, `SELECT count(*) FROM webhook_attempt WHERE task_id = $1 AND version = (SELECT version FROM fhir_task WHERE task_id = $1)`, id)
		if err == nil && kept < posts[newest.RequestID] {
			err = fmt.Errorf("the newest version of Task %s was posted %d times, and %d attempts are recorded", id, posts[newest.RequestID], kept)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// tasksByFHIR searches for the Tasks of the story, by id: all at once, because a client's requests are counted.
func (s *story) tasksByFHIR(ctx context.Context) (map[string]json.RawMessage, error) {
	var ids []string
	for spell := range s.spells() {
		ids = append(ids, oracle.TaskID(spell))
	}
	answer, err := s.door.Get(ctx, "/fhir/Task?_count=200&_id="+strings.Join(ids, ","))
	if err != nil {
		return nil, err
	}
	found, err := hospital.Found(answer.Body)
	return found.Resources, err
}

// answered: each ward was told of each spell that its feed told of, what is true of it in the end. Of what was true for a moment only, such as a
// task that was taken and then moved to another team, the hub may never have heard.
func (s *story) answered(ctx context.Context) error {
	waiting, err := s.w.count(ctx, hub, `SELECT count(*) FROM answer WHERE accepted_at IS NULL`)
	if err == nil && waiting != 0 {
		err = fmt.Errorf("%d answers to wards wait", waiting)
	}
	if err != nil {
		return err
	}
	failed := complaints(s.w.ward.Wrong())
	for spell, feeds := range s.spells() {
		task, err := s.w.tasks.GetTask(ctx, &pickupv1.GetTaskRequest{Key: &pickupv1.GetTaskRequest_SpellId{SpellId: spell}})
		if err != nil {
			return err
		}
		h, err := s.w.hub.GetHandover(ctx, &dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_SpellId{SpellId: spell}})
		if err != nil {
			return err
		}
		for _, feed := range feeds {
			if !slices.Contains(answeredFeeds, feed) {
				continue
			}
			told := s.w.ward.Told(feed, h.GetReference())
			for _, wrong := range hospital.Untrue(told, strings.TrimPrefix(oracle.SeenOf(task.GetTask()).Outcome, "pick-up-"), task.GetTask().GetTeam()) {
				failed = append(failed, fmt.Errorf("spell %s, feed %s: %s", spell, feed, wrong))
			}
			for word, at := range map[string]*timestamppb.Timestamp{"taken": task.GetTask().GetTakenAt(), "contacted": task.GetTask().GetFirstContactAt(),
				"closed": task.GetTask().GetCompletedAt()} {
				if at != nil && !slices.ContainsFunc(told, func(a hospital.Answer) bool { return a.Word == word }) {
					failed = append(failed, fmt.Errorf("spell %s: the ward was not told %q", spell, word))
				}
			}
			failed = append(failed, s.recorded(ctx, spell, feed, told))
		}
	}
	return errors.Join(failed...)
}

// recorded: every time that the ward heard something of a spell is in the hub's records.
func (s *story) recorded(ctx context.Context, spell, feed string, told []hospital.Answer) error {
	heard := 0
	for _, a := range told {
		heard += a.Times
	}
	kept, err := s.w.count(ctx, hub, `SELECT count(*) FROM answer_attempt t JOIN answer a ON a.id = t.answer_id WHERE a.spell_id = $1 AND a.feed = $2`, uuid.MustParse(spell), feed)
	if err == nil && s.fresh && kept < heard {
		err = fmt.Errorf("spell %s: the ward heard %d times, and %d attempts are recorded", spell, heard, kept)
	}
	return err
}
