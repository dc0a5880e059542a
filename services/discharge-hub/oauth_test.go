package dischargehub

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/rpc"
	"go.opentelemetry.io/otel/trace/noop"
)

func TestAnAssertionIsGoodOnceAndOnlyAsItIsSpecified(t *testing.T) {
	open, engines := withFHIR(t, map[string]string{"mse-epr": `"feeds":["mse-fhir"]`, "other": `"feeds":["mse-fhir"]`})
	startHub(t, open)
	e, other := engines["mse-epr"], engines["other"]
	in := func(d time.Duration) *jwt.NumericDate { return jwt.NewNumericDate(time.Now().Add(d)) }
	forged := &engine{id: "mse-epr", key: other.key, base: e.base}
	for _, c := range []struct {
		name   string
		form   func() url.Values
		status int
		code   string
	}{
		{"another audience", func() url.Values {
			return tokenForm(e.assertion(t, func(c *jwt.RegisteredClaims) { c.Audience = jwt.ClaimStrings{"https://elsewhere.example/token"} }))
		}, 401, "invalid_client"},
		{"expired", func() url.Values {
			return tokenForm(e.assertion(t, func(c *jwt.RegisteredClaims) { c.ExpiresAt, c.IssuedAt = in(-time.Minute), in(-2*time.Minute) }))
		}, 401, "invalid_client"},
		{"good for too long", func() url.Values {
			return tokenForm(e.assertion(t, func(c *jwt.RegisteredClaims) { c.ExpiresAt = in(10 * time.Minute) }))
		}, 401, "invalid_client"},
		{"never expires", func() url.Values {
			return tokenForm(e.assertion(t, func(c *jwt.RegisteredClaims) { c.ExpiresAt = nil }))
		}, 401, "invalid_client"},
		{"issued in the future", func() url.Values {
			return tokenForm(e.assertion(t, func(c *jwt.RegisteredClaims) { c.IssuedAt = in(2 * time.Minute) }))
		}, 401, "invalid_client"},
		{"no jti", func() url.Values { return tokenForm(e.assertion(t, func(c *jwt.RegisteredClaims) { c.ID = "" })) }, 401, "invalid_client"},
		{"an unknown client", func() url.Values {
			return tokenForm(e.assertion(t, func(c *jwt.RegisteredClaims) { c.Issuer, c.Subject = "nobody", "nobody" }))
		}, 401, "invalid_client"},
		{"for somebody else", func() url.Values {
			return tokenForm(e.assertion(t, func(c *jwt.RegisteredClaims) { c.Subject = "other" }))
		}, 401, "invalid_client"},
		{"with another's key", func() url.Values { return tokenForm(forged.assertion(t, func(*jwt.RegisteredClaims) {})) }, 401, "invalid_client"},
		{"no assertion", func() url.Values { return tokenForm("") }, 401, "invalid_client"},
		{"a secret", func() url.Values { return url.Values{"grant_type": {"client_credentials"}, "client_secret": {"x"}} }, 400, "invalid_request"},
		{"another grant", func() url.Values { return url.Values{"grant_type": {"password"}} }, 400, "unsupported_grant_type"},
	} {
		if got, answer := e.askToken(t, c.form()); got != c.status || answer["error"] != c.code || answer["error_description"] == "" {
			t.Errorf("%s: %d %v", c.name, got, answer)
		}
	}
	good := tokenForm(e.assertion(t, func(*jwt.RegisteredClaims) {}))
	if got, answer := e.askToken(t, good); got != http.StatusOK || answer["token_type"] != "Bearer" {
		t.Fatalf("a good assertion: %d %v", got, answer)
	}
	if got, answer := e.askToken(t, good); got != http.StatusUnauthorized || !strings.Contains(answer["error_description"].(string), "jti") {
		t.Errorf("the same assertion again: %d %v", got, answer)
	}
}

func TestWhatIsWrongWithAnAssertionIsSaid(t *testing.T) {
	open, engines := withFHIR(t, map[string]string{"mse-epr": `"feeds":["mse-fhir"]`, "other": `"feeds":["mse-fhir"]`})
	startHub(t, open)
	e := engines["mse-epr"]
	forged := &engine{id: "mse-epr", key: engines["other"].key, base: e.base}
	late := jwt.NewNumericDate(time.Now().Add(-time.Hour))
	soon := jwt.NewNumericDate(time.Now().Add(time.Hour))
	same := func(*jwt.RegisteredClaims) {}
	headed := func(header string) string {
		_, rest, _ := strings.Cut(e.assertion(t, same), ".")
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + rest
	}
	for says, assertion := range map[string]string{
		"aud must be " + e.base + tokenPath: e.assertion(t, func(c *jwt.RegisteredClaims) { c.Audience = jwt.ClaimStrings{"https://elsewhere.example"} }),
		"expired":                           e.assertion(t, func(c *jwt.RegisteredClaims) { c.ExpiresAt = late }),
		"exp must be there":                 e.assertion(t, func(c *jwt.RegisteredClaims) { c.ExpiresAt = nil }),
		"iat is in the future":              e.assertion(t, func(c *jwt.RegisteredClaims) { c.IssuedAt = soon }),
		"nbf is in the future":              e.assertion(t, func(c *jwt.RegisteredClaims) { c.NotBefore = soon }),
		"iss and sub":                       e.assertion(t, func(c *jwt.RegisteredClaims) { c.Issuer, c.Subject = "nobody", "nobody" }),
		"not that of the key":               forged.assertion(t, same),
		`kid is "k2"`:                       headed(`{"alg":"EdDSA","kid":"k2"}`),
		`alg is "none"`:                     headed(`{"alg":"none","kid":"k1"}`),
		`alg is "HS256"; it must be one of`: headed(`{"alg":"HS256","kid":"k1"}`),
		"no JWT":                            "a secret",
	} {
		status, answer := e.askToken(t, tokenForm(assertion))
		if text, _ := answer["error_description"].(string); status != http.StatusUnauthorized || !strings.Contains(text, says) || strings.Contains(text, "\n") {
			t.Errorf("%d %q, which does not say %q", status, text, says)
		}
	}
}

