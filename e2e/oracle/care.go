package oracle

import (
	"slices"
	"time"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
)

// ended says whether the spell was voided or the person has died.
func (e Expected) ended() bool {
	return e.Status == "voided" || e.Reason == "died" || e.Contact == "stopped"
}

// CheckAssessment says what is wrong with the assessment of a spell. Acts are what people did about it, in the order in which it took
// effect: request, complete, decline, and meet-condition for each condition that was met.
func CheckAssessment(want Expected, acts []string, got *assessmentv1.Assessment) []string {
	d := &differences{spell: want.SpellID}
	status, met := "", 0
	for _, act := range acts {
		switch act {
		case "request":
			status = "requested"
		case "complete":
			status = "complete"
		case "decline":
			status = "declined-by-person"
		case "meet-condition":
			met++
		}
	}
	if status == "requested" && want.ended() { // nobody has to finish it
		status = "superseded"
	}
	same(d, "assessment", status, word(got.GetStatus(), "STATUS_"))
	isMet, unmetWhenLeft := 0, 0
	for _, c := range got.GetConditions() {
		if c.GetMetAt() != nil {
			isMet++
		}
		if c.GetDue() == assessmentv1.Due_DUE_BEFORE_LEAVING && (c.GetMetAt() == nil || c.GetMetAt().AsTime().After(want.DischargedAt)) {
			unmetWhenLeft++
		}
	}
	same(d, "number of conditions that are met", met, isMet)
	if want.Discharge == 0 || want.Status == "voided" {
		unmetWhenLeft = 0
	}
	if want.Reason != "died" { // who did not leave alive has left nothing open
		same(d, "number of conditions unmet when the person left", unmetWhenLeft, int(got.GetLeftWithUnmet()))
	}
	return d.words
}

// longestReablement is how long reablement is free of charge, in days (SI 2014/2673, regulation 4).
const longestReablement = 42

// CheckNeed says what is wrong with the need of reablement of a spell. Acts are what people did about it, in the order in which it took
// effect: request, hold, accept, release, start. Where the spell had ended for a while, its slot may be lost; see [MayHaveEnded].
func CheckNeed(want Expected, acts []string, mayHaveEnded bool, got *reablementv1.Need) []string {
	d := &differences{spell: want.SpellID}
	status := "requested"
	for _, act := range acts {
		status = map[string]string{"request": "requested", "hold": "held", "accept": "accepted", "release": "requested", "start": "started"}[act]
	}
	allowed := []string{status}
	switch {
	case want.ended():
		allowed = []string{"withdrawn"}
	case mayHaveEnded || status == "held": // a hold runs out by itself
		allowed = append(allowed, "requested")
	}
	is := word(got.GetStatus(), "NEED_STATUS_")
	if !slices.Contains(allowed, is) {
		d.say("the need of reablement is %q, must be one of %q", is, allowed)
	}
	if has := got.GetCapacityId() != ""; has != slices.Contains([]string{"held", "accepted", "started"}, is) {
		d.say("the need of reablement is %q, and has capacity %q", is, got.GetCapacityId())
	}
	if is == "started" {
		from, err := time.Parse(time.DateOnly, got.GetStartsOn())
		to, err2 := time.Parse(time.DateOnly, got.GetPlannedEndOn())
		if err != nil || err2 != nil || to.Before(from) || to.After(from.AddDate(0, 0, longestReablement)) {
			d.say("reablement is planned from %q to %q", got.GetStartsOn(), got.GetPlannedEndOn())
		}
	}
	return d.words
}

// MayHaveEnded says whether some of the messages, in whatever order they came, could have ended a spell for a while: voided it, or told of a
// death.
func MayHaveEnded(messages []Told) bool {
	return slices.ContainsFunc(parts(messages), func(m Told) bool {
		voids := slices.Contains([]string{"A11", "A38", "A23"}, m.Kind)
		return voids || m.Dead != "" || !m.DiedAt.IsZero() || m.DeadWords != "" || m.Method == "4" || m.Method == "5" || m.Destination == "79"
	})
}

// CheckFree says what is wrong with what is said to be free of a capacity, where so many people have one of its slots.
func CheckFree(c *reablementv1.Capacity, taken int) []string {
	d := &differences{spell: "of capacity " + c.GetCapacityId()}
	same(d, "number of free slots", int(c.GetSlots())-taken, int(c.GetFree()))
	return d.words
}

// Holds says whether a need has a slot at a moment.
func Holds(n *reablementv1.Need, now time.Time) bool {
	switch word(n.GetStatus(), "NEED_STATUS_") {
	case "held":
		return n.GetHeldUntil().AsTime().After(now)
	case "accepted":
		return true
	case "started":
		return n.GetPlannedEndOn() >= dateOf(now)
	}
	return false
}
