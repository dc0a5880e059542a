package fhir

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// emitted is an example of everything that the door writes. tools/build/fhir has another implementation of FHIR read the files.
func emitted(t *testing.T) map[string]any {
	at := time.Date(2026, 9, 3, 9, 0, 0, 0, time.UTC)
	due := Handover{SpellID: "5c7a0a3e-3c0b-5d0e-9a55-4b1f6c1c7a11", Reference: "HW-7K3M-9QPD", Provider: "RAJ", VisitNumber: "SPELL0001", Delivered: true}
	with := func(p *Pickup) any {
		h := due
		h.Pickup = p
		return h.Task(Version{3, at, received}, "https://fhir.example.nhs.uk/RAJ/visit-number")
	}
	s := Server{Base: "https://homeward.example/fhir", TokenURL: "https://homeward.example/oauth2/token"}
	for _, o := range []struct {
		typ, interaction string
		conditional      bool
	}{{"", "process-message", false}, {Encounter, "create", false}, {Encounter, "update", true}, {Encounter, "read", false}, {Encounter, "search-type", false}, {"Task", "search-type", false}, {"Task", "deliveries", false}} {
		s.Offer(o.typ, o.interaction, o.conditional)
	}
	done := with(&Pickup{Outcome: "pick-up-due", Team: "CLS-GRAYS", DueAt: at, TakenAt: at, FirstContactAt: at, PickedUpAt: at, CompletedAt: at, Ending: "assessed", Met: true})
	read, err := WithMeta([]byte(stay("finished", leftAt, `"extension":[`+planned+`,`+criteria+`]`)), due.SpellID, 2, at)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"task-received":   Handover{SpellID: due.SpellID, Reference: due.Reference, Provider: "RAJ"}.Task(Version{1, at, at}, ""),
		"task-taken":      with(&Pickup{Outcome: "pick-up-due", Team: "CLS-GRAYS", DueAt: at, TakenAt: at}),
		"task-visit-day":  with(&Pickup{Outcome: "pick-up-due", Team: "CLS-GRAYS", DueAt: at, TakenAt: at, FirstContactAt: at, PickedUpAt: at, VisitOn: "2026-09-10"}),
		"task-visit-time": with(&Pickup{Outcome: "pick-up-due", Team: "CLS-GRAYS", DueAt: at, TakenAt: at, VisitOn: "2026-09-10", VisitAt: at.AddDate(0, 0, 7)}),
		"task-held":       with(&Pickup{Outcome: "pick-up-due", Team: "CLS-GRAYS", ContactHeld: true}),
		"task-assessed":   done, "task-not-due": with(&Pickup{Outcome: "not-due", Reason: "died"}),
		"task-elsewhere": with(&Pickup{Outcome: "in-another-hospital", Team: "HUB"}),
		"task-declined":  with(&Pickup{Outcome: "pick-up-due", TakenAt: at, CompletedAt: at, Ending: "declined"}),
		"page": Found([]any{done}, nil, func(id string) string { return "https://homeward.example/fhir/Task/" + id },
			"https://homeward.example/fhir/Task?_count=1", "https://homeward.example/fhir/Task?_count=1&page=x"),
		"page-empty":  Found(nil, []Issue{{Severity: Warning, Code: NotSupported, Diagnostics: "left out"}}, nil, "https://homeward.example/fhir/Task", ""),
		"outcome":     Outcome(Issue{Error, Required, "REC_UNPROCESSABLE_ENTITY", "is missing", "Encounter.period.end"}, Issue{Severity: Information, Code: Informative, Diagnostics: "stored"}),
		"answer":      Answer("r1", "m1", at, TaskID(due.SpellID), []Issue{{Severity: Information, Code: Informative, Diagnostics: "stored"}}),
		"deliveries":  Deliveries([]Attempt{{2, at, 204, ""}, {2, at, 0, "connection refused"}}),
		"metadata":    s.CapabilityStatement(),
		"encounter":   read,
		"outcome-all": Outcome(allCodes()...),
	}
}

// allCodes has an issue of every code that the door uses.
func allCodes() (list []Issue) {
	for _, c := range []Code{Structure, Required, Value, Invariant, NotSupported, Informative, "login", "forbidden", "not-found", "conflict", "duplicate", "too-long", "timeout", "transient", "throttled"} {
		list = append(list, Issue{Severity: Error, Code: c, Diagnostics: string(c)})
	}
	return list
}

// With HOMEWARD_GOLDEN=1 the files are written instead.
func TestWhatIsEmittedIsWhatIsWitnessed(t *testing.T) {
	for name, resource := range emitted(t) {
		got, err := json.MarshalIndent(resource, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		file := filepath.Join("testdata", "emitted", name+".json")
		if os.Getenv("HOMEWARD_GOLDEN") != "" {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(want, got) {
			t.Errorf("%s: %v; run with HOMEWARD_GOLDEN=1, and look at the difference:\n%s", file, err, got)
		}
	}
}
