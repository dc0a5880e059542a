package feedcheck

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/homeward-care/homeward/services/community-pickup/pickup"
)

// Write prints the report: what there is, what the fields hold, what is odd and who can mend it, which spells would be due, and the proposal.
// At most so many spells are listed.
func (r Report) Write(out io.Writer, spells int) {
	fmt.Fprintf(out, "%d messages, read as feed %s (mapping %s)\n\n", r.Messages, r.Feed.Key, r.Feed.Mapping.Version)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Triggers\t%s\n", listed(r.Triggers, 20))
	fmt.Fprintf(w, "Versions\t%s\n", listed(r.Versions, 10))
	fmt.Fprintf(w, "Senders\t%s\n", listed(r.Senders, 6))
	fmt.Fprintf(w, "Segments end with\t%s\n", listed(r.Separators, 3))
	_ = w.Flush()
	fmt.Fprint(out, "\nWhat the fields hold\n")
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range r.Fields {
		fmt.Fprintf(w, "  %s\t%d\t%s\t%s\n", f.Path, f.Filled, f.Meaning, listed(f.Holds, 4))
	}
	_ = w.Flush()
	for _, part := range []struct {
		mend  Mend
		title string
	}{
		{MendMapping, "For the mapping"}, {MendSender, "For the hospital"}, {MendPlace, "For the place's tables, if they are wrong"}, {MendNothing, "Good to know"},
	} {
		found := r.Complaints(part.mend)
		if len(found) == 0 {
			continue
		}
		fmt.Fprintf(out, "\n%s\n", part.title)
		for _, f := range found {
			fmt.Fprintf(out, "  - %s\n", f.Text)
		}
	}
	r.writeSpells(out, spells)
	r.writeProposal(out)
}

func (r Report) writeSpells(out io.Writer, most int) {
	counts := map[string]int{}
	for _, d := range r.Spells {
		counts[d.verdict()]++
	}
	fmt.Fprintf(out, "\n%d spells ended\n", len(r.Spells))
	for _, what := range byCount(counts) {
		fmt.Fprintf(out, "  %5d  %s\n", counts[what], what)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, d := range r.Spells {
		if i == most {
			fmt.Fprintf(w, "  and %d more\n", len(r.Spells)-most)
			break
		}
		why := d.ReasonText
		if d.RouteText != "" && d.RouteText != d.ReasonText {
			why += " " + d.RouteText
		}
		if d.Error != "" {
			why = d.Error
		}
		fmt.Fprintf(w, "  %s\tleft %s\t%s\tdue %s\t%s\n", d.Reference, d.DischargedOn, d.verdict(), orDash(string(d.DueOn)), why)
	}
	_ = w.Flush()
}

// verdict is the outcome in a few words.
func (d Due) verdict() string {
	switch {
	case d.Error != "":
		return "cannot be decided"
	case d.Outcome.Outcome == pickup.PickUpDue:
		return "pick-up due, " + d.Team
	}
	return strings.ReplaceAll(string(d.Outcome.Outcome), "-", " ") + ": " + d.Reason
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (r Report) writeProposal(out io.Writer) {
	if len(r.Changes) == 0 {
		fmt.Fprint(out, "\nThe feed's file fits these messages.\n")
		return
	}
	fmt.Fprint(out, "\nProposed changes of the feed's file\n")
	for _, c := range r.Changes {
		fmt.Fprintf(out, "  - %s\n", c)
	}
	text, err := r.Proposal.File()
	if err != nil {
		fmt.Fprintf(out, "the proposal cannot be written: %v\n", err)
		return
	}
	fmt.Fprintf(out, "\n%s", text)
}
