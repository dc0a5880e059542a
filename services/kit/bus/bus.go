// Package bus carries events over NATS JetStream: one stream for each publishing service, durable pull consumers, CloudEvents attributes
// as headers (binary mode). It is a courier that may lose what it acknowledged; nothing rests on it alone.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/homeward-care/homeward/services/kit/event"
)

// Config says where NATS is and who is asking.
type Config struct {
	URL      string
	User     string
	Password string
	// Service is the name of the connecting service; it is the CloudEvents source `/homeward/<service>` and the prefix of its durable
	// consumers.
	Service string
}

// Bus is a connection that comes back by itself.
type Bus struct {
	conn   *nats.Conn
	js     jetstream.JetStream
	source string
	name   string
	log    *slog.Logger
}

// Connect returns at once, whether NATS is there or not.
func Connect(c Config, log *slog.Logger) (*Bus, error) {
	opts := []nats.Option{
		nats.Name(c.Service),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(200 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		// A refused password may be a change that reaches the two sides one after the other: it must not end the connection for good.
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		// Nothing is kept for a server that is away: PostgreSQL keeps it.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("NATS connection lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("NATS connection is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("NATS reported an error", "error", err) }),
	}
	if c.User != "" {
		opts = append(opts, nats.UserInfo(c.User, c.Password))
	}
	conn, err := nats.Connect(c.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("NATS_URL: %w", err)
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(1024),
		// Without it, a publication that is never acknowledged counts as pending until the next reconnect.
		jetstream.WithPublishAsyncTimeout(publishWait))
	if err != nil {
		return nil, err
	}
	return &Bus{conn: conn, js: js, source: "/homeward/" + c.Service, name: c.Service, log: log}, nil
}

// Close ends the connection.
func (b *Bus) Close() { b.conn.Close() }

var errAway = errors.New("not connected to NATS")

// Ping reports whether the server answers.
func (b *Bus) Ping(ctx context.Context) error {
	if !b.conn.IsConnected() {
		return errAway
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return b.conn.FlushWithContext(ctx)
}

// maxAge is how long JetStream keeps events. Consumers that were away for longer are served by reconciliation.
const maxAge = 14 * 24 * time.Hour

// ensureStream makes the stream when it is not there. One that is there stays as its operator set it, replicas and limits included.
func (b *Bus) ensureStream(ctx context.Context, stream string) error {
	_, err := b.js.Stream(ctx, stream)
	if err == nil {
		return nil
	}
	if isStopped(err) {
		b.log.Error("stream is made anew: NATS has stopped it for good, and what it held comes by reconciliation", "stream", stream, "error", err)
		if err := b.js.DeleteStream(ctx, stream); err != nil {
			return fmt.Errorf("delete stream %s: %w", stream, err)
		}
	} else if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("find stream %s: %w", stream, err)
	}
	_, err = b.js.CreateStream(ctx, jetstream.StreamConfig{
		Name:      stream,
		Subjects:  []string{stream + ".>"},
		Retention: jetstream.LimitsPolicy,
		Storage:   jetstream.FileStorage,
		MaxAge:    maxAge,
		Discard:   jetstream.DiscardOld,
	})
	if err != nil {
		return fmt.Errorf("create stream %s: %w", stream, err)
	}
	return nil
}

// streamStopped is the server's code for a stream that it found on disk and does not run, because its description or that of one of its
// consumers cannot be read. No restart mends that. (JSStreamOfflineReasonErrF; a node that is away has another code.)
const streamStopped = 10194

func isStopped(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == streamStopped
}

// missing reports whether an error says that a stream or consumer is not there, as after the loss of JetStream's files.
func missing(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) ||
		errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders)
}

// Publisher publishes to one stream, which it creates when it is not there.
type Publisher struct {
	bus     *Bus
	stream  string
	ensured bool
}

// Publisher returns the publisher of a stream.
func (b *Bus) Publisher(stream string) *Publisher { return &Publisher{bus: b, stream: stream} }

// publishWait bounds how long one batch may wait for its acknowledgements.
const publishWait = 5 * time.Second

// Publish sends all events, then waits for the acknowledgement of each. The result has an error for each that was not acknowledged.
func (p *Publisher) Publish(ctx context.Context, events []event.Event) []error {
	ctx, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	results := make([]error, len(events))
	if !p.ensured {
		if err := p.bus.ensureStream(ctx, p.stream); err != nil {
			return fill(results, err)
		}
		p.ensured = true
	}
	futures := make([]jetstream.PubAckFuture, len(events))
	for i, e := range events {
		futures[i], results[i] = p.bus.js.PublishMsgAsync(Encode(p.bus.source, e))
	}
	for i, f := range futures {
		if f == nil {
			continue
		}
		select {
		case <-f.Ok():
		case err := <-f.Err():
			results[i] = err
		case <-ctx.Done():
			results[i] = fmt.Errorf("no acknowledgement from JetStream: %w", ctx.Err())
		}
	}
	for _, err := range results {
		if err != nil {
			p.ensured = false // the next batch looks whether the stream is still there
		}
	}
	return results
}

func fill(errs []error, err error) []error {
	for i := range errs {
		errs[i] = err
	}
	return errs
}
