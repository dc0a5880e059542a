package discharge

import (
	"encoding/json"
	"fmt"
	"time"
)

// File writes the feed as the file that ParseFeed reads.
func (f Feed) File() ([]byte, error) {
	out := feedFile{Key: f.Key, Door: f.Door, Application: f.Application, Facilities: f.Facilities, Provider: f.Provider, Scope: f.Scope, Mode: f.Mode,
		VisitSystem: f.VisitSystem, PatientSystem: f.PatientSystem}
	if f.Zone != nil {
		out.TimeZone = f.Zone.String()
	}
	out.Certificates = f.Certificates
	if s := f.Silence; s != nil {
		out.Silent = &silentFile{After: s.After.String(), From: timeOfDay(s.From), To: timeOfDay(s.To)}
	}
	if a := f.Answers; a != nil {
		out.Answers = &answersFile{a.Addr, a.TLS, a.ServerName, a.Application, a.Facility}
	}
	m := &out.Mapping
	m.Version, m.PatientAuthority = f.Mapping.Version, f.Mapping.PatientAuthority
	m.Visit, m.Method, m.Destination, m.Pathway = f.Mapping.Visit.String(), f.Mapping.Method.String(), f.Mapping.Destination.String(), f.Mapping.Pathway.String()
	for _, p := range f.Mapping.Practices {
		m.Practices = append(m.Practices, p.String())
	}
	m.Methods, m.Destinations, m.Pathways = f.Mapping.Methods, f.Mapping.Destinations, f.Mapping.Pathways
	text, err := json.MarshalIndent(out, "", "  ")
	return append(text, '\n'), err
}

// timeOfDay writes a time since midnight as 07:30.
func timeOfDay(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
}

// Method, Destination and PathwayText say what a national code means; empty for one that is none.
func Method(code string) string      { return methods[code] }
func Destination(code string) string { return destinations[code] }
func PathwayText(code string) string { return pathways[code] }

// ODSCode tells whether text looks like the code of an organisation or of one of its sites.
func ODSCode(s string) bool { return odsCode(s) }

// SpeaksOfDeath finds the words that wards type into coded fields when somebody has died.
func SpeaksOfDeath(text string) bool { return speaksOfDeath(text) }
