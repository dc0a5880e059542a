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

// ofOnePerson leaves out the facts about somebody else: a visit number that a hospital used again. The spell belongs to the person who
// was recorded first. Where a patient number is new to it, what the message leaves out about its person is taken from the first message
// that tells it under that number, so that a message with no more than a number is known by what others say of it.
func ofOnePerson(order []*Fact) (own, others []*Fact) {
	known := map[string]identity{}
	for _, f := range order {
		known[f.PatientNumber] = known[f.PatientNumber].or(f.NHSNumber, f.BirthDate)
	}
	var person identity
	for _, f := range order {
		told := identity{nhsNumber: f.NHSNumber, birthDate: f.BirthDate}
		if f.PatientNumber != "" {
			told.patientNumbers = []string{f.PatientNumber}
		}
		adopts := f.PatientNumber != "" && !slices.Contains(person.patientNumbers, f.PatientNumber)
		if adopts {
			told = told.or(known[f.PatientNumber].nhsNumber, known[f.PatientNumber].birthDate)
		}
		if person.differs(told) {
			others = append(others, f)
			continue
		}
		own = append(own, f)
		person.nhsNumber, person.birthDate = person.nhsNumber.then(f.NHSNumber), person.birthDate.then(f.BirthDate)
		if adopts {
			person.patientNumbers = append(person.patientNumbers, f.PatientNumber)
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

// personOf returns who the person is, as last told.
func personOf(order []*Fact) Person {
	var p Person
	var nhs, status, family, given, birth, postcode, practice, ward Told[string]
	var died Told[Moment]
	var indicator Told[bool]
	for _, f := range order {
		if f.PatientNumber != "" {
			p.PatientNumber = f.PatientNumber
		}
		nhs, status = nhs.then(f.NHSNumber), status.then(f.NHSNumberStatus)
		family, given, birth = family.then(f.FamilyName), given.then(f.GivenName), birth.then(f.BirthDate)
		postcode, practice, ward = postcode.then(f.Postcode), practice.then(f.Practice), ward.then(f.Ward)
		died, indicator = died.then(f.DiedAt), indicator.then(f.DeathIndicator)
	}
	p.NHSNumber, p.NHSNumberStatus = nhs.Value, status.Value
	p.FamilyName, p.GivenName, p.BirthDate = family.Value, given.Value, birth.Value
	p.Postcode, p.Practice, p.Ward = postcode.Value, practice.Value, ward.Value
	p.DiedAt = died.Value.At
	if indicator.HasValue() {
		p.DeathIndicator = map[bool]string{true: "yes", false: "no"}[indicator.Value]
	}
	return p
}
