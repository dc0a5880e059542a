package storm

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// witness looks at what must hold at every moment of the storm, not only after it. It reads the follower first: whoever follows must not be
// ahead of what it follows, and that only grows.
type witness struct {
	mu    sync.Mutex
	looks int
	found map[string]bool
}

// watch looks every two seconds until ctx ends. A look that cannot be had, because PostgreSQL is away, is none.
func (w *witness) watch(ctx context.Context, s *stack.Stack) {
	for ctx.Err() == nil {
		if found, err := look(ctx, s); err == nil {
			w.mu.Lock()
			w.looks++
			if w.found == nil {
				w.found = map[string]bool{}
			}
			for _, f := range found {
				w.found[f] = true
			}
			w.mu.Unlock()
		}
		sleep(ctx, 2*time.Second)
	}
}

// look says that what the hub calls delivered is with community-pickup, that community-pickup holds nothing that the hub has not,
// and that each task of a team has its spell. (What is only asked for is kept until its spell comes; it is nobody's task yet.)
func look(ctx context.Context, s *stack.Stack) (found []string, err error) {
	delivered, err := versions(ctx, s, "discharge-hub", `SELECT id, delivered_epoch, delivered_version FROM spell WHERE delivered_at IS NOT NULL`)
	if err != nil {
		return nil, err
	}
	applied, err := versions(ctx, s, "community-pickup", `SELECT id, epoch, version FROM inbox WHERE type = 'homeward.discharge.spell.v1'`)
	if err != nil {
		return nil, err
	}
	for id, v := range delivered {
		if applied[id].before(v) {
			found = append(found, fmt.Sprintf("spell %s was called delivered at %v, and community-pickup held %v", id, v, applied[id]))
		}
	}
	published, err := versions(ctx, s, "discharge-hub", `SELECT id, epoch, version FROM outbox`)
	if err != nil {
		return nil, err
	}
	for id, v := range applied {
		if published[id].before(v) {
			found = append(found, fmt.Sprintf("community-pickup held spell %s at %v, and the hub had %v", id, v, published[id]))
		}
	}
	tasks, err := query(ctx, s, "community-pickup", pgx.RowTo[string], `
		SELECT t.id::text FROM task t JOIN outbox o USING (id) WHERE t.team <> '' AND NOT EXISTS (
			SELECT 1 FROM inbox i WHERE i.type = 'homeward.discharge.spell.v1' AND i.id = o.key)`)
	for _, id := range tasks {
		found = append(found, fmt.Sprintf("task %s has no spell", id))
	}
	return found, err
}

func (w *witness) violations() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for f := range w.found {
		all = append(all, f)
	}
	return all
}

func (w *witness) looked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.looks
}
