package dischargehub

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/kit/failpoint"
)

// doorLimits bound what senders can make the door hold. Zero means the default.
type doorLimits struct {
	// connections at one time in all, and from one address.
	connections, perAddress int
	// firstByte is how long a new connection may be silent, frame how long a frame may take from its first byte to its last. Between
	// messages a sender may be silent for days.
	firstByte, frame time.Duration
}

func (c Config) doorLimits() doorLimits {
	return doorLimits{
		connections: cmp.Or(c.MLLPMaxConnections, 1000), perAddress: cmp.Or(c.MLLPMaxConnectionsPerAddress, 100),
		firstByte: cmp.Or(c.MLLPFirstByteTimeout, 5*time.Minute), frame: cmp.Or(c.MLLPFrameTimeout, 2*time.Minute),
	}
}

const (
	// replyTimeout bounds how long a sender may take to read an acknowledgement, handshakeTimeout how long TLS may take to begin.
	replyTimeout     = 30 * time.Second
	handshakeTimeout = 30 * time.Second
	// maxLargeFrames is what the frames of all connections may take at one time, beyond a few kilobytes each.
	maxLargeFrames = 64 << 20
)

// mllpListener is the door on its TCP ports.
type mllpListener struct {
	*mllpDoor
	limits  doorLimits
	crowd   *crowd
	budget  *hl7.Budget
	senders *atomic.Int32 // counts the open connections, for the receiver
	ports   []port
}

// port is a listener and, for TLS, how it shakes hands.
type port struct {
	net.Listener
	tls *tls.Config
}

// listenMLLP opens the door where the configuration says: in the clear, with TLS, or both.
func listenMLLP(cfg Config, hub *Hub) (*mllpListener, error) {
	l := &mllpListener{mllpDoor: hub.door, limits: cfg.doorLimits(), budget: hl7.NewBudget(maxLargeFrames), senders: hub.senders}
	l.crowd = &crowd{limits: l.limits, byAddress: map[string]int{}, log: hub.door.log}
	for _, want := range []struct {
		name, addr string
		tls        bool
	}{{"MLLP_ADDR", cfg.MLLPAddr, false}, {"MLLP_TLS_ADDR", cfg.MLLPTLSAddr, true}} {
		if want.addr == "" {
			continue
		}
		p := port{}
		if want.tls {
			identity := cfg.identity(hub.door.log)
			if _, _, err := identity.read(); err != nil {
				return nil, err
			}
			p.tls = identity.server()
		}
		var err error
		if p.Listener, err = net.Listen("tcp", want.addr); err != nil {
			return nil, fmt.Errorf("%s: %w", want.name, err)
		}
		l.ports = append(l.ports, p)
	}
	if err := cfg.usable(hub.door.feeds()); err != nil {
		return nil, err
	}
	if len(l.ports) == 0 {
		return nil, errors.New("no door for HL7 messages: set MLLP_ADDR, MLLP_TLS_ADDR, or both")
	}
	return l, nil
}

// usable tells whether feeds can be used with the doors that there are, and with the hub's certificate.
func (c Config) usable(feeds []discharge.Feed) error {
	for _, f := range feeds {
		if len(f.Certificates) > 0 && c.MLLPTLSAddr == "" {
			return fmt.Errorf("feed %s names certificates, and could send nothing without TLS: set MLLP_TLS_ADDR", f.Key)
		}
		if f.Answers != nil && f.Answers.TLS && c.MLLPTLSCertFile == "" {
			return fmt.Errorf("feed %s has its answers sent over TLS, for which the hub needs a certificate: set MLLP_TLS_CERT_FILE", f.Key)
		}
	}
	return nil
}

// serve accepts connections until ctx ends, then lets each finish the message that it is storing.
func (l *mllpListener) serve(ctx context.Context) error {
	var ports sync.WaitGroup
	defer ports.Wait()
	for _, p := range l.ports {
		ports.Go(func() { l.accept(ctx, p) })
	}
	return nil
}

func (l *mllpListener) accept(ctx context.Context, p port) {
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
			l.log.WarnContext(ctx, "MLLP connection not accepted", "error", err)
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
func (l *mllpListener) attend(ctx context.Context, conn net.Conn, config *tls.Config) {
	from := sender{addr: conn.RemoteAddr().String()}
	if config == nil {
		l.converse(ctx, conn, from)
		return
	}
	secure := tls.Server(conn, config)
	defer secure.Close()
	handshake, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := secure.HandshakeContext(handshake); err != nil {
		l.log.WarnContext(ctx, "MLLP connection refused: TLS could not be agreed", "remote", from.addr, "error", err)
		return
	}
	from.certificate = namesIn(secure.ConnectionState().PeerCertificates[0])
	l.converse(ctx, secure, from)
}

// converse answers one message after another, as MLLP has it.
func (l *mllpListener) converse(ctx context.Context, conn net.Conn, from sender) {
	l.senders.Add(1)
	defer l.senders.Add(-1)
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
	in := hl7.NewReader(conn, hl7.MaxBytes)
	in.Budget, in.Begun = l.budget, func() { within(l.limits.frame) }
	defer in.Release()
	unit := context.WithoutCancel(ctx)
	within(l.limits.firstByte)
	for ctx.Err() == nil {
		raw, err := in.Next()
		var r reply
		switch {
		case err == nil:
			r = l.handle(unit, from, raw)
		case errors.Is(err, hl7.ErrTooLarge):
			r = l.refuse(unit, raw, err)
		case errors.Is(err, hl7.ErrEmpty):
			r = l.empty(unit, from)
		case errors.Is(err, hl7.ErrBusy):
			r = l.busy(unit, raw)
		default:
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				l.log.InfoContext(ctx, "MLLP connection ended", "remote", from.addr, "error", err)
			}
			return
		}
		if r.hangUp {
			return
		}
		if r.ack != nil {
			_ = conn.SetWriteDeadline(time.Now().Add(replyTimeout))
			if err := failpoint.Do(unit, "door.answer", func() error { _, err := conn.Write(hl7.Frame(r.ack)); return err }); err != nil {
				return // the message is stored; the sender will send it again and be answered then
			}
		}
		within(0)
	}
}

// crowd counts the connections, so that one sender's cannot keep another's out.
type crowd struct {
	limits doorLimits
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
	if c.all >= c.limits.connections || c.byAddress[host] >= c.limits.perAddress {
		c.refused++
		if now := time.Now(); now.Sub(c.logged) >= refusalLog {
			c.log.WarnContext(ctx, "MLLP connections refused: there are too many", "refused", c.refused, "remote", host,
				"open", c.all, "limit", c.limits.connections, "open_from_remote", c.byAddress[host], "limit_from_remote", c.limits.perAddress)
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
