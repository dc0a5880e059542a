package oracle

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/homeward-care/homeward/e2e/hospital"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
)

// Stay is one person's stay in hospital, as a little story.
type Stay struct {
	// Key marks the stay's control ids, and its visit and patient numbers.
	Key string
	// SpellID is the spell of the stay; a stay under two keys has another one beside it, which Expect tells of.
	SpellID string
	// Turns are the story's turns in words, for whoever has to understand a failure.
	Turns []string
	// Messages are in the order in which the hospital recorded them, with some copies.
	Messages []Told
}

// NewStay is the nth stay of a run. The person leaves at about the given moment; messages may be recorded up to a month later. Two stays with
// different numbers have nothing in common.
func NewStay(r *rand.Rand, n int, leaving time.Time) Stay {
	s := &story{Rand: r, clock: leaving.UTC().Truncate(time.Second), person: newPerson(r, n)}
	s.Key = fmt.Sprintf("OR%06d", n)
	s.feed = pick(r, "mse-basildon", "mse-basildon", "mse-basildon", "mse-all", "mse-all", "bhrut", "dartford")
	s.base = Says{Class: "I", Person: s.Key, Patient: "P" + s.Key, NHS: s.person.nhs, Born: s.person.born(r, leaving)}
	s.base.Practice, s.base.Postcode = homeOf(r)
	s.base.Admitted = s.clock.Add(-time.Duration(2+r.IntN(20)) * 24 * time.Hour).Truncate(time.Minute)
	if !s.chance(12) { // one in twelve has no visit number
		s.base.Visit = "V" + s.Key
	}
	s.left, s.mixed = s.clock, others(s.Key)
	s.SpellID = SpellID(feeds[s.feed].provider, s.base.Visit, s.base.Patient, s.base.Admitted)
	s.tell()
	return s.Stay
}

// Until leaves out what the hospital has not recorded by then: a hub's doors refuse, or doubt, what is recorded tomorrow.
func (s Stay) Until(now time.Time) Stay {
	s.Messages = slices.DeleteFunc(slices.Clone(s.Messages), func(m Told) bool { return m.Recorded.After(now) })
	return s
}

// story is a stay that is being told.
type story struct {
	*rand.Rand
	Stay
	person identity
	feed   string
	base   Says      // what every message of the stay repeats
	clock  time.Time // when the newest message was recorded
	left   time.Time // the newest discharge
	ids    int
	mixed  []Says      // records of others
	joined [][2]string // numbers that were merged, the survivor first
}

// chance is true one time in n.
func (s *story) chance(n int) bool { return s.IntN(n) == 0 }

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// later moves the clock on by up to so many minutes.
func (s *story) later(minutes int) time.Time {
	s.clock = s.clock.Add(time.Duration(60+s.IntN(60*minutes)) * time.Second)
	return s.clock
}

func (s *story) turn(words string) { s.Turns = append(s.Turns, words) }

func (s *story) nextID() string {
	s.ids++
	return fmt.Sprintf("%s-%d", s.Key, s.ids)
}

// send adds a message that was recorded now; say changes what the stay's messages say.
func (s *story) send(kind string, say func(*Says)) { s.sendAs(s.nextID(), kind, say) }

func (s *story) sendAs(id, kind string, say func(*Says)) {
	m := Told{Feed: s.feed, ControlID: id, Recorded: s.clock, Says: s.base}
	m.Kind, m.Ward = kind, pick(s.Rand, "ELM", "OAK", "ASU")
	if more := triggers[kind]; len(more) > 0 && s.chance(3) {
		m.Sent = pick(s.Rand, more...)
	}
	if say != nil {
		say(&m.Says)
	}
	s.sendTold(m)
}

