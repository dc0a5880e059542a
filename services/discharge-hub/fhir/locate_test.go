package fhir

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestElementsAreFound(t *testing.T) {
	bundle := letterOf("discharged", person, stay("finished", leftAt, `"extension":[`+planned+`,`+criteria+`]`))
	event := `{"kind": "EVENT_KIND_DISCHARGE", "person": {"died_at": "2026-09-02T14:00:00Z"}}`
	for _, c := range []struct{ raw, expression, reached, at string }{
		{stay("finished", leftAt), "Encounter.period.end", "", `"2026-09-02T14:25:00+01:00"`},
		{stay("finished", leftAt), "Encounter.identifier[0].value", "", `"SPELL0001"`},
		{stay("finished", leftAt), "Encounter.identifier[1].value", "Encounter.identifier", ``},
		{stay("finished"), "Encounter.period.end", "Encounter", ``},
		{stay("finished"), "Patient.birthDate", "", `"1941-03-12"`}, // contained
		{stay("finished"), "ServiceRequest.status", "-", ``},
		{bundle, "Encounter.period.end", "", `"2026-09-02T14:25:00+01:00"`},
		{bundle, "Patient.birthDate", "", `"1941-03-12"`},
		{bundle, "Bundle.timestamp", "", `"2026-09-02T14:26:00+01:00"`},
		{bundle, "Bundle.entry[2].resource.status", "", `"finished"`},
		{bundle, "Encounter.extension('http://hl7.org/fhir/5.0/StructureDefinition/extension-Encounter.plannedEndDate').valueDateTime", "", `"2026-09-05"`},
		{bundle, "Encounter.extension('urn:x')", "Encounter", ``},
		{event, "person.died_at", "", `"2026-09-02T14:00:00Z"`},
		{event, "discharged_at", "-", ``},
	} {
		want := c.reached
		if want == "" {
			want = c.expression
		}
		p, ok := Locate([]byte(c.raw), c.expression)
		if got := c.raw[p.Offset : p.Offset+p.Length]; !ok || p.Reached != strings.Trim(want, "-") || got != c.at {
			t.Errorf("%s: %v %+v, %q", c.expression, ok, p, got)
		}
	}
	for _, none := range []string{"", "[0]", "Encounter.", "Encounter[x]", "two words", "Encounter.extension('urn:x"} {
		if p, ok := Locate([]byte(stay("finished")), none); ok {
			t.Errorf("%q is at %+v", none, p)
		}
	}
}

// A resource is read to the depth that FHIR has, so that whoever nests a thousand of them costs a person at the hub no time.
func TestWhatIsContainedContainsNoResources(t *testing.T) {
	nested := func(levels int) string {
		raw := person
		for range levels {
			raw = `{"resourceType":"Encounter","contained":[` + raw + `]}`
		}
		return raw
	}
	for levels, found := range map[int]bool{0: true, 1: true, 2: false, 3000: false} {
		p, ok := Locate([]byte(nested(levels)), "Patient.birthDate")
		if !ok || (p.Length > 0) != found {
			t.Errorf("%d levels: %v %+v", levels, ok, p)
		}
		message := letterOf("discharged", nested(levels))
		p, ok = Locate([]byte(message), "Patient.birthDate")
		if !ok || (p.Length > 0) != found {
			t.Errorf("%d levels in a message: %v %+v", levels, ok, p)
		}
	}
	inner := letterOf("discharged", person)
	if p, ok := Locate([]byte(letterOf("discharged", inner)), "Patient.birthDate"); !ok || p.Length > 0 {
		t.Errorf("in a message in a message: %+v", p)
	}
}

// Whatever JSON and whatever expression, the place lies in the text.
func TestAPlaceLiesInTheText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SampledFrom([]string{stay("finished", leftAt), "{}", "[]", "3", ` {"a":[1,{"a":{}}]} `, `{"resourceType":"Bundle","entry":[{},{"resource":7}]}`}).Draw(t, "raw")
		expression := rapid.StringMatching(`(Encounter|Bundle|a)((\.[a-z]{1,3}|\.period|\.identifier|\[[0-3]\])){0,4}`).Draw(t, "expression")
		p, ok := Locate([]byte(raw), expression)
		if ok && (p.Offset < 0 || p.Length < 0 || p.Offset+p.Length > len(raw) || !strings.HasPrefix(expression, p.Reached)) {
			t.Fatalf("%s in %s: %+v", expression, raw, p)
		}
		if p.Length > 0 && !json.Valid([]byte(raw[p.Offset:p.Offset+p.Length])) {
			t.Fatalf("%s in %s: %q is no value", expression, raw, raw[p.Offset:p.Offset+p.Length])
		}
	})
}
