package fhir

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStateOfAHandover(t *testing.T) {
	at := time.Date(2026, 9, 3, 9, 0, 0, 0, time.UTC)
	due := func(change func(*Pickup)) Handover {
		p := &Pickup{Outcome: "pick-up-due", Progress: "untaken"}
		change(p)
		return Handover{Delivered: true, Pickup: p}
	}
	back := func(change func(*Pickup)) Handover {
		h := due(func(p *Pickup) { p.Outcome = "in-hospital"; change(p) })
		h.DischargeCancelled = true
		return h
	}
	undelivered := due(func(*Pickup) {})
	undelivered.Delivered = false
	for name, c := range map[string]struct {
		h    Handover
		want State
	}{
		"stored":                   {Handover{}, State{"requested", Received, ""}},
		"in hospital":              {Handover{Delivered: true, Pickup: &Pickup{Outcome: "in-hospital"}}, State{"received", Delivered, ""}},
		"newer than confirmed":     {undelivered, State{"requested", Received, ""}},
		"due":                      {due(func(*Pickup) {}), State{"received", Delivered, ""}},
		"taken":                    {due(func(p *Pickup) { p.TakenAt = at }), State{"accepted", Taken, ""}},
		"first contact":            {due(func(p *Pickup) { p.TakenAt, p.FirstContactAt = at, at }), State{"in-progress", FirstContact, ""}},
		"visit booked":             {due(func(p *Pickup) { p.TakenAt, p.FirstContactAt, p.VisitOn = at, at, "2026-09-10" }), State{"in-progress", VisitBooked, ""}},
		"visit booked, no contact": {due(func(p *Pickup) { p.TakenAt, p.VisitOn = at, "2026-09-10" }), State{"in-progress", VisitBooked, ""}},
		"visit booked, held":       {due(func(p *Pickup) { p.TakenAt, p.VisitOn, p.ContactHeld = at, "2026-09-10", true }), State{"on-hold", VisitBooked, "contact-held"}},
		"visit booked, back in":    {back(func(p *Pickup) { p.VisitOn = "2026-09-10" }), State{"on-hold", Delivered, "discharge-cancelled"}},
		"assessed after a visit":   {due(func(p *Pickup) { p.TakenAt, p.VisitOn, p.Ending = at, "2026-09-10", "assessed" }), State{"completed", Assessed, "assessed"}},
		"assessed":                 {due(func(p *Pickup) { p.TakenAt, p.Ending, p.Met = at, "assessed", true }), State{"completed", Assessed, "assessed"}},
		"declined":                 {due(func(p *Pickup) { p.TakenAt, p.Ending = at, "declined" }), State{"cancelled", Closed, "declined"}},
		"contact held":             {due(func(p *Pickup) { p.TakenAt, p.ContactHeld = at, true }), State{"on-hold", Taken, "contact-held"}},
		"discharge cancelled":      {back(func(*Pickup) {}), State{"on-hold", Delivered, "discharge-cancelled"}},
		"elsewhere":                {due(func(p *Pickup) { p.Outcome = "in-another-hospital" }), State{"on-hold", InAnotherHospital, ""}},
		"not due":                  {due(func(p *Pickup) { p.Outcome, p.Reason = "not-due", "died" }), State{"rejected", NoPickUpDue, "died"}},
		"died, newer unconfirmed":  {Handover{Pickup: &Pickup{Outcome: "not-due", Reason: "died", TakenAt: at, VisitOn: "2026-09-10"}}, State{"requested", Received, ""}},
		"no such stay, whatever":   {Handover{Voided: true, Delivered: true, Pickup: &Pickup{Outcome: "not-due"}}, State{"cancelled", Cancelled, ""}},
		"taken, newer unconfirmed": {Handover{Pickup: &Pickup{Outcome: "pick-up-due", TakenAt: at}}, State{"accepted", Taken, ""}},
	} {
		if diff := cmp.Diff(c.want, c.h.State()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestATaskHoldsIDsOnly(t *testing.T) {
	h := Handover{SpellID: "5c7a0a3e-3c0b-5d0e-9a55-4b1f6c1c7a11", Reference: "HW-7K3M-9QPD", Provider: "RAJ", VisitNumber: "SPELL0001", Delivered: true,
		Pickup: &Pickup{Outcome: "pick-up-due", Team: "CLS-GRAYS", DueAt: received, TakenAt: received}}
	raw, err := json.MarshalIndent(h.Task(Version{3, received, received}, "urn:visit"), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	var task map[string]any
	if err := json.Unmarshal(raw, &task); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range task {
		names = append(names, name)
	}
	if _, told := task["for"]; told || len(names) != 16 {
		t.Errorf("%d members: %v\n%s", len(names), names, raw)
	}
}
