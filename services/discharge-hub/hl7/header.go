package hl7

import (
	"errors"
	"fmt"
	"strings"
)

// Limits on one message. They bound what a broken or hostile sender can make us hold. Most ADT messages are under 10 kB; a discharge
// with its observations and notes can have a thousand segments and more.
const (
	MaxBytes       = 4 << 20
	MaxSegments    = 20_000
	MaxRepetitions = 200
)

// ErrTooLarge says that a message or frame exceeds a limit; split it or send less.
var ErrTooLarge = errors.New("message is too large")

// Delimiters are the five characters that MSH-1 and MSH-2 define for their message.
type Delimiters struct {
	Field, Component, Repetition, Escape, Subcomponent byte
}

// Standard is the set of delimiters that HL7 recommends and nearly everybody sends: `|^~\&`.
var Standard = Delimiters{'|', '^', '~', '\\', '&'}

// Header is what MSH says: who sends what to whom. Texts are the first component, unescaped and
// without blanks around them.
type Header struct {
	Delimiters           Delimiters
	SendingApplication   string // MSH-3.1
	SendingFacility      string // MSH-4.1, an ODS code
	ReceivingApplication string // MSH-5.1
	ReceivingFacility    string // MSH-6.1
	Time                 string // MSH-7, not interpreted; see ParseTime
	Type                 string // MSH-9.1, for instance `ADT`
	Trigger              string // MSH-9.2, for instance `A03`; empty in some 2.2 messages, which name it in EVN-1 only
	ControlID            string // MSH-10
	ProcessingID         string // MSH-11.1: P production, T training, D debugging
	Version              string // MSH-12.1
	AcceptAck            string // MSH-15: when the sender wants to hear that we have it (HL7 table 0155); see AckCode.For
	ApplicationAck       string // MSH-16: when it wants to hear what came of it
	CharacterSet         string // MSH-18

	raw rawHeader
}

// rawHeader keeps fields exactly as they came, so that an acknowledgement can return them byte for byte.
type rawHeader struct {
	sendingApplication, sendingFacility, receivingApplication, receivingFacility, controlID, processingID, version string
}

// ParseHeader reads MSH alone and looks at nothing behind it: all that a door needs before it stores and answers. An error means
// that these bytes are no HL7 v2 message; it names what is wrong.
func ParseHeader(raw []byte) (Header, error) {
	if len(raw) > MaxBytes {
		return Header{}, fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, len(raw), MaxBytes)
	}
	raw = trim(raw)
	line := raw
	for i, c := range raw {
		if c == '\r' || c == '\n' {
			line = raw[:i]
			break
		}
	}
	return headerOf(string(line))
}

// headerOf reads the header from its segment, whose text is still in the bytes of the sender.
func headerOf(line string) (Header, error) {
	d, err := delimitersOf(line)
	if err != nil {
		return Header{}, err
	}
	h := Header{Delimiters: d}
	var f [19]string // f[n] is MSH-n
	rest := line[4:]
	for n := 2; n < len(f); n++ {
		var more bool
		f[n], rest, more = strings.Cut(rest, line[3:4])
		if !more {
			break
		}
	}
	latin := isLatin1(f[18], line)
	text := func(field string) string {
		if latin {
			field = latin1(field)
		}
		return strings.TrimSpace(Field{raw: field, d: &h.Delimiters}.Text())
	}
	h.SendingApplication, h.SendingFacility = text(f[3]), text(f[4])
	h.ReceivingApplication, h.ReceivingFacility = text(f[5]), text(f[6])
	h.Time = text(f[7])
	h.Type = text(f[9])
	h.Trigger = text(nth(f[9], d.Component, 2))
	h.ControlID, h.ProcessingID, h.Version, h.CharacterSet = text(f[10]), text(f[11]), text(f[12]), text(f[18])
	h.AcceptAck, h.ApplicationAck = text(f[15]), text(f[16])
	h.raw = rawHeader{f[3], f[4], f[5], f[6], f[10], f[11], f[12]}
	return h, nil
}

// delimitersOf reads MSH-1 and MSH-2. Senders that leave the last characters of MSH-2 out get the standard ones.
func delimitersOf(line string) (Delimiters, error) {
	if len(line) >= 3 && (line[:3] == "FHS" || line[:3] == "BHS") {
		return Delimiters{}, errors.New("this is a batch (" + line[:3] + "); batches are not taken, send each message in a frame of its own")
	}
	if len(line) < 4 || line[:3] != "MSH" {
		return Delimiters{}, errors.New("message does not begin with an MSH segment; send HL7 v2 in ER7 (pipe) encoding")
	}
	d := Standard
	d.Field = line[3]
	msh2, _, _ := strings.Cut(line[4:], line[3:4])
	for i, p := range []*byte{&d.Component, &d.Repetition, &d.Escape, &d.Subcomponent} {
		if i < len(msh2) {
			*p = msh2[i]
		}
	}
	if len(msh2) == 0 {
		return Delimiters{}, errors.New("MSH-2 is empty; it must name the encoding characters, usually caret, tilde, backslash and ampersand")
	}
	all := [5]byte{d.Field, d.Component, d.Repetition, d.Escape, d.Subcomponent}
	for i, c := range all {
		if c <= ' ' || c >= 0x7f || c == '"' || alphanumeric(c) {
			return Delimiters{}, fmt.Errorf("MSH-1 or MSH-2 names %q as a delimiter; use punctuation, as HL7 recommends", c)
		}
		for _, other := range all[:i] {
			if c == other {
				return Delimiters{}, fmt.Errorf("MSH-1 and MSH-2 name %q twice; the five delimiters must differ", c)
			}
		}
	}
	return d, nil
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}
