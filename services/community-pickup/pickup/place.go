package pickup

import "time"

// Place is everything local that decides: one council's teams, dated directory, dated policy and calendar. It is data, loaded
// once and never changed; package places reads it from a folder.
type Place struct {
	Key  string // for instance "thurrock"
	Name string
	// Council is the key of the council whose place this is.
	Council string
	// Hub is the key of the team that decides what the rules can't.
	Hub  string
	Zone *time.Location
	// AssessmentRecord says where the statutory assessment is kept: "homeward" or "case-system".
	AssessmentRecord string
	DirectoryVersion string
	PolicyVersion    string

	Teams    map[string]Team
	Councils map[string]Council
	// Practices, PCNs and Postcodes hold the dated rows of a code, earliest first and never overlapping.
	Practices map[string][]Practice
	PCNs      map[string][]PCN
	// Postcodes is keyed by sector ("RM16 2") or district ("RM17"); a sector's rows win over its district's.
	Postcodes map[string][]Postcode
	// NotPractices are codes that hospitals send as a GP practice although they are none, with the reason.
	NotPractices map[string]string
	Policy       []PolicyRow
	// Thresholds are dated, earliest first.
	Thresholds []Thresholds
	// Holidays are the days on which nobody works beside Saturdays and Sundays, with their names.
	Holidays map[Date]string
	// HolidaysThrough is the last day up to which the holidays are known.
	HolidaysThrough Date
}

// Team is a Community Led Support team, or the hub.
type Team struct {
	Key  string
	Name string
}

// Council is a council with adult social care duties, ours or a neighbour's.
type Council struct {
	Key  string
	Name string
}

// Span is a time in which a row holds: both days included; an empty To is open.
type Span struct {
	From Date
	To   Date
}

// Holds says whether the day lies in the span.
func (s Span) Holds(day Date) bool {
	return s.From <= day && (s.To == "" || day <= s.To)
}

// Practice is the membership of a GP practice in a primary care network for a time.
type Practice struct {
	Span
	Code string // ODS code
	Name string
	PCN  string // ODS code of the network
}

// PCN is the team of a primary care network for a time.
type PCN struct {
	Span
	Code string // ODS code
	Name string
	Team string
}

// Postcode is what a postcode sector or district tells for a time.
type Postcode struct {
	Span
	Code string
	// Council is a council's key, or AskHub where the sector lies in more than one council.
	Council string
	// Team is a team's key, AskHub where more than one team works there, or empty outside the place.
	Team string
}

// AskHub stands in the postcode table where the table can't tell.
const AskHub = "hub"

// PolicyRow is one row of the policy: it matches when its span holds the day of discharge and all its conditions hold.
type PolicyRow struct {
	Span
	// Code is the reason that the outcome carries.
	Code string
	When []Condition
	Then Verdict
	// Text is the reason in words. {involvement}, {residence} and {council} are filled in.
	Text string
}

// Thresholds are the numbers of the clock for discharges in a span.
type Thresholds struct {
	Span
	PickUpDays                int
	FirstContactWorkingDays   int
	UntakenDutyWorkingDays    int
	UntakenManagerWorkingDays int
	// Days after the discharge, at the start of the day.
	ReminderDay          int
	AtRiskDay            int
	ReablementWarningDay int
	WatchDays            int
	// Every so many days somebody looks for the real discharge of a person in another hospital.
	OtherHospitalReviewDays int
}

// ThresholdsOn are the thresholds for a discharge on the day; before the first row's span, the first row's.
func (p Place) ThresholdsOn(day Date) Thresholds {
	found := p.Thresholds[0]
	for _, row := range p.Thresholds {
		if row.Holds(day) {
			found = row
		}
	}
	return found
}

// WorkingDay says whether teams work on the day.
func (p Place) WorkingDay(day Date) bool {
	weekday := day.utc().Weekday()
	_, holiday := p.Holidays[day]
	return weekday != time.Saturday && weekday != time.Sunday && !holiday
}

// practiceOn finds the practice as the directory stood on the day. A practice that had closed by then is found by its last
// membership, and reported as closed.
func (p Place) practiceOn(code string, day Date) (row Practice, closed, ok bool) {
	for _, r := range p.Practices[code] {
		switch {
		case r.Holds(day):
			return r, false, true
		case r.To != "" && r.To < day:
			row, closed, ok = r, true, true
		}
	}
	return row, closed, ok
}

func (p Place) pcnOn(code string, day Date) (PCN, bool) {
	for _, r := range p.PCNs[code] {
		if r.Holds(day) {
			return r, true
		}
	}
	return PCN{}, false
}

// postcodeOn finds what the table says of a sector on the day: the sector's own row, else its district's.
func (p Place) postcodeOn(sector string, day Date) (Postcode, bool) {
	for _, key := range []string{sector, district(sector)} {
		for _, r := range p.Postcodes[key] {
			if r.Holds(day) {
				return r, true
			}
		}
	}
	return Postcode{}, false
}

func (p Place) teamName(key string) string {
	if t, ok := p.Teams[key]; ok {
		return t.Name
	}
	return key
}
