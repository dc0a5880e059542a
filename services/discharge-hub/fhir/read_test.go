package fhir

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/feeds"
)

var received = time.Date(2026, 9, 2, 13, 30, 0, 0, time.UTC)

func feed(t testing.TB) discharge.Feed {
	t.Helper()
	all, err := discharge.LoadFeeds(feeds.Files)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.Key == "mse-fhir" {
			return f
		}
	}
	t.Fatal("no feed mse-fhir")
	return discharge.Feed{}
}

const (
	visit  = `{"system":"https://fhir.example.nhs.uk/RAJ/visit-number","value":"SPELL0001"}`
	person = `{"resourceType":"Patient","id":"p","identifier":[
		{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990000026","extension":[{"url":"https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSNumberVerificationStatus",
			"valueCodeableConcept":{"coding":[{"code":"01"}]}}]},
		{"system":"https://fhir.example.nhs.uk/RAJ/patient-number","value":"1234567"}],
		"name":[{"use":"nickname","given":["Addie"]},{"use":"official","family":"TESTER","given":["Ada","Mary"]}],"birthDate":"1941-03-12",
		"address":[{"use":"home","line":["1 EXAMPLE ROAD"],"postalCode":"rm17 5aa"}],
		"generalPractitioner":[{"identifier":{"system":"https://fhir.nhs.uk/Id/ods-organization-code","value":"F81155"}}],"deceasedBoolean":false}`
	planned  = `{"url":"http://hl7.org/fhir/5.0/StructureDefinition/extension-Encounter.plannedEndDate","valueDateTime":"2026-09-05"}`
	another  = `"identifier":{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990000034"}`
	criteria = `{"url":"https://homeward-care.github.io/fhir/StructureDefinition/criteria-to-reside","extension":[{"url":"met","valueBoolean":false},{"url":"since","valueDateTime":"2026-09-01T08:00:00+01:00"}]}`
)

// stay is an Encounter of that status, with more of its members.
func stay(status string, more ...string) string {
	members := append([]string{`"resourceType":"Encounter"`, `"status":"` + status + `"`, `"class":{"code":"IMP"}`, `"identifier":[` + visit + `]`,
		`"subject":{"reference":"#p"}`, `"contained":[` + person + `]`}, more...)
	return "{" + strings.Join(members, ",") + "}"
}

const leftAt = `"period":{"start":"2026-08-25T09:15:00+01:00","end":"2026-09-02T14:25:00+01:00"}`

func referral(status string) string {
	return `{"resourceType":"ServiceRequest","status":"` + status + `","intent":"order","subject":{"reference":"Patient/x"},"encounter":{"identifier":` + visit + `}}`
}

// letterOf is the Bundle of a message.
func letterOf(event string, resources ...string) string {
	entries := []string{`{"resource":{"resourceType":"MessageHeader","id":"m1","eventCoding":{"system":"https://homeward-care.github.io/fhir/CodeSystem/handover-event","code":"` + event + `"},"source":{"endpoint":"urn:x"}}}`}
	for _, r := range resources {
		entries = append(entries, `{"resource":`+r+`}`)
	}
	return `{"resourceType":"Bundle","type":"message","timestamp":"2026-09-02T14:26:00+01:00","entry":[` + strings.Join(entries, ",") + `]}`
}

func TestEncounterWithItsPatientIsReadAsItIsMeant(t *testing.T) {
	encounter := stay("finished", leftAt, `"serviceProvider":{"identifier":{"system":"https://fhir.nhs.uk/Id/ods-organization-code","value":"RAJ12"}}`,
		`"location":[{"location":{"identifier":{"system":"https://fhir.nhs.uk/Id/ods-site-code","value":"RAJ12"}}}]`,
		`"hospitalization":{"dischargeDisposition":{"coding":[{"system":"https://fhir.hl7.org.uk/CodeSystem/UKCore-DischargeDestinationEngland","code":"19"}]}}`,
		`"extension":[{"url":"https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-DischargeMethod","valueCodeableConcept":{"coding":[{"code":"1"}]}},`+criteria+
			`,{"url":"https://homeward-care.github.io/fhir/StructureDefinition/discharge-pathway","valueCode":"2"}]`)
	got, issues := Read(feed(t), Request{ID: "r1", Received: received, Resource: json.RawMessage(encounter)})
	want := discharge.Event{
		MessageID: "r1", Kind: discharge.KindDischarge, RecordedAt: received, VisitNumber: "SPELL0001", PatientNumber: "1234567",
		AdmittedAt: time.Date(2026, 8, 25, 8, 15, 0, 0, time.UTC), Site: "RAJ12", Class: "I", NHSNumber: "9990000026", NHSNumberStatus: "01",
		FamilyName: "TESTER", GivenName: "Ada", BirthDate: "1941-03-12", Postcode: "rm17 5aa", Practice: "F81155",
		DeathIndicator: discharge.Tell(false), DischargedAt: time.Date(2026, 9, 2, 13, 25, 0, 0, time.UTC), Method: "1", Destination: "19",
		Pathway: "2", MeetsCriteria: discharge.Tell(false), ReadyAt: time.Date(2026, 9, 1, 7, 0, 0, 0, time.UTC),
	}
	if diff := cmp.Diff(want, got); diff != "" || len(issues) > 0 {
		t.Error(diff, issues)
	}
}

