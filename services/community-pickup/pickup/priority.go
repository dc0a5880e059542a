package pickup

// Priority says what to do first; it is empty where there is nothing to do.
type Priority string

const (
	PriorityStandard Priority = "standard"
	PriorityHigh     Priority = "high"
)

// Reasons for a high priority.
const (
	HighUnmetBeforeLeaving   = "left-with-unmet-conditions"
	HighSelfDischarge        = "self-discharge-while-involved"
	HighAssessmentUnfinished = "assessment-unfinished"
)

// priority is high when the person left while something that had to be so before leaving was not, discharged themselves while
// social care was involved, or left while an assessment was requested and unfinished. That there is no assessment changes
// nothing.
//
// Source: design §5, "Priority".
func priority(in Inputs, involved []Involvement) (Priority, []string) {
	var reasons []string
	if a := in.Assessment; a != nil && a.Status != AssessmentSuperseded {
		if a.UnmetBeforeLeaving > 0 {
			reasons = append(reasons, HighUnmetBeforeLeaving)
		}
		if a.Status == AssessmentRequested {
			reasons = append(reasons, HighAssessmentUnfinished)
		}
	}
	if selfDischarge(*in.Spell.Discharge) && len(involved) > 0 {
		reasons = append(reasons, HighSelfDischarge)
	}
	if len(reasons) > 0 {
		return PriorityHigh, reasons
	}
	return PriorityStandard, nil
}
