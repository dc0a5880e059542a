package dischargehub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/kit/failpoint"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/run"
)

// format says how the body of an inbound message is to be read.
type format string

const (
	formatHL7         format = "hl7v2"
	formatRecordEvent format = "record-event"
)

// door is where messages of the format come in.
func (f format) door() discharge.Door {
	switch f {
	case formatFHIR:
		return discharge.DoorFHIR
	case formatRecordEvent:
		return discharge.DoorGRPC
	}
	return discharge.DoorMLLP
}

// inbound is a message to store before its sender is answered.
type inbound struct {
	Feed      string
	Format    format
	ControlID string
	Body      []byte
	// Accepted messages are interpreted; the bytes of rejected ones are only kept.
	Accepted bool
	// Span is the receipt's; the handover's trace begins with it.
	Span trace.Span

	digest     [sha256.Size]byte
	receivedAt time.Time
	stored     chan error
}

// receiver stores messages for all doors. Messages that arrive while a commit is under way share the next one, so that many slow
// senders cost few commits; each is answered only after its own bytes are durable.
type receiver struct {
	store   *store
	now     func() time.Time
	pending run.Wake     // raised when there is something to interpret
	senders atomic.Int32 // connections that are open at the MLLP door

	mu      sync.Mutex
	waiting []*inbound
	storers int // at work
}

const (
	maxStorers   = 2
	storeBatch   = 256
	storeTimeout = 10 * time.Second
	// Where many senders are connected a commit waits a moment for the messages of others, and is shared; a few senders never wait.
	manySenders = 8
	gather      = 3 * time.Millisecond
)

// receive returns when the message is durably stored, or with an Unavailable fault when it is not known to be: the sender is to send it
// again. The same bytes from the same feed are stored once.
func (r *receiver) receive(ctx context.Context, m inbound) error {
	m.digest = sha256.Sum256(m.Body)
	m.receivedAt = r.now()
	m.stored = make(chan error, 1)
	r.mu.Lock()
	r.waiting = append(r.waiting, &m)
	begin := r.storers < maxStorers
	if begin {
		r.storers++
	}
	r.mu.Unlock()
	if begin {
		go r.storeWaiting(context.WithoutCancel(ctx))
	}
	if failpoint.Bug("acknowledge-before-commit") {
		return nil
	}
	select {
	case err := <-m.stored:
		if err != nil {
			return fault.New(fault.Unavailable, "the message could not be stored; send it again")
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// storeWaiting stores what waits, batch after batch, until nothing does.
func (r *receiver) storeWaiting(ctx context.Context) {
	for more := true; more; {
		if r.senders.Load() >= manySenders {
			time.Sleep(gather)
		}
		r.mu.Lock()
		batch := slices.Clone(r.waiting[:min(len(r.waiting), storeBatch)])
		r.waiting = slices.Delete(r.waiting, 0, len(batch))
		r.mu.Unlock()
		errs := r.storeAll(ctx, batch)
		r.mu.Lock()
		if more = len(r.waiting) > 0; !more {
			r.storers--
		}
		r.mu.Unlock()
		for i, m := range batch {
			m.stored <- errs[i]
		}
	}
}

// storeAll stores a batch in one commit and returns what became of each message. When the batch is refused for its data, each message is
// tried alone, so that a bad one does not fail its neighbours.
func (r *receiver) storeAll(ctx context.Context, batch []*inbound) []error {
	// One order for all storers: two that hold the same duplicates must not wait for each other crosswise.
	slices.SortFunc(batch, func(a, b *inbound) int { return bytes.Compare(a.digest[:], b.digest[:]) })
	errs := make([]error, len(batch))
	err := r.storeTogether(ctx, batch)
	for i := range batch {
		if errs[i] = err; pg.IsData(err) && len(batch) > 1 {
			errs[i] = r.storeTogether(ctx, batch[i:i+1])
		}
	}
	return errs
}

func (r *receiver) storeTogether(ctx context.Context, batch []*inbound) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := failpoint.Do(ctx, "door.store", func() error { return r.store.insertInbound(ctx, batch) })
	if err == nil {
		r.pending.Raise()
	}
	return err
}
