package devinfra

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/homeward-care/homeward/services/kit/authn"
)

// IssuerName is the `iss` of tokens from the development issuer. A real installation never trusts it.
const IssuerName = "homeward-development"

// Issuer mints tokens for development and tests. Its key lies in a folder that only its owner can read.
type Issuer struct {
	key ed25519.PrivateKey
	dir string
}

// OpenIssuer makes the key and the public JWK Set in dir, or finds those that are there.
func OpenIssuer(dir string) (*Issuer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("development issuer: %w", err)
	}
	i := &Issuer{dir: dir}
	seedFile := filepath.Join(dir, "issuer.seed")
	seed, err := os.ReadFile(seedFile)
	switch {
	case errors.Is(err, os.ErrNotExist):
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			return nil, err
		}
		i.key = key
		if err := writeAtomically(seedFile, key.Seed()); err != nil {
			return nil, fmt.Errorf("development issuer: %w", err)
		}
	case err != nil:
		return nil, fmt.Errorf("development issuer: %w", err)
	case len(seed) != ed25519.SeedSize:
		return nil, fmt.Errorf("development issuer: %s is damaged; delete it and start again", seedFile)
	default:
		i.key = ed25519.NewKeyFromSeed(seed)
	}
	return i, errors.Join(i.writeKeys(), i.writeSigningKey())
}

// SigningKeyFile is the private key as PEM, for a service that mints tokens of this issuer itself.
func (i *Issuer) SigningKeyFile() string { return filepath.Join(i.dir, "signing-key.pem") }

func (i *Issuer) writeSigningKey() error {
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		return err
	}
	return writeAtomically(i.SigningKeyFile(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// KeysFile is the JWK Set (RFC 7517, RFC 8037) by which services verify.
func (i *Issuer) KeysFile() string { return filepath.Join(i.dir, "keys.json") }

func (i *Issuer) public() ed25519.PublicKey { return i.key.Public().(ed25519.PublicKey) }

func (i *Issuer) keyID() string {
	sum := sha256.Sum256(i.public())
	return base64.RawURLEncoding.EncodeToString(sum[:8])
}

func (i *Issuer) writeKeys() error {
	set, err := json.Marshal(map[string]any{"keys": []map[string]string{{
		"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": i.keyID(),
		"x": base64.RawURLEncoding.EncodeToString(i.public()),
	}}})
	if err != nil {
		return err
	}
	return writeAtomically(i.KeysFile(), set)
}

// Mint returns a token for the principal that is valid for the given time.
func (i *Issuer) Mint(p authn.Principal, valid time.Duration) (string, error) {
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, authn.Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: IssuerName, Subject: p.Subject, Audience: jwt.ClaimStrings{authn.Audience},
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(valid)),
		},
		Roles: p.Roles, Teams: p.Teams, Provider: p.Provider, Feeds: p.Feeds,
	})
	token.Header["kid"] = i.keyID()
	return token.SignedString(i.key)
}

// serviceTokenValid is long enough for a laptop that slept over a weekend of refreshes missed.
const serviceTokenValid = 24 * time.Hour

// WriteServiceToken writes a fresh token of a service to its token file and returns the file's path.
func (i *Issuer) WriteServiceToken(service string) (string, error) {
	token, err := i.Mint(authn.Principal{Subject: "service:" + service, Roles: []authn.Role{authn.Service}}, serviceTokenValid)
	if err != nil {
		return "", err
	}
	path := filepath.Join(i.dir, service+".token")
	return path, writeAtomically(path, []byte(token))
}

// writeAtomically never leaves half a file, whoever reads meanwhile.
func writeAtomically(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return os.Rename(tmp.Name(), path)
}
