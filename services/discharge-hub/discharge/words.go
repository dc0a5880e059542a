package discharge

import (
	"regexp"
	"strings"
)

// words are what the rules name in HL7's words, and what the other doors call the same: an element of a FHIR resource and a field of
// RecordEventRequest. Where a door cannot tell a thing, HL7's word stays.
var words = []struct{ hl7, fhir, event string }{
	{"PV1-19", "Encounter.identifier", "visit_number"},
	{"PV1-44", "Encounter.period.start", "admitted_at"},
	{"PV1-45", "Encounter.period.end", "discharged_at"},
	{"PID-29", "Patient.deceasedDateTime", "person.died_at"},
	{"PID-30", "Patient.deceasedBoolean", "person.death_indicator"},
	{"PID-3", "Patient.identifier", "patient_number"},
	{"MRG-1", "Patient.link", "prior_patient_number"},
	{"MRG-5", "Encounter.identifier", "visit_number"},
	{"EVN-1", "Encounter.status", "kind"},
	{"EVN-2", "Bundle.timestamp", "recorded_at"},
	{"EVN-6", "Encounter.period.end", "effective_at"},
	{"MSH-4", "Encounter.identifier", "feed"},
	{"MSH-7", "Bundle.timestamp", "recorded_at"},
	{"A03", "status finished", "EVENT_KIND_DISCHARGE"},
	{"A13", "status in-progress after finished", "EVENT_KIND_CANCEL_DISCHARGE"},
	{"A07", "class AMB after IMP", "EVENT_KIND_TO_OUTPATIENT"},
	{"A23", "status entered-in-error", "A23"},
	{"A29", "active false", "A29"},
	{"A40", "Patient.link", "EVENT_KIND_MERGE"},
}

var wordPattern, fhirWords, eventWords = func() (*regexp.Regexp, map[string]string, map[string]string) {
	var names []string
	fhir, event := map[string]string{}, map[string]string{}
	for _, w := range words {
		names = append(names, w.hl7)
		fhir[w.hl7], event[w.hl7] = w.fhir, w.event
	}
	return regexp.MustCompile(`\b(?:` + strings.Join(names, "|") + `)\b`), fhir, event
}()

// InWordsOf returns a text of the rules, such as the detail of an exception, in the words of a door. Only whole words are replaced: a visit number
// may have A03 in it.
func InWordsOf(door Door, text string) string {
	switch door {
	case DoorFHIR:
		return wordPattern.ReplaceAllStringFunc(text, func(name string) string { return fhirWords[name] })
	case DoorGRPC:
		return wordPattern.ReplaceAllStringFunc(text, func(name string) string { return eventWords[name] })
	}
	return text
}

// At is the problem in the words of the door at which the message came in: whoever is to mend it has that message before them.
func (p Problem) At(door Door) Problem {
	return Problem{p.Kind, InWordsOf(door, p.Where), InWordsOf(door, p.Found), InWordsOf(door, p.Do)}
}
