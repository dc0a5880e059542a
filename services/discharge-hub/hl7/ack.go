package hl7

import (
	"strings"
	"time"
)

// AckCode is MSA-1 (table 0008): two letters, of which the first tells the acknowledgement mode.
type AckCode string

// The codes of the original mode.
const (
	// Accept: we have it safe; do not send it again.
	Accept AckCode = "AA"
	// Error: we cannot store it now; send it again.
	Error AckCode = "AE"
	// Reject: we will not take it however often it is sent; a person must change something.
	Reject AckCode = "AR"
)

// The codes of the enhanced mode, in which a sender says by MSH-15 and MSH-16 what it wants to hear.
const (
	CommitAccept AckCode = "CA"
	CommitError  AckCode = "CE"
	CommitReject AckCode = "CR"
)

// For returns the code as the sender of that header expects it, and whether it expects an answer at all (HL7 v2.4 chapter 2.12). Without
// MSH-15 and MSH-16 that is the original mode. MSH-15 asks for a commit acknowledgement: CA, CE or CR. Where it asks for none and MSH-16
// asks for an application acknowledgement, that is AA, AE or AR. A message gets one answer, never both: its content is judged later.
func (c AckCode) For(h Header) (AckCode, bool) {
	switch {
	case h.AcceptAck == "" && h.ApplicationAck == "":
		return c, true
	case c.wanted(h.AcceptAck):
		return "C" + c[1:], true
	}
	return c, c.wanted(h.ApplicationAck)
}

// wanted reads a condition of table 0155. A condition that is none is taken for `AL`: too many answers harm less than too few.
func (c AckCode) wanted(condition string) bool {
	switch condition {
	case "", "NE":
		return false
	case "ER":
		return !c.accepts()
	case "SU":
		return c.accepts()
	}
	return true
}

func (c AckCode) accepts() bool { return c == Accept || c == CommitAccept }

// Condition is an error code of HL7 table 0357, told in ERR beside the text.
type Condition string

const (
	SegmentSequenceError Condition = "100"
	RequiredFieldMissing Condition = "101"
	UnknownKey           Condition = "204"
	InternalError        Condition = "207"
)

func (c Condition) text() string {
	switch c {
	case SegmentSequenceError:
		return "Segment sequence error"
	case RequiredFieldMissing:
		return "Required field missing"
	case UnknownKey:
		return "Unknown key identifier"
	default:
		return "Application internal error"
	}
}

// Ack is an answer to a message.
type Ack struct {
	Code AckCode
	// Text says to a person what is wrong and what to do. It must not repeat anything about the patient.
	Text string
	// Condition is for ERR; InternalError if empty. An accepted message has none.
	Condition Condition
	// Field is where it is wrong, such as MSH-3, for ERR; empty if nowhere in particular.
	Field string
	// ControlID is MSH-10 of the answer itself, at most 20 characters.
	ControlID string
	// At is MSH-7 of the answer, written with its zone's offset.
	At time.Time
}

// To builds the answer to the message with that header: applications and facilities swapped, same version and delimiters, MSA-2
// their MSH-10 byte for byte. With the zero Header, of a message whose MSH could not be read, MSA-2 is empty.
func (a Ack) To(h Header) []byte {
	d := h.Delimiters
	if d == (Delimiters{}) {
		d = Standard
	}
	version := h.raw.version
	if version == "" {
		version = "2.4"
	}
	processing := h.raw.processingID
	if processing == "" {
		processing = "P"
	}
	b := make([]byte, 0, 256)
	escape := func(s string) string { return string(appendEscaped(nil, s, d)) }
	line := func(fields ...string) {
		for i, f := range fields {
			if i > 0 {
				b = append(b, d.Field)
			}
			b = append(b, f...)
		}
		b = append(b, '\r')
	}
	component, sub := string(rune(d.Component)), string(rune(d.Subcomponent))
	kind := "ACK"
	if h.Trigger != "" {
		kind = strings.Join([]string{"ACK", escape(h.Trigger), "ACK"}, component)
	}
	line("MSH", string([]byte{d.Component, d.Repetition, d.Escape, d.Subcomponent}),
		h.raw.receivingApplication, h.raw.receivingFacility, h.raw.sendingApplication, h.raw.sendingFacility,
		FormatTime(a.At), "", kind, escape(a.ControlID), processing, version)
	text := escape(a.Text)
	if a.Code.accepts() {
		if text == "" {
			line("MSA", string(a.Code), h.raw.controlID)
		} else {
			line("MSA", string(a.Code), h.raw.controlID, text)
		}
		return b
	}
	line("MSA", string(a.Code), h.raw.controlID, text)
	condition := a.Condition
	if condition == "" {
		condition = InternalError
	}
	segment, field, _ := strings.Cut(a.Field, "-")
	place := strings.Join([]string{segment, strings.Repeat("1", min(len(segment), 1)), field}, component)
	if h.Version >= "2.5" {
		line("ERR", "", strings.Trim(place, component), strings.Join([]string{string(condition), condition.text(), "HL70357"}, component), "E", "", "", "", text)
	} else {
		// Before 2.5, ERR-1 is segment, sequence, field and the code as subcomponents.
		line("ERR", place+component+strings.Join([]string{string(condition), text, "HL70357"}, sub))
	}
	return b
}
