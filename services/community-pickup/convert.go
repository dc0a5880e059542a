package communitypickup

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
)

// The tables between the contracts' words and the domain's. A word that is missing here becomes the domain's empty one, which
// Inputs.Validate refuses where no rule could decide.
var (
	scopes = map[dischargev1.Scope]pickup.Scope{
		dischargev1.Scope_SCOPE_SOCIAL_CARE:    pickup.ScopeSocialCare,
		dischargev1.Scope_SCOPE_WHOLE_HOSPITAL: pickup.ScopeWholeHospital,
	}
	spellStatuses = map[dischargev1.SpellStatus]pickup.SpellStatus{
		dischargev1.SpellStatus_SPELL_STATUS_IN_HOSPITAL:  pickup.SpellInHospital,
		dischargev1.SpellStatus_SPELL_STATUS_DISCHARGED:   pickup.SpellDischarged,
		dischargev1.SpellStatus_SPELL_STATUS_VOIDED:       pickup.SpellVoided,
		dischargev1.SpellStatus_SPELL_STATUS_NOT_ADMITTED: pickup.SpellNotAdmitted,
	}
	adults = map[dischargev1.Adult]pickup.Adult{
		dischargev1.Adult_ADULT_YES:     pickup.AdultYes,
		dischargev1.Adult_ADULT_NO:      pickup.AdultNo,
		dischargev1.Adult_ADULT_UNKNOWN: pickup.AdultUnknown,
	}
	deaths = map[dischargev1.Death]pickup.Death{
		dischargev1.Death_DEATH_NONE:          pickup.DeathNone,
		dischargev1.Death_DEATH_DIED:          pickup.DeathDied,
		dischargev1.Death_DEATH_CONTRADICTORY: pickup.DeathContradictory,
	}
	involvements = map[dischargev1.Involvement]pickup.Involvement{
		dischargev1.Involvement_INVOLVEMENT_HUB_REFERRAL:    pickup.InvolvedHubReferral,
		dischargev1.Involvement_INVOLVEMENT_COUNCIL_PACKAGE: pickup.InvolvedCouncilPackage,
		dischargev1.Involvement_INVOLVEMENT_PATHWAY:         pickup.InvolvedPathway,
	}
	pathways = map[dischargev1.Pathway]pickup.Pathway{
		dischargev1.Pathway_PATHWAY_0: "0",
		dischargev1.Pathway_PATHWAY_1: "1",
		dischargev1.Pathway_PATHWAY_2: "2",
		dischargev1.Pathway_PATHWAY_3: "3",
	}
	assessmentStatuses = map[assessmentv1.Status]pickup.AssessmentStatus{
		assessmentv1.Status_STATUS_REQUESTED:          pickup.AssessmentRequested,
		assessmentv1.Status_STATUS_COMPLETE:           pickup.AssessmentComplete,
		assessmentv1.Status_STATUS_DECLINED_BY_PERSON: pickup.AssessmentDeclined,
		assessmentv1.Status_STATUS_SUPERSEDED:         pickup.AssessmentSuperseded,
	}
	needStatuses = map[reablementv1.NeedStatus]pickup.NeedStatus{
		reablementv1.NeedStatus_NEED_STATUS_REQUESTED: pickup.NeedRequested,
		reablementv1.NeedStatus_NEED_STATUS_HELD:      pickup.NeedHeld,
		reablementv1.NeedStatus_NEED_STATUS_ACCEPTED:  pickup.NeedAccepted,
		reablementv1.NeedStatus_NEED_STATUS_STARTED:   pickup.NeedStarted,
		reablementv1.NeedStatus_NEED_STATUS_WITHDRAWN: pickup.NeedWithdrawn,
	}
	outcomes = map[pickup.Outcome]pickupv1.Outcome{
		pickup.InHospital:        pickupv1.Outcome_OUTCOME_IN_HOSPITAL,
		pickup.PickUpDue:         pickupv1.Outcome_OUTCOME_PICK_UP_DUE,
		pickup.NotDue:            pickupv1.Outcome_OUTCOME_NOT_DUE,
		pickup.InAnotherHospital: pickupv1.Outcome_OUTCOME_IN_ANOTHER_HOSPITAL,
	}
	priorities = map[pickup.Priority]pickupv1.Priority{
		pickup.PriorityStandard: pickupv1.Priority_PRIORITY_STANDARD,
		pickup.PriorityHigh:     pickupv1.Priority_PRIORITY_HIGH,
	}
	contacts = map[pickup.Contact]pickupv1.Contact{
		pickup.ContactAllowed: pickupv1.Contact_CONTACT_ALLOWED,
		pickup.ContactHeld:    pickupv1.Contact_CONTACT_HELD,
		pickup.ContactStopped: pickupv1.Contact_CONTACT_STOPPED,
	}
	progresses = map[pickup.Progress]pickupv1.Progress{
		pickup.ProgressUntaken:  pickupv1.Progress_PROGRESS_UNTAKEN,
		pickup.ProgressTaken:    pickupv1.Progress_PROGRESS_TAKEN,
		pickup.ProgressPickedUp: pickupv1.Progress_PROGRESS_PICKED_UP,
		pickup.ProgressClosed:   pickupv1.Progress_PROGRESS_CLOSED,
	}
	endings = map[pickup.Ending]pickupv1.Ending{
		pickup.EndingAssessed: pickupv1.Ending_ENDING_ASSESSED,
		pickup.EndingReviewed: pickupv1.Ending_ENDING_REVIEWED,
		pickup.EndingDeclined: pickupv1.Ending_ENDING_DECLINED,
		pickup.EndingMoved:    pickupv1.Ending_ENDING_MOVED,
		pickup.EndingDied:     pickupv1.Ending_ENDING_DIED,
	}
	noticeKindsToProto = map[pickup.NoticeKind]pickupv1.NoticeKind{
		pickup.UntakenDuty:         pickupv1.NoticeKind_NOTICE_KIND_UNTAKEN_DUTY,
		pickup.UntakenManager:      pickupv1.NoticeKind_NOTICE_KIND_UNTAKEN_MANAGER,
		pickup.FirstContactLate:    pickupv1.NoticeKind_NOTICE_KIND_FIRST_CONTACT_LATE,
		pickup.Reminder:            pickupv1.NoticeKind_NOTICE_KIND_REMINDER,
		pickup.AtRisk:              pickupv1.NoticeKind_NOTICE_KIND_AT_RISK,
		pickup.Overdue:             pickupv1.NoticeKind_NOTICE_KIND_OVERDUE,
		pickup.ReviewOtherHospital: pickupv1.NoticeKind_NOTICE_KIND_REVIEW_OTHER_HOSPITAL,
		pickup.ReablementOutlasts:  pickupv1.NoticeKind_NOTICE_KIND_REABLEMENT_OUTLASTS,
		pickup.WatchEnded:          pickupv1.NoticeKind_NOTICE_KIND_WATCH_ENDED,
	}
	contactMethods = map[pickupv1.ContactMethod]string{
		pickupv1.ContactMethod_CONTACT_METHOD_PHONE:  "phone",
		pickupv1.ContactMethod_CONTACT_METHOD_VISIT:  "visit",
		pickupv1.ContactMethod_CONTACT_METHOD_LETTER: "letter",
		pickupv1.ContactMethod_CONTACT_METHOD_VIDEO:  "video",
	}
)

