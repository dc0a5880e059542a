package hl7

import (
	"strings"
)

// Builder builds a message by naming places, so that nobody counts separators. The zero Builder is ready and uses the standard
// delimiters; segments come in the order in which they are first named, MSH first.
type Builder struct {
	Delimiters Delimiters
	segments   []builtSegment
}

// builtSegment holds encoded fields: fields[n-1] is field n.
type builtSegment struct {
	name   string
	fields []string
}

// Set puts text at a path such as `PV1-19`, `PD1-3.3` or `PID-3[2].4`, in the newest segment of that name, which is made if it is
// missing. The text is escaped; `""` is HL7's explicit null. It panics on a malformed path.
func (b *Builder) Set(path, text string) *Builder {
	p, err := ParsePath(path)
	if err != nil {
		panic(err)
	}
	d := b.delimiters()
	value := string(appendEscaped(nil, text, d))
	f := b.field(p)
	*f = put(*f, d.Repetition, max(1, p.Repetition), func(rep string) string {
		return put(rep, d.Component, max(1, p.Component), func(comp string) string {
			return put(comp, d.Subcomponent, max(1, p.Subcomponent), func(string) string { return value })
		})
	})
	return b
}

// SetRaw puts an already encoded field at a path such as `PID-3`; components, repetitions and escapes are the caller's.
func (b *Builder) SetRaw(path, encoded string) *Builder {
	p, err := ParsePath(path)
	if err != nil {
		panic(err)
	}
	*b.field(p) = encoded
	return b
}

// Add begins another segment of that name, for repeating ones such as NK1.
func (b *Builder) Add(segment string) *Builder {
	b.segments = append(b.segments, builtSegment{name: segment})
	return b
}

// Bytes returns the message, each segment ended by CR.
func (b *Builder) Bytes() []byte {
	d := b.delimiters()
	out := append([]byte("MSH"), d.Field, d.Component, d.Repetition, d.Escape, d.Subcomponent)
	for _, s := range b.segments {
		if s.name == "MSH" {
			for _, f := range s.fields[min(2, len(s.fields)):] {
				out = append(append(out, d.Field), f...)
			}
		}
	}
	out = append(out, '\r')
	for _, s := range b.segments {
		if s.name == "MSH" {
			continue
		}
		out = append(out, s.name...)
		for _, f := range s.fields {
			out = append(append(out, d.Field), f...)
		}
		out = append(out, '\r')
	}
	return out
}

func (b *Builder) delimiters() Delimiters {
	if b.Delimiters == (Delimiters{}) {
		return Standard
	}
	return b.Delimiters
}

func (b *Builder) field(p Path) *string {
	at := -1
	for i, s := range b.segments {
		if s.name == p.Segment {
			at = i
		}
	}
	if at < 0 {
		b.Add(p.Segment)
		at = len(b.segments) - 1
	}
	s := &b.segments[at]
	for len(s.fields) < p.Field {
		s.fields = append(s.fields, "")
	}
	return &s.fields[p.Field-1]
}

// put changes the nth part of s between separators.
func put(s string, sep byte, n int, change func(string) string) string {
	parts := strings.Split(s, string(rune(sep)))
	for len(parts) < n {
		parts = append(parts, "")
	}
	parts[n-1] = change(parts[n-1])
	return strings.Join(parts, string(rune(sep)))
}
