package assessment

import (
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Completion is what the assessor found and decided.
type Completion struct {
	Answers    map[string]string // code of the question to code of the answer
	Decision   Decision
	Conditions []NewCondition
}

// NewCondition is a condition as the assessor sets it.
type NewCondition struct {
	Code  string
	Owner string
	Due   Due
}

// Completing records answers, decision and conditions of a requested assessment. Precondition unless it is requested; Invalid names the
// question, the decision or the condition at fault. What a decision needs stands in the question set (domain brief 2.4):
// an answer may rule out that leaving is safe, or ask for a condition; `safe` has no conditions, `safe-with-conditions` has some.
func Completing(a Assessment, set QuestionSet, c Completion, now time.Time) (Assessment, error) {
	if a.Status != Requested {
		return a, refuse(Precondition, "", "the assessment is %s; only a requested one can be completed", a.Status)
	}
	if err := set.checkAnswers(c.Answers); err != nil {
		return a, err
	}
	if err := set.checkConditions(c.Conditions); err != nil {
		return a, err
	}
	if err := set.checkDecision(c); err != nil {
		return a, err
	}
	a.Status, a.Decision, a.Answers, a.CompletedAt = Complete, c.Decision, maps.Clone(c.Answers), now
	a.Conditions = nil
	for _, n := range c.Conditions {
		a.Conditions = append(a.Conditions, Condition{ID: ConditionID(a.SpellID, set.ID, n.Code), Code: n.Code, Owner: n.Owner, Due: n.Due})
	}
	return a, nil
}

// ConditionID is UUIDv5 of spell, question set and code: the same assessment sent again names the same conditions.
func ConditionID(spell uuid.UUID, questionSet, code string) uuid.UUID {
	return uuid.NewSHA1(spell, []byte("condition|"+questionSet+"|"+code))
}

func (s QuestionSet) checkAnswers(answers map[string]string) error {
	for _, code := range slices.Sorted(maps.Keys(answers)) {
		if _, ok := s.question(code); !ok {
			return refuse(Invalid, "answers", "%s has no question %q", s.ID, code)
		}
	}
	for _, q := range s.questions() {
		given, ok := answers[q.Code]
		if !ok {
			if q.Required {
				return refuse(Invalid, "answers", "question %q is not answered; its answers are %v", q.Code, q.answerCodes())
			}
			continue
		}
		if _, ok := q.answer(given); !ok {
			return refuse(Invalid, "answers", "question %q has no answer %q; its answers are %v", q.Code, given, q.answerCodes())
		}
	}
	return nil
}

func (s QuestionSet) checkConditions(conditions []NewCondition) error {
	seen := map[string]bool{}
	for i, c := range conditions {
		switch {
		case !slices.Contains(s.Conditions, c.Code):
			return refuse(Invalid, "conditions", "entry %d: %s has no condition %q; its conditions are %v", i, s.ID, c.Code, s.Conditions)
		case seen[c.Code]:
			return refuse(Invalid, "conditions", "entry %d: condition %q is set twice; set it once, with the earlier due time", i, c.Code)
		case !slices.Contains(s.Owners, c.Owner):
			return refuse(Invalid, "conditions", "entry %d: condition %q has the owner %q; the owners are %v", i, c.Code, c.Owner, s.Owners)
		case c.Due != BeforeLeaving && c.Due != Within24Hours && c.Due != Within72Hours:
			return refuse(Invalid, "conditions", "entry %d: condition %q has no due time; it is before leaving, within 24 or within 72 hours", i, c.Code)
		}
		seen[c.Code] = true
	}
	return nil
}

func (s QuestionSet) checkDecision(c Completion) error {
	switch c.Decision {
	case NotYetSafe, NeedsHubMDT:
		return nil
	case Safe:
		if len(c.Conditions) > 0 {
			return refuse(Invalid, "decision", "is safe, but there are conditions; decide safe with conditions")
		}
	case SafeWithConditions:
		if len(c.Conditions) == 0 {
			return refuse(Invalid, "decision", "is safe with conditions, but there are none; name them or decide safe")
		}
	default:
		return refuse(Invalid, "decision", "is missing; it is safe, safe with conditions, not yet safe or needs the hub's MDT")
	}
	for _, q := range s.questions() {
		given, _ := q.answer(c.Answers[q.Code])
		if given.NotSafe {
			return refuse(Invalid, "decision", "cannot be %s with the answer %q to question %q; decide not yet safe or needs the hub's MDT", c.Decision, given.Code, q.Code)
		}
		if given.Needs != "" && !slices.ContainsFunc(c.Conditions, func(n NewCondition) bool { return n.Code == given.Needs }) {
			return refuse(Invalid, "conditions", "the answer %q to question %q needs the condition %q", given.Code, q.Code, given.Needs)
		}
	}
	return nil
}
