package discharge

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
)

// Door is how a feed's messages come in.
type Door string

const (
	DoorMLLP Door = "mllp"
	DoorGRPC Door = "grpc"
	DoorFHIR Door = "fhir"
)

// Mode says whether a feed's people are real.
type Mode string

const (
	Live Mode = "live"
	// Test takes training and debugging messages (MSH-11 T and D) as well.
	Test Mode = "test"
)

// Feed is one configured sender: who it is, whom it is about, and what its fields mean. Feeds are data, one JSON file each.
type Feed struct {
	Key  string
	Door Door
	// Application and Facilities are MSH-3 and the possible MSH-4 of an MLLP feed, exactly as sent.
	Application string
	Facilities  []string
	// Provider is the ODS code of the organisation whose visit and patient numbers these are.
	Provider string
	Scope    Scope
	// Zone is where times without an offset were written down.
	Zone    *time.Location
	Mode    Mode
	Mapping Mapping
	// VisitSystem and PatientSystem are the identifier systems of the provider's visit and patient numbers at the FHIR door.
	VisitSystem, PatientSystem string
	// Certificates are the names of the client certificates that may send for it; empty: anybody who reaches the door.
	Certificates []string
	// Silence limits how long it may send nothing; nil: what is usual decides.
	Silence *SilenceLimit
	// Answers is where the ward's answers go; nil: nowhere.
	Answers *Answers
}

// maxFacility is what HL7 v2.5.1 allows in an HD data type, in characters.
const maxFacility = 227

// Mapping says what a sender means by fields that systems fill differently.
type Mapping struct {
	// Version goes into every fact that is read by this mapping.
	Version string
	// Visit is where the visit number is: PV1-19.1 by default; some senders have it in PID-18.1, the account number.
	Visit hl7.Path
	// Method and Destination are where the discharge method and destination are: PV1-36 and PV1-37 by default.
	Method, Destination hl7.Path
	// Practices are where the GP practice may be, in this order: PD1-3 and PD1-4 by default.
	Practices []hl7.Path
	// PatientAuthority is the assigning authority (PID-3.4) of the provider's patient numbers: the provider's code by default.
	PatientAuthority string
	// Methods and Destinations turn local codes or words into NHS Data Dictionary codes.
	Methods, Destinations map[string]string
	// Pathway is where the sender puts the discharge-to-assess pathway, if it does; Pathways turns its words into 0 to 3.
	Pathway  hl7.Path
	Pathways map[string]string
}

// feedFile is a feed as it is written.
type feedFile struct {
	Key         string   `json:"key"`
	Door        Door     `json:"door"`
	Application string   `json:"application,omitempty"`
	Facilities  []string `json:"facilities,omitempty"`
	Provider    string   `json:"provider"`
	Scope       Scope    `json:"scope"`
	TimeZone    string   `json:"time_zone"`
	Mode        Mode     `json:"mode"`
	// For the fhir door: the systems of Encounter.identifier and Patient.identifier.
	VisitSystem   string `json:"visit_system,omitempty"`
	PatientSystem string `json:"patient_system,omitempty"`
	doorFile
	Mapping struct {
		Version          string            `json:"version"`
		Visit            string            `json:"visit,omitempty"`
		Method           string            `json:"method"`
		Destination      string            `json:"destination"`
		Practices        []string          `json:"practices,omitempty"`
		PatientAuthority string            `json:"patient_authority,omitempty"`
		Methods          map[string]string `json:"methods,omitempty"`
		Destinations     map[string]string `json:"destinations,omitempty"`
		Pathway          string            `json:"pathway,omitempty"`
		Pathways         map[string]string `json:"pathways,omitempty"`
	} `json:"mapping"`
}

// LoadFeeds reads every *.json file at the top of a folder, by name. All that is wrong is told at once, by file and field.
func LoadFeeds(folder fs.FS) ([]Feed, error) {
	names, err := fs.Glob(folder, "*.json")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("feeds: no *.json file; there must be a file for each sender")
	}
	var feeds []Feed
	var wrong []error
	for _, name := range names {
		data, err := fs.ReadFile(folder, name)
		if err != nil {
			return nil, err
		}
		feed, err := ParseFeed(path.Base(name), data)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		for _, other := range feeds {
			if other.Key == feed.Key {
				wrong = append(wrong, fmt.Errorf("%s: key: %q is taken by another file", name, feed.Key))
			}
			for _, facility := range feed.Facilities {
				if other.Application == feed.Application && slices.Contains(other.Facilities, facility) {
					wrong = append(wrong, fmt.Errorf("%s: facilities: %s at %s is already feed %s", name, feed.Application, facility, other.Key))
				}
			}
		}
		feeds = append(feeds, feed)
	}
	return feeds, errors.Join(wrong...)
}

