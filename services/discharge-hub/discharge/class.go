package discharge

import "strings"

// patientClass is what PV1-2 tells (HL7 table 0004).
type patientClass int

const (
	classUntold patientClass = iota
	classInpatient
	// classOther is emergency, outpatient, pre-admission and recurring: somebody who has no bed, or whose class was not put right yet.
	classOther
)

func classOf(t Told[string]) patientClass {
	switch t.Value {
	case "I":
		return classInpatient
	case "E", "O", "P", "R":
		return classOther
	}
	return classUntold
}

// classes are those of HL7 table 0004, by code and by name.
var classes = map[string]string{
	"I": "I", "INPATIENT": "I", "E": "E", "EMERGENCY": "E", "O": "O", "OUTPATIENT": "O", "P": "P", "PREADMIT": "P", "R": "R", "RECURRING": "R",
}

// tellClass takes a class of the standard. Local words say nothing.
func (f *Fact) tellClass(t Told[string]) {
	if code := classes[strings.ToUpper(t.Value)]; code != "" {
		f.Class = Tell(code)
	}
}
