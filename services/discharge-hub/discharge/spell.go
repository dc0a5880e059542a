package discharge

import "time"

// Scope says whom a feed is about.
type Scope string

const (
	// ScopeSocialCare is only people in whom social care is involved.
	ScopeSocialCare Scope = "social-care"
	// ScopeWholeHospital is everybody whom the hospital discharges.
	ScopeWholeHospital Scope = "whole-hospital"
	// ScopeNotTold is for a person's hand: a correction of somebody's postcode says nothing about whether social care is involved.
	ScopeNotTold Scope = "not-told"
)

// Status is where the person is, as the hospital tells it.
type Status string

const (
	InHospital Status = "in-hospital"
	Discharged Status = "discharged"
	// NotAdmitted is a visit that is no stay: an admission that is expected, or somebody in A&E or a clinic.
	NotAdmitted Status = "not-admitted"
	// Voided says that the admission was cancelled: the spell never was.
	Voided Status = "voided"
)

// Adult says whether the person was 18 or older at discharge.
type Adult string

const (
	AdultYes     Adult = "yes"
	AdultNo      Adult = "no"
	AdultUnknown Adult = "unknown"
)

// Death says what the facts about death amount to; see DecideDeath.
type Death string

const (
	DeathNone Death = "none"
	DeathDied Death = "died"
	// DeathContradictory holds contact until the hub has decided.
	DeathContradictory Death = "contradictory"
)

// Involvement is a way in which social care is known to be involved.
type Involvement string

const (
	HubReferral    Involvement = "hub-referral"
	CouncilPackage Involvement = "council-package"
	// OnPathway is discharge-to-assess pathway 1, 2 or 3.
	OnPathway Involvement = "pathway"
)

// CriteriaToReside says whether the person needs the hospital's bed, by the national criteria; empty when not told.
type CriteriaToReside string

const (
	CriteriaMet    CriteriaToReside = "met"
	CriteriaNotMet CriteriaToReside = "not-met"
)

// involvements is every involvement in the order in which a snapshot lists them.
var involvements = [...]Involvement{HubReferral, CouncilPackage, OnPathway}

// Spell is the snapshot that is published of a spell, as homeward.discharge.v1.Spell describes it: ids, codes and dates, nothing
// about who the person is.
type Spell struct {
	SpellID                 string
	Reference               string
	Provider                string
	Feed                    string
	Scope                   Scope
	Status                  Status
	AdmittedAt              time.Time // zero when not told
	Discharge               *Discharge
	Site                    string
	PracticeCode            string
	PracticeCodeLater       string // told as taking effect after the discharge, where it differs
	HomePostcodeSector      string
	HomePostcodeSectorLater string // told as taking effect after the discharge, where it differs
	NoFixedAbode            bool
	// DestinationPostcodeSector is the postcode sector of the discharge address where it is not the home's.
	DestinationPostcodeSector string
	Adult                     Adult
	Death                     Death
	Involvements              []Involvement
	Pathway                   string // "0" to "3", empty when not told
	// ExpectedDischargeOn is the calendar date in London, YYYY-MM-DD, on which the hospital expects the person to leave, while they are there.
	ExpectedDischargeOn string
	CriteriaToReside    CriteriaToReside
	// ReadyOn is the discharge ready date, YYYY-MM-DD in London: since when the criteria to reside are not met.
	ReadyOn     string
	Flags       []string
	DataVersion string
}

// Discharge is the end of a spell that holds now.
type Discharge struct {
	At          time.Time
	On          string // calendar date in London, YYYY-MM-DD
	Method      string
	Destination string
	// Number counts the discharges of the spell, cancelled ones included: 1 at first. A correction is no new discharge.
	Number int
}

// Person is who somebody is, as last told. It stays in the hub and is never published.
type Person struct {
	PatientNumber   string
	NHSNumber       string // valid, or empty
	NHSNumberStatus string // PID-32, 01 is present and verified
	FamilyName      string
	GivenName       string
	BirthDate       string // YYYY-MM-DD, YYYY-MM or YYYY
	Postcode        string
	Practice        string
	DiedAt          time.Time
	DeathIndicator  string // "yes", "no" or empty
	Ward            string // as last told; moving to another makes no new version of the spell
}
