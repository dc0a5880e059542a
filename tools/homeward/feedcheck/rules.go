package feedcheck

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
)

// Kinds of findings by which the proposal is made.
const (
	kindSwapped      = "swapped"
	kindPractice     = "practice-place"
	kindMethods      = "unknown-methods"
	kindDestinations = "unknown-destinations"
	kindFacility     = "facility"
	kindApplication  = "application"
	kindAuthority    = "patient-authority"
	kindMode         = "mode"
)

// checkSender looks at who sends what.
func (s *sample) checkSender() {
	n := len(s.all)
	nobody := s.count(func(o opened) bool {
		return o.Header.SendingApplication == "" || !discharge.ODSCode(o.Header.SendingFacility)
	})
	s.find("sender-missing", MendSender, nobody, n, "MSH-3 is empty, or MSH-4 is no ODS code, in %s: no feed can be told by them", of(nobody, n))
	if apps := s.values(func(o opened) string { return o.Header.SendingApplication }); apps[s.feed.Application] == 0 && len(apps) > 0 {
		s.find(kindApplication, MendMapping, n, n,
			"MSH-3 is %s, and the feed expects %s: its messages would be answered AR", listed(apps, 3), s.feed.Application)
	}
	other := s.values(func(o opened) string {
		if f := o.Header.SendingFacility; !slices.Contains(s.feed.Facilities, f) && discharge.ODSCode(f) {
			return f
		}
		return ""
	})
	s.find(kindFacility, MendMapping, sum(other), n,
		"MSH-4 names facilities that the feed does not list: %s; they would be answered AR", listed(other, 6))
	not := s.values(func(o opened) string { return o.reading.NotHandled })
	s.find("not-handled", MendNothing, sum(not), n, "messages that say nothing to the hub, stored and named as such: %s", listed(not, 8))
	test := s.count(func(o opened) bool { p := strings.ToUpper(o.Header.ProcessingID); return p == "T" || p == "D" })
	switch {
	case s.feed.Mode != discharge.Live:
	case test*2 > n:
		s.find(kindMode, MendMapping, test, n, "MSH-11 is T or D in %s: this is a test system, and the feed is live", of(test, n))
	default:
		s.find("test-messages", MendSender, test, n, "MSH-11 is T or D in %s: on a live feed they are stored and never acted on", of(test, n))
	}
}

// checkControl looks at MSH-10.
func (s *sample) checkControl() {
	bodies := map[string]map[string]bool{}
	again, missing := 0, 0
	for _, o := range s.all {
		id := o.Header.ControlID
		if id == "" {
			missing++
			continue
		}
		if bodies[id] == nil {
			bodies[id] = map[string]bool{}
		}
		if bodies[id][o.raw] {
			again++
		}
		bodies[id][o.raw] = true
	}
	reused := 0
	for _, b := range bodies {
		if len(b) > 1 {
			reused++
		}
	}
	s.find("control-id-reused", MendSender, reused, len(bodies),
		"MSH-10: %s control ids stand on messages with different content: each is a message of its own here, but nobody can ask after one by it", of(reused, len(bodies)))
	s.find("control-id-missing", MendSender, missing, len(s.all), "MSH-10 is empty in %s: nobody can ask after those", of(missing, len(s.all)))
	s.find("duplicates", MendNothing, again, len(s.all),
		"%s are byte for byte the same as an earlier one: they have no second effect", of(again, len(s.all)))
}

var offset = regexp.MustCompile(`([+-]\d{4}|Z)$`)

// checkTimes looks at the times by which facts are ordered and days are counted.
func (s *sample) checkTimes() {
	n := len(s.all)
	evn2 := s.count(func(o opened) bool { return s.ours(o) && o.Field("EVN", 2).Absent() })
	s.find("evn-2-missing", MendSender, evn2, n,
		"EVN-2 is missing in %s: MSH-7 orders them, which is when they were sent, not when it was recorded", of(evn2, n))
	for _, place := range []string{"MSH-7", "EVN-2", "EVN-6", "PV1-44", "PV1-45"} {
		with := s.count(func(o opened) bool { return offset.MatchString(o.Get(place).Text()) })
		all := s.count(func(o opened) bool { return o.Get(place).Text() != "" })
		if with > 0 && with < all {
			s.find("offsets-mixed", MendSender, with, all,
				"%s has a time zone offset in %s, and none in the others: those are read as %s time", place, of(with, all), s.feed.Zone)
		} else {
			s.find("offsets", MendNothing, with, all, "%s has a time zone offset: it is heeded", place)
		}
	}
	short := s.count(func(o opened) bool {
		t, err := hl7.ParseTime(o.Get("PV1-45").Text(), s.feed.Zone)
		return o.trigger == "A03" && err == nil && t.Precision == hl7.Day
	})
	s.find("day-only", MendNothing, short, n, "PV1-45 tells only the day in %s discharges: the day counts", of(short, s.discharges()))
	none := s.count(func(o opened) bool { return o.trigger == "A03" && o.Field("PV1", 45).Absent() })
	s.find("pv1-45-missing", MendSender, none, s.discharges(),
		"PV1-45 is missing in %s discharges: they count from EVN-6, else from when they were recorded", of(none, s.discharges()))
}

