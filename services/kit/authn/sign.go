package authn

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Signer mints tokens that the Verifiers of the same issuer and keys accept.
type Signer struct {
	issuer, kid string
	key         crypto.Signer
	method      jwt.SigningMethod
}

// NewSigner reads a private key from a PEM file (PKCS #8: Ed25519, ECDSA P-256 or RSA of 2048 bits or more). Its public key must be one of
// the verifier's, or nobody would accept what it signs.
func NewSigner(keyFile string, v *Verifier) (*Signer, error) {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("TOKEN_SIGNING_KEY_FILE %s: "+format, append([]any{keyFile}, args...)...)
	}
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("TOKEN_SIGNING_KEY_FILE: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, wrong("is no PEM; make a key with `openssl genpkey -algorithm ed25519`")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, wrong("is no private key in PKCS #8: %w", err)
	}
	s := &Signer{issuer: v.issuer}
	switch k := parsed.(type) {
	case ed25519.PrivateKey:
		s.key, s.method = k, jwt.SigningMethodEdDSA
	case *ecdsa.PrivateKey:
		if k.Curve != elliptic.P256() {
			return nil, wrong("is on another curve than P-256")
		}
		s.key, s.method = k, jwt.SigningMethodES256
	case *rsa.PrivateKey:
		if k.N.BitLen() < 2048 {
			return nil, wrong("has fewer than 2048 bits")
		}
		s.key, s.method = k, jwt.SigningMethodPS256
	default:
		return nil, wrong("is of a kind that is not used here")
	}
	public := s.key.Public().(interface{ Equal(crypto.PublicKey) bool })
	known, err := v.keys.Storage().KeyReadAll(context.Background())
	if err != nil {
		return nil, err
	}
	for _, k := range known {
		if public.Equal(k.Key()) {
			s.kid = k.Marshal().KID
			return s, nil
		}
	}
	return nil, wrong("its public key is not in TOKEN_KEYS_FILE; add it there, with a kid, for every service")
}

// Sign returns a token for the principal that is valid from now for the given time.
func (s *Signer) Sign(p Principal, id string, now time.Time, valid time.Duration) (string, error) {
	token := jwt.NewWithClaims(s.method, Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: s.issuer, Subject: p.Subject, Audience: jwt.ClaimStrings{Audience}, ID: id,
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(valid)),
		},
		Roles: p.Roles, Teams: p.Teams, Provider: p.Provider, Feeds: p.Feeds,
	})
	token.Header["kid"] = s.kid
	return token.SignedString(s.key)
}
