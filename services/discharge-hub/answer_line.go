package dischargehub

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
)

// Line carries HL7 messages to a hospital's receiver, one at a time.
type Line interface {
	// Exchange sends a message and returns what the receiver answers.
	Exchange(ctx context.Context, message []byte) (answer []byte, err error)
	// HangUp ends the connection, if there is one. The next Exchange makes another.
	HangUp()
}

// mllpLine is a line over MLLP, with or without TLS.
type mllpLine struct {
	to       *discharge.Answers
	identity *identity
	conn     net.Conn // nil while there is none
	in       *hl7.Reader
}

const maxAck = 64 << 10

// mllpLine returns the line to a feed's receiver. The hub's certificate must be there, if the line needs one.
func (id *identity) mllpLine(f discharge.Feed) (Line, error) {
	if f.Answers.TLS {
		if _, _, err := id.read(); err != nil {
			return nil, err
		}
	}
	return &mllpLine{to: f.Answers, identity: id}, nil
}

func (l *mllpLine) Exchange(ctx context.Context, message []byte) ([]byte, error) {
	if err := l.connect(ctx); err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	if err := l.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if _, err := l.conn.Write(hl7.Frame(message)); err != nil {
		return nil, err
	}
	raw, err := l.in.Next()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the receiver ended the connection and did not answer")
	}
	return raw, err
}

func (l *mllpLine) connect(ctx context.Context) error {
	if l.conn != nil {
		return nil
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", l.to.Addr)
	if err != nil {
		return err
	}
	if l.to.TLS {
		name := l.to.ServerName
		if name == "" {
			name, _, _ = net.SplitHostPort(l.to.Addr)
		}
		config, err := l.identity.client(name)
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
	l.conn, l.in = conn, hl7.NewReader(conn, maxAck)
	return nil
}

func (l *mllpLine) HangUp() {
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}
