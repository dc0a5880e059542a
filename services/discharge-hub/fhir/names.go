package fhir

// The names of others that are read and written.
const (
	NHSNumberSystem = "https://fhir.nhs.uk/Id/nhs-number"
	ODSSystem       = "https://fhir.nhs.uk/Id/ods-organization-code"
	SiteSystem      = "https://fhir.nhs.uk/Id/ods-site-code"

	verificationStatus = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSNumberVerificationStatus"
	dischargeMethod    = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-DischargeMethod"
	methodSystem       = "https://fhir.hl7.org.uk/CodeSystem/UKCore-DischargeMethodEngland"

	// plannedEndDate is R5's Encounter.plannedEndDate as R4 may carry it (FHIR R5, extensions for converting between versions).
	plannedEndDate = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Encounter.plannedEndDate"

	// errorCodes are the codes REC_… of Booking and Referrals.
	errorCodes = "https://fhir.nhs.uk/CodeSystem/http-error-codes"
)

// Base begins the names of what no standard has.
const Base = "https://homeward-care.github.io/fhir"

// Homeward's own extensions and code systems.
const (
	criteriaToReside = Base + "/StructureDefinition/criteria-to-reside"
	pathwayExtension = Base + "/StructureDefinition/discharge-pathway"

	EventSystem     = Base + "/CodeSystem/handover-event"
	StatusSystem    = Base + "/CodeSystem/handover-status"
	ReasonSystem    = Base + "/CodeSystem/handover-reason"
	OutputSystem    = Base + "/CodeSystem/handover-output"
	ReferenceSystem = Base + "/Id/handover-reference"
	TeamSystem      = Base + "/Id/team"
)
