// Package hospital makes a synthetic week of a hospital's ADT messages, as hospitals send them: with all that goes wrong in one. The same
// options give the same bytes. The people are made up; their NHS numbers begin with 999, which are given to nobody.
package hospital

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Options of a week.
type Options struct {
	Beds, Days int
	Seed       uint64
	// From is the midnight at which the week begins, in the hospital's own zone.
	From time.Time
	// Application, Facility and Provider are who sends: MSH-3, MSH-4, and the authority of the patient numbers.
	Application, Facility, Provider string
	// Clean leaves everything out that goes wrong.
	Clean bool
}

// Sent is one message and when it goes out.
type Sent struct {
	At  time.Time
	Raw []byte
}

// Week returns the messages in the order in which they go out.
func Week(o Options) []Sent {
	h := &ward{o: o, random: rand.New(rand.NewPCG(o.Seed, 0x40BE)), until: o.From.AddDate(0, 0, o.Days)}
	for bed := range o.Beds {
		h.fill(bed)
	}
	h.clinics()
	return h.dispatch()
}

// ward writes down what happens, then sends it.
type ward struct {
	o       Options
	random  *rand.Rand
	until   time.Time
	events  []event
	persons int
	visits  int
}

// event is something that happened, and what the hospital's system makes of it.
type event struct {
	trigger string
	who     *person
	visit   *visit
	// recorded is EVN-2, effective EVN-6; sent is MSH-7.
	recorded, effective, sent time.Time
	// odd are the ways in which this message is not as it should be.
	odd []oddity
}

// visit is one stay.
type visit struct {
	number              string
	admitted, left      time.Time
	class, ward         string
	method, destination string
}

// fill lets one person after the other lie in a bed.
func (h *ward) fill(bed int) {
	at := h.o.From.Add(-time.Duration(h.random.Float64()*float64(6*day)) - 12*time.Hour)
	for at.Before(h.until) {
		left := h.stay(bed, at)
		at = left.Add(time.Hour + time.Duration(h.random.Float64()*float64(7*time.Hour)))
	}
}

const day = 24 * time.Hour

// stay is one person's, from admission to the end; it returns when the bed is free.
func (h *ward) stay(bed int, admitted time.Time) time.Time {
	p := h.newPerson()
	h.visits++
	v := &visit{number: fmt.Sprintf("S%d%06d", h.o.Seed%1000, h.visits), admitted: admitted.Truncate(time.Minute), class: "I", ward: wards[bed%len(wards)], method: "1", destination: "19"}
	if h.chance(0.3) {
		v.class = "E"
	}
	length := time.Duration(-math.Log(1-h.random.Float64())*float64(5*day)) + 5*time.Hour
	v.left = leavingTime(admitted.Add(min(length, 40*day)), h.random).Truncate(time.Minute)
	h.ending(p, v)
	h.add(event{trigger: "A01", who: p, visit: v, recorded: v.admitted.Add(h.minutes(20)), effective: v.admitted})
	if v.class == "E" {
		later := *v
		later.class = "I"
		h.add(event{trigger: "A02", who: p, visit: &later, recorded: v.admitted.Add(h.minutes(240)), effective: v.admitted})
		v = &later
	}
	for range h.random.IntN(3) {
		h.add(event{trigger: pick(h.random, "A02", "A08", "A08", "A31"), who: p, visit: v, recorded: h.within(v)})
	}
	if h.chance(0.03) { // goes home for a night and comes back: no discharge
		out := h.within(v)
		h.add(event{trigger: "A21", who: p, visit: v, recorded: out})
		h.add(event{trigger: "A22", who: p, visit: v, recorded: out.Add(18 * time.Hour)})
	}
	if h.chance(0.02) { // booked in by mistake
		h.add(event{trigger: "A11", who: p, visit: v, recorded: v.admitted.Add(h.minutes(300)), effective: v.admitted})
		return v.admitted.Add(6 * time.Hour)
	}
	h.discharge(p, v)
	return v.left
}

// discharge tells of the end of a stay, more or less in time, and of what is corrected afterwards.
func (h *ward) discharge(p *person, v *visit) {
	recorded := v.left.Add(h.minutes(30))
	switch {
	case h.chance(0.10): // the ward clerk does it on Monday
		recorded = v.left.Add(time.Duration(12+h.random.IntN(60)) * time.Hour)
	case h.chance(0.15):
		recorded = v.left.Add(h.minutes(480))
	}
	h.add(event{trigger: "A03", who: p, visit: v, recorded: recorded, effective: v.left})
	if h.chance(0.06) { // the transport did not come: still here, and leaves later
		h.add(event{trigger: "A13", who: p, visit: v, recorded: recorded.Add(h.minutes(180)), effective: v.left})
		if h.chance(0.8) {
			again := *v
			again.left = v.left.Add(day)
			h.add(event{trigger: "A03", who: p, visit: &again, recorded: recorded.Add(day + 4*time.Hour), effective: again.left})
		}
		return
	}
	if h.chance(0.08) { // the time is corrected
		right := *v
		right.left = v.left.Add(-h.minutes(200))
		h.add(event{trigger: "A08", who: p, visit: &right, recorded: recorded.Add(h.minutes(600)), effective: right.left})
	}
	if h.chance(0.03) { // has moved, or changed the practice, since
		q := *p
		q.home = homes[h.random.IntN(len(homes))]
		h.add(event{trigger: "A08", who: &q, visit: v, recorded: recorded.Add(2 * day), effective: recorded.Add(2 * day)})
	}
	if h.chance(0.01) {
		h.add(event{trigger: "A40", who: p, visit: v, recorded: recorded.Add(h.minutes(900))})
	}
}

