package discharge

import (
	"slices"
	"strings"
	"time"
)

// Event is what comes through the gRPC door: one happening, already in fields. Empty fields say nothing.
type Event struct {
	MessageID     string // as MSH-10
	Digest        string // of the request's bytes
	Kind          Kind
	RecordedAt    time.Time
	EffectiveAt   time.Time
	VisitNumber   string
	PatientNumber string
	PriorNumber   string // of a merge, or of its revocation: the number that is merged into PatientNumber
	AdmittedAt    time.Time
	Site, Ward    string
	Class         string // as PV1-2

	NHSNumber, FamilyName, GivenName string
	BirthDate, Postcode, Practice    string
	DiedAt                           time.Time
	DeathIndicator                   Told[bool]
	// DeathTimeCleared says that the time of death that was told does not hold.
	DeathTimeCleared bool
	// NHSNumberStatus is how sure the NHS number is: 01 is present and verified.
	NHSNumberStatus string

	DischargedAt        time.Time
	ExpectedDischarge   time.Time
	Method, Destination string
	DestinationPostcode string
	Involvements        []Involvement
	Pathway             string // "0" to "3"
	// Withdrawn are involvements that are taken back.
	Withdrawn []Involvement
	// ExpectationCleared says that no discharge is expected any more.
	ExpectationCleared bool
	// MeetsCriteria says whether the criteria to reside are met, ReadyAt since when they are not.
	MeetsCriteria Told[bool]
	ReadyAt       time.Time
}

// FromEvent reads an event of a feed by the same rules as FromHL7. What makes it unusable is told as problems: the caller refuses
// the request, for here a person can put it right at once.
func FromEvent(feed Feed, e Event) Reading {
	r := reader{feed: feed}
	if !e.Kind.known() {
		return Reading{NotHandled: string(e.Kind)}
	}
	text := func(s string) Told[string] {
		if s = strings.TrimSpace(s); s != "" {
			return Tell(s)
		}
		return Told[string]{}
	}
	moment := func(t time.Time) Told[Moment] {
		if t.IsZero() {
			return Told[Moment]{}
		}
		return Tell(Moment{At: t.UTC()})
	}
	r.fact = Fact{
		Feed: feed.Key, Provider: feed.Provider, Scope: feed.Scope, DataVersion: feed.Mapping.Version,
		Kind: e.Kind, ControlID: e.MessageID, Digest: e.Digest,
		Recorded: e.RecordedAt.UTC(), Effective: moment(e.EffectiveAt).Value,
		VisitNumber: strings.TrimSpace(e.VisitNumber), PatientNumber: strings.TrimSpace(e.PatientNumber),
		PriorNumber: strings.TrimSpace(e.PriorNumber),
		FamilyName:  text(e.FamilyName), GivenName: text(e.GivenName),
		DiedAt: moment(e.DiedAt), DeathIndicator: e.DeathIndicator,
		AdmittedAt: moment(e.AdmittedAt), DischargedAt: moment(e.DischargedAt),
		ExpectedDischarge: moment(e.ExpectedDischarge), NHSNumberStatus: text(e.NHSNumberStatus),
		MeetsCriteria: e.MeetsCriteria, ReadyAt: moment(e.ReadyAt),
	}
	if e.ExpectationCleared {
		r.fact.ExpectedDischarge = Clear[Moment]()
	}
	if e.DeathTimeCleared {
		r.fact.DiedAt = Clear[Moment]()
	}
	f := &r.fact
	if e.RecordedAt.IsZero() {
		f.Recorded = time.Time{}
	}
	f.tellClass(text(e.Class))
	f.tellWard(text(e.Ward))
	if odsCode(e.Site) {
		f.Site = Tell(e.Site)
	}
	f.tellNHSNumber(text(e.NHSNumber))
	f.tellBirthDate(text(e.BirthDate))
	f.tellPostcode(text(e.Postcode))
	f.tellPractice(text(e.Practice))
	f.tellOutcome(feed.Mapping, text(e.Method), text(e.Destination))
	f.tellPathway(feed.Mapping, text(e.Pathway))
	if p := NormalPostcode(e.DestinationPostcode); p != "" {
		f.DestinationPostcode = Tell(p)
	}
	f.Involvements, f.Withdrawn = ofThose(e.Involvements), ofThose(e.Withdrawn)
	if e.Kind == KindCancelPlan {
		f.ExpectedDischarge = Clear[Moment]()
	}
	return r.finish("P")
}

// ofThose returns those of the involvements that there are, in their order.
func ofThose(told []Involvement) (list []Involvement) {
	for _, i := range involvements {
		if slices.Contains(told, i) {
			list = append(list, i)
		}
	}
	return list
}
