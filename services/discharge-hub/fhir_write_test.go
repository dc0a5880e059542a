package dischargehub

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestAStayIsToldByResource(t *testing.T) {
	h, e := startFHIR(t)
	id := spellID("V1")
	e.send(t, "POST", "/fhir/Patient", aPatient("1234567", "RM17 5AA")).want(t, 201)
	patient := `"subject":{"reference":"Patient/` + fhir.PatientID("RAJ", "1234567") + `"}`
	made := e.send(t, "POST", "/fhir/Encounter", aStay("in-progress", "V1", patient, expectedOn)).want(t, 201)
	if made.header.Get("Location") != e.base+"/fhir/Encounter/"+id || made.header.Get("ETag") != `W/"1"` {
		t.Errorf("headers %v", made.header)
	}
	if s := h.spell(t, id); s.GetStatus() != dischargev1.SpellStatus_SPELL_STATUS_IN_HOSPITAL || s.GetExpectedDischargeOn() != "2026-09-05" || s.GetHomePostcodeSector() != "RM17 5" {
		t.Errorf("in hospital: %v", s)
	}

	e.send(t, "POST", "/fhir/ServiceRequest", strings.Replace(aReferral("active", "V1"), `"encounter":{"identifier"`, `"encounter":{"reference":"Encounter/`+id+`","identifier"`, 1)).want(t, 201)
	if s := h.spell(t, id); len(s.GetInvolvements()) != 1 || s.GetInvolvements()[0] != dischargev1.Involvement_INVOLVEMENT_HUB_REFERRAL {
		t.Errorf("referred: %v", s)
	}
	e.send(t, "PUT", "/fhir/Patient/"+fhir.PatientID("RAJ", "1234567"), aPatient("1234567", "SS17 0PH")).want(t, 200)
	kittest.Eventually(t, "the stay is told that the person has moved", func() bool { return h.spell(t, id).GetHomePostcodeSector() == "SS17 0" })

	left := time.Date(2026, 9, 2, 13, 25, 0, 0, time.UTC)
	e.send(t, "PUT", "/fhir/Encounter"+where("V1"), aStay("finished", "V1", patient, leftAt(left),
		`"hospitalization":{"dischargeDisposition":{"coding":[{"system":"https://fhir.hl7.org.uk/CodeSystem/UKCore-DischargeDestinationEngland","code":"19"}]}}`)).want(t, 200)
	s := h.spell(t, id)
	if d := s.GetDischarge(); d.GetOn() != "2026-09-02" || d.GetDestination() != "19" || s.GetExpectedDischargeOn() != "" {
		t.Errorf("discharged: %v", s)
	}
	e.send(t, "PUT", "/fhir/Encounter/"+id, aStay("in-progress", "V1", patient)).want(t, 200)
	if s := h.spell(t, id); s.GetDischarge() != nil {
		t.Errorf("the discharge was cancelled: %v", s)
	}
	e.send(t, "PUT", "/fhir/ServiceRequest/"+fhir.ReferralID(id), aReferral("revoked", "V1")).want(t, 200)
	e.send(t, "PUT", "/fhir/Encounter/"+id, aStay("cancelled", "V1", patient)).want(t, 200)
	if s := h.spell(t, id); s.GetStatus() != dischargev1.SpellStatus_SPELL_STATUS_VOIDED || len(s.GetInvolvements()) > 0 {
		t.Errorf("voided: %v", s)
	}

	read := e.send(t, "GET", "/fhir/Encounter/"+id, "").want(t, 200)
	if read.body["status"] != "cancelled" || read.body["id"] != id || read.header.Get("ETag") != `W/"4"` {
		t.Errorf("read: %s", read.raw)
	}
	if n := h.count(t, `SELECT count(*) FROM audit WHERE action = 'fhir.read' AND actor = 'client:mse-epr'`); n != 1 {
		t.Errorf("%d reads are audited", n)
	}
}

