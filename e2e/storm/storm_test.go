package storm

import (
	"bufio"
	"fmt"
	"net"
	"testing"
	"time"
)

func TestPlanDealsEveryKindAndStrikesNothingTwiceAtOnce(t *testing.T) {
	const count = 40
	var kinds []fault
	for i := range count {
		kinds = append(kinds, fault{kind: fmt.Sprint("kind ", i), part: fmt.Sprint("part ", i%12)})
	}
	blows, again := planned(kinds, 7, 3*time.Minute), planned(kinds, 7, 3*time.Minute)
	free := map[string]time.Duration{}
	struck := map[string]int{}
	for i, b := range blows {
		if b.at < free[b.part] {
			t.Errorf("%s strikes %s while that is struck", b.kind, b.part)
		}
		free[b.part] = b.at + b.lasts
		struck[b.kind]++
		if c := again[i]; c.kind != b.kind || c.at != b.at || c.lasts != b.lasts || c.seed != b.seed {
			t.Errorf("one seed, two plans: %+v and %+v", b, c)
		}
		if i < count && struck[b.kind] > 1 {
			t.Errorf("%s came twice before all came once", b.kind)
		}
	}
	if len(struck) != count {
		t.Errorf("%d of %d kinds strike", len(struck), count)
	}
}

// TestLinkBreaksInEveryWay speaks to an echo through a link.
func TestLinkBreaksInEveryWay(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				line, _ := bufio.NewReader(conn).ReadString('\n')
				fmt.Fprint(conn, line)
			}()
		}
	}()
	l, err := newLink(echo.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	call := func() (net.Conn, error) {
		conn, err := net.Dial("tcp", l.addr)
		if err == nil {
			_, err = fmt.Fprintln(conn, "hello")
		}
		return conn, err
	}
	answer := func(conn net.Conn, wait time.Duration) error {
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return err
		}
		_, err := bufio.NewReader(conn).ReadString('\n')
		return err
	}
	conn, err := call()
	if err != nil || answer(conn, time.Minute) != nil {
		t.Fatal("nothing comes through a whole link", err)
	}
	l.stall()
	half, err := call()
	if err != nil {
		t.Fatal("a half-open link takes no connection", err)
	}
	if timeout, ok := answer(half, 100*time.Millisecond).(net.Error); !ok || !timeout.Timeout() {
		t.Error("a half-open link is not silent")
	}
	l.flow()
	if err := answer(half, time.Minute); err != nil {
		t.Error("what was held back does not arrive:", err)
	}
	l.refuse()
	l.refuse()
	l.accept()
	if _, err := call(); err == nil {
		t.Error("a refusing link takes connections")
	}
	l.accept()
	l.stall()
	if conn, err = call(); err != nil {
		t.Fatal("a link does not come back", err)
	}
	for l.count() == 0 { // until it is taken
		time.Sleep(time.Millisecond)
	}
	l.cut()
	if err := answer(conn, time.Minute); err == nil {
		t.Error("a connection outlives the cut")
	}
	l.flow()
}

func (l *link) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}
