package fhir

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// Place is where an expression leads in the bytes of a message.
type Place struct {
	// Reached is how much of the expression the message has, for instance `Encounter.period` where there is no end; empty where it has not
	// even the resource.
	Reached string
	// Offset counts bytes from the beginning, Length how many belong to it. Length 0 is a place that would be here.
	Offset, Length int
}

// Locate finds the element that an expression of an Issue names. One that begins with the type of a resource is looked for in the first of that
// type: the message itself, an entry of a Bundle, or one that is contained. In JSON that is no resource an expression is the names of members,
// such as `person.died_at`. It reports false for what is no expression, or no JSON.
//
// Of an element that is not there, the place is where its last known part ends.
func Locate(raw []byte, expression string) (Place, bool) {
	steps := stepsOf(expression)
	whole := span{0, len(bytes.TrimRight(raw, " \t\r\n"))}
	if len(steps) == 0 || !json.Valid(raw) {
		return Place{}, false
	}
	d, at, reached := document(raw), whole, ""
	if first := steps[0]; first.name[0] >= 'A' && first.name[0] <= 'Z' {
		var ok bool
		if at, ok = d.resource(whole, first.name); !ok {
			return Place{Offset: d.lastIn(whole)}, true
		}
		steps, reached = steps[1:], first.text
	}
	for _, s := range steps {
		child, ok := d.step(at, s)
		if !ok {
			return Place{Reached: reached, Offset: d.lastIn(at)}, true
		}
		at, reached = child, reached+s.text
	}
	return Place{Reached: reached, Offset: at.start, Length: at.end - at.start}, true
}

// step is a part of an expression: a member (`.end`), an entry of a list (`[2]`), or the extension of a name (`.extension('url')`).
type step struct {
	text, name, url string
	index           int // of an entry; -1 for a member
}

// stepsOf takes an expression apart; none if it is no expression.
func stepsOf(expression string) (steps []step) {
	for rest := expression; rest != ""; {
		s := step{index: -1}
		length := len(rest)
		if inside, ok := strings.CutPrefix(rest, "["); ok {
			digits, _, closed := strings.Cut(inside, "]")
			n, err := strconv.Atoi(digits)
			if !closed || err != nil || n < 0 || len(steps) == 0 {
				return nil
			}
			s.index, length = n, len(digits)+2
		} else {
			name := strings.TrimPrefix(rest, ".")
			if i := strings.IndexAny(name, ".[("); i >= 0 {
				name = name[:i]
			}
			if s.name = name; name == "" || strings.ContainsAny(name, " '") {
				return nil
			}
			length = len(name) + len(rest) - len(strings.TrimPrefix(rest, "."))
			if url, ok := strings.CutPrefix(rest[length:], "('"); ok {
				var closed bool
				if s.url, _, closed = strings.Cut(url, "')"); !closed {
					return nil
				}
				length += len(s.url) + 4
			}
		}
		s.text, rest = rest[:length], rest[length:]
		steps = append(steps, s)
	}
	return steps
}

// document is valid JSON, whose values are spans of its bytes.
type document []byte

type span struct{ start, end int }

// values returns the values of an object, with their names, or of a list; none of anything else.
func (d document) values(of span) (names []string, values []span) {
	dec := json.NewDecoder(bytes.NewReader(d[of.start:of.end]))
	open, err := dec.Token()
	if _, composed := open.(json.Delim); err != nil || !composed {
		return nil, nil
	}
	for dec.More() {
		name := ""
		if open == json.Delim('{') {
			token, err := dec.Token()
			if err != nil {
				return names, values
			}
			name, _ = token.(string)
		}
		var v json.RawMessage
		if dec.Decode(&v) != nil {
			return names, values
		}
		end := of.start + int(dec.InputOffset())
		names, values = append(names, name), append(values, span{end - len(v), end})
	}
	return names, values
}

func (d document) step(at span, s step) (found span, ok bool) {
	names, values := d.values(at)
	if s.index >= 0 {
		if s.index >= len(values) {
			return found, false
		}
		return values[s.index], true
	}
	for i, name := range names {
		if name == s.name {
			found, ok = values[i], true // the last one counts, as when it is read
		}
	}
	if !ok || s.url == "" {
		return found, ok
	}
	_, extensions := d.values(found)
	for _, x := range extensions {
		if d.text(x, "url") == s.url {
			return x, true
		}
	}
	return found, false
}

func (d document) text(of span, name string) (text string) {
	if v, ok := d.step(of, step{name: name, index: -1}); ok {
		_ = json.Unmarshal(d[v.start:v.end], &text)
	}
	return text
}

// resource finds the first resource of a type: this one, one in its entries, or one that these or it contain. What is contained contains no
// resources (FHIR R4, dom-2) and a message holds no other, so it looks no deeper: each level is read anew.
func (d document) resource(at span, typ string) (span, bool) {
	for _, v := range append([]span{at}, d.entries(at)...) {
		for _, r := range append([]span{v}, d.list(v, "contained")...) {
			if d.text(r, "resourceType") == typ {
				return r, true
			}
		}
	}
	return span{}, false
}

// entries are the resources in the entries of a Bundle.
func (d document) entries(of span) (resources []span) {
	for _, entry := range d.list(of, "entry") {
		if r, ok := d.step(entry, step{name: "resource", index: -1}); ok {
			resources = append(resources, r)
		}
	}
	return resources
}

func (d document) list(of span, name string) []span {
	list, _ := d.step(of, step{name: name, index: -1})
	_, values := d.values(list)
	return values
}

// lastIn is where something that a value does not have would be: before its closing brace, or behind it where it has none.
func (d document) lastIn(at span) int {
	if at.end > at.start && (d[at.end-1] == '}' || d[at.end-1] == ']') {
		return at.end - 1
	}
	return at.end
}