func TestAStayIsToldByMessage(t *testing.T) {
	h, e := startFHIR(t)
	id := spellID("V1")
	left := time.Date(2026, 9, 2, 13, 25, 0, 0, time.UTC)
	message := func(event string, hour int, resources ...string) *dischargev1.Spell {
		t.Helper()
		a := e.send(t, "POST", "/fhir/$process-message", aMessage(event, day(2, hour), resources...)).want(t, 200)
		if a.body["resourceType"] != "Bundle" || !strings.Contains(a.raw, `"code":"ok"`) {
			t.Errorf("%s: %s", event, a.raw)
		}
		return h.spell(t, id)
	}
	if s := message("referral", 6, aPatient("1234567", "RM17 5AA"), aStay("in-progress", "V1"), aReferral("active", "V1")); len(s.GetInvolvements()) != 1 || s.GetPracticeCode() != "F81155" {
		t.Errorf("referral: %v", s)
	}
	if s := message("predicted-date", 7, aStay("in-progress", "V1", expectedOn)); s.GetExpectedDischargeOn() != "2026-09-05" {
		t.Errorf("predicted date: %v", s)
	}
	if s := message("readiness", 8, aStay("in-progress", "V1", `"extension":[{"url":"`+fhir.Base+`/StructureDefinition/criteria-to-reside","extension":[{"url":"met","valueBoolean":false}]}]`)); s.GetCriteriaToReside() != dischargev1.CriteriaToReside_CRITERIA_TO_RESIDE_NOT_MET || s.GetDischargeReadyOn() != "2026-09-02" {
		t.Errorf("readiness: %v", s)
	}
	message("discharge-notice", 9, aStay("in-progress", "V1", expectedOn))
	if s := message("discharge-notice-withdrawn", 10, aStay("in-progress", "V1")); s.GetExpectedDischargeOn() != "" {
		t.Errorf("notice withdrawn: %v", s)
	}
	if s := message("self-discharge", 14, aStay("finished", "V1", leftAt(left))); s.GetDischarge().GetMethod() != "6" {
		t.Errorf("self-discharge: %v", s)
	}
	if s := message("discharge-cancelled", 15, aStay("in-progress", "V1")); s.GetDischarge() != nil {
		t.Errorf("cancelled: %v", s)
	}
	if s := message("discharged", 16, aStay("finished", "V1", leftAt(left))); s.GetDischarge().GetNumber() != 2 {
		t.Errorf("confirmed: %v", s)
	}
	if s := message("referral-cancelled", 17, aStay("finished", "V1", leftAt(left)), aReferral("revoked", "V1")); len(s.GetInvolvements()) != 0 {
		t.Errorf("referral cancelled: %v", s)
	}
	// What messages carried is what is there by resource.
	e.send(t, "PUT", "/fhir/Encounter"+where("V1"), aStay("in-progress", "V1"), "If-Match", `W/"9"`).want(t, 200)
	if s := h.spell(t, id); s.GetDischarge() != nil {
		t.Errorf("cancelled by resource: %v", s)
	}
}

func TestOneStayThroughThreeDoorsIsOneSpell(t *testing.T) {
	h, e := startFHIR(t)
	h.send(t, adt("A01", "M1", "V1", day(1, 9)).Bytes())
	e.send(t, "POST", "/fhir/ServiceRequest", aReferral("active", "V1")).want(t, 201)
	_, err := h.client.RecordEvent(t.Context(), &dischargev1.RecordEventRequest{Feed: "hub-staff", MessageId: "hand-1", Kind: dischargev1.EventKind_EVENT_KIND_UPDATE,
		RecordedAt: timestamppb.New(day(2, 9)), VisitNumber: "V1", Pathway: dischargev1.Pathway_PATHWAY_1})
	if err != nil {
		t.Fatal(err)
	}
	h.send(t, adt("A03", "M2", "V1", day(2, 14)).Bytes())
	s := h.spell(t, spellID("V1"))
	if s.GetDischarge() == nil || len(s.GetInvolvements()) != 2 || s.GetHomePostcodeSector() != "RM17 5" {
		t.Errorf("%v", s)
	}
	if n := h.count(t, `SELECT count(*) FROM spell`); n != 1 {
		t.Errorf("%d spells", n)
	}
}

