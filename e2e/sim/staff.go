package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/homeward-care/homeward/e2e/oracle"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
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
	careActs   []careAct
	errands    []news // of what somebody is about to do something, at that service
	queueWork
}

// command is one command on a task. Each is given under a subject of its own, so that the audit tells whether one without an answer took effect.
type command struct {
	oracle.Acted
	subject string
	unknown bool
}

func (s *staff) ready() bool { return s.left > 0 && s.busy < 4 }
func (s *staff) done() bool  { return s.left == 0 && s.busy == 0 && len(s.errands) == 0 }

// shares are how much of what is done each of them does.
var shares = []struct {
	Actor
	of10 int
}{{assessors, 2}, {providers, 2}, {queueStaff, 1}, {teams, 5}}

// willing is how much of so many things is done in this seed: less where fewer people are there.
func (s *staff) willing(things int) int {
	sum := 0
	for _, who := range shares {
		if s.w.has(who.Actor) {
			sum += who.of10
		}
	}
	return (things*sum + 9) / 10
}

// act lets somebody do one thing about a spell.
func (s *staff) act() {
	s.left--
	stay, who := s.choose(), s.somebody()
	s.turnTo(stay.SpellID, func(ctx context.Context, f *flow, subject string) {
		switch who {
		case assessors:
			s.assess(ctx, subject, stay.SpellID)
		case providers:
			s.reable(ctx, f, subject, stay.SpellID)
		case queueStaff:
			s.lookInto(ctx, subject, stay)
		case teams:
			s.work(ctx, subject, stay.SpellID)
		}
	})
}

// somebody is one of those who are there.
func (s *staff) somebody() Actor {
	for {
		at := s.w.rng.IntN(10)
		for _, who := range shares {
			if at -= who.of10; at < 0 && s.w.has(who.Actor) {
				return who.Actor
			} else if at < 0 {
				break
			}
		}
	}
}

// turnTo begins what somebody does about a spell.
func (s *staff) turnTo(spell string, do func(ctx context.Context, f *flow, subject string)) {
	w := s.w
	s.given++
	subject := fmt.Sprintf("worker-%d", s.given)
	w.restore.spoils(spell)
	s.busy++
	s.about[spell]++
	ended := func() {
		s.busy--
		if s.about[spell]--; s.about[spell] == 0 {
			delete(s.about, spell)
		}
	}
	ctx := authn.With(w.ctx, authn.Principal{Subject: subject, Roles: []authn.Role{authn.HubStaff}})
	w.sched.spawn(fmt.Sprintf("staff %d", s.given), ended, func(f *flow) { do(withFrame(ctx, f, nil), f, subject) })
}

// work does one thing after another about a task.
func (s *staff) work(ctx context.Context, subject, spell string) {
	for n := range 1 + s.w.rng.IntN(3) {
		own := fmt.Sprintf("%s-%d", subject, n+1)
		if !s.command(authn.With(ctx, authn.Principal{Subject: own, Roles: []authn.Role{authn.HubStaff}}), own, spell) {
			return
		}
	}
}

// command reads a task and does something about it, if there is anything to do and the task is still so.
func (s *staff) command(ctx context.Context, subject, spell string) bool {
	w := s.w
	client := pickupv1.NewCommunityPickupServiceClient(wire{w, "community-pickup"})
	hub := dischargev1.NewDischargeHubServiceClient(wire{w, "discharge-hub"})
	handover, err := hub.GetHandover(ctx, &dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_SpellId{SpellId: spell}})
	if err != nil {
		return false
	}
	read, err := client.GetTask(ctx, &pickupv1.GetTaskRequest{Key: &pickupv1.GetTaskRequest_SpellId{SpellId: spell}})
	if err != nil {
		return false
	}
	task := read.GetTask()
	if task.GetSpellEpoch() != handover.GetEpoch() || task.GetSpellVersion() != handover.GetVersion() {
		return false // the two tell of different moments
	}
	s.think(ctx, "community-pickup", spell)
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
	case c.Before.VisitOn != "" && w.rng.IntN(3) == 0:
		c.Command = "cancel-visit"
		_, err = client.CancelVisit(ctx, &pickupv1.CancelVisitRequest{TaskId: id, Version: version})
	case slices.Contains([]string{"taken", "picked-up"}, c.Before.Progress) && w.rng.IntN(3) == 0:
		c.Command = "book"
		req := &pickupv1.BookVisitRequest{TaskId: id, Version: version}
		if at := w.now().AddDate(0, 0, 2+w.rng.IntN(30)); w.rng.IntN(2) == 0 {
			c.VisitOn = at.In(oracle.London).Format(time.DateOnly)
			req.On = c.VisitOn
		} else {
			c.VisitOn, c.VisitAt = at.In(oracle.London).Format(time.DateOnly), at
			req.At = timestamppb.New(at)
		}
		_, err = client.BookVisit(ctx, req)
	case c.Before.Progress == "untaken":
		c.Command = "take"
		_, err = client.TakeTask(ctx, &pickupv1.TakeTaskRequest{TaskId: id, Version: version})
	case c.Before.Progress == "taken":
		c.Command, c.TwoWay = "contact", w.rng.IntN(3) > 0
		_, err = client.RecordContact(ctx, &pickupv1.RecordContactRequest{TaskId: id, Version: version, Method: pickupv1.ContactMethod_CONTACT_METHOD_PHONE, TwoWay: c.TwoWay})
	case c.Before.Progress == "picked-up":
		ending := []string{"assessed", "assessed", "reviewed", "declined", "moved", "died"}[w.rng.IntN(6)]
		c.Command, c.Ending = "complete", ending
		_, err = client.CompleteTask(ctx, &pickupv1.CompleteTaskRequest{TaskId: id, Version: version,
			Ending: pickupv1.Ending(pickupv1.Ending_value["ENDING_"+strings.ToUpper(ending)])})
	default:
		return false
	}
	c.unknown = err != nil
	if err == nil {
		w.acts(teams)
		w.tell("%s: %s of the task of %s is acknowledged", subject, c.Command, spell)
	} else {
		w.tellDetail(fmt.Sprintf("%s: %s of the task of %s: ", subject, c.Command, spell), err.Error())
	}
	s.commands[spell] = append(s.commands[spell], c)
	return err == nil
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
