package discharge

// Withdrawn is the state of a spell of which nothing holds: every message that told of it was corrected into one about another spell. It is
// voided, so that what was decided about it is taken back; left is what the last of those messages said.
func Withdrawn(left Fact) State {
	return State{Recorded: left.Recorded, Spell: Spell{
		SpellID: left.SpellID, Reference: Reference(left.SpellID), Provider: left.Provider, Feed: left.Feed, DataVersion: left.DataVersion,
		Scope: scopeOf([]*Fact{&left}), Status: Voided, Adult: AdultUnknown, Death: DeathNone,
	}}
}