// TestSomebodyOfAEWhoIsThenAdmittedByFHIRHasABed has an A04 and no HL7 message behind it.
func TestSomebodyOfAEWhoIsThenAdmittedByFHIRHasABed(t *testing.T) {
	h, e := startFHIR(t)
	h.send(t, adt("A04", "M1", "V1", day(1, 9)).Set("PV1-2", "E").Bytes())
	h.interpreted(t)
	if s := h.spell(t, spellID("V1")); s.GetStatus() != dischargev1.SpellStatus_SPELL_STATUS_NOT_ADMITTED {
		t.Fatalf("%v", s)
	}
	e.send(t, "POST", "/fhir/Encounter", aStay("finished", "V1", leftAt(day(2, 14)))).want(t, 201)
	h.interpreted(t)
	if s := h.spell(t, spellID("V1")); s.GetDischarge() == nil || len(s.GetFlags()) != 0 {
		t.Errorf("%v", s)
	}
}

// TestADeathByFHIRIsTakenBackAsItWasTold says that a person is as alive as before once the sender has replaced a time of death by false, and that
// false alone takes back nothing that came by HL7.
func TestADeathByFHIRIsTakenBackAsItWasTold(t *testing.T) {
	h, e := startFHIR(t)
	id := spellID("V1")
	person := "/fhir/Patient?identifier=" + url.QueryEscape(patientSystem+"|1234567")
	told := func(deceased string) string {
		return strings.Replace(aPatient("1234567", "RM17 5AA"), `"birthDate"`, deceased+`,"birthDate"`, 1)
	}
	death := func(want dischargev1.Death) {
		t.Helper()
		kittest.Eventually(t, "the stay's death is "+want.String(), func() bool { return h.spell(t, id).GetDeath() == want })
	}
	e.send(t, "PUT", person, told(`"deceasedBoolean":false`)).want(t, 201)
	e.send(t, "PUT", "/fhir/Encounter"+where("V1"), aStay("in-progress", "V1", `"subject":{"reference":"Patient/`+fhir.PatientID("RAJ", "1234567")+`"}`)).want(t, 201)
	death(dischargev1.Death_DEATH_NONE)
	e.send(t, "PUT", person, told(`"deceasedDateTime":"2026-09-02T10:00:00+01:00"`)).want(t, 200)
	death(dischargev1.Death_DEATH_DIED)
	e.send(t, "PUT", person, told(`"deceasedBoolean":false`)).want(t, 200)
	death(dischargev1.Death_DEATH_NONE)

	h.send(t, adt("A01", "M1", "V2", day(1, 9)).SetRaw("PID-3", "7654321^^^RAJ^PI").Set("PID-29", "20260901").Set("PID-30", "").Bytes())
	id = spellID("V2")
	death(dischargev1.Death_DEATH_DIED)
	e.send(t, "PUT", "/fhir/Patient?identifier="+url.QueryEscape(patientSystem+"|7654321"), strings.Replace(told(`"deceasedBoolean":false`), "1234567", "7654321", 1)).want(t, 201)
	death(dischargev1.Death_DEATH_CONTRADICTORY)
}

