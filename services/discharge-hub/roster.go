package dischargehub

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/kit/run"
)

// clientele is the feeds and the clients that hold, and who is told of what. It is replaced as a whole, never changed.
type clientele struct {
	list     []discharge.Feed
	feeds    map[string]discharge.Feed // by key
	answered []string                  // the feeds whose hospitals are told how far their handovers are
	clients  map[string]client
	// providers are those that have a client, with the clients that want each Task posted.
	providers map[string][]string
	due       map[string]run.Wake // wakes the posting to a client
}

func newClientele(feeds []discharge.Feed, clients map[string]client) *clientele {
	all := &clientele{list: feeds, feeds: feedsByKey(feeds), clients: clients, providers: map[string][]string{}, due: map[string]run.Wake{}}
	all.answered = answeredOf(all.feeds)
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
func (c *clientele) ids() []string { return slices.Sorted(maps.Keys(c.clients)) }

// roster is the feeds and the clients as their files are. The files are read again when they change, so that a hospital is added, or a client gets
// another key, without a restart; while any of them cannot be used, all of before stand.
type roster struct {
	feedsDir, clientsDir string
	usable               func([]discharge.Feed) error // what else the feeds must be to be used here; nil for nothing
	now                  func() time.Time
	log                  *slog.Logger

	current              atomic.Pointer[clientele]
	posts, walk, answers run.Wake // raised when they have changed

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

// openRoster reads the clients' files; no folder, no clients. The feeds are those of their folder; without one they stay as they are.
func openRoster(feeds []discharge.Feed, feedsDir, clientsDir string, now func() time.Time, log *slog.Logger) (*roster, error) {
	r := &roster{feedsDir: feedsDir, clientsDir: clientsDir, now: now, log: log, posts: run.NewWake(), walk: run.NewWake(), answers: run.NewWake()}
	r.read = r.state()
	r.seen = r.read
	clients, err := loadClients(clientsDir, feedsByKey(feeds))
	if err != nil {
		return nil, err
	}
	r.current.Store(newClientele(feeds, clients))
	return r, nil
}

// load reads all files.
func (r *roster) load() (*clientele, error) {
	feeds := r.get().list
	if r.feedsDir != "" {
		var err error
		if feeds, err = loadFeeds(r.feedsDir); err != nil {
			return nil, err
		}
	}
	if r.usable != nil {
		if err := r.usable(feeds); err != nil {
			return nil, err
		}
	}
	clients, err := loadClients(r.clientsDir, feedsByKey(feeds))
	if err != nil {
		return nil, err
	}
	return newClientele(feeds, clients), nil
}

func (r *roster) get() *clientele { return r.current.Load() }

func (r *roster) feeds() map[string]discharge.Feed { return r.get().feeds }

func (r *roster) feedList() []discharge.Feed { return r.get().list }

// state tells whether anything in the folders was changed, secrets too. What lies elsewhere is read with the next change here.
func (r *roster) state() string {
	var b strings.Builder
	for _, dir := range []string{r.feedsDir, r.clientsDir} {
		if dir == "" {
			continue
		}
		entries, _ := os.ReadDir(dir) // a folder that cannot be read is another state, and who loads it says why
		for _, entry := range entries {
			name := filepath.Join(dir, entry.Name())
			if info, err := os.Stat(name); err == nil {
				fmt.Fprintln(&b, name, info.ModTime().UnixNano(), info.Size())
			}
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
	all, err := r.load()
	if err != nil {
		r.alarmed = now
		r.log.ErrorContext(ctx, "alarm: the files of feeds and clients cannot be used, those of before stand", "error", err)
		return false, nil
	}
	r.read = state
	r.current.Store(all)
	r.posts.Raise()
	r.walk.Raise()
	r.answers.Raise()
	r.log.InfoContext(ctx, "the files of feeds and clients were read again", "feeds", slices.Sorted(maps.Keys(all.feeds)), "clients", all.ids())
	return false, nil
}
