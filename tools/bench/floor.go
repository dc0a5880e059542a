package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/homeward-care/homeward/services/kit/devinfra"
)

const (
	floorConnections = 16
	floorBatch       = 500
)

// floor is what PostgreSQL alone does here with the fewest durable writes that a handover needs: each raw message in a commit of its own
// over 16 connections, and behind them, in batches, a row each for its facts, its spell, what is published of it, its task and its
// confirmation.
func (m *meter) floor(ctx context.Context, load time.Duration) (float64, error) {
	if err := devinfra.CreateDatabases(ctx, m.stack.Databases["discharge-hub"], "floor"); err != nil {
		return 0, err
	}
	url, err := devinfra.DatabaseURL(m.stack.Databases["discharge-hub"], "floor")
	if err != nil {
		return 0, err
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return 0, err
	}
	cfg.MaxConns = floorConnections + 1
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, `
		CREATE TABLE raw (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL);
		CREATE TABLE fact (id bigint PRIMARY KEY, body bytea NOT NULL);
		CREATE TABLE published (id bigint PRIMARY KEY, body bytea NOT NULL);
		CREATE TABLE task (id bigint PRIMARY KEY, body bytea NOT NULL);
		CREATE TABLE confirmed (id bigint PRIMARY KEY)`); err != nil {
		return 0, fmt.Errorf("floor: %w", err)
	}
	g := &generator{run: "F"}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var stored atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, floorConnections+1)
	start := time.Now()
	end := start.Add(load)
	for range floorConnections {
		wg.Go(func() {
			for time.Now().Before(end) {
				if _, err := pool.Exec(ctx, `INSERT INTO raw (body) VALUES ($1)`, g.message()); err != nil {
					errs <- err
					return
				}
				stored.Add(1)
			}
		})
	}
	wg.Go(func() {
		var done int64
		for done < stored.Load() || time.Now().Before(end) {
			n := min(stored.Load()-done, floorBatch)
			if n == 0 {
				time.Sleep(time.Millisecond)
				continue
			}
			if _, err := pool.Exec(ctx, `
				WITH batch AS (SELECT n, substr(repeat('x', 400), 1, 400)::bytea AS body FROM generate_series($1::bigint, $2::bigint) n),
				f AS (INSERT INTO fact SELECT n, body FROM batch),
				p AS (INSERT INTO published SELECT n, body FROM batch),
				t AS (INSERT INTO task SELECT n, body FROM batch)
				INSERT INTO confirmed SELECT n FROM batch`, done+1, done+n); err != nil {
				errs <- err
				return
			}
			done += n
		}
	})
	wg.Wait()
	took := time.Since(start)
	select {
	case err := <-errs:
		return 0, fmt.Errorf("floor: %w", err)
	default:
		return float64(stored.Load()) / took.Seconds(), nil
	}
}
