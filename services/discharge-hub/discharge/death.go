package discharge

// DeathFacts is everything a hospital may say about death, as it stands now.
type DeathFacts struct {
	Indicator Told[bool]   // PID-30
	DiedAt    Told[Moment] // PID-29
	// Of the discharge that holds.
	Method, Destination string
	// DeadInText says that PV1-36 or PV1-37 holds words such as "Died" instead of a code, or a code of death that belongs in the other.
	DeadInText bool
	// Unclear says that PID-30 holds words such as "Deceased", or PID-29 something that is no time, such as "YES".
	Unclear bool
	// Impossible says that nobody can have died at that time: before their birth, more than a day before they came in, or more than a day
	// after it was recorded. Systems write null dates such as 19000101, and people mistype years.
	Impossible bool
}

// DecideDeath says what the facts about death amount to. It looks at what stands, not at the order in which it was told:
//
//	PID-30 yes, method 4 or 5, or destination 79          died: any one of them is enough
//	else PID-29 with PID-30 no, or at an impossible time  contradictory
//	else PID-29 with PID-30 blank                         died: nobody types a time of death by default
//	else death in words or in the wrong place             contradictory
//	else                                                  none
//
// A method or destination of death outweighs PID-30 no, because many systems send N until a clerk changes it. A correction back to
// none therefore takes all three: PID-30 no (or cleared), PID-29 cleared, and a discharge that is not by death (design §5).
//
// A time of death may be told to the month or the year. What is in the wrong place or can't be read is never taken for a death nor passed
// over: in PV1-36 and 37 it stands until both are told anew, in PID-29 and 30 until a later message tells or clears either.
func DecideDeath(f DeathFacts) Death {
	switch {
	case f.Indicator.HasValue() && f.Indicator.Value, deathCode(f.Method), deathCode(f.Destination):
		return DeathDied
	case f.DiedAt.HasValue() && (f.Indicator.HasValue() || f.Impossible):
		return DeathContradictory
	case f.DiedAt.HasValue():
		return DeathDied
	case f.DeadInText, f.Unclear:
		return DeathContradictory
	}
	return DeathNone
}
