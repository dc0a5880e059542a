package dischargehub

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/discharge-hub/mllp"
	"github.com/homeward-care/homeward/services/kit/kittest"
)

// authority issues certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key := newKey(t)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return authority{sign(t, cert, cert, key, key), key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, cert, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// issue makes a certificate for a DNS name, or for a common name alone where that is no DNS name.
func (a authority) issue(t *testing.T, name string, until time.Time) tls.Certificate {
	t.Helper()
	key := newKey(t)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if !strings.Contains(name, " ") {
		cert.Subject.CommonName, cert.DNSNames = "", []string{name}
	}
	if name == "localhost" {
		cert.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	signed := sign(t, cert, a.cert, key, a.key)
	return tls.Certificate{Certificate: [][]byte{signed.Raw}, PrivateKey: key, Leaf: signed}
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// identityFiles writes the hub's certificate, its key and the authority's certificate where the configuration finds them.
type identityFiles struct{ cert, key, ca string }

func (f identityFiles) write(t *testing.T, hub tls.Certificate, ca authority) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(hub.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		f.cert: {Type: "CERTIFICATE", Bytes: hub.Certificate[0]}, f.key: {Type: "PRIVATE KEY", Bytes: key}, f.ca: {Type: "CERTIFICATE", Bytes: ca.cert.Raw},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func newIdentityFiles(t *testing.T) identityFiles {
	dir := t.TempDir()
	return identityFiles{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")}
}

func (f identityFiles) configure(c *Config) {
	c.MLLPTLSCertFile, c.MLLPTLSKeyFile, c.MLLPClientCAFile = f.cert, f.key, f.ca
}

// feedsWith writes the feeds of a test: one that anybody may send for, as mse-basildon, and one for each further JSON.
func feedsWith(t *testing.T, feeds map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for key, more := range feeds {
		writeFeed(t, dir, key, more)
	}
	return dir
}

// writeFeed writes the file of a feed, or another version of it.
func writeFeed(t *testing.T, dir, key, more string) {
	t.Helper()
	application := "MSEPAS"
	if key != "open" {
		application += "-" + strings.ToUpper(key)
	}
	text := `{"key":"` + key + `","door":"mllp","application":"` + application + `","facilities":["RAJ"],"provider":"RAJ","scope":"social-care",
		"time_zone":"Europe/London","mode":"live","mapping":{"version":"1"}` + more + `}`
	if err := os.WriteFile(filepath.Join(dir, key+".json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const inAnHour = time.Hour

func TestACertificateSendsForItsFeedsAndNobodyElseDoes(t *testing.T) {
	ca, stranger, files := newAuthority(t), newAuthority(t), newIdentityFiles(t)
	files.write(t, ca.issue(t, "localhost", time.Now().Add(inAnHour)), ca)
	h := startHub(t, files.configure, func(c *Config) {
		c.MLLPTLSAddr = kittest.FreeAddr(t)
		c.FeedsDir = feedsWith(t, map[string]string{
			"open": "", "ours": `,"certificates":["engine.example","Old Engine"]`, "other": `,"certificates":["other.example"]`,
		})
	})
	send := func(cert *tls.Certificate, application, id string) (string, error) {
		config := &tls.Config{RootCAs: ca.pool(), ServerName: "localhost", MinVersion: tls.VersionTLS12}
		if cert != nil {
			config.Certificates = []tls.Certificate{*cert}
		}
		conn, err := tls.Dial("tcp", h.cfg.MLLPTLSAddr, config)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		if _, err := conn.Write(mllp.Frame(adt("A03", id, "V"+id, day(2, 14)).Set("MSH-3", application).Bytes())); err != nil {
			return "", err
		}
		raw, err := mllp.NewReader(conn, 0).Next()
		if err != nil {
			return "", err
		}
		ack, err := hl7.Parse(raw)
		if err != nil {
			return "", err
		}
		return ack.Get("MSA-1").Text(), nil
	}
	later := time.Now().Add(inAnHour)
	good, byName := ca.issue(t, "engine.example", later), ca.issue(t, "Old Engine", later)
	expired, foreign := ca.issue(t, "engine.example", time.Now().Add(-time.Minute)), stranger.issue(t, "engine.example", later)
	for _, c := range []struct {
		name, application, want string
		cert                    *tls.Certificate
	}{
		{"its feed, by DNS name", "MSEPAS-OURS", "AA", &good},
		{"its feed, by common name", "MSEPAS-OURS", "AA", &byName},
		{"a feed that names no certificates", "MSEPAS", "AA", &good},
		{"another's feed", "MSEPAS-OTHER", "AR", &good},
		{"an expired certificate", "MSEPAS-OURS", "", &expired},
		{"the certificate of a stranger", "MSEPAS-OURS", "", &foreign},
		{"no certificate", "MSEPAS-OURS", "", nil},
	} {
		got, err := send(c.cert, c.application, "M1")
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: answered %q, error %v; want %q", c.name, got, err, c.want)
		}
	}
	if got := h.send(t, adt("A03", "M9", "V9", day(2, 14)).Set("MSH-3", "MSEPAS-OTHER").Bytes())[0]; got != "AR M9" {
		t.Errorf("without TLS, for a feed that names certificates: %s", got)
	}
	if n := h.count(t, `SELECT count(*) FROM inbound WHERE NOT accepted AND feed = ''`); n != 2 {
		t.Errorf("the bytes of %d rejected messages are kept, want 2", n)
	}
	// What came the wrong way does not stand in the way of the same bytes that come the right way.
	other := ca.issue(t, "other.example", later)
	if got, err := send(&other, "MSEPAS-OTHER", "M9"); got != "AA" {
		t.Fatalf("%s %v", got, err)
	}
	if h.handover(t, "M9").GetSpell().GetDischarge() == nil {
		t.Error("the message was stored and not interpreted")
	}
}

func TestCertificatesAreRenewedWithoutARestart(t *testing.T) {
	before, after, files := newAuthority(t), newAuthority(t), newIdentityFiles(t)
	later := time.Now().Add(inAnHour)
	files.write(t, before.issue(t, "localhost", later), before)
	h := startHub(t, files.configure, func(c *Config) { c.MLLPTLSAddr = kittest.FreeAddr(t) })
	works := func(ca authority) bool {
		conn, err := tls.Dial("tcp", h.cfg.MLLPTLSAddr, &tls.Config{
			RootCAs: ca.pool(), ServerName: "localhost", Certificates: []tls.Certificate{ca.issue(t, "engine.example", later)}, MinVersion: tls.VersionTLS12,
		})
		if err != nil {
			return false
		}
		defer conn.Close()
		if _, err := conn.Write(mllp.Frame(adt("A03", "M1", "V1", day(2, 14)).Bytes())); err != nil {
			return false
		}
		_, err = mllp.NewReader(conn, 0).Next()
		return err == nil
	}
	if !works(before) || works(after) {
		t.Fatal("the first certificates do not work, or others do")
	}
	if err := os.WriteFile(files.key, []byte("half a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !works(before) {
		t.Error("a renewal that is half written stops the door")
	}
	files.write(t, after.issue(t, "localhost", later), after)
	if works(before) || !works(after) {
		t.Error("the new certificates are not used")
	}
}

func TestTheFHIRDoorsCertificateIsRenewedWithoutARestart(t *testing.T) {
	before, after, files := newAuthority(t), newAuthority(t), newIdentityFiles(t)
	later := time.Now().Add(inAnHour)
	files.write(t, before.issue(t, "localhost", later), before)
	open, _ := withFHIR(t, map[string]string{"mse-epr": `"feeds":["mse-fhir"]`})
	h := startHub(t, open, func(c *Config) { c.FHIRCertFile, c.FHIRKeyFile = files.cert, files.key })
	works := func(ca authority) bool {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool(), ServerName: "localhost", MinVersion: tls.VersionTLS12}}}
		defer client.CloseIdleConnections()
		resp, err := client.Get("https://" + h.cfg.FHIRAddr + "/fhir/metadata")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	if !works(before) || works(after) {
		t.Fatal("the first certificate does not work, or another does")
	}
	files.write(t, after.issue(t, "localhost", later), after)
	if works(before) || !works(after) {
		t.Error("the new certificate is not used")
	}
}
