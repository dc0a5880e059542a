package discharge

import "encoding/json"

// File writes the feed as the file that ParseFeed reads.
func (f Feed) File() ([]byte, error) {
	out := feedFile{Key: f.Key, Door: f.Door, Application: f.Application, Facilities: f.Facilities, Provider: f.Provider, Scope: f.Scope, Mode: f.Mode,
		VisitSystem: f.VisitSystem, PatientSystem: f.PatientSystem}
	if f.Zone != nil {
		out.TimeZone = f.Zone.String()
	}
	m := &out.Mapping
	m.Version, m.PatientAuthority = f.Mapping.Version, f.Mapping.PatientAuthority
	m.Method, m.Destination, m.Pathway = f.Mapping.Method.String(), f.Mapping.Destination.String(), f.Mapping.Pathway.String()
	for _, p := range f.Mapping.Practices {
		m.Practices = append(m.Practices, p.String())
	}
	m.Methods, m.Destinations, m.Pathways = f.Mapping.Methods, f.Mapping.Destinations, f.Mapping.Pathways
	text, err := json.MarshalIndent(out, "", "  ")
	return append(text, '\n'), err
}

// Method, Destination and PathwayText say what a national code means; empty for one that is none.
func Method(code string) string      { return methods[code] }
func Destination(code string) string { return destinations[code] }
func PathwayText(code string) string { return pathways[code] }

// SpeaksOfDeath finds the words that wards type into coded fields when somebody has died.
func SpeaksOfDeath(text string) bool { return speaksOfDeath(text) }
