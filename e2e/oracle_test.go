package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/e2e/hospital"
	"github.com/homeward-care/homeward/e2e/oracle"
	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
)

// TestRandomStaysEndAsTheOracleSays tells some hundred random stays through the doors, in any order and with copies, over several connections
// at once. In the middle workers take what is open and other services become involved. What became of each spell, and which notices
// fired, is what the oracle says of the set of its messages.
func TestRandomStaysEndAsTheOracleSays(t *testing.T) {
	const stays = 240
	random := rand.New(rand.NewPCG(2026, 11))
	var all []oracle.Told
	story := map[string]oracle.Stay{} // by spell
	for n := range stays {
		stay := oracle.NewStay(random, n, leavingIn2026(random))
		all = append(all, stay.Messages...)
		for _, m := range stay.Messages {
			for _, spell := range m.SpellIDs() {
				story[spell] = stay
			}
			if n%10 == 0 { // a share of the people is looked for at the end
				identifiers.addMessage(m.Fields)
				identifiers.addPerson(m.Event.GetPerson())
				identifiers.addPostcode(m.Event.GetDestinationPostcode())
			}
		}
	}
	for range len(all) / 4 {
		all = append(all, all[random.IntN(len(all))])
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = oracle.RevocationsLast(all)
	began := time.Now()

	half := all[:len(all)/2]
	shared.tell(t, half)
	eventually(t, "the first half has its outcomes", func() error { return shared.asExpected(t, half, nil, nil, story, began) })
	acted, care := shared.work(t, random, half)
	shared.tell(t, all[len(all)/2:])
	eventually(t, "all have their outcomes", func() error { return shared.asExpected(t, all, acted, care, story, began) })

	spells, err := query(t.Context(), shared, "discharge-hub", pgx.RowTo[string],
		`SELECT DISTINCT f.spell_id::text FROM fact f JOIN inbound i ON i.id = f.inbound_id WHERE i.control_id LIKE 'OR0%' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	if want := oracle.Expect(all); len(spells) != len(want) || len(want) < stays {
		t.Errorf("there are %d spells, and must be %d", len(spells), len(want))
	}
	if len(acted) < 20 || len(care) < 20 {
		t.Errorf("only %d tasks were taken, and %d persons cared for", len(acted), len(care))
	}
}

// leavingIn2026 is a moment of the year, often around one of the changes of the clocks.
func leavingIn2026(r *rand.Rand) time.Time {
	switch r.IntN(4) {
	case 0:
		return time.Date(2026, 3, 27, 0, r.IntN(4*24*60), 0, 0, london)
	case 1:
		return time.Date(2026, 10, 23, 0, r.IntN(4*24*60), 0, 0, london)
	}
	return time.Date(2026, 1, 10, 0, r.IntN(320*24*60), 0, 0, london)
}

// tell sends messages through their doors until they are accepted, over four connections.
func (p *platform) tell(t *testing.T, all []oracle.Told) {
	t.Helper()
	var senders sync.WaitGroup
	for messages := range slices.Chunk(all, len(all)/4+1) {
		senders.Go(func() {
			s := &hospital.Sender{Addr: p.MLLP}
			defer s.Close()
			for _, m := range messages {
				var err error
				if m.Event != nil {
					err = p.record(t.Context(), m.Event)
				} else {
					err = s.SendUntilAccepted(t.Context(), m.HL7)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	senders.Wait()
}

// record records an event by hand. What takes a merge back is refused until the hub has read the merge, and is then recorded again.
func (p *platform) record(ctx context.Context, event *dischargev1.RecordEventRequest) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		_, err := p.hub.RecordEvent(ctx, event)
		if err == nil || event.GetKind() != dischargev1.EventKind_EVENT_KIND_REVOKE_MERGE || ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// see reads what became of a spell.
func (p *platform) see(t *testing.T, spell string) (oracle.Seen, *pickupv1.GetTaskResponse, error) {
	h, err := p.hub.GetHandover(t.Context(), &dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_SpellId{SpellId: spell}})
	if err != nil {
		return oracle.Seen{}, nil, err
	}
	if h.GetDeliveredAt() == nil {
		return oracle.Seen{}, nil, fmt.Errorf("%w: spell %s", errPending, spell)
	}
	task, err := p.task(t.Context(), spell)
	if err != nil {
		return oracle.Seen{}, nil, err
	}
	return oracle.SeenOf(task.GetTask()).With(h), task, nil
}

// asExpected compares every spell of which messages tell with what the oracle says.
func (p *platform) asExpected(t *testing.T, messages []oracle.Told, acted map[string][]oracle.Acted, care map[string]oracle.Care,
	story map[string]oracle.Stay, began time.Time) error {
	if err := p.allDelivered(t.Context()); err != nil {
		return err
	}
	var wrong []error
	for _, want := range oracle.ExpectWith(messages, care) {
		got, _, err := p.see(t, want.SpellID)
		if err != nil {
			return err
		}
		words := oracle.CheckActed(want, acted[want.SpellID], got)
		if len(acted[want.SpellID]) == 0 {
			words = append(words, oracle.CheckNotices(want, got, oracle.Delivered{From: began, To: time.Now()}, began)...)
		}
		if len(words) > 0 {
			stay := story[want.SpellID]
			wrong = append(wrong, fmt.Errorf("%s\nstay %s: %s", strings.Join(words, "\n"), stay.Key, strings.Join(stay.Turns, ", ")))
		}
	}
	return errors.Join(wrong...)
}

// work lets people take every third open task and reach some of the persons, and asks for an assessment or for reablement for some of the
// others. It returns what was acknowledged, by spell.
func (p *platform) work(t *testing.T, r *rand.Rand, messages []oracle.Told) (acted map[string][]oracle.Acted, care map[string]oracle.Care) {
	t.Helper()
	acted, care = map[string][]oracle.Acted{}, map[string]oracle.Care{}
	for _, want := range oracle.Expect(messages) {
		before, task, err := p.see(t, want.SpellID)
		if err != nil {
			t.Fatal(err)
		}
		switch turn := r.IntN(6); {
		case turn < 2 && before.Team != "":
			took, err := p.tasks.TakeTask(t.Context(), &pickupv1.TakeTaskRequest{TaskId: want.TaskID, Version: task.GetVersion()})
			if err != nil {
				t.Fatal(err)
			}
			acted[want.SpellID] = append(acted[want.SpellID], oracle.Acted{Command: "take", Before: before})
			if before, _, err = p.see(t, want.SpellID); err != nil {
				t.Fatal(err)
			}
			if turn == 0 && before.Outcome == "pick-up-due" {
				_, err := p.tasks.CompleteTask(t.Context(), &pickupv1.CompleteTaskRequest{TaskId: want.TaskID, Version: took.GetTask().GetVersion(),
					Ending: pickupv1.Ending_ENDING_DECLINED})
				if err == nil { // refused where the discharge is yet to come
					acted[want.SpellID] = append(acted[want.SpellID], oracle.Acted{Command: "complete", Ending: "declined", Before: before})
				}
			}
		case turn == 4:
			if _, err := p.assessments.RequestAssessment(t.Context(), &assessmentv1.RequestAssessmentRequest{SpellId: want.SpellID}); err != nil {
				t.Fatal(err)
			}
			care[want.SpellID] = oracle.Care{Assessment: "requested"}
		case turn == 5:
			if _, err := p.reablement.RequestReablement(t.Context(), &reablementv1.RequestReablementRequest{
				SpellId: want.SpellID, Area: "CLS-GRAYS", VisitsPerDay: 1, WantedFrom: "2026-03-02"}); err != nil {
				t.Fatal(err)
			}
			care[want.SpellID] = oracle.Care{Reablement: "requested"}
		}
	}
	return acted, care
}
