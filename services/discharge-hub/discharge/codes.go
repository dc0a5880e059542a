package discharge

import "strings"

// methods is the NHS Data Dictionary's discharge method; 2 is retired and still sent.
var methods = map[string]string{
	"1": "on clinical advice or with clinical consent",
	"2": "self-discharged or by a relative (retired code)",
	"3": "by a tribunal or court",
	"4": "died",
	"5": "stillbirth",
	"6": "self-discharged",
	"7": "discharged by a relative or advocate",
	"8": "not applicable, not finished",
	"9": "not known",
}

// destinations is the NHS Data Dictionary's discharge destination. The two code sets have no code in common, which is how swapped
// fields are recognised.
var destinations = map[string]string{
	"19": "usual place of residence",
	"29": "temporary place of residence",
	"37": "court",
	"38": "penal establishment or police station",
	"49": "other NHS hospital, high security psychiatric",
	"50": "other NHS hospital, medium secure",
	"51": "other NHS hospital, general or younger physically disabled ward",
	"52": "other NHS hospital, maternity or neonates",
	"53": "other NHS hospital, mental health or learning disabilities ward",
	"54": "NHS run care home",
	"65": "local authority residential accommodation",
	"66": "local authority foster care",
	"79": "not applicable, died or stillbirth",
	"84": "non-NHS hospital, medium secure",
	"85": "non-NHS care home",
	"87": "non-NHS hospital",
	"88": "hospice",
	"98": "not applicable",
	"99": "not known",
}

// outcome is what PV1-36 and PV1-37 say together.
type outcome struct {
	method, destination Told[string]
	deadInText          bool
	flags               []string
}

// readOutcome reads the two fields by the feed's tables and the national codes. Where each holds a code of the other set, or one
// of them does and the other is blank, they are swapped. Words instead of codes that speak of death, and a code of death in the wrong
// field, are reported; any other unknown text says nothing and is flagged.
func readOutcome(m Mapping, method, destination Told[string]) outcome {
	method, destination = coded(m.Methods, method), coded(m.Destinations, destination)
	var o outcome
	misplaced := func(t Told[string], own, other map[string]string) bool {
		return t.HasValue() && own[t.Value] == "" && other[t.Value] != ""
	}
	first, second := misplaced(method, methods, destinations), misplaced(destination, destinations, methods)
	if first && (second || !destination.HasValue()) || second && !method.HasValue() {
		method, destination = destination, method
		o.flags = append(o.flags, FlagSwapped)
	}
	keep := func(t Told[string], set map[string]string, flag string) Told[string] {
		switch {
		case !t.HasValue() || set[t.Value] != "":
			return t
		case speaksOfDeath(t.Value), deathCode(t.Value):
			o.deadInText = true
		default:
			o.flags = append(o.flags, flag)
		}
		return Told[string]{}
	}
	o.method = keep(method, methods, FlagMethodUnknown)
	o.destination = keep(destination, destinations, FlagDestinationUnknown)
	return o
}

// coded turns a local code into a national one. A method may be sent with a leading zero.
func coded(table map[string]string, t Told[string]) Told[string] {
	if !t.HasValue() {
		return t
	}
	if national, ok := table[t.Value]; ok {
		return Tell(national)
	}
	if len(t.Value) == 2 && t.Value[0] == '0' {
		return Tell(t.Value[1:])
	}
	return t
}

// deathCode tells whether a method or destination says that the person died or was never alive.
func deathCode(code string) bool { return code == "4" || code == "5" || code == "79" }

// speaksOfDeath finds the words that wards type into coded fields.
func speaksOfDeath(text string) bool {
	for word := range strings.FieldsFuncSeq(strings.ToLower(strings.ReplaceAll(text, ".", "")), func(r rune) bool {
		return r < 'a' || r > 'z'
	}) {
		switch word {
		case "dead", "died", "deceased", "death", "rip":
			return true
		}
	}
	return false
}
