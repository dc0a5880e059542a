package discharge

import "slices"

// flagSet is flags that stand.
type flagSet []string

// source says of a flag when a later message without it makes it untrue: when that message tells the same thing properly.
type source struct {
	flag string
	told func(*Fact) bool
}

var personFlags = []source{
	{FlagNHSNumberInvalid, func(f *Fact) bool { return f.NHSNumber.Said }},
	{FlagBirthDateUnreadable, func(f *Fact) bool { return f.BirthDate.Said }},
	{FlagPostcodeUnreadable, func(f *Fact) bool { return f.Postcode.Said }},
	{FlagAddressUnknown, func(f *Fact) bool { return f.Postcode.Said }},
	{FlagPracticeUnreadable, func(f *Fact) bool { return f.Practice.Said }},
	{FlagNoPractice, func(f *Fact) bool { return f.Practice.Said }},
	{FlagIndicatorUnreadable, func(f *Fact) bool { return f.DeathIndicator.Said }},
}

func personFlag(flag string) bool {
	return slices.ContainsFunc(personFlags, func(s source) bool { return s.flag == flag })
}

var leavingFlags = []source{
	{FlagSwapped, func(f *Fact) bool { return f.Method.Said && f.Destination.Said }},
	{FlagMethodUnknown, func(f *Fact) bool { return f.Method.Said }},
	{FlagDestinationUnknown, func(f *Fact) bool { return f.Destination.Said }},
}

// after returns the flags that stand after a fact.
func (s flagSet) after(f *Fact, sources []source) flagSet {
	if len(s) == 0 && len(f.Flags) == 0 {
		return s
	}
	var out flagSet
	for _, src := range sources {
		raised := slices.Contains(f.Flags, src.flag)
		if raised || slices.Contains(s, src.flag) && !src.told(f) {
			out = append(out, src.flag)
		}
	}
	return out
}
