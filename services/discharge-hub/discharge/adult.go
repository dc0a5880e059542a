package discharge

import "time"

// AdultOn says whether somebody was 18 or older on a calendar date (YYYY-MM-DD). A birth date may be a month or a year only
// (YYYY-MM, YYYY); it decides if every day of it would decide alike. Who is born on 29 February comes of age on 1 March
// (Family Law Reform Act 1969 s.9 with the common law's reckoning).
func AdultOn(birth, on string) Adult {
	day, err := time.Parse(time.DateOnly, on)
	if err != nil {
		return AdultUnknown
	}
	for _, layout := range []struct {
		form                string
		years, months, days int
	}{{time.DateOnly, 0, 0, 1}, {"2006-01", 0, 1, 0}, {"2006", 1, 0, 0}} {
		first, err := time.Parse(layout.form, birth)
		if err != nil {
			continue
		}
		last := first.AddDate(layout.years, layout.months, layout.days).AddDate(0, 0, -1)
		switch {
		case first.After(day):
			return AdultUnknown
		case !last.AddDate(18, 0, 0).After(day):
			return AdultYes
		case first.AddDate(18, 0, 0).After(day):
			return AdultNo
		}
		return AdultUnknown
	}
	return AdultUnknown
}
