package bus

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/kit/event"
)

// FuzzDecode gives decode any headers. What it takes for an event can be published again, with the same id and subject, and is the same
// event when it comes back; what it refuses is no event.
func FuzzDecode(f *testing.F) {
	const id, key = "6f1c2f0e-3a55-5d0c-9a52-7d3b8f1e2a44", "01890a5d-ac96-774b-bcce-b302099a8057"
	const at, parent = "2026-09-02T13:25:00.123456Z", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	f.Add("homeward.discharge.spell.v1", id, key, "1", "7", at, at, parent, []byte("state"))
	f.Add("homeward.pickup.task.v1", "urn:uuid:"+id, "{"+key+"}", "+2", "007", "2026-09-02T14:25:00+01:00", "0000-01-01T00:00:00Z", "", []byte{})
	f.Add("homeward.a.b.v1", "6F1C2F0E3A555D0C9A527D3B8F1E2A44", id, "2147483647", "9223372036854775807", at, "9999-12-31T23:59:59.999999999Z", parent+"-more", []byte(nil))
	f.Add("homeward.a.b.v1", id, id, "02147483648", "0", "2026-09-02", "", "00-0-0-00", []byte("x"))
	f.Add("homeward.a.b.v1", id, id, "1", "1", "9999-12-31T23:59:59-14:00", "0000-01-01T00:00:00+14:00", "", []byte("x"))
	f.Add("homeward.a.*.v1", "", "", "-1", "", "", "", "", []byte(nil))
	f.Fuzz(func(t *testing.T, typ, id, key, epoch, version, occurred, recorded, parent string, data []byte) {
		e, err := Decode(nats.Header{
			hType: {typ}, hSubject: {id}, hKey: {key}, hEpoch: {epoch}, hVersion: {version}, hOccurred: {occurred}, hTime: {recorded}, hTraceparent: {parent},
		}, data)
		if err != nil {
			return
		}
		if e.Epoch < 1 || e.Version < 1 || !event.ValidType(e.Type) {
			t.Fatalf("taken for an event: %+v", e)
		}
		m := Encode("/homeward/test", e)
		if want := (event.Event{Type: typ, ID: uuid.MustParse(id), Key: uuid.MustParse(key), Epoch: e.Epoch, Version: e.Version}); m.Subject != want.Subject() ||
			m.Header.Get(hID) != want.EventID().String() {
			t.Fatalf("published to %s with id %s", m.Subject, m.Header.Get(hID))
		}
		back, err := Decode(m.Header, m.Data)
		if err != nil {
			t.Fatalf("%+v can't be read again: %v", e, err)
		}
		sameTrace := cmp.Comparer(func(a, b trace.SpanContext) bool { return a.Equal(b) || !a.IsSampled() && !b.IsSampled() })
		if diff := cmp.Diff(e, back, sameTrace, cmp.Comparer(time.Time.Equal)); diff != "" {
			t.Fatal(diff)
		}
	})
}
