package storm

import (
	"net"
	"sync"
	"time"
)

// link is the way from one process to another: a TCP proxy that can be broken. Its address stays the same for its whole life.
type link struct {
	addr, target string

	mu       sync.Mutex
	listener net.Listener // nil while connections are refused
	refusals int          // how many want them refused
	open     map[net.Conn]bool
	stalled  chan struct{} // nil while bytes pass; closed when they pass again
	delay    time.Duration // of each piece of data
	ended    bool
}

func newLink(target string) (*link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{addr: listener.Addr().String(), target: target, open: map[net.Conn]bool{}}
	l.serve(listener)
	return l, nil
}

func (l *link) serve(listener net.Listener) {
	l.mu.Lock()
	l.listener = listener
	l.mu.Unlock()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go l.join(conn)
		}
	}()
}

// join carries bytes both ways until one side ends.
func (l *link) join(near net.Conn) {
	if !l.keep(near) {
		return
	}
	defer l.drop(near)
	l.pass() // a stalled link takes connections and says nothing
	far, err := net.DialTimeout("tcp", l.target, 5*time.Second)
	if err != nil || !l.keep(far) {
		return
	}
	defer l.drop(far)
	go l.carry(far, near)
	l.carry(near, far)
}

func (l *link) carry(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		l.pass() // a stalled link does not tell the one side that the other has gone either
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits until bytes may go on.
func (l *link) pass() {
	for {
		l.mu.Lock()
		stalled, delay := l.stalled, l.delay
		l.mu.Unlock()
		if stalled == nil {
			time.Sleep(delay)
			return
		}
		<-stalled
	}
}

func (l *link) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		conn.Close()
		return false
	}
	l.open[conn] = true
	return true
}

func (l *link) drop(conn net.Conn) {
	conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, conn)
}

// cut resets every connection, as a firewall or a cable does; new ones are taken.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.open {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not a polite end; on a connection that has ended it means nothing
		}
		conn.Close()
	}
}

// refuse cuts, and refuses new connections until accept.
func (l *link) refuse() {
	l.mu.Lock()
	l.refusals++
	if l.listener != nil {
		l.listener.Close()
		l.listener = nil
	}
	l.mu.Unlock()
	l.cut()
}

// accept listens again, unless another fault still refuses. Another program may hold the port for a moment, as the near end of a connection
// of its own.
func (l *link) accept() {
	l.mu.Lock()
	l.refusals--
	refused := l.refusals > 0
	l.mu.Unlock()
	for !refused {
		listener, err := net.Listen("tcp", l.addr)
		if err == nil {
			l.serve(listener)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// stall makes every connection half-open: it stays, new ones are taken, and nothing comes through.
func (l *link) stall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stalled = make(chan struct{})
}

// flow lets bytes pass again, those that waited included.
func (l *link) flow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.stalled)
	l.stalled = nil
}

// slow delays each piece of data; 0 ends that.
func (l *link) slow(delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = delay
}

// close ends the link for good.
func (l *link) close() {
	l.mu.Lock()
	l.ended = true
	if l.listener != nil {
		l.listener.Close()
	}
	l.mu.Unlock()
	l.cut()
}
