package discharge

import "slices"

// Kind is what happened, by its HL7 trigger.
type Kind string

// What happens in a spell.
const (
	KindAdmit           Kind = "A01"
	KindTransfer        Kind = "A02"
	KindDischarge       Kind = "A03"
	KindRegister        Kind = "A04" // in A&E or a clinic
	KindExpect          Kind = "A05"
	KindToInpatient     Kind = "A06"
	KindToOutpatient    Kind = "A07"
	KindUpdate          Kind = "A08"
	KindCancelAdmit     Kind = "A11"
	KindCancelTransfer  Kind = "A12"
	KindCancelDischarge Kind = "A13"
	KindPlanAdmit       Kind = "A14" // as A05
	KindPlanTransfer    Kind = "A15"
	KindPlanDischarge   Kind = "A16"
	KindSwapBeds        Kind = "A17"
	KindLeave           Kind = "A21"
	KindReturn          Kind = "A22"
	KindDeleteVisit     Kind = "A23"
	KindCancelPlan      Kind = "A25" // of a discharge: cancels A16
	KindCancelPlanMove  Kind = "A26" // of a transfer: cancels A15
	KindCancelPlanAdmit Kind = "A27" // cancels A14
	KindCancelExpect    Kind = "A38"
	KindMergeVisit      Kind = "A42" // the visit goes on under another number
	KindMoveAccount     Kind = "A44" // as A45, where it names a visit
	KindMoveVisit       Kind = "A45" // the visit is another person's
	KindRenumberVisit   Kind = "A50" // as A42
	KindCancelLeave     Kind = "A52"
	KindCancelReturn    Kind = "A53"
)

// What is told of a person, whatever their spells.
const (
	KindMergePatient Kind = "A18" // the older name of A40
	KindAddPerson    Kind = "A28"
	KindDeletePerson Kind = "A29"
	KindUpdatePerson Kind = "A31"
	KindMergeID      Kind = "A34" // the older name of A40
	KindMergeAccount Kind = "A35" // a merge of persons where MRG-1 is another number than PID-3
	KindMergeBoth    Kind = "A36" // patient and account number
	KindMerge        Kind = "A40"
	KindChangeNumber Kind = "A47"
	KindRevokeMerge  Kind = "revoke-merge" // by a person's hand only: HL7 has no such trigger
)

var spellKinds = []Kind{
	KindAdmit, KindTransfer, KindDischarge, KindRegister, KindExpect, KindToInpatient, KindToOutpatient, KindUpdate, KindCancelAdmit,
	KindCancelTransfer, KindCancelDischarge, KindPlanAdmit, KindPlanTransfer, KindPlanDischarge, KindSwapBeds, KindLeave, KindReturn,
	KindDeleteVisit, KindCancelPlan, KindCancelPlanMove, KindCancelPlanAdmit, KindCancelExpect, KindMergeVisit, KindMoveAccount,
	KindMoveVisit, KindRenumberVisit, KindCancelLeave, KindCancelReturn,
}

var mergeKinds = []Kind{KindMergePatient, KindMergeID, KindMergeAccount, KindMergeBoth, KindMerge, KindChangeNumber}

// OfPerson tells whether the kind is about a person, and so about every spell that the person has.
func (k Kind) OfPerson() bool {
	switch k {
	case KindAddPerson, KindDeletePerson, KindUpdatePerson, KindRevokeMerge:
		return true
	}
	return k.Merges()
}

// Merges tells whether two patient numbers are said to be one person's.
func (k Kind) Merges() bool { return slices.Contains(mergeKinds, k) }

// movesVisit tells whether a visit is said to be another person's.
func (k Kind) movesVisit() bool { return k == KindMoveVisit || k == KindMoveAccount }

// renumbersVisit tells whether a visit is said to go on under another number.
func (k Kind) renumbersVisit() bool { return k == KindMergeVisit || k == KindRenumberVisit }

// known tells whether the fold understands the kind.
func (k Kind) known() bool { return slices.Contains(spellKinds, k) || k.OfPerson() }

// mayLackSpell tells whether a message of the kind that names no spell can be passed over: nobody is lost by it.
func (k Kind) mayLackSpell() bool {
	switch k {
	case KindAdmit, KindTransfer, KindDischarge, KindToInpatient, KindToOutpatient, KindUpdate, KindCancelAdmit, KindCancelDischarge:
		return false
	}
	return true
}

// tellsWhere tells whether PV1-3 is where the person is then. In plans, in cancels of plans and in A45 senders put other places too.
func (k Kind) tellsWhere() bool {
	switch k {
	case KindPlanTransfer, KindPlanDischarge, KindCancelPlan, KindCancelPlanMove, KindMergeVisit, KindMoveAccount, KindMoveVisit, KindRenumberVisit:
		return false
	}
	return true
}

// tellsPresence tells whether only somebody who is in hospital can be the subject.
func (k Kind) tellsPresence() bool {
	switch k {
	case KindTransfer, KindCancelTransfer, KindPlanTransfer, KindPlanDischarge, KindSwapBeds, KindLeave, KindReturn, KindCancelLeave, KindCancelReturn:
		return true
	}
	return false
}

// tellsOfLeaving tells whether a discharge time in the message says that the person has left. In plans and leaves it says something else.
func (k Kind) tellsOfLeaving() bool {
	switch k {
	case KindAdmit, KindTransfer, KindUpdate, KindToInpatient, KindToOutpatient:
		return true
	}
	return false
}
