package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/homeward-care/homeward/e2e/oracle"
	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
)

// careAct is what somebody did about an assessment or reablement that was acknowledged.
type careAct struct{ service, noun, verb, record string }

func (s *staff) did(service, noun, verb, record string) {
	s.w.tell("%s %s of %s is acknowledged", noun, verb, record)
	s.w.acts(worksAt[service])
	s.careActs = append(s.careActs, careAct{service, noun, verb, record})
}

// findings are what an assessor finds when nothing is to be done.
var findings = map[string]string{
	"agrees-to-discharge": "yes", "consents-to-sharing": "yes", "asked-what-matters": "yes", "home-can-be-lived-in": "yes", "can-get-in": "yes",
	"toilet": "yes", "bed": "yes", "food-and-drink": "yes", "medicines": "yes", "warmth": "yes", "phone": "yes", "transfers": "alone",
	"carer": "yes", "falls": "no", "self-neglect": "no", "safeguarding": "no", "fire": "no", "package": "none", "reablement-potential": "yes",
	"escalation-contact-given": "yes", "assessor-basis": "hub-staff",
}

// completion is a finished assessment: safe, or safe once somebody can get in.
func (w *world) completion(spell string) *assessmentv1.CompleteAssessmentRequest {
	c := &assessmentv1.CompleteAssessmentRequest{SpellId: spell, Decision: assessmentv1.Decision_DECISION_SAFE, Answers: map[string]string{}}
	for question, answer := range findings {
		c.Answers[question] = answer
	}
	if w.rng.IntN(3) == 0 {
		return c
	}
	c.Decision, c.Answers["can-get-in"] = assessmentv1.Decision_DECISION_SAFE_WITH_CONDITIONS, "no"
	c.Conditions = []*assessmentv1.NewCondition{{Code: "key-safe", Owner: "ward", Due: assessmentv1.Due_DUE_BEFORE_LEAVING}}
	if w.rng.IntN(2) == 0 {
		c.Answers["phone"] = "no"
		c.Conditions = append(c.Conditions, &assessmentv1.NewCondition{Code: "telecare", Owner: "hub", Due: assessmentv1.Due_DUE_WITHIN_24_HOURS})
	}
	return c
}

func (s *staff) assess(ctx context.Context, subject, spell string) {
	w := s.w
	const service, noun = "light-touch-assessment", "assessment"
	client := assessmentv1.NewLightTouchAssessmentServiceClient(wire{w, service})
	s.think(ctx, service, spell)
	if !s.requestAssessment(ctx, spell) {
		return
	}
	decision := w.rng.IntN(6)
	if decision < 2 {
		return
	}
	s.think(ctx, service, spell)
	switch decision {
	case 2:
		if _, err := client.DeclineAssessment(ctx, &assessmentv1.DeclineAssessmentRequest{SpellId: spell}); err == nil {
			s.did(service, noun, "decline", spell)
		}
		return
	}
	if _, err := client.CompleteAssessment(ctx, w.completion(spell)); err == nil {
		s.did(service, noun, "complete", spell)
	}
	unmet, err := client.ListUnmet(ctx, &assessmentv1.ListUnmetRequest{SpellId: spell})
	if err != nil || len(unmet.GetConditions()) == 0 || w.rng.IntN(2) == 0 {
		return
	}
	id := unmet.GetConditions()[0].GetConditionId()
	if _, err := client.MeetCondition(ctx, &assessmentv1.MeetConditionRequest{SpellId: spell, ConditionId: id}); err == nil {
		s.did(service, noun, "meet-condition", spell)
	}
}

func (s *staff) requestAssessment(ctx context.Context, spell string) bool {
	const service = "light-touch-assessment"
	_, err := assessmentv1.NewLightTouchAssessmentServiceClient(wire{s.w, service}).RequestAssessment(ctx, &assessmentv1.RequestAssessmentRequest{SpellId: spell})
	if err == nil {
		s.did(service, "assessment", "request", spell)
	}
	return err == nil
}

const (
	area     = "CLS-GRAYS"
	capacity = "reablement-capacity"
)

func (s *staff) requestReablement(ctx context.Context, spell string) bool {
	_, err := reablementv1.NewReablementCapacityServiceClient(wire{s.w, capacity}).RequestReablement(ctx,
		&reablementv1.RequestReablementRequest{SpellId: spell, Area: area, VisitsPerDay: 1, WantedFrom: s.w.now().Format(time.DateOnly)})
	if err == nil {
		s.did(capacity, "need", "request", spell)
	}
	return err == nil
}

