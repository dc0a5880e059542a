package hl7

import (
	"testing"
	"time"
	_ "time/tzdata"
)

func TestTimes(t *testing.T) {
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	for in, c := range map[string]struct {
		want      string
		precision Precision
	}{
		"2026":                  {"2026-01-01T00:00:00Z", Year},
		"202609":                {"2026-08-31T23:00:00Z", Month},
		"20260902":              {"2026-09-01T23:00:00Z", Day},
		"2026090214":            {"2026-09-02T13:00:00Z", Hour},
		"202609021425":          {"2026-09-02T13:25:00Z", Minute},
		"20260902142530":        {"2026-09-02T13:25:30Z", Second},
		"20260902142530.25":     {"2026-09-02T13:25:30.25Z", Second},
		"20260902142530.1234":   {"2026-09-02T13:25:30.1234Z", Second},
		"20260902142530+0000":   {"2026-09-02T14:25:30Z", Second},
		"202609021425-0130":     {"2026-09-02T15:55:00Z", Minute},
		"20260902142530.5+0100": {"2026-09-02T13:25:30.5Z", Second},
		"20260902142530Z":       {"2026-09-02T14:25:30Z", Second},
		"20260902142530.25Z":    {"2026-09-02T14:25:30.25Z", Second},
		"202609021425Z":         {"2026-09-02T14:25:00Z", Minute},
		"20261225120000":        {"2026-12-25T12:00:00Z", Second},
		"20261025003000":        {"2026-10-24T23:30:00Z", Second}, // before the clocks go back
		"20261025013000":        {"2026-10-25T00:30:00Z", Second}, // comes twice: the first
		"20261025013000+0000":   {"2026-10-25T01:30:00Z", Second}, // the second, told by its offset
		"20261025020000":        {"2026-10-25T02:00:00Z", Second},
		"20260329005959":        {"2026-03-29T00:59:59Z", Second},
		"20260329013000":        {"2026-03-29T01:30:00Z", Second}, // never comes: half an hour behind the change
		"20260329020000":        {"2026-03-29T01:00:00Z", Second},
		"20240229000000":        {"2024-02-29T00:00:00Z", Second},
	} {
		got, err := ParseTime(in, london)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if s := got.Format(time.RFC3339Nano); s != c.want || got.Precision != c.precision {
			t.Errorf("%s = %s to precision %d, want %s to %d", in, s, got.Precision, c.want, c.precision)
		}
	}
	for _, in := range []string{"", "20", "20261", "20261301", "20260230", "20260902246000", "2026-09-02", "02/09/2026", "20260902142", "2026090214.5", "20260902142530+01", "20260902142530+9900", "20260902142530.", "0000", "tomorrow", "Z", "20260902142530+0100Z", "20260902142530ZZ", "20260902142530z"} {
		if got, err := ParseTime(in, london); err == nil {
			t.Errorf("%q was read as %v", in, got)
		}
	}
}

func TestATimeThatComesTwiceHasASecondMoment(t *testing.T) {
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"20261025005959": "", "20261025010000": "2026-10-25T01:00:00Z", "2026102501": "2026-10-25T01:00:00Z", "20261025015959": "2026-10-25T01:59:59Z",
		"20261025020000": "", "20261025013000+0100": "", "20261025013000Z": "", "20261025": "", "20260329013000": "", "20260902013000": "",
	} {
		got, err := ParseTime(in, time.FixedZone("", 0))
		if err != nil || !got.Again.IsZero() {
			t.Errorf("%s, where clocks never change: %v, %v", in, got.Again, err)
		}
		if got, err = ParseTime(in, london); err != nil || got.Again.IsZero() != (want == "") || want != "" && got.Again.Format(time.RFC3339) != want {
			t.Errorf("%s: %v, %v, want %s", in, got.Again, err, want)
		}
	}
}
