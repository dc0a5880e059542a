package discharge

import "strings"

// ValidNHSNumber tells whether ten digits pass the modulus 11 check of the NHS Data Dictionary (weights 10 to 2; a check digit of
// 10 does not exist). Ten equal digits pass it arithmetically and are what people type when they have no number: they are refused.
func ValidNHSNumber(s string) bool {
	if len(s) != 10 || s == strings.Repeat(s[:1], 10) {
		return false
	}
	sum := 0
	for i := range 10 {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		if i < 9 {
			sum += int(s[i]-'0') * (10 - i)
		}
	}
	check := (11 - sum%11) % 11
	return check == int(s[9]-'0')
}

// compactNHSNumber takes out the spaces and hyphens with which the number is displayed (3-3-4).
func compactNHSNumber(s string) string {
	if !strings.ContainsAny(s, " -") {
		return s
	}
	return strings.NewReplacer(" ", "", "-", "").Replace(s)
}
