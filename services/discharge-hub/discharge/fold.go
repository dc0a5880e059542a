package discharge

import (
	"slices"
	"time"
)

// State is what all the facts about a spell amount to.
type State struct {
	Spell  Spell
	Person Person
	// Problems are contradictions between facts. Each is to be an exception as long as the fold tells it.
	Problems []Problem
	// LeftOut are the digests of messages about somebody else, which the spell does not hold.
	LeftOut []string
	// Recorded is when the hospital recorded the newest fact.
	Recorded time.Time
}

// Fold works out a spell from the facts about it and about its person. It is a function of their set: no order, duplication or delay of the
// messages changes the result. All facts about a spell must have the same spell id; without any the state is zero. Facts about other
// people are passed over.
func Fold(facts []Fact) State {
	by := part(inOrder(facts))
	all, own, others, numbers := by.spell, by.own, by.others, by.numbers
	if len(all) == 0 {
		return State{}
	}
	order := withPerson(own, by.people, numbers)
	stay := stayOf(own)
	newest := own[len(own)-1]

	spell := Spell{
		SpellID: newest.SpellID, Reference: Reference(newest.SpellID), Provider: newest.Provider,
		Feed: newest.Feed, DataVersion: newest.DataVersion, Scope: scopeOf(own),
		Status: stay.status(), AdmittedAt: stay.admitted.Value.At, Site: stay.at.site.Value,
	}
	state := State{Person: personOf(order), Recorded: order[len(order)-1].Recorded}
	state.Person.PatientNumber, state.Person.Ward = numberOf(own, numbers), stay.at.ward.Value
	today := Moment{At: newest.Recorded}
	var flags flagSet
	if stay.current != nil {
		today = stay.current.moment()
		spell.Discharge = stay.current.snapshot(stay.number)
		spell.DestinationPostcodeSector = Sector(stay.current.postcode.Value)
		flags = append(flags, stay.current.flags...)
		if !stay.current.at.HasValue() {
			flags = append(flags, FlagTimeMissing)
		}
		if stay.admitted.HasValue() && stay.admitted.Value.After(today) {
			flags = append(flags, DischargeBeforeStay)
		}
	}
	if !slices.ContainsFunc(own, func(f *Fact) bool { return !f.Kind.movesVisit() && !f.Kind.renumbersVisit() }) {
		spell.Status = NotAdmitted // whose visit it is, and by what number, says nothing of where the person is
	}
	if spell.Status == InHospital && stay.expected.HasValue() {
		spell.ExpectedDischargeOn = stay.expected.Value.Date()
	}
	spell.home(order, stay.current)
	spell.involve(own)
	spell.ready(own)
	spell.Adult = AdultOn(state.Person.BirthDate, today.Date())

	deathFacts := deathFactsOf(order, stay, state.Person.BirthDate)
	spell.Death = DecideDeath(deathFacts)
	var person flagSet
	for _, f := range order {
		person = person.after(f, personFlags)
	}
	flags = append(flags, person...)
	renumbered := slices.ContainsFunc(own, func(f *Fact) bool { return slices.Contains(f.Flags, VisitNumberChanged) })
	erased := stay.open && newest.Kind == KindDeleteVisit
	deleted := !stay.voided && isDeleted(order)
	for _, raised := range []struct {
		flag string
		on   bool
	}{
		{FlagCancelWithoutDischarge, stay.cancelled},
		{FlagAdmittedAfterDischarge, stay.readmit || stay.second},
		{FlagTimeWithoutDischarge, stay.stray},
		{FlagNotAdmitted, stay.current != nil && stay.visiting && !stay.inpatient},
		{FlagOnLeave, stay.away},
		{FlagDischargeCancelled, stay.takenBack && stay.current == nil},
		{BecameOutpatient, stay.became},
		{VisitNumberChanged, renumbered},
		{VisitDeleted, erased},
		{PersonDeleted, deleted},
		{FlagControlIDReused, controlIDReused(all)},
		{FlagIndicatorDisagrees, spell.Death == DeathDied && deathFacts.Indicator.HasValue() && !deathFacts.Indicator.Value},
		{VisitNumberReused, len(others) > 0},
		{RecordedInTheFuture, slices.ContainsFunc(order, func(f *Fact) bool { return slices.Contains(f.Flags, RecordedInTheFuture) })},
	} {
		if raised.on {
			flags = append(flags, raised.flag)
		}
	}
	slices.Sort(flags)
	spell.Flags = slices.Compact(flags)
	state.Spell = spell

	if len(others) > 0 {
		for _, f := range others {
			state.LeftOut = append(state.LeftOut, f.Digest)
		}
		state.Problems = append(state.Problems, Problem{VisitNumberReused, "PV1-19", "messages about two people carry this visit number",
			"The first person's spell goes on; find out whose the later messages are and record that discharge by hand"})
	}
	for _, found := range []struct {
		problem Problem
		stands  bool
	}{
		{contradictoryDeath, spell.Death == DeathContradictory}, {timeWithoutDischarge, stay.stray}, {cancelWithoutDischarge, stay.cancelled},
		{secondStay, stay.second}, {becameOutpatient, stay.became}, {visitNumberChanged, renumbered}, {visitDeleted, erased}, {personDeleted, deleted},
	} {
		if found.stands {
			state.Problems = append(state.Problems, found.problem)
		}
	}
	return state
}