// reable gets reablement for somebody, as far as it goes: a provider offers, the hub asks for it, one of them holds a slot, and the provider
// accepts and starts, or the hub gives the slot back.
func (s *staff) reable(ctx context.Context, f *flow, subject, spell string) {
	w := s.w
	client := reablementv1.NewReablementCapacityServiceClient(wire{w, capacity})
	provider := withFrame(authn.With(w.ctx, authn.Principal{Subject: "provider-of-" + subject, Roles: []authn.Role{authn.Provider}, Provider: "HELPING-HANDS"}), f, nil)
	today := w.now().Format(time.DateOnly)
	if len(s.capacities) == 0 || w.rng.IntN(4) == 0 {
		id := uuid.NewSHA1(uuid.NameSpaceOID, []byte("capacity of "+subject)).String()
		if len(s.capacities) > 0 && w.rng.IntN(2) == 0 { // an offer that changes
			id = s.capacities[w.rng.IntN(len(s.capacities))]
		}
		if _, err := client.PublishCapacity(provider, &reablementv1.PublishCapacityRequest{
			CapacityId: id, Area: area, Slots: int32(1 + w.rng.IntN(2)), VisitsPerDay: 4, AvailableFrom: today, ValidUntil: timestamppb.New(w.now().AddDate(0, 0, 200)),
		}); err != nil {
			return
		}
		s.did(capacity, "capacity", "publish", id)
		s.capacities = append(s.capacities, id)
	}
	s.think(ctx, capacity, spell)
	if !s.requestReablement(ctx, spell) {
		return
	}
	if len(s.capacities) == 0 { // a restore took them away meanwhile
		return
	}
	id := s.capacities[w.rng.IntN(len(s.capacities))]
	if found, err := client.FindCapacity(ctx, &reablementv1.FindCapacityRequest{Area: area, From: today, VisitsPerDay: 1}); err == nil {
		for _, c := range found.GetCapacities() {
			if c.GetFree() < 1 || c.GetFree() > c.GetSlots() || c.GetArea() != area {
				w.fail("capacity %s is found with %d of %d slots free in %s", c.GetCapacityId(), c.GetFree(), c.GetSlots(), c.GetArea())
			}
			id = c.GetCapacityId()
		}
	}
	holder := ctx
	if w.rng.IntN(3) == 0 {
		holder = provider // the pull
	}
	if _, err := client.HoldCapacity(holder, &reablementv1.HoldCapacityRequest{SpellId: spell, CapacityId: id}); err == nil {
		s.did(capacity, "need", "hold", spell)
	}
	if w.rng.IntN(4) == 0 {
		return
	}
	s.think(ctx, capacity, spell)
	if _, err := client.AcceptHold(provider, &reablementv1.AcceptHoldRequest{SpellId: spell, StartsOn: today}); err == nil {
		s.did(capacity, "need", "accept", spell)
	}
	switch w.rng.IntN(4) {
	case 0:
	case 1:
		if _, err := client.ReleaseHold(ctx, &reablementv1.ReleaseHoldRequest{SpellId: spell}); err == nil {
			w.tell("what %s had of a capacity is given back", spell)
		}
	default:
		if _, err := client.StartReablement(provider, &reablementv1.StartReablementRequest{
			SpellId: spell, StartedOn: today, PlannedEndOn: w.now().AddDate(0, 0, 7+w.rng.IntN(35)).Format(time.DateOnly),
		}); err == nil {
			s.did(capacity, "need", "start", spell)
		}
	}
}

// cared is what the assessment and reablement services answer, once everything is quiet.
type cared struct {
	assessments map[string]*assessmentv1.Assessment
	needs       map[string]*reablementv1.Need
}

// everyStay are the stays, and the spells beside them that messages tell of.
func (w *world) everyStay() []oracle.Stay {
	all, known := slices.Clone(w.stays), map[string]bool{}
	for _, stay := range w.stays {
		known[stay.SpellID] = true
	}
	for _, m := range w.told {
		for _, id := range m.SpellIDs() {
			if !known[id] {
				known[id] = true
				all = append(all, oracle.Stay{SpellID: id})
			}
		}
	}
	return all
}

func (w *world) askCare() cared {
	c := cared{map[string]*assessmentv1.Assessment{}, map[string]*reablementv1.Need{}}
	ctx := asHubStaff(w.ctx)
	for _, stay := range w.everyStay() { // a service that does not run answers nothing
		spell := stay.SpellID
		var a assessmentv1.GetAssessmentResponse
		if err := w.ask(ctx, "light-touch-assessment", assessmentv1.LightTouchAssessmentService_GetAssessment_FullMethodName,
			&assessmentv1.GetAssessmentRequest{SpellId: spell}, &a); err == nil {
			c.assessments[spell] = a.GetAssessment()
		}
		var n reablementv1.GetNeedResponse
		if err := w.ask(ctx, capacity, reablementv1.ReablementCapacityService_GetNeed_FullMethodName, &reablementv1.GetNeedRequest{SpellId: spell}, &n); err == nil {
			c.needs[spell] = n.GetNeed()
		}
	}
	return c
}

