package pickup

import "time"

// Contact says whether anybody may contact the person.
type Contact string

const (
	ContactAllowed Contact = "allowed"
	// ContactHeld waits for the hub, since facts about death contradict one another.
	ContactHeld Contact = "held"
	// ContactStopped is for a person who has died.
	ContactStopped Contact = "stopped"
)

// Resolution is the hub's decision where facts about death contradict one another. It holds while they do.
type Resolution struct {
	Died bool      `json:"died"`
	At   time.Time `json:"at"`
}

// contact follows what is known of death: death stops contact at once, a contradiction holds it until the hub has decided, and a
// correction allows it again. A worker who records that the person died stops it too.
//
// Source: design §5, "Death".
func contact(s Spell, resolved *Resolution, ending Ending) Contact {
	switch {
	case hasDied(s, resolved) || ending == EndingDied:
		return ContactStopped
	case s.Death == DeathContradictory && resolved == nil:
		return ContactHeld
	}
	return ContactAllowed
}

// hasDied says whether the rules go by the person's death: as the hospital told it, or as the hub resolved a contradiction.
func hasDied(s Spell, resolved *Resolution) bool {
	return s.Death == DeathDied || s.Death == DeathContradictory && resolved != nil && resolved.Died
}
