package devinfra

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// jaegerVersion is the Go module version of Jaeger that tools/parts/jaeger builds; releases number it 2.13.
const jaegerVersion = "v1.76.0"

//go:embed jaeger.yaml
var jaegerConfig []byte

// Jaeger is a Jaeger that can be run: traces in memory, OTLP over gRPC in, the query API out.
type Jaeger struct {
	// Binary is the program.
	Binary string
	// OTLPPort takes spans and QueryPort answers queries, both on 127.0.0.1.
	OTLPPort, QueryPort int
}

// FindJaeger returns the Jaeger program: `jaeger` in PATH, else the one built before into parts; "" if there is none.
// Only the first can have web pages: the Go module that the second is built from comes without them.
func FindJaeger(parts string) string {
	if found, err := exec.LookPath("jaeger"); err == nil {
		return found
	}
	if built := builtJaeger(parts); isFile(built) {
		return built
	}
	return ""
}

// BuildJaeger builds Jaeger from its Go module into parts, once, at low priority: minutes and 2.3 GB of memory when
// nothing of it is cached. checkout is the project's folder.
func BuildJaeger(ctx context.Context, checkout, parts string) (string, error) {
	if err := os.MkdirAll(parts, 0o755); err != nil {
		return "", err
	}
	release, err := lockFile(filepath.Join(parts, "jaeger.lock"))
	if err != nil {
		return "", err
	}
	defer release()
	built := builtJaeger(parts)
	if isFile(built) {
		return built, nil
	}
	args := []string{"build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", built + ".part", "github.com/jaegertracing/jaeger/cmd/jaeger"}
	program, err := exec.LookPath("nice")
	if err == nil {
		args = append([]string{"-n", "15", "go"}, args...)
	} else {
		program = "go"
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = filepath.Join(checkout, "tools/parts/jaeger")
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if err := runGroup(ctx, cmd, built+".log"); err != nil {
		return "", fmt.Errorf("build Jaeger: %w: see %s", err, built+".log")
	}
	return built, os.Rename(built+".part", built)
}

// runGroup runs cmd to its end in a group of its own, which ends whole when ctx does.
func runGroup(ctx context.Context, cmd *exec.Cmd, logFile string) error {
	log, err := os.Create(logFile)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	p, err := Start(cmd)
	if err != nil {
		return err
	}
	select {
	case <-p.Done():
		return p.Err()
	case <-ctx.Done():
		return errors.Join(ctx.Err(), p.KillGroup())
	}
}

func builtJaeger(parts string) string { return filepath.Join(parts, "jaeger-"+jaegerVersion) }

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Command returns a command that runs Jaeger until SIGTERM. Its configuration is written into dir.
func (j Jaeger) Command(dir string, log *os.File) (*exec.Cmd, error) {
	config := filepath.Join(dir, "jaeger.yaml")
	if err := os.WriteFile(config, jaegerConfig, 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command(j.Binary, "--config", config)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(),
		"HOMEWARD_JAEGER_PORT="+strconv.Itoa(j.QueryPort),
		"HOMEWARD_OTLP_PORT="+strconv.Itoa(j.OTLPPort),
		"OTEL_TRACES_SAMPLER=always_off", // spans about Jaeger itself would bury ours
	)
	return cmd, nil
}

// QueryURL is where traces are asked for: QueryURL()+"/api/traces/"+id.
func (j Jaeger) QueryURL() string { return fmt.Sprintf("http://127.0.0.1:%d", j.QueryPort) }

// HasPages reports whether this Jaeger shows traces to a person, or only answers programs.
func (j Jaeger) HasPages(parts string) bool { return j.Binary != builtJaeger(parts) }

// Ready waits until Jaeger answers queries or ctx ends.
func (j Jaeger) Ready(ctx context.Context) error {
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, j.QueryURL()+"/api/services", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(response.Status)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("Jaeger at %s does not answer: %w", j.QueryURL(), err)
		case <-time.After(25 * time.Millisecond):
		}
	}
}
