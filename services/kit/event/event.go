// Package event is the shape of every event: a snapshot of one aggregate with the envelope that orders it. It is what the outbox
// keeps, the bus carries, the inbox compares and reconciliation repairs.
package event

import (
	"encoding/binary"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
)

// Event is the state of an aggregate at one version.
type Event struct {
	// Type is the CloudEvents type, `homeward.<stream>.<aggregate>.v<n>`.
	Type string
	// ID is the aggregate's.
	ID uuid.UUID
	// Key partitions the subjects.
	Key uuid.UUID
	// Epoch grows when a database was restored; within an epoch Version grows by one with every change.
	Epoch   int32
	Version int64
	// OccurredAt is when the newest fact took effect, RecordedAt when the producer stored this version.
	OccurredAt, RecordedAt time.Time
	// Trace is the span that made this version, or that is processing it; invalid when it was not sampled.
	Trace trace.SpanContext
	// Data is the protobuf message that Type names.
	Data []byte
}

var namespace = uuid.MustParse("5b0c1f9e-6a55-5f0e-9d3c-2f7c1e6f4a10")

// EventID is the CloudEvents id: UUIDv5 of epoch, aggregate and version, so that a re-send has the same one.
func (e Event) EventID() uuid.UUID {
	b := binary.BigEndian.AppendUint32(nil, uint32(e.Epoch))
	b = append(b, e.ID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Version))
	return uuid.NewSHA1(namespace, append(b, e.Type...))
}

// Subject is the NATS subject, `<stream>.<aggregate>.<key>`.
func (e Event) Subject() string {
	p := strings.Split(e.Type, ".")
	return p[1] + "." + p[2] + "." + e.Key.String()
}

var validType = regexp.MustCompile(`^homeward\.[a-z0-9_-]+\.[a-z0-9_-]+\.v[0-9]+\z`)

// ValidType reports whether a CloudEvents type has the form that Subject needs. Whatever comes from outside is checked by it.
func ValidType(s string) bool { return validType.MatchString(s) }

// NewerThan reports whether e is a later state than the given epoch and version.
func (e Event) NewerThan(epoch int32, version int64) bool {
	return e.Epoch > epoch || e.Epoch == epoch && e.Version > version
}

// Newest keeps, of each aggregate, the newest event, in the order of first appearance.
func Newest(events []Event) []Event {
	type aggregate struct {
		typ string
		id  uuid.UUID
	}
	at := make(map[aggregate]int, len(events))
	kept := make([]Event, 0, len(events))
	for _, e := range events {
		k := aggregate{e.Type, e.ID}
		i, seen := at[k]
		switch {
		case !seen:
			at[k] = len(kept)
			kept = append(kept, e)
		case e.NewerThan(kept[i].Epoch, kept[i].Version):
			kept[i] = e
		}
	}
	return kept
}
