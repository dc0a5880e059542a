package event

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"
)

const thing = "homeward.test.thing.v1"

var (
	one = uuid.MustParse("00000000-0000-4000-8000-000000000001")
	two = uuid.MustParse("00000000-0000-4000-8000-000000000002")
)

func TestEventIDIsTheSameForAResend(t *testing.T) {
	e := Event{Type: thing, ID: one, Key: one, Epoch: 1, Version: 7, RecordedAt: time.Unix(1, 0), Data: []byte("a")}
	resent := e
	resent.RecordedAt, resent.Trace = time.Unix(2, 0), trace.SpanContext{}
	if e.EventID() != resent.EventID() {
		t.Error("a re-send has another id")
	}
	// The id is part of what other systems keep: it must not change with this code.
	if got := e.EventID().String(); got != "49a42188-7e8a-5a81-8fee-c2286cfbbc0c" {
		t.Errorf("id %s", got)
	}
}

func TestEventIDIsDistinctForEveryVersionOfEveryAggregate(t *testing.T) {
	seen := map[uuid.UUID]Event{}
	for _, typ := range []string{thing, "homeward.test.other.v1"} {
		for _, id := range []uuid.UUID{one, two} {
			for epoch := range int32(3) {
				for version := range int64(4) {
					e := Event{Type: typ, ID: id, Epoch: epoch + 1, Version: version + 1}
					if other, ok := seen[e.EventID()]; ok {
						t.Errorf("%v and %v have one id", e, other)
					}
					seen[e.EventID()] = e
				}
			}
		}
	}
}

func TestSubjectIsStreamAggregateAndKey(t *testing.T) {
	e := Event{Type: thing, ID: one, Key: two}
	if got, want := e.Subject(), "test.thing."+two.String(); got != want {
		t.Errorf("subject %s, want %s", got, want)
	}
}

func TestValidTypeIsWhatASubjectCanBeMadeOf(t *testing.T) {
	for typ, want := range map[string]bool{
		thing:                        true,
		"homeward.light-touch.a.v12": true,
		"":                           false,
		"thing":                      false,
		"homeward.test":              false,
		"homeward.test.thing":        false,
		"homeward.test.thing.v1.x":   false,
		"homeward..thing.v1":         false,
		"homeward.test.*.v1":         false,
		"homeward.test.thing\x00.v1": false,
		"homeward.test.thing.v1\n":   false,
		"other.test.thing.v1":        false,
	} {
		if got := ValidType(typ); got != want {
			t.Errorf("ValidType(%q) = %v", typ, got)
		}
	}
}

func TestNewestKeepsTheNewestOfEachAggregateInOrderOfAppearance(t *testing.T) {
	got := Newest([]Event{
		{Type: thing, ID: two, Epoch: 1, Version: 3},
		{Type: thing, ID: one, Epoch: 2, Version: 1},
		{Type: thing, ID: two, Epoch: 1, Version: 5},
		{Type: "homeward.test.other.v1", ID: two, Epoch: 1, Version: 1},
		{Type: thing, ID: one, Epoch: 1, Version: 9},
		{Type: thing, ID: two, Epoch: 1, Version: 4},
	})
	want := []Event{
		{Type: thing, ID: two, Epoch: 1, Version: 5},
		{Type: thing, ID: one, Epoch: 2, Version: 1},
		{Type: "homeward.test.other.v1", ID: two, Epoch: 1, Version: 1},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestNewerThanIsAStrictTotalOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) Event {
			return Event{Epoch: rapid.Int32Range(1, 3).Draw(t, name+" epoch"), Version: rapid.Int64Range(1, 3).Draw(t, name+" version")}
		}
		a, b := draw("a"), draw("b")
		same := a.Epoch == b.Epoch && a.Version == b.Version
		aNewer, bNewer := a.NewerThan(b.Epoch, b.Version), b.NewerThan(a.Epoch, a.Version)
		if same && (aNewer || bNewer) || !same && aNewer == bNewer {
			t.Fatalf("%d/%d newer: %v, %d/%d newer: %v", a.Epoch, a.Version, aNewer, b.Epoch, b.Version, bNewer)
		}
		if a.Epoch > b.Epoch && !aNewer {
			t.Fatal("a later epoch is not newer")
		}
	})
}

func TestTraceparentRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := func(name string, n int) []byte {
			b := rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, name)
			b[0] |= 1 // all zeros is no id
			return b
		}
		sc := trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID(id("trace", 16)), SpanID: trace.SpanID(id("span", 8)), TraceFlags: trace.FlagsSampled,
		})
		if got := ParseTraceparent(Traceparent(sc)); !got.Equal(sc.WithRemote(true)) {
			t.Fatalf("%v came back as %v", sc, got)
		}
	})
}

func TestUnsampledOrUnreadableTraceIsNone(t *testing.T) {
	unsampled := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}})
	if got := Traceparent(unsampled); got != "" {
		t.Errorf("wrote %q", got)
	}
	for _, s := range []string{"", "00", "00-00000000000000000000000000000000-0000000000000000-01", "zz-1-2-3", "\x00"} {
		if ParseTraceparent(s).IsValid() {
			t.Errorf("%q was read as a trace", s)
		}
	}
}