func TestWhatRequestsSay(t *testing.T) {
	expected := time.Date(2026, 9, 4, 23, 0, 0, 0, time.UTC)
	referred := []discharge.Involvement{discharge.HubReferral}
	for _, c := range []struct {
		name, resource, before string
		kind                   discharge.Kind
		check                  func(e discharge.Event) bool
	}{
		{"in hospital", stay("in-progress"), "", discharge.KindUpdate, func(e discharge.Event) bool { return e.Class == "I" }},
		{"in A&E", strings.Replace(stay("in-progress"), "IMP", "EMER", 1), "", discharge.KindUpdate, func(e discharge.Event) bool { return e.Class == "E" }},
		{"of a class of the hospital's own", strings.Replace(stay("in-progress"), "IMP", "WARD", 1), "", discharge.KindUpdate, func(e discharge.Event) bool { return e.Class == "" }},
		{"the expected date", stay("in-progress", `"extension":[`+planned+`]`), "", discharge.KindUpdate, func(e discharge.Event) bool { return e.ExpectedDischarge.Equal(expected) }},
		{"no date expected any more", stay("in-progress"), stay("in-progress", `"extension":[`+planned+`]`), discharge.KindUpdate, func(e discharge.Event) bool { return e.ExpectationCleared }},
		{"the discharge is cancelled", stay("in-progress"), stay("finished", leftAt), discharge.KindCancelDischarge, nil},
		{"a correction", stay("finished", leftAt), stay("finished", leftAt), discharge.KindDischarge, nil},
		{"no such stay", stay("cancelled"), stay("in-progress"), discharge.KindCancelAdmit, nil},
		{"expected", stay("planned"), "", discharge.KindExpect, nil},
		{"expected no more", stay("cancelled"), stay("planned"), discharge.KindCancelExpect, nil},
		{"admitted", stay("in-progress"), stay("planned"), discharge.KindAdmit, nil},
		{"on leave", stay("onleave"), stay("in-progress"), discharge.KindLeave, nil},
		{"back", stay("in-progress"), stay("onleave"), discharge.KindReturn, nil},
		{"such a stay after all", stay("in-progress"), stay("cancelled"), discharge.KindAdmit, nil},
		{"referred", referral("active"), "", discharge.KindUpdate, func(e discharge.Event) bool { return cmp.Equal(e.Involvements, referred) }},
		{"the referral is withdrawn", referral("revoked"), referral("active"), discharge.KindUpdate, func(e discharge.Event) bool { return cmp.Equal(e.Withdrawn, referred) }},
		{"by message: referred", letterOf("referral", stay("in-progress"), referral("active")), "", discharge.KindUpdate, func(e discharge.Event) bool { return cmp.Equal(e.Involvements, referred) }},
		{"by message: the predicted date", letterOf("predicted-date", stay("in-progress", `"extension":[`+planned+`]`)), "", discharge.KindUpdate, func(e discharge.Event) bool { return e.ExpectedDischarge.Equal(expected) }},
		{"by message: readiness", letterOf("readiness", stay("in-progress", `"extension":[`+criteria+`]`)), "", discharge.KindUpdate, func(e discharge.Event) bool { return e.MeetsCriteria == discharge.Tell(false) }},
		{"by message: notice", letterOf("discharge-notice", stay("in-progress", `"extension":[`+planned+`]`)), "", discharge.KindUpdate, func(e discharge.Event) bool {
			return e.ExpectedDischarge.Equal(expected) && cmp.Equal(e.Involvements, referred)
		}},
		{"by message: notice withdrawn", letterOf("discharge-notice-withdrawn", stay("in-progress")), "", discharge.KindUpdate, func(e discharge.Event) bool { return e.ExpectationCleared }},
		{"by message: discharged", letterOf("discharged", stay("finished", leftAt)), "", discharge.KindDischarge, func(e discharge.Event) bool { return e.Method == "" && !e.DischargedAt.IsZero() }},
		{"by message: self-discharge", letterOf("self-discharge", stay("finished", leftAt)), "", discharge.KindDischarge, func(e discharge.Event) bool { return e.Method == "6" }},
		{"by message: discharge cancelled", letterOf("discharge-cancelled", stay("in-progress")), "", discharge.KindCancelDischarge, nil},
		{"by message: referral cancelled", letterOf("referral-cancelled", stay("in-progress"), referral("revoked")), "", discharge.KindUpdate, func(e discharge.Event) bool { return cmp.Equal(e.Withdrawn, referred) }},
	} {
		e, issues := Read(feed(t), Request{ID: "r", Received: received, Resource: json.RawMessage(c.resource), Before: json.RawMessage(c.before)})
		if len(issues) > 0 || e.Kind != c.kind || c.check != nil && !c.check(e) {
			t.Errorf("%s: %+v, %v", c.name, e, issues)
			continue
		}
		if e.VisitNumber != "SPELL0001" {
			t.Errorf("%s: visit %q", c.name, e.VisitNumber)
		}
		wantAt := received
		if strings.HasPrefix(c.name, "by message") {
			wantAt = time.Date(2026, 9, 2, 13, 26, 0, 0, time.UTC)
		}
		if !e.RecordedAt.Equal(wantAt) {
			t.Errorf("%s: recorded at %s", c.name, e.RecordedAt)
		}
	}
}

