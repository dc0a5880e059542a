package pickup

import (
	"slices"
	"strings"
)

// Condition is something that a policy row may ask of a discharge.
type Condition string

const (
	WhenDied             Condition = "died"
	WhenUnder18          Condition = "under-18"
	WhenOtherHospital    Condition = "other-hospital"
	WhenSelfDischarge    Condition = "self-discharge"
	WhenInvolved         Condition = "involved"
	WhenSocialCareFeed   Condition = "social-care-feed"
	WhenWholeHospital    Condition = "whole-hospital-feed"
	WhenOurs             Condition = "ours"
	WhenOutOfArea        Condition = "out-of-area"
	WhenResidenceUnclear Condition = "residence-unclear"
)

// Conditions are all that a policy row may use.
func Conditions() []Condition {
	return []Condition{WhenDied, WhenUnder18, WhenOtherHospital, WhenSelfDischarge, WhenInvolved, WhenSocialCareFeed,
		WhenWholeHospital, WhenOurs, WhenOutOfArea, WhenResidenceUnclear}
}

// Verdict is what a policy row decides.
type Verdict string

const (
	// ThenDue makes a pick-up due at the team that the route finds.
	ThenDue Verdict = "due"
	// ThenHub makes a task of the hub, which decides.
	ThenHub Verdict = "hub-decides"
	// ThenNotDue means no pick-up, silently.
	ThenNotDue Verdict = "not-due"
	// ThenWatch means no pick-up and no alarm, and a watch for facts that would change that.
	ThenWatch Verdict = "not-due-watch"
	// ThenElsewhere means that the hub reviews until the real discharge is learned.
	ThenElsewhere Verdict = "in-another-hospital"
)

// Verdicts are all that a policy row may decide.
func Verdicts() []Verdict {
	return []Verdict{ThenDue, ThenHub, ThenNotDue, ThenWatch, ThenElsewhere}
}

// Reasons that are no policy row: nothing in them is a council's choice.
const (
	ReasonVoided        = "voided"
	ReasonInHospital    = "in-hospital"
	ReasonNotAdmitted   = "not-admitted"
	ReasonSpellNotKnown = "spell-not-known"
	ReasonNoPolicyRow   = "no-policy-row"
)

// isDue is the answer to "is a pick-up due?" for a person who was discharged: the first row of the policy that was in force on
// the day of discharge and whose conditions all hold. What no row decides is the hub's.
//
// Source: design §5, "Is a pick-up due?"; the rows are the place's data.
func isDue(p Place, on Date, holds []Condition) PolicyRow {
	for _, row := range p.Policy {
		if row.Holds(on) && !slices.ContainsFunc(row.When, func(c Condition) bool { return !slices.Contains(holds, c) }) {
			return row
		}
	}
	return PolicyRow{Code: ReasonNoPolicyRow, Then: ThenHub, Text: "No row of the policy decides this discharge: the hub decides."}
}

// conditions are those that hold for a discharge.
func conditions(s Spell, died bool, involved []Involvement, r residence) []Condition {
	var holds []Condition
	add := func(c Condition, is bool) {
		if is {
			holds = append(holds, c)
		}
	}
	add(WhenDied, died)
	add(WhenUnder18, s.Adult == AdultNo)
	add(WhenOtherHospital, toOtherHospital(*s.Discharge))
	add(WhenSelfDischarge, selfDischarge(*s.Discharge))
	add(WhenInvolved, len(involved) > 0)
	add(WhenSocialCareFeed, s.Scope == ScopeSocialCare)
	add(WhenWholeHospital, s.Scope == ScopeWholeHospital)
	return append(holds, r.verdict)
}

// involvement is every way in which social care is known to be involved, in a fixed order. Being on a feed of people in whom
// social care is involved is one of them. A blank pathway takes nothing away.
//
// Source: design §5: hub referral, light-touch assessment, pathway 1 to 3, reablement request, council package.
func involvement(in Inputs) []Involvement {
	s := in.Spell
	var ways []Involvement
	add := func(way Involvement, is bool) {
		if is {
			ways = append(ways, way)
		}
	}
	add(InvolvedFeed, s.Scope == ScopeSocialCare)
	add(InvolvedHubReferral, slices.Contains(s.Involved, InvolvedHubReferral))
	add(InvolvedCouncilPackage, slices.Contains(s.Involved, InvolvedCouncilPackage))
	add(InvolvedPathway, slices.Contains(s.Involved, InvolvedPathway) || slices.Contains([]Pathway{"1", "2", "3"}, s.Pathway))
	add(InvolvedAssessment, in.Assessment != nil && in.Assessment.Status != AssessmentSuperseded)
	add(InvolvedReablement, in.Need != nil && in.Need.Status != NeedWithdrawn)
	return ways
}

// selfDischarge says whether the person left against advice or was taken home by a relative or advocate. It excludes nobody.
//
// Source: NHS Data Dictionary, discharge method 6 and 7; 2 is the retired code for both, which hospitals still send.
func selfDischarge(d Discharge) bool {
	return slices.Contains([]string{"6", "7", "2"}, d.Method)
}

// toOtherHospital says whether the person left for another hospital.
//
// Source: NHS Data Dictionary, discharge destination: 49 to 53 other NHS hospital, 84 and 87 independent hospital.
func toOtherHospital(d Discharge) bool {
	return slices.Contains([]string{"49", "50", "51", "52", "53", "84", "87"}, d.Destination)
}

// words names the ways of involvement for a sentence.
func words(ways []Involvement) string {
	if len(ways) == 0 {
		return "none known"
	}
	names := make([]string, len(ways))
	for i, way := range ways {
		names[i] = strings.ReplaceAll(string(way), "-", " ")
	}
	return strings.Join(names, ", ")
}
