package discharge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// DecodeFile reads a JSON file that a person has written: it holds no other names than the target's, each once, and nothing behind its end. An error says
// where, in that person's words.
func DecodeFile(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	line := func(offset int64) int { return 1 + bytes.Count(data[:min(int(offset), len(data))], []byte("\n")) }
	var syntax *json.SyntaxError
	var typed *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("is empty; write one JSON object")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("line %d: ends too early; close every bracket and quotation mark", line(int64(len(data))))
	case errors.As(err, &syntax):
		return fmt.Errorf("line %d: %s", line(syntax.Offset), syntax)
	case errors.As(err, &typed):
		must := map[reflect.Kind]string{reflect.String: "a text in quotation marks", reflect.Bool: "true or false", reflect.Slice: "a list in [ ]"}[typed.Type.Kind()]
		if must == "" {
			must = "an object in { }"
		}
		return fmt.Errorf("line %d: %s: must be %s, not %s", line(typed.Offset), typed.Field[1+strings.LastIndexByte(typed.Field, '.'):], must, typed.Value)
	case err != nil:
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("line %d: something stands behind the end of the object", line(dec.InputOffset()))
	}
	if name := RepeatedName(data); name != "" {
		return fmt.Errorf("%q is there twice in one object; write it once", name)
	}
	return nil
}

// RepeatedName returns a name that one object of a JSON text holds twice, of which decoders take the last; empty if there is none.
func RepeatedName(raw []byte) string {
	type level struct {
		names map[string]bool // nil in a list
		value bool            // behind a name
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	open := []level{{}}
	for {
		token, err := dec.Token()
		if err != nil {
			return ""
		}
		in := &open[len(open)-1]
		switch name, named := token.(string); {
		case token == json.Delim('}'), token == json.Delim(']'):
			open = open[:len(open)-1]
			continue
		case in.names != nil && !in.value && named:
			if in.names[name] {
				return name
			}
			in.names[name], in.value = true, true
			continue
		}
		in.value = false
		switch token {
		case json.Delim('{'):
			open = append(open, level{names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, level{})
		}
	}
}