func TestEveryIssueNamesItsElement(t *testing.T) {
	for _, c := range []struct {
		name, resource string
		code           Code
		expression     string
	}{
		{"no JSON", `{"resourceType":`, Structure, ""},
		{"two resources", stay("in-progress") + stay("in-progress"), Structure, ""},
		{"another type", `{"resourceType":"Observation"}`, NotSupported, "Observation.resourceType"},
		{"a number for a word", strings.Replace(stay("in-progress"), `"in-progress"`, `7`, 1), Structure, "Encounter.status"},
		{"one identifier, not in a list", strings.Replace(stay("in-progress"), `[`+visit+`]`, visit, 1), Structure, "Encounter.identifier"},
		{"no class", strings.Replace(stay("in-progress"), `"class"`, `"klass"`, 1), Required, "Encounter.class"},
		{"no visit number", strings.Replace(stay("in-progress"), "visit-number", "other", 1), Required, "Encounter.identifier"},
		{"left without a time", stay("finished"), Required, "Encounter.period.end"},
		{"left on a day", stay("finished", `"period":{"end":"2026-09-02"}`), Value, "Encounter.period.end"},
		{"left next week", stay("finished", `"period":{"end":"2026-09-12T10:00:00Z"}`), Value, "Encounter.period.end"},
		{"left at a null date", stay("finished", `"period":{"end":"1900-01-01T00:00:00Z"}`), Value, "Encounter.period.end"},
		{"left before birth", strings.Replace(stay("finished", `"period":{"end":"2026-09-01T14:25:00Z"}`), "1941-03-12", "2026-09-02", 1), Value, "Encounter.period.end"},
		{"left before birth, by message", letterOf("discharged", strings.Replace(stay("finished", `"period":{"end":"2026-09-01T14:25:00Z"}`), "1941-03-12", "2026-09-02", 1)),
			Value, "Bundle.entry[1].resource.period.end"},
		{"no date", stay("finished", `"period":{"end":"2 Sept"}`), Structure, "Encounter.period.end"},
		{"an end though there", stay("in-progress", leftAt), Invariant, "Encounter.period.end"},
		{"an unknown status", stay("waiting"), Value, "Encounter.status"},
		{"another provider", stay("in-progress", `"serviceProvider":{"identifier":{"system":"https://fhir.nhs.uk/Id/ods-organization-code","value":"RF4"}}`), Value, "Encounter.serviceProvider.identifier.value"},
		{"a modifier", stay("in-progress", `"modifierExtension":[{"url":"urn:x","valueBoolean":true}]`), NotSupported, "Encounter.modifierExtension"},
		{"no person there", strings.Replace(stay("in-progress"), `"#p"`, `"#q"`, 1), Value, "Encounter.subject.reference"},
		{"a control character", strings.Replace(stay("in-progress"), `SPELL0001`, `SPELL\u0000`, 1), Structure, "Encounter.identifier[0].value"},
		{"a wrong pathway", stay("in-progress", `"extension":[{"url":"https://homeward-care.github.io/fhir/StructureDefinition/discharge-pathway","valueCode":"P2"}]`), Value, "Encounter.extension[0].valueCode"},
		{"no intent", strings.Replace(referral("active"), `"intent"`, `"intend"`, 1), Required, "ServiceRequest.intent"},
		{"another person's number", strings.Replace(stay("in-progress"), `"reference":"#p"`, `"reference":"#p",`+another, 1), Value, "Encounter.subject.identifier.value"},
		{"another person beside it", letterOf("discharged", person, strings.Replace(stay("finished", leftAt), `"reference":"#p"`, another, 1)),
			Value, "Bundle.entry[2].resource.subject.identifier.value"},
		{"an unknown event", letterOf("arrived", stay("in-progress")), NotSupported, "Bundle.entry[0].resource.eventCoding.code"},
		{"no Encounter", letterOf("discharged"), Required, "Bundle.entry"},
		{"two people", letterOf("discharged", stay("finished", leftAt), stay("finished", leftAt)), NotSupported, "Bundle.entry[2].resource"},
		{"no time of recording", strings.Replace(letterOf("discharged", stay("finished", leftAt)), `"timestamp"`, `"stamp"`, 1), Required, "Bundle.timestamp"},
		{"recorded at a null date", strings.Replace(letterOf("readiness", stay("in-progress", `"extension":[`+criteria+`]`)), `"timestamp":"2026`, `"timestamp":"1900`, 1), Value, "Bundle.timestamp"},
		{"a name twice", stay("finished", leftAt, `"status":"in-progress"`), Structure, ""},
		{"the wrong status", letterOf("discharged", stay("in-progress")), Invariant, "Bundle.entry[1].resource.status"},
		{"no readiness", letterOf("readiness", stay("in-progress")), Required, "Bundle.entry[1].resource.extension('" + criteriaToReside + "')"},
		{"not a self-discharge", letterOf("self-discharge", stay("finished", leftAt, `"extension":[{"url":"`+dischargeMethod+`","valueCodeableConcept":{"coding":[{"code":"1"}]}}]`)),
			Invariant, "Bundle.entry[1].resource.extension[0]"},
	} {
		_, issues := Read(feed(t), Request{ID: "r", Received: received, Resource: json.RawMessage(c.resource)})
		found := false
		for _, i := range issues {
			found = found || i.Severity == Error && i.Code == c.code && i.Expression == c.expression && i.Diagnostics != ""
		}
		if !found || !Refused(issues) {
			t.Errorf("%s: %+v", c.name, issues)
		}
	}
}

