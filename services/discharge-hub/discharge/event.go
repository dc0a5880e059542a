package discharge

import (
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

	NHSNumber, FamilyName, GivenName string
	BirthDate, Postcode, Practice    string
	DiedAt                           time.Time
	DeathIndicator                   Told[bool]

	DischargedAt        time.Time
	ExpectedDischarge   time.Time
	Method, Destination string
	DestinationPostcode string
	Involvements        []Involvement
	Pathway             string // "0" to "3"
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
		ExpectedDischarge: moment(e.ExpectedDischarge),
	}
	f := &r.fact
	if e.RecordedAt.IsZero() {
		f.Recorded = time.Time{}
	}
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
	for _, known := range involvements {
		for _, told := range e.Involvements {
			if told == known {
				f.Involvements = append(f.Involvements, known)
				break
			}
		}
	}
	if e.Kind == KindCancelPlan {
		f.ExpectedDischarge = Clear[Moment]()
	}
	return r.finish("P")
}
