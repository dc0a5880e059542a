package oracle

import (
	"cmp"
	"slices"
	"time"
)

// Triggers that are about a person, and so about all that person's spells.
var (
	updates = []string{"A28", "A31", deletePerson}
	// merges say that Prior and Patient are one person's numbers. An A35 is one only where they differ.
	merges = []string{"A18", "A34", "A35", "A36", "A40", "A47"}
)

const (
	// unmerge is recorded by the hub's staff: all merges of Patient and Prior before it were wrong.
	unmerge = "revoke-merge"
	// moveVisit gives a visit, Prior's so far, to Patient.
	moveVisit = "A45"
	// renumberVisit says that a visit goes on under another number.
	renumberVisit = "A42"
	// deletePerson says that the hospital keeps no record of the person under that number any more.
	deletePerson = "A29"
)

// RevocationsLast puts behind all other messages those that take a merge back: the hub accepts one only when it has read the merge.
func RevocationsLast(messages []Told) []Told {
	revokes := func(m Told) bool { return m.Kind == unmerge }
	others := slices.DeleteFunc(slices.Clone(messages), revokes)
	return append(others, slices.DeleteFunc(slices.Clone(messages), func(m Told) bool { return !revokes(m) })...)
}

// records are what hospitals tell of people apart from their stays.
type records struct {
	one  map[string]string // by a patient number: the least of all numbers of its person
	news map[string][]Told // by that
	// merges that nobody has taken back, in order.
	merges []Told
}

func recordsOf(messages []Told) records {
	news := sorted(slices.DeleteFunc(slices.Clone(messages), func(m Told) bool { return !m.ofPerson() }))
	r := records{news: map[string][]Told{}}
	for _, m := range news {
		switch {
		case m.Kind == unmerge: // all merges of these two before it were wrong
			r.merges = slices.DeleteFunc(r.merges, func(wrong Told) bool {
				return m.number() == wrong.number() && m.prior() == wrong.prior() || m.number() == wrong.prior() && m.prior() == wrong.number()
			})
		case m.Prior != "":
			r.merges = append(r.merges, m)
		}
	}
	var pairs [][2]string
	for _, m := range r.merges {
		pairs = append(pairs, [2]string{m.number(), m.prior()})
	}
	r.one = classes(pairs)
	for _, m := range news {
		r.news[r.of(m.number())] = append(r.news[r.of(m.number())], m)
	}
	return r
}

// classes gives all that are joined, directly or through others, one name: the least of theirs.
func classes(pairs [][2]string) map[string]string {
	name := map[string]string{}
	for again := true; again; {
		again = false
		for _, p := range pairs {
			a, b := cmp.Or(name[p[0]], p[0]), cmp.Or(name[p[1]], p[1])
			name[p[0]], name[p[1]] = min(a, b), min(a, b)
			again = again || a != b
		}
	}
	return name
}

func (r records) of(number string) string { return cmp.Or(r.one[number], number) }

// about is what is told of those whom messages are about.
func (r records) about(messages []Told) []Told {
	var all []Told
	looked := map[string]bool{"": true}
	for _, m := range messages {
		if number := r.of(m.number()); !looked[number] {
			looked[number] = true
			all = append(all, r.news[number]...)
		}
	}
	return all
}

// moved reads the messages of a visit that was given to another person. The last word says whose it is. What was told before under other
// numbers, and at any time under the number of somebody whose it was, is true of the visit and of nobody.
func (r records) moved(messages []Told) []Told {
	last := -1
	whose := map[string]bool{}
	for i, m := range messages {
		if m.Kind == moveVisit {
			last = i
			whose[r.of(m.number())], whose[r.of(m.prior())] = true, true
		}
	}
	if last < 0 {
		return messages
	}
	delete(whose, "")
	all := slices.Clone(messages)
	owner := r.of(all[last].number())
	for i := range all {
		if m := &all[i]; r.of(m.number()) != owner && (i < last || whose[r.of(m.number())]) {
			m.Person, m.Patient, m.NHS, m.Born, m.Practice, m.Postcode = "", "", "", "", "", ""
			m.Dead, m.DiedAt, m.NotDied = "", time.Time{}, false
		}
	}
	return all
}

// ofFirstPerson keeps what is about the person who was recorded first. Who is not named is the one whose spell it is. Two records are one
// person's where their numbers are.
func (r records) ofFirstPerson(messages []Told) []Told {
	var pairs [][2]string
	for _, m := range slices.Concat(messages, r.about(messages)) {
		if m.Person != "" && m.Patient != "" {
			pairs = append(pairs, [2]string{"of " + m.Person, r.of(m.number())})
		}
	}
	who, first := classes(pairs), ""
	return slices.DeleteFunc(slices.Clone(messages), func(m Told) bool {
		if m.Person == "" {
			return false
		}
		person := cmp.Or(who["of "+m.Person], "of "+m.Person)
		first = cmp.Or(first, person)
		return person != first
	})
}

// shown is the number by which the person is known: the one told last, or that which survived the last merge of the person's numbers.
func (r records) shown(own []Told) (patient string) {
	number := ""
	for _, m := range own {
		if m.Patient != "" {
			patient, number = m.Patient, m.number()
		}
	}
	for _, m := range r.merges {
		if r.of(m.number()) == r.of(number) {
			patient = m.Patient
		}
	}
	return patient
}

// deleted says whether the hospital has deleted the person's record and told nothing of the person since.
func deleted(all []Told) (is bool) {
	for _, m := range all {
		if m.ofPerson() && m.Kind != unmerge {
			is = m.Kind == deletePerson
		}
	}
	return is
}
