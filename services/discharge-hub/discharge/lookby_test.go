package discharge

import (
	"testing"
	"time"
)

func TestLookBy(t *testing.T) {
	for _, c := range []struct{ name, kind, opened, want string }{
		{"urgent: within hours", NoSpellKey, "2026-09-10T09:00:00Z", "2026-09-10T13:00:00Z"},
		{"a discharge under somebody else's number", VisitNumberReused, "2026-09-10T09:00:00Z", "2026-09-10T13:00:00Z"},
		{"urgent on a Saturday night too", NoSpellKey, "2026-09-12T23:00:00Z", "2026-09-13T03:00:00Z"},
		{"the next working day", UnreadableTime, "2026-09-10T09:00:00Z", "2026-09-11T09:00:00Z"},
		{"a Friday's on Monday", UnreadableTime, "2026-09-11T09:00:00Z", "2026-09-14T09:00:00Z"},
		{"a Saturday's on Monday", UnreadableTime, "2026-09-12T09:00:00Z", "2026-09-14T09:00:00Z"},
		{"the same time of day when clocks go back", UnreadableTime, "2026-10-23T09:00:00Z", "2026-10-26T10:00:00Z"},
	} {
		opened, err := time.Parse(time.RFC3339, c.opened)
		if err != nil {
			t.Fatal(err)
		}
		if got := LookBy(c.kind, opened).Format(time.RFC3339); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestProblemIsReadBackFromItsDetail(t *testing.T) {
	p := Problem{NoSpellKey, "PV1-19", "no visit number, and not both: a local one", "Find the person. Then record the discharge by hand"}
	if got := ReadProblem(p.Kind, p.String()); got != p {
		t.Errorf("%+v was read back as %+v", p, got)
	}
	if path, ok := p.Path(); !ok || path.String() != "PV1-19" {
		t.Errorf("path %v", path)
	}
	if path, ok := FactsMissing.Path(); ok {
		t.Errorf("a problem of the database is at %v", path)
	}
}
