package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/failpoint"
	"github.com/homeward-care/homeward/services/kit/inbox"
)

const (
	// settle is how old a change must be before its absence means anything: a younger one is probably still on its way.
	settle = 5 * time.Second
	// overlap widens each window of recent changes to the past, for transactions that committed late and clocks that differ.
	overlap = 5 * time.Second
	// RecentEvery is how often recent changes are compared.
	RecentEvery = 10 * time.Second
)

// Walker is the one worker that serves an edge between a producer and this service. Each step compares one page: the recent changes as
// soon as they are due again, otherwise the next page of a rolling pass over everything.
type Walker struct {
	// Type is the CloudEvents type of the aggregates that are compared.
	Type string
	// Producer is where Source reaches it, for an alarm.
	Producer string
	Source   opsv1.ReconciliationServiceClient
	Inbox    *inbox.Inbox
	Log      *slog.Logger
	// RollEvery is the rest between two pages of the rolling pass; 0 means none.
	RollEvery time.Duration

	recentUntil time.Time // changes before this moment have been compared
	recentNext  time.Time // when recent changes are due again
	window      *window   // the window that is being walked; nil when none is
	rollAfter   uuid.UUID
	rollNext    time.Time
	alarmNext   time.Time
	// Compared counts ids, Repaired counts snapshots that the bus had not brought.
	Compared, Repaired int64
}

type window struct {
	since, before time.Time // a zero since: the walk has no bounds
	after         uuid.UUID
}

// Step compares one page. It reports work only while a window of recent changes is not finished, so that the rolling pass stays gentle.
func (w *Walker) Step(ctx context.Context) (bool, error) {
	now := w.Inbox.Now()
	if w.window == nil && due(now, w.recentNext, RecentEvery) {
		w.window = &window{before: now.Add(-settle)}
		// Just started, everything may have changed while this service was down: that walk has no bounds.
		if !w.recentUntil.IsZero() {
			w.window.since = w.recentUntil.Add(-overlap)
			if w.window.before.Before(w.recentUntil) { // the clock was set back
				w.window.since = w.window.before.Add(-overlap)
			}
		}
	}
	if w.window != nil {
		return w.stepRecent(ctx, now)
	}
	if !due(now, w.rollNext, max(w.RollEvery, RecentEvery)) {
		return false, nil
	}
	last, done, err := w.comparePage(ctx, &opsv1.ListVersionsRequest{Type: w.Type, AfterId: w.rollAfter.String(), Limit: defaultPage})
	if err != nil {
		return false, err
	}
	w.rollAfter, w.rollNext = last.id, now.Add(w.RollEvery)
	if done {
		w.rollAfter = uuid.Nil
		w.rollNext = now.Add(max(w.RollEvery, RecentEvery))
	}
	return false, nil
}

// due reports whether next has come. A moment further ahead than any rest was set by a clock that has gone back since.
func due(now, next time.Time, rest time.Duration) bool {
	return !now.Before(next) || next.Sub(now) > rest
}

func (w *Walker) stepRecent(ctx context.Context, now time.Time) (bool, error) {
	req := &opsv1.ListVersionsRequest{Type: w.Type, AfterId: w.window.after.String(), Limit: defaultPage}
	if !w.window.since.IsZero() {
		req.ChangedSince, req.ChangedBefore = timestamppb.New(w.window.since), timestamppb.New(w.window.before)
	}
	last, done, err := w.comparePage(ctx, req)
	if err != nil {
		return false, err
	}
	w.window.after = last.id
	if !w.window.since.IsZero() {
		w.window.since = last.changedAt
	}
	if done {
		w.recentUntil, w.recentNext, w.window = w.window.before, now.Add(RecentEvery), nil
	}
	return !done, nil
}

// Rebuild walks everything once, without rests: it fills an empty inbox.
func (w *Walker) Rebuild(ctx context.Context) error {
	after := uuid.Nil
	for {
		last, done, err := w.comparePage(ctx, &opsv1.ListVersionsRequest{Type: w.Type, AfterId: after.String(), Limit: defaultPage})
		if err != nil || done {
			return err
		}
		after = last.id
	}
}

// position is where a page ended.
type position struct {
	id        uuid.UUID
	changedAt time.Time
}

