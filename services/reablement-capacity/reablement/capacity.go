package reablement

import (
	"regexp"
	"time"

	"github.com/google/uuid"
)

// Limits that catch a slip of the pen (design: local promise).
const (
	MaxSlots        = 1000
	MaxVisitsPerDay = 12
)

// key is what an area or provider is called: a code, never a name with spaces.
var key = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,39}$`)

// IsKey reports whether a string can be the key of an area or provider.
func IsKey(s string) bool { return key.MatchString(s) }

// Capacity is what a provider offers in an area.
type Capacity struct {
	ID       uuid.UUID
	Provider string // key
	Area     string // key, the CLS team's
	// Slots is how many people the provider can have at once; Used is how many of these places are held, accepted or started.
	Slots, Used int
	// VisitsPerDay is the most that one person can have; UsedVisits is the most that somebody who has a slot needs.
	VisitsPerDay, UsedVisits int
	AvailableFrom            Date
	// ValidUntil is the moment from which the offer is stale: nobody has confirmed that it still holds.
	ValidUntil time.Time
}

// Free is how many people can still be taken.
func (c Capacity) Free() int { return c.Slots - c.Used }

// Stale reports whether the offer may no longer be held.
func (c Capacity) Stale(now time.Time) bool { return !now.Before(c.ValidUntil) }

// Offer is what a provider publishes.
type Offer struct {
	Area          string
	Slots         int
	VisitsPerDay  int
	AvailableFrom Date
	ValidUntil    time.Time
}

// Publish states what a provider offers, and replaces what it stated before. It never goes below what is in use: no fewer slots or visits,
// and no other area while somebody has a slot. Forbidden when the id is another provider's.
func Publish(c Capacity, id uuid.UUID, provider string, o Offer, now time.Time) (Capacity, error) {
	switch {
	case c.Provider != "" && c.Provider != provider:
		return c, refuse(Forbidden, "", "the capacity id belongs to another provider; choose a new one")
	case !IsKey(provider):
		return c, refuse(Forbidden, "", "the provider of the token is not a key of letters, digits and hyphens")
	case !IsKey(o.Area):
		return c, refuse(Invalid, "area", "is %q; give the key of an area, for instance CLS-GRAYS", o.Area)
	case o.Slots < 0 || o.Slots > MaxSlots:
		return c, refuse(Invalid, "slots", "is %d; give 0 to %d", o.Slots, MaxSlots)
	case o.VisitsPerDay < 1 || o.VisitsPerDay > MaxVisitsPerDay:
		return c, refuse(Invalid, "visits_per_day", "is %d; give 1 to %d", o.VisitsPerDay, MaxVisitsPerDay)
	case !now.Before(o.ValidUntil):
		return c, refuse(Invalid, "valid_until", "has passed; give the moment until which the offer holds")
	case o.Slots < c.Used:
		return c, refuse(Precondition, "", "%d of the slots are in use; publish at least as many", c.Used)
	case c.Used > 0 && o.VisitsPerDay < c.UsedVisits:
		return c, refuse(Precondition, "", "somebody with a slot needs %d visits a day; publish at least as many", c.UsedVisits)
	case c.Used > 0 && o.Area != c.Area:
		return c, refuse(Precondition, "", "slots are in use in %s; publish the other area under a new capacity id", c.Area)
	}
	c.ID, c.Provider, c.Area, c.Slots, c.VisitsPerDay = id, provider, o.Area, o.Slots, o.VisitsPerDay
	c.AvailableFrom, c.ValidUntil = o.AvailableFrom, o.ValidUntil
	return c, nil
}
