package dischargehub

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/kit/run"
)

// clientele is the clients that hold, and who of them is told of what. It is replaced as a whole, never changed.
type clientele struct {
	clients map[string]client
	// providers are those that have a client, with the clients that want each Task posted.
	providers map[string][]string
	due       map[string]run.Wake // wakes the posting to a client
}

func newClientele(clients map[string]client) *clientele {
	all := &clientele{clients: clients, providers: map[string][]string{}, due: map[string]run.Wake{}}
	for _, id := range all.ids() {
		c := clients[id]
		if c.Webhook != nil {
			all.due[id] = run.NewWake()
		}
		for _, provider := range providers(c.Feeds) {
			told := all.providers[provider]
			if c.Webhook != nil {
				told = append(told, id)
			}
			all.providers[provider] = told
		}
	}
	return all
}

// ids are the clients', sorted.
func (c *clientele) ids() (ids []string) {
	for id := range c.clients {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// roster is the clients as their files are. The files are read again when they change, so that a client is added or gets another key without
// a restart; while they cannot be read, the clients of before stand.
type roster struct {
	dir   string
	feeds map[string]discharge.Feed
	now   func() time.Time
	log   *slog.Logger

	current     atomic.Pointer[clientele]
	posts, walk run.Wake // raised when the clients have changed

	read    string    // the files' state when they were read
	seen    string    // and when they were looked at last
	alarmed time.Time // when they were last found wrong
}

const (
	// rosterPoll is how often the files are looked at. They are read when they have not changed between two looks: a file that is being
	// written is left alone.
	rosterPoll = 2 * time.Second
	// wrongAgain is how often an alarm is repeated while the files cannot be used.
	wrongAgain = 15 * time.Minute
)

// openRoster reads the clients' files; no folder, no clients.
func openRoster(dir string, feeds map[string]discharge.Feed, now func() time.Time, log *slog.Logger) (*roster, error) {
	r := &roster{dir: dir, feeds: feeds, now: now, log: log, posts: run.NewWake(), walk: run.NewWake()}
	r.read = r.state()
	r.seen = r.read
	clients, err := loadClients(dir, feeds)
	if err != nil {
		return nil, err
	}
	r.current.Store(newClientele(clients))
	return r, nil
}

func (r *roster) get() *clientele { return r.current.Load() }

// state tells whether anything in the folder was changed, secrets too. What lies elsewhere is read with the next change here.
func (r *roster) state() string {
	entries, _ := os.ReadDir(r.dir) // a folder that cannot be read is another state, and loadClients says why
	var b strings.Builder
	for _, entry := range entries {
		if info, err := os.Stat(filepath.Join(r.dir, entry.Name())); err == nil {
			fmt.Fprintln(&b, entry.Name(), info.ModTime().UnixNano(), info.Size())
		}
	}
	return b.String()
}

// Step reads the files again if they have changed.
func (r *roster) Step(ctx context.Context) (bool, error) {
	state := r.state()
	if state == r.read {
		return false, nil
	}
	if state != r.seen {
		r.seen, r.alarmed = state, time.Time{}
		return false, nil
	}
	now := r.now()
	if now.Sub(r.alarmed).Abs() < wrongAgain {
		return false, nil
	}
	clients, err := loadClients(r.dir, r.feeds)
	if err != nil {
		r.alarmed = now
		r.log.ErrorContext(ctx, "alarm: the clients' files cannot be used, the clients of before stand", "error", err)
		return false, nil
	}
	r.read = state
	all := newClientele(clients)
	r.current.Store(all)
	r.posts.Raise()
	r.walk.Raise()
	r.log.InfoContext(ctx, "the clients' files were read again", "clients", all.ids())
	return false, nil
}
