package authn

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/homeward-care/homeward/services/kit/fault"
)

// Audience is the `aud` that a token must name.
const Audience = "homeward"

// Verifier checks bearer tokens (JWT, RFC 7519) of one issuer.
type Verifier struct {
	issuer string
	keys   keyfunc.Keyfunc
	parser *jwt.Parser
}

// NewVerifier reads the issuer's public keys, a JWK Set (RFC 7517), from a file. Only asymmetric algorithms are accepted.
func NewVerifier(keysFile, issuer string) (*Verifier, error) {
	raw, err := os.ReadFile(keysFile)
	if err != nil {
		return nil, fmt.Errorf("TOKEN_KEYS_FILE: %w", err)
	}
	keys, err := keyfunc.NewJWKSetJSON(raw)
	if err != nil {
		return nil, fmt.Errorf("TOKEN_KEYS_FILE %s is not a JWK Set: %w", keysFile, err)
	}
	return &Verifier{issuer: issuer, keys: keys, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{"EdDSA", "ES256", "RS256", "PS256"}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(Audience),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(30*time.Second),
	)}, nil
}

// Claims are the claims that Homeward reads, in the token's names.
type Claims struct {
	jwt.RegisteredClaims
	Roles    []Role   `json:"roles"`
	Teams    []string `json:"teams,omitempty"`
	Provider string   `json:"provider,omitempty"`
	Feeds    []string `json:"feeds,omitempty"`
}

// Verify returns the principal of a token.
func (v *Verifier) Verify(token string) (Principal, error) {
	var c Claims
	if _, err := v.parser.ParseWithClaims(token, &c, v.keys.Keyfunc); err != nil {
		return Principal{}, fault.New(fault.Unauthenticated, "the token is not accepted: %v", err)
	}
	if c.Subject == "" {
		return Principal{}, fault.New(fault.Unauthenticated, "the token names no subject (claim sub)")
	}
	return Principal{Subject: c.Subject, Roles: c.Roles, Teams: c.Teams, Provider: c.Provider, Feeds: c.Feeds}, nil
}

// TokenFile is the service's own token, kept fresh in a file by whoever runs the service.
type TokenFile struct {
	Path string

	mu      sync.Mutex
	token   string
	modTime time.Time
	checked time.Time
}

// reread is how long a token is used before the file is looked at again.
const reread = 5 * time.Second

// Token returns the current token.
func (f *TokenFile) Token() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.token != "" && time.Since(f.checked) < reread {
		return f.token, nil
	}
	info, err := os.Stat(f.Path)
	if err != nil {
		return "", fmt.Errorf("TOKEN_FILE: %w", err)
	}
	if f.token == "" || !info.ModTime().Equal(f.modTime) {
		raw, err := os.ReadFile(f.Path)
		if err != nil {
			return "", fmt.Errorf("TOKEN_FILE: %w", err)
		}
		f.token, f.modTime = strings.TrimSpace(string(raw)), info.ModTime()
	}
	f.checked = time.Now()
	return f.token, nil
}
