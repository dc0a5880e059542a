package discharge

import "testing"

func TestATextThatIsNoTimeIsDescribedAndIdentifiesNobody(t *testing.T) {
	for text, want := range map[string]string{
		"20261340":                  `"20261340"`,
		"2026-10-24":                `"2026-10-24"`,
		"00000000":                  `"00000000"`,
		"24/10/2026 14:30":          `a text like "nn/nn/nnnn nn:nn"`,
		"2026-10-24T14:30:00":       `a text like "nnnn-nn-nnann:nn:nn"`,
		"24-Oct-26":                 `a text like "nn-aaa-nn"`,
		"9990000026":                `a text like "nnnnnnnnnn"`,
		"999 000 0026":              `a text like "nnn nnn nnnn"`,
		"999-000-0026":              `a text like "nnn-nnn-nnnn"`,
		"01375000000":               `a text like "nnnnnnnnnnn"`,
		"+441375000000":             `a text like "+nnnnnnnnnnnn"`,
		"O'TESTER":                  `a text like "a'aaaaaa"`,
		"MÜLLER\x00":                `a text like "aaaaaa\x00"`,
		"1 EXAMPLE ROAD, GRAYS, RM": "a text of 25 characters",
	} {
		if got := shown(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
