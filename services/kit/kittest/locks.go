package kittest

import (
	"testing"

	"github.com/homeward-care/homeward/services/kit/pg"
)

// WaitingForLocks is how many sessions of the database wait for a lock at this moment.
func WaitingForLocks(t testing.TB, db *pg.DB) (n int) {
	t.Helper()
	if err := db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).
		Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
