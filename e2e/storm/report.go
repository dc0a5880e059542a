package storm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a storm did and what was found.
type Report struct {
	Seed uint64
	// Fired is how often each kind of fault struck; a kind that never did is a violation.
	Fired map[string]int
	// Acknowledged, Resent and Refused count messages that were answered AA, tries that failed, and those of them that were answered AE.
	Acknowledged, Resent, Refused int
	// ByFHIR are those of them that were told by a FHIR message, Written those by a resource; ResentByFHIR are of both.
	ByFHIR, Written, ResentByFHIR int
	// Overtaken are the writes that were refused because another one came before.
	Overtaken     int
	Visits, Tasks int
	// Posts and Answers are what came to the webhook and to the ward, PostsAgain and AnswersAgain those that came more than once.
	Posts, PostsAgain, Answers, AnswersAgain int
	// Settled is the time from when all parts were back until everything was delivered and all services agreed.
	Settled time.Duration
	// Told is the time from then until the hospital knew it all.
	Told time.Duration
	// Longest is the longest time from the acknowledgement of a spell's last message to its delivery, LongestQuiet that of those that were
	// acknowledged when all was quiet.
	Longest, LongestQuiet time.Duration
	// Looks is how often the invariants that hold at every moment were looked at.
	Looks      int
	Violations []string
}

func (s *storm) report(ctx context.Context, quiet time.Time, settled, told time.Duration, found []string) Report {
	r := Report{Seed: s.opts.Seed, Fired: map[string]int{}, Settled: settled, Told: told, Violations: found, Looks: s.witness.looked()}
	for _, f := range s.kinds {
		r.Fired[f.kind] = s.fired[f.kind]
		if s.fired[f.kind] == 0 {
			r.Violations = append(r.Violations, fmt.Sprintf("%q never struck: make the storm longer, or leave it out", f.kind))
		}
	}
	if s.fired["disk full: tables"] > 0 && s.traffic.refused.Load() == 0 {
		r.Violations = append(r.Violations, "no sender was answered AE, though the database's disk was full")
	}
	r.Acknowledged, r.Resent, r.Refused = int(s.traffic.accepted.Load()), int(s.traffic.resent.Load()), int(s.traffic.refused.Load())
	if r.Resent == 0 {
		r.Violations = append(r.Violations, "no sender felt anything: nothing was broken")
	}
	r.ByFHIR, r.ResentByFHIR = int(s.traffic.acceptedByFHIR.Load()), int(s.traffic.resentByFHIR.Load())
	r.Written, r.Overtaken = int(s.traffic.written.Load()), int(s.traffic.overtaken.Load())
	if r.ByFHIR == 0 || r.Written == 0 || r.Overtaken == 0 || r.ResentByFHIR == 0 {
		r.Violations = append(r.Violations, "nobody felt anything at the FHIR door, or nobody met anybody there")
	}
	for _, n := range s.receivers.webhook.Posts() {
		r.Posts, r.PostsAgain = r.Posts+n, r.PostsAgain+n-1
	}
	for _, a := range s.receivers.ward.Came() {
		r.Answers, r.AnswersAgain = r.Answers+a.Times, r.AnswersAgain+a.Times-1
	}
	r.Visits = len(s.traffic.visits())
	var err error
	if r.Tasks, r.Longest, r.LongestQuiet, err = s.figures(ctx, quiet); err != nil {
		r.Violations = append(r.Violations, "the figures could not be read: "+err.Error())
	}
	return r
}

// String is the report as a table.
func (r Report) String() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	line := func(name string, value any) { fmt.Fprintf(w, "%s\t%v\n", name, value) }
	line("FAULT", "STRUCK")
	kinds, total := []string{}, 0
	for kind, n := range r.Fired {
		kinds, total = append(kinds, kind), total+n
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		line(kind, r.Fired[kind])
	}
	line("all", total)
	line("", "")
	line("messages acknowledged", r.Acknowledged)
	line("sent again", r.Resent)
	line("  of them answered AE", r.Refused)
	line("  by FHIR message, by resource, and sent again there", fmt.Sprint(r.ByFHIR, ", ", r.Written, ", ", r.ResentByFHIR))
	line("writes that were overtaken", r.Overtaken)
	line("spells", r.Visits)
	line("tasks", r.Tasks)
	line("looks at what must hold at every moment", r.Looks)
	line("longest from acknowledgement to delivered, in the storm", r.Longest.Round(time.Millisecond))
	line("longest from acknowledgement to delivered, after it", r.LongestQuiet.Round(time.Millisecond))
	line("all services agreed, after all parts were back", r.Settled.Round(100*time.Millisecond))
	line("posted to the webhook, of that again", fmt.Sprint(r.Posts, ", ", r.PostsAgain))
	line("told to the ward, of that again", fmt.Sprint(r.Answers, ", ", r.AnswersAgain))
	line("the hospital knew it all, after all parts were back", r.Told.Round(100*time.Millisecond))
	line("seed", r.Seed)
	line("violations", len(r.Violations))
	w.Flush()
	for _, v := range r.Violations {
		text.WriteString("  " + v + "\n")
	}
	return text.String()
}