// known is what of it involves social care, and raises the priority of a pick-up.
func (c cared) known() map[string]oracle.Care {
	all := map[string]oracle.Care{}
	for spell, a := range c.assessments {
		var k oracle.Care
		if status := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(a.GetStatus().String(), "STATUS_"), "_", "-")); status != "superseded" {
			k.Assessment = status
		}
		for _, condition := range a.GetConditions() {
			if condition.GetDue() == assessmentv1.Due_DUE_BEFORE_LEAVING && condition.GetMetAt() == nil {
				k.UnmetBeforeLeaving++
			}
		}
		k.UnmetBeforeLeaving = max(k.UnmetBeforeLeaving, int(a.GetLeftWithUnmet()))
		all[spell] = k
	}
	for spell, n := range c.needs {
		k := all[spell]
		if n.GetStatus() != reablementv1.NeedStatus_NEED_STATUS_WITHDRAWN {
			k.Reablement, k.ReablementEndsOn = strings.ToLower(strings.TrimPrefix(n.GetStatus().String(), "NEED_STATUS_")), n.GetPlannedEndOn()
		}
		all[spell] = k
	}
	for spell, k := range all {
		if k == (oracle.Care{}) {
			delete(all, spell)
		}
	}
	return all
}

// checkCare holds what the two services answer against what people did, in the order in which it took effect; what was acknowledged did.
func (w *world) checkCare(c cared, expected []oracle.Expected) {
	ctx := asHubStaff(w.ctx)
	by := map[string]oracle.Expected{}
	for _, want := range expected {
		by[want.SpellID] = want
	}
	for _, stay := range w.everyStay() {
		spell := stay.SpellID
		if w.restore.spoilt[spell] {
			continue
		}
		want := by[spell]
		want.SpellID = spell
		var wrong []string
		if acts := w.carriedOut("light-touch-assessment", "assessment", spell); len(acts) > 0 {
			wrong = append(wrong, oracle.CheckAssessment(want, acts, c.assessments[spell])...)
			var unmet assessmentv1.ListUnmetResponse
			if err := w.ask(ctx, "light-touch-assessment", assessmentv1.LightTouchAssessmentService_ListUnmet_FullMethodName,
				&assessmentv1.ListUnmetRequest{SpellId: spell}, &unmet); err != nil {
				w.fail("spell %s: unmet conditions: %v", spell, err)
			}
			left := slices.DeleteFunc(slices.Clone(c.assessments[spell].GetConditions()), func(k *assessmentv1.Condition) bool { return k.GetMetAt() != nil })
			if !slices.EqualFunc(left, unmet.GetConditions(), func(a, b *assessmentv1.Condition) bool { return proto.Equal(a, b) }) {
				w.fail("spell %s: the conditions %v are told as unmet, must be %v", spell, unmet.GetConditions(), left)
			}
		} else if c.assessments[spell] != nil {
			w.fail("spell %s: nobody asked for its assessment", spell)
		}
		if acts := w.carriedOut(capacity, "need", spell); len(acts) > 0 {
			wrong = append(wrong, oracle.CheckNeed(want, acts, len(stay.Messages) == 0 || oracle.MayHaveEnded(stay.Messages), c.needs[spell])...)
		} else if c.needs[spell] != nil {
			w.fail("spell %s: nobody asked for its reablement", spell)
		}
		for _, line := range wrong {
			w.fail("%s", line)
		}
	}
	for _, a := range w.staff.careActs {
		lost := !slices.Contains(w.carriedOut(a.service, a.noun, a.record), a.verb)
		if lost && !w.restore.spoilt[a.record] && (a.noun != "capacity" || w.restore.service != capacity) {
			w.fail("spell %s: %s %s was acknowledged and is lost", a.record, a.noun, a.verb)
		}
	}
	if w.has(providers) {
		w.checkFree(c.needs)
	}
}

// carriedOut are the verbs of what people did about something, in the order in which it took effect. What has no effect any more has no row.
func (w *world) carriedOut(service, noun, record string) []string {
	rows, err := w.db.admin.Query(w.ctx, fmt.Sprintf(`SELECT substr(action, length($2) + 2) FROM %s.audit
		WHERE record = $1 AND starts_with(action, $2 || '.') AND actor NOT LIKE 'service:%%' ORDER BY seq`, w.db.schemas[service].name), record, noun)
	if err != nil {
		w.fail("audit: %v", err)
		return nil
	}
	verbs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.fail("audit: %v", err)
	}
	return verbs
}

// checkFree: of each offer so many slots are free as nobody has.
func (w *world) checkFree(needs map[string]*reablementv1.Need) {
	var found reablementv1.FindCapacityResponse
	if err := w.ask(asHubStaff(w.ctx), capacity, reablementv1.ReablementCapacityService_FindCapacity_FullMethodName,
		&reablementv1.FindCapacityRequest{Area: area, From: w.now().Format(time.DateOnly), VisitsPerDay: 1}, &found); err != nil {
		w.fail("find capacity: %v", err)
	}
	for _, c := range found.GetCapacities() {
		taken := 0
		for _, n := range needs {
			if n.GetCapacityId() == c.GetCapacityId() && oracle.Holds(n, w.now()) {
				taken++
			}
		}
		for _, line := range oracle.CheckFree(c, taken) {
			w.fail("%s", line)
		}
	}
}
