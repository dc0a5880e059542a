package feedcheck

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
)

// guess is a word in a local text and the national code that it points to; the first that matches counts.
type guess struct{ word, code string }

var methodGuesses = []guess{
	{"still", "5"}, {"relative", "7"}, {"advocate", "7"}, {"family", "7"}, {"self", "6"}, {"own", "6"}, {"dama", "6"}, {"against", "6"},
	{"tribunal", "3"}, {"court", "3"}, {"clinical", "1"}, {"consent", "1"}, {"medical", "1"}, {"normal", "1"}, {"routine", "1"}, {"home", "1"},
}

var destinationGuesses = []guess{
	{"mortuary", "79"},
	{"hospice", "88"}, {"nhs care home", "54"}, {"care home", "85"}, {"nursing", "85"}, {"residential", "65"}, {"temp", "29"}, {"relative", "29"},
	{"hotel", "29"}, {"prison", "38"}, {"police", "38"}, {"court", "37"}, {"mental", "53"}, {"private", "87"}, {"hosp", "51"}, {"ward", "51"},
	{"usual", "19"}, {"home", "19"}, {"own", "19"}, {"upr", "19"},
}

// propose is the feed that fits the messages, with a line for each change. A change that a person has to confirm says so.
func (s *sample) propose() (discharge.Feed, []string) {
	f := s.feed
	f.Facilities = slices.Clone(f.Facilities)
	m := &f.Mapping
	var changes []string
	change := func(format string, args ...any) { changes = append(changes, fmt.Sprintf(format, args...)) }
	for _, found := range s.r.Complaints(MendMapping) {
		switch found.Kind {
		case kindApplication:
			f.Application = byCount(s.values(func(o opened) string { return o.Header.SendingApplication }))[0]
			change("application: %s, as MSH-3 has it", f.Application)
		case kindFacility:
			for _, name := range byCount(s.values(func(o opened) string { return o.Header.SendingFacility })) {
				if !slices.Contains(f.Facilities, name) && discharge.ODSCode(name) {
					f.Facilities = append(f.Facilities, name)
					change("facilities: %s added. Check that it is the sender's", name)
				}
			}
		case kindMode:
			f.Mode = discharge.Test
			change("mode: test, as MSH-11 has it. The live system needs a feed of its own")
		case kindAuthority:
			counts := s.values(func(o opened) string {
				for id := range o.Field("PID", 3).Repetitions() {
					if discharge.OwnNumber(id.Component(5).Text()) {
						return id.Component(4).Text()
					}
				}
				return ""
			})
			m.PatientAuthority = byCount(counts)[0]
			change("mapping.patient_authority: %s, as PID-3.4 has it", m.PatientAuthority)
		case kindPractice:
			third, fourth := hl7.Path{Segment: "PD1", Field: 3}, hl7.Path{Segment: "PD1", Field: 4}
			m.Practices = []hl7.Path{fourth, third}
			if s.feed.Mapping.Practices[0] == fourth {
				m.Practices = []hl7.Path{third, fourth}
			}
			change("mapping.practices: %s first", m.Practices[0])
		case kindVisit:
			m.Visit = accountNumber
			change("mapping.visit: %s. Check that it is another number for each stay", m.Visit)
		case kindSwapped:
			m.Method, m.Destination = m.Destination, m.Method
			change("mapping.method and mapping.destination: exchanged, so that the method is read from %s", m.Method)
		}
	}
	methods, destinations := s.unknown(*m)
	m.Methods = extended(m.Methods, methods, methodGuesses, "4", "9", "method", discharge.Method, change)
	m.Destinations = extended(m.Destinations, destinations, destinationGuesses, "79", "99", "destination", discharge.Destination, change)
	if len(changes) > 0 {
		m.Version += "-proposed"
	}
	return f, changes
}

// unknown are the words that neither the tables nor the national codes know, by the mapping as it is proposed.
func (s *sample) unknown(m discharge.Mapping) (methods, destinations []string) {
	seenM, seenD := map[string]int{}, map[string]int{}
	for _, o := range s.all {
		if !s.ours(o) {
			continue
		}
		method, destination := s.coded(o, m.Method, m.Methods), s.coded(o, m.Destination, m.Destinations)
		if method != "" && discharge.Method(method) == "" && discharge.Destination(method) == "" {
			seenM[method]++
		}
		if destination != "" && discharge.Destination(destination) == "" && discharge.Method(destination) == "" {
			seenD[destination]++
		}
	}
	return byCount(seenM), byCount(seenD)
}

// extended is a table with a national code for each of the words. Where no word in it is known, it is the code for "not known": a person has
// to say what it means.
func extended(table map[string]string, words []string, guesses []guess, died, notKnown, what string,
	text func(string) string, change func(string, ...any)) map[string]string {
	if len(words) == 0 {
		return table
	}
	out := map[string]string{}
	maps.Copy(out, table)
	for _, w := range words {
		code, sure := notKnown, false
		if discharge.SpeaksOfDeath(w) {
			code, sure = died, true
		}
		for _, g := range guesses {
			if !sure && strings.Contains(strings.ToLower(w), g.word) {
				code, sure = g.code, true
			}
		}
		out[w] = code
		if sure {
			change("mapping.%ss: %q is %s, %s. Check with the hospital", what, w, code, text(code))
		} else {
			change("mapping.%ss: %q is %s, %s, because nothing in it tells. Ask the hospital what it means", what, w, code, text(code))
		}
	}
	return out
}

// Draft is a first feed for messages of a sender of whom nothing is known yet: who it is by what most messages say, everything else as usual.
func Draft(messages []Message, key string, scope discharge.Scope, zone string) (discharge.Feed, error) {
	apps, facilities := map[string]int{}, map[string]int{}
	for _, m := range messages {
		if h, err := hl7.ParseHeader(m.Raw); err == nil && h.SendingApplication != "" && discharge.ODSCode(h.SendingFacility) {
			apps[h.SendingApplication]++
			facilities[h.SendingFacility]++
		}
	}
	if len(apps) == 0 {
		return discharge.Feed{}, fmt.Errorf("no message names its sender in MSH-3 and MSH-4: give a feed file")
	}
	list := byCount(facilities)
	provider := list[0]
	if len(provider) == 5 {
		provider = provider[:3] // a site of the organisation
	}
	text := fmt.Sprintf(`{"key":%q,"door":"mllp","application":%q,"facilities":["%s"],"provider":%q,"scope":%q,
		"time_zone":%q,"mode":"live","mapping":{"version":"1"}}`,
		key, byCount(apps)[0], strings.Join(list, `","`), provider, scope, zone)
	f, err := discharge.ParseFeed("draft", []byte(text))
	if err != nil {
		return f, fmt.Errorf("no feed can be drafted from these messages, give a feed file: %w", err)
	}
	return f, nil
}
