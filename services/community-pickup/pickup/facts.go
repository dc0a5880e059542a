package pickup

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Inputs are the newest snapshots that are known of one spell. A nil snapshot has not been learned of.
type Inputs struct {
	Spell      *Spell      `json:"spell,omitempty"`
	Assessment *Assessment `json:"assessment,omitempty"`
	Need       *Need       `json:"need,omitempty"`
}

// Stamp orders the snapshots of one aggregate: by the producer's epoch, then by version.
type Stamp struct {
	Epoch   int32 `json:"epoch"`
	Version int64 `json:"version"`
}

// After says whether the snapshot with this stamp replaces one with the other.
func (s Stamp) After(other Stamp) bool {
	return s.Epoch > other.Epoch || s.Epoch == other.Epoch && s.Version > other.Version
}

// Spell is discharge-hub's snapshot of a hospital provider spell (homeward.discharge.v1.Spell): ids, codes and dates only.
type Spell struct {
	Stamp
	SpellID     string        `json:"spell_id"` // a UUID
	Reference   string        `json:"reference"`
	Scope       Scope         `json:"scope"`
	Status      SpellStatus   `json:"status"`
	Discharge   *Discharge    `json:"discharge,omitempty"`
	Practice    string        `json:"practice,omitempty"` // ODS code as told for the time of discharge
	HomeSector  string        `json:"home_sector,omitempty"`
	NoAbode     bool          `json:"no_fixed_abode,omitempty"`
	DestSector  string        `json:"destination_sector,omitempty"` // where it is not the home address
	Adult       Adult         `json:"adult"`
	Death       Death         `json:"death"`
	Involved    []Involvement `json:"involvements,omitempty"`
	Pathway     Pathway       `json:"pathway,omitempty"`
	Flags       []string      `json:"flags,omitempty"`
	DataVersion string        `json:"data_version,omitempty"`
	// What the hospital told as taking effect after the discharge: shown, never routed by.
	PracticeLater   string `json:"practice_later,omitempty"`
	HomeSectorLater string `json:"home_sector_later,omitempty"`
}

// Discharge is the end of a spell that holds now.
type Discharge struct {
	// At is the actual moment; its date is taken in the place's zone.
	At          time.Time `json:"at"`
	Method      string    `json:"method,omitempty"`      // NHS Data Dictionary discharge method
	Destination string    `json:"destination,omitempty"` // NHS Data Dictionary discharge destination
	// Number is how often the spell was discharged, cancellations included.
	Number int `json:"number"`
}

// Assessment is light-touch-assessment's snapshot for the spell (homeward.assessment.v1.Assessment).
type Assessment struct {
	Stamp
	SpellID string           `json:"spell_id"`
	Status  AssessmentStatus `json:"status"`
	// UnmetBeforeLeaving counts the conditions that had to be met before leaving and were not.
	UnmetBeforeLeaving int       `json:"unmet_before_leaving,omitempty"`
	RequestedAt        time.Time `json:"requested_at,omitzero"`
	CompletedAt        time.Time `json:"completed_at,omitzero"`
}

// Need is reablement-capacity's snapshot for the spell (homeward.reablement.v1.Need).
type Need struct {
	Stamp
	SpellID      string     `json:"spell_id"`
	Status       NeedStatus `json:"status"`
	PlannedEndOn Date       `json:"planned_end_on,omitempty"`
}

// Scope says whom a feed is about.
type Scope string

const (
	ScopeSocialCare    Scope = "social-care"
	ScopeWholeHospital Scope = "whole-hospital"
)

// SpellStatus is where the person is, as the hospital tells it.
type SpellStatus string

const (
	SpellInHospital SpellStatus = "in-hospital"
	SpellDischarged SpellStatus = "discharged"
	// SpellVoided is an admission that was cancelled: the spell never was.
	SpellVoided SpellStatus = "voided"
	// SpellNotAdmitted is an admission that is expected, or a visit to A&E or a clinic.
	SpellNotAdmitted SpellStatus = "not-admitted"
)

// Adult says whether the person was 18 or older at discharge. Unknown is treated as adult, and flagged.
type Adult string

const (
	AdultYes     Adult = "yes"
	AdultNo      Adult = "no"
	AdultUnknown Adult = "unknown"
)

// Death is what the hospital told about death.
type Death string

const (
	DeathNone          Death = "none"
	DeathDied          Death = "died"
	DeathContradictory Death = "contradictory"
)

// Involvement is a way in which social care is known to be involved.
type Involvement string

const (
	InvolvedHubReferral    Involvement = "hub-referral"
	InvolvedCouncilPackage Involvement = "council-package"
	InvolvedPathway        Involvement = "pathway"
	InvolvedAssessment     Involvement = "light-touch-assessment"
	InvolvedReablement     Involvement = "reablement-request"
	InvolvedFeed           Involvement = "social-care-feed"
)

