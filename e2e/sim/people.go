package sim

import (
	"context"
	"strings"

	"github.com/homeward-care/homeward/e2e/oracle"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/event"
)

// sender is a hospital with one message on the way at a time: it sends until it is told that the message is stored.
type sender struct {
	w     *world
	name  string
	queue []oracle.Told
	later []oracle.Told // to be sent once the rest has arrived
	busy  bool
	wait  int // not before that step
}

func (h *sender) ready() bool {
	return !h.busy && len(h.queue) > 0 && h.wait <= h.w.sched.steps && h.w.door.free()
}

// send sends the next message, by the door that it is for.
func (h *sender) send() {
	w, m := h.w, h.queue[0]
	if m.FHIR != nil {
		w.acts(messengers)
		h.busy = true
		if !w.door.ask(h.name, message(m), func(a fhirAnswer) {
			if a.status/100 == 4 && w.least == 0 { // no clock was so far behind that the message was one of tomorrow
				w.fail("FHIR message %s is answered %d %s", m.ControlID, a.status, a.body)
			}
			h.ended(m, a.ok())
		}) {
			h.busy, h.wait = false, w.sched.steps+10
		}
		return
	}
	p := w.processOf("discharge-hub", "MLLP")
	if p == nil { // connection refused
		h.wait = w.sched.steps + 10
		return
	}
	h.busy = true
	accepted := false
	w.door.enter()
	w.sched.spawn(h.name+" "+m.ControlID, func() {
		w.door.leave()
		h.ended(m, accepted && !p.dead.Load())
	}, func(f *flow) {
		if m.Event != nil {
			_, err := dischargev1.NewDischargeHubServiceClient(wire{w, "discharge-hub"}).RecordEvent(asHubStaff(withFrame(w.ctx, f, nil)), m.Event)
			accepted = err == nil
			return
		}
		ack := p.hub.Answer(withFrame(w.ctx, f, p), m.HL7)
		accepted = strings.Contains(string(ack), "\rMSA|AA|")
	})
}

func (h *sender) ended(m oracle.Told, accepted bool) {
	w := h.w
	h.busy = false
	if !accepted {
		w.tell("%s gets no answer to %s", h.name, m.ControlID)
		h.wait = w.sched.steps + w.rng.IntN(30)
		if m.Event != nil { // a merge can be taken back once the hub has read it: whoever records it comes back to it later
			h.queue = append(h.queue[1:], m)
		}
		return
	}
	w.tell("%s: %s %s is accepted", h.name, m.Kind, m.ControlID)
	h.queue = h.queue[1:]
	for _, spell := range m.SpellIDs() {
		w.meet(nil, news{"discharge-hub", spell}, event.Event{})
	}
	w.told = append(w.told, m)
	w.acceptedAt = append(w.acceptedAt, w.now())
}

func asHubStaff(ctx context.Context) context.Context {
	return authn.With(ctx, authn.Principal{Subject: "hub-1", Roles: []authn.Role{authn.HubStaff}})
}
