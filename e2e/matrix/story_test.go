package matrix

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/homeward-care/homeward/e2e/desk"
	"github.com/homeward-care/homeward/e2e/hospital"
	"github.com/homeward-care/homeward/e2e/oracle"
	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/kit/bus"
	"github.com/homeward-care/homeward/services/kit/event"
)

// story is the traffic of one cell: whatever can be acknowledged is asked for until it is.
type story struct {
	w     *world
	n     int
	began time.Time
	door  *hospital.FHIR

	mu    sync.Mutex
	told  []oracle.Told // acknowledged messages
	extra []string      // control ids of acknowledged messages that are about no spell
	news  []string      // and of those that are about a person

	desk   *desk.Desk                // where one person is told of resource by resource
	byDesk []oracle.Told             // what the hub has made of that
	acted  map[string][]oracle.Acted // acknowledged commands, by spell
	care   map[string]oracle.Care

	merges []merge
	fresh  bool // nothing of it was lost with a database
}

// begin is the nth story, of which nothing is told yet. Its hospital signs in anew at the FHIR door.
func (w *world) begin(n int) *story {
	return &story{w: w, n: n, began: time.Now(), door: w.client(), acted: map[string][]oracle.Acted{}, care: map[string]oracle.Care{}}
}

// tell plays the nth story to its end, with events in it that nobody can apply if there is to be poison.
func tell(ctx context.Context, w *world, n int, r *rand.Rand, poison bool) (*story, error) {
	s := w.begin(n)
	s.fresh = true
	of := rand.New(rand.NewPCG(uint64(n), 3))
	s.desk = desk.New(of, oracle.NewRecord(of, n, s.began))
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var wait sync.WaitGroup
	scenes := []func(context.Context) error{s.cared, s.moved, s.young, s.unclear, s.refused, s.newsOfSomebody, s.queued, s.byFHIR, s.byResource, s.merged}
	if poison {
		scenes = append(scenes, s.poisoned)
	}
	for i := range 3 {
		stay := oracle.NewStay(r, 10*n+i, s.began.AddDate(0, 0, -50+20*i)).Until(s.began)
		if i == 0 {
			stay = stay.Faulty(of)
		}
		scenes = append(scenes, func(ctx context.Context) error { return s.send(ctx, stay.Messages...) })
	}
	failed := make([]error, len(scenes))
	for i, scene := range scenes {
		wait.Go(func() { failed[i] = scene(ctx) })
	}
	wait.Wait()
	return s, errors.Join(failed...)
}

// send sends messages over a connection of its own, each until it is acknowledged.
func (s *story) send(ctx context.Context, messages ...oracle.Told) error {
	sender := hospital.Sender{Addr: s.w.MLLP}
	defer sender.Close()
	for _, m := range messages {
		var err error
		if m.FHIR != nil {
			err = s.post(ctx, m)
		} else if m.Event == nil {
			ctx, cancel := context.WithTimeout(ctx, limit)
			err = sender.SendUntilAccepted(ctx, m.HL7)
			cancel()
		} else {
			err = again(ctx, "record "+m.ControlID, func() error { _, err := s.w.hub.RecordEvent(ctx, m.Event); return err })
		}
		if err != nil {
			return fmt.Errorf("message %s: %w", m.ControlID, err)
		}
		s.mu.Lock()
		s.told = append(s.told, m)
		s.mu.Unlock()
	}
	return nil
}

// person is somebody whose story is told here, not by the oracle.
type person struct {
	key  string
	says oracle.Says
	ids  int
}

func (s *story) person(name string) *person {
	key := fmt.Sprintf("MX%06d%s", s.n, name)
	return &person{key: key, says: oracle.Says{
		Class: "I", Person: key, Visit: "V" + key, Patient: "P" + key, Born: "1938-04-05", Practice: "F81155", Postcode: "RM17 5ZZ",
		Admitted: s.began.AddDate(0, 0, -40).Truncate(time.Second),
	}}
}

func (p *person) spell() string {
	return oracle.SpellID("RAJ", p.says.Visit, p.says.Patient, p.says.Admitted)
}

