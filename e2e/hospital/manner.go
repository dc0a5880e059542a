package hospital

import "sync"

// Manner is how a hospital's receiver behaves to what Homeward sends it.
type Manner int

const (
	// Takes is how a receiver should be.
	Takes Manner = iota
	// Refuses answers that it could not take this now: 500, AE.
	Refuses
	// Late reads, and answers when the sender has given up.
	Late
	// Cuts reads, and ends the connection instead of an answer.
	Cuts
	// Mumbles answers with what is no answer to what was sent.
	Mumbles
)

// manners is the manner of a receiver, and how many deliveries have met it.
type manners struct {
	mu     sync.Mutex
	manner Manner
	met    int
}

// Behave sets the manner.
func (m *manners) Behave(manner Manner) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.manner, m.met = manner, 0
}

// Met is how many deliveries have met the manner to their end; a late answer's is when the sender has given up.
func (m *manners) Met() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.met
}

func (m *manners) now() Manner {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.manner
}

// meet counts a delivery that met a manner, if it is still the receiver's.
func (m *manners) meet(manner Manner) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if manner == m.manner {
		m.met++
	}
}
