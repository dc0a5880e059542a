package hospital

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Webhook is a hospital's receiver of Tasks: it checks who sent each, and keeps the newest of every Task that it has taken.
type Webhook struct {
	// Addr is where it listens, as host:port; any path will do.
	Addr string
	manners
	secret string
	server *http.Server

	keep  sync.Mutex
	tasks map[string]Posted
	posts map[string]int    // how often each version of a Task came, by its X-Request-ID
	said  map[string]string // and what it was
	wrong map[string]bool
}

// Posted is the newest version of a Task that was taken.
type Posted struct {
	RequestID string
	Updated   time.Time // meta.lastUpdated, which orders the versions
	Body      []byte
}

// OpenWebhook listens on a free port of this machine.
func OpenWebhook(secret string) (*Webhook, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &Webhook{Addr: lis.Addr().String(), secret: secret, tasks: map[string]Posted{}, posts: map[string]int{}, said: map[string]string{}, wrong: map[string]bool{}}
	w.server = &http.Server{Handler: w}
	go func() { _ = w.server.Serve(lis) }()
	return w, nil
}

// Close ends it.
func (w *Webhook) Close() { _ = w.server.Close() }

// ServeHTTP takes a Task, in the manner of the moment.
func (w *Webhook) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it did not come whole: the sender will try again
	}
	if err := w.signed(r.Header.Get("Homeward-Signature"), body); err != nil {
		w.complain("a Task's signature: %v", err)
		rw.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.came(r.Header.Get("X-Request-ID"), body)
	manner := w.now()
	defer w.meet(manner)
	switch manner {
	case Takes:
		w.take(r.Header.Get("X-Request-ID"), body)
		rw.WriteHeader(http.StatusNoContent)
	case Refuses:
		rw.WriteHeader(http.StatusInternalServerError)
	case Late:
		<-r.Context().Done()
		rw.WriteHeader(http.StatusOK)
	case Cuts:
		panic(http.ErrAbortHandler)
	case Mumbles:
		rw.Header().Set("Location", "/elsewhere")
		rw.WriteHeader(http.StatusFound)
	}
}

// signed checks t=<seconds>,v1=<HMAC-SHA256 of "<t>.<body>">.
func (w *Webhook) signed(signature string, body []byte) error {
	at, rest, _ := strings.Cut(strings.TrimPrefix(signature, "t="), ",v1=")
	mac := hmac.New(sha256.New, []byte(w.secret))
	_, _ = mac.Write([]byte(at + "."))
	_, _ = mac.Write(body)
	if !hmac.Equal([]byte(rest), []byte(hex.EncodeToString(mac.Sum(nil)))) {
		return fmt.Errorf("%q is not that of the body", signature)
	}
	return nil
}

// came notes a post. Whoever drops what has an X-Request-ID that it has had must lose nothing by it.
func (w *Webhook) came(requestID string, body []byte) {
	w.keep.Lock()
	before, known := w.said[requestID]
	w.said[requestID] = string(body)
	w.posts[requestID]++
	w.keep.Unlock()
	if known && before != string(body) {
		w.complain("X-Request-ID %s came with two Tasks: %s and %s", requestID, before, body)
	}
}

func (w *Webhook) take(requestID string, body []byte) {
	var task struct {
		ID   string
		Meta struct{ LastUpdated time.Time }
	}
	if err := json.Unmarshal(body, &task); err != nil || task.ID == "" || task.Meta.LastUpdated.IsZero() {
		w.complain("what was posted is no Task: %v: %s", err, body)
	}
	w.keep.Lock()
	defer w.keep.Unlock()
	if !task.Meta.LastUpdated.Before(w.tasks[task.ID].Updated) {
		w.tasks[task.ID] = Posted{requestID, task.Meta.LastUpdated, body}
	}
}

func (w *Webhook) complain(format string, args ...any) {
	w.keep.Lock()
	defer w.keep.Unlock()
	w.wrong[fmt.Sprintf(format, args...)] = true
}

// Task is the newest version that was taken; nothing if none was.
func (w *Webhook) Task(id string) Posted {
	w.keep.Lock()
	defer w.keep.Unlock()
	return w.tasks[id]
}

// Posts counts by X-Request-ID what came, whatever was answered.
func (w *Webhook) Posts() map[string]int {
	w.keep.Lock()
	defer w.keep.Unlock()
	return maps.Clone(w.posts)
}

// Wrong is what must never come.
func (w *Webhook) Wrong() []string {
	w.keep.Lock()
	defer w.keep.Unlock()
	return slices.Sorted(maps.Keys(w.wrong))
}
