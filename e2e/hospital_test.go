package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// What follows speaks HL7 v2 and MLLP by the standard's text alone, so that no mistake of the hub's own code can hide in it.

// message is an HL7 v2 message by fields, as `PV1-45` to the encoded field.
type message map[string]string

// segments are those that an ADT message may have here, in their order.
var segments = []string{"MSH", "EVN", "PID", "PD1", "NK1", "PV1", "PV2"}

// encode writes the message. What the map does not hold is empty; a segment without fields is left out.
func (m message) encode() []byte {
	var out bytes.Buffer
	for _, segment := range segments {
		var fields []string
		for path, value := range m {
			name, number, _ := strings.Cut(path, "-")
			if name != segment || value == "" {
				continue
			}
			n, err := strconv.Atoi(number)
			if err != nil || n < 1 {
				panic("no such field: " + path)
			}
			for len(fields) < n {
				fields = append(fields, "")
			}
			fields[n-1] = value
		}
		if segment == "MSH" {
			// MSH-1 is the separator itself, MSH-2 the other delimiters.
			fields = append([]string{`^~\&`}, fields[2:]...)
		}
		if len(fields) > 0 {
			out.WriteString(segment + "|" + strings.Join(fields, "|") + "\r")
		}
	}
	return out.Bytes()
}

// hospital is a sender's MLLP connection: one message is on the way at a time.
type hospital struct {
	conn net.Conn
	in   *bufio.Reader
}

// answerLimit is how long a sender waits for an acknowledgement before it connects anew, as integration engines do.
const answerLimit = 20 * time.Second

func connect(addr string) (*hospital, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &hospital{conn, bufio.NewReader(conn)}, nil
}

func (h *hospital) close() { _ = h.conn.Close() }

// send sends one message and returns its acknowledgement's MSA-1 and MSA-3. An acknowledgement of another message is an error.
func (h *hospital) send(raw []byte) (code, text string, err error) {
	if err := h.conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return "", "", err
	}
	if _, err := h.conn.Write(append(append([]byte{0x0b}, raw...), 0x1c, '\r')); err != nil {
		return "", "", err
	}
	frame, err := h.in.ReadBytes(0x1c)
	if err != nil {
		return "", "", fmt.Errorf("no acknowledgement: %w", err)
	}
	if _, err := h.in.ReadByte(); err != nil {
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

// sender sends like a hospital's integration engine: the same message again, over a new connection if need be, until it is accepted.
type sender struct {
	addr string
	h    *hospital
	// resent counts the tries that failed.
	resent int
}

func (s *sender) sendUntilAccepted(ctx context.Context, raw []byte) error {
	for ctx.Err() == nil {
		code, err := s.try(raw)
		if err == nil && code == "AA" {
			return nil
		}
		if err == nil && code == "AR" {
			return fmt.Errorf("rejected: %s", raw)
		}
		s.resent++
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return ctx.Err()
}

func (s *sender) try(raw []byte) (string, error) {
	if s.h == nil {
		h, err := connect(s.addr)
		if err != nil {
			return "", err
		}
		s.h = h
	}
	code, _, err := s.h.send(raw)
	if err != nil {
		s.close()
	}
	return code, err
}

func (s *sender) close() {
	if s.h != nil {
		s.h.close()
		s.h = nil
	}
}
