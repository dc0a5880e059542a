// Package service is what every Homeward service is made of: configuration from the environment, PostgreSQL, NATS, a gRPC server, the
// relay of its own events and an edge for each kind of event that it consumes.
package service

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Config is what every service reads from the environment.
type Config struct {
	DatabaseURL   string     `env:"DATABASE_URL,required,notEmpty"`
	DatabaseConns int32      `env:"DATABASE_CONNS" envDefault:"12"`
	NATSURL       string     `env:"NATS_URL,required,notEmpty"`
	NATSUser      string     `env:"NATS_USER"`
	NATSPassword  string     `env:"NATS_PASSWORD"`
	GRPCAddr      string     `env:"GRPC_ADDR,required,notEmpty"`
	TokenKeysFile string     `env:"TOKEN_KEYS_FILE,required,notEmpty"` // JWK Set of the issuer
	TokenIssuer   string     `env:"TOKEN_ISSUER,required,notEmpty"`
	TokenFile     string     `env:"TOKEN_FILE,required,notEmpty"` // the service's own token, re-read when it changes
	OTLPEndpoint  string     `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`  // empty: no traces are exported
	TraceRate     float64    `env:"TRACES_PER_SECOND" envDefault:"100"`
	LogLevel      slog.Level `env:"LOG_LEVEL" envDefault:"INFO"`
}

// FromEnv fills a struct from the environment. The error names everything that is missing or unreadable, one a line.
func FromEnv[T any]() (T, error) {
	cfg, err := env.ParseAs[T]()
	var all env.AggregateError
	if errors.As(err, &all) {
		lines := make([]string, len(all.Errors))
		for i, e := range all.Errors {
			lines[i] = e.Error()
		}
		return cfg, fmt.Errorf("the environment is not complete:\n  %s", strings.Join(lines, "\n  "))
	}
	return cfg, err
}
