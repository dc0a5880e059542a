package hospital

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// Connection is a sender's MLLP connection: one message is on the way at a time.
type Connection struct {
	conn net.Conn
	in   *bufio.Reader
}

// answerLimit is how long a sender waits for an acknowledgement before it connects anew, as integration engines do.
const answerLimit = 20 * time.Second

// Connect opens a connection to an MLLP door.
func Connect(addr string) (*Connection, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &Connection{conn, bufio.NewReader(conn)}, nil
}

// Close closes the connection; what was not acknowledged may or may not have arrived.
func (c *Connection) Close() { _ = c.conn.Close() }

// Send sends one message and returns its acknowledgement's MSA-1 and MSA-3. An acknowledgement of another message is an error.
func (c *Connection) Send(raw []byte) (code, text string, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return "", "", err
	}
	if _, err := c.conn.Write(append(append([]byte{0x0b}, raw...), 0x1c, '\r')); err != nil {
		return "", "", err
	}
	frame, err := c.in.ReadBytes(0x1c)
	if err != nil {
		return "", "", fmt.Errorf("no acknowledgement: %w", err)
	}
	if _, err := c.in.ReadByte(); err != nil {
		return "", "", err
	}
	for line := range strings.SplitSeq(strings.Trim(string(frame), "\x0b\x1c"), "\r") {
		f := strings.Split(line, "|")
		if f[0] != "MSA" || len(f) < 3 {
			continue
		}
		if sent := strings.Split(strings.SplitN(string(raw), "\r", 2)[0], "|"); len(sent) > 9 && f[2] != sent[9] {
			return "", "", fmt.Errorf("the acknowledgement is for %q, not %q", f[2], sent[9])
		}
		return f[1], strings.Join(f[3:], "|"), nil
	}
	return "", "", fmt.Errorf("no MSA in the acknowledgement %q", frame)
}

// Sender sends like a hospital's integration engine: the same message again, over a new connection if need be, until it is accepted.
type Sender struct {
	Addr string
	// Resent counts the tries that failed.
	Resent int
	// Refused counts those of them that were answered with AE.
	Refused int
	open    *Connection
}

// SendUntilAccepted returns when the message was acknowledged with AA. It gives up only at AR, which no repetition mends, and when ctx ends.
func (s *Sender) SendUntilAccepted(ctx context.Context, raw []byte) error {
	for ctx.Err() == nil {
		code, err := s.try(raw)
		if err == nil && code == "AA" {
			return nil
		}
		if err == nil && code == "AR" {
			return fmt.Errorf("rejected: %s", raw)
		}
		if err == nil && code == "AE" {
			s.Refused++
		}
		s.Resent++
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return ctx.Err()
}

func (s *Sender) try(raw []byte) (string, error) {
	if s.open == nil {
		c, err := Connect(s.Addr)
		if err != nil {
			return "", err
		}
		s.open = c
	}
	code, _, err := s.open.Send(raw)
	if err != nil {
		s.Close()
	}
	return code, err
}

// Close closes the connection, if one is open.
func (s *Sender) Close() {
	if s.open != nil {
		s.open.Close()
		s.open = nil
	}
}
