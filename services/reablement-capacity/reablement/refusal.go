package reablement

import "fmt"

// Kind says what the asker can do about a refusal.
type Kind string

// The kinds of refusals.
const (
	Invalid      Kind = "invalid"      // mend the request
	NotFound     Kind = "not-found"    // there is no such thing that the asker may see
	Precondition Kind = "precondition" // not in this state
	Forbidden    Kind = "forbidden"    // it is somebody else's
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
