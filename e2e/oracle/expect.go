package oracle

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/homeward-care/homeward/e2e/hospital"
)

// Expected is what must have become of a spell.
type Expected struct {
	SpellID, TaskID string
	Status          string // not-admitted, in-hospital, discharged, voided
	Outcome         string // in-hospital, pick-up-due, not-due, in-another-hospital
	Reason          string // the policy's code
	Watched         bool   // not due, and watched for an involvement that turns up
	Team            string // empty where nothing is to do
	Priority        string // standard, high; empty where nothing is to do
	Contact         string // allowed, held, stopped
	// Discharge is how often the person was discharged, cancelled discharges included; 0 where none holds. DischargedAt is its moment.
	Discharge                int
	DischargedAt             time.Time
	DischargedOn, DueOn      string    // YYYY-MM-DD in London; DueOn only where a pick-up is due
	DueAt, FirstContactBy    time.Time // the first instants that are too late
	ReablementEndsAfterDueOn bool
	Exceptions               []string // open kinds, sorted, each once
	Flags                    []string // of the hub's, those in checkedFlags, sorted
	PlannedOn                string   // YYYY-MM-DD: when somebody in hospital is expected to leave
	Number, Ward             string   // the person's patient number, and where the person was last
}

// Care is what the other services know of a spell. The zero Care is nothing.
type Care struct {
	Assessment         string // requested, complete, declined-by-person
	UnmetBeforeLeaving int
	Reablement         string // requested, held, accepted, started
	ReablementEndsOn   string // YYYY-MM-DD, of a service that started
}

// Expect says what must become of every spell of which the messages tell, by spell id, once exactly these are stored, in whatever order and
// however often.
func Expect(messages []Told) []Expected { return ExpectWith(messages, nil) }

// ExpectWith is Expect where other services know something of some spells; care is by spell id.
func ExpectWith(messages []Told, care map[string]Care) []Expected {
	messages = parts(messages)
	people := recordsOf(messages)
	spells := map[string][]Told{}
	firstOf := map[string]string{} // the least spell id of each stay
	for _, m := range inOrder(messages) {
		spells[m.SpellID] = append(spells[m.SpellID], m)
		if key := people.stayKey(m); key != "" && (firstOf[key] == "" || m.SpellID < firstOf[key]) {
			firstOf[key] = m.SpellID
		}
	}
	var all []Expected
	for _, id := range slices.Sorted(maps.Keys(spells)) {
		e := expect(spells[id], people, care[id])
		// One stay under two keys: both tasks stay, the spell with the greater id is the hub's to look at.
		for _, m := range spells[id] {
			if key := people.stayKey(m); key != "" && firstOf[key] != id {
				e.Exceptions = append(e.Exceptions, "two-keys-for-one-stay")
			}
		}
		slices.Sort(e.Exceptions)
		e.Exceptions = slices.Compact(e.Exceptions)
		all = append(all, e)
	}
	return all
}

// inOrder are the messages about spells, sorted.
func inOrder(messages []Told) []Told {
	return sorted(slices.DeleteFunc(slices.Clone(messages), func(m Told) bool { return m.SpellID == "" }))
}

// stayKey is the same for all messages about one person's stay, whatever key they carry; empty where they don't tell it.
func (r records) stayKey(m Told) string {
	if m.Patient == "" || m.Admitted.IsZero() {
		return ""
	}
	return SpellID(feeds[m.Feed].provider, "", r.of(m.number()), m.Admitted)
}

// sorted leaves out copies, and sorts by when the hospital recorded it; then by control id, 9 before 10.
func sorted(order []Told) []Told {
	digest := func(m Told) []byte { d := m.digest(); return d[:] }
	slices.SortFunc(order, func(a, b Told) int {
		return cmp.Or(a.Recorded.Compare(b.Recorded), cmp.Compare(len(a.ControlID), len(b.ControlID)), cmp.Compare(a.ControlID, b.ControlID),
			bytes.Compare(digest(a), digest(b)))
	})
	return slices.CompactFunc(order, func(a, b Told) bool { return bytes.Equal(digest(a), digest(b)) })
}

