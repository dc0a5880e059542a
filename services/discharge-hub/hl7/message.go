package hl7

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"
)

// Message is a parsed message: its header and where its segments are. It is immutable and safe to share.
type Message struct {
	Header   Header
	segments []Segment
}

// Segment is one line of a message, for instance PV1. The zero Segment is one that is not there: all its fields are absent.
type Segment struct {
	text string
	d    *Delimiters
}

// Field is a field, repetition, component or subcomponent, whichever was asked for. The zero Field is absent.
type Field struct {
	raw string
	d   *Delimiters
}

// Parse opens a message. Segments end with CR, LF or both; a line that does not begin as a segment continues the one before it,
// as when a sender let a line break into a text. Unknown segments, Z-segments among them, are kept and disturb nobody.
//
// Text is UTF-8, or ISO 8859-1 where MSH-18 says so or the bytes are not valid UTF-8. Errors say what is wrong with the bytes.
func Parse(raw []byte) (*Message, error) {
	if len(raw) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, len(raw), MaxBytes)
	}
	text := string(trim(raw))
	first := text
	if i := strings.IndexAny(text, "\r\n"); i >= 0 {
		first = text[:i]
	}
	h, err := headerOf(first)
	if err != nil {
		return nil, err
	}
	if isLatin1(h.CharacterSet, text) {
		text = latin1(text)
	}
	m := &Message{Header: h, segments: make([]Segment, 0, 8)}
	d := &m.Header.Delimiters
	start := 0
	for start < len(text) {
		end := segmentEnd(text, start, d.Field)
		if len(m.segments) == MaxSegments {
			return nil, fmt.Errorf("%w: more than %d segments", ErrTooLarge, MaxSegments)
		}
		s := Segment{text: strings.TrimRight(text[start:end], "\r\n"), d: d}
		if len(m.segments) > 0 && s.Name() == "MSH" {
			return nil, errors.New("a second MSH segment inside one frame; send each message in a frame of its own")
		}
		m.segments = append(m.segments, s)
		start = end
	}
	return m, nil
}

// segmentEnd returns where the segment that begins at start ends: behind the line breaks that the next segment or the end of the
// message follows.
func segmentEnd(text string, start int, sep byte) int {
	for i := start; i < len(text); i++ {
		if text[i] != '\r' && text[i] != '\n' {
			continue
		}
		next := i + 1
		for next < len(text) && (text[next] == '\r' || text[next] == '\n') {
			next++
		}
		if beginsSegment(text[next:], sep) {
			return next
		}
		i = next - 1
	}
	return len(text)
}

func beginsSegment(s string, sep byte) bool {
	if len(s) < 3 || s[0] < 'A' || s[0] > 'Z' {
		return false
	}
	for _, c := range []byte(s[1:3]) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(s) == 3 || s[3] == sep || s[3] == '\r' || s[3] == '\n'
}

// Segment returns the first segment of that name; it is empty if there is none.
func (m *Message) Segment(name string) Segment {
	for _, s := range m.segments {
		if strings.HasPrefix(s.text, name) {
			return s
		}
	}
	return Segment{}
}

// Segments yields the segments of that name in their order; all segments for the empty name.
func (m *Message) Segments(name string) iter.Seq[Segment] {
	return func(yield func(Segment) bool) {
		for _, s := range m.segments {
			if strings.HasPrefix(s.text, name) && !yield(s) {
				return
			}
		}
	}
}

// Groups cuts a message that tells the same of several people or visits: each group begins with a segment of that name and has before it what
// stands before the first. Without such a segment the message is its only group.
func (m *Message) Groups(name string) []*Message {
	var groups []*Message
	var before []Segment
	for i, s := range m.segments {
		switch {
		case strings.HasPrefix(s.text, name):
			groups = append(groups, &Message{Header: m.Header, segments: append(slices.Clip(before), s)})
		case len(groups) == 0:
			before = m.segments[:i+1]
		default:
			last := groups[len(groups)-1]
			last.segments = append(last.segments, s)
		}
	}
	if len(groups) == 0 {
		return []*Message{m}
	}
	return groups
}

// Field returns a field of the first segment of that name: m.Field("PV1", 19) is PV1-19, m.Field("PV1", 19, 1) its first
// component, m.Field("PV1", 3, 4, 1) a subcomponent. Numbers count from 1, as in the standard.
func (m *Message) Field(segment string, field int, within ...int) Field {
	return m.Segment(segment).Field(field, within...)
}

// Get returns what a path such as `PV1-19.1` or `PID-3[2].4` points to; see ParsePath. It panics on a malformed path, so give it
// constants, and what is configured to ParsePath.
func (m *Message) Get(path string) Field {
	p, err := ParsePath(path)
	if err != nil {
		panic(err)
	}
	return m.At(p)
}

