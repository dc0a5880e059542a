package desk

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/homeward-care/homeward/e2e/hospital"
	"github.com/homeward-care/homeward/e2e/oracle"
)

// What is kept as it was answered is told by three writes, one of them read; whatever else is kept is a violation.
func TestWhatIsKeptIsHeldAgainstWhatWasAnswered(t *testing.T) {
	now := time.Date(2026, 5, 20, 14, 0, 0, 0, oracle.London)
	for name, c := range map[string]struct {
		spoil func(d *Desk, requests []Request, resources []Resource) ([]Request, []Resource)
		wrong string
	}{
		"as it was answered": {},
		"one is not stored": {func(_ *Desk, q []Request, r []Resource) ([]Request, []Resource) { return q[1:], r },
			"is stored 0 times"},
		"one is stored twice": {func(_ *Desk, q []Request, r []Resource) ([]Request, []Resource) { return append(q, q[0]), r },
			"is stored 2 times"},
		"what was there is stored": {func(d *Desk, q []Request, r []Resource) ([]Request, []Resource) {
			d.answered[0].version = 0
			return q, r
		},
			"is stored 1 times, must be 0"},
		"a version is missing": {func(d *Desk, q []Request, r []Resource) ([]Request, []Resource) {
			d.answered[2].version = 4
			return q, r
		},
			"version 4"},
		"another version was meant": {func(d *Desk, q []Request, r []Resource) ([]Request, []Resource) {
			d.answered[2].ifVersion = 1
			return q, r
		},
			"is the 3."},
		"received before": {func(_ *Desk, q []Request, r []Resource) ([]Request, []Resource) {
			q[0].Body, q[1].Body = q[1].Body, q[0].Body
			return q, r
		},
			"counts as received"},
		"refused for nothing": {func(d *Desk, q []Request, r []Resource) ([]Request, []Resource) {
			d.refused = append(d.refused, &order{Write: oracle.Write{Type: "Encounter"}, ifVersion: 3})
			return q, r
		}, "was refused"},
		"read as another one": {func(d *Desk, q []Request, r []Resource) ([]Request, []Resource) { d.reads[0].version = 3; return q, r },
			"was read as"},
		"an older one is kept": {func(d *Desk, q []Request, r []Resource) ([]Request, []Resource) {
			r[0].Body = string(d.answered[1].Write.Body)
			return q, r
		},
			"is kept in version 3"},
		"another answer": {func(d *Desk, q []Request, r []Resource) ([]Request, []Resource) {
			d.complain("answered 200, and then 201")
			return q, r
		}, "and then 201"},
		"nothing is kept": {func(_ *Desk, q []Request, _ []Resource) ([]Request, []Resource) { return q, nil }, "is kept in version 0"},
	} {
		r := rand.New(rand.NewPCG(1, 1))
		d := New(r, oracle.NewRecord(r, 1, now))
		var requests []Request
		for n, status := range []string{"in-progress", "onleave", "finished"} {
			o := &order{Write: d.Record.Encounter(status, oracle.Subject{}, now), version: n + 1, FHIRRequest: hospital.FHIRRequest{ID: fmt.Sprint("R", n)},
				answer: hospital.FHIRAnswer{Location: "/fhir/Encounter/E"}}
			stored, err := json.Marshal(map[string]any{"received": now.Add(time.Duration(n)), "resource": json.RawMessage(o.Write.Body)})
			if err != nil {
				t.Fatal(err)
			}
			d.answered, requests = append(d.answered, o), append(requests, Request{o.ID, stored})
		}
		d.reads = []readBack{{"Encounter", strings.Replace(string(d.answered[1].Write.Body), "{", `{"id":"E","meta":{},`, 1), 2}}
		resources := []Resource{{"E", 3, string(d.answered[2].Write.Body)}}
		if c.spoil != nil {
			requests, resources = c.spoil(d, requests, resources)
		}
		told, wrong := d.Check(KeptOf(requests, resources))
		if c.wrong == "" && (len(wrong) > 0 || len(told) != 3 || told[2].Kind != "A03") || c.wrong != "" && !strings.Contains(strings.Join(wrong, "\n"), c.wrong) {
			t.Errorf("%s: %d told, wrong: %v", name, len(told), wrong)
		}
	}
}
