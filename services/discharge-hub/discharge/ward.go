package discharge

// maxWard is how long a ward's code may be; longer ones are words.
const maxWard = 12

// wardCode tells whether text is a ward's code: capitals and digits, with single separators (- _ / .) between them, and not the NHS
// number of somebody (design: local promise).
func wardCode(s string) bool {
	if len(s) > maxWard {
		return false
	}
	plain := make([]byte, 0, maxWard)
	separated := true
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case letter(c), digit(c):
			plain, separated = append(plain, c), false
		case separated || c != '-' && c != '_' && c != '/' && c != '.':
			return false
		default:
			separated = true
		}
	}
	return !separated && !ValidNHSNumber(string(plain))
}
