package dischargehub

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
)

// openAPIDocument reads the document, which must be one.
func openAPIDocument(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(fhir.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestTheOpenAPIDocumentHasEveryRouteAndNoOther(t *testing.T) {
	want := []string{"POST " + tokenPath}
	for _, r := range routes() {
		want = append(want, r.method+" "+fhirPath+r.path)
	}
	var got []string
	for path, item := range openAPIDocument(t).Paths.Map() {
		for method, operation := range item.Operations() {
			got = append(got, method+" "+path)
			open := operation.Security != nil && len(*operation.Security) == 0
			for _, r := range routes() {
				if r.method == method && fhirPath+r.path == path && r.open != open {
					t.Errorf("%s %s: needs a token, or not, otherwise than the document says", method, path)
				}
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheCapabilityStatementIsTrue(t *testing.T) {
	_, e := startFHIR(t)
	a := e.send(t, "GET", "/fhir/metadata", "", "Authorization", "").want(t, 200)
	rest := a.body["rest"].([]any)[0].(map[string]any)
	offered := map[string]bool{}
	for _, r := range rest["resource"].([]any) {
		resource := r.(map[string]any)
		for _, i := range resource["interaction"].([]any) {
			offered[fmt.Sprint(resource["type"], " ", i.(map[string]any)["code"])] = true
		}
	}
	// What is offered is answered, and what is not is refused as such.
	for _, typ := range []string{"Patient", "Encounter", "ServiceRequest", "Task", "Observation"} {
		for interaction, request := range map[string][2]string{
			"create": {"POST", "/fhir/" + typ}, "read": {"GET", "/fhir/" + typ + "/" + spellID("V1")}, "update": {"PUT", "/fhir/" + typ + "/" + spellID("V1")},
			"delete": {"DELETE", "/fhir/" + typ + "/" + spellID("V1")}, "search-type": {"GET", "/fhir/" + typ},
		} {
			got := e.send(t, request[0], request[1], "{")
			there := got.status != http.StatusMethodNotAllowed && !strings.Contains(got.raw, "nothing at this address")
			if there != offered[typ+" "+interaction] {
				t.Errorf("%s %s: offered %v, answered %d", typ, interaction, offered[typ+" "+interaction], got.status)
			}
		}
	}
	if yaml := e.send(t, "GET", "/fhir/openapi.yaml", "", "Authorization", "").want(t, 200); !strings.HasPrefix(yaml.raw, "openapi: 3.1") {
		t.Error(yaml.raw)
	}
}

// examples are the requests of the guide: what is posted, and where to.
var examples = regexp.MustCompile(`(?s)post '?([\w$-]+)'? <<'JSON'\n(.*?)\nJSON\n`)

// lookups are the addresses that the guide reads by.
var lookups = regexp.MustCompile(`"\$HUB(/fhir/\w+\?[^"]*)"`)

func TestTheGuidesExamplesAreTaken(t *testing.T) {
	guide, err := os.ReadFile("docs/fhir.md")
	if err != nil {
		t.Fatal(err)
	}
	found := examples.FindAllStringSubmatch(string(guide), -1)
	if len(found) < 2 {
		t.Fatalf("%d examples", len(found))
	}
	h, e := startFHIR(t)
	for _, m := range found {
		if a := e.send(t, "POST", "/fhir/"+m[1], m[2]); a.status/100 != 2 || strings.Contains(a.raw, `"severity":"warning"`) {
			t.Errorf("%s: %d %s", m[1], a.status, a.raw)
		}
	}
	addresses := lookups.FindAllStringSubmatch(string(guide), -1)
	if len(addresses) < 3 {
		t.Fatalf("%d addresses", len(addresses))
	}
	for _, m := range addresses {
		if found := e.send(t, "GET", m[1], "").foundIDs(t); len(found) != 1 && strings.Contains(m[1], "identifier") {
			t.Errorf("%s finds %v", m[1], found)
		}
	}
	if s := h.spell(t, spellID("SPELL0001")); s.GetDischarge().GetDestination() != "19" || s.GetHomePostcodeSector() != "RM17 5" {
		t.Errorf("discharged: %v", s)
	}
	if s := h.spell(t, spellID("SPELL0002")); s.GetExpectedDischargeOn() != "2026-12-01" || s.GetDischargeReadyOn() != "2026-11-24" {
		t.Errorf("in hospital: %v", s)
	}
}
