package discharge

// movedVisits returns the facts as they are to be read after A45 messages have given the visit to other people: the last one says whose it is.
// What was told under the numbers of the others is true of the visit and not of the person.
func movedVisits(order []*Fact, m merged) []*Fact {
	last := -1
	named := map[string]bool{}
	for i, f := range order {
		if f.Kind.movesVisit() {
			last = i
			named[m.one(f.PatientNumber)], named[m.one(f.PriorNumber)] = true, true
		}
	}
	if last < 0 {
		return order
	}
	owner := m.one(order[last].PatientNumber)
	moved := make([]*Fact, len(order))
	for i, f := range order {
		if one := m.one(f.PatientNumber); one != owner && (i < last || one != "" && named[one]) {
			f = f.ofNobody()
		}
		moved[i] = f
	}
	return moved
}

// ofNobody returns the fact without what it says about a person.
func (f *Fact) ofNobody() *Fact {
	g := *f
	g.PatientNumber, g.PriorNumber = "", ""
	g.NHSNumber, g.NHSNumberStatus, g.BirthDate = Told[string]{}, Told[string]{}, Told[string]{}
	g.FamilyName, g.GivenName = Told[string]{}, Told[string]{}
	g.Postcode, g.NoFixedAbode, g.Practice = Told[string]{}, false, Told[string]{}
	g.DiedAt, g.DeathIndicator, g.DeathUnclear = Told[Moment]{}, Told[bool]{}, false
	g.Flags = nil
	for _, flag := range f.Flags {
		if !personFlag(flag) {
			g.Flags = append(g.Flags, flag)
		}
	}
	return &g
}
