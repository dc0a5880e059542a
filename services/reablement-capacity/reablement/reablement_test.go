package reablement_test

import (
	"errors"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/homeward-care/homeward/services/reablement-capacity/reablement"
)

var now = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

const hold = 2 * time.Hour

func capacity() reablement.Capacity {
	return reablement.Capacity{
		ID: uuid.MustParse("7e000000-0000-4000-8000-000000000001"), Provider: "ACME", Area: "CLS-GRAYS", Slots: 2, VisitsPerDay: 4,
		AvailableFrom: "2026-11-25", ValidUntil: now.Add(24 * time.Hour),
	}
}

func need() reablement.Need {
	return reablement.Need{
		SpellID: uuid.MustParse("5e000000-0000-4000-8000-000000000001"), Status: reablement.Requested, Area: "CLS-GRAYS", VisitsPerDay: 3,
		WantedFrom: "2026-11-26", RequestedAt: now,
	}
}

// at brings a need to a status with ACME.
func at(t interface{ Fatal(...any) }, status reablement.Status) reablement.Need {
	n, c := need(), capacity()
	var err error
	step := func(next reablement.Need, e error) {
		if e != nil {
			err = e
		}
		n = next
	}
	if status == reablement.Withdrawn {
		return reablement.Follow(n, true)
	}
	if status != reablement.Requested {
		step(reablement.Hold(n, c, "", hold, now))
	}
	if status == reablement.Accepted || status == reablement.Started {
		step(reablement.Accept(n, c, "ACME", "2026-11-26", now))
	}
	if status == reablement.Started {
		step(reablement.Start(n, "ACME", "2026-11-26", "2027-01-07", "2026-11-26"))
	}
	if err != nil || n.Status != status {
		t.Fatal(n, err)
	}
	return n
}

