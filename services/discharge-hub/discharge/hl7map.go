package discharge

import (
	"fmt"
	"strings"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
)

// FromHL7 reads a message of a feed. An error means that the bytes are no HL7 message at all. Whatever else is wrong with the
// content, a discharge is usable as long as its spell can be told and one time in it can be read: the rest is told as problems and
// flags.
func FromHL7(feed Feed, raw []byte) (Reading, error) {
	m, err := hl7.Parse(raw)
	if err != nil {
		return Reading{}, err
	}
	kind, trigger := typeOf(m)
	switch {
	case kind == "", kind == "ADT" && !isTrigger(trigger):
		// It may be a discharge: only a person can tell.
		return Reading{Problems: []Problem{{NoMessageType, "MSH-9", "no message type, or no trigger such as A03 here and none in EVN-1",
			"Find out what happened and record it by hand, and ask the sender for MSH-9"}}}, nil
	case kind != "ADT", !Kind(trigger).known():
		return Reading{NotHandled: strings.TrimSuffix(kind+"^"+trigger, "^")}, nil
	}
	var all Reading
	for _, group := range groupsOf(Kind(trigger), m) {
		r := reader{feed: feed, m: group}
		r.fact = Fact{
			Feed: feed.Key, Provider: feed.Provider, Scope: feed.Scope, DataVersion: feed.Mapping.Version,
			Kind: Kind(trigger), ControlID: m.Header.ControlID, Digest: Digest(raw),
		}
		r.readTimes()
		r.readPerson()
		r.readMerge()
		r.readStay()
		all = all.with(r.finish(strings.ToUpper(m.Header.ProcessingID)))
	}
	return all, nil
}

// groupsOf cuts a message into parts of which each becomes a fact: the two people whose beds are swapped, every visit that is moved, every
// number that is merged away.
func groupsOf(kind Kind, m *hl7.Message) []*hl7.Message {
	switch {
	case kind == KindSwapBeds:
		return m.Groups("PID")
	case kind.Merges(), kind.movesVisit(), kind.renumbersVisit():
		var groups []*hl7.Message
		for _, person := range m.Groups("PID") {
			groups = append(groups, person.Groups("MRG")...)
		}
		return groups
	}
	return []*hl7.Message{m}
}

// reader collects what a message says.
type reader struct {
	feed     Feed
	m        *hl7.Message
	fact     Fact
	problems []Problem
	// priorVisit is the number that the visit had before.
	priorVisit string
}

func (r *reader) problem(kind, where, found, do string) {
	r.problems = append(r.problems, Problem{kind, where, found, do})
}

// told reads a text field with its three states. Blanks around it mean nothing.
func told(f hl7.Field) Told[string] {
	if f.Null() {
		return Clear[string]()
	}
	if s := strings.TrimSpace(f.Text()); s != "" {
		return Tell(s)
	}
	return Told[string]{}
}

// time reads a time with whatever precision it has; false means that it is none of this age.
func (r *reader) time(text string) (hl7.Time, bool) {
	at, err := hl7.ParseTime(text, r.feed.Zone)
	return at, err == nil && OfThisAge(at.Time)
}

// moment reads a time to the day or better, and returns it also as it is written. One that can't be read is a problem and says nothing.
func (r *reader) moment(segment string, field int) (Told[Moment], hl7.Time) {
	t := told(r.m.Field(segment, field))
	if !t.HasValue() {
		return Told[Moment]{Said: t.Said, Cleared: t.Cleared}, hl7.Time{}
	}
	at, ok := r.time(t.Value)
	if !ok || at.Precision < hl7.Day {
		r.problem(UnreadableTime, fmt.Sprintf("%s-%d", segment, field), shown(t.Value)+" is no time of this age to the day or better",
			"Ask the sender to write YYYYMMDDHHMMSS; the message is used without it")
		return Told[Moment]{}, hl7.Time{}
	}
	return Tell(Moment{At: at.Time, DayOnly: at.Precision == hl7.Day}), at
}

// nullDate is what is wrong with 19000101.
const nullDate = "a date of the last century, such as systems write for none"

