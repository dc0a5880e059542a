package storm

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// processFaults kill and freeze each process, and end what it holds on to.
func (s *storm) processFaults() []fault {
	var kinds []fault
	for _, part := range s.stack.Parts() {
		kinds = append(kinds,
			fault{"kill -9 " + part.Name, part.Name, func(context.Context, *rand.Rand) (func() error, error) {
				return nil, part.Kill(syscall.SIGKILL)
			}},
			fault{"freeze " + part.Name, part.Name, func(context.Context, *rand.Rand) (func() error, error) { return freeze(part) }})
	}
	return append(kinds,
		fault{"end database sessions", "sessions", func(ctx context.Context, r *rand.Rand) (func() error, error) {
			service := stack.Services[r.IntN(len(stack.Services))]
			return nil, s.endSessions(ctx, service)
		}},
		fault{"start without PostgreSQL and NATS", "start", func(ctx context.Context, r *rand.Rand) (func() error, error) {
			return s.startCutOff(stack.Services[r.IntN(len(stack.Services))].Name)
		}})
}

// freeze stops a process with all that it started: PostgreSQL serves each connection by a process of its own.
func freeze(part *stack.Part) (thaw func() error, err error) {
	pid := part.Pid()
	if pid == 0 {
		return nil, errAway
	}
	frozen := family(pid)
	for _, pid := range frozen {
		_ = syscall.Kill(pid, syscall.SIGSTOP) // a session may have ended meanwhile
	}
	return func() error {
		for _, pid := range frozen {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
		return nil
	}, nil
}

// family is a process and all its descendants, itself first.
func family(pid int) []int {
	all := []int{pid}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // fails only for a malformed pattern
	for i := 0; i < len(all); i++ {
		for _, file := range stats {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // it has ended
			}
			_, rest, _ := strings.Cut(string(text), ") ") // proc(5): pid (name) state ppid
			fields := strings.Fields(rest)
			child, err := strconv.Atoi(strings.Split(file, "/")[2])
			if err == nil && len(fields) > 1 && fields[1] == strconv.Itoa(all[i]) {
				all = append(all, child)
			}
		}
	}
	return all
}

// endSessions ends every session of a service at the server, advisory locks and open transactions included.
func (s *storm) endSessions(ctx context.Context, service stack.Service) error {
	db, err := pgx.Connect(ctx, s.stack.Databases[service.Name])
	if err != nil {
		return errAway
	}
	defer db.Close(context.WithoutCancel(ctx))
	_, err = db.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()`, service.Database)
	return err
}

// startCutOff starts a service that finds neither PostgreSQL nor NATS.
func (s *storm) startCutOff(service string) (func() error, error) {
	links := slices.DeleteFunc(s.links.of(service, ""), func(w *way) bool { return w.kind() == toPeer })
	for _, l := range links {
		l.refuse()
	}
	return func() error {
		for _, l := range links {
			l.accept()
		}
		return nil
	}, s.stack.Part(service).Kill(syscall.SIGKILL)
}