// message is what the hospital says of the person, recorded at a moment.
func (p *person) message(kind string, recorded time.Time, change func(*oracle.Says)) oracle.Told {
	p.ids++
	m := oracle.Told{Feed: "mse-basildon", ControlID: fmt.Sprintf("%s-%d", p.key, p.ids), Recorded: recorded, SpellID: p.spell(), Says: p.says}
	m.Kind = kind
	if change != nil {
		change(&m.Says)
	}
	stamp := func(at time.Time) string {
		if at.IsZero() {
			return ""
		}
		return at.In(oracle.London).Format("20060102150405-0700")
	}
	m.Fields = hospital.Message{
		"MSH-3": "MSEPAS", "MSH-4": "RAJ", "MSH-7": stamp(recorded), "MSH-9": "ADT^" + kind, "MSH-10": m.ControlID, "MSH-11": "P", "MSH-12": "2.4",
		"EVN-1": kind, "EVN-2": stamp(recorded), "PID-3": m.Patient + "^^^RAJ^PI", "PID-5": "MATRIXBYE^MARCELLINE",
		"PID-7": strings.ReplaceAll(m.Born, "-", ""), "PID-11": "71 OSPREYNEST ROAD^^^ESSEX^" + m.Postcode + "^GBR^H", "PD1-3": "^^" + m.Practice,
		"PID-29": stamp(m.DiedAt), "PID-30": m.Dead, "PV1-2": m.Class, "PV1-19": m.Visit, "PV1-36": m.Method, "PV1-37": m.Destination,
		"PV1-44": stamp(m.Admitted), "PV1-45": stamp(m.Left),
	}
	m.HL7 = m.Fields.Encode()
	return m
}

// home is a discharge to the person's own home.
func (p *person) home(left time.Time, change func(*oracle.Says)) oracle.Told {
	left = left.Truncate(time.Second)
	return p.message("A03", left, func(says *oracle.Says) {
		says.Left, says.Method, says.Destination = left, "1", "19"
		if change != nil {
			change(says)
		}
	})
}

// cared is somebody who is assessed, goes home, is picked up, and has reablement that is over by now.
func (s *story) cared(ctx context.Context) error {
	p := s.person("C")
	spell := p.spell()
	if err := s.send(ctx, p.message("A01", s.began.Add(-48*time.Hour).Truncate(time.Second), nil)); err != nil {
		return err
	}
	if err := s.assessed(ctx, spell); err != nil {
		return err
	}
	left := time.Now().Add(2 * time.Second) // what was met was met before
	referral := oracle.Told{
		Feed: "hub-staff", ControlID: p.key + "-H", Recorded: left.Truncate(time.Second), SpellID: spell,
		Says: oracle.Says{Kind: "A08", Visit: p.says.Visit, Involved: []string{"hub-referral"}},
	}
	referral.Event = &dischargev1.RecordEventRequest{
		Feed: referral.Feed, MessageId: referral.ControlID, Kind: dischargev1.EventKind_EVENT_KIND_UPDATE, RecordedAt: timestamppb.New(referral.Recorded),
		VisitNumber: referral.Visit, Involvements: []dischargev1.Involvement{dischargev1.Involvement_INVOLVEMENT_HUB_REFERRAL},
	}
	if err := s.send(ctx, p.home(left, nil), referral); err != nil {
		return err
	}
	if err := s.reabled(ctx, spell); err != nil {
		return err
	}
	return errors.Join(
		s.act(ctx, spell, oracle.Acted{Command: "take"}, func(t oracle.Seen) bool { return t.Progress == "taken" }, func(id string, version int64) error {
			_, err := s.w.tasks.TakeTask(ctx, &pickupv1.TakeTaskRequest{TaskId: id, Version: version})
			return err
		}),
		s.act(ctx, spell, oracle.Acted{Command: "contact", TwoWay: true}, func(t oracle.Seen) bool { return t.Progress == "picked-up" }, func(id string, version int64) error {
			_, err := s.w.tasks.RecordContact(ctx, &pickupv1.RecordContactRequest{TaskId: id, Version: version, Method: pickupv1.ContactMethod_CONTACT_METHOD_PHONE, TwoWay: true})
			return err
		}),
		s.visited(ctx, spell),
		s.act(ctx, spell, oracle.Acted{Command: "complete", Ending: "assessed"}, func(t oracle.Seen) bool { return t.Progress == "closed" }, func(id string, version int64) error {
			_, err := s.w.tasks.CompleteTask(ctx, &pickupv1.CompleteTaskRequest{TaskId: id, Version: version, Ending: pickupv1.Ending_ENDING_ASSESSED})
			return err
		}),
		again(ctx, "read who it is", func() error {
			people, err := s.w.hub.GetPeople(ctx, &dischargev1.GetPeopleRequest{SpellIds: []string{spell}})
			if err == nil && people.GetPeople()[spell].GetBirthDate() != p.says.Born {
				err = fmt.Errorf("not known: %v", people)
			}
			return err
		}),
	)
}