// sendTold adds a message that says all it has to say.
func (s *story) sendTold(m Told) {
	kind := m.Kind
	if !m.Test && kind != "A60" && !slices.Contains(updates, kind) && !slices.Contains(merges, kind) {
		m.SpellID = SpellID(feeds[m.Feed].provider, m.Visit, m.Patient, m.Admitted)
	}
	m.Fields = s.fields(m)
	m.HL7 = m.Fields.Encode()
	if kind == swapBeds {
		for _, other := range m.Also {
			m.HL7 = append(m.HL7, s.fields(Told{Feed: m.Feed, Says: other.Says}).Only("PID", "PD1", "PV1").Encode()...)
		}
	}
	s.Messages = append(s.Messages, m)
	if s.chance(10) {
		s.Messages = append(s.Messages, m) // the sender missed the acknowledgement
	}
}

// record adds what hub staff record by hand now.
func (s *story) record(kind string, say func(*Says)) {
	m := Told{Feed: "hub-staff", ControlID: s.nextID(), Recorded: s.clock, Says: Says{Kind: kind, Visit: s.base.Visit}}
	say(&m.Says)
	if m.Visit == "" {
		m.Patient, m.Admitted = s.base.Patient, s.base.Admitted
	}
	m.SpellID = SpellID("RAJ", m.Visit, m.Patient, m.Admitted)
	if m.Patient != "" {
		m.Person = s.base.Person
	}
	m.Event = &dischargev1.RecordEventRequest{
		Feed: m.Feed, MessageId: m.ControlID, RecordedAt: timestamppb.New(m.Recorded), VisitNumber: m.Visit, PatientNumber: m.Patient,
		Kind:            map[string]dischargev1.EventKind{"A03": dischargev1.EventKind_EVENT_KIND_DISCHARGE, "A08": dischargev1.EventKind_EVENT_KIND_UPDATE}[kind],
		DischargeMethod: m.Method, DischargeDestination: m.Destination, DestinationPostcode: m.GoingTo,
	}
	if !m.Admitted.IsZero() {
		m.Event.AdmittedAt = timestamppb.New(m.Admitted)
	}
	if !m.Left.IsZero() {
		m.Event.DischargedAt = timestamppb.New(m.Left)
	}
	if m.Pathway != "" {
		m.Event.Pathway = dischargev1.Pathway(int(m.Pathway[0]-'0') + 1)
	}
	for _, way := range m.Involved {
		m.Event.Involvements = append(m.Event.Involvements, map[string]dischargev1.Involvement{
			"hub-referral": dischargev1.Involvement_INVOLVEMENT_HUB_REFERRAL, "council-package": dischargev1.Involvement_INVOLVEMENT_COUNCIL_PACKAGE,
			"pathway": dischargev1.Involvement_INVOLVEMENT_PATHWAY}[way])
	}
	if m.NHS+m.Born+m.Postcode+m.Practice != "" {
		m.Event.Person = &dischargev1.Person{NhsNumber: m.NHS, BirthDate: m.Born, Postcode: m.Postcode, PracticeCode: m.Practice}
	}
	s.Messages = append(s.Messages, m)
}