// word returns the key of a value; the empty word when the table has none.
func word[K, V comparable](table map[K]V, value V) (key K) {
	for k, v := range table {
		if v == value {
			return k
		}
	}
	return key
}

func spellFromProto(p *dischargev1.Spell, stamp pickup.Stamp) *pickup.Spell {
	s := &pickup.Spell{
		Stamp: stamp, SpellID: p.GetSpellId(), Reference: p.GetReference(), Scope: scopes[p.GetScope()], Status: spellStatuses[p.GetStatus()],
		Practice: p.GetPracticeCode(), PracticeLater: p.GetPracticeCodeLater(),
		HomeSector: p.GetHomePostcodeSector(), HomeSectorLater: p.GetHomePostcodeSectorLater(),
		NoAbode: p.GetNoFixedAbode(), DestSector: p.GetDestinationPostcodeSector(),
		Adult: adults[p.GetAdult()], Death: deaths[p.GetDeath()], Pathway: pathways[p.GetPathway()], Flags: p.GetFlags(), DataVersion: p.GetDataVersion(),
	}
	for _, i := range p.GetInvolvements() {
		s.Involved = append(s.Involved, involvements[i])
	}
	if d := p.GetDischarge(); d != nil {
		s.Discharge = &pickup.Discharge{At: timeOf(d.GetAt()), Method: d.GetMethod(), Destination: d.GetDestination(), Number: int(d.GetNumber())}
	}
	return s
}