// visited books a visit, and takes the booking back.
func (s *story) visited(ctx context.Context, spell string) error {
	on := time.Now().In(oracle.London).AddDate(0, 0, 7).Format(time.DateOnly)
	change := func(what, want string, do func(id string, version int64) error) error {
		return again(ctx, what, func() error {
			now, err := s.w.tasks.GetTask(ctx, &pickupv1.GetTaskRequest{Key: &pickupv1.GetTaskRequest_SpellId{SpellId: spell}})
			if err != nil || now.GetTask().GetVisitOn() == want {
				return err
			}
			return do(now.GetTask().GetTaskId(), now.GetVersion())
		})
	}
	return cmp.Or(
		change("book a visit", on, func(id string, version int64) error {
			_, err := s.w.tasks.BookVisit(ctx, &pickupv1.BookVisitRequest{TaskId: id, Version: version, On: on})
			return err
		}),
		change("cancel the visit", "", func(id string, version int64) error {
			_, err := s.w.tasks.CancelVisit(ctx, &pickupv1.CancelVisitRequest{TaskId: id, Version: version})
			return err
		}),
	)
}

func (s *story) assessed(ctx context.Context, spell string) error {
	status := func(want assessmentv1.Status, err error) error { // of what was asked for before, with a reply that was lost
		if err != nil {
			now, found := s.w.assess.GetAssessment(ctx, &assessmentv1.GetAssessmentRequest{SpellId: spell})
			if found == nil && now.GetAssessment().GetStatus() == want {
				return nil
			}
		}
		return err
	}
	request := func(spell string) func() error {
		return func() error {
			_, err := s.w.assess.RequestAssessment(ctx, &assessmentv1.RequestAssessmentRequest{SpellId: spell})
			return err
		}
	}
	other := uuid.NewString() // of whom no hospital tells
	var condition string
	return cmp.Or(
		again(ctx, "request an assessment", request(spell)),
		again(ctx, "complete it", func() error {
			_, err := s.w.assess.CompleteAssessment(ctx, &assessmentv1.CompleteAssessmentRequest{
				SpellId: spell, Decision: assessmentv1.Decision_DECISION_SAFE_WITH_CONDITIONS,
				Conditions: []*assessmentv1.NewCondition{{Code: "key-safe", Owner: "ward", Due: assessmentv1.Due_DUE_BEFORE_LEAVING}},
				Answers: map[string]string{
					"agrees-to-discharge": "yes", "consents-to-sharing": "yes", "asked-what-matters": "yes", "home-can-be-lived-in": "yes", "can-get-in": "no",
					"toilet": "yes", "bed": "yes", "food-and-drink": "yes", "medicines": "yes", "warmth": "yes", "phone": "yes", "transfers": "alone",
					"carer": "yes", "falls": "no", "self-neglect": "no", "safeguarding": "no", "fire": "no", "package": "none", "reablement-potential": "yes",
					"escalation-contact-given": "yes", "assessor-basis": "hub-staff",
				},
			})
			return status(assessmentv1.Status_STATUS_COMPLETE, err)
		}),
		again(ctx, "read it", func() error {
			now, err := s.w.assess.GetAssessment(ctx, &assessmentv1.GetAssessmentRequest{SpellId: spell})
			if err == nil {
				condition = now.GetAssessment().GetConditions()[0].GetConditionId()
			}
			return err
		}),
		again(ctx, "meet its condition", func() error {
			_, err := s.w.assess.MeetCondition(ctx, &assessmentv1.MeetConditionRequest{SpellId: spell, ConditionId: condition})
			return err
		}),
		again(ctx, "request another one", request(other)),
		again(ctx, "decline that", func() error {
			_, err := s.w.assess.DeclineAssessment(ctx, &assessmentv1.DeclineAssessmentRequest{SpellId: other})
			return err
		}),
		s.knows(spell, func(c *oracle.Care) { c.Assessment = "complete" }),
	)
}

