package discharge

import "encoding/json"

// Told is what a message says about one thing. The zero Told says nothing: what was known stays. In JSON, nothing is a member
// left out, a deletion is null, and a value is itself; tag such members `omitzero`.
type Told[T comparable] struct {
	Value T
	// Said tells a value or a deletion from nothing.
	Said bool
	// Cleared is HL7's explicit null `""`: what was known is wrong and is to be forgotten.
	Cleared bool
}

// Tell says a value.
func Tell[T comparable](v T) Told[T] { return Told[T]{Value: v, Said: true} }

// Clear says that what was known is to be forgotten.
func Clear[T comparable]() Told[T] { return Told[T]{Said: true, Cleared: true} }

// HasValue tells whether a value is told.
func (t Told[T]) HasValue() bool { return t.Said && !t.Cleared }

// IsZero tells whether nothing is said.
func (t Told[T]) IsZero() bool { return !t.Said }

// then returns what is known after a later message said next: the last thing said wins.
func (t Told[T]) then(next Told[T]) Told[T] {
	if next.Said {
		return next
	}
	return t
}

func (t Told[T]) MarshalJSON() ([]byte, error) {
	if !t.HasValue() {
		return []byte("null"), nil
	}
	return json.Marshal(t.Value)
}

func (t *Told[T]) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = Clear[T]()
		return nil
	}
	t.Said, t.Cleared = true, false
	return json.Unmarshal(b, &t.Value)
}
