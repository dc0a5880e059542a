package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/feeds"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/tools/homeward/feedcheck"
	"github.com/homeward-care/homeward/tools/homeward/outcome"
)

// previewPolicy tells what would be decided otherwise under another policy, other tables or another mapping.
func previewPolicy(ctx context.Context, c call) error {
	f := flags("policy preview")
	place := f.String("place", "thurrock", "the place as it is: a folder, or the key of a built-in one")
	changed := f.String("changed-place", "", "the place as it would be; without it the same one")
	policy := f.String("policy", "", "the policy file of the changed place, such as policy-all-residents.json")
	feedFile := f.String("changed-feed", "", "a feed's file as it would be")
	days := f.Int("days", 30, "of stored messages, those of the last days")
	most := f.Int("spells", 50, "list at most so many spells")
	rest, err := c.parse(f, 0, 1)
	if err != nil {
		return err
	}
	if *changed == "" {
		*changed = *place
	}
	before, err := placeNamed(*place, "")
	if err != nil {
		return err
	}
	after, err := placeNamed(*changed, *policy)
	if err != nil {
		return err
	}
	p := preview{before: before, after: after}
	switch {
	case len(rest) == 1:
		err = p.folder(rest, *feedFile, c.in)
	case *feedFile != "":
		return withTarget([]string{hubName}, func(t *target) error { return previewMapping(ctx, t, *feedFile, *days, *most, c.out) })
	default:
		err = withTarget([]string{hubName}, func(t *target) error { return p.stored(ctx, t, *days) })
	}
	if err != nil {
		return err
	}
	p.write(c.out, *most)
	return nil
}

// preview decides every spell twice.
type preview struct {
	before, after pickup.Place
	spells        int
	cannot        []error
	differences   []outcome.Difference
}

func (p *preview) compare(before, after outcome.Outcome, err error) {
	p.spells++
	if err != nil {
		p.cannot = append(p.cannot, err)
		return
	}
	if d := outcome.Compare(before, after); d != nil {
		p.differences = append(p.differences, *d)
	}
}

// stored compares the spells that the hub has published.
func (p *preview) stored(ctx context.Context, t *target, days int) error {
	req := &dischargev1.ListSpellsRequest{Since: timestamppb.New(time.Now().AddDate(0, 0, -days)), Limit: 1000}
	for {
		page, err := t.hub().ListSpells(ctx, req)
		if err != nil {
			return err
		}
		for _, s := range page.GetSpells() {
			before, err1 := outcome.DecideProto(p.before, s)
			after, err2 := outcome.DecideProto(p.after, s)
			p.compare(before, after, errors.Join(err1, err2))
			req.AfterId = s.GetSpellId()
		}
		if len(page.GetSpells()) < int(req.GetLimit()) {
			return nil
		}
	}
}

// folder compares the spells of a folder's messages, under the built-in feeds and under those with one changed.
func (p *preview) folder(names []string, changedFeed string, in io.Reader) error {
	messages, err := readMessages(names, in)
	if err != nil {
		return err
	}
	all, err := discharge.LoadFeeds(feeds.Files)
	if err != nil {
		return err
	}
	changed := all
	if changedFeed != "" {
		feed, err := feedNamed(changedFeed)
		if err != nil {
			return err
		}
		changed = []discharge.Feed{feed}
		for _, f := range all {
			if f.Key != feed.Key {
				changed = append(changed, f)
			}
		}
	}
	was, would := spellsOf(messages, all), spellsOf(messages, changed)
	for id := range would {
		if _, ok := was[id]; !ok {
			was[id] = discharge.Spell{}
		}
	}
	for id, spell := range was {
		before, err1 := decideKnown(p.before, spell)
		after, err2 := decideKnown(p.after, would[id])
		before.Reference, after.Reference = discharge.Reference(id), discharge.Reference(id)
		p.compare(before, after, errors.Join(err1, err2))
	}
	return nil
}

// decideKnown decides a spell; one that is not known has no outcome.
func decideKnown(p pickup.Place, s discharge.Spell) (outcome.Outcome, error) {
	if s.SpellID == "" {
		return outcome.Outcome{}, nil
	}
	return outcome.Decide(p, s)
}

// spellsOf reads messages by their feeds and folds them.
func spellsOf(messages []feedcheck.Message, all []discharge.Feed) map[string]discharge.Spell {
	var facts []discharge.Fact
	for _, m := range messages {
		h, err := hl7.ParseHeader(m.Raw)
		if err != nil {
			continue
		}
		feed, known := discharge.Match(all, h.SendingApplication, h.SendingFacility)
		if !known {
			continue
		}
		if r, err := discharge.FromHL7(feed, m.Raw); err == nil && r.Usable {
			facts = append(facts, r.Fact)
		}
	}
	spells := map[string]discharge.Spell{}
	for _, s := range outcome.Spells(facts) {
		spells[s.SpellID] = s
	}
	return spells
}

func (p *preview) write(out io.Writer, most int) {
	fmt.Fprintf(out, "Policy %s and directory %s, against policy %s and directory %s\n", p.before.PolicyVersion, p.before.DirectoryVersion, p.after.PolicyVersion, p.after.DirectoryVersion)
	fmt.Fprintf(out, "%d spells looked at, %d would be decided otherwise. Nothing is changed.\n", p.spells, len(p.differences))
	if len(p.cannot) > 0 {
		fmt.Fprintf(out, "%d could not be decided; the first: %v\n", len(p.cannot), p.cannot[0])
	}
	counts := map[string]int{}
	for _, d := range p.differences {
		counts[d.What[0]]++
	}
	writeCounts(out, counts)
	for i, d := range sortedDifferences(p.differences) {
		if i == most {
			fmt.Fprintf(out, "  and %d more\n", len(p.differences)-most)
			break
		}
		fmt.Fprintf(out, "  %s  left %s", d.After.Reference, orDash(string(d.After.DischargedOn)))
		for _, what := range d.What {
			fmt.Fprintf(out, "; %s", what)
		}
		fmt.Fprintln(out)
	}
}

// previewMapping lets the hub read its stored messages under another mapping.
func previewMapping(ctx context.Context, t *target, file string, days, most int, out io.Writer) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	resp, err := t.hub().PreviewMapping(ctx, &dischargev1.PreviewMappingRequest{FeedFile: string(text), Since: timestamppb.New(time.Now().AddDate(0, 0, -days))})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d messages and %d spells looked at, %d would be otherwise. Nothing is changed.\n", resp.GetMessages(), resp.GetSpells(), len(resp.GetChanges()))
	if resp.GetCutOff() {
		fmt.Fprintln(out, "There are more messages than were looked at: choose fewer days.")
	}
	for kind, before := range resp.GetProblemsBefore() {
		if after := resp.GetProblemsAfter()[kind]; after != before {
			fmt.Fprintf(out, "  exceptions %s: %d -> %d\n", kind, before, after)
		}
	}
	for kind, after := range resp.GetProblemsAfter() {
		if _, there := resp.GetProblemsBefore()[kind]; !there {
			fmt.Fprintf(out, "  exceptions %s: 0 -> %d\n", kind, after)
		}
	}
	for i, c := range resp.GetChanges() {
		if i == most {
			fmt.Fprintf(out, "and %d more\n", len(resp.GetChanges())-most)
			break
		}
		writeChange(out, c)
	}
	return nil
}
