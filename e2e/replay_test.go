package e2e

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
)

// TestReplayingAllMessagesIntoAnEmptySystemGivesTheSameTasks takes every raw message of the shared stack's hub, whatever the other tests
// sent, and sends them in another order to a stack that has seen nothing.
func TestReplayingAllMessagesIntoAnEmptySystemGivesTheSameTasks(t *testing.T) {
	type raw struct {
		Format string
		Body   []byte
	}
	messages, err := query(t.Context(), shared, "discharge-hub", pgx.RowToStructByPos[raw], `SELECT format, body FROM inbound WHERE accepted ORDER BY id DESC`)
	if err != nil || len(messages) < 50 {
		t.Fatalf("%d messages: %v", len(messages), err)
	}
	before := publishedTasks(t, shared)
	for id, task := range before {
		// What people and other services did is not in the hospital's messages.
		if task.GetTakenAt() != nil || task.GetAssessmentStatus() != "" || task.GetReablementStatus() != "" || worked(t, shared, id) {
			delete(before, id)
		}
	}

	empty := startAnother(t)
	var all []sent
	for _, m := range messages {
		if m.Format == "hl7v2" {
			all = append(all, sent{hl7: m.Body})
			continue
		}
		req := &dischargev1.RecordEventRequest{}
		if err := proto.Unmarshal(m.Body, req); err != nil {
			t.Fatal(err)
		}
		all = append(all, sent{event: req})
	}
	empty.replay(t, all)
	eventually(t, "all replayed spells are delivered", func() error { return empty.allDelivered(t.Context()) })

	after := publishedTasks(t, empty)
	compared := 0
	for id, want := range before {
		got := after[id]
		if got == nil {
			t.Errorf("spell %s has no task after the replay", id)
			continue
		}
		maskRecorded(want)
		maskRecorded(got)
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("spell %s\nbefore -, replayed +:\n%s", id, diff)
		}
		compared++
	}
	if compared < 40 {
		t.Errorf("only %d tasks were compared", compared)
	}
}

// maskRecorded removes what says when, or in how many steps, we learned of things.
func maskRecorded(t *pickupv1.Task) {
	t.SpellEpoch, t.SpellVersion = 0, 0
	t.Schedule = 0
	t.DaysUsedOnArrival = 0
	t.Notices = slices.DeleteFunc(t.Notices, func(*pickupv1.Notice) bool { return true })
}

// publishedTasks are the newest snapshots that community-pickup publishes, by spell.
func publishedTasks(t *testing.T, p *platform) map[string]*pickupv1.Task {
	t.Helper()
	rows, err := query(t.Context(), p, "community-pickup", pgx.RowTo[[]byte], `SELECT data FROM outbox WHERE type = 'homeward.pickup.task.v1'`)
	if err != nil {
		t.Fatal(err)
	}
	tasks := map[string]*pickupv1.Task{}
	for _, row := range rows {
		task := &pickupv1.Task{}
		if err := proto.Unmarshal(row, task); err != nil {
			t.Fatal(err)
		}
		if tasks[task.GetSpellId()] != nil {
			t.Errorf("spell %s has two tasks", task.GetSpellId())
		}
		tasks[task.GetSpellId()] = task
	}
	return tasks
}

// worked says whether a person did something with the task of a spell.
func worked(t *testing.T, p *platform, spell string) bool {
	t.Helper()
	people, err := query(t.Context(), p, "community-pickup", pgx.RowTo[int],
		`SELECT count(*) FROM audit a JOIN outbox o ON o.id = a.record WHERE o.key = $1 AND a.actor NOT LIKE 'service:%'`, spell)
	if err != nil {
		t.Fatal(err)
	}
	return people[0] > 0
}

// replay sends messages without a look at what becomes of them.
func (p *platform) replay(t *testing.T, all []sent) {
	t.Helper()
	h, err := connect(p.MLLP)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	for _, m := range all {
		if m.event != nil {
			_, err = p.hub.RecordEvent(t.Context(), m.event)
		} else {
			_, _, err = h.send(m.hl7)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
