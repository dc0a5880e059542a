package hl7

import (
	"fmt"
	"strconv"
	"strings"
)

// Path names a place in a message in the words of HL7: `PV1-36` is a field, `PD1-3.3` a component, `PV1-3.4.1` a subcomponent,
// `PID-3[2].1` a component of the second repetition. Zero means not named.
type Path struct {
	Segment                                    string
	Field, Repetition, Component, Subcomponent int
}

// ParsePath reads a path; the error names it.
func ParsePath(s string) (Path, error) {
	segment, rest, ok := strings.Cut(s, "-")
	if !ok || len(segment) != 3 || !beginsSegment(segment, '|') {
		return Path{}, badPath(s)
	}
	p := Path{Segment: segment}
	parts := strings.Split(rest, ".")
	if field, rep, ok := strings.Cut(parts[0], "["); ok {
		n, err := strconv.Atoi(strings.TrimSuffix(rep, "]"))
		if err != nil || n < 1 || !strings.HasSuffix(rep, "]") {
			return Path{}, badPath(s)
		}
		parts[0], p.Repetition = field, n
	}
	numbers := []*int{&p.Field, &p.Component, &p.Subcomponent}
	if len(parts) > len(numbers) {
		return Path{}, badPath(s)
	}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 || n > 999 {
			return Path{}, badPath(s)
		}
		*numbers[i] = n
	}
	return p, nil
}

func badPath(s string) error {
	return fmt.Errorf("%q is no HL7 path; write it like PV1-36, PD1-3.3 or PID-3[2].1", s)
}
