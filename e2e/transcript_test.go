package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/homeward-care/homeward/e2e/hospital"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
)

// A transcript tells a journey in plain text: a command on each line, and below it, behind a tab, what the platform must answer.
//
//	PATH=VALUE ...                         fields of every message from here on, for instance PID-7=19410312; quotes hold blanks
//	send A03 ID RECORDED PATH=VALUE ...    a message over MLLP; RECORDED is EVN-2 and MSH-7
//	again ID                               the same bytes once more
//	record KIND ID RECORDED NAME=VALUE ... a call of RecordEvent by hub staff, about the same visit
//	request-assessment, request-reablement, take, contact, accept, refuse
//	                                       calls about the spell of the newest message
//	outcome [ID]                           what became of the spell of that message, or of the newest, once it is delivered
//
// UPDATE_GOLDEN=1 writes the answers anew.
type transcript struct {
	file  string
	lines []line
}

type line struct {
	text   string // as it stands in the file
	words  []string
	answer []string
}

// readTranscripts reads all journeys.
func readTranscripts(t *testing.T) []transcript {
	t.Helper()
	files, err := filepath.Glob("testdata/journeys/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no journeys: %v", err)
	}
	var all []transcript
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tr := transcript{file: file}
		for row := range strings.SplitSeq(strings.TrimRight(string(text), "\n"), "\n") {
			if answer, ok := strings.CutPrefix(row, "\t"); ok {
				last := &tr.lines[len(tr.lines)-1]
				last.answer = append(last.answer, answer)
				continue
			}
			l := line{text: row}
			if !strings.HasPrefix(row, "#") {
				l.words = words(row)
			}
			tr.lines = append(tr.lines, l)
		}
		all = append(all, tr)
	}
	return all
}

func (tr transcript) name() string { return strings.TrimSuffix(filepath.Base(tr.file), ".txt") }

func (tr transcript) write(t *testing.T) {
	t.Helper()
	var b strings.Builder
	for _, l := range tr.lines {
		b.WriteString(l.text + "\n")
		for _, a := range l.answer {
			b.WriteString("\t" + a + "\n")
		}
	}
	if err := os.WriteFile(tr.file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// words splits at blanks outside of quotes.
func words(text string) []string {
	quoted := false
	split := strings.FieldsFunc(text, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
	for i, w := range split {
		if strings.Count(w, `"`) == 2 && strings.HasSuffix(w, `"`) && !strings.HasSuffix(w, `=""`) { // "" alone is HL7's explicit null
			split[i] = strings.Replace(strings.TrimSuffix(w, `"`), `"`, "", 1)
		}
	}
	return split
}

// sent is what goes through one of the hub's doors.
type sent struct {
	controlID string
	hl7       []byte                          // nil if it is
	event     *dischargev1.RecordEventRequest // a call
	fields    hospital.Message                // of hl7
}

// note takes the people in it into what is looked for in the end.
func (s sent) note() {
	identifiers.addMessage(s.fields)
	identifiers.addPerson(s.event.GetPerson())
	identifiers.addPostcode(s.event.GetDestinationPostcode())
}

// script turns the lines of a transcript into messages. Its own variation marks visit and patient numbers and control ids, so that the same
// journey can be told again about other spells.
type script struct {
	variation string
	fields    hospital.Message
}

func newScript(variation string) *script {
	return &script{variation, hospital.Message{"MSH-3": "MSEPAS", "MSH-4": "RAJ", "MSH-5": "THURROCK-HUB", "MSH-6": "THURROCK", "MSH-11": "P", "MSH-12": "2.4",
		"PV1-2": "I"}}
}

// set takes over fields for the messages to come.
func (s *script) set(t *testing.T, assignments []string) {
	t.Helper()
	for path, value := range assigned(t, assignments) {
		s.fields[path] = value
	}
}

func assigned(t *testing.T, words []string) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			t.Fatalf("%q is no NAME=VALUE", w)
		}
		m[name] = value
	}
	return m
}

// providersNumber is what stands behind a provider's own patient number in PID-3.
var providersNumber = regexp.MustCompile(`\^\^\^[A-Z0-9]+\^PI`)

// message is a `send` line's.
func (s *script) message(t *testing.T, args []string) sent {
	t.Helper()
	trigger, id, recorded := args[0], args[1]+s.variation, args[2]
	m := hospital.Message(maps.Clone(map[string]string(s.fields)))
	m["MSH-7"], m["MSH-9"], m["MSH-10"] = recorded, "ADT^"+trigger, id
	m["EVN-1"], m["EVN-2"] = trigger, recorded
	for path, value := range assigned(t, args[3:]) {
		m[path] = value
	}
	if m["PV1-19"] != "" {
		m["PV1-19"] += s.variation
	}
	// Each visit of a transcript is another patient's, as the provider numbers them: else their stays would look like one.
	m["PID-3"] = providersNumber.ReplaceAllString(m["PID-3"], cmp.Or(m["PV1-19"], s.variation)+"$0")
	return sent{controlID: id, hl7: m.Encode(), fields: m}
}

// event is a `record` line's. The people of calls have names too, so that those are looked for as well.
func (s *script) event(t *testing.T, args []string) sent {
	t.Helper()
	id := args[1] + s.variation
	req := &dischargev1.RecordEventRequest{
		Feed: "hub-staff", MessageId: id, Kind: dischargev1.EventKind(dischargev1.EventKind_value["EVENT_KIND_"+args[0]]),
		RecordedAt: moment(t, args[2]), VisitNumber: s.fields["PV1-19"] + s.variation,
	}
	for name, value := range assigned(t, args[3:]) {
		switch name {
		case "involved":
			req.Involvements = append(req.Involvements, dischargev1.Involvement(dischargev1.Involvement_value["INVOLVEMENT_"+value]))
		case "pathway":
			n, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			req.Pathway = dischargev1.Pathway(n + 1)
		case "discharged":
			req.DischargedAt = moment(t, value)
		case "method":
			req.DischargeMethod = value
		case "destination":
			req.DischargeDestination = value
		case "going-to":
			req.DestinationPostcode = value
		case "name":
			family, given, _ := strings.Cut(value, "^")
			req.Person = person(req)
			req.Person.FamilyName, req.Person.GivenName = family, given
		case "nhs":
			req.Person = person(req)
			req.Person.NhsNumber = value
		case "born":
			req.Person = person(req)
			req.Person.BirthDate = value
		case "postcode":
			req.Person = person(req)
			req.Person.Postcode = value
		case "practice":
			req.Person = person(req)
			req.Person.PracticeCode = value
		default:
			t.Fatalf("record knows no %q", name)
		}
	}
	return sent{controlID: id, event: req}
}

func person(req *dischargev1.RecordEventRequest) *dischargev1.Person {
	if req.Person == nil {
		return &dischargev1.Person{}
	}
	return req.Person
}

// moment reads YYYYMMDDHHMMSS in London.
func moment(t *testing.T, text string) *timestamppb.Timestamp {
	t.Helper()
	at, err := time.ParseInLocation("20060102150405", text, london)
	if err != nil {
		t.Fatal(err)
	}
	return timestamppb.New(at)
}

var london = mustLoad("Europe/London")

func mustLoad(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(fmt.Sprintf("the time zone database is missing: %v", err))
	}
	return zone
}
