// Package hospital is a hospital as seen from outside: it writes HL7 v2 messages and sends them over MLLP like an integration engine, it is a
// client of a FHIR door, and it has receivers for what it is told back: a webhook for Tasks, and the ward's for answers. It speaks all of
// these by their documents alone and imports nothing of the services, so that no mistake of the hub's own code can hide in it.
package hospital

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Message is an HL7 v2 message by fields, as `PV1-45` to the encoded field.
type Message map[string]string

// Null is HL7's explicit null: what was known is wrong and is to be forgotten.
const Null = `""`

// segments are those that an ADT message may have here, in their order.
var segments = []string{"MSH", "EVN", "PID", "PD1", "NK1", "MRG", "PV1", "PV2"}

// Encode writes the message. What the map does not hold is empty; a segment without fields is left out. It panics at a path that names
// no field, such as `PV1-x`.
func (m Message) Encode() []byte {
	var out bytes.Buffer
	for _, segment := range segments {
		var fields []string
		for path, value := range m {
			name, number, _ := strings.Cut(path, "-")
			if name != segment || value == "" {
				continue
			}
			n, err := strconv.Atoi(number)
			if err != nil || n < 1 {
				panic("no such field: " + path)
			}
			for len(fields) < n {
				fields = append(fields, "")
			}
			fields[n-1] = value
		}
		if segment == "MSH" && len(fields) > 0 {
			// MSH-1 is the separator itself, MSH-2 the other delimiters.
			fields = append([]string{`^~\&`}, fields[2:]...)
		}
		if len(fields) > 0 {
			out.WriteString(segment + "|" + strings.Join(fields, "|") + "\r")
		}
	}
	return out.Bytes()
}

// Only is the message without all but these segments.
func (m Message) Only(segments ...string) Message {
	m = maps.Clone(m)
	maps.DeleteFunc(m, func(path, _ string) bool {
		segment, _, _ := strings.Cut(path, "-")
		return !slices.Contains(segments, segment)
	})
	return m
}
