package authn_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/fault"
)

const issuer = "https://issuer.example"

// keys is an issuer with one Ed25519 key.
type keys struct {
	private ed25519.PrivateKey
	public  ed25519.PublicKey
}

func newIssuer(t *testing.T) (keys, *authn.Verifier) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(map[string]any{"keys": []map[string]string{{
		"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "k1", "x": base64.RawURLEncoding.EncodeToString(public),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, set, 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := authn.NewVerifier(file, issuer)
	if err != nil {
		t.Fatal(err)
	}
	return keys{private, public}, v
}

func claims() authn.Claims {
	now := time.Now()
	return authn.Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Subject: "person:7", Audience: jwt.ClaimStrings{authn.Audience}, IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour)),
		},
		Roles: []authn.Role{authn.CLSWorker}, Teams: []string{"CLS-GRAYS"},
	}
}

func (k keys) sign(t *testing.T, method jwt.SigningMethod, kid string, key any, c jwt.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	if kid != "" {
		token.Header["kid"] = kid
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGoodTokenGivesItsPrincipal(t *testing.T) {
	k, v := newIssuer(t)
	got, err := v.Verify(k.sign(t, jwt.SigningMethodEdDSA, "k1", k.private, claims()))
	want := authn.Principal{Subject: "person:7", Roles: []authn.Role{authn.CLSWorker}, Teams: []string{"CLS-GRAYS"}}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
}

func TestEveryOtherTokenIsRefused(t *testing.T) {
	k, v := newIssuer(t)
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(*authn.Claims)) string {
		c := claims()
		change(&c)
		return k.sign(t, jwt.SigningMethodEdDSA, "k1", k.private, c)
	}
	good := k.sign(t, jwt.SigningMethodEdDSA, "k1", k.private, claims())
	parts := strings.Split(good, ".")
	richer, err := json.Marshal(authn.Claims{RegisteredClaims: claims().RegisteredClaims, Roles: []authn.Role{authn.Service}})
	if err != nil {
		t.Fatal(err)
	}
	past, future := jwt.NewNumericDate(time.Now().Add(-time.Hour)), jwt.NewNumericDate(time.Now().Add(time.Hour))
	for name, token := range map[string]string{
		"nothing":                            "",
		"no token at all":                    "hello",
		"another issuer":                     with(func(c *authn.Claims) { c.Issuer = "https://other.example" }),
		"no issuer":                          with(func(c *authn.Claims) { c.Issuer = "" }),
		"another audience":                   with(func(c *authn.Claims) { c.Audience = jwt.ClaimStrings{"elsewhere"} }),
		"no audience":                        with(func(c *authn.Claims) { c.Audience = nil }),
		"expired":                            with(func(c *authn.Claims) { c.ExpiresAt = past }),
		"never expires":                      with(func(c *authn.Claims) { c.ExpiresAt = nil }),
		"not yet valid":                      with(func(c *authn.Claims) { c.NotBefore = future }),
		"nobody's":                           with(func(c *authn.Claims) { c.Subject = "" }),
		"alg none":                           k.sign(t, jwt.SigningMethodNone, "k1", jwt.UnsafeAllowNoneSignatureType, claims()),
		"alg none without a kid":             k.sign(t, jwt.SigningMethodNone, "", jwt.UnsafeAllowNoneSignatureType, claims()),
		"HMAC keyed with the public key":     k.sign(t, jwt.SigningMethodHS256, "k1", []byte(k.public), claims()),
		"HMAC keyed with the public key DER": k.sign(t, jwt.SigningMethodHS256, "k1", der, claims()),
		"a stranger's key":                   k.sign(t, jwt.SigningMethodEdDSA, "k1", stranger, claims()),
		"an unknown kid":                     k.sign(t, jwt.SigningMethodEdDSA, "k2", k.private, claims()),
		"no signature":                       parts[0] + "." + parts[1] + ".",
		"a role added afterwards":            parts[0] + "." + base64.RawURLEncoding.EncodeToString(richer) + "." + parts[2],
	} {
		if p, err := v.Verify(token); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

func TestKeysFileThatIsNoKeySetIsRefusedByName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, []byte("not json"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{file, file + ".missing"} {
		if _, err := authn.NewVerifier(f, issuer); err == nil || !strings.Contains(err.Error(), "TOKEN_KEYS_FILE") {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func TestTokenFileIsReadAndItsAbsenceNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	f := authn.TokenFile{Path: path}
	if _, err := f.Token(); err == nil || !strings.Contains(err.Error(), "TOKEN_FILE") {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(path, []byte("abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Token(); err != nil || got != "abc" {
		t.Errorf("token %q, %v", got, err)
	}
}

const (
	take    = "/homeward.test.v1.TestService/Take"
	read    = "/homeward.test.v1.TestService/Read"
	unknown = "/homeward.test.v1.TestService/Unknown"
)

var table = authn.Table{take: {authn.CLSWorker}, read: {authn.CLSWorker, authn.HubStaff}}

// call passes the interceptor with the authorization headers; it returns who the handler saw.
func call(v *authn.Verifier, method string, authorization ...string) (seen authn.Principal, err error) {
	ctx := metadata.NewIncomingContext(context.Background(), metadata.MD{"authorization": authorization})
	_, err = table.Unary(v)(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(ctx context.Context, _ any) (any, error) {
		seen, _ = authn.From(ctx)
		return nil, nil
	})
	return seen, err
}

func TestCallersPassOnlyWithARoleOfTheMethodsRow(t *testing.T) {
	k, v := newIssuer(t)
	bearer := func(roles ...authn.Role) string {
		c := claims()
		c.Roles = roles
		return "Bearer " + k.sign(t, jwt.SigningMethodEdDSA, "k1", k.private, c)
	}
	worker := bearer(authn.CLSWorker)
	for _, c := range []struct {
		name          string
		method        string
		authorization []string
		want          codes.Code
	}{
		{"right role", take, []string{worker}, codes.OK},
		{"one of several roles", read, []string{bearer(authn.Ops, authn.HubStaff)}, codes.OK},
		{"wrong role", take, []string{bearer(authn.HubStaff)}, codes.PermissionDenied},
		{"no role", take, []string{bearer()}, codes.PermissionDenied},
		{"a method without a row", unknown, []string{bearer(authn.Service, authn.Ops)}, codes.PermissionDenied},
		{"a method without its slash", take[1:], []string{worker}, codes.PermissionDenied},
		{"no header", take, nil, codes.Unauthenticated},
		{"two headers", take, []string{worker, worker}, codes.Unauthenticated},
		{"another scheme", take, []string{"Basic " + worker[7:]}, codes.Unauthenticated},
		{"a bare token", take, []string{worker[7:]}, codes.Unauthenticated},
		{"health without a token", "/grpc.health.v1.Health/Check", nil, codes.OK},
		{"what only begins like health", "/grpc.health.v1.HealthX/Check", nil, codes.Unauthenticated},
	} {
		if _, err := call(v, c.method, c.authorization...); fault.Status(err).Code() != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if seen, err := call(v, take, worker); err != nil || seen.Subject != "person:7" {
		t.Errorf("the handler saw %v, %v", seen, err)
	}
}

func TestStreamsAreNotOfferedButHealthAndReflection(t *testing.T) {
	stream := func(method string) error {
		return table.Stream()(nil, nil, &grpc.StreamServerInfo{FullMethod: method}, func(any, grpc.ServerStream) error { return nil })
	}
	if err := stream(take); !fault.Is(err, fault.Forbidden) {
		t.Errorf("a stream was let through: %v", err)
	}
	if err := stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"); err != nil {
		t.Error(err)
	}
}

func TestTableMustNameEveryMethodAndNoOther(t *testing.T) {
	registered := func(methods ...string) map[string]grpc.ServiceInfo {
		var info grpc.ServiceInfo
		for _, m := range methods {
			info.Methods = append(info.Methods, grpc.MethodInfo{Name: m})
		}
		return map[string]grpc.ServiceInfo{"homeward.test.v1.TestService": info, "grpc.health.v1.Health": {Methods: []grpc.MethodInfo{{Name: "Check"}}}}
	}
	if err := table.CheckComplete(registered("Take", "Read")); err != nil {
		t.Error(err)
	}
	if err := table.CheckComplete(registered("Take", "Read", "Delete")); err == nil || !strings.Contains(err.Error(), "/Delete has no row") {
		t.Errorf("a method without a row: %v", err)
	}
	if err := table.CheckComplete(registered("Take")); err == nil || !strings.Contains(err.Error(), "/Read is not a registered method") {
		t.Errorf("a row without a method: %v", err)
	}
}

func TestWithoutAPrincipalNobodyIsSignedIn(t *testing.T) {
	if _, err := authn.From(t.Context()); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("error %v", err)
	}
}

func TestTeamsAreSeenByTheirOwnAndByWhoSeesAll(t *testing.T) {
	for _, c := range []struct {
		p    authn.Principal
		want bool
	}{
		{authn.Principal{Roles: []authn.Role{authn.CLSWorker}, Teams: []string{"A", "B"}}, true},
		{authn.Principal{Roles: []authn.Role{authn.CLSManager}, Teams: []string{"B"}}, true},
		{authn.Principal{Roles: []authn.Role{authn.CLSWorker}, Teams: []string{"A"}}, false},
		{authn.Principal{Roles: []authn.Role{authn.Provider}, Teams: []string{"B"}}, false},
		{authn.Principal{Teams: []string{"B"}}, false},
		{authn.Principal{Roles: []authn.Role{authn.HubStaff}}, true},
		{authn.Principal{Roles: []authn.Role{authn.Service}}, true},
	} {
		if got := c.p.SeesTeam("B"); got != c.want {
			t.Errorf("%+v sees team B: %v", c.p, got)
		}
	}
}

func TestSignerSignsWhatTheVerifierAccepts(t *testing.T) {
	k, v := newIssuer(t)
	keyFile := func(key any) string {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	s, err := authn.NewSigner(keyFile(k.private), v)
	if err != nil {
		t.Fatal(err)
	}
	want := authn.Principal{Subject: "client:x", Roles: []authn.Role{authn.Integration}, Feeds: []string{"mse-fhir"}}
	token, err := s.Sign(want, "1", time.Now(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Verify(token)
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
	_, stranger, _ := ed25519.GenerateKey(nil)
	if _, err := authn.NewSigner(keyFile(stranger), v); err == nil || !strings.Contains(err.Error(), "TOKEN_KEYS_FILE") {
		t.Errorf("a key that nobody knows: %v", err)
	}
	if _, err := authn.NewSigner(filepath.Join(t.TempDir(), "none"), v); err == nil || !strings.Contains(err.Error(), "TOKEN_SIGNING_KEY_FILE") {
		t.Errorf("no key: %v", err)
	}
}
