package discharge

import (
	"testing"
	_ "time/tzdata"

	"github.com/homeward-care/homeward/services/discharge-hub/feeds"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
)

// feedNamed returns one of the shipped feeds.
func feedNamed(t testing.TB, key string) Feed {
	t.Helper()
	all, err := LoadFeeds(feeds.Files)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.Key == key {
			return f
		}
	}
	t.Fatalf("no feed %s", key)
	return Feed{}
}

// fields are what a test's message says: path and text in turn. Text is HL7 where the path is a whole field.
type fields []string

// adt builds a message about the one test person in the one test spell; the fields come on top.
func adt(kind, controlID, recorded string, more ...string) []byte {
	b := (&hl7.Builder{}).
		Set("MSH-3", "MSEPAS").Set("MSH-4", "RAJ").Set("MSH-5", "HUB").Set("MSH-6", "THURROCK").Set("MSH-7", recorded).
		SetRaw("MSH-9", "ADT^"+kind).Set("MSH-10", controlID).Set("MSH-11", "P").Set("MSH-12", "2.4").
		Set("EVN-1", kind).Set("EVN-2", recorded).
		SetRaw("PID-3", "9990000026^^^NHS^NH~1234567^^^RAJ^PI").SetRaw("PID-5", "TESTER^Ada").Set("PID-7", "19410312").
		SetRaw("PID-11", "1 EXAMPLE ROAD^^GRAYS^ESSEX^RM17 5AA^GBR^H").
		SetRaw("PD1-3", "BALFOUR MEDICAL CENTRE^^F81155^^^NHS^ODS").
		SetRaw("PV1-3", "ELM^B2^04^RAJ12").Set("PV1-19", "SPELL0001").Set("PV1-44", "20260825091500")
	for i := 0; i < len(more); i += 2 {
		b.SetRaw(more[i], more[i+1])
	}
	return b.Bytes()
}

// reading reads a message of the social-care feed.
func reading(t testing.TB, raw []byte) Reading {
	t.Helper()
	r, err := FromHL7(feedNamed(t, "mse-basildon"), raw)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// folded reads messages and folds those that can be used.
func folded(t testing.TB, messages ...[]byte) State {
	t.Helper()
	var facts []Fact
	for _, raw := range messages {
		if r := reading(t, raw); r.Usable {
			facts = append(facts, r.Fact)
		}
	}
	return Fold(facts)
}
