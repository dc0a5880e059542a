package feedcheck

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/tools/homeward/outcome"
)

// Mend says who can put right what a finding is about.
type Mend string

const (
	// MendMapping is put right by the feed's file; the proposal does.
	MendMapping Mend = "mapping"
	// MendSender is put right by the hospital.
	MendSender Mend = "sender"
	// MendPlace is put right in the place's tables, if it is wrong at all.
	MendPlace Mend = "place"
	// MendNothing is good to know.
	MendNothing Mend = "note"
)

// Finding is one thing that was seen.
type Finding struct {
	// Kind is its code, for instance `swapped`.
	Kind string
	Mend Mend
	Text string
	// Count of the messages, or of spells, in which it was seen, and of how many.
	Count, Of int
}

// Due is what would become of one spell.
type Due struct {
	outcome.Outcome
	Error string // why the rules could not decide
}

// Report is all that was seen.
type Report struct {
	Messages int
	Feed     discharge.Feed
	// Triggers, Versions, Senders and Separators count messages by what MSH says and how segments end.
	Triggers, Versions, Senders, Separators map[string]int
	Fields                                  []FieldUse
	Findings                                []Finding
	Spells                                  []Due
	// Proposal is the feed as it should be, and Changes why, a line for each change; without one the feed fits.
	Proposal discharge.Feed
	Changes  []string
}

// Complaints are the findings of a kind of mender.
func (r Report) Complaints(m Mend) []Finding {
	var out []Finding
	for _, f := range r.Findings {
		if f.Mend == m {
			out = append(out, f)
		}
	}
	return out
}

// sample is the messages as they were read.
type sample struct {
	feed  discharge.Feed
	place pickup.Place
	all   []opened
	facts []discharge.Fact
	r     *Report
}

// opened is a message that could be parsed.
type opened struct {
	*hl7.Message
	raw     string
	trigger string
	reading discharge.Reading
}

// Check looks at the messages as the feed's messages, in the place.
func Check(messages []Message, feed discharge.Feed, place pickup.Place) Report {
	r := Report{Messages: len(messages), Feed: feed, Triggers: map[string]int{}, Versions: map[string]int{}, Senders: map[string]int{}, Separators: map[string]int{}}
	s := sample{feed: feed, place: place, r: &r}
	unreadable := 0
	problems := map[string]int{}
	for _, m := range messages {
		parsed, err := hl7.Parse(m.Raw)
		if err != nil {
			unreadable++
			continue
		}
		o := opened{Message: parsed, raw: string(m.Raw), trigger: parsed.Header.Trigger}
		if o.trigger == "" {
			o.trigger = parsed.Field("EVN", 1).Text()
		}
		o.reading, _ = discharge.FromHL7(feed, m.Raw)
		for _, p := range o.reading.Problems {
			problems[p.Kind+" at "+p.Where]++
		}
		if o.reading.Usable {
			s.facts = append(s.facts, o.reading.Fact)
		}
		r.Triggers[parsed.Header.Type+"^"+o.trigger]++
		r.Versions[cmp.Or(parsed.Header.Version, "none")]++
		r.Senders[parsed.Header.SendingApplication+" at "+parsed.Header.SendingFacility]++
		r.Separators[separator(o.raw)]++
		s.all = append(s.all, o)
	}
	r.Fields = fieldUse(s.all, feed)
	if unreadable > 0 {
		s.find("unreadable", MendSender, unreadable, r.Messages, "%s cannot be read as HL7 v2: they would be answered AR", of(unreadable, r.Messages))
	}
	s.checkSender()
	s.checkControl()
	s.checkTimes()
	s.checkStay()
	s.checkPerson()
	s.checkPlace()
	s.checkOutcome()
	for _, what := range slices.Sorted(maps.Keys(problems)) {
		s.find("problem", MendSender, problems[what], r.Messages, "%s: %s would become exceptions for a person in the hub", what, of(problems[what], r.Messages))
	}
	r.Spells = s.due()
	r.Proposal, r.Changes = s.propose()
	return r
}

func (s *sample) find(kind string, mend Mend, count, total int, format string, args ...any) {
	if count > 0 {
		s.r.Findings = append(s.r.Findings, Finding{Kind: kind, Mend: mend, Count: count, Of: total, Text: fmt.Sprintf(format, args...)})
	}
}

// count is how many of the messages are so.
func (s *sample) count(is func(opened) bool) (n int) {
	for _, o := range s.all {
		if is(o) {
			n++
		}
	}
	return n
}

// values counts what a field holds in the messages that have it.
func (s *sample) values(value func(opened) string) map[string]int {
	found := map[string]int{}
	for _, o := range s.all {
		if v := strings.TrimSpace(value(o)); v != "" {
			found[v]++
		}
	}
	return found
}

func of(n, total int) string { return fmt.Sprintf("%d of %d", n, total) }

// listed writes counts, the most frequent first, at most so many.
func listed(counts map[string]int, most int) string {
	keys := byCount(counts)
	var parts []string
	for i, k := range keys {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(keys)-most))
			break
		}
		parts = append(parts, fmt.Sprintf("%s (%d)", k, counts[k]))
	}
	return strings.Join(parts, ", ")
}

func byCount(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}

func separator(raw string) string {
	switch {
	case strings.Contains(raw, "\r\n"):
		return "CR LF"
	case strings.Contains(strings.TrimRight(raw, "\r\n"), "\n"):
		return "LF"
	}
	return "CR"
}

// due decides every spell of the sample that ended.
func (s *sample) due() []Due {
	var all []Due
	for _, spell := range outcome.Spells(s.facts) {
		if spell.Status != discharge.Discharged {
			continue
		}
		o, err := outcome.Decide(s.place, spell)
		d := Due{Outcome: o}
		if err != nil {
			d.SpellID, d.Reference, d.Error = spell.SpellID, spell.Reference, err.Error()
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b Due) int {
		return cmp.Or(cmp.Compare(a.DischargedOn, b.DischargedOn), cmp.Compare(a.Reference, b.Reference))
	})
	return all
}