// TestATimeOfDeathByFHIRIsBelievedAsByHL7 says that a null date or a mistyped year is a doubt at this door too, and ends no handover.
func TestATimeOfDeathByFHIRIsBelievedAsByHL7(t *testing.T) {
	h, e := startFHIR(t)
	for i, c := range []struct {
		deceased string
		want     dischargev1.Death
	}{
		{"2026-09-02T10:00:00+01:00", dischargev1.Death_DEATH_DIED},
		{"2026-09-02", dischargev1.Death_DEATH_DIED},
		{"2026", dischargev1.Death_DEATH_DIED},
		{"1900-01-01", dischargev1.Death_DEATH_CONTRADICTORY},
		{"2025-09-02T10:00:00+01:00", dischargev1.Death_DEATH_CONTRADICTORY},
	} {
		visit, number := fmt.Sprintf("V%d", i), fmt.Sprintf("20%d", i)
		person := strings.Replace(aPatient(number, "RM17 5AA"), `"birthDate"`, `"deceasedBoolean":false,"birthDate"`, 1)
		e.send(t, "POST", "/fhir/Patient", person).want(t, 201)
		e.send(t, "POST", "/fhir/Encounter", aStay("finished", visit, leftAt(day(3, 9)), `"subject":{"reference":"Patient/`+fhir.PatientID("RAJ", number)+`"}`)).want(t, 201)
		e.send(t, "PUT", "/fhir/Patient/"+fhir.PatientID("RAJ", number), strings.Replace(person, `"deceasedBoolean":false`, `"deceasedDateTime":"`+c.deceased+`"`, 1)).want(t, 200)
		kittest.Eventually(t, c.deceased+" is "+c.want.String(), func() bool { return h.spell(t, spellID(visit)).GetDeath() == c.want })
	}
	both := strings.Replace(aPatient("209", "RM17 5AA"), `"birthDate"`, `"deceasedBoolean":false,"deceasedDateTime":"2026-09-02","birthDate"`, 1)
	if said := e.send(t, "POST", "/fhir/Patient", both).want(t, 422).issue(); !strings.Contains(said, "Patient.deceasedDateTime") {
		t.Errorf("both at once: %s", said)
	}
}

func TestConditionsOnWrites(t *testing.T) {
	h, e := startFHIR(t)
	stay, id := aStay("in-progress", "V1"), spellID("V1")
	e.send(t, "PUT", "/fhir/Encounter/"+id, stay).want(t, 404)
	e.send(t, "PUT", "/fhir/Encounter"+where("V1"), stay).want(t, 201)
	if a := e.send(t, "POST", "/fhir/Encounter", stay).want(t, 409); a.issue() != "duplicate Encounter.identifier" {
		t.Error(a.raw)
	}
	kept := e.send(t, "POST", "/fhir/Encounter", aStay("finished", "V1", leftAt(day(2, 14))), "If-None-Exist", strings.TrimPrefix(where("V1"), "?")).want(t, 200)
	if kept.header.Get("ETag") != `W/"1"` || h.spell(t, id).GetDischarge() != nil {
		t.Errorf("a conditional create changed what was there: %s", kept.raw)
	}
	e.send(t, "POST", "/fhir/Encounter", aStay("in-progress", "V2"), "If-None-Exist", strings.TrimPrefix(where("V2"), "?")).want(t, 201)
	e.send(t, "PUT", "/fhir/Encounter/"+id, stay, "If-Match", `W/"1"`).want(t, 200)
	e.send(t, "PUT", "/fhir/Encounter/"+id, stay, "If-Match", `W/"1"`).want(t, 412)
	e.send(t, "PUT", "/fhir/Encounter"+where("V1"), stay, "If-Match", `W/"2"`).want(t, 200)
	e.send(t, "PUT", "/fhir/Encounter"+where("V2"), stay).want(t, 400)
	e.send(t, "PUT", "/fhir/Encounter?name=x", stay).want(t, 400)
	e.send(t, "PUT", "/fhir/Encounter/"+id, aStay("in-progress", "V2")).want(t, 400)
	e.send(t, "PUT", "/fhir/Encounter/"+id, stay, "If-Match", "3").want(t, 400)
	e.send(t, "PUT", "/fhir/Encounter/"+id, stay, "If-Match", "*").want(t, 200)
	e.send(t, "PUT", "/fhir/Encounter"+where("V9"), aStay("in-progress", "V9"), "If-Match", "*").want(t, 412)
	e.send(t, "GET", "/fhir/Encounter/"+spellID("V9"), "").want(t, 404)
	e.send(t, "PUT", "/fhir/Encounter/"+id, stay, "If-Match", "new").want(t, 400)
}

