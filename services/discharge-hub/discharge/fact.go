package discharge

import "time"

// Fact is what one message says, whichever door it came through, in our words. It is stored as JSON beside the raw message, is
// never changed, and is all that the fold sees. One of a person (Kind.OfPerson) has no spell id: it is about each spell of the person.
type Fact struct {
	Feed     string `json:"feed"`
	Provider string `json:"provider"`
	Scope    Scope  `json:"scope"`
	// DataVersion is the version of the feed's mapping that read the message.
	DataVersion string `json:"data_version"`
	SpellID     string `json:"spell_id,omitzero"`
	Kind        Kind   `json:"kind"`
	ControlID   string `json:"control_id"` // MSH-10
	Digest      string `json:"digest"`     // of the raw message
	// Recorded is when the hospital recorded it (EVN-2, or MSH-7 where that knows better). It alone orders the facts.
	Recorded time.Time `json:"recorded"`
	// Effective is when it took effect (EVN-6); in a cancel it is the time of what is cancelled. Zero when not told.
	Effective Moment `json:"effective,omitzero"`

	VisitNumber     string       `json:"visit_number,omitzero"`   // PV1-19
	PatientNumber   string       `json:"patient_number,omitzero"` // PID-3, the provider's own
	PriorNumber     string       `json:"prior_number,omitzero"`   // MRG-1, the provider's own: merged into PatientNumber, or whose visit it was
	NHSNumber       Told[string] `json:"nhs_number,omitzero"`     // valid ones only
	NHSNumberStatus Told[string] `json:"nhs_number_status,omitzero"`
	FamilyName      Told[string] `json:"family_name,omitzero"`
	GivenName       Told[string] `json:"given_name,omitzero"`
	BirthDate       Told[string] `json:"birth_date,omitzero"`
	Postcode        Told[string] `json:"postcode,omitzero"`
	NoFixedAbode    bool         `json:"no_fixed_abode,omitzero"`
	Practice        Told[string] `json:"practice,omitzero"`
	DiedAt          Told[Moment] `json:"died_at,omitzero"` // a zero moment is a death whose day is not known
	DeathIndicator  Told[bool]   `json:"death_indicator,omitzero"`
	DeathUnclear    bool         `json:"death_unclear,omitzero"` // words in PID-30, or no readable time in PID-29

	AdmittedAt          Told[Moment] `json:"admitted_at,omitzero"`   // PV1-44
	DischargedAt        Told[Moment] `json:"discharged_at,omitzero"` // PV1-45
	Method              Told[string] `json:"method,omitzero"`
	Class               Told[string] `json:"class,omitzero"`              // PV1-2, where it is a code
	ExpectedDischarge   Told[Moment] `json:"expected_discharge,omitzero"` // PV2-9
	Destination         Told[string] `json:"destination,omitzero"`
	DeadInText          bool         `json:"dead_in_text,omitzero"` // words of death, or its code, where another code belongs
	DestinationPostcode Told[string] `json:"destination_postcode,omitzero"`
	Site                Told[string] `json:"site,omitzero"`
	Ward                Told[string] `json:"ward,omitzero"`

	Pathway      Told[string]  `json:"pathway,omitzero"`
	Involvements []Involvement `json:"involvements,omitempty"`
	Withdrawn    []Involvement `json:"withdrawn,omitempty"` // told before, and taken back
	// MeetsCriteria says whether the criteria to reside are met; when they are not, ReadyAt says since when.
	MeetsCriteria Told[bool]   `json:"meets_criteria,omitzero"`
	ReadyAt       Told[Moment] `json:"ready_at,omitzero"`
	// Flags are what is doubtful about this message, by code.
	Flags []string `json:"flags,omitempty"`
}

// moment is when the fact took effect as far as is known.
func (f *Fact) moment() Moment {
	if !f.Effective.IsZero() {
		return f.Effective
	}
	return Moment{At: f.Recorded}
}

// flag adds a flag once.
func (f *Fact) flag(code string) {
	for _, have := range f.Flags {
		if have == code {
			return
		}
	}
	f.Flags = append(f.Flags, code)
}