func assessmentFromProto(p *assessmentv1.Assessment, stamp pickup.Stamp) *pickup.Assessment {
	a := &pickup.Assessment{
		Stamp: stamp, SpellID: p.GetSpellId(), Status: assessmentStatuses[p.GetStatus()],
		RequestedAt: timeOf(p.GetRequestedAt()), CompletedAt: timeOf(p.GetCompletedAt()),
	}
	for _, c := range p.GetConditions() {
		if c.GetDue() == assessmentv1.Due_DUE_BEFORE_LEAVING && c.GetMetAt() == nil {
			a.UnmetBeforeLeaving++
		}
	}
	// A condition that was met after the person had left was unmet when it mattered.
	a.UnmetBeforeLeaving = max(a.UnmetBeforeLeaving, int(p.GetLeftWithUnmet()))
	return a
}

func needFromProto(p *reablementv1.Need, stamp pickup.Stamp) *pickup.Need {
	return &pickup.Need{Stamp: stamp, SpellID: p.GetSpellId(), Status: needStatuses[p.GetStatus()], PlannedEndOn: pickup.Date(p.GetPlannedEndOn())}
}

func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// taskToProto is the published form of a task: nothing in it is about who the person or the worker is.
func taskToProto(t pickup.Task) *pickupv1.Task {
	p := &pickupv1.Task{
		TaskId: t.TaskID, SpellId: t.SpellID, Reference: t.Reference,
		Outcome: outcomes[t.Outcome], Reason: t.Reason, ReasonText: t.ReasonText, Team: t.Team,
		DischargedOn: string(t.DischargedOn), DueOn: string(t.DueOn), DueAt: timestamp(t.DueAt), DueReason: t.DueReason,
		FirstContactBy: timestamp(t.FirstContactBy), Priority: priorities[t.Priority], PriorityReasons: t.PriorityReasons,
		Contact: contacts[t.Contact], Progress: progresses[t.Progress], TakenAt: timestamp(t.TakenAt), FirstContactAt: timestamp(t.FirstContactAt),
		PickedUpAt: timestamp(t.PickedUpAt), CompletedAt: timestamp(t.CompletedAt), Ending: endings[t.Ending], Met: t.Met, Flags: t.Flags,
		ProposedTeam: t.ProposedTeam, ProposedReason: t.ProposedReason, DirectoryVersion: t.DirectoryVersion, PolicyVersion: t.PolicyVersion,
		DaysUsedOnArrival: int32(t.DaysUsedOnArrival), Schedule: int32(t.Schedule), DischargeNumber: int32(t.DischargeNumber),
		LearnedAt: timestamp(t.LearnedAt), DeliveredAt: timestamp(t.DeliveredAt), Watched: t.Watched,
	}
	if s := t.Settled; s != nil {
		p.Settled = &pickupv1.Settled{Team: s.Team, Route: routeToProto(s.Route), Against: s.Against, DischargeNumber: int32(s.Discharge),
			Outcome: outcomes[s.Outcome], Reason: s.Reason, ReasonText: s.ReasonText}
	}
	if t.Resolved != nil {
		p.ResolvedDied = &t.Resolved.Died
	}
	if t.Visit != nil {
		p.VisitOn, p.VisitAt = string(t.Visit.On), timestamp(t.Visit.At)
	}
	p.Route = routeToProto(t.Route)
	if s := t.Inputs.Spell; s != nil {
		p.SpellEpoch, p.SpellVersion, p.SpellStatus = s.Epoch, s.Version, word(spellStatuses, s.Status)
	}
	if a := t.Inputs.Assessment; a != nil {
		p.AssessmentStatus, p.UnmetBeforeLeaving = string(a.Status), int32(a.UnmetBeforeLeaving)
	}
	if n := t.Inputs.Need; n != nil {
		p.ReablementStatus, p.ReablementEndsOn = string(n.Status), string(n.PlannedEndOn)
	}
	for _, n := range t.Notices {
		p.Notices = append(p.Notices, &pickupv1.Notice{
			Kind: noticeKindsToProto[n.Kind], Schedule: int32(n.Schedule), DueAt: timestamp(n.DueAt), FiredAt: timestamp(n.FiredAt), WithdrawnAt: timestamp(n.WithdrawnAt),
		})
	}
	return p
}