// readTimes finds when the message was recorded and when it took effect.
func (r *reader) readTimes() {
	f := &r.fact
	evn2, written := r.moment("EVN", 2)
	effective, _ := r.moment("EVN", 6)
	f.Effective = effective.Value
	f.AdmittedAt, _ = r.moment("PV1", 44)
	f.DischargedAt, _ = r.moment("PV1", 45)
	if evn2.HasValue() && !Recordable(evn2.Value.At) {
		r.problem(UnreadableTime, "EVN-2", nullDate, "Ask the sender for when the message was recorded; "+
			"MSH-7 is used for it, and orders the message")
		evn2 = Told[Moment]{}
	}
	if evn2.HasValue() {
		f.Recorded = r.recorded(written)
		return
	}
	msh7, _ := r.moment("MSH", 7)
	for _, m := range []Moment{msh7.Value, f.Effective, f.DischargedAt.Value, f.AdmittedAt.Value} {
		if Recordable(m.At) {
			f.Recorded = m.At
			return
		}
	}
}

// readExpectedDischarge reads PV2-9, or EVN-3 of a planned discharge, which an A25 takes back. It is a guess that changes every day: one
// that can't be read says nothing and is nobody's trouble.
func (r *reader) readExpectedDischarge() {
	t := told(r.m.Field("PV2", 9))
	switch {
	case r.fact.Kind == KindCancelPlan:
		t = Clear[string]()
	case r.fact.Kind == KindPlanDischarge && !t.Said:
		t = told(r.m.Field("EVN", 3))
	}
	if !t.HasValue() {
		r.fact.ExpectedDischarge = Told[Moment]{Said: t.Said, Cleared: t.Cleared}
		return
	}
	if at, ok := r.time(t.Value); ok && at.Precision >= hl7.Day {
		r.fact.ExpectedDischarge = Tell(Moment{At: at.Time, DayOnly: at.Precision == hl7.Day})
	}
}

// recorded returns EVN-2, made more exact by a finer MSH-7: the moment within the minute, hour or day of EVN-2 that is nearest to MSH-7.
// So a discharge comes behind the same day's admission, and a cancel behind the discharge that was sent in the same minute.
//
// Of the two moments that a time without an offset may mean when clocks have gone back, EVN-2 is the second where MSH-7 is one moment and less than an
// hour after that, and MSH-7 is the second where only that is not before EVN-2. Otherwise each is the first.
//
// Where EVN-2 is more than a day after MSH-7, it is MSH-7: nobody can have recorded later what was sent already, and a mistyped year would
// order the message behind all that comes after it.
func (r *reader) recorded(evn2 hl7.Time) time.Time {
	msh7, ok := r.time(r.m.Field("MSH", 7).Text())
	if !ok || msh7.Precision < hl7.Day || !Recordable(msh7.Time) {
		return evn2.Time
	}
	if sent := msh7.Sub(evn2.Again); msh7.Again.IsZero() && msh7.Precision >= hl7.Minute && !r.end(msh7).Before(evn2.Again) && sent < time.Hour {
		evn2.Time = evn2.Again
	}
	if msh7.Before(evn2.Time) && !msh7.Again.Before(evn2.Time) {
		msh7.Time = msh7.Again
	}
	switch {
	case evn2.After(r.end(msh7).Add(24 * time.Hour)):
		r.problem(RecordedInTheFuture, "EVN-2", "the message was recorded more than a day after it was sent (MSH-7)",
			"Check with the sender which of the two is wrong; MSH-7 is used for both")
		r.fact.flag(RecordedInTheFuture)
		return msh7.Time
	case msh7.Precision <= evn2.Precision || msh7.Before(evn2.Time):
		return evn2.Time
	case msh7.Before(r.end(evn2)):
		return msh7.Time
	}
	return r.end(evn2).Add(-time.Second).UTC()
}

// end returns where the day, hour or minute that a time tells ends; a time to the second is its own end.
func (r *reader) end(t hl7.Time) time.Time {
	switch t.Precision {
	case hl7.Day:
		return t.In(r.feed.Zone).AddDate(0, 0, 1)
	case hl7.Hour:
		return t.Add(time.Hour)
	case hl7.Minute:
		return t.Add(time.Minute)
	}
	return t.Time
}

func (r *reader) readPerson() {
	f, pid := &r.fact, r.m.Segment("PID")
	if pid.Field(3).Null() {
		f.NHSNumber = Clear[string]()
	}
	nhs, own := r.numbersIn(pid.Field(3))
	r.tellOneNHSNumber(nhs)
	f.PatientNumber = own
	f.NHSNumberStatus = told(pid.Field(32))
	f.FamilyName, f.GivenName = told(pid.Field(5, 1)), told(pid.Field(5, 2))
	f.tellBirthDate(told(pid.Field(7)))
	r.readAddress(pid.Field(11))
	r.readPractice()
	r.readTimeOfDeath(told(pid.Field(29)))
	f.tellDeathIndicator(told(pid.Field(30)))
}

