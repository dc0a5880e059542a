package dischargehub

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

// Many large messages that came while nobody interpreted are not read into memory at one time, and all are read.
func TestABatchIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	h := newStepped(t)
	const messages, size = 6, 4 << 20
	for n := range messages {
		raw := adt("A01", fmt.Sprintf("M%d", n), fmt.Sprintf("V%d", n), day(1, 9)).Set("ZZZ-1", strings.Repeat("x", size)).Bytes()
		if err := h.store.insertInbound(t.Context(), []*inbound{{Feed: "mse-basildon", Format: formatHL7, ControlID: "M", Body: raw, Accepted: true,
			Span: trace.SpanFromContext(t.Context()), digest: sha256.Sum256(raw), receivedAt: restoredAt}}); err != nil {
			t.Fatal(err)
		}
	}
	pending := func() (n int) {
		if err := h.db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM inbound_pending`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for left, more := messages, true; left > 0; {
		if !more {
			t.Fatalf("the interpreter rests while %d messages wait", left)
		}
		var err error
		if more, err = h.in.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		now := pending()
		if read := left - now; read == 0 || read*size > batchBytes+size {
			t.Fatalf("a batch of %d messages of %d bytes", read, size)
		}
		left = now
	}
}
