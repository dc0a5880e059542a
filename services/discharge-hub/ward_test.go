package dischargehub

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/discharge-hub/mllp"
	"github.com/homeward-care/homeward/services/kit/kittest"
)

// ward is a hospital's receiver of answers.
type ward struct {
	t    *testing.T
	addr string
	tls  *tls.Config

	mu    sync.Mutex
	say   func(m *hl7.Message) string // MSA-1; nothing to hang up without an answer
	came  []*hl7.Message
	conns []net.Conn
	lis   net.Listener
}

func accepts(*hl7.Message) string { return "AA" }

func newWard(t *testing.T) *ward {
	w := &ward{t: t, addr: kittest.FreeAddr(t), say: accepts}
	t.Cleanup(w.stop)
	return w
}

func (w *ward) start() *ward {
	w.t.Helper()
	lis, err := net.Listen("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.tls != nil {
		lis = tls.NewListener(lis, w.tls)
	}
	w.lis = lis
	go func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			w.mu.Lock()
			w.conns = append(w.conns, conn)
			w.mu.Unlock()
			go w.converse(conn)
		}
	}()
	return w
}

func (w *ward) stop() {
	if w.lis != nil {
		_ = w.lis.Close()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

func (w *ward) converse(conn net.Conn) {
	defer conn.Close()
	for in := mllp.NewReader(conn, 0); ; {
		raw, err := in.Next()
		if err != nil {
			return
		}
		m, err := hl7.Parse(raw)
		if err != nil {
			w.t.Errorf("what was sent to the ward is no HL7: %v", err)
			return
		}
		w.mu.Lock()
		w.came = append(w.came, m)
		code := w.say(m)
		w.mu.Unlock()
		if code == "" {
			return
		}
		if _, err := conn.Write(mllp.Frame(hl7.Ack{Code: hl7.AckCode(code), Text: "TESTER, Ada is not ours", ControlID: "W1", At: time.Now()}.To(m.Header))); err != nil {
			return
		}
	}
}

func (w *ward) answers(say func(m *hl7.Message) string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.say = say
}

// words are those that came about a visit, as `received V1`, in their order, without those that came again.
func (w *ward) words() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var words []string
	seen := map[string]bool{}
	for _, m := range w.came {
		if id := m.Header.ControlID; !seen[id] {
			seen[id] = true
			words = append(words, m.Get("OBX-5.1").Text()+" "+m.Get("PV1-19").Text())
		}
	}
	return words
}

// answersTo is the part of a feed's file that sends its answers to the ward.
func (w *ward) answersTo(more string) string {
	return fmt.Sprintf(`,"answers":{"addr":%q,"application":"EPR","facility":"RAJ"%s}`, w.addr, more)
}
