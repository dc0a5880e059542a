package oracle

import (
	"slices"
	"time"
)

// Notice is a notice that must have fired, and when it was due.
type Notice struct {
	Kind  string
	DueAt time.Time
}

// Notices says which notices of a task that nobody has touched must have fired by a moment, the earliest first. Delivered is since when the
// team could take it; zero leaves out the notices that count from then.
func Notices(want Expected, delivered, now time.Time) []Notice {
	day := func(n int) time.Time { return startOf(want.DischargedAt, n) }
	var all []Notice
	switch {
	case want.Watched:
		all = []Notice{{"watch-ended", day(43)}}
	case want.Outcome == "in-another-hospital":
		for n := 7; !day(n).After(now); n += 7 {
			all = append(all, Notice{"review-other-hospital", day(n)})
		}
	case want.Outcome == "pick-up-due":
		all = []Notice{{"reminder", day(28)}, {"at-risk", day(35)}, {"overdue", want.DueAt}}
		if want.ReablementEndsAfterDueOn {
			all = append(all, Notice{"reablement-outlasts", day(28)})
		}
		if want.Contact == "allowed" {
			all = append(all, Notice{"first-contact-late", want.FirstContactBy})
		}
		if !delivered.IsZero() {
			all = append(all, Notice{"untaken-duty", afterWorkingDays(delivered, 1)}, Notice{"untaken-manager", afterWorkingDays(delivered, 2)})
		}
	}
	all = slices.DeleteFunc(all, func(n Notice) bool { return n.DueAt.After(now) })
	slices.SortStableFunc(all, func(a, b Notice) int { return a.DueAt.Compare(b.DueAt) })
	return all
}

// Delivered is between which two moments a task came to the team that has it: before the first message was sent, and after its delivery was
// seen. The closer they are, the sharper the check.
type Delivered struct{ From, To time.Time }

// CheckNotices says what is wrong with the notices of a task that nobody has touched: none may be missing, early, doubled, or without a reason.
// Now is a moment by which the sweeper has surely looked.
func CheckNotices(want Expected, got Seen, delivered Delivered, now time.Time) []string {
	d := &differences{spell: want.SpellID}
	type once struct {
		kind     string
		schedule int
		due      time.Time
	}
	fired := map[once]bool{}
	standing := map[string][]SeenNotice{}
	for _, n := range got.Notices {
		if n.FiredAt.Before(n.DueAt) {
			d.say("%s fired at %s, before it was due at %s", n.Kind, shown(n.FiredAt), shown(n.DueAt))
		}
		key := once{kind: n.Kind, schedule: n.Schedule}
		if n.Kind == "review-other-hospital" {
			key.due = n.DueAt
		}
		if fired[key] {
			d.say("%s fired twice under schedule %d", n.Kind, n.Schedule)
		}
		fired[key] = true
		if !n.Withdrawn {
			standing[n.Kind] = append(standing[n.Kind], n)
		}
	}
	d.words = append(d.words, Overlooked(want, got.Notices, delivered.To, now)...)
	if want.Reason == "died" {
		return d.words // what had fired before stays as it was
	}
	may := Notices(want, delivered.From, now.AddDate(10, 0, 0))
	for kind, list := range standing {
		if len(list) > 1 && kind != "review-other-hospital" {
			d.say("%s stands %d times", kind, len(list))
		}
		for _, n := range list {
			d.reason(want, n, got.Schedule, may, delivered)
		}
	}
	slices.Sort(d.words)
	return d.words
}

// Overlooked says which notices of a task that nobody has touched have not fired, though they were due by now. Delivered is as in [Notices].
func Overlooked(want Expected, fired []SeenNotice, delivered, now time.Time) []string {
	d := &differences{spell: want.SpellID}
	must := Notices(want, delivered, now)
	if want.Outcome == "in-another-hospital" && len(must) > 1 {
		must = must[len(must)-1:] // of several that were missed, the last
	}
	for _, n := range must {
		if !slices.ContainsFunc(fired, func(s SeenNotice) bool {
			// One review or other covers the seven days, though the day of discharge may have been corrected since.
			return s.Kind == n.Kind && !s.Withdrawn && (s.Kind != "review-other-hospital" || !s.DueAt.Before(n.DueAt))
		}) {
			d.say("%s was due at %s and had not fired by %s", n.Kind, shown(n.DueAt), shown(now))
		}
	}
	return d.words
}

// reason says where a standing notice has none. One that fired while another date was believed keeps its moment, if what it says has come true
// since: its own moment then lies later than it fired.
func (d *differences) reason(want Expected, n SeenNotice, schedule int, may []Notice, delivered Delivered) {
	review := n.Kind == "review-other-hospital"
	at := slices.IndexFunc(may, func(m Notice) bool { return m.Kind == n.Kind && (!review || m.DueAt.Equal(n.DueAt)) })
	switch {
	case review && want.Outcome == "in-another-hospital" && n.Schedule != schedule: // somebody looked then, whatever day counts now
	case n.Kind == "first-contact-late" && want.Outcome == "pick-up-due" && want.Contact == "held": // it fired before contact was held
	case at < 0:
		d.say("%s stands, though nothing of the kind was due", n.Kind)
	case n.Kind == "untaken-duty" || n.Kind == "untaken-manager":
		days := map[string]int{"untaken-duty": 1, "untaken-manager": 2}[n.Kind]
		if n.DueAt.Before(may[at].DueAt) || n.DueAt.After(afterWorkingDays(delivered.To, days)) {
			d.say("%s was due at %s, must be between %s and %s", n.Kind, shown(n.DueAt), shown(may[at].DueAt), shown(afterWorkingDays(delivered.To, days)))
		}
	case !n.DueAt.Equal(may[at].DueAt) && (n.Schedule == schedule || !n.FiredAt.Before(may[at].DueAt)):
		d.say("%s was due at %s, must be %s", n.Kind, shown(n.DueAt), shown(may[at].DueAt))
	}
}
