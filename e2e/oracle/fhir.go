package oracle

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/homeward-care/homeward/e2e/hospital"
)

// fhirFeed is the FHIR door of the provider that has one.
const fhirFeed = "mse-fhir"

// ByFHIR is the stay with those messages sent to the provider's FHIR door that mean the same there: the others come by HL7, so that a stay
// is told at both doors. The FHIR door believes nothing that was recorded after now.
func (s Stay) ByFHIR(now time.Time) Stay {
	s.Messages = slices.Clone(s.Messages)
	for i, m := range s.Messages {
		if told, ok := ByFHIR(m, now); ok {
			s.Messages[i] = told
		}
	}
	return s
}

// ByFHIR writes a message of a hospital as FHIR, if it is a discharge or its cancellation of which FHIR tells the same. Its X-Request-ID is
// the control id.
func ByFHIR(m Told, now time.Time) (Told, bool) {
	discharged := m.Kind == "A03" && !m.Left.IsZero() && !m.ahead(m.Left) && !m.never(m.Left)
	cancelled := m.Kind == "A13" && m.Left.IsZero() && m.Dead == "" && m.Method+m.Destination == ""
	died := m.Dead == "Y" && !m.DiedAt.IsZero()
	plain := m.HL7 != nil && !m.Test && feeds[m.Feed].provider == feeds[fhirFeed].provider && m.Visit != "" && m.Class == "I" && m.Effective.IsZero() &&
		!m.Swapped && m.DeadWords == "" && !m.NotDied && (died || m.Dead == "" && m.DiedAt.IsZero()) &&
		m.Practice != hospital.Null && m.Postcode != hospital.Null && !m.Recorded.After(now)
	if !plain || !discharged && !cancelled {
		return m, false
	}
	body, err := json.Marshal(m.bundle())
	if err != nil {
		panic(err) // objects of texts can always be written
	}
	m.Feed, m.FHIR, m.HL7, m.Fields, m.Ward = fhirFeed, body, nil, nil, ""
	if died { // FHIR tells when, in the place of whether
		m.Dead = hospital.Null
	}
	return m, true
}

type object = map[string]any

// The systems by which the hub's feed mse-fhir knows its numbers, and the code systems of UK Core.
const (
	fhirBase    = "https://homeward-care.github.io/fhir"
	raj         = "https://fhir.example.nhs.uk/RAJ"
	nhsNumbers  = "https://fhir.nhs.uk/Id/nhs-number"
	odsCodes    = "https://fhir.nhs.uk/Id/ods-organization-code"
	methods     = "https://fhir.hl7.org.uk/CodeSystem/UKCore-DischargeMethodEngland"
	toWhere     = "https://fhir.hl7.org.uk/CodeSystem/UKCore-DischargeDestinationEngland"
	methodField = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-DischargeMethod"
)

func identifier(system, value string) object { return object{"system": system, "value": value} }

func coded(system, code string) object {
	return object{"coding": []object{{"system": system, "code": code}}}
}

// bundle is the message `discharged` or `discharge-cancelled`.
func (m Told) bundle() object {
	event, status := "discharge-cancelled", "in-progress"
	if m.Kind == "A03" {
		event, status = "discharged", "finished"
	}
	return object{"resourceType": "Bundle", "type": "message", "timestamp": m.Recorded.Format(time.RFC3339), "entry": []object{
		{"resource": object{"resourceType": "MessageHeader", "source": object{"endpoint": "urn:oracle"},
			"eventCoding": object{"system": fhirBase + "/CodeSystem/handover-event", "code": event}}},
		{"resource": m.patient()}, {"resource": m.encounter(status)},
	}}
}

func (m Says) encounter(status string) object {
	stay := object{"resourceType": "Encounter", "status": status, "class": object{"code": "IMP"}, "identifier": []object{identifier(raj+"/visit-number", m.Visit)}}
	period := object{}
	if !m.Admitted.IsZero() {
		period["start"] = m.Admitted.Format(time.RFC3339)
	}
	if status == "finished" {
		period["end"] = m.Left.Format(time.RFC3339)
	}
	stay["period"] = period
	if m.Destination != "" {
		stay["hospitalization"] = object{"dischargeDisposition": coded(toWhere, m.Destination)}
	}
	if m.Method != "" {
		stay["extension"] = []object{{"url": methodField, "valueCodeableConcept": coded(methods, m.Method)}}
	}
	return stay
}

func (m Says) patient() object {
	p := object{"resourceType": "Patient", "identifier": []object{identifier(raj+"/patient-number", m.Patient)},
		"name": []object{{"family": "ORACKLESBYE", "given": []string{"ORLANDYNE"}}}}
	if m.NHS != "" {
		p["identifier"] = append(p["identifier"].([]object), identifier(nhsNumbers, m.NHS))
	}
	if m.Born != "" {
		p["birthDate"] = m.Born
	}
	if m.Postcode != "" {
		p["address"] = []object{{"line": []string{"61 OSPREYNEST ROAD"}, "postalCode": m.Postcode}}
	}
	if m.Practice != "" {
		p["generalPractitioner"] = []object{{"identifier": identifier(odsCodes, m.Practice)}}
	}
	if m.Dead == "Y" {
		p["deceasedDateTime"] = m.DiedAt.Format(time.RFC3339)
	}
	return p
}