// tellOneNHSNumber takes the NHS number that the valid ones among the repetitions of PID-3 agree in. Of two that differ nobody can tell which is
// the person's, and to take either could give the handover to somebody else: neither is told, and what was known stays.
func (r *reader) tellOneNHSNumber(numbers []Told[string]) {
	before := r.fact.NHSNumber
	for _, number := range numbers {
		known := r.fact.NHSNumber
		r.fact.tellNHSNumber(number)
		switch {
		case !known.HasValue():
		case !r.fact.NHSNumber.HasValue(): // an empty one beside it
			r.fact.NHSNumber = known
		case r.fact.NHSNumber != known:
			r.fact.NHSNumber = before
			r.problem(NHSNumbersDiffer, "PID-3", "two different NHS numbers, and neither has expired",
				"Find out with the ward which is the person's, and ask the sender for that one alone; the message is used without either")
			return
		}
	}
}

// readTimeOfDeath reads PID-29 with whatever precision it has. Nobody fills it in for a living person, so what can't be read is a doubt
// about death.
func (r *reader) readTimeOfDeath(t Told[string]) {
	f := &r.fact
	if !t.HasValue() {
		f.DiedAt = Told[Moment]{Said: t.Said, Cleared: t.Cleared}
		return
	}
	switch at, ok := r.time(t.Value); {
	case !ok:
		f.DeathUnclear = true
		r.problem(UnreadableTime, "PID-29", shown(t.Value)+" is no time of this age", "Ask the ward whether the person has died, and the sender to write "+
			"YYYYMMDD; contact is held until the hospital tells PID-29 or PID-30 anew")
	case at.Precision < hl7.Day:
		f.DiedAt = Tell(Moment{})
	default:
		f.DiedAt = Tell(Moment{At: at.Time, DayOnly: at.Precision == hl7.Day})
	}
}

// OwnNumber tells whether PID-3.5 names a hospital's own patient number: PI and MR of HL7 table 0203, and MRN as Cerner Millennium has it.
func OwnNumber(kind string) bool { return kind == "PI" || kind == "MR" || kind == "MRN" }

// nhsNumber tells whether PID-3.4 or PID-3.5 names the NHS number, which Cerner Millennium calls NHSNBR and NHSNMBR.
func nhsNumber(authority, kind string) bool {
	return authority == "NHS" || authority == "NHSNBR" || kind == "NH" || kind == "NHS" || kind == "NHSNMBR"
}

// numbersIn reads PID-3 and MRG-1: `nnnnnnnnnn^^^NHS^NH` and the provider's own `1234567^^^RAJ^PI`. An NHS number that had expired (CX.8) when
// the message was recorded is none any more.
func (r *reader) numbersIn(ids hl7.Field) (nhs []Told[string], number string) {
	own := 0 // how surely the patient number found so far is the provider's own
	for id := range ids.Repetitions() {
		told, authority, kind := told(id.Component(1)), id.Component(4).Text(), id.Component(5).Text()
		if nhsNumber(authority, kind) {
			if until, ok := r.time(id.Component(8).Text()); !ok || !r.end(until).Before(r.fact.Recorded) {
				nhs = append(nhs, told)
			}
			continue
		}
		sure := 0
		switch {
		case !told.HasValue() || kind != "" && !OwnNumber(kind):
		case authority == r.feed.Mapping.PatientAuthority && kind != "":
			sure = 5
		case authority == r.feed.Mapping.PatientAuthority:
			sure = 4
		case strings.HasPrefix(authority, r.feed.Provider): // one of its sites
			sure = 3
		case authority == "" && kind != "":
			sure = 2
		case authority == "":
			sure = 1
		}
		if sure > own {
			own, number = sure, told.Value
		}
	}
	return nhs, number
}

// readAddress reads the home postcode from PID-11: the repetition of type H, else the first that has one and is not marked bad.
func (r *reader) readAddress(addresses hl7.Field) {
	if addresses.Null() {
		r.fact.Postcode = Clear[string]()
		return
	}
	var home hl7.Field
	for a := range addresses.Repetitions() {
		kind := a.Component(7).Text()
		if kind == "H" {
			home = a
			break
		}
		if kind != "BA" && (home.Absent() || home.Component(5).Absent() && !a.Component(5).Absent()) {
			home = a
		}
	}
	postcode := told(home.Component(5))
	switch strings.ToUpper(strings.TrimSpace(home.Component(1).Text())) {
	case "NFA", "NO FIXED ABODE", "NO FIXED ADDRESS":
		postcode = Tell(noFixedAbode)
	}
	r.fact.tellPostcode(postcode)
}

