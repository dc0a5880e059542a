package mllp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"

	"github.com/homeward-care/homeward/services/discharge-hub/identity"
)

// Line brings messages to a hospital's receiver, one at a time.
type Line struct {
	addr, serverName string
	as               *identity.Identity // nil without TLS
	conn             net.Conn           // nil while there is none
	in               *Reader
}

const maxAck = 64 << 10

// NewLine returns the line to a receiver; nothing is dialled yet. With an identity it is TLS, in which the receiver must be serverName: the
// host of addr, if that is empty. An identity that cannot be read is an error.
func NewLine(addr, serverName string, as *identity.Identity) (*Line, error) {
	if as != nil {
		if err := as.Check(); err != nil {
			return nil, err
		}
		if serverName == "" {
			serverName, _, _ = net.SplitHostPort(addr)
		}
	}
	return &Line{addr: addr, serverName: serverName, as: as}, nil
}

// Exchange sends a message and returns what the receiver answers, until ctx ends. After an error HangUp must follow: an answer that comes
// late must not be taken for that to the next message.
func (l *Line) Exchange(ctx context.Context, message []byte) ([]byte, error) {
	if err := l.connect(ctx); err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	if err := l.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if _, err := l.conn.Write(Frame(message)); err != nil {
		return nil, err
	}
	raw, err := l.in.Next()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the receiver ended the connection and did not answer")
	}
	return raw, err
}

func (l *Line) connect(ctx context.Context) error {
	if l.conn != nil {
		return nil
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return err
	}
	if l.as != nil {
		config, err := l.as.Client(l.serverName)
		if err != nil {
			_ = conn.Close()
			return err
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return err
		}
		conn = secure
	}
	l.conn, l.in = conn, NewReader(conn, maxAck)
	return nil
}

// HangUp ends the connection, if there is one. The next Exchange makes another.
func (l *Line) HangUp() {
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}