// Pathway is the discharge-to-assess pathway, "0" to "3"; empty when not told.
type Pathway string

// AssessmentStatus is how far the light-touch assessment is.
type AssessmentStatus string

const (
	AssessmentRequested  AssessmentStatus = "requested"
	AssessmentComplete   AssessmentStatus = "complete"
	AssessmentDeclined   AssessmentStatus = "declined-by-person"
	AssessmentSuperseded AssessmentStatus = "superseded"
)

// NeedStatus is how far the need for reablement is met.
type NeedStatus string

const (
	NeedRequested NeedStatus = "requested"
	NeedHeld      NeedStatus = "held"
	NeedAccepted  NeedStatus = "accepted"
	NeedStarted   NeedStatus = "started"
	NeedWithdrawn NeedStatus = "withdrawn"
)

// Validate says what makes the snapshots unusable: what breaks the contract with their producer and that no rule could decide.
// Whatever else is missing or odd is decided, flagged or left to the hub.
func (in Inputs) Validate() error {
	var problems []error
	var ids []string
	if s := in.Spell; s != nil {
		ids = append(ids, s.SpellID)
		if !slices.Contains([]SpellStatus{SpellInHospital, SpellDischarged, SpellVoided, SpellNotAdmitted}, s.Status) {
			problems = append(problems, fmt.Errorf("spell %s: status %q is unknown: community-pickup may need an upgrade", s.SpellID, s.Status))
		}
		if s.Status == SpellDischarged && (s.Discharge == nil || s.Discharge.At.IsZero()) {
			problems = append(problems, fmt.Errorf("spell %s: discharged without a time of discharge: discharge-hub must send one", s.SpellID))
		}
		if s.Discharge != nil && !ofThisAge(s.Discharge.At) {
			problems = append(problems, fmt.Errorf("spell %s: discharged in the year %d: discharge-hub must send a time of this age", s.SpellID, s.Discharge.At.Year()))
		}
	}
	if a := in.Assessment; a != nil {
		ids = append(ids, a.SpellID)
		if !ofThisAge(a.RequestedAt) || !ofThisAge(a.CompletedAt) {
			problems = append(problems, fmt.Errorf("assessment %s: requested or completed in another age: light-touch-assessment must send times of this one", a.SpellID))
		}
	}
	if n := in.Need; n != nil {
		ids = append(ids, n.SpellID)
		if n.PlannedEndOn != "" {
			if _, err := ParseDate(string(n.PlannedEndOn)); err != nil {
				problems = append(problems, fmt.Errorf("reablement need %s: planned end: %w", n.SpellID, err))
			}
		}
	}
	if len(ids) == 0 {
		problems = append(problems, errors.New("no snapshot: give a spell, an assessment or a reablement need"))
	}
	for _, id := range ids {
		if _, err := uuid.Parse(id); err != nil {
			problems = append(problems, fmt.Errorf("spell id %q is not a UUID: the producer must send one", id))
		}
		if id != ids[0] {
			problems = append(problems, fmt.Errorf("snapshots of two spells, %s and %s: decide each on its own", ids[0], id))
		}
	}
	return errors.Join(problems...)
}

// ofThisAge says whether a time is not told, or is one from which days can be counted and which can be stored: years have four digits,
// in a Date and in JSON. The limits are those by which discharge-hub reads the times of hospitals.
func ofThisAge(at time.Time) bool {
	return at.IsZero() || at.Year() >= 1850 && at.Year() <= 2200
}

// newest keeps, of each snapshot, the one with the later stamp.
func (in Inputs) newest(given Inputs) Inputs {
	if s := given.Spell; s != nil && (in.Spell == nil || s.After(in.Spell.Stamp)) {
		in.Spell = s
	}
	if a := given.Assessment; a != nil && (in.Assessment == nil || a.After(in.Assessment.Stamp)) {
		in.Assessment = a
	}
	if n := given.Need; n != nil && (in.Need == nil || n.After(in.Need.Stamp)) {
		in.Need = n
	}
	return in
}

func (in Inputs) spellID() string {
	switch {
	case in.Spell != nil:
		return in.Spell.SpellID
	case in.Assessment != nil:
		return in.Assessment.SpellID
	case in.Need != nil:
		return in.Need.SpellID
	}
	return ""
}

// code is an organisation code or postcode sector as the tables write them.
func code(text string) string {
	return strings.ToUpper(strings.Join(strings.Fields(text), " "))
}

// district is the part of a postcode sector before the space.
func district(sector string) string {
	before, _, _ := strings.Cut(sector, " ")
	return before
}
