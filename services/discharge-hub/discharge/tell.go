package discharge

import (
	"strings"
	"time"
)

// The tell methods put checked values into a fact. They are the same for every door: what does not pass becomes a flag and says
// nothing, so that a bad value never overwrites a good one.

func (f *Fact) tellNHSNumber(t Told[string]) {
	if t.HasValue() {
		t.Value = compactNHSNumber(t.Value)
		if !ValidNHSNumber(t.Value) {
			f.flag(FlagNHSNumberInvalid)
			return
		}
	}
	f.NHSNumber = f.NHSNumber.then(t)
}

// tellBirthDate takes YYYYMMDD with or without a time behind it, YYYYMM, YYYY, and the same with hyphens.
func (f *Fact) tellBirthDate(t Told[string]) {
	if !t.HasValue() {
		f.BirthDate = t
		return
	}
	s := strings.ReplaceAll(t.Value, "-", "")
	if len(s) > 8 {
		s = s[:8]
	}
	for _, form := range [...]struct{ in, out string }{{"20060102", time.DateOnly}, {"200601", "2006-01"}, {"2006", "2006"}} {
		if day, err := time.Parse(form.in, s); err == nil && day.Year() > 1850 {
			f.BirthDate = Tell(day.Format(form.out))
			return
		}
	}
	f.flag(FlagBirthDateUnreadable)
}

func (f *Fact) tellPostcode(t Told[string]) {
	if !t.HasValue() {
		f.Postcode = t
		return
	}
	p := NormalPostcode(t.Value)
	switch {
	case p == noFixedAbode, strings.EqualFold(strings.TrimSpace(t.Value), "ZZ99"):
		f.NoFixedAbode = true
		f.Postcode = Tell(noFixedAbode)
	case p == "":
		f.flag(FlagPostcodeUnreadable)
	default:
		if strings.HasPrefix(p, "ZZ99") {
			f.flag(FlagAddressUnknown)
		}
		f.Postcode = Tell(p)
	}
}

func (f *Fact) tellPractice(t Told[string]) {
	if !t.HasValue() {
		f.Practice = t
		return
	}
	switch code := PracticeCode(t.Value); code {
	case "":
		f.flag(FlagPracticeUnreadable)
	case noPractice, notApplicable:
		f.flag(FlagNoPractice)
		f.Practice = Clear[string]()
	case unknownPractice:
	default:
		f.Practice = Tell(code)
	}
}

// tellWard takes a ward's code. People type texts and numbers into its place, and those say nothing.
func (f *Fact) tellWard(t Told[string]) {
	if !t.HasValue() || wardCode(t.Value) {
		f.Ward = t
	}
}

func (f *Fact) tellDeathIndicator(t Told[string]) {
	if !t.HasValue() {
		f.DeathIndicator = Told[bool]{Said: t.Said, Cleared: t.Cleared}
		return
	}
	switch strings.ToUpper(t.Value) {
	case "Y", "YES", "1", "T", "TRUE":
		f.DeathIndicator = Tell(true)
	case "N", "NO", "0", "F", "FALSE":
		f.DeathIndicator = Tell(false)
	default:
		f.flag(FlagIndicatorUnreadable)
		f.DeathUnclear = f.DeathUnclear || speaksOfDeath(t.Value) || strings.EqualFold(t.Value, "D")
	}
}

func (f *Fact) tellOutcome(m Mapping, method, destination Told[string]) {
	o := readOutcome(m, method, destination)
	f.Method, f.Destination, f.DeadInText = o.method, o.destination, o.deadInText
	for _, code := range o.flags {
		f.flag(code)
	}
}

// tellPathway takes 0 to 3, with a P or the word before it, or what the feed's table knows. Anything else says nothing.
func (f *Fact) tellPathway(m Mapping, t Told[string]) {
	if t.HasValue() {
		if code, ok := m.Pathways[t.Value]; ok {
			t.Value = code
		} else {
			t.Value = strings.TrimSpace(strings.TrimLeft(strings.ToUpper(t.Value), "PATHWY "))
		}
		if pathways[t.Value] == "" {
			return
		}
	}
	f.Pathway = t
}