func (s *sample) discharges() int {
	return s.count(func(o opened) bool { return o.trigger == "A03" })
}

// ours tells whether the hub reads the message.
func (s *sample) ours(o opened) bool { return o.reading.NotHandled == "" }

// checkStay looks at the visit number and the class.
func (s *sample) checkStay() {
	read := s.count(func(o opened) bool { return s.ours(o) && !o.reading.Fact.Kind.OfPerson() })
	lacks := func(o opened) bool {
		return s.ours(o) && !o.reading.Fact.Kind.OfPerson() && o.Field("PV1", 19, 1).Text() == ""
	}
	missing := s.values(func(o opened) string {
		if lacks(o) {
			return o.Header.Type + "^" + o.trigger
		}
		return ""
	})
	account := s.count(func(o opened) bool { return lacks(o) && o.Field("PID", 18, 1).Text() != "" })
	elsewhere := ""
	if account > 0 {
		elsewhere = fmt.Sprintf(". PID-18 holds a number in %d of them: if it is the visit's, ask for it in PV1-19", account)
	}
	s.find("visit-number-missing", MendSender, sum(missing), read,
		"PV1-19 is missing in %s: %s; those without local patient number and admission time as well need a person%s",
		of(sum(missing), read), listed(missing, 8), elsewhere)
	classes := map[string]map[string]bool{}
	for _, o := range s.all {
		if visit, class := o.Field("PV1", 19, 1).Text(), o.Field("PV1", 2).Text(); visit != "" && class != "" {
			if classes[visit] == nil {
				classes[visit] = map[string]bool{}
			}
			classes[visit][class] = true
		}
	}
	changed := 0
	for _, c := range classes {
		if c["E"] && c["I"] {
			changed++
		}
	}
	s.find("class-changes", MendNothing, changed, len(classes),
		"PV1-2 goes from E to I in %s visits: the visit number decides, not the class", of(changed, len(classes)))
}

// checkPerson looks at the numbers.
func (s *sample) checkPerson() {
	flags := map[string]int{}
	for _, o := range s.all {
		for _, f := range o.reading.Fact.Flags {
			if o.reading.Usable {
				flags[f]++
			}
		}
	}
	for _, odd := range []struct{ flag, text string }{
		{discharge.FlagNHSNumberInvalid, "PID-3: the NHS number is none (modulus 11)"},
		{discharge.FlagBirthDateUnreadable, "PID-7: the birth date cannot be read"},
		{discharge.FlagPostcodeUnreadable, "PID-11.5: the postcode cannot be read"},
		{discharge.FlagIndicatorUnreadable, "PID-30 holds neither Y nor N"},
	} {
		s.find(odd.flag, MendSender, flags[odd.flag], len(s.facts), "%s in %s", odd.text, of(flags[odd.flag], len(s.facts)))
	}
	authorities := s.values(func(o opened) string {
		for id := range o.Field("PID", 3).Repetitions() {
			if discharge.OwnNumber(id.Component(5).Text()) && s.ours(o) {
				return id.Component(4).Text()
			}
		}
		return ""
	})
	if have := authorities[s.feed.Mapping.PatientAuthority]; sum(authorities) > 0 && have == 0 {
		s.find(kindAuthority, MendMapping, sum(authorities), len(s.all),
			"PID-3.4: the hospital's own patient numbers are of %s, not of %s", listed(authorities, 3), s.feed.Mapping.PatientAuthority)
	}
}

// practiceAt tells whether a place holds a practice's code.
func practiceAt(o opened, path string) string {
	for rep := range o.Get(path).Repetitions() {
		for _, component := range []int{3, 1, 10} {
			if c := discharge.PracticeCode(rep.Component(component).Text()); c != "" {
				return c
			}
		}
	}
	return ""
}

