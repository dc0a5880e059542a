package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// meter reads what a load costs: from PostgreSQL, from /proc and from the disk.
type meter struct {
	stack *stack.Stack
	hub   *pgxpool.Pool
	runs  int
}

func newMeter(ctx context.Context, s *stack.Stack) (*meter, error) {
	pool, err := pgxpool.New(ctx, s.Databases["discharge-hub"])
	if err != nil {
		return nil, err
	}
	if _, err := pool.Exec(ctx, `CREATE EXTENSION IF NOT EXISTS pg_stat_statements`); err != nil {
		return nil, fmt.Errorf("pg_stat_statements counts the statements; PostgreSQL's contrib modules are needed: %w", err)
	}
	return &meter{stack: s, hub: pool}, nil
}

// result is what one load came to. Costs are per handover; the load's own are not in them.
type result struct {
	rate, offered     float64
	p50, p99, max     time.Duration
	cpu               float64 // milliseconds
	cpuBy             string
	statements, bytes float64
	accepted          int64
}

// drainLimit is how long what was accepted may take to be confirmed.
const drainLimit = 5 * time.Minute

// run offers one load and waits until every accepted handover is confirmed: the time for that is part of the rate.
func (m *meter) run(ctx context.Context, p pattern, load time.Duration) (result, error) {
	m.runs++
	g := &generator{run: fmt.Sprintf("B%dR%d-", os.Getpid(), m.runs)}
	before, err := m.read(ctx)
	if err != nil {
		return result{}, err
	}
	start := time.Now()
	accepted, err := offer(ctx, m.stack.MLLP, g, p, load)
	if err != nil {
		return result{}, err
	}
	offered := float64(accepted) / time.Since(start).Seconds()
	if err := m.waitConfirmed(ctx); err != nil {
		return result{}, err
	}
	took := time.Since(start).Seconds()
	after, err := m.read(ctx)
	if err != nil {
		return result{}, err
	}
	n := float64(accepted)
	r := result{accepted: accepted, rate: n / took, offered: offered, statements: (after.statements - before.statements) / n, bytes: (after.bytes - before.bytes) / n}
	var by []string
	for _, part := range m.stack.Parts() {
		ms := 1000 * (after.cpu[part.Name] - before.cpu[part.Name]) / n
		r.cpu += ms
		by = append(by, fmt.Sprintf("%s %.2f", part.Name, ms))
	}
	r.cpuBy = strings.Join(by, ", ")
	var held int64
	var p50, p99, most float64
	err = m.hub.QueryRow(ctx, `
		SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY took), percentile_cont(0.99) WITHIN GROUP (ORDER BY took), max(took)
		FROM (SELECT extract(epoch FROM s.delivered_at - i.received_at)::float8 AS took
			FROM inbound i JOIN fact f ON f.inbound_id = i.id JOIN spell s ON s.id = f.spell_id WHERE i.control_id LIKE $1 || '%') t`, g.run).
		Scan(&held, &p50, &p99, &most)
	if err != nil {
		return r, fmt.Errorf("read latencies: %w", err)
	}
	if held != accepted {
		return r, fmt.Errorf("%d messages were acknowledged, %d handovers are confirmed", accepted, held)
	}
	r.p50, r.p99, r.max = seconds(p50), seconds(p99), seconds(most)
	return r, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (m *meter) waitConfirmed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	for {
		var open bool
		err := m.hub.QueryRow(ctx, `
			SELECT EXISTS (SELECT 1 FROM inbound_pending) OR EXISTS (SELECT 1 FROM outbox_unsent)
				OR EXISTS (SELECT 1 FROM spell s JOIN outbox o USING (id) WHERE (s.delivered_epoch, s.delivered_version) <> (o.epoch, o.version))`).Scan(&open)
		if err != nil {
			return fmt.Errorf("wait for confirmations: %w", err)
		}
		if !open {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// reading is what has been used so far.
type reading struct {
	cpu        map[string]float64 // seconds by part
	statements float64
	bytes      float64
}

func (m *meter) read(ctx context.Context) (reading, error) {
	r := reading{cpu: map[string]float64{}}
	for _, part := range m.stack.Parts() {
		r.cpu[part.Name] = cpuSeconds(part.Pid())
	}
	err := m.hub.QueryRow(ctx, `
		SELECT (SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE datname <> 'floor')::float8,
			(SELECT sum(pg_database_size(oid)) FROM pg_database WHERE datname <> 'floor')::float8`).Scan(&r.statements, &r.bytes)
	if err != nil {
		return r, fmt.Errorf("read costs: %w", err)
	}
	err = filepath.WalkDir(m.stack.NATSDir(), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // a file that JetStream has just replaced
		}
		if info, err := d.Info(); err == nil {
			r.bytes += float64(info.Size())
		}
		return nil
	})
	return r, err
}

// cpuSeconds sums what a process and its children have used, ended ones included.
func cpuSeconds(pid int) float64 {
	fields := statFields(pid)
	if len(fields) < 15 {
		return 0
	}
	const hertz = 100 // USER_HZ, fixed in Linux's interface
	total := 0.0
	for _, i := range []int{11, 12, 13, 14} { // utime, stime, cutime, cstime, counted behind the name
		ticks, _ := strconv.ParseFloat(fields[i], 64)
		total += ticks / hertz
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range tasks {
		text, _ := os.ReadFile(file)
		for _, child := range strings.Fields(string(text)) {
			if id, err := strconv.Atoi(child); err == nil {
				total += cpuSeconds(id)
			}
		}
	}
	return total
}

// statFields are the fields of /proc/PID/stat behind the process's name, which may hold blanks.
func statFields(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	_, rest, found := strings.Cut(string(text), ") ")
	if !found {
		return nil
	}
	return strings.Fields(rest)
}

func processors() string {
	name := "a processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == "model name" {
				name = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%d cores of %s", runtime.NumCPU(), name)
}

// printStatements lists what PostgreSQL spent its time on, in microseconds a handover.
func (m *meter) printStatements(ctx context.Context, handovers int64) error {
	rows, err := m.hub.Query(ctx, `
		SELECT datname, calls, total_exec_time * 1000 / $1 AS us, left(regexp_replace(query, '\s+', ' ', 'g'), 90)
		FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE datname <> 'floor' ORDER BY total_exec_time DESC LIMIT 25`, float64(handovers))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var database, query string
		var calls int64
		var us float64
		if err := rows.Scan(&database, &calls, &us, &query); err != nil {
			return err
		}
		fmt.Printf("    %6.1f us  %7d calls  %-22s %s\n", us, calls, database, query)
	}
	return rows.Err()
}