// comparePage asks for one page, and fetches and applies what the inbox does not hold. It returns where the page ended, and whether nothing
// is left: a producer may give less than it was asked for, so that an empty page alone is the end.
func (w *Walker) comparePage(ctx context.Context, req *opsv1.ListVersionsRequest) (last position, done bool, err error) {
	var page *opsv1.ListVersionsResponse
	if err := failpoint.Do(ctx, "reconcile.list", func() (err error) { page, err = w.Source.ListVersions(ctx, req); return err }); err != nil {
		return last, false, fmt.Errorf("walk %s: %w", w.Type, err)
	}
	versions := page.GetVersions()
	if len(versions) == 0 {
		return last, true, nil
	}
	last.changedAt = page.GetLastChangedAt().AsTime()
	differing, id, err := w.differing(ctx, versions)
	if err != nil {
		return last, false, err
	}
	last.id = id
	w.Compared += int64(len(versions))
	if err := w.checkBehind(ctx, differing.behind); err != nil {
		return last, false, err
	}
	if len(differing.newer) > 0 {
		events, err := w.fetch(ctx, differing.newer)
		if err != nil {
			return last, false, err
		}
		if err := failpoint.Do(ctx, "reconcile.apply", func() error { return w.Inbox.Apply(ctx, events) }); err != nil {
			return last, false, fmt.Errorf("apply snapshots of %s: %w", w.Type, err)
		}
		w.Repaired += int64(len(events))
		w.Log.InfoContext(ctx, "reconciliation repaired what the bus had not brought", "type", w.Type, "count", len(events))
	}
	return last, failpoint.Bug("walk-stops-at-first-page"), nil
}

func (w *Walker) fetch(ctx context.Context, ids []string) ([]event.Event, error) {
	var got *opsv1.GetSnapshotsResponse
	if err := failpoint.Do(ctx, "reconcile.get", func() (err error) {
		got, err = w.Source.GetSnapshots(ctx, &opsv1.GetSnapshotsRequest{Type: w.Type, Ids: ids})
		return err
	}); err != nil {
		return nil, fmt.Errorf("fetch snapshots of %s: %w", w.Type, err)
	}
	return Events(got.GetSnapshots())
}

// alarmEvery keeps an alarm that stands from filling the log.
const alarmEvery = time.Minute

// checkBehind raises the alarm when the producer is behind what it once published: its database was restored and nobody said so. The bus
// may have brought a version since the producer listed its own, so those that seem behind are asked for once more.
func (w *Walker) checkBehind(ctx context.Context, seen map[string]event.Event) error {
	now := w.Inbox.Now()
	if len(seen) == 0 || !due(now, w.alarmNext, alarmEvery) {
		return nil
	}
	current, err := w.fetch(ctx, slices.Collect(maps.Keys(seen)))
	if err != nil {
		return err
	}
	behind := 0
	for _, e := range current {
		if held := seen[e.ID.String()]; held.NewerThan(e.Epoch, e.Version) {
			behind++
		}
	}
	if behind > 0 {
		w.alarmNext = now.Add(alarmEvery)
		w.Log.ErrorContext(ctx, "alarm: the producer is behind what it published before: its database was restored to an earlier point; "+
			"stop it, run its program with the argument `restored`, and start it again", "producer", w.Producer, "type", w.Type, "behind", behind)
	}
	return nil
}

// differing is how a page of versions and the inbox differ.
type differing struct {
	newer  []string               // ids whose version at the producer is newer
	behind map[string]event.Event // by id, what the inbox holds where the producer is older
}

// differing compares a page of versions with the inbox. What lies buried at a newer version waits for a person, not for another try.
func (w *Walker) differing(ctx context.Context, versions []*opsv1.AggregateVersion) (differing, uuid.UUID, error) {
	d := differing{behind: map[string]event.Event{}}
	ids, epochs, nums := make([]uuid.UUID, len(versions)), make([]int32, len(versions)), make([]int64, len(versions))
	for i, v := range versions {
		id, err := uuid.Parse(v.GetId())
		if err != nil {
			return d, uuid.Nil, fmt.Errorf("walk %s: %w", w.Type, err)
		}
		ids[i], epochs[i], nums[i] = id, v.GetEpoch(), v.GetVersion()
	}
	rows, err := w.Inbox.DB.Pool.Query(ctx, `
		SELECT u.id::text, coalesce(i.epoch, 0), coalesce(i.version, 0), coalesce((i.epoch, i.version) > (u.epoch, u.version), false)
		FROM unnest($1::uuid[], $2::int[], $3::bigint[]) AS u (id, epoch, version)
		LEFT JOIN inbox i ON i.id = u.id AND i.type = $4
		WHERE (i.id IS NULL OR (i.epoch, i.version) <> (u.epoch, u.version))
		AND NOT EXISTS (SELECT 1 FROM dead_letter d WHERE d.id = u.id AND d.type = $4 AND d.epoch = u.epoch AND d.version = u.version)`,
		ids, epochs, nums, w.Type)
	if err != nil {
		return d, uuid.Nil, fmt.Errorf("compare with inbox: %w", err)
	}
	var id string
	var held event.Event
	var behind bool
	if _, err := pgx.ForEachRow(rows, []any{&id, &held.Epoch, &held.Version, &behind}, func() error {
		if behind {
			d.behind[id] = held
		} else {
			d.newer = append(d.newer, id)
		}
		return nil
	}); err != nil {
		return d, uuid.Nil, fmt.Errorf("compare with inbox: %w", err)
	}
	return d, ids[len(ids)-1], nil
}