func (l *leaving) snapshot(number int) *Discharge {
	m := l.moment()
	return &Discharge{At: m.At, On: m.Date(), Method: l.method.Value, Destination: l.destination.Value, Number: number}
}

// scopeOf is social-care as soon as one feed of such people knows the person. Whom no hospital's feed has told of, and only the social
// care hub itself has recorded, is social care's too.
func scopeOf(order []*Fact) Scope {
	scope := ScopeSocialCare
	for _, f := range order {
		switch f.Scope {
		case ScopeSocialCare:
			return ScopeSocialCare
		case ScopeWholeHospital:
			scope = ScopeWholeHospital
		}
	}
	return scope
}

// deathFactsOf gathers what stands about death: the person's facts, and those of the discharge that holds.
func deathFactsOf(order []*Fact, s stay, birthDate string) DeathFacts {
	var d DeathFacts
	for _, f := range order {
		if f.DiedAt.Said {
			d.Impossible = f.DiedAt.Value.At.After(f.Recorded.Add(24 * time.Hour))
		}
		d.Indicator, d.DiedAt = d.Indicator.then(f.DeathIndicator), d.DiedAt.then(f.DiedAt)
		d.Unclear = f.DeathUnclear || d.Unclear && !f.DeathIndicator.Said && !f.DiedAt.Said
	}
	if died := d.DiedAt.Value; !died.IsZero() {
		cameIn := s.open && s.admitted.HasValue()
		d.Impossible = d.Impossible || died.Date() < birthDate || cameIn && died.At.Before(s.admitted.Value.At.Add(-24*time.Hour))
	}
	if current := s.current; current != nil {
		d.Method, d.Destination, d.DeadInText = current.method.Value, current.destination.Value, current.deadInText
	}
	return d
}

// home takes over practice and home, as they were at the discharge and as they are told to be after it. An update of the spell that tells
// when it took effect (EVN-6) later than the discharge is a change since; without EVN-6 it corrects what was true at the discharge. What is
// told of the person, and not of the spell, took effect when it was recorded unless it says otherwise; where nothing else was told it is the
// best that is known of the discharge too.
func (s *Spell) home(order []*Fact, current *leaving) {
	var practice, postcode, practiceLater, postcodeLater Told[string]
	for _, f := range order {
		since, guessed := false, false
		if current != nil && f.Kind.OfPerson() {
			guessed = f.Effective.IsZero()
			since = f.moment().After(current.moment())
		} else if current != nil && f.Kind == KindUpdate {
			since = !f.Effective.IsZero() && f.Effective.After(current.moment())
		}
		tell := func(now, later *Told[string], said Told[string]) {
			if since && !(guessed && !now.Said) {
				*later = later.then(said)
			} else {
				*now = now.then(said)
			}
		}
		tell(&practice, &practiceLater, f.Practice)
		tell(&postcode, &postcodeLater, f.Postcode)
	}
	s.PracticeCode, s.HomePostcodeSector = practice.Value, Sector(postcode.Value)
	s.NoFixedAbode = postcode.Value == noFixedAbode
	if practiceLater.Value != s.PracticeCode {
		s.PracticeCodeLater = practiceLater.Value
	}
	if sector := Sector(postcodeLater.Value); sector != s.HomePostcodeSector {
		s.HomePostcodeSectorLater = sector
	}
}

// ready takes over whether the criteria to reside are met, and since when they are not: as told, else since it was first recorded.
func (s *Spell) ready(order []*Fact) {
	var meets Told[bool]
	var since Moment
	for _, f := range order {
		if !f.MeetsCriteria.Said {
			continue
		}
		notMetBefore := meets.HasValue() && !meets.Value
		meets = f.MeetsCriteria
		switch {
		case f.ReadyAt.HasValue():
			since = f.ReadyAt.Value
		case !notMetBefore:
			since = Moment{At: f.Recorded}
		}
	}
	switch {
	case !meets.HasValue():
	case meets.Value:
		s.CriteriaToReside = CriteriaMet
	default:
		s.CriteriaToReside, s.ReadyOn = CriteriaNotMet, since.Date()
	}
}

// involve takes over what makes social care known to be involved; it is taken back in words, never by silence.
func (s *Spell) involve(order []*Fact) {
	var pathway Told[string]
	var known []Involvement
	for _, f := range order {
		pathway = pathway.then(f.Pathway)
		known = slices.DeleteFunc(known, func(i Involvement) bool { return slices.Contains(f.Withdrawn, i) })
		known = append(known, f.Involvements...)
	}
	s.Pathway = pathway.Value
	if s.Pathway != "" && s.Pathway != "0" {
		known = append(known, OnPathway)
	}
	for _, i := range involvements {
		if slices.Contains(known, i) {
			s.Involvements = append(s.Involvements, i)
		}
	}
}
