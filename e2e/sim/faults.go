package sim

import (
	"fmt"
	"slices"
	"time"
)

// Fault is a kind of thing that goes wrong. Each is counted; a kind that never happened in a run proves nothing.
type Fault string

// The kinds of faults.
const (
	crashBeforeCommit  Fault = "crash before a commit"
	crashAfterCommit   Fault = "crash after a commit, before its reply"
	crashBeforePublish Fault = "crash before a publication"
	crashAfterPublish  Fault = "crash after a publication, before its acknowledgement"
	crashAnywhere      Fault = "crash at some other statement or call"
	lostCommitReply    Fault = "commit whose reply is lost"
	lostReply          Fault = "statement whose reply is lost"
	cutConnection      Fault = "connection to PostgreSQL cut before a statement"
	publishRefused     Fault = "publication that nobody takes"
	publishPartly      Fault = "publication of which a part arrives"
	publishAckLost     Fault = "publication whose acknowledgement is lost"
	peerDown           Fault = "gRPC peer down"
	peerSlow           Fault = "gRPC peer slow"
	peerTwice          Fault = "gRPC peer that answers twice"
	peerAnswerLost     Fault = "gRPC answer lost"
	stalledFlow        Fault = "worker stalled in the middle"
	laggingWorker      Fault = "worker lagging behind"
	doubledWorker      Fault = "service doubled"
	pausedProcess      Fault = "process paused whose lock has gone"
	clockAhead         Fault = "clock that jumps ahead"
	clockBack          Fault = "clock that jumps back"
	clockChange        Fault = "stay across a change of the clocks"
	restoredHub        Fault = "discharge-hub's database restored to an earlier point"
	restoredPickup     Fault = "community-pickup's database restored to an earlier point"
	restoredAssessment Fault = "light-touch-assessment's database restored to an earlier point"
	restoredReablement Fault = "reablement-capacity's database restored to an earlier point"
	lostAcknowledged   Fault = "JetStream: acknowledged message lost"
	storedTwice        Fault = "JetStream: message stored twice"
	broughtTwice       Fault = "JetStream: message brought twice"
	broughtAfterAck    Fault = "JetStream: message brought again after its ack"
	reordered          Fault = "JetStream: messages out of order"
	lostAck            Fault = "JetStream: ack lost"
	acksForgotten      Fault = "JetStream: acks forgotten in a kill"
	truncated          Fault = "JetStream: end of a stream lost"
	wiped              Fault = "JetStream: store wiped"
	wardBusy           Fault = "ward that has no room for an answer (AE)"
	wardRejects        Fault = "ward that rejects an answer (AR)"
	engineBusy         Fault = "webhook that answers 503"
	fhirCrashBefore    Fault = "FHIR door: crash before a commit"
	fhirCrashAfter     Fault = "FHIR door: crash after a commit, before its reply"
	fhirCommitLost     Fault = "FHIR door: commit whose reply is lost"
	fhirAnswerLost     Fault = "FHIR door: answer lost"
	fhirRepeated       Fault = "FHIR door: request repeated while the first is under way"
	fhirOvertaken      Fault = "FHIR door: write that another one came before (409, 412)"
)

// Faults are all kinds, in the order in which they are reported.
var Faults = []Fault{
	crashBeforeCommit, crashAfterCommit, crashBeforePublish, crashAfterPublish, crashAnywhere, lostCommitReply, lostReply, cutConnection,
	publishRefused, publishPartly, publishAckLost, peerDown, peerSlow, peerTwice, peerAnswerLost, stalledFlow, laggingWorker, doubledWorker,
	pausedProcess, clockAhead, clockBack, clockChange, restoredHub, restoredPickup, restoredAssessment, restoredReablement, lostAcknowledged, storedTwice, broughtTwice, broughtAfterAck, reordered,
	lostAck, acksForgotten, truncated, wiped, wardBusy, wardRejects, engineBusy,
	fhirCrashBefore, fhirCrashAfter, fhirCommitLost, fhirAnswerLost, fhirRepeated, fhirOvertaken,
}

// atFHIRDoor are the kinds that are counted apart where they meet a request at the FHIR door.
var atFHIRDoor = map[Fault]Fault{crashBeforeCommit: fhirCrashBefore, crashAfterCommit: fhirCrashAfter, lostCommitReply: fhirCommitLost}

// odds are how often what the courier and the wards may do wrong goes wrong, where it can.
var odds = map[Fault]float64{
	lostAcknowledged: 0.05, storedTwice: 0.04, broughtTwice: 0.06, broughtAfterAck: 0.06, reordered: 0.15, lostAck: 0.04,
	wardBusy: 0.05, wardRejects: 0.02, engineBusy: 0.1, fhirRepeated: 0.1,
}

// faults makes things go wrong, and counts them.
type faults struct {
	world *world
	on    bool
	// refusing is on for longer, because most is told when all is quiet.
	refusing bool
	count    map[Fault]int
}

func (f *faults) happened(kind Fault) {
	f.count[kind]++
}

// happens throws the dice for a fault of the courier; refuses does for one of a ward or of the engine.
func (f *faults) happens(kind Fault) bool { return f.on && f.throw(kind) }
func (f *faults) refuses(kind Fault) bool { return f.refusing && f.throw(kind) }

