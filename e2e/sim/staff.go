package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/homeward-care/homeward/e2e/oracle"
	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
)

// staff are the people of the hub, the teams and the providers, who read and give commands while everything goes on.
type staff struct {
	w        *world
	left     int // commands that they are still to give
	busy     int
	given    int
	commands map[string][]*command // by spell, in the order in which they were answered
	acted    map[string][]oracle.Acted
	settled  time.Time // by when everything that was sent was delivered

	about      map[string]int // how many are busy with a spell
	capacities []string
	requested  map[string]bool // spells whose assessment was requested, acknowledged
	completed  map[string]bool
	needs      map[string]bool
}

// command is one command on a task. Each is given under a subject of its own, so that the audit tells whether one without an answer took effect.
type command struct {
	oracle.Acted
	subject string
	unknown bool
}

func (s *staff) ready() bool { return s.left > 0 && s.busy < 3 }
func (s *staff) done() bool  { return s.left == 0 && s.busy == 0 }

// act lets somebody do one thing about a spell.
func (s *staff) act() {
	w := s.w
	s.left--
	s.given++
	stay := w.stays[w.rng.IntN(len(w.stays))]
	n := s.given
	subject := fmt.Sprintf("worker-%d", n)
	w.restore.spoils(stay.SpellID)
	ctx := authn.With(w.ctx, authn.Principal{Subject: subject, Roles: []authn.Role{authn.HubStaff}})
	kind := w.rng.IntN(10)
	s.busy++
	name := fmt.Sprintf("staff %d", n)
	s.about[stay.SpellID]++
	ended := func() {
		s.busy--
		if s.about[stay.SpellID]--; s.about[stay.SpellID] == 0 {
			delete(s.about, stay.SpellID)
		}
	}
	w.sched.spawn(name, ended, func(f *flow) {
		ctx := withFrame(ctx, f, nil)
		switch {
		case kind < 2:
			s.assess(ctx, stay.SpellID)
		case kind < 4:
			s.reable(ctx, f, stay.SpellID)
		default:
			s.work(ctx, subject, stay.SpellID)
		}
	})
}

// answers are what an assessor finds when one condition is to be met before leaving.
var answers = map[string]string{
	"agrees-to-discharge": "yes", "consents-to-sharing": "yes", "asked-what-matters": "yes", "home-can-be-lived-in": "yes", "can-get-in": "no",
	"toilet": "yes", "bed": "yes", "food-and-drink": "yes", "medicines": "yes", "warmth": "yes", "phone": "yes", "transfers": "alone",
	"carer": "yes", "falls": "no", "self-neglect": "no", "safeguarding": "no", "fire": "no", "package": "none", "reablement-potential": "yes",
	"escalation-contact-given": "yes", "assessor-basis": "hub-staff",
}

func (s *staff) assess(ctx context.Context, spell string) {
	w := s.w
	client := assessmentv1.NewLightTouchAssessmentServiceClient(wire{w, "light-touch-assessment"})
	if _, err := client.RequestAssessment(ctx, &assessmentv1.RequestAssessmentRequest{SpellId: spell}); err != nil {
		return
	}
	w.tell("assessment of %s requested", spell)
	s.requested[spell] = true
	if w.rng.IntN(3) == 0 {
		return
	}
	done, err := client.CompleteAssessment(ctx, &assessmentv1.CompleteAssessmentRequest{
		SpellId: spell, Decision: assessmentv1.Decision_DECISION_SAFE_WITH_CONDITIONS, Answers: answers,
		Conditions: []*assessmentv1.NewCondition{{Code: "key-safe", Owner: "ward", Due: assessmentv1.Due_DUE_BEFORE_LEAVING}},
	})
	if err != nil {
		return
	}
	w.tell("assessment of %s completed", spell)
	s.completed[spell] = true
	if w.rng.IntN(2) == 0 {
		_, _ = client.MeetCondition(ctx, &assessmentv1.MeetConditionRequest{
			SpellId: spell, ConditionId: done.GetAssessment().GetConditions()[0].GetConditionId(),
		})
	}
}

