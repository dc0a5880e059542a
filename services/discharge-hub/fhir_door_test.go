package dischargehub

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/kittest"
)

// engine is a hospital's integration engine under test.
type engine struct {
	id      string
	key     ed25519.PrivateKey
	base    string
	token   string
	counter atomic.Int64
}

const visitSystem, patientSystem = "https://fhir.example.nhs.uk/RAJ/visit-number", "https://fhir.example.nhs.uk/RAJ/patient-number"

// withFHIR opens the FHIR door of a hub under test, with a client for each file; a file is the JSON of all but id and keys.
func withFHIR(t *testing.T, files map[string]string) (func(*Config), map[string]*engine) {
	t.Helper()
	dir := t.TempDir()
	engines := map[string]*engine{}
	for id, file := range files {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf(`{"id":%q,"jwks":{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":%q}]},%s}`, id, base64.RawURLEncoding.EncodeToString(public), file)
		if err := os.WriteFile(filepath.Join(dir, id+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		engines[id] = &engine{id: id, key: private}
	}
	return func(cfg *Config) {
		addr := kittest.FreeAddr(t)
		for _, e := range engines {
			e.base = "http://" + addr
		}
		cfg.FHIRAddr, cfg.FHIRPublicURL, cfg.ClientsDir = addr, "http://"+addr, dir
		cfg.TokenSigningKeyFile = filepath.Join(filepath.Dir(cfg.TokenKeysFile), "signing-key.pem") // the issuer's own
	}, engines
}

// startFHIR starts a hub with one client that may send for the feed mse-fhir.
func startFHIR(t *testing.T) (*hub, *engine) {
	open, engines := withFHIR(t, map[string]string{"mse-epr": `"feeds":["mse-fhir"]`})
	h := startHub(t, open)
	e := engines["mse-epr"]
	e.signIn(t)
	return h, e
}

func (e *engine) assertion(t *testing.T, change func(*jwt.RegisteredClaims)) string {
	t.Helper()
	claims := jwt.RegisteredClaims{Issuer: e.id, Subject: e.id, Audience: jwt.ClaimStrings{e.base + tokenPath}, ID: uuid.NewString(),
		IssuedAt: jwt.NewNumericDate(time.Now()), ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Minute))}
	change(&claims)
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	token.Header["kid"] = "k1"
	text, err := token.SignedString(e.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// askToken returns the status and the answer of the token endpoint.
func (e *engine) askToken(t *testing.T, form url.Values) (int, map[string]any) {
	t.Helper()
	resp, err := http.PostForm(e.base+tokenPath, form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

func tokenForm(assertion string) url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {jwtBearer}, "client_assertion": {assertion}}
}

func (e *engine) signIn(t *testing.T) {
	t.Helper()
	status, answer := e.askToken(t, tokenForm(e.assertion(t, func(*jwt.RegisteredClaims) {})))
	if status != http.StatusOK {
		t.Fatalf("no token: %d %v", status, answer)
	}
	e.token = answer["access_token"].(string)
}

// answer is what the door answered.
type answer struct {
	status int
	header http.Header
	body   map[string]any
	raw    string
}

// issue returns code and expression of the first error.
func (a answer) issue() string {
	list, _ := a.body["issue"].([]any)
	for _, i := range list {
		is := i.(map[string]any)
		if is["severity"] == "error" {
			expression := ""
			if x, ok := is["expression"].([]any); ok {
				expression = x[0].(string)
			}
			return fmt.Sprint(is["code"], " ", expression)
		}
	}
	return ""
}

// send makes a request; headers are pairs of name and value, an empty value leaves out what is sent otherwise.
func (e *engine) send(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, e.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+e.token)
	req.Header.Set("Content-Type", fhirJSON)
	req.Header.Set("X-Request-ID", fmt.Sprintf("%s-%d", e.id, e.counter.Add(1)))
	for i := 0; i+1 < len(headers); i += 2 {
		if req.Header.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			t.Fatalf("%s %s: not JSON: %s", method, path, raw)
		}
	}
	conforms(t, req, a)
	return a
}

// conforms checks an answer against the OpenAPI document. What is not in the document has to be refused.
func conforms(t *testing.T, req *http.Request, a answer) {
	t.Helper()
	router, err := describedRoutes()
	if err != nil {
		t.Fatal(err)
	}
	described := req.Clone(t.Context())
	described.URL.Scheme, described.URL.Host = "", "" // the document names no server
	route, params, err := router.FindRoute(described)
	if err != nil {
		if a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed {
			t.Errorf("%s %s is answered %d and not in the OpenAPI document", req.Method, req.URL.Path, a.status)
		}
		return
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 a.status, Header: a.header, Body: io.NopCloser(strings.NewReader(a.raw)),
	}
	if err := openapi3filter.ValidateResponse(t.Context(), input); err != nil {
		t.Errorf("%s %s is not as the OpenAPI document says: %v", req.Method, req.URL.Path, err)
	}
}

var describedRoutes = sync.OnceValues(func() (routers.Router, error) {
	openapi3filter.RegisterBodyDecoder(fhirJSON, openapi3filter.JSONBodyDecoder)
	doc, err := openapi3.NewLoader().LoadFromData(fhir.OpenAPI)
	if err != nil {
		return nil, err
	}
	return legacy.NewRouter(doc)
})

// want fails the test unless the status is the one that is wanted.
func (a answer) want(t *testing.T, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("answered %d, want %d: %s", a.status, status, a.raw)
	}
	return a
}

