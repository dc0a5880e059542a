package stack

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Client is the development client of the FHIR door: a hospital's integration engine that may send for the feed mse-fhir.
type Client struct{ key ed25519.PrivateKey }

// clientID is the id of the development client, keyID that of its key.
const clientID, keyID = "dev-hospital", "dev"

// ClientsDir is where a stack in dir keeps the machines that may sign in: a file for each. More can be put there.
func ClientsDir(dir string) string { return filepath.Join(dir, "clients") }

// OpenClient makes the client's key and file in a stack's folder, or finds those that are there.
func OpenClient(dir string) (Client, error) {
	clients := ClientsDir(dir)
	if err := os.MkdirAll(clients, 0o700); err != nil {
		return Client{}, fmt.Errorf("development client: %w", err)
	}
	seedFile := filepath.Join(clients, clientID+".seed")
	seed, err := os.ReadFile(seedFile)
	if errors.Is(err, os.ErrNotExist) {
		seed = make([]byte, ed25519.SeedSize)
		_, _ = rand.Read(seed) // it never fails
		err = os.WriteFile(seedFile, seed, 0o600)
	}
	if err != nil || len(seed) != ed25519.SeedSize {
		return Client{}, errors.Join(fmt.Errorf("development client: %s is damaged; delete it and start again", seedFile), err)
	}
	c := Client{ed25519.NewKeyFromSeed(seed)}
	file, err := json.MarshalIndent(map[string]any{
		"id": clientID, "feeds": []string{"mse-fhir"},
		"jwks": map[string]any{"keys": []map[string]string{{"kty": "OKP", "crv": "Ed25519", "kid": keyID, "alg": "EdDSA", "use": "sig",
			"x": base64.RawURLEncoding.EncodeToString(c.key.Public().(ed25519.PublicKey))}}},
	}, "", "  ")
	if err != nil {
		return Client{}, err
	}
	return c, os.WriteFile(filepath.Join(clients, clientID+".json"), file, 0o600)
}

// Token signs in at a stack's FHIR door, and returns the access token.
func (c Client) Token(ctx context.Context, door string) (string, error) {
	endpoint, now := door+"/oauth2/token", time.Now()
	assertion := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.RegisteredClaims{
		Issuer: clientID, Subject: clientID, Audience: jwt.ClaimStrings{endpoint}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Minute)),
	})
	assertion.Header["kid"] = keyID
	signed, err := assertion.SignedString(c.key)
	if err != nil {
		return "", err
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_assertion": {signed},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		Token       string `json:"access_token"`
		Description string `json:"error_description"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", err
	}
	if answer.Token == "" {
		return "", fmt.Errorf("%s gave no token: %s", endpoint, answer.Description)
	}
	return answer.Token, nil
}
