package discharge

import "slices"

// merged knows which patient numbers of a provider are one person's.
type merged struct {
	numbers  map[string]bool
	parent   map[string]string
	survivor map[string]string // of the number that stands for all of one person's
}

// mergedOf joins the numbers of all merges that stand. About two numbers the word recorded last counts: a merge stands unless it was revoked
// after it, and what was revoked says nothing. Numbers are joined through others (A into B, B into C), whichever way round and in a circle. The number that a person has is the
// one that survived the last merge.
func mergedOf(people []*Fact) merged {
	m := merged{map[string]bool{}, map[string]string{}, map[string]string{}}
	var stand []*Fact
	for _, f := range people {
		switch {
		case f.Kind.Merges():
			stand = append(stand, f)
		case f.Kind == KindRevokeMerge:
			stand = slices.DeleteFunc(stand, f.ofSameNumbers)
		}
	}
	for _, f := range stand {
		m.numbers[f.PatientNumber], m.numbers[f.PriorNumber] = true, true
		// The least number stands for all, whatever the order in which they are joined.
		a, b := m.one(f.PatientNumber), m.one(f.PriorNumber)
		m.parent[max(a, b)] = min(a, b)
	}
	for _, f := range stand {
		m.survivor[m.one(f.PatientNumber)] = f.PatientNumber
	}
	return m
}

// ofSameNumbers tells whether two merges, or a merge and its revocation, are about the same two numbers.
func (f *Fact) ofSameNumbers(g *Fact) bool {
	return f.PatientNumber == g.PatientNumber && f.PriorNumber == g.PriorNumber || f.PatientNumber == g.PriorNumber && f.PriorNumber == g.PatientNumber
}

// one returns the number that stands for all numbers of the same person.
func (m merged) one(number string) string {
	for {
		parent, ok := m.parent[number]
		if !ok || parent == number {
			return number
		}
		number = parent
	}
}

// all returns every number of the person who has this one.
func (m merged) all(number string) []string {
	list := []string{number}
	for other := range m.numbers {
		if other != number && m.one(other) == m.one(number) {
			list = append(list, other)
		}
	}
	return list
}

// surviving returns the number that a person has after all merges.
func (m merged) surviving(number string) string {
	if survivor, ok := m.survivor[m.one(number)]; ok {
		return survivor
	}
	return number
}

// Numbers are the patient numbers that a fact names. A merge, even a revoked one, leads from one to the other.
func (f *Fact) Numbers() []string {
	var numbers []string
	for _, n := range [...]string{f.PatientNumber, f.PriorNumber} {
		if n != "" {
			numbers = append(numbers, n)
		}
	}
	return numbers
}
