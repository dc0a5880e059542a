package storm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/homeward-care/homeward/e2e/desk"
	"github.com/homeward-care/homeward/e2e/hospital"
	"github.com/homeward-care/homeward/e2e/oracle"
	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// traffic is what goes on while the storm rages: hospitals that send, and wards whose people need an assessment and reablement.
type traffic struct {
	stack   *stack.Stack
	door    string // of MLLP
	fhir    string // and of FHIR
	seed    uint64
	signIn  func(ctx context.Context) (token string, err error) // at the FHIR door
	clients clients
	conns   []*grpc.ClientConn

	began    time.Time
	cancel   context.CancelFunc
	work     sync.WaitGroup
	accepted atomic.Int64
	resent   atomic.Int64
	refused  atomic.Int64 // of the resent ones: answered AE

	acceptedByFHIR, resentByFHIR atomic.Int64 // those of them at the FHIR door, by message
	written, overtaken           atomic.Int64 // resources, and writes that were refused because another one came before

	mu       sync.Mutex
	begun    int
	done     []*visit
	rejected []string

	offering sync.Mutex
	offers   []*offer
}

const (
	hospitals = 6
	wards     = 3
	pause     = 100 * time.Millisecond // of each connection between two stays: a busy hospital, not a benchmark
	requests  = 5                      // of each who tells of somebody resource by resource: the door takes no more than 50 a second from all
)

// visit is a stay of which everything was acknowledged.
type visit struct {
	oracle.Stay
	acknowledged time.Time

	desk   *desk.Desk    // where it is told of resource by resource, if it is
	clerks int           // who work there
	byDesk []oracle.Told // what the hub has made of that; see checkWritten

	assessment, reablement bool // what the ward asked for and got
}

func newTraffic(s *stack.Stack, door, fhir string, seed uint64) (*traffic, error) {
	client, err := stack.OpenClient(filepath.Dir(s.IssuerDir))
	if err != nil {
		return nil, err
	}
	signIn := func(ctx context.Context) (string, error) { return client.Token(ctx, s.FHIR) } // not through the storm: the address is signed for
	t := &traffic{stack: s, door: door, fhir: fhir, seed: seed, signIn: signIn, cancel: func() {}}
	return t, t.connect()
}

// start lets everybody work until stop. What is begun is brought to its end, as a hospital's queue would, but not beyond the limit.
func (t *traffic) start(ctx context.Context, limit time.Duration) {
	bounded, end := context.WithTimeout(ctx, limit)
	going, cancel := context.WithCancel(bounded)
	t.cancel = cancel
	t.began = time.Now()
	for i := range hospitals + wards {
		t.work.Go(func() { t.hospital(going, bounded, i < wards) })
	}
	go func() { t.work.Wait(); end() }()
}

// stop lets everybody end what is begun, and waits for that.
func (t *traffic) stop() {
	t.cancel()
	t.work.Wait()
}

func (t *traffic) close() {
	t.stop()
	for _, conn := range t.conns {
		_ = conn.Close()
	}
}

// sender is a hospital's integration engine, and its record system beside it, where two clerks can work.
type sender struct {
	hospital.Sender
	fhir   *hospital.FHIR
	clerks []*hospital.FHIR
}

// hospital is one connection that tells one stay after another while it is going; in a ward, staff then care for the person.
func (t *traffic) hospital(going, bounded context.Context, ward bool) {
	client := func() *hospital.FHIR { return &hospital.FHIR{Door: t.fhir, SignIn: t.signIn} }
	s := &sender{hospital.Sender{Addr: t.door}, client(), []*hospital.FHIR{client(), client()}}
	defer func() {
		s.Close()
		for _, door := range append(s.clerks, s.fhir) {
			door.Close()
			t.resent.Add(int64(door.Resent))
			t.resentByFHIR.Add(int64(door.Resent))
		}
		t.resent.Add(int64(s.Resent))
		t.refused.Add(int64(s.Refused))
	}()
	for going.Err() == nil {
		v := t.next()
		err := t.tell(bounded, s, v)
		if err == nil && ward {
			err = t.care(bounded, v)
		}
		t.mu.Lock()
		if err != nil {
			t.rejected = append(t.rejected, fmt.Sprintf("stay %s: %v", v.Key, err))
		} else {
			t.done = append(t.done, v)
		}
		t.mu.Unlock()
		sleep(going, pause)
	}
}

