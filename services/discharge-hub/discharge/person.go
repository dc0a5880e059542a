package discharge

// identity is what tells one person from another: the newest told under one local patient number.
type identity struct {
	nhsNumber, birthDate Told[string]
}

// differs tells whether two patient numbers are certainly two people: both NHS numbers are valid and differ, or, where they do not
// both exist, both birth dates are told and differ. Two numbers alone may be one person registered twice.
func (a identity) differs(b identity) bool {
	if a.nhsNumber.HasValue() && b.nhsNumber.HasValue() {
		return a.nhsNumber.Value != b.nhsNumber.Value
	}
	return a.birthDate.HasValue() && b.birthDate.HasValue() && a.birthDate.Value != b.birthDate.Value
}

// ofOnePerson leaves out the facts about somebody else: a visit number that a hospital used again. The spell belongs to the patient
// number that was recorded first.
func ofOnePerson(order []*Fact) (own, others []*Fact) {
	first, several := "", false
	for _, f := range order {
		switch {
		case f.PatientNumber == "":
		case first == "":
			first = f.PatientNumber
		case f.PatientNumber != first:
			several = true
		}
	}
	if !several {
		return order, nil
	}
	people := map[string]identity{}
	for _, f := range order {
		p := people[f.PatientNumber]
		p.nhsNumber, p.birthDate = p.nhsNumber.then(f.NHSNumber), p.birthDate.then(f.BirthDate)
		people[f.PatientNumber] = p
	}
	for _, f := range order {
		if f.PatientNumber != "" && people[first].differs(people[f.PatientNumber]) {
			others = append(others, f)
		} else {
			own = append(own, f)
		}
	}
	return own, others
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
