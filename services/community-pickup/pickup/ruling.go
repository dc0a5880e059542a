package pickup

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// ruling is what the rules say of the newest snapshots, without any history: no clock is asked, and whatever order the snapshots
// came in, the ruling is the same.
type ruling struct {
	outcome Outcome
	reason  string
	text    string
	watch   bool
	team    string
	route   Route

	// Of every discharge; the task shows them where a pick-up is due.
	dischargedOn   Date
	dueOn          Date
	dueAt          time.Time
	dueReason      string
	firstContactBy time.Time

	priority        Priority
	priorityReasons []string
	flags           []string
}

// rule applies the rules in their order.
func rule(p Place, in Inputs, resolved *Resolution) (r ruling) {
	s := *in.Spell
	r.flags = slices.Clone(s.Flags)
	defer func() { r.flags = sorted(r.flags) }()
	switch {
	case s.Status == SpellVoided:
		r.outcome, r.reason, r.text = NotDue, ReasonVoided, "The admission was cancelled."
		return r
	case s.Status == SpellNotAdmitted:
		r.outcome, r.reason, r.text = InHospital, ReasonNotAdmitted, "The person is not admitted, or not yet: no discharge holds."
		return r
	case s.Status != SpellDischarged || s.Discharge == nil:
		r.outcome, r.reason, r.text = InHospital, ReasonInHospital, "The person is in hospital: no discharge holds."
		return r
	}

	on := DateOf(s.Discharge.At, p.Zone)
	r.dischargedOn = on
	home := ours(p, s, on)
	involved := involvement(in)
	r.flags = append(r.flags, home.flags...)
	r.flags = append(r.flags, practiceFlags(p, s, on)...)
	r.flags = append(r.flags, oddities(p, s)...)

	r.dueOn, r.dueAt = sixWeeks(p, on)
	r.dueReason = dueReason(p, *s.Discharge, on)
	r.firstContactBy = firstContactBy(p, on)
	if DateOf(r.firstContactBy, p.Zone) > p.HolidaysThrough {
		r.flags = append(r.flags, FlagHolidaysUnknown)
	}
	r.priority, r.priorityReasons = priority(in, involved)

	row := isDue(p, on, conditions(s, hasDied(s, resolved), involved, home))
	r.reason = row.Code
	r.text = strings.NewReplacer("{involvement}", words(involved), "{residence}", home.text, "{council}", home.council).Replace(row.Text)
	switch row.Then {
	case ThenNotDue, ThenWatch:
		r.outcome, r.watch = NotDue, row.Then == ThenWatch
	case ThenElsewhere:
		r.outcome = InAnotherHospital
		r.team, r.route = toHub(p, s.Discharge.Destination, r.text)
	case ThenHub:
		r.outcome = PickUpDue
		r.team, r.route = toHub(p, "", r.text)
	default:
		r.outcome = PickUpDue
		r.team, r.route = whichTeam(p, s, on)
	}
	return r
}

// dueReason tells in words where the due date comes from.
func dueReason(p Place, d Discharge, on Date) string {
	text := fmt.Sprintf("%d calendar days after the actual discharge on %s, to the end of the day.", p.ThresholdsOn(on).PickUpDays, on)
	if d.Number > 1 {
		text += " An earlier discharge was cancelled; the time began anew."
	}
	return text
}

// oddities are flags on facts that neither residence nor route asks for.
func oddities(p Place, s Spell) []string {
	var flags []string
	add := func(flag string, is bool) {
		if is {
			flags = append(flags, flag)
		}
	}
	add(FlagAdultUnknown, s.Adult != AdultYes && s.Adult != AdultNo)
	add(FlagScopeUnknown, s.Scope != ScopeSocialCare && s.Scope != ScopeWholeHospital)
	add(FlagPracticeChangedLater, s.PracticeLater != "" && code(s.PracticeLater) != code(s.Practice))
	add(FlagHomeChangedLater, s.HomeSectorLater != "" && code(s.HomeSectorLater) != code(s.HomeSector))
	return flags
}

func sorted(flags []string) []string {
	slices.Sort(flags)
	return slices.Compact(flags)
}
