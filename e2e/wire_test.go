package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/homeward-care/homeward/e2e/hospital"
)

// TestTheDoorTakesWhatIntegrationEnginesSend sends frames as they are met in the field; each is acknowledged once, in order, and becomes
// a task.
func TestTheDoorTakesWhatIntegrationEnginesSend(t *testing.T) {
	s := newScript("")
	s.set(t, []string{"PID-3=QW7001^^^RAJ^PI", "PID-5=WIREWORTHYNGE^WILHELMYNA", "PID-7=19370707", "PID-11=77 OSPREYNEST ROAD^^GRAYS^ESSEX^RM17 6WW^GBR^H",
		"PD1-3=^^F81155", "PV1-36=1", "PV1-37=19", "PV1-45=20260709110000"})
	one := func(id string) []byte {
		m := s.message(t, []string{"A03", id, "20260709120000", "PV1-19=" + id})
		m.note()
		return m.hl7
	}
	frame := func(raw []byte) []byte { return append(append([]byte{0x0b}, raw...), 0x1c, '\r') }
	lines := func(id, end string) []byte { return bytes.ReplaceAll(one(id), []byte("\r"), []byte(end)) }
	for name, c := range map[string]struct {
		ids    []string
		stream []byte
		pieces int // bytes in each write; 0 for one write
	}{
		"line feeds":                 {[]string{"W-LF"}, frame(lines("W-LF", "\n")), 0},
		"carriage return, line feed": {[]string{"W-CRLF"}, frame(lines("W-CRLF", "\r\n")), 0},
		"a byte at a time":           {[]string{"W-BYTES"}, frame(one("W-BYTES")), 7},
		"a frame in a frame":         {[]string{"W-DOUBLE"}, frame(frame(one("W-DOUBLE"))), 0},
		"no carriage return behind":  {[]string{"W-NOCR"}, bytes.TrimSuffix(frame(one("W-NOCR")), []byte("\r")), 0},
		"blanks between frames":      {[]string{"W-BLANK"}, append([]byte("\r\n\r\n"), frame(one("W-BLANK"))...), 0},
		"three at once":              {[]string{"W-ONE", "W-TWO", "W-THREE"}, bytes.Join([][]byte{frame(one("W-ONE")), frame(one("W-TWO")), frame(one("W-THREE"))}, nil), 0},
		"Latin-1":                    {[]string{"W-LATIN"}, frame(bytes.Replace(one("W-LATIN"), []byte("WILHELMYNA"), []byte("WILHELM\xcdNA"), 1)), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", shared.MLLP)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
				t.Fatal(err)
			}
			size := c.pieces
			if size == 0 {
				size = len(c.stream)
			}
			for at := 0; at < len(c.stream); at += size {
				if _, err := conn.Write(c.stream[at:min(at+size, len(c.stream))]); err != nil {
					t.Fatal(err)
				}
			}
			in := bufio.NewReader(conn)
			for _, id := range c.ids {
				answer, err := in.ReadString(0x1c)
				if err != nil || !strings.Contains(answer, "MSA|AA|"+id+"\r") {
					t.Fatalf("the answer to %s is %q: %v", id, answer, err)
				}
				text, err := shared.outcome(t.Context(), id)
				if err != nil || !strings.HasPrefix(text[0], "pick-up-due") || !strings.HasPrefix(text[1], "team: CLS-GRAYS") {
					t.Errorf("%s came to %q: %v", id, text, err)
				}
			}
		})
	}
}

// TestWhatIsNoMessageIsRejectedAndTheConnectionGoesOn keeps one bad message from holding up the others. Names stand where none belong: the
// search at the end would find those that an error repeats.
func TestWhatIsNoMessageIsRejectedAndTheConnectionGoesOn(t *testing.T) {
	h, err := hospital.Connect(shared.MLLP)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for i, raw := range []string{
		"WIREWORTHYNGE^WILHELMYNA", "MSH|^~\\&", "MSHWIREWORTHYNGEWILHELMYNA|RAJ", "PID|1||QW7001^^^RAJ^PI||WIREWORTHYNGE^WILHELMYNA\rMSH|^~\\&|MSEPAS|RAJ",
	} {
		if code, text, err := h.Send([]byte(raw)); err != nil || code != "AR" || text == "" {
			t.Errorf("%d: %s %q %v", i, code, text, err)
		}
	}
	s := newScript("")
	s.set(t, []string{"PID-3=QW7001^^^RAJ^PI", "PID-5=WIREWORTHYNGE^WILHELMYNA", "PID-7=19370707", "PD1-3=^^F81155", "PV1-45=20260709110000"})
	for _, odd := range []string{"MSH-9=WIREWORTHYNGE^A03", "EVN-2=WIREWORTHYNGE", "PV1-45=WILHELMYNA", "PD1-3=WIREWORTHYNGE", "PID-7=WILHELMYNA"} {
		field, _, _ := strings.Cut(odd, "=")
		shared.sendAll(t, []sent{s.message(t, []string{"A03", "W-" + field, "20260709120000", "PV1-19=W-" + field, odd})})
	}
	good := s.message(t, []string{"A03", "W-AFTER", "20260709120000", "PV1-19=W-AFTER"})
	if code, _, err := h.Send(good.hl7); err != nil || code != "AA" {
		t.Errorf("after them: %s %v", code, err)
	}
	if text, err := shared.outcome(t.Context(), "W-AFTER"); err != nil {
		t.Error(fmt.Sprint(text), err)
	}
}
