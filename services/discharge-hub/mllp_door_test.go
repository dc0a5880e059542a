package dischargehub

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/discharge-hub/mllp"
)

// connect opens a connection to the door from a local address; an empty one is the system's choice.
func connect(t *testing.T, addr, from string) net.Conn {
	t.Helper()
	d := net.Dialer{}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// ended waits until the door closes a connection on which it has said nothing.
func ended(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	n, err := conn.Read(make([]byte, 1))
	return n == 0 && err != nil && !os.IsTimeout(err)
}

func TestASenderThatDripsDelaysNobody(t *testing.T) {
	h := startHub(t)
	slow := connect(t, h.cfg.MLLPAddr, "")
	deaf := connect(t, h.cfg.MLLPAddr, "") // sends and never reads
	drip := mllp.Frame(adt("A03", "SLOW", "VSLOW", day(2, 14)).Bytes())
	fast := connect(t, h.cfg.MLLPAddr, "")
	in := mllp.NewReader(fast, 0)
	for i := range 100 {
		if _, err := slow.Write(drip[i : i+1]); err != nil {
			t.Fatal(err)
		}
		if _, err := deaf.Write(mllp.Frame(adt("A08", fmt.Sprint("D", i), "VDEAF", day(2, 14)).Bytes())); err != nil {
			t.Fatal(err)
		}
		if ack := exchange(t, fast, in, adt("A03", fmt.Sprint("M", i), fmt.Sprint("V", i), day(2, 14)).Bytes()); ack.Get("MSA-1").Text() != "AA" {
			t.Fatalf("message %d: %s", i, ack.Get("MSA-1").Text())
		}
	}
	if n := h.count(t, `SELECT count(*) FROM inbound WHERE control_id = 'SLOW'`); n != 0 {
		t.Fatal("the slow message is complete already; nothing was tested")
	}
	if _, err := slow.Write(drip[100:]); err != nil {
		t.Fatal(err)
	}
	if _, err := mllp.NewReader(slow, 0).Next(); err != nil {
		t.Errorf("the slow sender has no answer to its message in the end: %v", err)
	}
}

func TestAConnectionThatSaysNothingOrStallsInAFrameIsEnded(t *testing.T) {
	h := startHub(t, func(c *Config) {
		c.MLLPFirstByteTimeout, c.MLLPFrameTimeout = 200*time.Millisecond, 200*time.Millisecond
	})
	idle := connect(t, h.cfg.MLLPAddr, "")
	in := mllp.NewReader(idle, 0)
	exchange(t, idle, in, adt("A03", "M1", "V1", day(2, 14)).Bytes())

	silent, stalled, dripping := connect(t, h.cfg.MLLPAddr, ""), connect(t, h.cfg.MLLPAddr, ""), connect(t, h.cfg.MLLPAddr, "")
	if _, err := stalled.Write([]byte("\x0bMSH|^~\\&|MSEPAS")); err != nil {
		t.Fatal(err)
	}
	if !ended(silent) || !ended(stalled) {
		t.Error("a connection that does nothing is still open")
	}
	for begun := dripping; ; {
		if _, err := begun.Write([]byte("\x0b")[:1]); err != nil {
			break // however often it sends a byte, its frame has an end
		}
		time.Sleep(10 * time.Millisecond)
	}
	if ack := exchange(t, idle, in, adt("A03", "M2", "V2", day(2, 14)).Bytes()); ack.Get("MSA-1").Text() != "AA" {
		t.Error("a sender that is silent between messages was not left alone")
	}
}

func TestTooManyConnectionsOfOneAddressKeepNobodyElseOut(t *testing.T) {
	h := startHub(t, func(c *Config) { c.MLLPMaxConnections, c.MLLPMaxConnectionsPerAddress = 5, 3 })
	var flood []net.Conn
	for range 3 {
		conn := connect(t, h.cfg.MLLPAddr, "127.0.0.2")
		exchange(t, conn, mllp.NewReader(conn, 0), adt("A03", "M1", "V1", day(2, 14)).Bytes()) // it is in
		flood = append(flood, conn)
	}
	if !ended(connect(t, h.cfg.MLLPAddr, "127.0.0.2")) {
		t.Error("a fourth connection of an address that may have three was let in")
	}
	if got := h.send(t, adt("A03", "M2", "V2", day(2, 14)).Bytes())[0]; got != "AA M2" {
		t.Errorf("another address: %s", got)
	}
	for range 2 {
		conn := connect(t, h.cfg.MLLPAddr, "127.0.0.3")
		exchange(t, conn, mllp.NewReader(conn, 0), adt("A03", "M1", "V1", day(2, 14)).Bytes())
	}
	if !ended(connect(t, h.cfg.MLLPAddr, "127.0.0.4")) {
		t.Error("a sixth connection was let in where five may be open")
	}
	_ = flood[0].Close()
	for again := false; !again; { // the place is free once the door has seen that the connection is closed
		conn := connect(t, h.cfg.MLLPAddr, "127.0.0.4")
		if _, err := conn.Write(mllp.Frame(adt("A03", "M3", "V3", day(2, 14)).Bytes())); err == nil {
			_, err := mllp.NewReader(conn, 0).Next()
			again = err == nil
		}
		_ = conn.Close()
	}
}

func TestAnswersAreThoseOfTheModeThatTheSenderAskedFor(t *testing.T) {
	h := startHub(t)
	conn := connect(t, h.cfg.MLLPAddr, "")
	in := mllp.NewReader(conn, 0)
	mode := func(id, accept, application string) *hl7.Builder {
		return adt("A03", id, "V"+id, day(2, 14)).Set("MSH-15", accept).Set("MSH-16", application)
	}
	if got := exchange(t, conn, in, mode("M1", "AL", "NE").Bytes()).Get("MSA-1").Text(); got != "CA" {
		t.Errorf("enhanced mode: %s", got)
	}
	if got := exchange(t, conn, in, mode("M2", "AL", "NE").Set("MSH-4", "ZZZ").Bytes()).Get("MSA-1").Text(); got != "CR" {
		t.Errorf("enhanced mode, an unknown sender: %s", got)
	}
	if got := exchange(t, conn, in, mode("M3", "NE", "AL").Bytes()).Get("MSA-1").Text(); got != "AA" {
		t.Errorf("application acknowledgement alone: %s", got)
	}
	if _, err := conn.Write(mllp.Frame(mode("M4", "NE", "NE").Bytes())); err != nil {
		t.Fatal(err)
	}
	if got := exchange(t, conn, in, adt("A03", "M5", "V5", day(2, 14)).Bytes()).Get("MSA-2").Text(); got != "M5" {
		t.Errorf("the next answer is to %s: a message was answered whose sender wants no answer", got)
	}
	if n := h.count(t, `SELECT count(*) FROM inbound WHERE control_id = 'M4' AND accepted`); n != 1 {
		t.Error("the message without an answer is not stored")
	}
	if _, err := h.db.Pool.Exec(t.Context(), `ALTER TABLE inbound RENAME TO inbound_away`); err != nil {
		t.Fatal(err)
	}
	if got := exchange(t, conn, in, mode("M6", "AL", "").Bytes()).Get("MSA-1").Text(); got != "CE" {
		t.Errorf("enhanced mode, nothing can be stored: %s", got)
	}
	if _, err := conn.Write(mllp.Frame(mode("M7", "NE", "NE").Bytes())); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Next(); err != io.EOF {
		t.Errorf("a sender whose message was lost, and who wants no answer, is not hung up on: %v", err)
	}
	if _, err := h.db.Pool.Exec(t.Context(), `ALTER TABLE inbound_away RENAME TO inbound`); err != nil {
		t.Fatal(err)
	}
}

func TestAnEmptyFrameIsAnsweredAndKeepsNothing(t *testing.T) {
	h := startHub(t)
	conn := connect(t, h.cfg.MLLPAddr, "")
	in := mllp.NewReader(conn, 0)
	for _, nothing := range []string{"", "\r\n"} {
		ack := exchange(t, conn, in, []byte(nothing))
		if text := ack.Get("MSA-3").Text(); ack.Get("MSA-1").Text() != "AR" || ack.Get("MSA-2").Text() != "" || !strings.Contains(text, "empty") {
			t.Errorf("%q: %s %s", nothing, ack.Get("MSA-1").Text(), text)
		}
	}
	if n := h.count(t, `SELECT count(*) FROM inbound`); n != 0 {
		t.Errorf("%d messages are kept of frames that held none", n)
	}
	if ack := exchange(t, conn, in, adt("A03", "M1", "V1", day(2, 14)).Bytes()); ack.Get("MSA-1").Text() != "AA" || ack.Get("MSA-2").Text() != "M1" {
		t.Errorf("the next message: %s %s", ack.Get("MSA-1").Text(), ack.Get("MSA-2").Text())
	}
}

func TestABatchIsAnsweredReadably(t *testing.T) {
	h := startHub(t)
	conn := connect(t, h.cfg.MLLPAddr, "")
	in := mllp.NewReader(conn, 0)
	for _, batch := range []string{"FHS|^~\\&|MSEPAS|RAJ\rBHS|^~\\&|MSEPAS|RAJ\r", "BHS|^~\\&|MSEPAS|RAJ\r"} {
		ack := exchange(t, conn, in, append([]byte(batch), adt("A03", "M1", "V1", day(2, 14)).Bytes()...))
		if text := ack.Get("MSA-3").Text(); ack.Get("MSA-1").Text() != "AR" || !strings.Contains(text, "frame of its own") {
			t.Errorf("%.3s: %s %s", batch, ack.Get("MSA-1").Text(), text)
		}
	}
}

func TestADoorThatCannotOpenSaysWhatToSet(t *testing.T) {
	feeds := t.TempDir()
	feed := `{"key":"a","door":"mllp","application":"X","facilities":["RAJ"],"provider":"RAJ","scope":"social-care","time_zone":"Europe/London",
		"mode":"live","certificates":["engine.example"],"mapping":{"version":"1"}}`
	if err := os.WriteFile(filepath.Join(feeds, "a.json"), []byte(feed), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := loadFeeds(feeds)
	if err != nil {
		t.Fatal(err)
	}
	for want, cfg := range map[string]Config{
		"MLLP_ADDR":          {},
		"MLLP_TLS_CERT_FILE": {MLLPTLSAddr: "127.0.0.1:0"},
		"set MLLP_TLS_ADDR":  {MLLPAddr: "127.0.0.1:0"},
	} {
		hub := &Hub{door: &mllpDoor{feeds: func() []discharge.Feed { return nil }}}
		if strings.HasPrefix(want, "set") {
			hub.door.feeds = func() []discharge.Feed { return list }
		}
		if _, err := hub.openMLLP(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %s", err, want)
		}
	}
}
