package discharge

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

// tellClass takes a class of the standard. Local words say nothing.
func (f *Fact) tellClass(t Told[string]) {
	switch t.Value {
	case "I", "E", "O", "P", "R":
		f.Class = t
	}
}
