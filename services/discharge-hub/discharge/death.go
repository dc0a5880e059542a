package discharge

// DeathFacts is everything a hospital may say about death, as it stands now.
type DeathFacts struct {
	Indicator Told[bool]   // PID-30
	DiedAt    Told[Moment] // PID-29
	// Of the discharge that holds.
	Method, Destination string
	// DeadInText says that PV1-36 or PV1-37 holds words such as "Died" instead of a code.
	DeadInText bool
}

// DecideDeath says what the facts about death amount to. It looks at what stands, not at the order in which it was told:
//
//	PID-30 yes, method 4 or 5, or destination 79          died: any one of them is enough
//	else PID-29 with PID-30 no                            contradictory
//	else PID-29 with PID-30 blank                         died: nobody types a time of death by default
//	else words of death in a coded field                  contradictory
//	else                                                  none
//
// A method or destination of death outweighs PID-30 no, because many systems send N until a clerk changes it. A correction back to
// none therefore takes all three: PID-30 no (or cleared), PID-29 cleared, and a discharge that is not by death (design §5).
func DecideDeath(f DeathFacts) Death {
	switch {
	case f.Indicator.HasValue() && f.Indicator.Value,
		f.Method == "4", f.Method == "5", f.Destination == "79":
		return DeathDied
	case f.DiedAt.HasValue() && f.Indicator.HasValue():
		return DeathContradictory
	case f.DiedAt.HasValue():
		return DeathDied
	case f.DeadInText:
		return DeathContradictory
	}
	return DeathNone
}
