package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5/pgproto3"
)

// The driver names a statement by a digest of its text, so what one session prepared is what the next one means. It may prepare all anew; here
// PostgreSQL is not asked for what it has. Plans are pinned (pg.Open): whichever session made one, it is the same.

// unprepared are the driver's messages without the text of statements that are prepared. The message for one prepares nothing instead, which is
// answered in the same way. It reports whether the messages run something, or only prepare it.
func (b *backend) unprepared(messages []byte) (sent []byte, runs bool) {
	var kept []byte // nil as long as nothing is left out
	at, from := 0, 0
	for at+5 <= len(messages) {
		end := at + 1 + int(binary.BigEndian.Uint32(messages[at+1:]))
		switch kind, rest := messages[at], messages[at+5:end]; kind {
		case 'E', 'Q': // Execute, Query
			runs = true
		case 'P': // Parse: the name, the text, types
			name, _, _ := bytes.Cut(rest, []byte{0})
			switch {
			case len(name) == 0:
			case b.prepared[string(name)]:
				kept = append(append(kept, messages[from:at]...), nothing...)
				from = end
			default:
				b.prepared[string(name)], b.fresh = true, true
			}
		case 'C': // Close: what, its name
			if name, _, _ := bytes.Cut(rest[1:], []byte{0}); rest[0] == 'S' {
				delete(b.prepared, string(name))
			}
		}
		at = end
	}
	if kept == nil {
		return messages, runs
	}
	return append(kept, messages[from:]...), runs
}

// nothing prepares an empty statement without a name.
var nothing = []byte{'P', 0, 0, 0, 8, 0, 0, 0, 0}

// clear undoes what a session left behind, and finds out what of it is really prepared.
func (b *backend) clear() error {
	sql := "ROLLBACK; CLOSE ALL; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES"
	if b.fresh {
		sql += "; SELECT name FROM pg_prepared_statements"
		clear(b.prepared)
	}
	server := pgproto3.NewFrontend(b, b)
	server.SendQuery(&pgproto3.Query{String: sql})
	if err := server.Flush(); err != nil {
		return err
	}
	for {
		message, err := server.Receive()
		if err != nil {
			return err
		}
		switch m := message.(type) {
		case *pgproto3.DataRow:
			if name := string(m.Values[0]); b.fresh && name != "" {
				b.prepared[name] = true
			}
		case *pgproto3.ErrorResponse:
			return fmt.Errorf("%s: %s", m.Code, m.Message)
		case *pgproto3.ReadyForQuery:
			b.fresh = false
			return nil
		}
	}
}
