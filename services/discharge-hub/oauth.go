package dischargehub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/failpoint"
)

// tokenEndpoint gives machines a token for a signed assertion of who they are: OAuth 2.0 client credentials (RFC 6749) with a JWT (RFC 7523).
type tokenEndpoint struct {
	url     string // what the assertion's aud must be
	clients *roster
	signer  *authn.Signer
	store   *store
	rates   *rates
	now     func() time.Time
}

const (
	tokenValid   = 10 * time.Minute
	maxAssertion = 5 * time.Minute // how far ahead its exp may be
	clockSkew    = 30 * time.Second
	maxTokenForm = 64 << 10
	maxJTI       = 200
)

// assertionAlgorithms are those of SMART and of the NHS, all of them asymmetric.
var assertionAlgorithms = []string{"RS384", "RS512", "PS384", "PS512", "ES256", "ES384", "EdDSA"}

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// oauthError is an error as RFC 6749 section 5.2 has it.
type oauthError struct {
	Code        string        `json:"error"`
	Description string        `json:"error_description"`
	after       time.Duration // when to ask again; 0 says nothing
}

func (e *oauthError) Error() string { return e.Code + ": " + e.Description }

func badClient(format string, args ...any) error {
	return &oauthError{Code: "invalid_client", Description: fmt.Sprintf(format, args...)}
}

func (t *tokenEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	answer, err := t.answer(w, r)
	if err == nil {
		_ = json.NewEncoder(w).Encode(answer)
		return
	}
	var refused *oauthError
	switch {
	case !errors.As(err, &refused):
		w.WriteHeader(http.StatusServiceUnavailable)
		refused = &oauthError{Code: "temporarily_unavailable", Description: "the database does not answer; ask again with a new assertion"}
	case refused.after > 0:
		w.Header().Set("Retry-After", retryAfter(refused.after))
		w.WriteHeader(http.StatusTooManyRequests)
	case refused.Code == "invalid_client":
		w.WriteHeader(http.StatusUnauthorized)
	default:
		w.WriteHeader(http.StatusBadRequest)
	}
	_ = json.NewEncoder(w).Encode(refused)
}

func (t *tokenEndpoint) answer(w http.ResponseWriter, r *http.Request) (map[string]any, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxTokenForm)
	if err := r.ParseForm(); err != nil {
		return nil, &oauthError{Code: "invalid_request", Description: "send a form, application/x-www-form-urlencoded, of at most 64 KiB"}
	}
	for name, values := range r.PostForm {
		if len(values) > 1 {
			return nil, &oauthError{Code: "invalid_request", Description: "a parameter is there twice: " + fmt.Sprintf("%.40q", name)}
		}
	}
	if grant := r.PostForm.Get("grant_type"); grant != "client_credentials" {
		return nil, &oauthError{Code: "unsupported_grant_type", Description: "grant_type must be client_credentials"}
	}
	if r.PostForm.Get("client_assertion_type") != jwtBearer {
		return nil, &oauthError{Code: "invalid_request", Description: "client_assertion_type must be " + jwtBearer}
	}
	c, err := t.client(r.Context(), r.PostForm.Get("client_assertion"))
	if err != nil {
		return nil, err
	}
	if id := r.PostForm.Get("client_id"); id != "" && id != c.ID {
		return nil, badClient("client_id and the assertion's iss differ")
	}
	p := authn.Principal{Subject: "client:" + c.ID, Roles: []authn.Role{authn.Integration}}
	for _, f := range c.Feeds {
		p.Feeds = append(p.Feeds, f.Key)
	}
	token, err := t.signer.Sign(p, uuid.NewString(), t.now(), tokenValid)
	if err != nil {
		return nil, err
	}
	return map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(tokenValid.Seconds())}, nil
}