// reabled gives somebody a slot, takes it back, gives it again, and lets a service run in it that has ended, so that the slot is free again.
func (s *story) reabled(ctx context.Context, spell string) error {
	capacity := uuid.NewString()
	day := func(n int) string { return time.Now().In(oracle.London).AddDate(0, 0, n).Format(time.DateOnly) }
	hold := func() error {
		_, err := s.w.needs.HoldCapacity(ctx, &reablementv1.HoldCapacityRequest{SpellId: spell, CapacityId: capacity})
		return err
	}
	return cmp.Or(
		again(ctx, "offer a slot", func() error {
			_, err := s.w.offers.PublishCapacity(ctx, &reablementv1.PublishCapacityRequest{
				CapacityId: capacity, Area: "CLS-GRAYS", Slots: 1, VisitsPerDay: 4, AvailableFrom: day(-40), ValidUntil: timestamppb.New(time.Now().Add(24 * time.Hour)),
			})
			return err
		}),
		again(ctx, "request reablement", func() error {
			_, err := s.w.needs.RequestReablement(ctx, &reablementv1.RequestReablementRequest{SpellId: spell, Area: "CLS-GRAYS", VisitsPerDay: 1, WantedFrom: day(0)})
			return err
		}),
		again(ctx, "hold the slot", hold),
		again(ctx, "release it", func() error {
			_, err := s.w.needs.ReleaseHold(ctx, &reablementv1.ReleaseHoldRequest{SpellId: spell})
			return err
		}),
		again(ctx, "hold it again", hold),
		again(ctx, "accept it", func() error {
			_, err := s.w.offers.AcceptHold(ctx, &reablementv1.AcceptHoldRequest{SpellId: spell, StartsOn: day(-30)})
			return err
		}),
		again(ctx, "start the service", func() error {
			_, err := s.w.offers.StartReablement(ctx, &reablementv1.StartReablementRequest{SpellId: spell, StartedOn: day(-30), PlannedEndOn: day(-1)})
			return err
		}),
		again(ctx, "read the need", func() error {
			_, err := s.w.needs.GetNeed(ctx, &reablementv1.GetNeedRequest{SpellId: spell})
			return err
		}),
		s.knows(spell, func(c *oracle.Care) { c.Reablement, c.ReablementEndsOn = "started", day(-1) }),
	)
}

func (s *story) knows(spell string, more func(*oracle.Care)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.care[spell]
	more(&c)
	s.care[spell] = c
	return nil
}

// moved is somebody whose task is taken when the practice turns out to be another one: its team is proposed, and accepted.
func (s *story) moved(ctx context.Context) error {
	p := s.person("M")
	left := s.began.Add(-24 * time.Hour)
	return cmp.Or(
		s.send(ctx, p.home(left, nil)),
		s.act(ctx, p.spell(), oracle.Acted{Command: "take"}, func(t oracle.Seen) bool { return t.Progress == "taken" }, func(id string, version int64) error {
			_, err := s.w.tasks.TakeTask(ctx, &pickupv1.TakeTaskRequest{TaskId: id, Version: version})
			return err
		}),
		s.send(ctx, p.message("A08", left.Add(time.Hour).Truncate(time.Second), func(says *oracle.Says) { says.Practice = "F81010" })),
		s.act(ctx, p.spell(), oracle.Acted{Command: "accept"}, func(t oracle.Seen) bool { return t.Team == "CLS-ASOP" }, func(id string, version int64) error {
			_, err := s.w.tasks.DecideProposal(ctx, &pickupv1.DecideProposalRequest{TaskId: id, Version: version, Accept: true})
			return err
		}),
	)
}

// young is somebody under 18, whose team the hub decides. The discharge was so long ago that notices are due as soon as there is a task.
func (s *story) young(ctx context.Context) error {
	p := s.person("Y")
	p.says.Born = s.began.AddDate(-16, 0, 0).Format(time.DateOnly)
	return cmp.Or(
		s.send(ctx, p.home(s.began.AddDate(0, 0, -36), nil)),
		s.act(ctx, p.spell(), oracle.Acted{Command: "assign", Team: "CLS-SLH"}, func(t oracle.Seen) bool { return t.Team == "CLS-SLH" }, func(id string, version int64) error {
			_, err := s.w.tasks.AssignTeam(ctx, &pickupv1.AssignTeamRequest{TaskId: id, Version: version, Team: "CLS-SLH", Reason: "ordinary-residence-agreed"})
			return err
		}),
	)
}

