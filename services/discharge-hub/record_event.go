package dischargehub

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/kit/fault"
)

var kinds = map[dischargev1.EventKind]discharge.Kind{
	dischargev1.EventKind_EVENT_KIND_ADMIT:            discharge.KindAdmit,
	dischargev1.EventKind_EVENT_KIND_TRANSFER:         discharge.KindTransfer,
	dischargev1.EventKind_EVENT_KIND_DISCHARGE:        discharge.KindDischarge,
	dischargev1.EventKind_EVENT_KIND_UPDATE:           discharge.KindUpdate,
	dischargev1.EventKind_EVENT_KIND_CANCEL_ADMIT:     discharge.KindCancelAdmit,
	dischargev1.EventKind_EVENT_KIND_CANCEL_DISCHARGE: discharge.KindCancelDischarge,
	dischargev1.EventKind_EVENT_KIND_REGISTER:         discharge.KindRegister,
	dischargev1.EventKind_EVENT_KIND_EXPECT:           discharge.KindExpect,
	dischargev1.EventKind_EVENT_KIND_CANCEL_EXPECT:    discharge.KindCancelExpect,
	dischargev1.EventKind_EVENT_KIND_TO_INPATIENT:     discharge.KindToInpatient,
	dischargev1.EventKind_EVENT_KIND_TO_OUTPATIENT:    discharge.KindToOutpatient,
	dischargev1.EventKind_EVENT_KIND_CANCEL_TRANSFER:  discharge.KindCancelTransfer,
	dischargev1.EventKind_EVENT_KIND_PLAN_DISCHARGE:   discharge.KindPlanDischarge,
	dischargev1.EventKind_EVENT_KIND_CANCEL_PLAN:      discharge.KindCancelPlan,
	dischargev1.EventKind_EVENT_KIND_LEAVE:            discharge.KindLeave,
	dischargev1.EventKind_EVENT_KIND_RETURN:           discharge.KindReturn,
	dischargev1.EventKind_EVENT_KIND_MOVE_VISIT:       discharge.KindMoveVisit,
	dischargev1.EventKind_EVENT_KIND_UPDATE_PERSON:    discharge.KindUpdatePerson,
	dischargev1.EventKind_EVENT_KIND_MERGE:            discharge.KindMerge,
	dischargev1.EventKind_EVENT_KIND_REVOKE_MERGE:     discharge.KindRevokeMerge,
}

// checkRecordEvent refuses what a typed client can mend at once. Content that only a hospital can mend is taken and becomes a flag or an
// exception, as from MLLP.
func checkRecordEvent(req *dischargev1.RecordEventRequest) error {
	if _, ok := kinds[req.GetKind()]; !ok {
		return fault.Field("kind", "is missing or unknown; say what happened")
	}
	if req.GetMessageId() == "" {
		return fault.Field("message_id", "is missing; give your own id of this message, so that it can be traced")
	}
	if req.GetRecordedAt() == nil {
		return fault.Field("recorded_at", "is missing; say when it was recorded: it orders the facts")
	}
	for field, at := range map[string]*timestamppb.Timestamp{
		"recorded_at": req.GetRecordedAt(), "effective_at": req.GetEffectiveAt(), "admitted_at": req.GetAdmittedAt(),
		"expected_discharge_at": req.GetExpectedDischargeAt(), "discharged_at": req.GetDischargedAt(), "discharge_ready_at": req.GetDischargeReadyAt(), "person.died_at": req.GetPerson().GetDiedAt(),
	} {
		if at != nil && (at.CheckValid() != nil || !discharge.OfThisAge(at.AsTime())) {
			return fault.Field(field, "is no time of this age")
		}
	}
	if !discharge.Recordable(req.GetRecordedAt().AsTime()) {
		return fault.Field("recorded_at", "is no time at which an event can have been recorded: it orders the facts")
	}
	if at := req.GetDischargedAt(); at != nil && !discharge.Recordable(at.AsTime()) {
		return fault.Field("discharged_at", "is a date of the last century; say when the person left, or leave it out where that is not known")
	}
	if err := errors.Join(checkPersonEvent(req), checkReadiness(req)); err != nil {
		return err
	}
	for _, m := range []proto.Message{req, req.GetPerson()} {
		if field := fieldWithNUL(m); field != "" {
			return fault.Field(field, "holds a NUL, which cannot be stored")
		}
	}
	return nil
}

// checkPersonEvent refuses an event of a person that does not say of whom.
func checkPersonEvent(req *dischargev1.RecordEventRequest) error {
	kind, number, prior := kinds[req.GetKind()], strings.TrimSpace(req.GetPatientNumber()), strings.TrimSpace(req.GetPriorPatientNumber())
	if kind.OfPerson() && number == "" {
		return fault.Field("patient_number", "is missing; give the hospital's own number of the person")
	}
	if kind != discharge.KindMerge && kind != discharge.KindRevokeMerge {
		return nil
	}
	switch prior {
	case "":
		return fault.Field("prior_patient_number", "is missing; give the other number of the merge")
	case number:
		return fault.Field("prior_patient_number", "is patient_number itself; give the two numbers that were merged")
	}
	return nil
}