// checkPlace looks at practices and postcodes in the place's tables.
func (s *sample) checkPlace() {
	n := s.count(s.ours)
	third := s.count(func(o opened) bool { return s.ours(o) && practiceAt(o, "PD1-3") != "" })
	fourth := s.count(func(o opened) bool { return s.ours(o) && practiceAt(o, "PD1-4") != "" })
	if first := s.feed.Mapping.Practices[0].String(); fourth > third && first != "PD1-4" || third > fourth && first == "PD1-4" {
		other := "PD1-4"
		if third > fourth {
			other = "PD1-3"
		}
		s.find(kindPractice, MendMapping, max(third, fourth), n,
			"the GP practice stands in %s, not in %s, in %s (PD1-3: %d, PD1-4: %d)", other, first, of(max(third, fourth), n), third, fourth)
	}
	neither := s.count(func(o opened) bool { return s.ours(o) && practiceAt(o, "PD1-3") == "" && practiceAt(o, "PD1-4") == "" })
	s.find("practice-missing", MendSender, neither, n, "no GP practice in PD1-3 or PD1-4 in %s: the home postcode decides the team", of(neither, n))
	unknown, not, outside := map[string]int{}, map[string]int{}, map[string]int{}
	for _, f := range s.facts {
		code := f.Practice.Value
		if _, listed := s.place.Practices[code]; code != "" && !listed {
			unknown[code]++
		}
		if why, is := s.place.NotPractices[code]; is {
			delete(unknown, code)
			not[code+", "+why]++
		}
		if sector := discharge.Sector(f.Postcode.Value); sector != "" && !strings.HasPrefix(sector, "ZZ99") && !s.within(sector) {
			outside[strings.Fields(sector)[0]]++
		}
	}
	s.find("practice-not-in-directory", MendPlace, sum(unknown), len(s.facts),
		"practices that are not in %s's directory: %s", s.place.Name, listed(unknown, 10))
	s.find("practice-not-a-gp-practice", MendPlace, sum(not), len(s.facts), "codes that are no GP practice's: %s", listed(not, 10))
	s.find("postcode-outside", MendPlace, sum(outside), len(s.facts), "home postcodes outside of %s: %s", s.place.Name, listed(outside, 10))
}

// within tells whether any row of the place's table makes a sector its own, or leaves it to the hub.
func (s *sample) within(sector string) bool {
	for _, key := range []string{sector, strings.Fields(sector)[0]} {
		if rows := s.place.Postcodes[key]; len(rows) > 0 {
			council := rows[len(rows)-1].Council
			return council == s.place.Council || council == pickup.AskHub
		}
	}
	return false
}

// checkOutcome looks at the discharge method and destination, by the feed's tables and the national codes.
func (s *sample) checkOutcome() {
	m := s.feed.Mapping
	both, swapped := 0, 0
	methods, destinations := map[string]int{}, map[string]int{}
	for _, o := range s.all {
		method, destination := s.coded(o, m.Method, m.Methods), s.coded(o, m.Destination, m.Destinations)
		if !s.ours(o) || method == "" && destination == "" {
			continue
		}
		both++
		first := discharge.Method(method) == "" && discharge.Destination(method) != ""
		second := discharge.Destination(destination) == "" && discharge.Method(destination) != ""
		if first && (second || destination == "") || second && method == "" {
			swapped++
			continue
		}
		if method != "" && discharge.Method(method) == "" && discharge.Destination(method) == "" {
			methods[method]++
		}
		if destination != "" && discharge.Destination(destination) == "" && discharge.Method(destination) == "" {
			destinations[destination]++
		}
	}
	if swapped*2 > both {
		s.find(kindSwapped, MendMapping, swapped, both, "%s and %s look swapped in %s", m.Method, shorter(m.Destination), of(swapped, both))
	} else {
		s.find("swapped-sometimes", MendNothing, swapped, both,
			"%s and %s look swapped in %s: each is read as what its codes say, and flagged", m.Method, shorter(m.Destination), of(swapped, both))
	}
	s.find(kindMethods, MendMapping, sum(methods), both, "%s holds words that are no discharge method: %s", m.Method, listed(methods, 12))
	s.find(kindDestinations, MendMapping, sum(destinations), both,
		"%s holds words that are no discharge destination: %s", m.Destination, listed(destinations, 12))
}

// shorter is a path's field alone, for a sentence that has named its segment.
func shorter(p hl7.Path) string { return strings.TrimPrefix(p.String(), p.Segment+"-") }

// coded reads a coded field as the hub does: by the table, and without a leading zero.
func (s *sample) coded(o opened, p hl7.Path, table map[string]string) string {
	text := strings.TrimSpace(o.At(p).Text())
	if national, ok := table[text]; ok {
		return national
	}
	if len(text) == 2 && text[0] == '0' {
		return text[1:]
	}
	return text
}

func sum(counts map[string]int) (n int) {
	for v := range maps.Values(counts) {
		n += v
	}
	return n
}
