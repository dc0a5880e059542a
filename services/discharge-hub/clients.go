package dischargehub

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/MicahParks/keyfunc/v3"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
)

// client is a machine that signs in: a hospital's integration engine or record system.
type client struct {
	ID    string
	Keys  keyfunc.Keyfunc
	Feeds []discharge.Feed
	// Webhook is where its Tasks are posted; nil for nowhere.
	Webhook *webhook
}

// webhook is where a client takes Tasks, and the secret by which it knows that they are Homeward's.
type webhook struct {
	URL    string
	Secret []byte
}

// clientFile is a client as it is written.
type clientFile struct {
	ID      string          `json:"id"`
	JWKS    json.RawMessage `json:"jwks"`
	Feeds   []string        `json:"feeds"`
	Webhook *struct {
		URL        string `json:"url"`
		SecretFile string `json:"secret_file"`
	} `json:"webhook"`
}

// loadClients reads every *.json file of a folder; no folder, no clients. All that is wrong is told at once, by file and field.
func loadClients(dir string, feeds map[string]discharge.Feed) (map[string]client, error) {
	clients := map[string]client{}
	if dir == "" {
		return clients, nil
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(names) == 0 {
		return nil, errors.Join(fmt.Errorf("CLIENTS_DIR %s: no *.json file; there must be a file for each client", dir), err)
	}
	var wrong []error
	for _, name := range names {
		c, err := loadClient(name, feeds)
		if err == nil && clients[c.ID].ID != "" {
			err = errors.New("id: is taken by another file")
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("CLIENTS_DIR: %s: %w", filepath.Base(name), err))
			continue
		}
		clients[c.ID] = c
	}
	return clients, errors.Join(wrong...)
}

func loadClient(name string, feeds map[string]discharge.Feed) (client, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return client{}, err
	}
	var in clientFile
	if err := discharge.DecodeFile(text, &in); err != nil {
		return client{}, err
	}
	c := client{ID: in.ID}
	if in.ID == "" || strings.Trim(in.ID, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return client{}, errors.New("id: must be lower-case letters, digits and hyphens")
	}
	if c.Keys, err = publicKeys(in.JWKS); err != nil {
		return client{}, fmt.Errorf("jwks: %w", err)
	}
	for _, key := range in.Feeds {
		feed, ok := feeds[key]
		if !ok || feed.Door == discharge.DoorMLLP {
			return client{}, fmt.Errorf("feeds: %q is not a configured feed of the fhir or the grpc door", key)
		}
		for _, other := range c.Feeds {
			if feed.Door == discharge.DoorFHIR && other.Door == discharge.DoorFHIR && (other.VisitSystem == feed.VisitSystem || other.PatientSystem == feed.PatientSystem) {
				return client{}, fmt.Errorf("feeds: %s and %s have the same identifier systems: nothing would tell for which of them the client sends", other.Key, key)
			}
		}
		c.Feeds = append(c.Feeds, feed)
	}
	if len(c.Feeds) == 0 {
		return client{}, errors.New("feeds: must name the feeds that the client may send")
	}
	if in.Webhook != nil {
		secret := in.Webhook.SecretFile
		if !filepath.IsAbs(secret) {
			secret = filepath.Join(filepath.Dir(name), secret)
		}
		if c.Webhook, err = loadWebhook(in.Webhook.URL, secret); err != nil {
			return client{}, fmt.Errorf("webhook: %w", err)
		}
	}
	return c, nil
}

// publicKeys reads a JWK Set of public keys that are strong enough.
func publicKeys(jwks json.RawMessage) (keyfunc.Keyfunc, error) {
	set, err := keyfunc.NewJWKSetJSON(jwks)
	if err != nil {
		return nil, fmt.Errorf("is not a JWK Set: %w", err)
	}
	keys, err := set.Storage().KeyReadAll(context.Background())
	if err != nil || len(keys) == 0 {
		return nil, errors.Join(errors.New("must hold a public key"), err)
	}
	for _, k := range keys {
		switch key := k.Key().(type) {
		case ed25519.PublicKey, *ecdsa.PublicKey:
		case *rsa.PublicKey:
			if key.N.BitLen() < 2048 {
				return nil, errors.New("an RSA key needs 2048 bits")
			}
		default:
			return nil, errors.New("must hold public keys only: RSA, EC or Ed25519")
		}
		if k.Marshal().KID == "" {
			return nil, errors.New("each key needs a kid")
		}
	}
	return set, nil
}

const leastSecret = 32

func loadWebhook(to, secretFile string) (*webhook, error) {
	u, err := url.Parse(to)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		return nil, errors.New("url: must be https://…; http is for this machine only")
	}
	secret, err := os.ReadFile(secretFile)
	if err != nil {
		return nil, fmt.Errorf("secret_file: %w", err)
	}
	if secret = bytes.TrimSpace(secret); len(secret) < leastSecret {
		return nil, fmt.Errorf("secret_file: holds %d bytes; make at least %d, for instance with `openssl rand -hex 32`", len(secret), leastSecret)
	}
	return &webhook{URL: to, Secret: secret}, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// feed returns the client's FHIR feed to which identifiers of these systems belong, else its only one.
func feedBySystems(feeds []discharge.Feed, systems map[string]bool) (discharge.Feed, bool) {
	var own []discharge.Feed
	for _, f := range feeds {
		if f.Door != discharge.DoorFHIR {
			continue
		}
		if systems[f.VisitSystem] || systems[f.PatientSystem] {
			return f, true
		}
		own = append(own, f)
	}
	if len(own) != 1 {
		return discharge.Feed{}, false
	}
	return own[0], true
}

// providers are those for which feeds speak.
func providers(feeds []discharge.Feed) (list []string) {
	for _, f := range feeds {
		if !slices.Contains(list, f.Provider) {
			list = append(list, f.Provider)
		}
	}
	return list
}