func TestDoubtsAreWarningsAndTheRestIsTaken(t *testing.T) {
	resource := strings.NewReplacer("9990000026", "9990000027", "rm17 5aa", "Grays", "F81155", "Balfour").Replace(stay("finished", leftAt,
		`"hospitalization":{"dischargeDisposition":{"coding":[{"code":"home"}]}}`))
	e, issues := Read(feed(t), Request{ID: "r", Received: received, Resource: json.RawMessage(resource)})
	var paths []string
	for _, i := range issues {
		paths = append(paths, fmt.Sprint(i.Severity, " ", i.Expression))
	}
	want := []string{"warning Encounter.contained[0].identifier[0].value", "warning Encounter.contained[0].address[0].postalCode",
		"warning Encounter.contained[0].generalPractitioner[0].identifier.value", "warning Encounter.hospitalization.dischargeDisposition.coding[0].code"}
	if diff := cmp.Diff(want, paths); diff != "" || Refused(issues) || e.DischargedAt.IsZero() {
		t.Error(diff)
	}
}

func TestADischargeBeforeTheAdmissionIsTakenWithAWarning(t *testing.T) {
	e, issues := Read(feed(t), Request{ID: "1", Received: received, Resource: json.RawMessage(
		stay("finished", `"period":{"start":"2026-09-02T09:15:00+01:00","end":"2026-09-01T14:25:00+01:00"}`))})
	if e.DischargedAt.IsZero() || len(issues) != 1 || issues[0].Severity != Warning || issues[0].Expression != "Encounter.period.end" {
		t.Errorf("discharged at %v, %v", e.DischargedAt, issues)
	}
}

