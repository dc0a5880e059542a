package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/community-pickup/places"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/feeds"
	"github.com/homeward-care/homeward/tools/homeward/feedcheck"
	"github.com/homeward-care/homeward/tools/homeward/feedsheet"
)

// feedNamed finds a feed by the name of its file, or by the key of one that is built in.
func feedNamed(name string) (discharge.Feed, error) {
	if data, err := os.ReadFile(name); err == nil {
		return discharge.ParseFeed(filepath.Base(name), data)
	}
	all, err := discharge.LoadFeeds(feeds.Files)
	if err != nil {
		return discharge.Feed{}, err
	}
	var keys []string
	for _, f := range all {
		if f.Key == name {
			return f, nil
		}
		keys = append(keys, f.Key)
	}
	return discharge.Feed{}, fmt.Errorf("%s is no file, and no built-in feed: those are %s", name, strings.Join(keys, ", "))
}

// placeNamed finds a place by its folder, or by the key of one that is built in; policy names another policy file of it.
func placeNamed(name, policy string) (pickup.Place, error) {
	if strings.ContainsRune(policy, os.PathSeparator) {
		return pickup.Place{}, fmt.Errorf("--policy is %s; give the name of a file of the place, and for one of your own a copy of the place's folder", policy)
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return places.LoadUnder(os.DirFS(name), policy)
	}
	return places.EmbeddedUnder(name, policy)
}

// checkFeed looks at a folder of messages.
func checkFeed(_ context.Context, c call) error {
	f := flags("feed check")
	feedName := f.String("feed", "", "the feed that they are of: the key of a built-in one or a file; without it one is drafted from the messages")
	place := f.String("place", "thurrock", "the place whose tables and policy decide: a folder, or the key of a built-in one")
	scope := f.String("scope", string(discharge.ScopeSocialCare), "of a drafted feed: social-care or whole-hospital")
	key := f.String("key", "new-feed", "of a drafted feed")
	spells := f.Int("spells", 30, "list at most so many spells")
	write := f.String("write", "", "write the proposed feed to this file as well")
	rest, err := c.parse(f, 1, 1)
	if err != nil {
		return err
	}
	messages, err := readMessages(rest, c.in)
	if err != nil {
		return err
	}
	p, err := placeNamed(*place, "")
	if err != nil {
		return err
	}
	var feed discharge.Feed
	if *feedName != "" {
		feed, err = feedNamed(*feedName)
	} else {
		feed, err = feedcheck.Draft(messages, *key, discharge.Scope(*scope), "Europe/London")
	}
	if err != nil {
		return err
	}
	r := feedcheck.Check(messages, feed, p)
	r.Write(c.out, *spells)
	if *write == "" {
		return nil
	}
	text, err := r.Proposal.File()
	if err != nil {
		return err
	}
	return os.WriteFile(*write, text, 0o644)
}

// printSheet prints the interface sheet of a feed.
func printSheet(_ context.Context, c call) error {
	f := flags("feed sheet")
	format := f.String("format", "markdown", "markdown or html; html prints on A4")
	endpoint := f.String("endpoint", "to be agreed", "host and port where the hospital sends to")
	rest, err := c.parse(f, 1, 1)
	if err != nil {
		return err
	}
	feed, err := feedNamed(rest[0])
	if err != nil {
		return err
	}
	if feed.Door != discharge.DoorMLLP {
		return fmt.Errorf("feed %s comes by the %s door: a sheet is for HL7 over MLLP", feed.Key, feed.Door)
	}
	sheet := feedsheet.Of(feed, *endpoint)
	switch *format {
	case "markdown":
		return sheet.Markdown(c.out)
	case "html":
		return sheet.HTML(c.out)
	}
	return fmt.Errorf("--format is %q; choose markdown or html", *format)
}