func routeToProto(r pickup.Route) *pickupv1.Route {
	if r == (pickup.Route{}) {
		return nil
	}
	return &pickupv1.Route{Rule: r.Rule, Input: r.Input, Pcn: r.PCN, Text: r.Text}
}

func routeFromProto(r *pickupv1.Route, directoryVersion string) pickup.Route {
	if r == nil {
		return pickup.Route{}
	}
	return pickup.Route{Rule: r.GetRule(), Input: r.GetInput(), PCN: r.GetPcn(), DirectoryVersion: directoryVersion, Text: r.GetText()}
}

// taskFromProto reads what a snapshot tells of a task, and the version of the spell on which it rests.
func taskFromProto(p *pickupv1.Task) (pickup.Task, pickup.Stamp) {
	t := pickup.Task{
		TaskID: p.GetTaskId(), SpellID: p.GetSpellId(), Reference: p.GetReference(),
		Outcome: word(outcomes, p.GetOutcome()), Reason: p.GetReason(), ReasonText: p.GetReasonText(), Team: p.GetTeam(),
		DischargedOn: pickup.Date(p.GetDischargedOn()), DueOn: pickup.Date(p.GetDueOn()), DueAt: timeOf(p.GetDueAt()), DueReason: p.GetDueReason(),
		FirstContactBy: timeOf(p.GetFirstContactBy()), Priority: word(priorities, p.GetPriority()), PriorityReasons: p.GetPriorityReasons(),
		Contact: word(contacts, p.GetContact()), Progress: word(progresses, p.GetProgress()), TakenAt: timeOf(p.GetTakenAt()),
		FirstContactAt: timeOf(p.GetFirstContactAt()), PickedUpAt: timeOf(p.GetPickedUpAt()), CompletedAt: timeOf(p.GetCompletedAt()),
		Ending: word(endings, p.GetEnding()), Met: p.GetMet(), Flags: p.GetFlags(), ProposedTeam: p.GetProposedTeam(), ProposedReason: p.GetProposedReason(),
		DirectoryVersion: p.GetDirectoryVersion(), PolicyVersion: p.GetPolicyVersion(), DaysUsedOnArrival: int(p.GetDaysUsedOnArrival()),
		Schedule: int(p.GetSchedule()), DischargeNumber: int(p.GetDischargeNumber()), LearnedAt: timeOf(p.GetLearnedAt()), DeliveredAt: timeOf(p.GetDeliveredAt()),
		Watched: p.GetWatched(),
	}
	if status := p.GetAssessmentStatus(); status != "" {
		t.Inputs.Assessment = &pickup.Assessment{SpellID: t.SpellID, Status: pickup.AssessmentStatus(status), UnmetBeforeLeaving: int(p.GetUnmetBeforeLeaving())}
	}
	if status := p.GetReablementStatus(); status != "" {
		t.Inputs.Need = &pickup.Need{SpellID: t.SpellID, Status: pickup.NeedStatus(status), PlannedEndOn: pickup.Date(p.GetReablementEndsOn())}
	}
	if on := p.GetVisitOn(); on != "" {
		t.Visit = &pickup.Visit{On: pickup.Date(on), At: timeOf(p.GetVisitAt())}
	}
	t.Route = routeFromProto(p.GetRoute(), p.GetDirectoryVersion())
	if s := p.GetSettled(); s != nil {
		t.Settled = &pickup.Settled{Team: s.GetTeam(), Route: routeFromProto(s.GetRoute(), p.GetDirectoryVersion()), Against: s.GetAgainst(),
			Discharge: int(s.GetDischargeNumber()), Outcome: word(outcomes, s.GetOutcome()), Reason: s.GetReason(), ReasonText: s.GetReasonText()}
	}
	if p.ResolvedDied != nil {
		t.Resolved = &pickup.Resolution{Died: p.GetResolvedDied()}
	}
	for _, n := range p.GetNotices() {
		t.Notices = append(t.Notices, pickup.Notice{
			Kind: word(noticeKindsToProto, n.GetKind()), Schedule: int(n.GetSchedule()), DueAt: timeOf(n.GetDueAt()), FiredAt: timeOf(n.GetFiredAt()), WithdrawnAt: timeOf(n.GetWithdrawnAt()),
		})
	}
	return t, pickup.Stamp{Epoch: p.GetSpellEpoch(), Version: p.GetSpellVersion()}
}
