package hospital

import (
	"fmt"
	"strconv"
	"time"
)

// person is a synthetic one.
type person struct {
	nhsNumber, patientNumber string
	family, given            string
	born                     string
	home                     home
	died                     time.Time
}

// home is an address and the practice that goes with it.
type home struct{ postcode, practice string }

// homes are mostly the place's; some lie elsewhere, and some practices are closed.
var homes = []home{
	{"RM17 5AA", "F81155"}, {"RM15 4AB", "F81010"}, {"SS17 0AB", "F81153"}, {"RM18 8AB", "F81110"}, {"RM16 6AB", "F81113"}, {"RM18 7AB", "F81206"},
	{"RM16 2AB", "F81192"}, {"RM17 6AB", "F81623"}, {"RM19 1AB", "Y00033"}, {"SS17 7AB", "F81697"}, {"RM16 3AB", "F81137"}, {"RM20 1AB", "Y02807"},
	{"RM16 4AB", "F81084"}, // a practice that has closed
	{"SS14 1AA", "F81001"}, {"RM3 0AA", "F82001"}, {"SS15 5AA", "F81154"}, {"RM14 3AA", "F81134"},
}

var families = []string{"TESTER", "SPECIMEN", "EXAMPLE", "SAMPLE", "MADEUP", "O'TESTER", "DUMMY-TESTER", "M\u00dcSTER"}
var givens = []string{"Ada", "Basil", "Clara", "Derek", "Edna", "Fred", "Zo\u00eb"}

func (h *ward) newPerson() *person {
	h.persons++
	age := 25 + h.random.IntN(40) + h.random.IntN(30)
	if h.chance(0.05) {
		age = h.random.IntN(18)
	}
	return &person{
		nhsNumber: nhsNumber(int(h.o.Seed%97)*1000 + h.persons), patientNumber: strconv.Itoa(1_000_000 + int(h.o.Seed%89)*100_000 + h.persons),
		family: families[h.random.IntN(len(families))], given: givens[h.random.IntN(len(givens))],
		born: h.o.From.AddDate(-age, -h.random.IntN(12), -h.random.IntN(28)).Format("20060102"), home: homes[h.random.IntN(len(homes))],
	}
}

// nhsNumber is the nth number of the range 999 000 0000 on that has a check digit.
func nhsNumber(n int) string {
	for stem := 999_000_000 + n*2%1_000_000; ; stem++ {
		sum, digits := 0, strconv.Itoa(stem)
		for i, c := range digits {
			sum += int(c-'0') * (10 - i)
		}
		if check := (11 - sum%11) % 11; check < 10 && stem < 1_000_000_000 {
			return fmt.Sprintf("%s%d", digits, check)
		}
	}
}
