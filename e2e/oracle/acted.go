package oracle

import (
	"slices"
	"time"
)

// Acted is a command of a person on a task that was acknowledged. An observer knows all of it: the task was read at the version that the
// command carried, so it was still so when the command was carried out.
type Acted struct {
	// Command is take, contact, book, cancel-visit, complete, assign, accept, refuse, resolve-died or resolve-alive.
	Command string
	Before  Seen   // the task that the person saw, with its handover
	Team    string // that an assign gave it to
	TwoWay  bool   // of a contact
	Ending  string // of a complete
	// Of a book: the day in London, and the moment where one was agreed.
	VisitOn string
	VisitAt time.Time
}

// worked is what people have reached, replayed from their commands.
type worked struct {
	taken, contacted bool
	ending, resolved string
	settled, against string // the settled team, and the rules' answer that people knew then
	perhaps          string // or this one, which they had refused before, and which is not shown again
	outcome          string // that they worked under
	discharge        int    // that they worked under last
	renewed          bool   // another discharge than that holds now, or none
	visitOn          string // the visit that is booked under the discharge of now
	visitAt          time.Time
	saidDied         bool // somebody closed the task because the person had died, whatever became of that
}

func replay(want Expected, acted []Acted) (w worked) {
	for _, a := range acted {
		w.discharge, w.outcome = a.Before.Discharge, a.Before.Outcome
		ruled := a.Before.Proposed
		if ruled == "" {
			ruled = a.Before.Team
		}
		current := a.Before.Discharge == want.Discharge // what was reached under an earlier discharge is history
		switch a.Command {
		case "take":
			w.taken = true
			if w.settled == "" {
				w.settled, w.against = a.Before.Team, ruled
			}
		case "contact":
			w.contacted = w.contacted || a.TwoWay && current
		case "book":
			if w.visitOn, w.visitAt = "", (time.Time{}); current {
				w.visitOn, w.visitAt = a.VisitOn, a.VisitAt
			}
		case "cancel-visit":
			w.visitOn, w.visitAt = "", time.Time{}
		case "complete":
			if current {
				w.ending = a.Ending
			}
			w.saidDied = w.saidDied || a.Ending == "died"
		case "assign":
			if w.perhaps = ""; a.Before.Proposed == "" {
				w.perhaps = w.against
			}
			w.settled, w.against, w.taken = a.Team, ruled, false
			w.visitOn, w.visitAt = "", time.Time{} // the visit of those who had it is off
		case "accept":
			w.settled, w.against, w.perhaps, w.taken = ruled, ruled, "", false
			w.visitOn, w.visitAt = "", time.Time{}
		case "refuse":
			w.against, w.perhaps = ruled, ""
		case "resolve-died", "resolve-alive":
			w.resolved = a.Command
			if a.Command == "resolve-alive" && w.ending == "died" {
				w.ending = ""
			}
		}
	}
	w.renewed = w.discharge != want.Discharge
	return w
}

// CheckActed says what is wrong with a task on which people have acted; acted are all their acknowledged commands in order. Death,
// cancellation, method and time of discharge always apply; the due date recalculates; the team stays the settled one and another is only
// proposed; nothing that was acknowledged is lost, and progress goes back only with a new discharge.
func CheckActed(want Expected, acted []Acted, got Seen) []string {
	if len(acted) == 0 {
		return Check(want, got)
	}
	d, w := &differences{spell: want.SpellID}, replay(want, acted)
	d.facts(want, got)
	d.contact(want, w, got)
	died := got.Contact == "stopped" && w.ending != "died"

	// The outcome. Nobody's work is taken from them silently: "not due after all" is a proposal to the hub.
	kept := want.Outcome == "not-due" && want.Status == "discharged" && !died && w.settled != ""
	switch {
	case w.ending != "" && want.Status == "discharged": // closed: it keeps its outcome
		same(d, "outcome", w.outcome, got.Outcome)
	case died && want.Status == "discharged":
		same(d, "outcome", "not-due", got.Outcome)
		same(d, "reason", "died", got.Reason)
	case kept && w.renewed: // whether they had worked under this discharge depends on what came when
	case kept:
		same(d, "outcome", w.outcome, got.Outcome)
		d.proposal(w, Hub, got)
	default:
		same(d, "outcome", want.Outcome, got.Outcome)
		same(d, "reason", want.Reason, got.Reason)
		same(d, "priority", want.Priority, got.Priority)
	}
	if got.Outcome == "pick-up-due" {
		same(d, "due on", dateOf(startOf(want.DischargedAt, 42)), got.DueOn)
		same(d, "due at", startOf(want.DischargedAt, 43), got.DueAt)
		same(d, "first contact by", endOfWorkingDay(want.DischargedAt, 3), got.FirstContactBy)
	}
	if open := got.Outcome == "pick-up-due" || got.Outcome == "in-another-hospital"; open && w.settled != "" {
		same(d, "team", w.settled, got.Team)
		if !kept && w.ending == "" {
			d.proposal(w, want.Team, got)
		}
	} else if open {
		same(d, "team", want.Team, got.Team)
	}
	d.progress(want, w, got)
	return d.words
}

// contact follows death. While facts contradict one another the hub's decision holds, unless they had agreed in between.
func (d *differences) contact(want Expected, w worked, got Seen) {
	allowed := []string{want.Contact}
	if w.ending == "died" {
		allowed = []string{"stopped"}
	} else if w.saidDied && want.Discharge == 0 { // a worker's word holds until the next discharge
		allowed = append(allowed, "stopped")
	}
	if want.Contact == "held" {
		switch w.resolved {
		case "resolve-died":
			allowed = append(allowed, "stopped")
		case "resolve-alive":
			allowed = append(allowed, "allowed")
		}
	}
	if !slices.Contains(allowed, got.Contact) {
		d.say("contact is %q, must be one of %q", got.Contact, allowed)
	}
}

// proposal: another team than the settled one is proposed, unless people knew that answer when they settled it.
func (d *differences) proposal(w worked, ruled string, got Seen) {
	if ruled == "" || ruled == w.settled || ruled == w.against || ruled == w.perhaps && got.Proposed == "" {
		ruled = ""
	}
	same(d, "proposed team", ruled, got.Proposed)
}

// progress is exact while the discharge is the one that people worked under. Without a discharge it stays what it was.
func (d *differences) progress(want Expected, w worked, got Seen) {
	order := []string{"", "untaken", "taken", "picked-up", "closed"}
	least := 0
	switch {
	case w.ending != "":
		least = 4
	case w.taken && w.contacted:
		least = 3
	case w.taken:
		least = 2
	}
	reached := slices.Index(order, got.Progress)
	if reached < least || want.Discharge > 0 && reached > max(least, 1) {
		d.say("progress is %q, must be %q: an acknowledged command is lost, or one was never given", got.Progress, order[least])
	}
	if want.Discharge > 0 {
		same(d, "ending", w.ending, got.Ending)
		same(d, "day of the visit", w.visitOn, got.VisitOn)
		same(d, "moment of the visit", w.visitAt, got.VisitAt)
	}
}
