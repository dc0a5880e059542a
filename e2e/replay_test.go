package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/homeward-care/homeward/e2e/hospital"
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
	empty := startAnother(t)
	var all, revocations []sent
	for _, m := range messages {
		if m.Format == "hl7v2" {
			all = append(all, sent{hl7: m.Body})
			continue
		}
		req := &dischargev1.RecordEventRequest{}
		if err := proto.Unmarshal(m.Body, req); err != nil {
			t.Fatal(err)
		}
		if req.GetKind() == dischargev1.EventKind_EVENT_KIND_REVOKE_MERGE {
			revocations = append(revocations, sent{event: req})
		} else {
			all = append(all, sent{event: req})
		}
	}
	empty.replay(t, all)
	// The hub takes a revocation when it has read the merge.
	eventually(t, "the merges are read", func() error {
		pending, err := query(t.Context(), empty, "discharge-hub", pgx.RowTo[int], `SELECT count(*) FROM inbound_pending`)
		if err == nil && pending[0] > 0 {
			err = fmt.Errorf("%d messages wait", pending[0])
		}
		return err
	})
	empty.replay(t, revocations)
	eventually(t, "all replayed spells are delivered", func() error { return empty.allDelivered(t.Context()) })

	worked := tasksThatPeopleWorkedOn(t, shared)
	// Both stacks' sweepers have notices of long ago to fire, so the comparison may have to wait for them.
	eventually(t, "the tasks are the same", func() error {
		before, after := publishedTasks(t, shared), publishedTasks(t, empty)
		var wrong []error
		compared := 0
		for spell, want := range before {
			got := after[spell]
			// What people and other services did is not in the hospital's messages.
			if worked[want.GetTaskId()] || want.GetAssessmentStatus() != "" || want.GetReablementStatus() != "" {
				continue
			}
			if got == nil {
				return fmt.Errorf("spell %s has no task after the replay", spell)
			}
			if diff := gocmp.Diff(withoutRecorded(want), withoutRecorded(got), protocmp.Transform()); diff != "" {
				wrong = append(wrong, fmt.Errorf("spell %s\nbefore -, replayed +:\n%s", spell, diff))
			}
			compared++
		}
		if compared < 50 {
			return fmt.Errorf("only %d tasks were compared", compared)
		}
		return errors.Join(wrong...)
	})
}

// withoutRecorded takes away what says when, and in how many steps, we learned of things: the spell's version, the number of the schedule,
// the days that were used by then, which discharge was learned of last and when, since when the team had the task, the times at which notices
// fired, and those that were withdrawn or count from when the team got the task. Where a person has died, contact is held or the hub reviews a
// stay in another hospital, what fired before that was known stands too.
func withoutRecorded(t *pickupv1.Task) *pickupv1.Task {
	t = proto.CloneOf(t)
	t.SpellEpoch, t.SpellVersion, t.Schedule, t.DaysUsedOnArrival, t.DischargeNumber, t.LearnedAt, t.DeliveredAt = 0, 0, 0, 0, 0, nil, nil
	if t.GetContact() != pickupv1.Contact_CONTACT_ALLOWED || t.GetOutcome() == pickupv1.Outcome_OUTCOME_IN_ANOTHER_HOSPITAL {
		t.Notices = nil
	}
	t.Notices = slices.DeleteFunc(t.Notices, func(n *pickupv1.Notice) bool {
		return n.GetWithdrawnAt() != nil || n.GetKind() == pickupv1.NoticeKind_NOTICE_KIND_UNTAKEN_DUTY || n.GetKind() == pickupv1.NoticeKind_NOTICE_KIND_UNTAKEN_MANAGER
	})
	for _, n := range t.Notices {
		n.FiredAt, n.Schedule = nil, 0
	}
	slices.SortFunc(t.Notices, func(a, b *pickupv1.Notice) int {
		return cmp.Or(a.GetDueAt().AsTime().Compare(b.GetDueAt().AsTime()), cmp.Compare(a.GetKind(), b.GetKind()))
	})
	return t
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

// tasksThatPeopleWorkedOn are the ids of tasks of which the audit names somebody other than a service.
func tasksThatPeopleWorkedOn(t *testing.T, p *platform) map[string]bool {
	t.Helper()
	ids, err := query(t.Context(), p, "community-pickup", pgx.RowTo[string], `SELECT DISTINCT record::text FROM audit WHERE actor NOT LIKE 'service:%'`)
	if err != nil {
		t.Fatal(err)
	}
	worked := map[string]bool{}
	for _, id := range ids {
		worked[id] = true
	}
	return worked
}

// replay sends messages without a look at what becomes of them.
func (p *platform) replay(t *testing.T, all []sent) {
	t.Helper()
	h, err := hospital.Connect(p.MLLP)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for _, m := range all {
		if m.event != nil {
			_, err = p.hub.RecordEvent(t.Context(), m.event)
		} else {
			_, _, err = h.Send(m.hl7)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
