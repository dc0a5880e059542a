package assessment

import "time"

// Spell is what an assessment needs of the newest snapshot of its spell. The zero value is a spell that is not known yet.
type Spell struct {
	Voided bool // the admission was cancelled
	Died   bool
	// LeftAt is the moment of the discharge that holds, if the person left alive; zero otherwise.
	LeftAt time.Time
}

// Follow derives what depends on the spell:
//   - an assessment that is not finished is superseded while the spell is voided or the person has died, and requested again when a
//     correction takes that back (domain brief 2.4);
//   - how many conditions `before leaving` were unmet when the person left. A condition counts as met if it was met at the moment of
//     leaving or before (design: the blocking rule of domain brief 2.4). A cancelled discharge leaves nobody with anything.
//
// It depends on nothing but its arguments, so it may be applied again at any time.
func Follow(a Assessment, s Spell) Assessment {
	if a.Status == Requested || a.Status == Superseded {
		a.Status = Requested
		if s.Voided || s.Died {
			a.Status = Superseded
		}
	}
	a.LeftWithUnmet = 0
	if s.Voided || s.LeftAt.IsZero() {
		return a
	}
	for _, c := range a.Conditions {
		if c.Due == BeforeLeaving && (c.MetAt.IsZero() || c.MetAt.After(s.LeftAt)) {
			a.LeftWithUnmet++
		}
	}
	return a
}

// Adopt is the assessment after a restore, by the snapshot that another service held of it: own is what the restored database holds, the
// zero value when it holds nothing. The answers are in no snapshot; they are kept where own is of the same completion, and else are lost.
func Adopt(own, held Assessment) Assessment {
	if held.Status == Complete && own.Status == Complete && own.CompletedAt.Equal(held.CompletedAt) {
		held.Answers = own.Answers
	}
	return held
}
