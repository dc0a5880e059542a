package pg

import "testing"

func TestASpanIsNamedForWhatItsStatementIsAbout(t *testing.T) {
	for sql, want := range map[string]string{
		"begin":                              "BEGIN",
		"commit":                             "COMMIT",
		"SELECT id FROM spell WHERE id = $1": "SELECT spell",
		"SELECT FROM spell":                  "SELECT spell",
		"\n\tSELECT s.id FROM unnest($1::uuid[]) AS u (id) JOIN spell s USING (id)":         "SELECT spell",
		"SELECT EXISTS (SELECT FROM held_spell)":                                            "SELECT held_spell",
		"SELECT pg_advisory_xact_lock($1)":                                                  "SELECT pg_advisory_xact_lock",
		"WITH a AS (SELECT id FROM inbound_pending FOR UPDATE) DELETE FROM inbound_pending": "DELETE inbound_pending",
		"INSERT INTO outbox AS o (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET id = o.id": "INSERT outbox",
	} {
		if got := spanName(sql); got != want {
			t.Errorf("%q: %q, want %q", sql, got, want)
		}
	}
}
