// Package assessment decides about the light-touch assessment: is it safe to go home now, and with what for the first days? It says
// nothing about eligibility, money or the long term; that is the holistic assessment within six weeks.
//
//	requested ──complete──▶ complete        conditions are met one by one
//	    │ ▲   └─decline───▶ declined
//	    ▼ │ the spell was voided or the person died; a correction takes it back
//	superseded
//
// Every function is pure. What follows from the spell (superseded, left with unmet conditions) is derived anew from its newest snapshot
// by Follow, so the order in which commands and spells arrive cannot change the result.
package assessment

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Status is how far an assessment is.
type Status string

// The statuses of domain brief 2.4 that this service distinguishes.
const (
	Requested  Status = "requested"
	Complete   Status = "complete"
	Declined   Status = "declined-by-person"
	Superseded Status = "superseded"
)

// Decision is about safe discharge only.
type Decision string

// The decisions that an assessor can take.
const (
	Safe               Decision = "safe"
	SafeWithConditions Decision = "safe-with-conditions"
	NotYetSafe         Decision = "not-yet-safe"
	NeedsHubMDT        Decision = "needs-hub-mdt"
)

// Due says by when a condition must be met. The hours count from the discharge.
type Due string

// The times by which a condition can be due.
const (
	BeforeLeaving Due = "before-leaving"
	Within24Hours Due = "within-24-hours"
	Within72Hours Due = "within-72-hours"
)

// Condition is something that must be so for the discharge to be safe.
type Condition struct {
	ID    uuid.UUID
	Code  string // from the question set
	Owner string // role or team key from the question set
	Due   Due
	MetAt time.Time // zero while it is unmet
}

// Assessment is the state of the one assessment of a spell.
type Assessment struct {
	SpellID     uuid.UUID
	Status      Status
	QuestionSet string
	Answers     map[string]string // code of the question to code of the answer
	Decision    Decision          // empty until complete
	Conditions  []Condition       // in the order in which the assessor set them
	RequestedAt time.Time
	CompletedAt time.Time // zero until complete
	// LeftWithUnmet counts the conditions `before leaving` that were unmet at the moment of the discharge that holds.
	LeftWithUnmet int
}

// Kind says what the asker can do about a refusal.
type Kind string

// The kinds of refusals.
const (
	Invalid      Kind = "invalid"      // mend the request
	NotFound     Kind = "not-found"    // there is no such thing
	Precondition Kind = "precondition" // not in this state
)

// Error is a refusal. Its text says what is wrong and what to do.
type Error struct {
	Kind   Kind
	Field  string // of the request; empty when none is at fault
	Reason string
}

// Error returns the reason with the field in front.
func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Reason
	}
	return e.Reason
}

func refuse(kind Kind, field, format string, args ...any) error {
	return &Error{Kind: kind, Field: field, Reason: fmt.Sprintf(format, args...)}
}

// Request opens the assessment of a spell with a question set.
func Request(spell uuid.UUID, set QuestionSet, now time.Time) Assessment {
	return Assessment{SpellID: spell, Status: Requested, QuestionSet: set.ID, RequestedAt: now}
}

// Decline records that the person did not want the assessment; again has no second effect. Precondition when it is complete or superseded.
func Decline(a Assessment) (Assessment, error) {
	switch a.Status {
	case Declined:
		return a, nil
	case Requested:
		a.Status = Declined
		return a, nil
	}
	return a, refuse(Precondition, "", "the assessment is %s; only a requested one can be declined", a.Status)
}

// Meet records that a condition is met now; again has no second effect. NotFound when the assessment has no such condition.
func Meet(a Assessment, condition uuid.UUID, now time.Time) (Assessment, error) {
	for i, c := range a.Conditions {
		if c.ID != condition {
			continue
		}
		if c.MetAt.IsZero() {
			a.Conditions = append([]Condition(nil), a.Conditions...)
			a.Conditions[i].MetAt = now
		}
		return a, nil
	}
	return a, refuse(NotFound, "condition_id", "the assessment of this spell has no such condition; ListUnmet names those that are unmet")
}

// Unmet returns the conditions that are not met, those before leaving first, then by due time and in the assessor's order.
func (a Assessment) Unmet() []Condition {
	var unmet []Condition
	for _, due := range []Due{BeforeLeaving, Within24Hours, Within72Hours} {
		for _, c := range a.Conditions {
			if c.Due == due && c.MetAt.IsZero() {
				unmet = append(unmet, c)
			}
		}
	}
	return unmet
}