func TestTheSameRequestAgainHasTheSameAnswerAndNoSecondEffect(t *testing.T) {
	h, e := startFHIR(t)
	stay := aStay("in-progress", "V1")
	first := e.send(t, "POST", "/fhir/Encounter", stay, "X-Request-ID", "r1", "X-Correlation-ID", "c1").want(t, 201)
	again := e.send(t, "POST", "/fhir/Encounter", stay, "X-Request-ID", "r1").want(t, 201)
	if again.raw != first.raw || again.header.Get("Location") != first.header.Get("Location") || again.header.Get("ETag") != first.header.Get("ETag") {
		t.Errorf("answered %s, then %s", first.raw, again.raw)
	}
	if first.header.Get("X-Request-ID") != "r1" || first.header.Get("X-Correlation-ID") != "c1" {
		t.Errorf("headers %v", first.header)
	}
	other := e.send(t, "POST", "/fhir/Encounter", aStay("in-progress", "V2"), "X-Request-ID", "r1").want(t, 409)
	if other.issue() != "conflict " || !strings.Contains(other.raw, "REC_CONFLICT") {
		t.Error(other.raw)
	}
	h.interpreted(t)
	if n := h.count(t, `SELECT count(*) FROM inbound`); n != 1 {
		t.Errorf("%d messages are stored", n)
	}
	// What was refused may be mended under the same id.
	e.send(t, "POST", "/fhir/Encounter", aStay("finished", "V3"), "X-Request-ID", "r2").want(t, 422)
	e.send(t, "POST", "/fhir/Encounter", aStay("finished", "V3", leftAt(day(2, 14))), "X-Request-ID", "r2").want(t, 201)
}

func TestEveryRefusalIsAnOutcomeThatNamesWhatIsWrong(t *testing.T) {
	h, e := startFHIR(t)
	stay := aStay("in-progress", "V1")
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		issue                    string
	}{
		{"no JSON", "POST", "/fhir/Encounter", `{`, nil, 400, "structure "},
		{"not UTF-8", "POST", "/fhir/Encounter", aStay("in-progress", "V1", "\"text\":{\"div\":\"\xff\"}"), nil, 400, "structure "},
		{"parameters of a search as JSON", "POST", "/fhir/Task/_search", `{"status":"accepted"}`, nil, 415, "not-supported "},
		{"a word of businessStatus", "GET", "/fhir/Task?status=delivered", "", nil, 400, "value "},
		{"of no type", "POST", "/fhir/Patient", `{}`, nil, 400, "structure Patient.resourceType"},
		{"not where it belongs", "POST", "/fhir/Patient", stay, nil, 400, "structure Encounter.resourceType"},
		{"a list is wanted", "POST", "/fhir/Encounter", strings.Replace(stay, `"identifier":[`, `"identifier":{"x":[`, 1) + "}", nil, 400, "structure Encounter.identifier"},
		{"no request id", "POST", "/fhir/Encounter", stay, []string{"X-Request-ID", ""}, 400, "required "},
		{"no token", "POST", "/fhir/Encounter", stay, []string{"Authorization", ""}, 401, "login "},
		{"no good token", "GET", "/fhir/Task", "", []string{"Authorization", "Bearer x.y.z"}, 401, "login "},
		{"another's identifiers", "POST", "/fhir/Encounter", strings.Replace(stay, "RAJ", "RF4", 1), nil, 422, "required Encounter.identifier"},
		{"nothing there", "GET", "/fhir/Encounter/" + spellID("V9"), "", nil, 404, "not-found "},
		{"no address", "GET", "/fhir/Observation/1", "", nil, 404, "not-found "},
		{"no id", "GET", "/fhir/Task/x", "", nil, 404, "not-found "},
		{"no such method", "DELETE", "/fhir/Encounter/" + spellID("V1"), "", nil, 405, "not-supported "},
		{"XML wanted", "GET", "/fhir/metadata", "", []string{"Accept", "application/fhir+xml"}, 406, "not-supported "},
		{"XML sent", "POST", "/fhir/Encounter", "<Encounter/>", []string{"Content-Type", "application/fhir+xml"}, 415, "not-supported "},
		{"too large", "POST", "/fhir/Encounter", strings.Repeat(" ", maxFHIRBody+1), nil, 413, "too-long "},
		{"a rule", "POST", "/fhir/Encounter", aStay("finished", "V1"), nil, 422, "required Encounter.period.end"},
		{"a reference to nothing", "POST", "/fhir/Encounter", aStay("in-progress", "V1", `"subject":{"reference":"Patient/x"}`), nil, 422, "not-found Encounter.subject.reference"},
		{"in a message", "POST", "/fhir/$process-message", aMessage("discharged", day(2, 14), aStay("in-progress", "V1")), nil, 422, "invariant Bundle.entry[1].resource.status"},
		{"an unknown parameter", "GET", "/fhir/Task?name=x", "", nil, 400, "not-supported "},
	} {
		a := e.send(t, c.method, c.path, c.body, c.headers...)
		if a.status != c.status || a.issue() != c.issue || a.body["resourceType"] != "OperationOutcome" {
			t.Errorf("%s: %d %q, want %d %q: %s", c.name, a.status, a.issue(), c.status, c.issue, a.raw)
		}
		if c.status == http.StatusUnauthorized && a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", c.name)
		}
	}
	if n := h.count(t, `SELECT count(*) FROM spell`) + h.count(t, `SELECT count(*) FROM fhir_resource`); n != 0 {
		t.Errorf("%d spells or resources came of refused requests", n)
	}
	if n := h.count(t, `SELECT count(*) FROM inbound WHERE NOT accepted AND format = 'fhir'`); n != 9 {
		t.Errorf("the bytes of %d refused requests are kept", n)
	}
}