// checkReadiness refuses what says two things at once, or nothing.
func checkReadiness(req *dischargev1.RecordEventRequest) error {
	switch {
	case req.GetCriteriaToReside() != dischargev1.CriteriaToReside_CRITERIA_TO_RESIDE_UNSPECIFIED && word(criteria, req.GetCriteriaToReside()) == "":
		return fault.Field("criteria_to_reside", "is unknown; say MET or NOT_MET")
	case req.GetDischargeReadyAt() != nil && req.GetCriteriaToReside() != dischargev1.CriteriaToReside_CRITERIA_TO_RESIDE_NOT_MET:
		return fault.Field("discharge_ready_at", "is since when the criteria to reside are not met: say so in criteria_to_reside")
	case slices.Contains(req.GetWithdrawnInvolvements(), dischargev1.Involvement_INVOLVEMENT_PATHWAY):
		return fault.Field("withdrawn_involvements", "holds the pathway; give the pathway that the person is on, or 0, in pathway")
	}
	return nil
}

// fieldWithNUL names a text field of the message itself that holds NUL, or none.
func fieldWithNUL(m proto.Message) (field string) {
	m.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Kind() == protoreflect.StringKind && strings.ContainsRune(v.String(), 0) {
			field = string(f.Name())
		}
		return field == ""
	})
	return field
}

// readRecordEvent reads a stored request.
func readRecordEvent(feed discharge.Feed, body []byte) (discharge.Reading, error) {
	var req dischargev1.RecordEventRequest
	if err := proto.Unmarshal(body, &req); err != nil {
		return discharge.Reading{}, fmt.Errorf("not a RecordEventRequest: %w", err)
	}
	return discharge.FromEvent(feed, eventOf(&req, discharge.Digest(body))), nil
}

// spellOf is the spell that a request is about, by the same reading that will keep it; empty if its key is not whole.
func spellOf(feed discharge.Feed, req *dischargev1.RecordEventRequest) string {
	return discharge.FromEvent(feed, eventOf(req, "")).Fact.SpellID
}

// checkWhenLeft refuses what the rules take for no time at which the person can have left: of a typed client it can be asked at once.
func checkWhenLeft(feed discharge.Feed, req *dischargev1.RecordEventRequest) error {
	for _, p := range discharge.FromEvent(feed, eventOf(req, "")).Problems {
		if p = p.At(discharge.DoorGRPC); p.Kind == discharge.UnreadableTime {
			return fault.Field(p.Where, "is %s; say when the person left", p.Found)
		}
	}
	return nil
}

func optionalTime(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

var pathwayDigits = map[dischargev1.Pathway]string{
	dischargev1.Pathway_PATHWAY_0: "0",
	dischargev1.Pathway_PATHWAY_1: "1",
	dischargev1.Pathway_PATHWAY_2: "2",
	dischargev1.Pathway_PATHWAY_3: "3",
}

func eventOf(req *dischargev1.RecordEventRequest, digest string) discharge.Event {
	p := req.GetPerson()
	e := discharge.Event{
		MessageID: req.GetMessageId(), Digest: digest, Kind: kinds[req.GetKind()],
		RecordedAt: optionalTime(req.GetRecordedAt()), EffectiveAt: optionalTime(req.GetEffectiveAt()),
		VisitNumber: req.GetVisitNumber(), PatientNumber: req.GetPatientNumber(), PriorNumber: req.GetPriorPatientNumber(), AdmittedAt: optionalTime(req.GetAdmittedAt()),
		Site: req.GetSite(), Ward: req.GetWard(),
		NHSNumber: p.GetNhsNumber(), FamilyName: p.GetFamilyName(), GivenName: p.GetGivenName(), BirthDate: p.GetBirthDate(),
		Postcode: p.GetPostcode(), Practice: p.GetPracticeCode(), DiedAt: optionalTime(p.GetDiedAt()),
		ExpectedDischarge: optionalTime(req.GetExpectedDischargeAt()), DischargedAt: optionalTime(req.GetDischargedAt()), Method: req.GetDischargeMethod(), Destination: req.GetDischargeDestination(),
		DestinationPostcode: req.GetDestinationPostcode(), Pathway: pathwayDigits[req.GetPathway()],
	}
	switch p.GetDeathIndicator() {
	case dischargev1.DeathIndicator_DEATH_INDICATOR_YES:
		e.DeathIndicator = discharge.Tell(true)
	case dischargev1.DeathIndicator_DEATH_INDICATOR_NO:
		e.DeathIndicator = discharge.Tell(false)
	}
	for ours, theirs := range involvements {
		if slices.Contains(req.GetInvolvements(), theirs) {
			e.Involvements = append(e.Involvements, ours)
		}
		if slices.Contains(req.GetWithdrawnInvolvements(), theirs) {
			e.Withdrawn = append(e.Withdrawn, ours)
		}
	}
	if c := word(criteria, req.GetCriteriaToReside()); c != "" {
		e.MeetsCriteria, e.ReadyAt = discharge.Tell(c == discharge.CriteriaMet), optionalTime(req.GetDischargeReadyAt())
	}
	return e
}