func (s *staff) reable(ctx context.Context, f *flow, spell string) {
	w := s.w
	client := reablementv1.NewReablementCapacityServiceClient(wire{w, "reablement-capacity"})
	provider := withFrame(authn.With(w.ctx, authn.Principal{Subject: "provider", Roles: []authn.Role{authn.Provider}, Provider: "HELPING-HANDS"}), f, nil)
	today := w.now().Format(time.DateOnly)
	if len(s.capacities) == 0 || w.rng.IntN(4) == 0 {
		id := uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "capacity %d", s.given)).String()
		if _, err := client.PublishCapacity(provider, &reablementv1.PublishCapacityRequest{
			CapacityId: id, Area: "CLS-GRAYS", Slots: int32(1 + w.rng.IntN(2)), VisitsPerDay: 4, AvailableFrom: today,
			ValidUntil: timestamppb.New(w.now().AddDate(0, 0, 200)),
		}); err != nil {
			return
		}
		s.capacities = append(s.capacities, id)
	}
	if _, err := client.RequestReablement(ctx, &reablementv1.RequestReablementRequest{SpellId: spell, Area: "CLS-GRAYS", VisitsPerDay: 1, WantedFrom: today}); err != nil {
		return
	}
	w.tell("reablement of %s requested", spell)
	s.needs[spell] = true
	id := s.capacities[w.rng.IntN(len(s.capacities))]
	if _, err := client.HoldCapacity(ctx, &reablementv1.HoldCapacityRequest{SpellId: spell, CapacityId: id}); err != nil {
		return
	}
	if w.rng.IntN(3) == 0 {
		return
	}
	if _, err := client.AcceptHold(provider, &reablementv1.AcceptHoldRequest{SpellId: spell, StartsOn: today}); err != nil || w.rng.IntN(2) == 0 {
		return
	}
	_, _ = client.StartReablement(provider, &reablementv1.StartReablementRequest{
		SpellId: spell, StartedOn: today, PlannedEndOn: w.now().AddDate(0, 0, 7+w.rng.IntN(35)).Format(time.DateOnly),
	})
}

// work reads a task and does something about it.
func (s *staff) work(ctx context.Context, subject, spell string) {
	w := s.w
	client := pickupv1.NewCommunityPickupServiceClient(wire{w, "community-pickup"})
	hub := dischargev1.NewDischargeHubServiceClient(wire{w, "discharge-hub"})
	handover, err := hub.GetHandover(ctx, &dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_SpellId{SpellId: spell}})
	if err != nil {
		return
	}
	read, err := client.GetTask(ctx, &pickupv1.GetTaskRequest{Key: &pickupv1.GetTaskRequest_SpellId{SpellId: spell}})
	if err != nil {
		return
	}
	task := read.GetTask()
	if task.GetSpellEpoch() != handover.GetEpoch() || task.GetSpellVersion() != handover.GetVersion() {
		return // the two tell of different moments
	}
	c := &command{subject: subject}
	c.Before = oracle.SeenOf(task).With(handover)
	id, version := task.GetTaskId(), read.GetVersion()
	switch {
	case c.Before.Proposed != "":
		c.Command = map[bool]string{true: "accept", false: "refuse"}[w.rng.IntN(2) == 0]
		_, err = client.DecideProposal(ctx, &pickupv1.DecideProposalRequest{TaskId: id, Version: version, Accept: c.Command == "accept"})
	case c.Before.Contact == "held":
		died := w.rng.IntN(2) == 0
		c.Command = map[bool]string{true: "resolve-died", false: "resolve-alive"}[died]
		_, err = client.ResolveContact(ctx, &pickupv1.ResolveContactRequest{TaskId: id, Version: version, Died: died})
	case c.Before.Team == oracle.Hub && w.rng.IntN(2) == 0:
		c.Command, c.Team = "assign", "CLS-TC"
		_, err = client.AssignTeam(ctx, &pickupv1.AssignTeamRequest{TaskId: id, Version: version, Team: c.Team, Reason: "ordinary-residence-agreed"})
	case c.Before.Progress == "untaken":
		c.Command = "take"
		_, err = client.TakeTask(ctx, &pickupv1.TakeTaskRequest{TaskId: id, Version: version})
	case c.Before.Progress == "taken":
		c.Command, c.TwoWay = "contact", w.rng.IntN(3) > 0
		_, err = client.RecordContact(ctx, &pickupv1.RecordContactRequest{TaskId: id, Version: version, Method: pickupv1.ContactMethod_CONTACT_METHOD_PHONE, TwoWay: c.TwoWay})
	case c.Before.Progress == "picked-up":
		c.Command, c.Ending = "complete", "assessed"
		_, err = client.CompleteTask(ctx, &pickupv1.CompleteTaskRequest{TaskId: id, Version: version, Ending: pickupv1.Ending_ENDING_ASSESSED})
	default:
		return
	}
	c.unknown = err != nil
	if err == nil {
		w.tell("%s: %s of the task of %s is acknowledged", subject, c.Command, spell)
	} else {
		w.tellDetail(fmt.Sprintf("%s: %s of the task of %s: ", subject, c.Command, spell), err.Error())
	}
	s.commands[spell] = append(s.commands[spell], c)
}

