package feedcheck

import (
	"strconv"
	"strings"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
)

// FieldUse is what one field that the hub reads holds in the sample.
type FieldUse struct {
	Path, Meaning string
	Filled        int
	// Holds counts what is there by its kind: a practice code, a time, a number, words.
	Holds map[string]int
}

// Field is one field that the hub reads, with what it takes it for.
type Field struct{ Path, Meaning string }

// ReadFields are the fields that the hub reads, in the order of a message, with what it takes them for.
func ReadFields(f discharge.Feed) []Field {
	fields := []Field{
		{"MSH-3", "sending application: which feed"}, {"MSH-4", "sending facility: which feed"}, {"MSH-7", "when it was sent"},
		{"MSH-9", "type and trigger"}, {"MSH-10", "control id"}, {"MSH-11", "P, or T and D for tests"},
		{"MSH-15", "whether to answer when it is stored"}, {"MSH-16", "the same, if MSH-15 asks for none"}, {"MSH-18", "character set"},
		{"EVN-2", "when it was recorded: orders everything"}, {"EVN-3", "expected discharge, in an A16"}, {"EVN-6", "when it took effect"},
		{"PID-3", "NHS number and the hospital's own number"}, {"PID-5", "name"}, {"PID-7", "birth date"}, {"PID-11.5", "home postcode"},
		{"PID-29", "time of death"}, {"PID-30", "death indicator"},
		{"PID-32", "how sure the NHS number is"},
		{"PD1-3", "GP practice"}, {"PD1-4", "GP practice, second place"},
		{"PV1-2", "class: whether somebody has a bed"}, {"PV1-3.1", "ward"}, {"PV1-3.4", "site"}, {"PV1-19.1", "visit number: the key of the spell"},
		{f.Mapping.Method.String(), "discharge method"}, {f.Mapping.Destination.String(), "discharge destination"},
		{"PV1-44", "admitted"}, {"PV1-45", "discharged"}, {"PV2-9", "expected discharge"},
		{"MRG-1", "patient number that is merged away"}, {"MRG-5", "visit number before"},
	}
	if p := f.Mapping.Pathway; p.Segment != "" {
		fields = append(fields, Field{p.String(), "discharge-to-assess pathway"})
	}
	return fields
}

func fieldUse(all []opened, f discharge.Feed) []FieldUse {
	var uses []FieldUse
	for _, field := range ReadFields(f) {
		p, err := hl7.ParsePath(field.Path)
		if err != nil {
			continue
		}
		u := FieldUse{Path: field.Path, Meaning: field.Meaning, Holds: map[string]int{}}
		for _, o := range all {
			if at := o.At(p); !at.Absent() {
				u.Filled++
				u.Holds[looksLike(o, field.Path, at)]++
			}
		}
		uses = append(uses, u)
	}
	return uses
}

// looksLike names the kind of what a field holds; short codes of closed lists are named themselves, for they identify nobody.
func looksLike(o opened, path string, f hl7.Field) string {
	text := strings.TrimSpace(f.Text())
	switch {
	case f.Null():
		return `""`
	case strings.HasPrefix(path, "PD1"):
		if practiceAt(o, path) != "" {
			return "a practice's code"
		}
		return "no practice's code"
	case path == "MSH-9" || path == "MSH-11" || path == "PV1-2" || path == "PID-30" || path == "MSH-3" || path == "MSH-4":
		if len(text) <= 12 {
			return text
		}
		return "words"
	case path == "PID-11.5":
		if discharge.Sector(discharge.NormalPostcode(text)) != "" {
			return "a postcode"
		}
		return "no postcode"
	case path == "PID-3":
		return countRepetitions(f)
	}
	if _, err := strconv.Atoi(text); err == nil && len(text) <= 2 {
		return "a code of one or two digits"
	}
	if len(text) >= 8 && madeOf(text, "+-.Z") {
		return "a number or time of " + strconv.Itoa(len(text)) + " characters"
	}
	if madeOf(text, "") {
		return "a number"
	}
	if strings.ContainsAny(text, " ") {
		return "words"
	}
	return "a code or a word"
}

func countRepetitions(f hl7.Field) string {
	n := 0
	for range f.Repetitions() {
		n++
	}
	return strconv.Itoa(n) + " numbers"
}

// madeOf tells whether a text has digits and those characters only.
func madeOf(text, others string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && !strings.ContainsRune(others, r) }) < 0
}
