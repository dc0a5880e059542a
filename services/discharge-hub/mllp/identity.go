package mllp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// Identity is the hub's certificate towards hospitals, and the authorities whose certificates it believes: of senders, and of receivers.
// The files, in PEM, are read again when they change, so that a certificate is renewed without a restart.
type Identity struct {
	CertFile, KeyFile, CAFile string
	Log                       *slog.Logger

	mu   sync.Mutex
	seen [3]fileState
	cert *tls.Certificate
	pool *x509.CertPool
}

// fileState tells whether a file was changed.
type fileState struct {
	modified time.Time
	size     int64
}

// read returns what the files hold. While a new version cannot be read, the last one stands.
func (i *Identity) read() (*tls.Certificate, *x509.CertPool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var seen [3]fileState
	for n, name := range []string{i.CertFile, i.KeyFile, i.CAFile} {
		if info, err := os.Stat(name); err == nil {
			seen[n] = fileState{info.ModTime(), info.Size()}
		}
	}
	if i.cert != nil && seen == i.seen {
		return i.cert, i.pool, nil
	}
	cert, pool, err := i.load()
	if err != nil && i.cert == nil {
		return nil, nil, err
	}
	if err != nil {
		i.Log.Error("alarm: new certificates cannot be used, the old ones stand", "error", err)
		i.seen = seen // one line for each change
		return i.cert, i.pool, nil
	}
	i.cert, i.pool, i.seen = cert, pool, seen
	return cert, pool, nil
}

func (i *Identity) load() (*tls.Certificate, *x509.CertPool, error) {
	if i.CertFile == "" || i.KeyFile == "" || i.CAFile == "" {
		return nil, nil, errors.New("TLS with hospitals needs MLLP_TLS_CERT_FILE, MLLP_TLS_KEY_FILE and MLLP_CLIENT_CA_FILE")
	}
	cert, err := tls.LoadX509KeyPair(i.CertFile, i.KeyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("MLLP_TLS_CERT_FILE and MLLP_TLS_KEY_FILE: %w", err)
	}
	authorities, err := os.ReadFile(i.CAFile)
	if err != nil {
		return nil, nil, fmt.Errorf("MLLP_CLIENT_CA_FILE: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return nil, nil, fmt.Errorf("MLLP_CLIENT_CA_FILE: %s holds no certificate in PEM", i.CAFile)
	}
	return &cert, pool, nil
}

// server is the door's side: who connects must show a certificate of one of the authorities.
func (i *Identity) server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		cert, pool, err := i.read()
		if err != nil {
			return nil, err
		}
		return &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*cert},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
			// A resumed session would be let in by a certificate that was checked at another time.
			SessionTicketsDisabled: true,
		}, nil
	}}
}

// client is the side of a connection that the hub makes to a server of that name.
func (i *Identity) client(serverName string) (*tls.Config, error) {
	cert, pool, err := i.read()
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*cert}, RootCAs: pool, ServerName: serverName}, nil
}

// namesIn returns the names that a feed may know a certificate by: DNS names, and the common name, which many hospitals' certificates have
// alone. The list is not nil.
func namesIn(cert *x509.Certificate) []string {
	names := append([]string{}, cert.DNSNames...)
	if cn := cert.Subject.CommonName; cn != "" && !slices.Contains(names, cn) {
		names = append(names, cn)
	}
	return names
}