func TestAClientSendsForItsOwnFeedsOnly(t *testing.T) {
	feeds := t.TempDir()
	for _, name := range []string{"mse-fhir", "mse-basildon", "hub-staff"} {
		text, err := os.ReadFile(filepath.Join("feeds", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		files := map[string]string{name: string(text)}
		if name == "mse-fhir" {
			files["bhrut-fhir"] = strings.NewReplacer("mse-fhir", "bhrut-fhir", "RAJ", "RF4").Replace(string(text))
		}
		if name == "hub-staff" {
			files["bhrut-grpc"] = strings.NewReplacer("hub-staff", "bhrut-grpc", "RAJ", "RF4").Replace(string(text))
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(feeds, name+".json"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	open, engines := withFHIR(t, map[string]string{"mse": `"feeds":["mse-fhir"]`, "bhrut": `"feeds":["bhrut-fhir","bhrut-grpc"]`})
	h := startHub(t, open, func(cfg *Config) { cfg.FeedsDir = feeds })
	mse, bhrut := engines["mse"], engines["bhrut"]
	mse.signIn(t)
	bhrut.signIn(t)

	mse.send(t, "POST", "/fhir/Encounter", aStay("in-progress", "V1")).want(t, 201)
	if a := bhrut.send(t, "PUT", "/fhir/Encounter"+where("V1"), aStay("cancelled", "V1")).want(t, 403); a.issue() != "forbidden " {
		t.Error(a.raw)
	}
	h.spell(t, spellID("V1"))
	bhrut.send(t, "GET", "/fhir/Encounter/"+spellID("V1"), "").want(t, 404)
	for _, query := range []string{param("identifier", visitSystem+"|V1"), "_id=" + spellID("V1")} {
		if found := mse.send(t, "GET", "/fhir/Encounter?"+query, "").foundIDs(t); len(found) != 1 {
			t.Errorf("%s: the client's own stay is not found", query)
		}
		if found := bhrut.send(t, "GET", "/fhir/Encounter?"+query, "").foundIDs(t); len(found) != 0 {
			t.Errorf("%s: another's stay is found", query)
		}
	}
	bhrut.send(t, "PUT", "/fhir/Encounter/"+spellID("V1"), strings.Replace(aStay("cancelled", "V1"), "RAJ", "RF4", 1)).want(t, 404)
	if list := bhrut.send(t, "GET", "/fhir/Task", "").want(t, 200); list.body["entry"] != nil {
		t.Errorf("another's Task: %s", list.raw)
	}
	// A token of the development issuer without feeds, and one of a person.
	for _, p := range []authn.Principal{{Subject: "client:mse", Roles: []authn.Role{authn.Integration}}, {Subject: "a", Roles: []authn.Role{authn.HubStaff}, Feeds: []string{"mse-fhir"}}} {
		token, err := h.issuer.Mint(p, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		mse.send(t, "GET", "/fhir/Task", "", "Authorization", "Bearer "+token).want(t, 403)
	}

	// The same token at the gRPC door.
	conn, err := rpc.Dial(h.cfg.GRPCAddr, func() (string, error) { return bhrut.token, nil }, noop.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	client := dischargev1.NewDischargeHubServiceClient(conn)
	record := func(feed string) error {
		_, err := client.RecordEvent(t.Context(), &dischargev1.RecordEventRequest{Feed: feed, MessageId: uuid.NewString(), Kind: dischargev1.EventKind_EVENT_KIND_ADMIT,
			RecordedAt: timestamppb.New(day(1, 9)), VisitNumber: "V1"})
		return err
	}
	if err := record("hub-staff"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a feed that is not the client's: %v", err)
	}
	if err := record("bhrut-grpc"); err != nil {
		t.Error(err)
	}
	_, err = client.GetHandover(t.Context(), &dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_SpellId{SpellId: spellID("V1")}})
	if status.Code(err) != codes.NotFound {
		t.Errorf("another's handover: %v", err)
	}
}

func TestAClientsMistakesAreNamedByFileAndField(t *testing.T) {
	all, err := loadFeeds("")
	if err != nil {
		t.Fatal(err)
	}
	const key = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("s", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	good := `{"id":"a","jwks":` + key + `,"feeds":["mse-fhir"],"webhook":{"url":"https://hospital.example/tasks","secret_file":"` + secret + `"}}`
	for field, change := range map[string][2]string{
		"":            {"", ""},
		"id":          {`"a"`, `"A b"`},
		"jwks":        {key, `{"keys":[]}`},
		"needs a kid": {`"kid":"k1",`, ``},
		"keys only":   {`"x":`, `"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":`},
		"public keys": {key, `{"keys":[{"kty":"oct","kid":"k1","k":"c2VjcmV0"}]}`},
		"feeds":       {`["mse-fhir"]`, `["mse-basildon"]`},
		"url":         {`https://`, `http://`},
		"secret_file": {secret, secret + ".missing"},
		"colour":      {`"id"`, `"colour":"red","id"`},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte(strings.Replace(good, change[0], change[1], 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := loadClients(dir, feedsByKey(all))
		if field == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "a.json") || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v", field, err)
		}
	}
	if _, err := loadClients(kittest.FreeAddr(t), nil); err == nil {
		t.Error("no folder is no error")
	}
}