// client returns the client that signed an assertion, which is good once.
func (t *tokenEndpoint) client(ctx context.Context, assertion string) (client, error) {
	var claims jwt.RegisteredClaims
	var c client
	parser := jwt.NewParser(jwt.WithValidMethods(assertionAlgorithms), jwt.WithAudience(t.url), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithLeeway(clockSkew), jwt.WithTimeFunc(t.now))
	token, err := parser.ParseWithClaims(assertion, &claims, func(token *jwt.Token) (any, error) {
		known := false
		if c, known = t.clients.get().clients[claims.Issuer]; !known || claims.Subject != claims.Issuer {
			return nil, errNoClient
		}
		return c.Keys.Keyfunc(token)
	})
	now := t.now()
	switch {
	case err != nil:
		return client{}, badClient("client_assertion: %s", t.whyNot(token, err))
	case claims.ExpiresAt.After(now.Add(maxAssertion + clockSkew)):
		return client{}, badClient("client_assertion: exp is more than five minutes ahead")
	case claims.ID == "" || len(claims.ID) > maxJTI:
		return client{}, badClient("client_assertion: jti must be a new id for each assertion, of at most %d characters", maxJTI)
	}
	// Whoever cannot show who it is spends nobody's share: else anybody could keep a client out.
	if wait := t.rates.wait(c.ID); wait > 0 {
		return client{}, &oauthError{"temporarily_unavailable", "too many requests of this client at one time; ask again when Retry-After is over", wait}
	}
	fresh := false
	err = failpoint.Do(ctx, "assertion.use", func() (err error) {
		fresh, err = t.store.useAssertion(ctx, c.ID, claims.ID, now, claims.ExpiresAt.Add(2*clockSkew))
		return err
	})
	if err != nil {
		return client{}, err
	}
	if !fresh {
		return client{}, badClient("client_assertion: this jti was used before; sign a new assertion for each request")
	}
	return c, nil
}

var errNoClient = errors.New("iss and sub must both be the id of a configured client")

// whyNot says what is wrong with an assertion, and how it must be: who reads it holds the assertion and not our log.
func (t *tokenEndpoint) whyNot(token *jwt.Token, err error) string {
	algorithm, kid := any(nil), any(nil)
	if token != nil {
		algorithm, kid = token.Header["alg"], token.Header["kid"]
	}
	known, _ := algorithm.(string)
	for _, wrong := range []struct {
		is   bool
		text string
	}{
		{errors.Is(err, jwt.ErrTokenMalformed), "it is no JWT; sign one and send it as it is, header.claims.signature"},
		{!slices.Contains(assertionAlgorithms, known), fmt.Sprintf("alg is %.20q; it must be one of %s", fmt.Sprint(algorithm), strings.Join(assertionAlgorithms, ", "))},
		{errors.Is(err, errNoClient), errNoClient.Error()},
		{errors.Is(err, keyfunc.ErrKeyfunc), fmt.Sprintf("kid is %.40q; it must name a key of the client's jwks, whose alg is the header's", fmt.Sprint(kid))},
		{errors.Is(err, jwt.ErrTokenSignatureInvalid), "the signature is not that of the key that kid names"},
		{errors.Is(err, jwt.ErrTokenInvalidAudience), "aud must be " + t.url},
		{errors.Is(err, jwt.ErrTokenExpired), "it has expired (exp); sign a new one for each request, and look at the clock"},
		{errors.Is(err, jwt.ErrTokenUsedBeforeIssued), "iat is in the future; look at the clock"},
		{errors.Is(err, jwt.ErrTokenNotValidYet), "nbf is in the future; look at the clock"},
		{errors.Is(err, jwt.ErrTokenRequiredClaimMissing), "aud and exp must be there"},
	} {
		if wrong.is {
			return wrong.text
		}
	}
	return "it is not accepted: " + err.Error()
}

// useAssertion notes that an assertion was used; false when it had been before. Those that have expired are forgotten.
func (s *store) useAssertion(ctx context.Context, client, jti string, now, expires time.Time) (bool, error) {
	if _, err := s.db.Pool.Exec(ctx, `DELETE FROM client_assertion WHERE expires_at < $1`, now.Add(-clockSkew)); err != nil {
		return false, fmt.Errorf("forget assertions: %w", err)
	}
	tag, err := s.db.Pool.Exec(ctx, `INSERT INTO client_assertion (client, jti, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		client, storedControlID(jti), expires)
	if err != nil {
		return false, fmt.Errorf("note assertion: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}
