// Package reablement decides about people who need reablement and providers who have room for them.
//
//	requested ──hold──▶ held ──accept──▶ accepted ──start──▶ started
//	    ▲                │                   │
//	    └── expire ──────┴──── release ──────┘
//
// Wherever it stands, a need is withdrawn while its spell is voided or the person has died; a correction makes it requested again. A need
// has a slot of its capacity from the hold until it is released, expired or withdrawn, or the planned end has passed. Every function
// is pure.
package reablement

import (
	"time"

	"github.com/google/uuid"
)

// LongestDays is how long reablement is free of charge and so how long an episode can be planned at most: six weeks from the start of
// the service (SI 2014/2673, regulation 4). It is another clock than the six weeks of the pick-up.
const LongestDays = 42

// Status is how far a need is met.
type Status string

// The statuses of a need.
const (
	Requested Status = "requested"
	Held      Status = "held"
	Accepted  Status = "accepted"
	Started   Status = "started"
	Withdrawn Status = "withdrawn"
)

// Need is a person's need of reablement; there is one for each spell.
type Need struct {
	SpellID      uuid.UUID
	Status       Status
	Area         string // key, the CLS team's
	VisitsPerDay int
	WantedFrom   Date
	RequestedAt  time.Time
	Place
}

// Place is what a need has of a provider; zero while it has nothing.
type Place struct {
	Provider   string
	CapacityID uuid.UUID
	HeldUntil  time.Time // of a hold
	StartsOn   Date      // of what is accepted or started
	PlannedEnd Date      // of what is started
}

// NewNeed states that a person needs reablement.
func NewNeed(spell uuid.UUID, area string, visitsPerDay int, wantedFrom Date, now time.Time) (Need, error) {
	switch {
	case !IsKey(area):
		return Need{}, refuse(Invalid, "area", "is %q; give the key of an area, for instance CLS-GRAYS", area)
	case visitsPerDay < 1 || visitsPerDay > MaxVisitsPerDay:
		return Need{}, refuse(Invalid, "visits_per_day", "is %d; give 1 to %d", visitsPerDay, MaxVisitsPerDay)
	}
	return Need{SpellID: spell, Status: Requested, Area: area, VisitsPerDay: visitsPerDay, WantedFrom: wantedFrom, RequestedAt: now}, nil
}

// Expire makes a need requested again whose hold has run out.
func Expire(n Need, now time.Time) Need {
	if n.Status == Held && !now.Before(n.HeldUntil) {
		n.Status, n.Place = Requested, Place{}
	}
	return n
}

// Hold takes a slot for a person until the hold runs out. A provider who pulls somebody names itself in by, and can do so for its own offers
// only; for the hub, by is empty. The same hold again has no second effect, and is not longer. Precondition when no slot is free, the
// offer is stale or does not fit, or the need is not waiting; NotFound when the offer is another provider's.
func Hold(n Need, c Capacity, by string, holdFor time.Duration, now time.Time) (Need, error) {
	n = Expire(n, now)
	switch {
	case by != "" && by != c.Provider:
		return n, NoSuchCapacity
	case n.Status == Held && n.CapacityID == c.ID:
		return n, nil
	case n.Status != Requested:
		return n, refuse(Precondition, "", "the need is %s; only a requested one can be held", n.Status)
	case c.Stale(now):
		return n, refuse(Precondition, "", "the offer is stale; the provider has to confirm it by publishing it again")
	case c.Area != n.Area:
		return n, refuse(Precondition, "", "the offer is for %s and the need is in %s; find capacity for the need's area", c.Area, n.Area)
	case c.VisitsPerDay < n.VisitsPerDay:
		return n, refuse(Precondition, "", "the offer is for %d visits a day and the need for %d; find capacity for as many", c.VisitsPerDay, n.VisitsPerDay)
	case c.Free() < 1:
		return n, refuse(Precondition, "", "no slot is free; find other capacity")
	}
	n.Status, n.Place = Held, Place{Provider: c.Provider, CapacityID: c.ID, HeldUntil: now.Add(holdFor)}
	return n, nil
}

