package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/tools/homeward/hospital"
)

// simulateHospital makes a week of messages, and writes or sends them.
func simulateHospital(ctx context.Context, c call) error {
	f := flags("hospital")
	o := hospital.Options{}
	f.IntVar(&o.Beds, "beds", 600, "how many beds")
	f.IntVar(&o.Days, "days", 7, "how many days")
	f.Uint64Var(&o.Seed, "seed", 1, "another seed is another week; the same one is the same bytes")
	f.BoolVar(&o.Clean, "clean", false, "without anything that goes wrong")
	from := f.String("from", "", "the first day, YYYY-MM-DD; without it the week that ends today")
	feedName := f.String("feed", "mse-all", "the feed that it sends as: the key of a built-in one or a file")
	out := f.String("out", "", "write the messages into this folder, a file each, in the order of sending")
	send := f.Bool("send", false, "send them to the Homeward that is meant")
	speed := f.Float64("speed", 0, "how much faster than the clock to send, such as 60 for a minute in a second; 0 is as fast as answers come")
	if _, err := c.parse(f, 0, 0); err != nil {
		return err
	}
	feed, err := feedNamed(*feedName)
	if err != nil {
		return err
	}
	if feed.Application == "" || o.Beds < 1 || o.Days < 1 {
		return fmt.Errorf("give at least one bed and one day, and a feed of the MLLP door")
	}
	o.Application, o.Facility, o.Provider = feed.Application, feed.Facilities[0], feed.Mapping.PatientAuthority
	y, m, d := time.Now().In(feed.Zone).AddDate(0, 0, -o.Days).Date()
	o.From = time.Date(y, m, d, 0, 0, 0, 0, feed.Zone)
	if *from != "" {
		if o.From, err = time.ParseInLocation(time.DateOnly, *from, feed.Zone); err != nil {
			return fmt.Errorf("--from is %q; write YYYY-MM-DD", *from)
		}
	}
	week := hospital.Week(o)
	fmt.Fprintf(c.out, "%d messages of %d beds in %d days from %s, seed %d, as feed %s\n", len(week), o.Beds, o.Days, o.From.Format(time.DateOnly), o.Seed, feed.Key)
	counts := map[string]int{}
	for _, s := range week {
		if h, err := hl7.ParseHeader(s.Raw); err == nil {
			counts[h.Type+"^"+h.Trigger]++
		}
	}
	writeCounts(c.out, counts)
	if *out != "" {
		if err := writeWeek(*out, week, feed); err != nil {
			return err
		}
		fmt.Fprintf(c.out, "Written to %s\n", *out)
	}
	if !*send {
		return nil
	}
	return withTarget(nil, func(t *target) error { return sendWeek(ctx, t, week, *speed, c) })
}

// writeWeek writes a folder for each day, so that none holds too many files.
func writeWeek(folder string, week []hospital.Sent, feed discharge.Feed) error {
	for i, s := range week {
		dir := filepath.Join(folder, s.At.In(feed.Zone).Format(time.DateOnly))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%06d.hl7", i+1)), s.Raw, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// sendWeek sends the messages one after another, at their distances if a speed is given.
func sendWeek(ctx context.Context, t *target, week []hospital.Sent, speed float64, c call) error {
	s, err := dialMLLP(t.mllp)
	if err != nil {
		return err
	}
	defer s.conn.Close()
	answers := map[string]int{}
	began := time.Now()
	for _, m := range week {
		if speed > 0 {
			due := began.Add(time.Duration(float64(m.At.Sub(week[0].At)) / speed))
			select {
			case <-ctx.Done():
			case <-time.After(time.Until(due)):
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		code, text, err := s.send(m.Raw)
		if err != nil {
			return err
		}
		if answers[code]++; code != string(hl7.Accept) {
			fmt.Fprintf(c.out, "%s: %s\n", code, meaning(code, text))
		}
	}
	fmt.Fprintf(c.out, "Sent in %s:\n", time.Since(began).Round(time.Millisecond))
	writeCounts(c.out, answers)
	return nil
}
