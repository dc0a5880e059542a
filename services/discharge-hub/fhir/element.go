package fhir

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
)

// element is an element of a resource, absent ones included, with its FHIRPath.
type element struct {
	value  any
	path   string
	issues *[]Issue
}

// parse reads a resource. What is no JSON object is a structure issue; its elements are checked when they are read.
func parse(raw []byte, path string, issues *[]Issue) element {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var value map[string]any
	e := element{path: path, issues: issues}
	if !utf8.Valid(raw) { // the decoder would put other characters in the place of what it cannot read
		e.wrong(Structure, "is not UTF-8; write the resource in UTF-8, as JSON is")
		return e
	}
	if err := dec.Decode(&value); err != nil || value == nil {
		e.wrong(Structure, "is not a JSON object; send one FHIR resource")
		return e
	}
	if _, err := dec.Token(); err != io.EOF {
		e.wrong(Structure, "has something behind its end; send one FHIR resource")
		return e
	}
	if name := discharge.RepeatedName(raw); name != "" { // the decoder would take the last one
		e.wrong(Structure, "has %q twice in one object; FHIR R4, section 2.6.2, has each name once", name)
		return e
	}
	e.value = value
	if e.path == "" {
		e.path, _ = value["resourceType"].(string)
	}
	return e
}

func (e element) wrong(code Code, format string, args ...any) {
	*e.issues = append(*e.issues, issue(code, e.path, format, args...))
}

func (e element) present() bool { return e.value != nil }

// get returns a child, absent when it is not there.
func (e element) get(names ...string) element {
	for _, name := range names {
		fields, ok := e.value.(map[string]any)
		if !ok && e.present() {
			e.wrong(Structure, "must be an object")
		}
		e = element{fields[name], e.path + "." + name, e.issues}
	}
	return e
}

// each returns the entries of a repeating child.
func (e element) each(name string) []element {
	child := e.get(name)
	values, ok := child.value.([]any)
	if !ok && child.present() {
		child.wrong(Structure, "must be a list")
	}
	list := make([]element, len(values))
	for i, v := range values {
		list[i] = element{v, child.path + "[" + strconv.Itoa(i) + "]", e.issues}
	}
	return list
}

// text returns a string, without blanks around it.
func (e element) text() string {
	if !e.present() {
		return ""
	}
	s, ok := e.value.(string)
	switch {
	case !ok:
		e.wrong(Structure, "must be a string")
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\t' && r != '\r' && r != '\n' }):
		e.wrong(Structure, "holds a control character, which FHIR strings do not")
	default:
		return strings.TrimSpace(s)
	}
	return ""
}

// need is text that must be there.
func (e element) need(why string) string {
	s := e.text()
	if !e.present() || s == "" && e.value == "" {
		e.wrong(Required, "is missing; %s", why)
	}
	return s
}

func (e element) boolean() (value, ok bool) {
	value, ok = e.value.(bool)
	if e.present() && !ok {
		e.wrong(Structure, "must be true or false")
	}
	return value, ok
}

// date returns a FHIR date, dateTime or instant, and whether it has a time of day; ok is false when there is none to the day or better. A
// day begins in the zone.
func (e element) date(zone *time.Location) (at time.Time, timed, ok bool) {
	s := e.text()
	if s == "" {
		return time.Time{}, false, false
	}
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at.UTC().Truncate(time.Microsecond), true, true
	}
	if at, err := time.ParseInLocation(time.DateOnly, s, zone); err == nil {
		return at.UTC(), false, true
	}
	for _, form := range []string{"2006-01", "2006"} {
		if _, err := time.Parse(form, s); err == nil {
			return time.Time{}, false, false
		}
	}
	e.wrong(Structure, "is no FHIR date or dateTime; write YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+zz:zz")
	return time.Time{}, false, false
}

// extension returns the extension of that name, absent when there is none.
func (e element) extension(url string) element {
	for _, x := range e.each("extension") {
		if x.get("url").text() == url {
			return x
		}
	}
	return element{path: e.path + ".extension('" + url + "')", issues: e.issues}
}

// contained returns the contained resource to which a reference (`#id`) leads; absent when it leads elsewhere.
func (e element) contained(reference element) element {
	id, local := strings.CutPrefix(reference.text(), "#")
	if !local {
		return element{path: reference.path, issues: e.issues}
	}
	for _, c := range e.each("contained") {
		if c.get("id").text() == id {
			return c
		}
	}
	reference.wrong(Value, "leads to no contained resource")
	return element{path: reference.path, issues: e.issues}
}

// understood refuses what would change the meaning of a resource in a way that is not known here.
func (e element) understood() {
	for _, name := range []string{"modifierExtension", "implicitRules"} {
		if x := e.get(name); x.present() {
			x.wrong(NotSupported, "is not understood here and would change the meaning of the resource; leave it out")
		}
	}
}

// raw returns the element as JSON.
func (e element) raw() json.RawMessage {
	raw, err := json.Marshal(e.value)
	if err != nil {
		return nil // it was read from JSON
	}
	return raw
}