func wantKind(t *testing.T, want reablement.Kind, err error) {
	t.Helper()
	var refusal *reablement.Error
	if want == "" {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	if !errors.As(err, &refusal) || refusal.Kind != want {
		t.Errorf("got %v, want the kind %s", err, want)
	}
}

func TestWhatCanBeHeld(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*reablement.Need, *reablement.Capacity)
		by     string
		want   reablement.Kind
	}{
		"the hub takes the last slot":         {change: func(_ *reablement.Need, c *reablement.Capacity) { c.Used = 1 }},
		"a provider pulls to its own offer":   {by: "ACME"},
		"a provider pulls to another's offer": {by: "BRIGHT", want: reablement.NotFound},
		"no slot is free":                     {change: func(_ *reablement.Need, c *reablement.Capacity) { c.Used = 2 }, want: reablement.Precondition},
		"the offer is stale from its end":     {change: func(_ *reablement.Need, c *reablement.Capacity) { c.ValidUntil = now }, want: reablement.Precondition},
		"the offer is good to its end":        {change: func(_ *reablement.Need, c *reablement.Capacity) { c.ValidUntil = now.Add(1) }},
		"another area":                        {change: func(_ *reablement.Need, c *reablement.Capacity) { c.Area = "CLS-SLH" }, want: reablement.Precondition},
		"too few visits":                      {change: func(_ *reablement.Need, c *reablement.Capacity) { c.VisitsPerDay = 2 }, want: reablement.Precondition},
		"just enough visits":                  {change: func(_ *reablement.Need, c *reablement.Capacity) { c.VisitsPerDay = 3 }},
		"held elsewhere":                      {change: func(n *reablement.Need, _ *reablement.Capacity) { *n = at(t, reablement.Held); n.CapacityID = uuid.Max }, want: reablement.Precondition},
		"held elsewhere, but that has run out": {change: func(n *reablement.Need, _ *reablement.Capacity) {
			*n = at(t, reablement.Held)
			n.CapacityID, n.HeldUntil = uuid.Max, now
		}},
		"accepted":  {change: func(n *reablement.Need, _ *reablement.Capacity) { *n = at(t, reablement.Accepted) }, want: reablement.Precondition},
		"started":   {change: func(n *reablement.Need, _ *reablement.Capacity) { *n = at(t, reablement.Started) }, want: reablement.Precondition},
		"withdrawn": {change: func(n *reablement.Need, _ *reablement.Capacity) { *n = at(t, reablement.Withdrawn) }, want: reablement.Precondition},
	} {
		t.Run(name, func(t *testing.T) {
			n, c := need(), capacity()
			if tc.change != nil {
				tc.change(&n, &c)
			}
			got, err := reablement.Hold(n, c, tc.by, hold, now)
			wantKind(t, tc.want, err)
			if err == nil && (got.Status != reablement.Held || got.CapacityID != c.ID || !got.HeldUntil.Equal(now.Add(hold))) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestHoldingAgainDoesNotMakeTheHoldLonger(t *testing.T) {
	held := at(t, reablement.Held)
	full := capacity()
	full.Used = 2
	again, err := reablement.Hold(held, full, "", hold, now.Add(time.Hour))
	if diff := cmp.Diff(held, again); err != nil || diff != "" {
		t.Errorf("%v:\n%s", err, diff)
	}
}

func TestAHoldIsAcceptedUntilItsEndAndNotFromThenOn(t *testing.T) {
	held := at(t, reablement.Held)
	for name, tc := range map[string]struct {
		n        reablement.Need
		provider string
		on       reablement.Date
		at       time.Time
		want     reablement.Kind
	}{
		"just before its end":             {held, "ACME", "2026-11-26", now.Add(hold - 1), ""},
		"at its end":                      {held, "ACME", "2026-11-26", now.Add(hold), reablement.Precondition},
		"long after":                      {held, "ACME", "2026-11-26", now.Add(240 * time.Hour), reablement.Precondition},
		"on the first day of the offer":   {held, "ACME", "2026-11-25", now, ""},
		"before the offer begins":         {held, "ACME", "2026-11-24", now, reablement.Invalid},
		"by another provider":             {held, "BRIGHT", "2026-11-26", now, reablement.NotFound},
		"never held":                      {need(), "ACME", "2026-11-26", now, reablement.Precondition},
		"withdrawn":                       {at(t, reablement.Withdrawn), "ACME", "2026-11-26", now, reablement.Precondition},
		"accepted, the same again":        {at(t, reablement.Accepted), "ACME", "2026-11-26", now.Add(240 * time.Hour), ""},
		"accepted, for another day":       {at(t, reablement.Accepted), "ACME", "2026-11-27", now, reablement.Precondition},
		"started":                         {at(t, reablement.Started), "ACME", "2026-11-26", now, reablement.Precondition},
		"accepted, by another the same":   {at(t, reablement.Accepted), "BRIGHT", "2026-11-26", now, reablement.NotFound},
		"another's hold that has run out": {held, "BRIGHT", "2026-11-26", now.Add(hold), reablement.Precondition},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := reablement.Accept(tc.n, capacity(), tc.provider, tc.on, tc.at)
			wantKind(t, tc.want, err)
			if err == nil && (got.Status != reablement.Accepted || got.StartsOn != tc.on || !got.HeldUntil.IsZero()) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestAServiceIsPlannedForSixWeeksAtMost(t *testing.T) {
	accepted := at(t, reablement.Accepted)
	for name, tc := range map[string]struct {
		n          reablement.Need
		provider   string
		start, end reablement.Date
		want       reablement.Kind
	}{
		"42 days":                                {accepted, "ACME", "2026-11-26", "2027-01-07", ""},
		"43 days":                                {accepted, "ACME", "2026-11-26", "2027-01-08", reablement.Invalid},
		"42 days over the change to winter time": {accepted, "ACME", "2026-10-01", "2026-11-12", ""},
		"43 days over the change to winter time": {accepted, "ACME", "2026-10-01", "2026-11-13", reablement.Invalid},
		"one day":                                {accepted, "ACME", "2026-11-26", "2026-11-26", ""},
		"an end before the start":                {accepted, "ACME", "2026-11-26", "2026-11-25", reablement.Invalid},
		"a start tomorrow":                       {accepted, "ACME", "2026-11-27", "2026-12-27", reablement.Invalid},
		"by another provider":                    {accepted, "BRIGHT", "2026-11-26", "2026-12-26", reablement.NotFound},
		"not accepted":                           {at(t, reablement.Held), "ACME", "2026-11-26", "2026-12-26", reablement.Precondition},
		"nothing held":                           {need(), "ACME", "2026-11-26", "2026-12-26", reablement.Precondition},
		"started, the same again":                {at(t, reablement.Started), "ACME", "2026-11-26", "2027-01-07", ""},
		"started, otherwise":                     {at(t, reablement.Started), "ACME", "2026-11-26", "2027-01-06", reablement.Precondition},
		"withdrawn":                              {at(t, reablement.Withdrawn), "ACME", "2026-11-26", "2026-12-26", reablement.Precondition},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := reablement.Start(tc.n, tc.provider, tc.start, tc.end, "2026-11-26")
			wantKind(t, tc.want, err)
			if err == nil && (got.Status != reablement.Started || got.StartsOn != tc.start || got.PlannedEnd != tc.end) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestWhatCanBePublished(t *testing.T) {
	inUse := capacity()
	inUse.Used, inUse.UsedVisits = 2, 3
	for name, tc := range map[string]struct {
		c      reablement.Capacity
		change func(*reablement.Offer)
		by     string
		want   reablement.Kind
	}{
		"a new one":                         {},
		"the same again":                    {c: inUse},
		"another area, nothing in use":      {c: capacity(), change: func(o *reablement.Offer) { o.Area = "CLS-SLH" }},
		"another area, with slots in use":   {c: inUse, change: func(o *reablement.Offer) { o.Area = "CLS-SLH" }, want: reablement.Precondition},
		"as many slots as in use":           {c: inUse, change: func(o *reablement.Offer) { o.Slots = 2 }},
		"fewer slots than in use":           {c: inUse, change: func(o *reablement.Offer) { o.Slots = 1 }, want: reablement.Precondition},
		"as many visits as needed":          {c: inUse, change: func(o *reablement.Offer) { o.VisitsPerDay = 3 }},
		"fewer visits than needed":          {c: inUse, change: func(o *reablement.Offer) { o.VisitsPerDay = 2 }, want: reablement.Precondition},
		"another provider's":                {c: capacity(), by: "BRIGHT", want: reablement.Forbidden},
		"no slots":                          {change: func(o *reablement.Offer) { o.Slots = 0 }},
		"fewer than no slots":               {change: func(o *reablement.Offer) { o.Slots = -1 }, want: reablement.Invalid},
		"a slip of the pen":                 {change: func(o *reablement.Offer) { o.Slots = reablement.MaxSlots + 1 }, want: reablement.Invalid},
		"no visits":                         {change: func(o *reablement.Offer) { o.VisitsPerDay = 0 }, want: reablement.Invalid},
		"an area in words":                  {change: func(o *reablement.Offer) { o.Area = "near the station" }, want: reablement.Invalid},
		"stale already":                     {change: func(o *reablement.Offer) { o.ValidUntil = now }, want: reablement.Invalid},
		"a provider whose key is not a key": {by: "Acme Care Ltd", want: reablement.Forbidden},
	} {
		t.Run(name, func(t *testing.T) {
			c := capacity()
			o := reablement.Offer{Area: c.Area, Slots: 3, VisitsPerDay: 4, AvailableFrom: c.AvailableFrom, ValidUntil: now.Add(time.Hour)}
			if tc.change != nil {
				tc.change(&o)
			}
			by := tc.by
			if by == "" {
				by = "ACME"
			}
			got, err := reablement.Publish(tc.c, c.ID, by, o, now)
			wantKind(t, tc.want, err)
			if err == nil && (got.Slots != o.Slots || got.Used != tc.c.Used || got.Provider != by) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestASlotIsFreeByItselfAfterTheHoldOrThePlannedLastDay(t *testing.T) {
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	summer := at(t, reablement.Started)
	summer.PlannedEnd = "2027-03-28" // the day on which summer time begins
	for name, tc := range map[string]struct {
		n    reablement.Need
		want time.Time
	}{
		"held":               {at(t, reablement.Held), now.Add(hold)},
		"started":            {at(t, reablement.Started), time.Date(2027, 1, 8, 0, 0, 0, 0, time.UTC)},
		"started, to summer": {summer, time.Date(2027, 3, 28, 23, 0, 0, 0, time.UTC)},
	} {
		if got, ok := tc.n.SlotUntil(london); !ok || !got.Equal(tc.want) {
			t.Errorf("%s: %v %v, want %v", name, got, ok, tc.want)
		}
	}
	for _, s := range []reablement.Status{reablement.Requested, reablement.Accepted, reablement.Withdrawn} {
		if got, ok := at(t, s).SlotUntil(london); ok {
			t.Errorf("%s: until %v, want none", s, got)
		}
	}
}

func TestADateIsACalendarDate(t *testing.T) {
	for _, s := range []string{"", "2026-02-29", "26-11-2026", "2026-11-26T00:00:00Z", "tomorrow"} {
		if d, err := reablement.ParseDate("from", s); err == nil {
			t.Errorf("%q was read as %s", s, d)
		}
	}
	if d, err := reablement.ParseDate("from", "2028-02-29"); err != nil || d.AddDays(1) != "2028-03-01" {
		t.Errorf("%s, %v", d, err)
	}
}

// Whatever happens to several needs that want the same capacity: never are more slots taken than there are, a need has a place exactly while
// it is held, accepted or started, and nobody gets more than six weeks.
func TestAnyCourseKeepsTheInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := capacity()
		needs := make([]reablement.Need, 5)
		ended := make([]bool, len(needs))
		for i := range needs {
			needs[i] = need()
			needs[i].SpellID[15] = byte(i)
		}
		at := now
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			at = at.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes")) * time.Minute)
			i := rapid.IntRange(0, len(needs)-1).Draw(t, "need")
			was := needs[i]
			who := rapid.SampledFrom([]string{"ACME", "BRIGHT"}).Draw(t, "provider")
			day := reablement.DateOf(at)
			next, err := was, error(nil)
			switch rapid.IntRange(0, 5).Draw(t, "command") {
			case 0:
				c.Used = 0
				for _, n := range needs {
					if n.CapacityID == c.ID {
						c.Used++
					}
				}
				next, err = reablement.Hold(was, c, "", hold, at)
			case 1:
				next, err = reablement.Accept(was, c, who, c.AvailableFrom.AddDays(rapid.IntRange(-2, 5).Draw(t, "start")), at)
			case 2:
				next, err = reablement.Start(was, who, day, day.AddDays(rapid.IntRange(-5, 60).Draw(t, "days")), day)
			case 3:
				next, err = reablement.Release(was)
			case 4:
				next = reablement.Expire(was, at)
			case 5:
				ended[i] = rapid.Bool().Draw(t, "ended")
			}
			if err == nil {
				needs[i] = reablement.Follow(next, ended[i])
			}
			taken := 0
			for j, n := range needs {
				placed := n.Status == reablement.Held || n.Status == reablement.Accepted || n.Status == reablement.Started
				if placed != (n.CapacityID != uuid.Nil) || placed != (n.Provider != "") || (n.Status == reablement.Held) == n.HeldUntil.IsZero() {
					t.Fatalf("%s with the place %+v", n.Status, n.Place)
				}
				if placed {
					taken++
				}
				if (n.Status == reablement.Withdrawn) != ended[j] {
					t.Fatalf("%s while the spell has ended: %v", n.Status, ended[j])
				}
				if n.PlannedEnd != "" && n.PlannedEnd > n.StartsOn.AddDays(reablement.LongestDays) {
					t.Fatalf("from %s to %s", n.StartsOn, n.PlannedEnd)
				}
			}
			if taken > c.Slots {
				t.Fatalf("%d slots are taken of %d", taken, c.Slots)
			}
		}
	})
}