// readPractice reads the ODS code of the registered practice: PD1-3.3 (UK usage), PD1-3.1, PD1-3.10 (HL7 v2.5, XON.10), or the same
// of PD1-4 where the feed says so. What is there but is no practice's code, such as a doctor's own code, says nothing.
func (r *reader) readPractice() {
	var said Told[string]
	for _, p := range r.feed.Mapping.Practices {
		field := r.m.At(p)
		if field.Null() {
			said = said.then(Clear[string]())
		}
		for rep := range field.Repetitions() {
			for _, component := range [...]int{3, 1, 10} {
				t := told(rep.Component(component))
				if t.HasValue() && PracticeCode(t.Value) != "" {
					r.fact.tellPractice(t)
					return
				}
				if t.HasValue() && !said.HasValue() {
					said = t
				}
			}
		}
	}
	r.fact.tellPractice(said)
}

func (r *reader) readStay() {
	f, pv1 := &r.fact, r.m.Segment("PV1")
	f.VisitNumber = told(r.m.At(r.feed.Mapping.Visit)).Value
	f.tellClass(told(pv1.Field(2)))
	r.readExpectedDischarge()
	f.tellWard(told(pv1.Field(3, 1)))
	if site := told(pv1.Field(3, 4)); site.HasValue() && odsCode(site.Value) {
		f.Site = site
	}
	f.tellOutcome(r.feed.Mapping, told(r.m.At(r.feed.Mapping.Method)), told(r.m.At(r.feed.Mapping.Destination)))
	if r.feed.Mapping.Pathway.Segment != "" {
		f.tellPathway(r.feed.Mapping, told(r.m.At(r.feed.Mapping.Pathway)))
	}
}

// checkDischargeTime leaves out times at which nobody can have left, and of a discharge or an update also those that had not come when they were
// recorded. A null date in any other message than a discharge says no more than an empty field, and is nobody's trouble. Whether the person left
// before the admission nobody can tell from here: either time may be wrong, and the discharge counts as told.
func (r *reader) checkDischargeTime() {
	f := &r.fact
	at, discharged := f.DischargedAt.Value, f.Kind == KindDischarge
	future := func(m Moment) bool {
		return (discharged || f.Kind == KindUpdate) && !f.Recorded.IsZero() && m.At.After(f.Recorded.Add(24*time.Hour))
	}
	const instead = "until it is corrected the discharge counts from EVN-6 or from when it was recorded"
	doubt := f.neverLeft(at)
	switch {
	case doubt != "" && (discharged || doubt != nullDate):
		r.problem(UnreadableTime, "PV1-45", doubt, "Ask the ward when the person left, and the sender for that time; "+instead)
	case future(at):
		r.problem(DischargeInTheFuture, "PV1-45", "the discharge is more than a day after it was recorded", "Check the time with the ward; "+instead)
	}
	if doubt != "" || future(at) {
		f.DischargedAt, at = Told[Moment]{}, Moment{}
	}
	if !discharged {
		return
	}
	doubt = f.neverLeft(f.Effective)
	if doubt != "" && at.IsZero() {
		r.problem(UnreadableTime, "EVN-6", doubt, "Ask the ward when the person left, and the sender for PV1-45; the discharge counts from when it was recorded")
	}
	if doubt != "" || future(f.Effective) {
		f.Effective = Moment{}
	}
	if !at.IsZero() && f.AdmittedAt.Value.After(at) {
		r.problem(DischargeBeforeStay, "PV1-45", "the discharge is before the admission (PV1-44)",
			"Check both times with the ward; the discharge counts as told")
	}
}

// neverLeft says why nobody can have left at a time; it is empty where somebody can, and where there is no time. However late a discharge is
// recorded, it is believed. A birth that the message puts after its own recording is what is wrong of the two.
func (f *Fact) neverLeft(at Moment) (why string) {
	switch born := f.BirthDate.Value; {
	case at.IsZero():
	case !Recordable(at.At):
		return nullDate
	case at.Date() < born && born <= (Moment{At: f.Recorded}).Date():
		return "a time before the person's birth (PID-7)"
	}
	return ""
}