// expect says what must become of one spell, from its messages in order and from what is told of people.
func expect(messages []Told, people records, care Care) Expected {
	e := Expected{SpellID: messages[0].SpellID, TaskID: TaskID(messages[0].SpellID), Contact: "allowed"}
	e.Exceptions = ofMessages(messages)
	// A visit number that is used again stays the first person's.
	own := people.ofFirstPerson(people.moved(believable(messages)))
	if len(own) < len(messages) {
		e.Exceptions = append(e.Exceptions, "visit-number-reused")
	}
	c := follow(own)
	e.Exceptions = append(e.Exceptions, c.exceptions()...)
	e.Flags, e.Ward, e.Number = c.flags(), c.ward, people.shown(own)

	all := sorted(slices.Concat(own, people.about(own)))
	died, unclear := death(all, c)
	switch {
	case died:
		e.Contact = "stopped"
	case unclear:
		e.Contact = "held"
		e.Exceptions = append(e.Exceptions, "death-contradictory")
	}
	if !c.voided && deleted(all) {
		e.Exceptions = append(e.Exceptions, "person-deleted")
	}
	switch {
	case c.voided:
		e.Status, e.Outcome, e.Reason = "voided", "not-due", "voided"
		return e
	case c.holds == nil:
		e.Status, e.Outcome, e.Reason = "in-hospital", "in-hospital", "in-hospital"
		// Whose visit it is, and by what number, does not say that somebody is there.
		there := slices.ContainsFunc(own, func(m Told) bool { return m.Kind != moveVisit && m.Kind != renumberVisit })
		switch {
		case c.visiting && !c.inpatient, !there:
			e.Status, e.Reason = "not-admitted", "not-admitted"
		case !c.planned.IsZero():
			e.PlannedOn = dateOf(c.planned)
		}
		return e
	}
	e.Status, e.Discharge, e.DischargedAt = "discharged", c.number, c.holds.moment().UTC()
	e.DischargedOn = dateOf(e.DischargedAt)
	e.decide(all, *c.holds, died, care)
	return e
}

// decide is the policy, first match wins.
func (e *Expected) decide(own []Told, left leaving, died bool, care Care) {
	p := personAt(own, left)
	involved := p.socialCare || p.involved || care.Assessment != "" || care.Reablement != ""
	home := residence(p.postcode, p.practice)
	due := func(outcome, reason, team string) { e.Outcome, e.Reason, e.Team = outcome, reason, team }
	switch {
	case died:
		due("not-due", "died", "")
	case e.DischargedOn < eighteenth(p.born):
		due("pick-up-due", "under-18", Hub)
	case toHospital(left.destination) && involved:
		due("in-another-hospital", "other-hospital", Hub)
	case home == "elsewhere" && involved:
		due("pick-up-due", "out-of-area-involved", Hub)
	case home == "elsewhere":
		due("not-due", "appears-out-of-area", "")
	case home == "unclear" && involved:
		due("pick-up-due", "residence-unclear", Hub)
	case p.socialCare:
		due("pick-up-due", "social-care-feed", teamOf(p.practice, left.goingTo, p.postcode))
	case involved:
		due("pick-up-due", "involved", teamOf(p.practice, left.goingTo, p.postcode))
	default:
		due("not-due", "no-social-care-involvement-known", "")
		e.Watched = true
	}
	if e.Team != "" {
		e.Priority = "standard"
		if care.UnmetBeforeLeaving > 0 || care.Assessment == "requested" || involved && leftOnTheirOwn(left.method) {
			e.Priority = "high"
		}
	}
	if e.Outcome == "pick-up-due" {
		e.DueAt, e.FirstContactBy = startOf(e.DischargedAt, 43), endOfWorkingDay(e.DischargedAt, 3)
		e.DueOn = dateOf(e.DueAt.Add(-time.Hour))
		e.ReablementEndsAfterDueOn = care.ReablementEndsOn > e.DueOn
	}
}

// eighteenth is the day on which somebody comes of age, and sorts as dates do; nothing where the birth date is not known.
func eighteenth(born string) string {
	year, day, ok := strings.Cut(born, "-")
	if n, err := strconv.Atoi(year); ok && err == nil {
		return strconv.Itoa(n+18) + "-" + day
	}
	return ""
}

// toHospital: other NHS hospitals are 49 to 53, others 84 and 87 (NHS Data Dictionary, discharge destination).
func toHospital(destination string) bool {
	return slices.Contains([]string{"49", "50", "51", "52", "53", "84", "87"}, destination)
}

// leftOnTheirOwn: against advice 6, taken by a relative 7, either in the retired code 2 (NHS Data Dictionary, discharge method).
func leftOnTheirOwn(method string) bool { return slices.Contains([]string{"2", "6", "7"}, method) }

// ofMessages are the exceptions of single messages: those that they raise, and a discharge told more than a day ahead or at a time that cannot be,
// which is not believed, or before the admission. Where nobody has left, a null date is how some systems write nothing.
func ofMessages(messages []Told) (kinds []string) {
	for _, m := range messages {
		kinds = append(kinds, m.Raises...)
		switch {
		case m.Kind == "A03" && (m.never(m.Left) || m.Left.IsZero() && m.never(m.Effective)), m.Kind != "A03" && m.never(m.Left) && !lastCentury(m.Left):
			kinds = append(kinds, "unreadable-time")
		case m.ahead(m.Left):
			kinds = append(kinds, "discharge-in-the-future")
		case m.Kind == "A03" && !m.Left.IsZero() && m.Admitted.After(m.Left):
			kinds = append(kinds, "discharge-before-admission")
		}
	}
	return kinds
}