// unclear is somebody of whom the hospital says both that they have died and that they have not.
func (s *story) unclear(ctx context.Context) error {
	p := s.person("U")
	left := s.began.Add(-24 * time.Hour)
	return cmp.Or(
		s.send(ctx, p.home(left, func(says *oracle.Says) { says.Dead, says.DiedAt = "N", left.Add(-time.Hour).Truncate(time.Second) })),
		s.act(ctx, p.spell(), oracle.Acted{Command: "resolve-alive"}, func(t oracle.Seen) bool { return t.Contact == "allowed" }, func(id string, version int64) error {
			_, err := s.w.tasks.ResolveContact(ctx, &pickupv1.ResolveContactRequest{TaskId: id, Version: version})
			return err
		}),
	)
}

// act gives a command on a spell's task until it is done, and remembers the task that the person saw.
func (s *story) act(ctx context.Context, spell string, acted oracle.Acted, done func(oracle.Seen) bool, do func(id string, version int64) error) error {
	tried := false
	return again(ctx, acted.Command+" of "+spell, func() error {
		task, err := s.w.tasks.GetTask(ctx, &pickupv1.GetTaskRequest{Key: &pickupv1.GetTaskRequest_SpellId{SpellId: spell}})
		if err != nil {
			return err
		}
		handover, err := s.w.hub.GetHandover(ctx, &dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_SpellId{SpellId: spell}})
		if err != nil {
			return err
		}
		seen := oracle.SeenOf(task.GetTask()).With(handover)
		if !tried || !done(seen) { // else the reply to the last try was lost
			acted.Before, tried = seen, true
			if err := do(seen.TaskID, task.GetVersion()); err != nil {
				return err
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.acted[spell] = append(s.acted[spell], acted)
		return nil
	})
}

// refusedType is the type of a message that the hub's database refuses; see startWorld.
const refusedType = "MTX^R01"

// refused is such a message.
func (s *story) refused(ctx context.Context) error {
	sender := hospital.Sender{Addr: s.w.MLLP}
	defer sender.Close()
	id := fmt.Sprintf("MX%06dR", s.n)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := sender.SendUntilAccepted(ctx, hospital.Message{
		"MSH-3": "MSEPAS", "MSH-4": "RAJ", "MSH-7": "20260301120000", "MSH-9": refusedType, "MSH-10": id, "MSH-11": "P", "MSH-12": "2.4",
	}.Encode())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.extra = append(s.extra, id)
	return err
}

// newsOfSomebody tells of a person who has no spell.
func (s *story) newsOfSomebody(ctx context.Context) error {
	sender := hospital.Sender{Addr: s.w.MLLP}
	defer sender.Close()
	id := fmt.Sprintf("MX%06dN", s.n)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := sender.SendUntilAccepted(ctx, hospital.Message{
		"MSH-3": "MSEPAS", "MSH-4": "RAJ", "MSH-7": "20260301120000", "MSH-9": "ADT^A31", "MSH-10": id, "MSH-11": "P", "MSH-12": "2.4",
		"EVN-2": "20260301120000", "PID-3": id + "^^^RAJ^PI", "PD1-3": "^^F81155",
	}.Encode())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.news = append(s.news, id)
	return err
}

// poisoned puts events on the bus that nobody can apply, of a spell and of a task.
func (s *story) poisoned(ctx context.Context) error {
	for service, eventType := range map[string]string{hub: "homeward.discharge.spell.v1", community: "homeward.pickup.task.v1"} {
		if err := s.poison(ctx, service, eventType); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) poison(ctx context.Context, service, eventType string) error {
	id := uuid.New()
	s.mu.Lock()
	s.w.poison[id.String()] = true
	s.mu.Unlock()
	courier, err := bus.Connect(bus.Config{URL: s.w.NATS, User: service, Password: s.w.password(service), Service: service}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer courier.Close()
	publisher := courier.Publisher(strings.Split(eventType, ".")[1])
	e := event.Event{Type: eventType, ID: id, Key: id, Epoch: 1, Version: 1, OccurredAt: s.began, RecordedAt: s.began, Data: []byte{0xff}}
	return again(ctx, "publish what nobody can read", func() error { return publisher.Publish(ctx, []event.Event{e})[0] })
}