// Accept makes a held slot the person's, from a day. The same again has no second effect. Precondition once the hold has run out, whether or
// not anybody has cleared it away; NotFound when the hold is with another provider.
func Accept(n Need, c Capacity, provider string, startsOn Date, now time.Time) (Need, error) {
	n = Expire(n, now)
	switch {
	case n.Status == Requested || n.Status == Withdrawn:
		return n, refuse(Precondition, "", "nothing is held for this person: the hold has run out or was given back; hold a slot again")
	case n.Provider != provider:
		return n, notYours
	case n.Status == Accepted && n.StartsOn == startsOn:
		return n, nil
	case n.Status != Held:
		return n, refuse(Precondition, "", "the need is %s from %s; only a held one can be accepted", n.Status, n.StartsOn)
	case startsOn < c.AvailableFrom:
		return n, refuse(Invalid, "starts_on", "is %s, but the offer is available from %s; give that day or a later one", startsOn, c.AvailableFrom)
	}
	n.Status, n.StartsOn, n.HeldUntil = Accepted, startsOn, time.Time{}
	return n, nil
}

// Refusals that tell a provider no more than that there is nothing of its own.
var (
	notYours       = refuse(NotFound, "", "no slot of yours is held for this person")
	NoSuchCapacity = refuse(NotFound, "capacity_id", "there is no such capacity that you may hold; find capacity again")
)

// Start starts the service and its clock of six weeks. The same again has no second effect. today is the calendar date where the person
// lives. Invalid when the service would be planned for longer than LongestDays.
func Start(n Need, provider string, startedOn, plannedEnd, today Date) (Need, error) {
	switch {
	case n.Status == Requested || n.Status == Withdrawn:
		return n, refuse(Precondition, "", "the need is %s; hold and accept a slot first", n.Status)
	case n.Provider != provider:
		return n, notYours
	case n.Status == Started && n.StartsOn == startedOn && n.PlannedEnd == plannedEnd:
		return n, nil
	case n.Status != Accepted:
		return n, refuse(Precondition, "", "the need is %s; only an accepted one can be started", n.Status)
	case startedOn > today:
		return n, refuse(Invalid, "started_on", "is %s, which is not yet; say so when the service has started", startedOn)
	case plannedEnd < startedOn:
		return n, refuse(Invalid, "planned_end_on", "is %s, before the start on %s", plannedEnd, startedOn)
	case plannedEnd > startedOn.AddDays(LongestDays):
		return n, refuse(Invalid, "planned_end_on", "is %s, more than %d days after the start; give %s or an earlier day (SI 2014/2673, regulation 4)",
			plannedEnd, LongestDays, startedOn.AddDays(LongestDays))
	}
	n.Status, n.StartsOn, n.PlannedEnd = Started, startedOn, plannedEnd
	return n, nil
}

// Release gives a held or accepted slot back; a need that has none stays as it is. Precondition once the service has started.
func Release(n Need) (Need, error) {
	switch n.Status {
	case Held, Accepted:
		n.Status, n.Place = Requested, Place{}
	case Started:
		return n, refuse(Precondition, "", "the service started on %s; only a held or accepted slot can be given back", n.StartsOn)
	}
	return n, nil
}

// Follow derives what depends on the spell: a need is withdrawn while the spell is voided or the person has died. When that is corrected
// it is requested again, without the slot, which may be somebody else's by then.
func Follow(n Need, spellEnded bool) Need {
	switch {
	case spellEnded && n.Status != Withdrawn:
		n.Status, n.Place = Withdrawn, Place{}
	case !spellEnded && n.Status == Withdrawn:
		n.Status = Requested
	}
	return n
}

// SlotUntil is the moment from which the slot of a need is free without anybody saying so: the end of a hold, or of the planned last day
// of a service. An accepted slot has none: ok is false.
func (n Need) SlotUntil(zone *time.Location) (until time.Time, ok bool) {
	switch n.Status {
	case Held:
		return n.HeldUntil, true
	case Started:
		return n.PlannedEnd.End(zone), true
	}
	return time.Time{}, false
}