// judge finds out, when everything is quiet, which commands took effect and in which order. One that was acknowledged has to be among them.
func (s *staff) judge() {
	w := s.w
	for _, spell := range slices.Sorted(maps.Keys(s.commands)) {
		type carriedOut struct {
			seq int64
			c   *command
		}
		var done []carriedOut
		for _, c := range s.commands[spell] {
			var seq *int64
			err := w.db.admin.QueryRow(w.ctx, `SELECT max(seq) FROM community_pickup.audit WHERE actor = $1`, c.subject).Scan(&seq)
			switch {
			case err != nil:
				w.fail("audit: %v", err)
			case seq != nil:
				done = append(done, carriedOut{*seq, c})
			case !c.unknown && !w.restore.spoilt[spell]:
				w.fail("spell %s: %s by %s was acknowledged and is lost", spell, c.Command, c.subject)
			}
		}
		slices.SortFunc(done, func(a, b carriedOut) int { return int(a.seq - b.seq) })
		s.acted[spell] = nil
		for _, d := range done {
			s.acted[spell] = append(s.acted[spell], d.c.Acted)
		}
	}
}

// care is what the assessment and reablement services answer, once everything is quiet. What they acknowledged must be there.
func (s *staff) care() map[string]oracle.Care {
	w := s.w
	all := map[string]oracle.Care{}
	ctx := asHubStaff(w.ctx)
	for _, stay := range w.stays {
		spell := stay.SpellID
		var c oracle.Care
		var a assessmentv1.GetAssessmentResponse
		if err := w.ask(ctx, "light-touch-assessment", assessmentv1.LightTouchAssessmentService_GetAssessment_FullMethodName,
			&assessmentv1.GetAssessmentRequest{SpellId: spell}, &a); err == nil {
			status := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(a.GetAssessment().GetStatus().String(), "STATUS_"), "_", "-"))
			if status != "superseded" {
				c.Assessment = status
			}
			for _, k := range a.GetAssessment().GetConditions() {
				if k.GetDue() == assessmentv1.Due_DUE_BEFORE_LEAVING && k.GetMetAt() == nil {
					c.UnmetBeforeLeaving++
				}
			}
			c.UnmetBeforeLeaving = max(c.UnmetBeforeLeaving, int(a.GetAssessment().GetLeftWithUnmet()))
			if s.completed[spell] && !w.restore.spoilt[spell] && status != "complete" {
				w.fail("spell %s: the assessment was completed and is %s", spell, status)
			}
		} else if s.requested[spell] && !w.restore.spoilt[spell] {
			w.fail("spell %s: the requested assessment is lost: %v", spell, err)
		}
		var n reablementv1.GetNeedResponse
		if err := w.ask(ctx, "reablement-capacity", reablementv1.ReablementCapacityService_GetNeed_FullMethodName,
			&reablementv1.GetNeedRequest{SpellId: spell}, &n); err == nil {
			if n.GetNeed().GetStatus() != reablementv1.NeedStatus_NEED_STATUS_WITHDRAWN {
				c.Reablement = strings.ToLower(strings.TrimPrefix(n.GetNeed().GetStatus().String(), "NEED_STATUS_"))
				c.ReablementEndsOn = n.GetNeed().GetPlannedEndOn()
			}
		} else if s.needs[spell] && !w.restore.spoilt[spell] {
			w.fail("spell %s: the requested reablement is lost: %v", spell, err)
		}
		if c != (oracle.Care{}) {
			all[spell] = c
		}
	}
	return all
}

// ask calls a service from outside the schedule, when everything is quiet.
func (w *world) ask(ctx context.Context, service, method string, req, resp proto.Message) error {
	p := w.processOf(service, method)
	if p == nil {
		return errAway
	}
	body, err := proto.Marshal(req)
	if err != nil {
		return err
	}
	answer, err := p.serve(ctx, method, body)
	if err != nil {
		return err
	}
	if body, err = proto.Marshal(answer.(proto.Message)); err != nil {
		return err
	}
	return proto.Unmarshal(body, resp)
}