// ending decides how somebody leaves.
func (h *ward) ending(p *person, v *visit) {
	switch n := h.random.IntN(100); {
	case n < 4:
		v.method, v.destination, p.died = "4", "79", v.left
	case n < 8:
		v.method = "6"
	case n < 14:
		v.destination = pick(h.random, "54", "65", "85")
	case n < 18:
		v.destination = pick(h.random, "51", "53", "87")
	case n < 21:
		v.destination = "29"
	case n < 22:
		v.destination = "88"
	}
}

// clinics are messages that say nothing about a stay: pre-admissions, registrations, people added.
func (h *ward) clinics() {
	for range h.o.Beds * h.o.Days / 20 {
		p := h.newPerson()
		v := &visit{number: "", admitted: h.o.From, class: "O", ward: "OPD"}
		h.add(event{trigger: pick(h.random, "A05", "A04", "A28", "A31", "A38"), who: p, visit: v, recorded: h.o.From.Add(time.Duration(h.random.Float64() * float64(h.until.Sub(h.o.From))))})
	}
}

// add notes an event; when it is sent it has been recorded.
func (h *ward) add(e event) {
	e.recorded = e.recorded.Truncate(time.Second)
	e.sent = e.recorded.Add(time.Duration(h.random.IntN(90)) * time.Second)
	h.events = append(h.events, e)
}

// dispatch gives every message of the week its oddities and its control id, and puts them in the order in which they go out.
func (h *ward) dispatch() []Sent {
	slices.SortStableFunc(h.events, func(a, b event) int { return cmp.Or(a.sent.Compare(b.sent), cmp.Compare(a.trigger, b.trigger)) })
	var out []Sent
	control := 100_000
	reset := h.o.From.Add(time.Duration(h.o.Days) * day * 2 / 3)
	for _, e := range h.events {
		if e.sent.Before(h.o.From) || !e.sent.Before(h.until) {
			continue
		}
		if !h.o.Clean && !reset.IsZero() && e.sent.After(reset) {
			control, reset = 100_000, time.Time{} // the interface was restarted, and counts from the beginning
		}
		control++
		e.odd = h.oddities(e)
		raw := h.encode(e, fmt.Sprintf("%s%d", h.o.Facility, control))
		at := e.sent
		if !h.o.Clean && h.chance(0.05) { // waited in a queue while others went past it
			at = at.Add(h.minutes(240))
		}
		out = append(out, Sent{at, raw})
		if !h.o.Clean && h.chance(0.03) { // its answer was lost: the same bytes again
			for range 1 + h.random.IntN(3) {
				out = append(out, Sent{at.Add(h.minutes(30)), raw})
			}
		}
		if !h.o.Clean && h.chance(0.01) { // sent anew by a person, under another control id
			control++
			out = append(out, Sent{at.Add(h.minutes(2000)), h.encode(e, fmt.Sprintf("%s%d", h.o.Facility, control))})
		}
	}
	slices.SortStableFunc(out, func(a, b Sent) int { return a.At.Compare(b.At) })
	return out
}

func (h *ward) chance(p float64) bool { return h.random.Float64() < p }

// minutes is a time of up to so many minutes, and at least one.
func (h *ward) minutes(most int) time.Duration {
	return time.Duration(1+h.random.IntN(most)) * time.Minute
}

// within is a moment of a stay.
func (h *ward) within(v *visit) time.Time {
	return v.admitted.Add(time.Duration(h.random.Float64() * float64(v.left.Sub(v.admitted))))
}

// leavingTime moves a discharge to where most are: between eleven and six, fewer on Saturday and Sunday.
func leavingTime(t time.Time, random *rand.Rand) time.Time {
	if w := t.Weekday(); (w == time.Saturday || w == time.Sunday) && random.IntN(2) == 0 {
		t = t.AddDate(0, 0, 2)
	}
	y, m, d := t.Date()
	minute := 11*60 + random.IntN(4*60) + random.IntN(4*60) - random.IntN(60)
	return time.Date(y, m, d, minute/60, minute%60, 0, 0, t.Location())
}

func pick(random *rand.Rand, from ...string) string { return from[random.IntN(len(from))] }

var wards = []string{"ELM", "OAK", "ASH", "ROWAN", "STROKE", "FRAILTY", "AMU", "T&O"}
