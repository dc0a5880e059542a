package hl7

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// unescape resolves escape sequences (HL7 v2.4 chapter 2.10). What it does not know stays as it is, so that nothing is lost.
func unescape(s string, d *Delimiters) string {
	i := strings.IndexByte(s, d.Escape)
	if i < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for {
		b.WriteString(s[:i])
		s = s[i+1:]
		end := strings.IndexByte(s, d.Escape)
		text, known := "", false
		if end >= 0 {
			text, known = sequence(s[:end], d)
		}
		if known {
			b.WriteString(text)
			s = s[end+1:]
		} else {
			b.WriteByte(d.Escape)
		}
		if i = strings.IndexByte(s, d.Escape); i < 0 {
			b.WriteString(s)
			return b.String()
		}
	}
}

// sequence returns what stands between two escape characters means.
func sequence(code string, d *Delimiters) (string, bool) {
	switch code {
	case "F":
		return string(rune(d.Field)), true
	case "S":
		return string(rune(d.Component)), true
	case "T":
		return string(rune(d.Subcomponent)), true
	case "R":
		return string(rune(d.Repetition)), true
	case "E":
		return string(rune(d.Escape)), true
	case ".br":
		return "\n", true
	}
	if len(code) > 1 && code[0] == 'X' {
		b, err := hex.DecodeString(code[1:])
		if err != nil {
			return "", false
		}
		if s := string(b); utf8.ValidString(s) {
			return s, true
		}
		return latin1(string(b)), true
	}
	return "", false
}

// appendEscaped writes text so that it reads back as it is. A line break is written by its code, because `.br` may hold a delimiter.
func appendEscaped(b []byte, text string, d Delimiters) []byte {
	for i := 0; i < len(text); i++ {
		c := text[i]
		code := ""
		switch c {
		case d.Field:
			code = "F"
		case d.Component:
			code = "S"
		case d.Subcomponent:
			code = "T"
		case d.Repetition:
			code = "R"
		case d.Escape:
			code = "E"
		default:
			if c >= ' ' {
				b = append(b, c)
				continue
			}
			code = "X" + strings.ToUpper(hex.EncodeToString([]byte{c}))
		}
		b = append(b, d.Escape)
		b = append(b, code...)
		b = append(b, d.Escape)
	}
	return b
}
