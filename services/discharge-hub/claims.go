package dischargehub

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/homeward-care/homeward/services/kit/pg"
)

// claims let a process tell a hospital something while no other replica does. What it is about to send carries the process's number, and an
// advisory lock of that number is held on a session of the process's own. When the process dies PostgreSQL ends the session, and whoever looks
// next takes what it had claimed. Of a process that only stands still the claim is good until its lease ends. Whoever lost a claim writes
// nothing of what came of it but the attempt itself.
type claims struct {
	db      *pg.DB
	number  atomic.Int32 // this process's; 0 until it has one, and then the same whatever becomes of the session
	session *pgxpool.Conn
}

// claimsPoll is how long a process goes without a session that was lost.
const claimsPoll = time.Second

// claimLock is the first key of the lock of a process's number. Services that share a database have a schema each.
const claimLock = `hashtext('claims ' || current_schema())`

// abandoned is a condition on what is claimed: by a process that has died, or by this one ($%d), which sends one thing after another and so could not
// note what came of it.
const abandoned = `claimed_by IS NOT NULL AND (claimed_by = $%d OR pg_try_advisory_xact_lock(` + claimLock + `, claimed_by))`

// Step gets a session with the lock, or sees that the one that is there lives.
func (c *claims) Step(ctx context.Context) (bool, error) {
	if c.session != nil {
		if err := c.session.Ping(ctx); err == nil {
			return false, nil
		}
		c.Close()
	}
	conn, err := c.db.Pool.Acquire(ctx)
	if err != nil {
		return false, fmt.Errorf("session of claims: %w", err)
	}
	c.session = conn
	number, locked := c.number.Load(), false
	if number == 0 {
		err = conn.QueryRow(ctx, `SELECT nextval('claimant')::integer`).Scan(&number)
	}
	if err == nil {
		err = conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(`+claimLock+`, $1)`, number).Scan(&locked)
	}
	if err != nil || !locked { // the session that was lost has not ended at the server yet, or somebody is just looking whether it has
		c.Close()
		return false, err
	}
	c.number.Store(number)
	return false, nil
}

// Close gives the claims up.
func (c *claims) Close() {
	if c.session == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.session.Hijack().Close(ctx)
	c.session = nil
}
