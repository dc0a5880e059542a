package discharge

import "strings"

// PracticeCode returns text as the ODS code of a GP practice, a letter and five digits, or nothing. A GP's own code (`G` and seven
// digits) and a name are none.
func PracticeCode(s string) string {
	s = strings.ToUpper(strings.TrimSpace(s))
	if len(s) != 6 || !letter(s[0]) {
		return ""
	}
	for i := 1; i < 6; i++ {
		if !digit(s[i]) {
			return ""
		}
	}
	return s
}

// noPractice is the ODS code of "no registered GP practice", unknownPractice that of "not known", notApplicable says what it says.
const (
	noPractice      = "V81997"
	notApplicable   = "V81998"
	unknownPractice = "V81999"
)
