package hospital

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
)

// Ward is a hospital's receiver of the ward's answers: ORU^R01 over MLLP, of all its feeds.
type Ward struct {
	// Addr is where it listens, as host:port.
	Addr string
	manners
	lis net.Listener

	keep  sync.Mutex
	open  map[net.Conn]bool
	came  []Answer // each once, in the order in which they first came
	wrong []string
}

// Answer is one word about a handover.
type Answer struct {
	ControlID      string // MSH-10
	Feed           string // MSH-5: to whom it is said
	Visit, Patient string // PV1-19, PID-3
	Word           string
	Reference      string
	Outcome, Team  string
	// Times is how often it came, whatever was answered; Taken says whether it was accepted.
	Times int
	Taken bool
	raw   string
}

// OpenWard listens on a free port of this machine.
func OpenWard() (*Ward, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &Ward{Addr: lis.Addr().String(), lis: lis, open: map[net.Conn]bool{}}
	go func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			go w.converse(conn)
		}
	}()
	return w, nil
}

// Close ends it with all its connections.
func (w *Ward) Close() {
	_ = w.lis.Close()
	w.keep.Lock()
	defer w.keep.Unlock()
	for conn := range w.open {
		_ = conn.Close()
	}
}

func (w *Ward) converse(conn net.Conn) {
	w.keep.Lock()
	w.open[conn] = true
	w.keep.Unlock()
	defer func() {
		_ = conn.Close()
		w.keep.Lock()
		delete(w.open, conn)
		w.keep.Unlock()
	}()
	for in := bufio.NewReader(conn); ; {
		frame, err := in.ReadString(0x1c)
		if err != nil {
			return
		}
		if _, err := in.ReadByte(); err != nil {
			return
		}
		manner := w.now()
		a := w.hear(strings.Trim(frame, "\x0b\x1c"), manner == Takes)
		code, to := "AA", a.ControlID
		switch manner {
		case Refuses:
			code = "AE"
		case Late:
			_, err := in.ReadByte() // until the sender hangs up: it sends nothing before it is answered
			if w.meet(manner); err != nil {
				return
			}
		case Cuts:
			w.meet(manner)
			return
		case Mumbles:
			to = "of-another"
		}
		_, err = conn.Write([]byte("\x0b" + a.Acknowledge(code, to) + "\x1c\r"))
		if w.meet(manner); err != nil {
			return
		}
	}
}

// ReadAnswer reads what came; without a Word it is no answer to a ward.
func ReadAnswer(raw string) Answer {
	a := Answer{raw: raw, Times: 1}
	for line := range strings.SplitSeq(raw, "\r") {
		f := append(strings.Split(line, "|"), make([]string, 20)...)
		first := func(n int) string { text, _, _ := strings.Cut(f[n], "^"); return text }
		switch f[0] {
		case "MSH":
			a.Feed, a.ControlID = f[4], f[9]
		case "PID":
			a.Patient = first(3)
		case "PV1":
			a.Visit = f[19]
		case "OBX":
			switch first(3) {
			case "HANDOVER-WORD":
				a.Word = first(5)
			case "HANDOVER-REFERENCE":
				a.Reference = first(5)
			case "PICK-UP":
				a.Outcome = first(5)
			case "TEAM":
				a.Team = first(5)
			}
		}
	}
	return a
}

// Acknowledge is what the receiver says to the message of a control id: AA, AE or AR.
func (a Answer) Acknowledge(code, controlID string) string {
	return fmt.Sprintf("MSH|^~\\&|%s||HOMEWARD||20260101000000||ACK|A%s|P|2.4\rMSA|%s|%s\r", a.Feed, a.ControlID, code, controlID)
}

// hear notes what came.
func (w *Ward) hear(raw string, take bool) Answer {
	a := ReadAnswer(raw)
	a.Taken = take
	w.keep.Lock()
	defer w.keep.Unlock()
	for i := range w.came {
		if known := &w.came[i]; known.ControlID == a.ControlID {
			known.Times++
			known.Taken = known.Taken || take
			if known.raw != raw {
				w.wrong = append(w.wrong, fmt.Sprintf("MSH-10 %s came with two answers: %q and %q", a.ControlID, known.raw, raw))
			}
			return *known
		}
	}
	w.came = append(w.came, a)
	return a
}

// Told is what was said of a handover on a feed, in the order in which each first came.
func (w *Ward) Told(feed, reference string) (told []Answer) {
	w.keep.Lock()
	defer w.keep.Unlock()
	for _, a := range w.came {
		if a.Feed == feed && a.Reference == reference {
			told = append(told, a)
		}
	}
	return told
}

// Came are all answers.
func (w *Ward) Came() []Answer {
	w.keep.Lock()
	defer w.keep.Unlock()
	return slices.Clone(w.came)
}

// Wrong is what must never come.
func (w *Ward) Wrong() []string {
	w.keep.Lock()
	defer w.keep.Unlock()
	return slices.Clone(w.wrong)
}

// Untrue says what is wrong with what a ward was told of one handover, once its task has this outcome and team and nothing is on its way.
func Untrue(told []Answer, outcome, team string) (wrong []string) {
	if len(told) == 0 || told[0].Word != "received" {
		return []string{fmt.Sprintf("the ward was not told first that it is received: %v", told)}
	}
	last := Answer{Word: "nothing"}
	for _, a := range told {
		if !a.Taken {
			wrong = append(wrong, fmt.Sprintf("the ward was told %q and never took it", a.Word))
		}
		if a.Visit != told[0].Visit {
			wrong = append(wrong, fmt.Sprintf("one handover was told of the visits %q and %q", told[0].Visit, a.Visit))
		}
		if a.Word != "received" {
			last = a
		}
	}
	if last.Outcome != outcome || last.Team != team {
		wrong = append(wrong, fmt.Sprintf("the ward was told last %q, %q, team %q; it is %q, team %q", last.Word, last.Outcome, last.Team, outcome, team))
	}
	return wrong
}
