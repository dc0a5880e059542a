package sim

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/homeward-care/homeward/e2e/hospital"
	"github.com/homeward-care/homeward/e2e/oracle"
	"github.com/homeward-care/homeward/services/kit/authn"
)

// mostAtDoors is how many messages and requests are at the hub's doors at one time: as many as it stores at a time, so that nobody waits for
// somebody whom the scheduler does not see.
const mostAtDoors = 2

// door is the way to the hub's doors, and what was answered at the FHIR door.
type door struct {
	w      *world
	inside int // at all doors
	said   map[string]said
}

// said is an answer with 2xx to a request that writes, whether or not it arrived.
type said struct {
	hospital.FHIRRequest
	fhirAnswer
	at time.Time
}

// fhirAnswer is what came back; the zero answer is none.
type fhirAnswer struct {
	status         int
	etag, location string
	body           string
}

func (a fhirAnswer) ok() bool { return a.status/100 == 2 }

// message is the request that sends a FHIR message.
func message(m oracle.Told) hospital.FHIRRequest {
	return hospital.FHIRRequest{ID: m.ControlID, Method: http.MethodPost, Path: "/fhir/$process-message", Body: m.FHIR}
}

func (d *door) free() bool { return d.inside < mostAtDoors }
func (d *door) enter()     { d.inside++ }
func (d *door) leave()     { d.inside-- }

// ask sends a request, now and then a second time while the first is under way, and hands on what was answered. It reports false when nobody
// is there.
func (d *door) ask(who string, r hospital.FHIRRequest, done func(fhirAnswer)) bool {
	w := d.w
	p := w.processOf("discharge-hub", "FHIR")
	if p == nil {
		return false
	}
	to := []*process{p}
	if r.ID != "" && d.inside+2 <= mostAtDoors && w.faults.happens(fhirRepeated) {
		to = append(to, w.processOf("discharge-hub", "FHIR"))
	}
	var heard fhirAnswer
	left := len(to)
	for _, p := range to {
		d.enter()
		var a fhirAnswer
		arrived := false
		w.sched.spawn(who+" "+r.Method+" "+r.Path+" "+r.ID, func() {
			d.leave()
			if a.ok() && r.ID != "" {
				d.remember(r, a)
			}
			if arrived && (a.ok() || !heard.ok()) {
				heard = a
			}
			if left--; left == 0 {
				done(heard)
			}
		}, func(f *flow) {
			f.fhir = true
			fr := &frame{f, p}
			if a = p.exchange(withFrame(w.ctx, f, p), r); p.dead.Load() {
				a = fhirAnswer{}
				return
			}
			v := w.sched.reach(fr, point{answering, "FHIR answer"})
			arrived = v.err == nil && !v.lose && !p.dead.Load()
		})
	}
	return true
}

// remember holds an answer against the one that the same request was given before.
func (d *door) remember(r hospital.FHIRRequest, a fhirAnswer) {
	if before, again := d.said[r.ID]; !again {
		d.said[r.ID] = said{r, a, d.w.now()}
	} else if before.fhirAnswer != a {
		d.w.fail("FHIR request %s is answered %d %s %s, and was answered %d %s %s", r.ID, a.status, a.etag, a.body, before.status, before.etag, before.fhirAnswer.body)
	}
}

// forget drops what was answered since a backup of the hub that is put in place.
func (d *door) forget(backup time.Time) {
	maps.DeleteFunc(d.said, func(_ string, s said) bool { return !s.at.Before(backup) })
}

// exchange lets a process answer a request.
func (p *process) exchange(ctx context.Context, r hospital.FHIRRequest) fhirAnswer {
	request := httptest.NewRequestWithContext(ctx, r.Method, r.Path, bytes.NewReader(r.Body))
	for name, value := range map[string]string{"Authorization": "Bearer " + p.node.world.settings.token, "Content-Type": "application/fhir+json",
		"X-Request-ID": r.ID, "If-Match": r.IfMatch, "If-None-Exist": r.IfNoneExist} {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	p.door.ServeHTTP(w, request)
	return fhirAnswer{w.Code, w.Header().Get("ETag"), strings.TrimPrefix(w.Header().Get("Location"), publicURL), w.Body.String()}
}

// publicURL is where clients reach the FHIR door.
const publicURL = "https://homeward.example"

// signIn makes an issuer of tokens, and the token of the engine. It is good for longer than any run: the door asks the machine's clock about it.
func signIn(dir string) (v *authn.Verifier, token string, err error) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, "", err
	}
	private, public := filepath.Join(dir, "key"), filepath.Join(dir, "keys")
	x := base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	if err := errors.Join(
		os.WriteFile(private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600),
		os.WriteFile(public, []byte(`{"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "1", "x": "`+x+`"}]}`), 0o600),
	); err != nil {
		return nil, "", err
	}
	if v, err = authn.NewVerifier(public, publicURL); err != nil {
		return nil, "", err
	}
	signer, err := authn.NewSigner(private, v)
	if err != nil {
		return nil, "", err
	}
	token, err = signer.Sign(authn.Principal{Subject: "client:engine", Roles: []authn.Role{authn.Integration}, Feeds: []string{"mse-fhir"}}, "1", time.Now(), 365*24*time.Hour)
	return v, token, err
}