// At returns what the path points to.
func (m *Message) At(p Path) Field {
	f := m.Field(p.Segment, p.Field)
	if p.Repetition > 1 {
		f = f.Repetition(p.Repetition)
	}
	if p.Component > 0 {
		f = f.Component(p.Component)
	}
	if p.Subcomponent > 0 {
		f = f.Subcomponent(p.Subcomponent)
	}
	return f
}

// Name returns the segment's name, for instance `PV1`.
func (s Segment) Name() string {
	return s.text[:min(3, len(s.text))]
}

// Field returns a field of the segment, with its component and subcomponent where asked for.
func (s Segment) Field(field int, within ...int) Field {
	if s.d == nil || field < 1 {
		return Field{}
	}
	if s.Name() == "MSH" {
		switch field {
		case 1:
			return Field{raw: s.text[3:4]}
		case 2:
			return Field{raw: nth(s.text[4:], s.d.Field, 1)}
		}
		field-- // MSH-1 is the separator itself, so it takes no place between separators
	}
	f := Field{raw: nth(s.text, s.d.Field, field+1), d: s.d}
	if len(within) > 0 {
		f = f.Component(within[0])
	}
	if len(within) > 1 {
		f = f.Subcomponent(within[1])
	}
	return f
}

// Absent tells whether nothing is said: the field is missing or empty.
func (f Field) Absent() bool { return f.raw == "" }

// Null tells whether the field is `""`: what was known is to be deleted.
func (f Field) Null() bool { return f.raw == `""` }

// Text returns the unescaped text of the first repetition's first component's first subcomponent; it is empty for an absent and
// for a null field. It never holds NUL, which is no text and which databases refuse.
func (f Field) Text() string {
	if f.d == nil {
		return withoutNUL(f.raw)
	}
	s := f.raw
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == f.d.Repetition || c == f.d.Component || c == f.d.Subcomponent {
			s = s[:i]
			break
		}
	}
	if s == `""` {
		return ""
	}
	return withoutNUL(unescape(s, f.d))
}

func withoutNUL(s string) string {
	if strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(s, "\x00", "")
}

// Repetition returns the nth repetition, counted from 1.
func (f Field) Repetition(n int) Field {
	return f.cut(n, func(d *Delimiters) byte { return d.Repetition })
}

// Component returns the nth component of the first repetition, counted from 1.
func (f Field) Component(n int) Field {
	return f.Repetition(1).cut(n, func(d *Delimiters) byte { return d.Component })
}

// Subcomponent returns the nth subcomponent of the first component, counted from 1.
func (f Field) Subcomponent(n int) Field {
	return f.Component(1).cut(n, func(d *Delimiters) byte { return d.Subcomponent })
}

func (f Field) cut(n int, by func(*Delimiters) byte) Field {
	if f.d == nil {
		return f
	}
	return Field{raw: nth(f.raw, by(f.d), n), d: f.d}
}

// Repetitions yields the field's repetitions, at most MaxRepetitions of them; none for an absent field.
func (f Field) Repetitions() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		rest, more := f.raw, f.raw != "" && f.d != nil
		for n := 0; more && n < MaxRepetitions; n++ {
			one := rest
			i := strings.IndexByte(rest, f.d.Repetition)
			if more = i >= 0; more {
				one, rest = rest[:i], rest[i+1:]
			}
			if !yield(Field{raw: one, d: f.d}) {
				return
			}
		}
	}
}

// nth returns the nth part of s between separators, counted from 1, or nothing.
func nth(s string, sep byte, n int) string {
	if n < 1 {
		return ""
	}
	for ; n > 1; n-- {
		i := strings.IndexByte(s, sep)
		if i < 0 {
			return ""
		}
		s = s[i+1:]
	}
	if i := strings.IndexByte(s, sep); i >= 0 {
		return s[:i]
	}
	return s
}

// trim takes away what comes along in front of and behind messages: byte order marks, line breaks and stray frame bytes.
func trim(raw []byte) []byte {
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	raw = bytes.TrimLeft(raw, " \t\r\n\x0b")
	return bytes.TrimRight(raw, "\r\n\x1c")
}

// isLatin1 tells whether text is in ISO 8859-1: HL7 table 0211 calls it `8859/1`.
func isLatin1(characterSet, text string) bool {
	return strings.Contains(characterSet, "8859/1") || strings.Contains(characterSet, "8859-1") || !utf8.ValidString(text)
}

func latin1(s string) string {
	var b strings.Builder
	b.Grow(len(s) + len(s)/8)
	for i := 0; i < len(s); i++ {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}
