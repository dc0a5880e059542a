package dischargehub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

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
	pending run.Wake // raised when there is something to interpret
	queue   chan *inbound
	closed  chan struct{}
	senders atomic.Int32 // connections that are open at the MLLP door
}

const (
	storers      = 2
	storeBatch   = 256
	storeTimeout = 10 * time.Second
	// Where many senders are connected a commit waits a moment for the messages of others, and is shared; a few senders never wait.
	manySenders = 8
	gather      = 3 * time.Millisecond
)

func newReceiver(st *store, now func() time.Time, pending run.Wake) *receiver {
	return &receiver{store: st, now: now, pending: pending, queue: make(chan *inbound, storeBatch), closed: make(chan struct{})}
}

// receive returns when the message is durably stored, or with an Unavailable fault when it is not known to be: the sender is to send it
// again. The same bytes from the same feed are stored once.
func (r *receiver) receive(ctx context.Context, m inbound) error {
	m.digest = sha256.Sum256(m.Body)
	m.receivedAt = r.now()
	m.stored = make(chan error, 1)
	select {
	case r.queue <- &m:
	case <-r.closed:
		return fault.New(fault.Unavailable, "the hub is stopping; send it again")
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-m.stored:
		if err != nil {
			return fault.New(fault.Unavailable, "the message could not be stored; send it again")
		}
		return nil
	case <-r.closed:
		return fault.New(fault.Unavailable, "the hub is stopping; send it again")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run stores what is queued until ctx ends.
func (r *receiver) run(ctx context.Context) error {
	g := run.NewGroup(ctx)
	for range storers {
		g.Go(r.storeLoop)
	}
	err := g.Wait()
	close(r.closed)
	return err
}

func (r *receiver) storeLoop(ctx context.Context) error {
	for {
		var batch []*inbound
		select {
		case <-ctx.Done():
			return nil
		case m := <-r.queue:
			batch = append(batch, m)
		}
		if r.senders.Load() >= manySenders {
			time.Sleep(gather)
		}
	drain:
		for len(batch) < storeBatch {
			select {
			case m := <-r.queue:
				batch = append(batch, m)
			default:
				break drain
			}
		}
		r.storeAll(context.WithoutCancel(ctx), batch)
	}
}

// storeAll stores a batch in one commit. When the batch is refused for its data, each message is tried alone, so that a bad one does not
// fail its neighbours.
func (r *receiver) storeAll(ctx context.Context, batch []*inbound) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	// One order for all storers: two that hold the same duplicates must not wait for each other crosswise.
	slices.SortFunc(batch, func(a, b *inbound) int { return bytes.Compare(a.digest[:], b.digest[:]) })
	err := r.store.insertInbound(ctx, batch)
	if pg.IsData(err) && len(batch) > 1 {
		for _, m := range batch {
			r.storeAll(ctx, []*inbound{m})
		}
		return
	}
	for _, m := range batch {
		m.stored <- err
	}
	if err == nil {
		r.pending.Raise()
	}
}
