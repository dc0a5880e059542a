package repocheck

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var tenDigits = regexp.MustCompile(`\b\d{3}[ -]?\d{3}[ -]?\d{4}\b`)

// People finds NHS numbers that could be somebody's. Test people have numbers that begin with 999, which are never issued; a number of
// one repeated digit is not issued either.
func People(t Tree) []string {
	var found []string
	for _, name := range t.paths("") {
		if strings.HasSuffix(name, ".sum") || generated(t[name]) {
			continue
		}
		for _, at := range tenDigits.FindAllStringIndex(t[name], -1) {
			number := strings.NewReplacer(" ", "", "-", "").Replace(t[name][at[0]:at[1]])
			if !nhsNumber(number) || strings.HasPrefix(number, "999") || strings.Count(number, number[:1]) == len(number) {
				continue
			}
			line := 1 + strings.Count(t[name][:at[0]], "\n")
			found = append(found, fmt.Sprintf("%s:%d: %s could be somebody's NHS number: test people have numbers that begin with 999", name, line, number))
		}
	}
	return slices.Compact(found)
}

// nhsNumber reports whether ten digits have the check digit of an NHS number (NHS Data Dictionary, modulus 11).
func nhsNumber(digits string) bool {
	sum := 0
	for i := range 9 {
		sum += int(digits[i]-'0') * (10 - i)
	}
	return (11-sum%11)%11 == int(digits[9]-'0')
}