func TestWhatIsNotInUseIsNotRead(t *testing.T) {
	resource := `{"resourceType":"Patient","identifier":[
		{"system":"https://fhir.example.nhs.uk/RAJ/patient-number","value":"1"},{"use":"old","system":"https://fhir.example.nhs.uk/RAJ/patient-number","value":"2"},
		{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990000026"},{"use":"old","system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990000034"}],
		"name":[{"use":"old","family":"BEFORE"},{"family":"TESTER"}],
		"address":[{"use":"old","postalCode":"RM16 2AP"},{"use":"home","postalCode":"RM20 1AA","period":{"end":"2020-01-01"}},{"use":"home","postalCode":"RM17 5AA"},
		{"use":"temp","postalCode":"RM15 5AA"}]}`
	sent, issues := Examine(feed(t), []byte(resource))
	e, more := Read(feed(t), Request{ID: "1", Received: received, Resource: json.RawMessage(resource)})
	got := []string{sent.PatientNumber, e.PatientNumber, e.NHSNumber, e.FamilyName, e.Postcode}
	if diff := cmp.Diff([]string{"1", "1", "9990000026", "TESTER", "RM17 5AA"}, got); diff != "" || len(issues)+len(more) > 0 {
		t.Error(diff, issues, more)
	}
	two := strings.Replace(resource, `"use":"old","system"`, `"system"`, 1)
	if _, issues := Examine(feed(t), []byte(two)); len(issues) != 1 || issues[0].Expression != "Patient.identifier[1].value" {
		t.Error("two patient numbers:", issues)
	}
	two = strings.Replace(resource, `{"use":"old","system":"https://fhir.nhs.uk`, `{"system":"https://fhir.nhs.uk`, 1)
	if e, issues := Read(feed(t), Request{ID: "1", Received: received, Resource: json.RawMessage(two)}); len(issues) != 1 || issues[0].Expression != "Patient.identifier[3].value" || e.NHSNumber != "" {
		t.Error("two NHS numbers:", e.NHSNumber, issues)
	}
	same := strings.Replace(two, "9990000034", "999 000 0026", 1)
	if e, issues := Read(feed(t), Request{ID: "1", Received: received, Resource: json.RawMessage(same)}); len(issues) != 0 || bare(e.NHSNumber) != "9990000026" {
		t.Error("one NHS number twice:", e.NHSNumber, issues)
	}
}

func TestAStoredRequestIsReadTheSameAgain(t *testing.T) {
	body, err := Request{ID: "r", Received: received, Resource: json.RawMessage(stay("in-progress")), Before: json.RawMessage(stay("finished", leftAt))}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	one, err := Stored(feed(t), body)
	if err != nil || !one.Usable || one.Fact.Kind != discharge.KindCancelDischarge || one.Fact.SpellID != discharge.SpellID("RAJ", "SPELL0001", "", time.Time{}) {
		t.Fatalf("%+v, %v", one, err)
	}
	two, _ := Stored(feed(t), body)
	if diff := cmp.Diff(one, two); diff != "" {
		t.Error(diff)
	}
}

// FuzzRead looks for a body that breaks the reader, or that it takes without a stay.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{person, stay("finished", leftAt, `"extension":[`+planned+`,`+criteria+`]`), referral("active"),
		letterOf("referral", person, stay("in-progress"), referral("active")), `{"resourceType":"Bundle","type":"message","entry":[null,{"resource":[]}]}`} {
		f.Add([]byte(seed))
	}
	in := feed(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		Examine(in, raw)
		Carried(in, raw)
		Systems(raw)
		MessageID(raw)
		e, issues := Read(in, Request{ID: "r", Received: received, Resource: raw})
		if Refused(issues) {
			return
		}
		if r := discharge.FromEvent(in, e); !r.Usable && e.VisitNumber+e.PatientNumber != "" {
			t.Errorf("taken, and not usable: %v", r.Problems)
		}
	})
}
