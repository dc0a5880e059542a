package hl7

import (
	"bytes"
	"strconv"
	"strings"
)

// String writes the path as ParsePath reads it.
func (p Path) String() string {
	if p.Segment == "" || p.Field == 0 {
		return p.Segment
	}
	var b strings.Builder
	b.WriteString(p.Segment + "-" + strconv.Itoa(p.Field))
	if p.Repetition > 0 {
		b.WriteString("[" + strconv.Itoa(p.Repetition) + "]")
	}
	if p.Component > 0 {
		b.WriteString("." + strconv.Itoa(p.Component))
	}
	if p.Component > 0 && p.Subcomponent > 0 {
		b.WriteString("." + strconv.Itoa(p.Subcomponent))
	}
	return b.String()
}

// Place is where a path points to in the bytes of a message.
type Place struct {
	// Reached is how much of the path the message has: all of it, or for instance `PV1` where the segment ends before the field. It is
	// empty where the message does not have the segment.
	Reached Path
	// Offset counts bytes from the beginning, Length how many belong to it. Length 0 is an empty place, or one that would be here.
	Offset, Length int
}

// Locate finds in the bytes of a message what At returns for the path. The bytes are those as they came, whatever stands in front of MSH
// and however text is encoded. Of a path that the message does not have, the place is where its last known part ends. An error means
// that the bytes are no HL7 message.
func Locate(raw []byte, p Path) (Place, error) {
	h, err := ParseHeader(raw)
	if err != nil {
		return Place{}, err
	}
	d := h.Delimiters
	trimmed := trim(raw)
	l := locator{text: string(trimmed), at: bytes.Index(raw, trimmed)}
	segment, found := l.segment(p.Segment, d.Field)
	if !found {
		end := l.at + len(l.text)
		return Place{Offset: end}, nil
	}
	place := Place{Reached: Path{Segment: p.Segment}, Offset: segment.at, Length: len(segment.text)}
	if p.Field < 1 {
		return place, nil
	}
	field, whole := segment, false
	switch {
	case p.Segment == "MSH" && p.Field == 1:
		return Place{Reached: p, Offset: segment.at + 3, Length: 1}, nil
	case p.Segment == "MSH" && p.Field == 2:
		field, whole = segment.after(4).nth(d.Field, 1)
		return Place{Reached: p, Offset: field.at, Length: len(field.text)}, nil
	case p.Segment == "MSH":
		field, whole = segment.nth(d.Field, p.Field)
	default:
		field, whole = segment.nth(d.Field, p.Field+1)
	}
	if !whole {
		return Place{Reached: place.Reached, Offset: field.at}, nil
	}
	place = Place{Reached: Path{Segment: p.Segment, Field: p.Field}, Offset: field.at, Length: len(field.text)}
	for _, step := range []struct {
		n     int
		by    byte
		reach func(*Path)
	}{
		{max(p.Repetition, min(p.Component, 1)), d.Repetition, func(r *Path) { r.Repetition = p.Repetition }},
		{max(p.Component, min(p.Subcomponent, 1)), d.Component, func(r *Path) { r.Component = p.Component }},
		{p.Subcomponent, d.Subcomponent, func(r *Path) { r.Subcomponent = p.Subcomponent }},
	} {
		if step.n == 0 {
			break
		}
		if field, whole = field.nth(step.by, step.n); !whole {
			return Place{Reached: place.Reached, Offset: field.at}, nil
		}
		step.reach(&place.Reached)
		place.Offset, place.Length = field.at, len(field.text)
	}
	return place, nil
}

// locator is a part of a message's text and where it begins.
type locator struct {
	text string
	at   int
}

func (l locator) after(n int) locator { return locator{l.text[n:], l.at + n} }

// segment finds the first segment of that name, as Message.Segment does.
func (l locator) segment(name string, sep byte) (locator, bool) {
	for start := 0; name != "" && start < len(l.text); {
		end := segmentEnd(l.text, start, sep)
		if text := strings.TrimRight(l.text[start:end], "\r\n"); strings.HasPrefix(text, name) {
			return locator{text, l.at + start}, true
		}
		start = end
	}
	return locator{}, false
}

// nth returns the nth part between separators, counted from 1; without so many it reports false and returns the end.
func (l locator) nth(sep byte, n int) (locator, bool) {
	for ; n > 1; n-- {
		i := strings.IndexByte(l.text, sep)
		if i < 0 {
			return l.after(len(l.text)), false
		}
		l = l.after(i + 1)
	}
	if i := strings.IndexByte(l.text, sep); i >= 0 {
		l.text = l.text[:i]
	}
	return l, true
}
