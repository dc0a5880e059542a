package pickup

import "fmt"

// residence is whether the person appears to be this council's, by what, and what is odd about it.
type residence struct {
	verdict Condition // WhenOurs, WhenOutOfArea or WhenResidenceUnclear
	council string    // name of the council that the home postcode points to; empty when none is known
	text    string
	flags   []string
}

// Flags that residence and route raise.
const (
	FlagHomePostcodeMissing    = "home-postcode-missing"
	FlagPracticeMissing        = "practice-missing"
	FlagPracticeClosed         = "practice-closed"
	FlagPracticeNotInDirectory = "practice-not-in-directory"
	FlagPracticeNotGP          = "practice-not-a-gp-practice"
	FlagPracticeChangedLater   = "practice-changed-later"
	FlagHomeChangedLater       = "home-changed-later"
	FlagNoFixedAbode           = "no-fixed-abode"
	FlagAdultUnknown           = "adult-unknown"
	FlagScopeUnknown           = "feed-scope-unknown"
	FlagHolidaysUnknown        = "holidays-unknown"
)

// ours says whether the person appears to live in the place. The home postcode decides, by the dated table; the practice is asked
// only where no home postcode was told, and can otherwise merely contradict it. What contradicts itself or can't be known is the
// hub's: software never decides ordinary residence.
//
// Source: design §5, "Ours?"; the duty follows ordinary residence (Care Act 2014, sections 18 and 39), not the registered practice.
func ours(p Place, s Spell, on Date) residence {
	practice := practiceCode(p, s)
	_, _, practiceOurs := p.practiceOn(practice, on)
	home := homeSector(s)
	row, listed := p.postcodeOn(home, on)

	switch {
	case s.NoAbode:
		return residence{verdict: WhenResidenceUnclear, text: "The person has no fixed abode.", flags: []string{FlagNoFixedAbode}}
	case home == "" && practiceOurs:
		return residence{
			verdict: WhenOurs, council: p.councilName(p.Council), flags: []string{FlagHomePostcodeMissing},
			text: fmt.Sprintf("No home postcode was told; the practice %s is in the directory of %s.", practice, p.Name),
		}
	case home == "" && practice == "":
		return residence{
			verdict: WhenResidenceUnclear, flags: []string{FlagHomePostcodeMissing, FlagPracticeMissing},
			text: "Neither home postcode nor practice was told.",
		}
	case home == "":
		return residence{
			verdict: WhenResidenceUnclear, flags: []string{FlagHomePostcodeMissing},
			text: fmt.Sprintf("No home postcode was told, and the practice %s is not in the directory of %s.", practice, p.Name),
		}
	case listed && row.Council == p.Council:
		return residence{
			verdict: WhenOurs, council: p.councilName(p.Council),
			text: fmt.Sprintf("The home postcode %s is in %s.", home, p.councilName(p.Council)),
		}
	case listed && row.Council == AskHub:
		return residence{verdict: WhenResidenceUnclear, text: fmt.Sprintf("The home postcode %s lies in more than one council.", home)}
	}
	council := "another council"
	if listed {
		council = p.councilName(row.Council)
	}
	if practiceOurs {
		return residence{
			verdict: WhenResidenceUnclear, council: council,
			text: fmt.Sprintf("The home postcode %s is in %s, but the practice %s is in the directory of %s.", home, council, practice, p.Name),
		}
	}
	r := residence{
		verdict: WhenOutOfArea, council: council,
		text: fmt.Sprintf("The home postcode %s is in %s, and the practice %s is not in the directory of %s.", home, council, practice, p.Name),
	}
	if practice == "" {
		r.flags = []string{FlagPracticeMissing}
		r.text = fmt.Sprintf("The home postcode %s is in %s, and no practice was told.", home, council)
	}
	return r
}

// practiceCode is the practice as told, or empty for a code that is not a GP practice's: the codes for "not registered" and "not
// known", and other organisations in the same national file.
func practiceCode(p Place, s Spell) string {
	told := code(s.Practice)
	if _, not := p.NotPractices[told]; not {
		return ""
	}
	return told
}

// homeSector is the sector of the home postcode as told, or empty for the pseudo postcodes ZZ99, which name no place in England.
//
// Source: NHS Data Dictionary, default postcodes.
func homeSector(s Spell) string {
	home := code(s.HomeSector)
	if district(home) == "ZZ99" {
		return ""
	}
	return home
}

func (p Place) councilName(key string) string {
	if c, ok := p.Councils[key]; ok {
		return c.Name
	}
	return key
}
