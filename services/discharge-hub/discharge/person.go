package discharge

import (
	"slices"
	"strings"
	"time"
)

// identity is what tells one person from another.
type identity struct {
	patientNumbers       []string
	nhsNumber, birthDate Told[string]
}

// differs tells whether two identities are two people: valid NHS numbers differ, and birth dates or patient numbers as well; or patient
// numbers differ, and neither the same NHS number nor the same birth date confirms that one person is registered twice. An NHS number
// or a birth date alone may be a correction.
func (a identity) differs(b identity) bool {
	bothNHS := a.nhsNumber.HasValue() && b.nhsNumber.HasValue()
	sameNHS := bothNHS && a.nhsNumber.Value == b.nhsNumber.Value
	bothBirths := a.birthDate.HasValue() && b.birthDate.HasValue()
	from, to := a.birthDate.Value, b.birthDate.Value
	sameBirth := bothBirths && from == to && len(from) == len(time.DateOnly)
	// A year agrees with each of its days.
	otherBirth := bothBirths && !strings.HasPrefix(from, to) && !strings.HasPrefix(to, from)
	otherNumber := len(a.patientNumbers) > 0 && len(b.patientNumbers) > 0 &&
		!slices.ContainsFunc(a.patientNumbers, func(n string) bool { return slices.Contains(b.patientNumbers, n) })
	if bothNHS && !sameNHS && (otherBirth || otherNumber) {
		return true
	}
	return otherNumber && !sameNHS && !sameBirth
}

// parted is facts by what they are about.
type parted struct {
	spell   []*Fact // the spell
	own     []*Fact // the spell, as of its person
	others  []*Fact // somebody else, under the same visit number
	people  []*Fact // people of the spell's provider
	numbers merged
}

func part(order []*Fact) (p parted) {
	for _, f := range order {
		if !f.Kind.OfPerson() {
			p.spell = append(p.spell, f)
		}
	}
	if len(p.spell) == 0 {
		return p
	}
	p.people = peopleOf(p.spell[0].Provider, order)
	p.numbers = mergedOf(p.people)
	p.own, p.others = ofOnePerson(movedVisits(p.spell, p.numbers), p.people, p.numbers)
	return p
}

// peopleOf returns the facts about people of a provider.
func peopleOf(provider string, order []*Fact) (people []*Fact) {
	for _, f := range order {
		if f.Kind.OfPerson() && f.Provider == provider {
			people = append(people, f)
		}
	}
	return people
}

// ofOnePerson leaves out the facts about somebody else: a visit number that a hospital used again. The spell belongs to the person who
// was recorded first. Where a patient number is new to it, what the message leaves out about its person is taken from the first message
// that tells it under that number, so that a message with no more than a number is known by what others say of it. Merged numbers are one.
// A message without a number is the person's whose visit it is; it lends nobody an identity, by which somebody else's message would be the person's next.
func ofOnePerson(order, people []*Fact, numbers merged) (own, others []*Fact) {
	known := map[string]identity{}
	for _, f := range sorted(slices.Concat(order, people)) {
		one := numbers.one(f.PatientNumber)
		known[one] = known[one].or(f.NHSNumber, f.BirthDate)
	}
	var person identity
	for _, f := range order {
		told := identity{nhsNumber: f.NHSNumber, birthDate: f.BirthDate}
		number := numbers.one(f.PatientNumber)
		if number != "" {
			told.patientNumbers = []string{number}
		}
		adopts := number != "" && !slices.Contains(person.patientNumbers, number)
		if adopts {
			told = told.or(known[number].nhsNumber, known[number].birthDate)
		}
		if person.differs(told) {
			others = append(others, f)
			continue
		}
		own = append(own, f)
		if number != "" || len(person.patientNumbers) == 0 { // else only the visit number says whose it is, and nobody is known by the rest
			person.nhsNumber, person.birthDate = person.nhsNumber.then(f.NHSNumber), person.birthDate.then(f.BirthDate)
		}
		if adopts {
			person.patientNumbers = append(person.patientNumbers, number)
			person = person.or(told.nhsNumber, told.birthDate)
		}
	}
	return own, others
}

// or returns the identity with these where it has no value.
func (a identity) or(nhsNumber, birthDate Told[string]) identity {
	if !a.nhsNumber.HasValue() {
		a.nhsNumber = nhsNumber
	}
	if !a.birthDate.HasValue() {
		a.birthDate = birthDate
	}
	return a
}

// withPerson adds to the facts of a spell, in their order, what is told of its person under any number that is the person's.
func withPerson(own, people []*Fact, numbers merged) []*Fact {
	mine := map[string]bool{}
	for _, f := range own {
		if f.PatientNumber != "" {
			mine[numbers.one(f.PatientNumber)] = true
		}
	}
	order := slices.Clone(own)
	for _, f := range people {
		if mine[numbers.one(f.PatientNumber)] && f.Kind != KindRevokeMerge {
			order = append(order, f)
		}
	}
	if len(order) == len(own) {
		return own
	}
	return sorted(order)
}

// numberOf returns the patient number as last told, or the one that it was merged into.
func numberOf(own []*Fact, numbers merged) (number string) {
	for _, f := range own {
		if f.PatientNumber != "" {
			number = f.PatientNumber
		}
	}
	return numbers.surviving(number)
}

// isDeleted tells whether the hospital has deleted the person (A29) and told nothing of them since.
func isDeleted(order []*Fact) (deleted bool) {
	for _, f := range order {
		if f.Kind.OfPerson() {
			deleted = f.Kind == KindDeletePerson
		}
	}
	return deleted
}

// personOf returns who the person is, as last told; number and ward are filled in by the fold.
func personOf(order []*Fact) Person {
	var p Person
	var nhs, status, family, given, birth, postcode, practice Told[string]
	var died Told[Moment]
	var indicator Told[bool]
	for _, f := range order {
		nhs, status = nhs.then(f.NHSNumber), status.then(f.NHSNumberStatus)
		family, given, birth = family.then(f.FamilyName), given.then(f.GivenName), birth.then(f.BirthDate)
		postcode, practice = postcode.then(f.Postcode), practice.then(f.Practice)
		died, indicator = died.then(f.DiedAt), indicator.then(f.DeathIndicator)
	}
	p.NHSNumber, p.NHSNumberStatus = nhs.Value, status.Value
	p.FamilyName, p.GivenName, p.BirthDate = family.Value, given.Value, birth.Value
	p.Postcode, p.Practice = postcode.Value, practice.Value
	p.DiedAt = died.Value.At
	if indicator.HasValue() {
		p.DeathIndicator = map[bool]string{true: "yes", false: "no"}[indicator.Value]
	}
	return p
}