// next is the next stay of the run. Its messages come in some order: every third time in any at all. One stay in five comes by FHIR as far as
// FHIR tells the same, and by HL7 for the rest. Of one in twelve a record system tells resource by resource, and of another one in twelve it does so
// while the messages come, which were recorded before and after. One in six has messages that lack something or contradict themselves.
func (t *traffic) next() *visit {
	t.mu.Lock()
	t.begun++
	n := t.begun
	t.mu.Unlock()
	r := rand.New(rand.NewPCG(t.seed, uint64(n)))
	if n%12 == 7 {
		record := oracle.NewRecord(r, n, t.began)
		return &visit{Stay: record.Stay, desk: desk.New(r, record), clerks: 1 + r.IntN(2)}
	}
	stay := oracle.NewStay(r, n, time.Date(2026, 1, 10, 0, r.IntN(300*24*60), 0, 0, oracle.London))
	var told *desk.Desk
	switch {
	case n%12 == 3:
		recent := oracle.NewStay(r, n, t.began.Add(-time.Duration(r.IntN(72))*time.Hour)).Until(t.began)
		if record, ok := oracle.RecordOf(r, recent); ok {
			stay, told = recent, desk.New(r, record)
		}
	case n%5 == 0:
		stay = stay.ByFHIR(t.began)
	}
	if n%6 == 2 {
		stay = stay.Faulty(r)
	}
	if n%3 == 0 {
		r.Shuffle(len(stay.Messages), func(i, j int) { stay.Messages[i], stay.Messages[j] = stay.Messages[j], stay.Messages[i] })
		stay.Messages = oracle.RevocationsLast(stay.Messages)
	}
	return &visit{Stay: stay, desk: told, clerks: 1}
}

// tell sends a whole stay through its doors, each message until it is acknowledged.
func (t *traffic) tell(ctx context.Context, s *sender, v *visit) error {
	var work sync.WaitGroup
	var byDesk error
	if v.desk != nil {
		work.Go(func() { byDesk = v.desk.Work(ctx, requests, s.clerks[:v.clerks]...) })
	}
	err := t.send(ctx, s, v.Messages)
	work.Wait()
	if v.desk != nil {
		written, overtaken := v.desk.Done()
		t.accepted.Add(int64(written))
		t.written.Add(int64(written))
		t.overtaken.Add(int64(overtaken))
	}
	v.acknowledged = time.Now()
	return errors.Join(err, byDesk)
}

// send sends one message after another.
func (t *traffic) send(ctx context.Context, s *sender, messages []oracle.Told) error {
	for _, m := range messages {
		if m.FHIR != nil {
			if _, err := s.fhir.Post(ctx, m.ControlID, m.FHIR); err != nil {
				return err
			}
			t.acceptedByFHIR.Add(1)
		} else if m.Event != nil {
			if err := until(ctx, func() error { _, err := t.clients.hub.RecordEvent(ctx, m.Event); return err }); err != nil {
				return err
			}
		} else if err := s.SendUntilAccepted(ctx, m.HL7); err != nil {
			return err
		}
		t.accepted.Add(1)
	}
	return nil
}

// visits are those that were acknowledged to their end.
func (t *traffic) visits() []*visit {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.done)
}

// told is what was told of a visit, by message and by resource.
func (v *visit) told() []oracle.Told { return slices.Concat(v.Messages, v.byDesk) }

// told are all messages of the visits.
func (t *traffic) told() []oracle.Told {
	var all []oracle.Told
	for _, v := range t.visits() {
		all = append(all, v.told()...)
	}
	return all
}
