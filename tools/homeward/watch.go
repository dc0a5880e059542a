package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
)

// watch prints spells and exceptions as they come, until it is stopped.
func watch(ctx context.Context, c call) error {
	f := flags("watch")
	every := f.Duration("every", 2*time.Second, "how often to look")
	once := f.Bool("once", false, "print what there is of the last day, and stop")
	if _, err := c.parse(f, 0, 0); err != nil {
		return err
	}
	return withTarget([]string{hubName}, func(t *target) error {
		w := watcher{t: t, out: c.out, spells: map[string]string{}, exceptions: map[int64]string{}}
		for {
			if err := w.look(ctx); err != nil {
				return err
			}
			if *once {
				return nil
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(*every):
			}
		}
	})
}

// watcher remembers what it has printed of each.
type watcher struct {
	t          *target
	out        io.Writer
	spells     map[string]string
	exceptions map[int64]string
}

// look prints what is new or other than when it last looked.
func (w *watcher) look(ctx context.Context) error {
	now := time.Now().Local().Format(time.TimeOnly)
	req := &dischargev1.ListSpellsRequest{Since: timestamppb.New(time.Now().AddDate(0, 0, -1)), Limit: 1000}
	for {
		page, err := w.t.hub().ListSpells(ctx, req)
		if err != nil {
			return err
		}
		for _, s := range page.GetSpells() {
			req.AfterId = s.GetSpellId()
			line := fmt.Sprintf("%s  %-12s feed %s, practice %s, home %s", s.GetReference(), enumWord(s.GetStatus().String(), "SPELL_STATUS_"), s.GetFeed(),
				orDash(s.GetPracticeCode()), orDash(s.GetHomePostcodeSector()))
			if d := s.GetDischarge(); d != nil {
				line += ", left " + d.GetOn()
			}
			if w.spells[s.GetSpellId()] != line {
				w.spells[s.GetSpellId()] = line
				fmt.Fprintf(w.out, "%s  handover   %s\n", now, line)
			}
		}
		if len(page.GetSpells()) < int(req.GetLimit()) {
			break
		}
	}
	list, err := w.t.hub().ListExceptions(ctx, &dischargev1.ListExceptionsRequest{Limit: 500})
	if err != nil {
		return err
	}
	open := map[int64]bool{}
	for _, e := range list.GetExceptions() {
		open[e.GetId()] = true
		line := fmt.Sprintf("%d  %s, owner %s, look by %s: %s", e.GetId(), e.GetKind(), e.GetOwner(), e.GetLookBy().AsTime().Local().Format("Mon 15:04"), e.GetDetail())
		if w.exceptions[e.GetId()] != line {
			w.exceptions[e.GetId()] = line
			fmt.Fprintf(w.out, "%s  exception  %s\n", now, line)
		}
	}
	for id := range w.exceptions {
		if !open[id] {
			delete(w.exceptions, id)
			fmt.Fprintf(w.out, "%s  exception  %d  closed\n", now, id)
		}
	}
	return nil
}