// ParseFeed reads one feed; the file's name is for the errors.
func ParseFeed(file string, data []byte) (Feed, error) {
	var in feedFile
	if err := DecodeFile(data, &in); err != nil {
		return Feed{}, fmt.Errorf("%s: %w", file, err)
	}
	c := feedCheck{file: file}
	c.that(in.Key != "" && strings.Trim(in.Key, "abcdefghijklmnopqrstuvwxyz0123456789-") == "", "key", "must be lower-case letters, digits and hyphens")
	c.that(odsCode(in.Provider), "provider", "must be the ODS code of an organisation, such as RAJ")
	c.that(in.Scope == ScopeSocialCare || in.Scope == ScopeWholeHospital || in.Scope == ScopeNotTold && in.Door == DoorGRPC, "scope",
		"must be social-care or whole-hospital; at the grpc door it may be not-told")
	c.that(in.Mode == Live || in.Mode == Test, "mode", "must be live or test")
	c.that(in.Mapping.Version != "", "mapping.version", "must be given; change it whenever the mapping changes")
	switch in.Door {
	case DoorMLLP:
		c.that(in.Application != "", "application", "must be what the sender puts in MSH-3")
		c.that(len(in.Facilities) > 0, "facilities", "must list what the sender may put in MSH-4")
		for _, facility := range in.Facilities {
			c.that(len(facility) <= maxFacility && strings.TrimSpace(facility) == facility && !strings.ContainsFunc(facility, unicode.IsControl), "facilities",
				"must be what the sender puts in MSH-4, without its further components; \"\" where it is empty")
		}
	case DoorGRPC, DoorFHIR: // who may send is said by the client, not by the feed
		c.that(in.Application == "" && len(in.Facilities) == 0, "application", "and facilities are for the mllp door only")
	default:
		c.that(false, "door", "must be mllp, grpc or fhir")
	}
	if in.Door == DoorFHIR {
		c.that(in.VisitSystem != "" && in.PatientSystem != "" && in.VisitSystem != in.PatientSystem, "visit_system",
			"and patient_system must be two URIs, the systems of the provider's visit and patient numbers")
	} else {
		c.that(in.VisitSystem == "" && in.PatientSystem == "", "visit_system", "and patient_system are for the fhir door only")
	}
	zone, err := time.LoadLocation(in.TimeZone)
	c.that(in.TimeZone != "" && err == nil, "time_zone", "must be a zone such as Europe/London, and the program needs time zone data")
	m := in.Mapping
	if len(m.Practices) == 0 {
		m.Practices = []string{"PD1-3", "PD1-4"}
	}
	feed := Feed{
		Key: in.Key, Door: in.Door, Application: in.Application, Facilities: in.Facilities, Provider: in.Provider,
		Scope: in.Scope, Zone: zone, Mode: in.Mode, VisitSystem: in.VisitSystem, PatientSystem: in.PatientSystem,
		Mapping: Mapping{
			Version:          m.Version,
			Visit:            c.path("mapping.visit", m.Visit, "PV1-19.1"),
			Method:           c.path("mapping.method", m.Method, "PV1-36"),
			Destination:      c.path("mapping.destination", m.Destination, "PV1-37"),
			PatientAuthority: m.PatientAuthority,
			Methods:          c.codes("mapping.methods", m.Methods, methods),
			Destinations:     c.codes("mapping.destinations", m.Destinations, destinations),
			Pathway:          c.path("mapping.pathway", m.Pathway, ""),
			Pathways:         c.codes("mapping.pathways", m.Pathways, pathways),
		},
	}
	c.door(&feed, in.doorFile)
	for _, p := range m.Practices {
		feed.Mapping.Practices = append(feed.Mapping.Practices, c.path("mapping.practices", p, ""))
	}
	if feed.Mapping.PatientAuthority == "" {
		feed.Mapping.PatientAuthority = feed.Provider
	}
	return feed, errors.Join(c.wrong...)
}

// Match finds the MLLP feed of a sender by MSH-3 and MSH-4, exactly. Who isn't found is unknown and to be rejected.
func Match(feeds []Feed, application, facility string) (Feed, bool) {
	for _, f := range feeds {
		if f.Door == DoorMLLP && f.Application == application && slices.Contains(f.Facilities, facility) {
			return f, true
		}
	}
	return Feed{}, false
}

// feedCheck collects what is wrong with a file.
type feedCheck struct {
	file  string
	wrong []error
}

func (c *feedCheck) that(ok bool, field, must string) {
	if !ok {
		c.wrong = append(c.wrong, fmt.Errorf("%s: %s: %s", c.file, field, must))
	}
}

func (c *feedCheck) path(field, text, otherwise string) hl7.Path {
	if text == "" {
		text = otherwise
	}
	if text == "" {
		return hl7.Path{}
	}
	p, err := hl7.ParsePath(text)
	if err != nil {
		c.wrong = append(c.wrong, fmt.Errorf("%s: %s: %w", c.file, field, err))
	}
	return p
}

func (c *feedCheck) codes(field string, table, national map[string]string) map[string]string {
	for local, code := range table {
		c.that(national[code] != "", field, fmt.Sprintf("%q leads to %q, which is no national code", local, code))
	}
	return table
}

// pathways is the discharge-to-assess pathways (hospital discharge and community support guidance, annex B).
var pathways = map[string]string{
	"0": "home without new support",
	"1": "home with support",
	"2": "a community bed for a time",
	"3": "a care home",
}

// odsCode tells whether text looks like the code of an organisation or of one of its sites.
func odsCode(s string) bool {
	if len(s) < 3 || len(s) > 6 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !letter(s[i]) && !digit(s[i]) {
			return false
		}
	}
	return true
}
