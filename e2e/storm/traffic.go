package storm

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/homeward-care/homeward/e2e/hospital"
	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// traffic is what goes on while the storm rages: hospitals that send, and wards whose people need an assessment and reablement.
type traffic struct {
	stack   *stack.Stack
	door    string
	clients clients
	conns   []*grpc.ClientConn

	cancel   context.CancelFunc
	work     sync.WaitGroup
	accepted atomic.Int64
	resent   atomic.Int64
	refused  atomic.Int64 // of the resent ones: answered AE

	mu       sync.Mutex
	begun    int
	done     []*visit
	rejected []error
	sent     []hospital.Message

	offering sync.Mutex
	offers   []*offer
}

const (
	hospitals = 6
	wards     = 3
	pause     = 60 * time.Millisecond // of each connection between two visits: a busy hospital, not a benchmark
)

func newTraffic(s *stack.Stack, door string, _ uint64) (*traffic, error) {
	t := &traffic{stack: s, door: door, cancel: func() {}}
	return t, t.connect()
}

// start lets everybody work until stop.
func (t *traffic) start(ctx context.Context) {
	ctx, t.cancel = context.WithCancel(ctx)
	for range hospitals {
		t.work.Go(func() { t.hospital(ctx) })
	}
	for range wards {
		t.work.Go(func() { t.ward(ctx) })
	}
}

// stop ends the traffic: what is begun is sent to its end, as a hospital's queue would.
func (t *traffic) stop() {
	t.cancel()
	t.work.Wait()
	for _, conn := range t.conns {
		_ = conn.Close()
	}
}

// hospital is one connection that sends one visit after another.
func (t *traffic) hospital(ctx context.Context) {
	s := &hospital.Sender{Addr: t.door}
	defer t.hangUp(s)
	for ctx.Err() == nil {
		v := t.next()
		if !t.send(ctx, s, v) {
			return
		}
		sleep(ctx, pause)
	}
}

func (t *traffic) hangUp(s *hospital.Sender) {
	s.Close()
	t.resent.Add(int64(s.Resent))
	t.refused.Add(int64(s.Refused))
}

func (t *traffic) next() *visit {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun++
	return newVisit(t.begun)
}

// send sends a whole visit. It reports false where the traffic cannot go on.
func (t *traffic) send(ctx context.Context, s *hospital.Sender, v *visit) bool {
	for _, m := range v.messages {
		t.mu.Lock()
		t.sent = append(t.sent, m)
		t.mu.Unlock()
		if err := s.SendUntilAccepted(context.WithoutCancel(ctx), m.Encode()); err != nil {
			t.mu.Lock()
			t.rejected = append(t.rejected, err)
			t.mu.Unlock()
			return false
		}
		t.accepted.Add(1)
	}
	v.acknowledged = time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = append(t.done, v)
	return true
}

// visits are those that were acknowledged to their end.
func (t *traffic) visits() []*visit {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]*visit(nil), t.done...)
}

func (t *traffic) messages() []hospital.Message {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]hospital.Message(nil), t.sent...)
}

// visit is one stay in hospital as its messages tell it.
type visit struct {
	number       string
	messages     []hospital.Message
	team, due    string // what must become of it
	acknowledged time.Time

	// What the ward asked for and was promised.
	assessment, reablement bool
}

// homes pairs practices with the team that they belong to, by the published list of networks.
var homes = []struct{ practice, postcode, team string }{
	{"F81155", "RM17 5QQ", "CLS-GRAYS"}, {"F81010", "RM15 4QQ", "CLS-ASOP"}, {"F81153", "SS17 0QQ", "CLS-SLH"}, {"F81110", "RM18 8QQ", "CLS-TC"},
}

// newVisit is the nth visit.
func newVisit(n int) *visit {
	home := homes[n%len(homes)]
	v := &visit{number: fmt.Sprintf("STORM%06d", n), team: home.team}
	left := time.Date(2026, 3, 1+n%60, 9+n%9, n%60, 0, 0, london)
	at := func(d time.Duration) string { return left.Add(d).Format("20060102150405") }
	add := func(trigger, id string, recorded time.Duration, discharged string) {
		v.messages = append(v.messages, hospital.Message{
			"MSH-3": "MSEPAS", "MSH-4": "RAJ", "MSH-7": at(recorded), "MSH-9": "ADT^" + trigger, "MSH-10": v.number + id, "MSH-11": "P", "MSH-12": "2.4",
			"EVN-1": trigger, "EVN-2": at(recorded),
			"PID-3": fmt.Sprintf("QS%05d^^^RAJ^PI", n%20), "PID-5": "STORMONTH^STELLAMARINA", "PID-7": "19330303",
			"PID-11": "44 OSPREYNEST ROAD^^THURROCK^ESSEX^" + home.postcode + "^GBR^H", "PD1-3": "^^" + home.practice,
			"PV1-2": "I", "PV1-19": v.number, "PV1-36": "1", "PV1-37": "19", "PV1-44": at(-72 * time.Hour), "PV1-45": discharged,
		})
	}
	add("A01", "A", -72*time.Hour, "")
	add("A03", "B", 0, at(0))
	last := left
	if n%5 == 0 { // cancelled, for another discharge
		last = left.AddDate(0, 0, 3)
		add("A13", "C", time.Hour, "")
		add("A03", "D", last.Sub(left), last.Format("20060102150405"))
	}
	v.due = last.AddDate(0, 0, 42).Format(time.DateOnly)
	return v
}

// london is where discharges happen.
var london = mustLoad("Europe/London")

func mustLoad(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return zone
}
