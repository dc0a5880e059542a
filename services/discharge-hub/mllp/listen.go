package mllp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/discharge-hub/identity"
	"github.com/homeward-care/homeward/services/kit/failpoint"
)

// Limits bound what senders can make a Listener hold.
type Limits struct {
	// Connections at one time in all, and from one address.
	Connections, PerAddress int
	// FirstByte is how long a new connection may be silent, Frame how long a frame may take from its first byte to its last. Between
	// messages a sender may be silent for days.
	FirstByte, Frame time.Duration
}

const (
	// replyTimeout bounds how long a sender may take to read a reply, handshakeTimeout how long TLS may take to begin.
	replyTimeout     = 30 * time.Second
	handshakeTimeout = 30 * time.Second
	// MaxLargeFrames is what the frames of all connections may take at one time, in bytes, beyond a few kilobytes each.
	MaxLargeFrames = 64 << 20
)

// Sender is who is at the other end of a connection.
type Sender struct {
	Addr string
	// Certificate holds the names in the client certificate: nil on a connection without TLS.
	Certificate []string
}

// Reply is what a sender hears: nothing when Ack is empty. HangUp ends the connection instead.
type Reply struct {
	Ack    []byte
	HangUp bool
}

// Listener has each message answered that comes in at its ports, one after another on each connection.
type Listener struct {
	// Answer makes the reply to a frame that Reader.Next returned, with hl7.ErrTooLarge, ErrEmpty or ErrBusy, or without an error. It is
	// called for many connections at once, and its context outlasts a stop: what has come is answered.
	Answer func(ctx context.Context, from Sender, frame []byte, err error) Reply
	Limits Limits
	// Senders counts the open connections.
	Senders *atomic.Int32
	Log     *slog.Logger

	crowd  *crowd
	budget *Budget
	ports  []port
}

// port is a TCP listener and, for TLS, how it shakes hands.
type port struct {
	net.Listener
	tls *tls.Config
}

// Open opens a port: in the clear, or with TLS where there is an identity.
func (l *Listener) Open(addr string, as *identity.Identity) error {
	p := port{}
	if as != nil {
		if err := as.Check(); err != nil {
			return err
		}
		p.tls = as.Server()
	}
	var err error
	if p.Listener, err = net.Listen("tcp", addr); err != nil {
		return err
	}
	l.ports = append(l.ports, p)
	return nil
}

// Serve accepts connections at the ports until ctx ends, then lets each finish the message that is being answered.
func (l *Listener) Serve(ctx context.Context) error {
	l.crowd = &crowd{limits: l.Limits, byAddress: map[string]int{}, log: l.Log}
	l.budget = NewBudget(MaxLargeFrames)
	var ports sync.WaitGroup
	defer ports.Wait()
	for _, p := range l.ports {
		ports.Go(func() { l.accept(ctx, p) })
	}
	return nil
}

func (l *Listener) accept(ctx context.Context, p port) {
	var conns sync.WaitGroup
	defer conns.Wait()
	stop := context.AfterFunc(ctx, func() { _ = p.Close() })
	defer stop()
	for {
		conn, err := p.Accept()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			// Out of file descriptors, for instance: it passes when connections end.
			l.Log.WarnContext(ctx, "MLLP connection not accepted", "error", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		leave, ok := l.crowd.enter(ctx, conn.RemoteAddr())
		if !ok {
			_ = conn.Close()
			continue
		}
		conns.Go(func() {
			defer leave()
			defer conn.Close()
			l.attend(ctx, conn, p.tls)
		})
	}
}

// attend shakes hands where there is TLS, and converses.
func (l *Listener) attend(ctx context.Context, conn net.Conn, config *tls.Config) {
	from := Sender{Addr: conn.RemoteAddr().String()}
	if config == nil {
		l.converse(ctx, conn, from)
		return
	}
	secure := tls.Server(conn, config)
	defer secure.Close()
	handshake, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := secure.HandshakeContext(handshake); err != nil {
		l.Log.WarnContext(ctx, "MLLP connection refused: TLS could not be agreed", "remote", from.Addr, "error", err)
		return
	}
	from.Certificate = identity.Names(secure.ConnectionState().PeerCertificates[0])
	l.converse(ctx, secure, from)
}

// converse answers one message after another, as MLLP has it.
func (l *Listener) converse(ctx context.Context, conn net.Conn, from Sender) {
	l.Senders.Add(1)
	defer l.Senders.Add(-1)
	// A stop ends the wait for the next message, not the answer to this one.
	past := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(past) })
	defer stop()
	within := func(d time.Duration) {
		var end time.Time // never
		if d > 0 {
			end = time.Now().Add(d)
		}
		if _ = conn.SetReadDeadline(end); ctx.Err() != nil {
			_ = conn.SetReadDeadline(past)
		}
	}
	in := NewReader(conn, hl7.MaxBytes)
	in.Budget, in.Begun = l.budget, func() { within(l.Limits.Frame) }
	defer in.Release()
	unit := context.WithoutCancel(ctx)
	within(l.Limits.FirstByte)
	for ctx.Err() == nil {
		frame, err := in.Next()
		if err != nil && !errors.Is(err, hl7.ErrTooLarge) && !errors.Is(err, ErrEmpty) && !errors.Is(err, ErrBusy) {
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				l.Log.InfoContext(ctx, "MLLP connection ended", "remote", from.Addr, "error", err)
			}
			return
		}
		reply := l.Answer(unit, from, frame, err)
		if reply.HangUp {
			return
		}
		if len(reply.Ack) > 0 {
			_ = conn.SetWriteDeadline(time.Now().Add(replyTimeout))
			if err := failpoint.Do(unit, "door.answer", func() error { _, err := conn.Write(Frame(reply.Ack)); return err }); err != nil {
				return // the message is stored; the sender will send it again and be answered then
			}
		}
		within(0)
	}
}

// crowd counts the connections, so that one sender's cannot keep another's out.
type crowd struct {
	limits Limits
	log    *slog.Logger

	mu        sync.Mutex
	all       int
	byAddress map[string]int
	refused   int       // since the last log line
	logged    time.Time // when that was
}

// refusalLog is the least time between two log lines about refused connections: a flood of them must not be one of lines.
const refusalLog = time.Minute

// enter lets a connection in, or not; who is in must leave.
func (c *crowd) enter(ctx context.Context, addr net.Addr) (leave func(), ok bool) {
	host, _, _ := net.SplitHostPort(addr.String())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= c.limits.Connections || c.byAddress[host] >= c.limits.PerAddress {
		c.refused++
		if now := time.Now(); now.Sub(c.logged) >= refusalLog {
			c.log.WarnContext(ctx, "MLLP connections refused: there are too many", "refused", c.refused, "remote", host,
				"open", c.all, "limit", c.limits.Connections, "open_from_remote", c.byAddress[host], "limit_from_remote", c.limits.PerAddress)
			c.refused, c.logged = 0, now
		}
		return nil, false
	}
	c.all++
	c.byAddress[host]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all--
		if c.byAddress[host]--; c.byAddress[host] == 0 {
			delete(c.byAddress, host)
		}
	}, true
}