// ahead says whether a time that a discharge or an update tells is more than a day after it was recorded.
func (m Told) ahead(at time.Time) bool {
	return (m.Kind == "A03" || m.Kind == "A08") && at.After(m.Recorded.Add(24*time.Hour))
}

// never says whether nobody can have left then: in the last century, which is a null date, or before the day of the birth that the message tells. Of a
// birth that is itself after the message was recorded, it is not the discharge that cannot be.
func (m Told) never(at time.Time) bool {
	born := m.Born != "" && m.Born != hospital.Null && m.Born <= dateOf(m.Recorded)
	return !at.IsZero() && (lastCentury(at) || born && dateOf(at) < m.Born)
}

func lastCentury(at time.Time) bool { return at.UTC().Year() < 2000 }

// believable are the messages without times at which nobody can have left. What a message says by itself decides, whosever the visit proves to be.
func believable(messages []Told) []Told {
	messages = slices.Clone(messages)
	for i, m := range messages {
		if m.never(m.Left) {
			messages[i].Left = time.Time{}
		}
		if m.Kind == "A03" && m.never(m.Effective) {
			messages[i].Effective = time.Time{}
		}
	}
	return messages
}

// person is what is known of somebody at the discharge, as told last.
type person struct {
	born, postcode, practice string
	socialCare, involved     bool
}

func personAt(own []Told, left leaving) (p person) {
	everybody, pathway := false, ""
	home, registered := false, false // told of
	for _, m := range own {
		p.born = last(p.born, m.Born)
		practice := m.Practice
		switch practice {
		case "V81997": // no registered practice
			practice = hospital.Null
		case "V81999": // not known
			practice = ""
		}
		if m.ofPerson() { // it is true from when it was recorded; of what nobody told before, it is the best that is known
			before := !m.Recorded.After(left.moment())
			if m.Postcode != "" && (before || !home) {
				p.postcode, home = last(p.postcode, m.Postcode), true
			}
			if practice != "" && (before || !registered) {
				p.practice, registered = last(p.practice, practice), true
			}
			continue
		}
		switch feeds[m.Feed].scope {
		case "social-care":
			p.socialCare = true
		case "whole-hospital":
			everybody = true
		}
		pathway = last(pathway, m.Pathway)
		p.involved = p.involved || len(m.Involved) > 0
		// A home or practice that an update tells as taking effect after the discharge is news, and moves nobody's task.
		if m.Kind == "A08" && m.Effective.After(left.moment()) {
			continue
		}
		p.postcode, home = last(p.postcode, m.Postcode), home || m.Postcode != ""
		p.practice, registered = last(p.practice, practice), registered || practice != ""
	}
	p.socialCare = p.socialCare || !everybody // whom only the hub's own staff have recorded is social care's
	p.involved = p.involved || pathway > "0"
	return p
}

// last is what is known after something more was said.
func last(before, now string) string {
	switch now {
	case "":
		return before
	case hospital.Null:
		return ""
	}
	return now
}

// death is what the messages amount to. Indicator yes, method 4 or 5 or destination 79 say that somebody died, and so does a time of death
// that nobody denies; a time of death with indicator no, one that is a day before the admission or after it was told, and a death in words or in
// the wrong field, are unclear.
func death(own []Told, c course) (died, unclear bool) {
	const day = 24 * time.Hour
	indicator, words := "", false
	var diedAt time.Time
	var cannotBe bool
	for _, m := range own {
		tells := m.Dead == "Y" || m.Dead == "N" || m.Dead == hospital.Null
		switch {
		case m.Dead != "" && !tells:
			words = true
		case tells || !m.DiedAt.IsZero() || m.NotDied:
			words = false
		}
		if tells {
			indicator = last(indicator, m.Dead)
		}
		switch {
		case m.NotDied:
			diedAt, cannotBe = time.Time{}, false
		case !m.DiedAt.IsZero():
			diedAt, cannotBe = m.DiedAt, m.DiedAt.After(m.Recorded.Add(day))
		}
	}
	told := !diedAt.IsZero()
	cannotBe = cannotBe || c.begun && !c.admitted.IsZero() && diedAt.Before(c.admitted.Add(-day))
	method, destination := "", ""
	if left := c.holds; left != nil {
		method, destination, words = left.method, left.destination, words || left.deadWords
	}
	died = indicator == "Y" || method == "4" || method == "5" || destination == "79" || told && indicator == "" && !cannotBe
	return died, !died && (told || words)
}
