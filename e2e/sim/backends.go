package sim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// backends lends PostgreSQL's processes to one session after another: to start one costs as much as some hundred statements, and a seed
// with its crashes begins dozens of sessions. A session that ends is rolled back and reset, which is what the server does with it. What it
// prepared stays, because to plan a statement costs more than to run it (prepared.go).
type backends struct {
	mu   sync.Mutex
	free []*backend
}

// backend is one process of PostgreSQL.
type backend struct {
	net.Conn
	greeting []byte // what it said when it started, its number and settings
	// prepared are the names of its statements. While a session has it, some may be among them that PostgreSQL refused: fresh says so.
	prepared map[string]bool
	fresh    bool // more were prepared since it was lent
}

// session is a connection as the driver sees it. The answer to a statement can be lost, and the session can be ended from outside.
type session struct {
	of            *backends
	network, addr string
	lose          atomic.Bool
	gone          chan struct{} // closed when the backend is somebody else's

	mu       sync.Mutex
	backend  *backend
	greeting []byte // still to be read

	// reading is held while the driver reads from the backend. It may do so in the background, when the machine is slow to take what it writes:
	// who brings the backend back must not have its answers read by that.
	reading sync.Mutex
	asked   atomic.Bool // the backend owes an answer
	runs    atomic.Bool // to a statement that runs: while it is only prepared nothing is lost, or it would depend on what the session has prepared
	over    atomic.Bool
}

func (b *backends) dial(_ context.Context, network, addr string) (net.Conn, error) {
	return &session{of: b, network: network, addr: addr, gone: make(chan struct{})}, nil
}

// sessionOf returns the session of a connection that a service's pool made.
func sessionOf(conn *pgx.Conn) *session { return conn.PgConn().Conn().(*session) }

// Write sends to the backend. The first message asks for a session, or to cancel the statement of one that is over anyway.
func (s *session) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over.Load():
		return 0, net.ErrClosed
	case s.backend == nil && len(b) == 16:
		s.finish()
		return len(b), nil
	case s.backend == nil:
		return len(b), s.begin(b)
	case b[0] == 'X': // Terminate
		s.finish()
		return len(b), nil
	}
	s.asked.Store(true)
	messages, runs := s.backend.unprepared(b)
	s.runs.Store(runs)
	if _, err := s.backend.Write(messages); err != nil {
		return 0, err
	}
	return len(b), nil
}

// begin takes a backend that is free, or has PostgreSQL start one.
func (s *session) begin(startup []byte) error {
	s.of.mu.Lock()
	if n := len(s.of.free); n > 0 {
		s.backend, s.of.free = s.of.free[n-1], s.of.free[:n-1]
	}
	s.of.mu.Unlock()
	if s.backend == nil {
		conn, err := net.DialTimeout(s.network, s.addr, 10*time.Second)
		if err != nil {
			return err
		}
		s.backend = &backend{Conn: conn, prepared: map[string]bool{}}
		if _, err := conn.Write(startup); err != nil {
			return err
		}
		if s.backend.greeting, err = s.backend.answer(); err != nil {
			return err
		}
	}
	s.greeting = s.backend.greeting
	return nil
}

// Read reads what the backend answers.
func (s *session) Read(b []byte) (int, error) {
	s.mu.Lock()
	if len(s.greeting) > 0 {
		n := copy(b, s.greeting)
		s.greeting = s.greeting[n:]
		s.mu.Unlock()
		return n, nil
	}
	from := s.backend
	s.mu.Unlock()
	if s.over.Load() || from == nil {
		return 0, io.EOF
	}
	if s.lose.Load() && s.runs.Load() {
		s.end()
		return 0, io.ErrUnexpectedEOF
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.over.Load() {
		return 0, io.EOF
	}
	n, err := from.Read(b) // the other lock is free: a statement may wait for another one's transaction
	if ready(b[:n]) {
		s.asked.Store(false)
	}
	return n, err
}

// end cuts the session: what it did without a commit is undone, its locks are free.
func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finish()
}

// finish brings the backend back. Whoever calls it holds the lock.
func (s *session) finish() {
	if s.over.Swap(true) {
		return
	}
	if s.backend != nil {
		_ = s.backend.SetReadDeadline(time.Unix(1, 0)) // ends a read
		s.reading.Lock()
		defer s.reading.Unlock()
		if err := s.backend.reset(s.asked.Load()); err != nil {
			panic(fmt.Sprintf("simulation: reset a session: %v", err))
		}
		s.of.mu.Lock()
		s.of.free = append(s.of.free, s.backend)
		s.of.mu.Unlock()
	}
	close(s.gone)
}

// reset waits for the answer that is owed, and makes the backend as it was when it started, but for what is prepared.
func (b *backend) reset(asked bool) error {
	if err := b.SetDeadline(time.Time{}); err != nil {
		return err
	}
	if asked {
		if _, err := b.answer(); err != nil {
			return err
		}
	}
	return b.clear()
}

// answer reads until the backend is ready for the next statement.
func (b *backend) answer() ([]byte, error) {
	var all []byte
	chunk := make([]byte, 8192)
	for {
		n, err := b.Conn.Read(chunk)
		all = append(all, chunk[:n]...)
		if err != nil || ready(all) {
			return all, err
		}
	}
}

// ready reports whether an answer ends with the word that the backend is ready: in a transaction, in a failed one, or in none.
func ready(answer []byte) bool {
	n := len(answer)
	return n >= 6 && bytes.Equal(answer[n-6:n-1], []byte{'Z', 0, 0, 0, 5}) && bytes.IndexByte([]byte("ITE"), answer[n-1]) >= 0
}

// Close ends the session.
func (s *session) Close() error {
	s.end()
	return nil
}

func (s *session) LocalAddr() net.Addr  { return &net.UnixAddr{Name: s.addr, Net: s.network} }
func (s *session) RemoteAddr() net.Addr { return s.LocalAddr() }

// Deadlines are the driver's way to give up a statement; nobody gives one up here, because the scheduler's clock stands still meanwhile.
func (s *session) SetDeadline(time.Time) error      { return nil }
func (s *session) SetReadDeadline(time.Time) error  { return nil }
func (s *session) SetWriteDeadline(time.Time) error { return nil }
