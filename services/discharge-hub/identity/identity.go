// Package identity reads the hub's certificates, and reads them again when their files change: one is renewed without a restart.
package identity

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// Identity is a certificate of the hub, and the authorities whose certificates it believes: of clients at a server, and of servers. All files
// are in PEM. Without a CAFile a server asks for no client certificate.
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
	cert, err := tls.LoadX509KeyPair(i.CertFile, i.KeyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate and key: %w", err)
	}
	if i.CAFile == "" {
		return &cert, nil, nil
	}
	authorities, err := os.ReadFile(i.CAFile)
	if err != nil {
		return nil, nil, fmt.Errorf("authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return nil, nil, fmt.Errorf("authorities: %s holds no certificate in PEM", i.CAFile)
	}
	return &cert, pool, nil
}

// Check reads the files and tells what is wrong with them.
func (i *Identity) Check() error {
	_, _, err := i.read()
	return err
}

// Server is the side that is connected to: who connects must show a certificate of one of the authorities, if there are any.
func (i *Identity) Server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		cert, pool, err := i.read()
		if err != nil {
			return nil, err
		}
		config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*cert}}
		if pool != nil {
			// A resumed session would be let in by a certificate that was checked at another time.
			config.ClientAuth, config.ClientCAs, config.SessionTicketsDisabled = tls.RequireAndVerifyClientCert, pool, true
		}
		return config, nil
	}}
}

// Client is the side of a connection that the hub makes to a server of that name.
func (i *Identity) Client(serverName string) (*tls.Config, error) {
	cert, pool, err := i.read()
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*cert}, RootCAs: pool, ServerName: serverName}, nil
}

// Names returns the names that a feed may know a certificate by: DNS names, and the common name, which many hospitals' certificates have
// alone. The list is not nil.
func Names(cert *x509.Certificate) []string {
	names := append([]string{}, cert.DNSNames...)
	if cn := cert.Subject.CommonName; cn != "" && !slices.Contains(names, cn) {
		names = append(names, cn)
	}
	return names
}
