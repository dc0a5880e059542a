package dischargehub

import (
	"net/url"
	"strings"
	"testing"

	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/discharge-hub/migrations"
	"github.com/homeward-care/homeward/services/kit/kittest"
)

// foundIDs are the ids of the resources on a page, in its order.
func (a answer) foundIDs(t *testing.T) (list []string) {
	t.Helper()
	entries, _ := a.want(t, 200).body["entry"].([]any)
	for _, entry := range entries {
		e := entry.(map[string]any)
		if e["search"].(map[string]any)["mode"] == "match" {
			list = append(list, e["resource"].(map[string]any)["id"].(string))
		}
	}
	return list
}

// link is the address of a link of a page, without the server's own; empty when there is none.
func (a answer) link(e *engine, relation string) string {
	for _, link := range a.body["link"].([]any) {
		if l := link.(map[string]any); l["relation"] == relation {
			return strings.TrimPrefix(l["url"].(string), e.base)
		}
	}
	return ""
}

func param(name, value string) string { return name + "=" + url.QueryEscape(value) }

func TestResourcesAreFoundByTheirIdentifiers(t *testing.T) {
	h, e := startFHIR(t)
	ada, bob := fhir.PatientID("RAJ", "1234567"), fhir.PatientID("RAJ", "7654321")
	e.send(t, "POST", "/fhir/Patient", strings.Replace(aPatient("1234567", "RM17 5AA"), "9990000026", "999 000 0026", 1)).want(t, 201)
	e.send(t, "POST", "/fhir/Patient", strings.Replace(aPatient("7654321", "RM17 5AA"), "9990000026", "9990000034", 1)).want(t, 201)
	ofAda := `"subject":{"reference":"Patient/` + ada + `"}`
	e.send(t, "POST", "/fhir/Encounter", aStay("finished", "V1", ofAda, leftAt(day(2, 14)))).want(t, 201)
	e.send(t, "POST", "/fhir/Encounter", aStay("in-progress", "V2", ofAda)).want(t, 201)
	e.send(t, "POST", "/fhir/Encounter", aStay("in-progress", "V3")).want(t, 201)
	e.send(t, "POST", "/fhir/ServiceRequest", strings.Replace(aReferral("active", "V1"), `"intent"`, `"identifier":[{"system":"urn:x","value":"UBRN1"}],"intent"`, 1)).want(t, 201)
	// A message's resources are found as well.
	e.send(t, "POST", "/fhir/$process-message", aMessage("referral", day(2, 9), aPatient("1111111", "RM17 5AA"), aStay("in-progress", "V4"), aReferral("active", "V4"))).want(t, 200)
	v1, v2, v3, v4 := spellID("V1"), spellID("V2"), spellID("V3"), spellID("V4")
	nhs := func(number string) string { return param("identifier", fhir.NHSNumberSystem+"|"+number) }
	visit := func(number string) string { return param("identifier", visitSystem+"|"+number) }
	for query, want := range map[string][]string{
		"Patient?" + nhs("9990000026"):                                                       {ada, fhir.PatientID("RAJ", "1111111")},
		"Patient?" + nhs("999 000 0034"):                                                     {bob},
		"Patient?" + nhs("9990000042"):                                                       nil,
		"Patient?" + param("identifier", patientSystem+"|7654321"):                           {bob},
		"Patient?" + param("identifier", patientSystem+"|7654321,"+patientSystem+"|1234567"): {ada, bob},
		"Patient?" + nhs("9990000026") + "&" + param("identifier", patientSystem+"|1234567"): {ada},
		"Patient?" + nhs("9990000034") + "&" + param("identifier", patientSystem+"|1234567"): nil,
		"Patient?_id=" + bob:                                                             {bob},
		"Patient?_lastUpdated=lt2020-01-01&_id=" + bob:                                   nil,
		"Encounter?" + visit("V3"):                                                       {v3},
		"Encounter?" + visit("V4"):                                                       {v4},
		"Encounter?" + visit("V1") + "&" + visit("V2"):                                   nil,
		"Encounter?" + param("identifier", "urn:x|V1"):                                   nil,
		"Encounter?patient=" + ada:                                                       {v1, v2},
		"Encounter?" + param("patient", "Patient/"+strings.ToUpper(ada)):                 {v1, v2},
		"Encounter?" + param("patient", e.base+"/fhir/Patient/"+ada) + "&" + visit("V2"): {v2},
		"Encounter?patient=" + bob:                                                       nil,
		"ServiceRequest?" + param("identifier", "urn:x|UBRN1"):                           {fhir.ReferralID(v1)},
		"ServiceRequest?encounter=Encounter/" + v1:                                       {fhir.ReferralID(v1)},
		"ServiceRequest?" + param("encounter.identifier", visitSystem+"|V4"):             {fhir.ReferralID(v4)},
		"ServiceRequest?encounter=" + v2:                                                 nil,
	} {
		if got := e.send(t, "GET", "/fhir/"+query, "").foundIDs(t); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	got := e.send(t, "POST", "/fhir/Patient/_search", nhs("9990000034"), "Content-Type", formType, "X-Request-ID", "")
	if ids := got.foundIDs(t); len(ids) != 1 || !strings.Contains(got.raw, `"postalCode":"RM17 5AA"`) || !strings.Contains(got.raw, `"versionId":"1"`) {
		t.Errorf("by form: %s", got.raw)
	}

	// A number that the newest version does not have finds nothing any more.
	e.send(t, "PUT", "/fhir/Patient/"+bob, strings.Replace(aPatient("7654321", "RM17 5AA"), "9990000026", "9990000042", 1)).want(t, 200)
	for number, want := range map[string]int{"9990000034": 0, "9990000042": 1} {
		if got := e.send(t, "GET", "/fhir/Patient?"+nhs(number), "").foundIDs(t); len(got) != want {
			t.Errorf("%s: %v", number, got)
		}
	}
	if n := h.count(t, `SELECT count(*) FROM audit WHERE action = 'fhir.read' AND actor = 'client:mse-epr' AND record = '`+bob+`'`); n != 6 {
		t.Errorf("%d readings of one resource are audited", n)
	}
}

func TestWhatIsFoundComesByPages(t *testing.T) {
	h, e := startFHIR(t)
	patient := fhir.PatientID("RAJ", "1234567")
	e.send(t, "POST", "/fhir/Patient", aPatient("1234567", "RM17 5AA")).want(t, 201)
	var want []string
	for _, visit := range []string{"V1", "V2", "V3", "V4", "V5"} {
		e.send(t, "POST", "/fhir/Encounter", aStay("in-progress", visit, `"subject":{"reference":"Patient/`+patient+`"}`)).want(t, 201)
		want = append(want, spellID(visit))
	}
	var got []string
	pages := 0
	for next := "/fhir/Encounter?_count=2&patient=" + patient; next != ""; pages++ {
		a := e.send(t, "GET", next, "")
		got = append(got, a.foundIDs(t)...)
		if self := a.link(e, "self"); self != next {
			t.Errorf("self is %s, not %s", self, next)
		}
		next = a.link(e, "next")
	}
	if strings.Join(got, " ") != strings.Join(want, " ") || pages != 3 {
		t.Errorf("%d pages: %v", pages, got)
	}
	if n := h.count(t, `SELECT count(*) FROM audit WHERE action = 'fhir.read'`); n != len(want) {
		t.Errorf("%d readings are audited, not the %d of what was shown", n, len(want))
	}
}

func TestASearchThatIsNotUnderstoodFindsNothing(t *testing.T) {
	_, e := startFHIR(t)
	e.send(t, "POST", "/fhir/Patient", aPatient("1234567", "RM17 5AA")).want(t, 201)
	ada := "_id=" + fhir.PatientID("RAJ", "1234567")
	for query, issue := range map[string]string{
		"Patient":                                                  "required ",
		"Patient?_lastUpdated=ge2020-01-01":                        "required ",
		"Patient?name=TESTER":                                      "not-supported ",
		"Patient?" + ada + "&birthdate=1941-03-12":                 "not-supported ",
		"Patient?" + ada + "&patient=" + spellID("V1"):             "not-supported ",
		"Patient?identifier=9990000026":                            "value ",
		"Patient?identifier=urn:x|":                                "value ",
		"Patient?identifier=urn:x|%00":                             "value ",
		"Patient?identifier=urn:x|%FF":                             "value ",
		"Patient?_id=x":                                            "value ",
		"Encounter?patient=Group/" + spellID("V1"):                 "value ",
		"Encounter?patient=x":                                      "value ",
		"ServiceRequest?encounter=x":                               "value ",
		"ServiceRequest?encounter.identifier=urn:x|V1":             "value ",
		"Task?identifier=" + url.QueryEscape(visitSystem) + "|%00": "value ",
	} {
		if a := e.send(t, "GET", "/fhir/"+query, "").want(t, 400); a.issue() != issue {
			t.Errorf("%s: %s", query, a.raw)
		}
	}
	e.send(t, "POST", "/fhir/Patient/_search", `{}`).want(t, 415)
	lenient := e.send(t, "GET", "/fhir/Patient?birthdate=1941-03-12&"+ada, "", "Prefer", "handling=lenient")
	if ids := lenient.foundIDs(t); len(ids) != 1 || lenient.link(e, "self") != "/fhir/Patient?"+ada || !strings.Contains(lenient.raw, `"mode":"outcome"`) {
		t.Errorf("lenient: %s", lenient.raw)
	}
	// Without the parameter that is not known nothing says who is looked for.
	e.send(t, "GET", "/fhir/Patient?name=TESTER", "", "Prefer", "handling=lenient").want(t, 400)
}

func TestResourcesFromBeforeTheSearchAreFound(t *testing.T) {
	t.Parallel()
	db := kittest.Open(t, kittest.Database(t, migrations.FS))
	h := &hub{db: db}
	text, err := migrations.FS.ReadFile("0011_search.sql")
	if err != nil {
		t.Fatal(err)
	}
	_, backfill, _ := strings.Cut(string(text), "StatementBegin\n")
	backfill, _, _ = strings.Cut(backfill, "-- +goose StatementEnd")
	deep := `{"contained":[` + strings.Repeat(`{"contained":[`, 4000) + strings.Repeat(`]}`, 4000) + `]}`
	bodies := map[string]string{
		"1111": `{"identifier":[{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"999 000-0026"},{"value":"x"},{"system":"y"}],"subject":{"reference":"http://x/fhir/Patient/0C7F7C0E-5d3a-5c0e-8d0c-3f6a1b9e42d1"}}`,
		"2222": `{"identifier":"x"}`, "3333": `{"note":"\u0000","identifier":[{"value":"\u0000"}]}`, "4444": deep, "5555": `{"subject":{"reference":"#p"}}`,
	}
	for id, body := range bodies {
		if _, err := db.Pool.Exec(t.Context(), `INSERT INTO fhir_resource VALUES ('Encounter', $1, 'RAJ', 1, $2, $3)`, "00000000-0000-0000-0000-00000000"+id, day(1, 9), body); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Pool.Exec(t.Context(), backfill); err != nil {
		t.Fatal(err)
	}
	if n := h.count(t, `SELECT count(*) FROM fhir_token`); n != 3 {
		t.Errorf("%d", n)
	}
	if n := h.count(t, `SELECT count(*) FROM fhir_token WHERE id = '00000000-0000-0000-0000-000000001111' AND (name, token) IN (
		('identifier', 'https://fhir.nhs.uk/Id/nhs-number|9990000026'), ('identifier', '|x'), ('patient', '0c7f7c0e-5d3a-5c0e-8d0c-3f6a1b9e42d1'))`); n != 3 {
		t.Errorf("%d of three", n)
	}
}