func (f *faults) throw(kind Fault) bool {
	if !f.world.swarm.faults[kind] || f.world.rng.Float64() >= odds[kind]*f.world.roughness {
		return false
	}
	f.happened(kind)
	f.world.tell("fault: %s", kind)
	return true
}

func (f *faults) total() (n int) {
	for _, c := range f.count {
		n += c
	}
	return n
}

// pick returns one of the kinds that the seed has; empty when it has none of them.
func (f *faults) pick(kinds ...Fault) Fault {
	kinds = slices.DeleteFunc(kinds, func(kind Fault) bool { return !f.world.swarm.faults[kind] })
	if len(kinds) == 0 {
		return ""
	}
	return kinds[f.world.rng.IntN(len(kinds))]
}

// step gives the baton to a flow, and now and then something goes wrong with what it is about to do.
func (w *world) step(f *flow) {
	w.wards.look()
	w.engine.look()
	odds := 0.012
	switch f.at.kind {
	case committing, publishing, calling, answering:
		odds = 0.05
	}
	if f.fhir && f.at.kind != statement { // there are few of them
		odds *= 3
	}
	if !w.faults.on || f.proc == nil || w.rng.Float64() >= odds*w.roughness {
		w.sched.grant(f, verdict{})
		return
	}
	var kind Fault
	switch f.at.kind {
	case committing:
		kind = w.faults.pick(crashBeforeCommit, crashAfterCommit, lostCommitReply, cutConnection, stalledFlow)
	case publishing:
		kind = w.faults.pick(crashBeforePublish, crashAfterPublish, publishRefused, publishPartly, publishAckLost, stalledFlow)
	case calling:
		kind = w.faults.pick(peerDown, peerSlow, peerTwice, peerAnswerLost, crashAnywhere)
	case statement:
		kind = w.faults.pick(crashAnywhere, lostReply, cutConnection, stalledFlow)
	case stored:
		kind = stalledFlow
	case answering:
		kind = w.faults.pick(fhirAnswerLost, crashAnywhere)
	}
	if kind == "" {
		w.sched.grant(f, verdict{})
		return
	}
	counted := kind
	if own, ok := atFHIRDoor[kind]; ok && f.fhir {
		counted = own
	}
	w.faults.happened(counted)
	w.tell("fault: %s, in %s at %q", counted, f.name, f.at.what)
	switch kind {
	case crashBeforeCommit, crashBeforePublish, crashAnywhere:
		w.crash(f.proc)
	case crashAfterCommit, crashAfterPublish:
		f.proc.dead.Store(true)
		p := f.proc
		w.sched.grant(f, verdict{lose: true})
		w.crash(p)
	case lostCommitReply, lostReply, publishAckLost, peerAnswerLost, fhirAnswerLost:
		w.sched.grant(f, verdict{lose: true})
	case cutConnection, publishRefused, peerDown:
		w.sched.grant(f, verdict{err: errCut})
	case publishPartly:
		w.sched.grant(f, verdict{part: 0.1 + 0.8*w.rng.Float64()})
	case peerTwice:
		w.sched.grant(f, verdict{times: 2})
	case stalledFlow, peerSlow:
		f.until = w.sched.steps + 20 + w.rng.IntN(80)
	}
}

// disturb makes things go wrong that have no place in a flow.
func (w *world) disturb() {
	if !w.faults.on || w.rng.Float64() >= 0.015*w.roughness {
		return
	}
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	kind := w.faults.pick(laggingWorker, pausedProcess, clockAhead, clockBack, acksForgotten, truncated, wiped)
	detail := n.name
	switch kind {
	case "":
		return
	case laggingWorker:
		if n.proc == nil {
			return
		}
		k := n.proc.workers[w.rng.IntN(len(n.proc.workers))]
		k.lagUntil = w.sched.steps + 100 + w.rng.IntN(200)
		detail = k.name
	case pausedProcess:
		if n.proc == nil || n.proc.session == nil {
			return
		}
		n.pausedUntil = w.sched.steps + 50 + w.rng.IntN(150)
		n.proc.session.end()
		n.proc.session = nil
		if n.proc.claims != nil {
			n.proc.claims.end()
			n.proc.claims = nil
		}
	case clockAhead, clockBack:
		if w.restore.service == n.service && n.service == "discharge-hub" && slices.ContainsFunc(w.desks, (*desk).busy) {
			return // see mindsClock
		}
		by := []time.Duration{2 * time.Second, 90 * time.Second, 11 * time.Minute, 3 * time.Hour, 50 * 24 * time.Hour}[w.rng.IntN(5)]
		if kind == clockBack {
			by = -by
		}
		n.skewed = true
		n.skew, n.skewUntil = by, w.sched.steps+50+w.rng.IntN(150)
		w.least, w.most = min(w.least, by), max(w.most, by)
		detail = fmt.Sprintf("%s by %s", n.name, by)
	case acksForgotten:
		w.courier.forgetAcks(w.now())
		detail = ""
	case truncated:
		detail = serviceStreams[n.service]
		w.courier.truncate(detail)
	case wiped:
		w.courier.wipe()
		detail = ""
	}
	w.faults.happened(kind)
	w.tell("fault: %s %s", kind, detail)
}