func TestDatabaseAwayIsAnsweredWith503AndNothingIsLost(t *testing.T) {
	h, e := startFHIR(t)
	if _, err := h.db.Pool.Exec(t.Context(), `ALTER TABLE inbound RENAME TO inbound_away`); err != nil {
		t.Fatal(err)
	}
	e.send(t, "POST", "/fhir/Encounter", aStay("in-progress", "V1"), "X-Request-ID", "r1").want(t, 503)
	if _, err := h.db.Pool.Exec(t.Context(), `ALTER TABLE inbound_away RENAME TO inbound`); err != nil {
		t.Fatal(err)
	}
	e.send(t, "POST", "/fhir/Encounter", aStay("in-progress", "V1"), "X-Request-ID", "r1").want(t, 201)
	h.spell(t, spellID("V1"))
}

func TestRequestsAtOneTime(t *testing.T) {
	h, e := startFHIR(t)
	at := func(send func(i int) answer) map[int]int {
		var statuses [8]int
		var all sync.WaitGroup
		for i := range statuses {
			all.Go(func() { statuses[i] = send(i).status })
		}
		all.Wait()
		count := map[int]int{}
		for _, s := range statuses {
			count[s]++
		}
		return count
	}
	stay := aStay("in-progress", "V1")
	if got := at(func(int) answer { return e.send(t, "POST", "/fhir/Encounter", stay, "X-Request-ID", "same") }); got[201] != 8 {
		t.Errorf("the same request: %v", got)
	}
	if got := at(func(int) answer { return e.send(t, "POST", "/fhir/Encounter", aStay("in-progress", "V2")) }); got[201] != 1 || got[409] != 7 {
		t.Errorf("the same resource: %v", got)
	}
	if got := at(func(int) answer { return e.send(t, "PUT", "/fhir/Encounter"+where("V1"), stay, "If-Match", `W/"1"`) }); got[200] != 1 || got[412] != 7 {
		t.Errorf("the same version: %v", got)
	}
	if n := h.count(t, `SELECT count(*) FROM inbound`); n != 3 {
		t.Errorf("%d messages are stored", n)
	}
}
