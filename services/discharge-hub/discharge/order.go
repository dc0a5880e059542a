package discharge

import (
	"cmp"
	"slices"
)

// inOrder returns the facts in the order in which the hospital recorded them, each message once. Ties go by control id (a shorter
// number is an earlier one: 9 before 10), then by the digest of the bytes, so that the order is the same however the facts came.
// That a cancel follows what it cancels in a tie is seen to by the stay, which lets it wait.
func inOrder(facts []Fact) []*Fact {
	order := make([]*Fact, len(facts))
	for i := range facts {
		order[i] = &facts[i]
	}
	return sorted(order)
}

func sorted(order []*Fact) []*Fact {
	slices.SortFunc(order, func(a, b *Fact) int {
		return cmp.Or(
			a.Recorded.Compare(b.Recorded),
			cmp.Compare(len(a.ControlID), len(b.ControlID)),
			cmp.Compare(a.ControlID, b.ControlID),
			cmp.Compare(a.Digest, b.Digest),
			cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.PatientNumber, b.PatientNumber),
			cmp.Compare(a.PriorNumber, b.PriorNumber),
			cmp.Compare(a.DataVersion, b.DataVersion),
			cmp.Compare(a.Feed, b.Feed),
		)
	})
	return slices.CompactFunc(order, func(a, b *Fact) bool {
		// One message may merge several people, and tell of a visit beside them.
		return a.Digest == b.Digest && a.Kind.OfPerson() == b.Kind.OfPerson() &&
			(!a.Kind.OfPerson() || a.PatientNumber == b.PatientNumber && a.PriorNumber == b.PriorNumber)
	})
}

// controlIDReused tells whether one sender used a control id for messages with different bytes, as after a counter's reset.
func controlIDReused(order []*Fact) bool {
	for i, f := range order {
		for _, earlier := range order[:i] {
			if f.ControlID == earlier.ControlID && f.Feed == earlier.Feed && f.ControlID != "" {
				return true
			}
		}
	}
	return false
}