// fields writes a message as a hospital does.
func (s *story) fields(m Told) hospital.Message {
	feed := feeds[m.Feed]
	method, destination := m.Method, m.Destination
	if m.DeadWords != "" {
		destination = m.DeadWords
	}
	if m.Swapped {
		method, destination = destination, method
	}
	sent, visit := cmp.Or(m.Sent, m.Kind), m.Says
	if len(m.Also) > 0 && slices.Contains(slices.Concat(updates, merges), m.Kind) { // beside the person it names a visit
		visit = m.Also[0].Says
	}
	f := hospital.Message{
		"MSH-3": feed.application, "MSH-4": feed.facility, "MSH-5": "THURROCK-HUB", "MSH-6": "THURROCK", "MSH-7": s.stamp(m.Recorded),
		"MSH-9": "ADT^" + sent, "MSH-10": m.ControlID, "MSH-11": "P", "MSH-12": "2.4",
		"EVN-1": sent, "EVN-2": s.stamp(m.Recorded), "EVN-6": s.stamp(m.Effective),
		"PID-3": m.Patient + "^^^" + feed.provider + "^PI", "PID-5": s.person.name, "PID-7": digits(m.Born), "PID-29": s.stamp(m.DiedAt), "PID-30": m.Dead,
		"PV1-2": m.Class, "PV1-3": m.Ward + "^^^" + feed.facility, "PV1-19": cmp.Or(visit.VisitNow, visit.Visit), "PV2-9": s.stamp(m.Planned),
		"PV1-36": method, "PV1-37": destination, "PV1-44": s.stamp(m.Admitted), "PV1-45": s.stamp(m.Left),
	}
	if wall := len("20060102150405"); len(f["MSH-7"]) > wall && s.chance(2) {
		f["EVN-2"] = f["EVN-2"][:wall] // the offset in MSH-7 says which hour
	}
	if m.NHS != "" {
		f["PID-3"] = m.NHS + "^^^NHS^NH~" + f["PID-3"]
	}
	if m.Practice != "" && m.Practice != hospital.Null {
		f["PD1-3"] = "^^" + m.Practice + "^^^NHS^ODS"
	} else {
		f["PD1-3"] = m.Practice
	}
	if m.Postcode != "" && m.Postcode != hospital.Null {
		f["PID-11"] = s.person.street + "^^^ESSEX^" + m.Postcode + "^GBR^H"
	} else {
		f["PID-11"] = m.Postcode
	}
	if m.Prior != "" {
		f["MRG-1"] = m.Prior + "^^^" + feed.provider + "^PI"
	}
	if m.Kind == moveVisit || visit.VisitNow != "" {
		f["MRG-5"] = visit.Visit
	}
	if m.Kind == moveVisit && visit.VisitNow == "" && s.chance(4) {
		f["PV1-19"] = "" // MRG-5 alone names the visit
	}
	if sent == "A16" && s.chance(2) {
		f["EVN-3"], f["PV2-9"] = f["PV2-9"], ""
	}
	if m.NotDied {
		f["PID-29"] = hospital.Null
	}
	if m.Test {
		f["MSH-11"] = "T"
	}
	maps.DeleteFunc(f, func(_, value string) bool { return value == "" })
	return f
}

// stamp writes a time as the hospital's clock shows it. Some senders add the offset; in the hour that comes twice, when summer time ends,
// at least MSH-7 has one, for nothing else says which hour it is.
func (s *story) stamp(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	local := at.In(London)
	wall := local.Format("20060102150405")
	twice := local.Format("-0700") != at.Add(time.Hour).In(London).Format("-0700") || local.Format("-0700") != at.Add(-time.Hour).In(London).Format("-0700")
	if twice || s.chance(6) {
		return wall + local.Format("-0700")
	}
	return wall
}

func digits(date string) string {
	return string(slices.DeleteFunc([]byte(date), func(b byte) bool { return b == '-' }))
}

// identity is a person who does not exist.
type identity struct{ nhs, name, street string }

func newPerson(r *rand.Rand, n int) identity {
	return identity{nhsNumber(n), pick(r, "ORACKLESBYE^ORLANDYNE", "DELPHINGTONE^DODONABEL", "PYTHIASWYKE^PERCYVALE"), pick(r, "61 OSPREYNEST ROAD", "62 OSPREYNEST ROAD")}
}

// nhsNumber is a number that is never issued (it begins with 999), with its check digit (modulus 11); nothing where that would be 10.
func nhsNumber(n int) string {
	nine := fmt.Sprintf("999%06d", n%1_000_000)
	sum := 0
	for i, digit := range nine {
		sum += int(digit-'0') * (10 - i)
	}
	if check := (11 - sum%11) % 11; check < 10 {
		return nine + fmt.Sprint(check)
	}
	return ""
}

// born is mostly long ago; sometimes seventeen or eighteen years, to the day, before the discharge, and sometimes not told.
func (identity) born(r *rand.Rand, leaving time.Time) string {
	switch day := leaving.In(London); r.IntN(12) {
	case 0:
		return day.AddDate(-18, 0, 1+r.IntN(200)).Format(time.DateOnly)
	case 1:
		return day.AddDate(-18, 0, 0).Format(time.DateOnly)
	case 2:
		return ""
	}
	return fmt.Sprintf("19%02d-%02d-%02d", 25+r.IntN(40), 1+r.IntN(12), 1+r.IntN(28))
}
