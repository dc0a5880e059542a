package sim

import "sync"

// threads are goroutines that run one flow after another: each flow is a new one otherwise, and its stack grows anew.
type threads struct {
	mu   sync.Mutex
	free []chan func()
}

// run runs what is given in a thread that is free.
func (t *threads) run(do func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.free); n > 0 {
		t.free[n-1] <- do
		t.free = t.free[:n-1]
		return
	}
	thread := make(chan func(), 1)
	thread <- do
	go func() {
		for do := range thread {
			do()
			t.mu.Lock()
			t.free = append(t.free, thread)
			t.mu.Unlock()
		}
	}()
}

// end ends the threads that are free.
func (t *threads) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, thread := range t.free {
		close(thread)
	}
	t.free = nil
}