// Resources of one stay, with what most tests do not care about.
func aPatient(number, postcode string) string {
	return fmt.Sprintf(`{"resourceType":"Patient","identifier":[{"system":%q,"value":%q},{"system":%q,"value":"9990000026"}],
		"name":[{"family":"TESTER","given":["Ada"]}],"birthDate":"1941-03-12","address":[{"use":"home","postalCode":%q}],
		"generalPractitioner":[{"identifier":{"system":%q,"value":"F81155"}}]}`, patientSystem, number, fhir.NHSNumberSystem, postcode, fhir.ODSSystem)
}

func aStay(status, visit string, more ...string) string {
	members := append([]string{`"resourceType":"Encounter"`, fmt.Sprintf(`"status":%q`, status), `"class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"IMP"}`,
		fmt.Sprintf(`"identifier":[{"system":%q,"value":%q}]`, visitSystem, visit)}, more...)
	return "{" + strings.Join(members, ",") + "}"
}

func leftAt(at time.Time) string {
	return fmt.Sprintf(`"period":{"start":"2026-08-25T09:15:00+01:00","end":%q}`, at.Format(time.RFC3339))
}

const expectedOn = `"extension":[{"url":"http://hl7.org/fhir/5.0/StructureDefinition/extension-Encounter.plannedEndDate","valueDateTime":"2026-09-05"}]`

func aReferral(status, visit string) string {
	return fmt.Sprintf(`{"resourceType":"ServiceRequest","status":%q,"intent":"order","subject":{"display":"see the Encounter"},"encounter":{"identifier":{"system":%q,"value":%q}}}`,
		status, visitSystem, visit)
}

func aMessage(event string, recorded time.Time, resources ...string) string {
	entries := []string{fmt.Sprintf(`{"resource":{"resourceType":"MessageHeader","id":%q,"eventCoding":{"system":%q,"code":%q},"source":{"endpoint":"urn:mse"}}}`, uuid.NewString(), fhir.EventSystem, event)}
	for _, r := range resources {
		entries = append(entries, `{"resource":`+r+`}`)
	}
	return fmt.Sprintf(`{"resourceType":"Bundle","type":"message","timestamp":%q,"entry":[%s]}`, recorded.Format(time.RFC3339), strings.Join(entries, ","))
}

func spellID(visit string) string { return discharge.SpellID("RAJ", visit, "", time.Time{}) }

func where(visit string) string { return "?identifier=" + url.QueryEscape(visitSystem+"|"+visit) }

func TestAClientThatAsksTooOftenIsToldToWaitAndTheOthersAreNot(t *testing.T) {
	open, engines := withFHIR(t, map[string]string{"wild": `"feeds":["mse-fhir"]`, "tame": `"feeds":["mse-fhir"]`})
	h := startHub(t, open, func(cfg *Config) { cfg.FHIRRate = 0.01 }) // one request, and long nothing
	wild, tame := engines["wild"], engines["tame"]
	token, err := h.issuer.Mint(authn.Principal{Subject: "client:wild", Roles: []authn.Role{authn.Integration}, Feeds: []string{"mse-fhir"}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	wild.token = token
	wild.send(t, "POST", "/fhir/Encounter", aStay("in-progress", "V1")).want(t, 201)
	a := wild.send(t, "POST", "/fhir/Encounter", aStay("in-progress", "V2")).want(t, 429)
	if after, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || after < 1 || a.issue() != "throttled " || !strings.Contains(a.raw, "REC_TOO_MANY_REQUESTS") {
		t.Errorf("Retry-After %q, %s", a.header.Get("Retry-After"), a.raw)
	}
	refused, err := http.PostForm(wild.base+tokenPath, tokenForm(wild.assertion(t, func(*jwt.RegisteredClaims) {})))
	if err != nil {
		t.Fatal(err)
	}
	defer refused.Body.Close()
	var told map[string]string
	if err := json.NewDecoder(refused.Body).Decode(&told); err != nil || refused.StatusCode != 429 || told["error"] != "temporarily_unavailable" || told["error_description"] == "" {
		t.Errorf("a token: %d %v %v", refused.StatusCode, told, err)
	}
	if after, err := strconv.Atoi(refused.Header.Get("Retry-After")); err != nil || after < 1 {
		t.Errorf("a token: Retry-After %q", refused.Header.Get("Retry-After"))
	}
	// Who only says that it is another spends nothing of the other's.
	forged := &engine{id: "tame", key: wild.key, base: wild.base}
	for range 3 {
		if status, told := forged.askToken(t, tokenForm(forged.assertion(t, func(*jwt.RegisteredClaims) {}))); status != 401 {
			t.Errorf("a forged assertion: %d %v", status, told)
		}
	}
	tame.signIn(t)
}

func TestASharePassesWithTheServicesClock(t *testing.T) {
	now := day(1, 9)
	r := newRates(2, func() time.Time { return now })
	for range 4 {
		if wait := r.wait("a"); wait != 0 {
			t.Fatalf("two seconds' requests may come at once, and one waits %v", wait)
		}
	}
	if wait := r.wait("a"); wait != time.Second/2 {
		t.Errorf("the next waits %v", wait)
	}
	now = now.Add(time.Second / 2)
	if wait := r.wait("a"); wait != 0 {
		t.Errorf("after its time it waits %v", wait)
	}
	now = now.AddDate(-1, 0, 0)
	if wait := r.wait("a"); wait != time.Second/2 {
		t.Errorf("by a clock that was set back it waits %v", wait)
	}
}
