package hl7

import (
	"bytes"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// plain is a message taken apart by splitting alone: segments, fields, repetitions, components, subcomponents.
type plain struct {
	d        Delimiters
	segments [][]string
}

var breaks = regexp.MustCompile(`[\r\n]+`)

// split takes a message apart that is known to be one.
func split(raw []byte) plain {
	text := strings.TrimRight(strings.TrimLeft(strings.TrimPrefix(string(raw), "\ufeff"), " \t\r\n\x0b"), "\r\n\x1c")
	sep := text[3:4]
	msh := strings.Split(breaks.Split(text, 2)[0], sep)
	p := plain{d: Standard}
	p.d.Field = sep[0]
	for i, to := range []*byte{&p.d.Component, &p.d.Repetition, &p.d.Escape, &p.d.Subcomponent} {
		if i < len(msh[1]) {
			*to = msh[1][i]
		}
	}
	set := ""
	if len(msh) > 17 {
		set = msh[17]
	}
	if first := set[:len(set)-len(strings.TrimLeftFunc(set, p.apart))]; strings.Contains(first, "8859/1") || strings.Contains(first, "8859-1") || !utf8.ValidString(text) {
		text = ofLatin1(text)
	}
	begins := regexp.MustCompile(`^[A-Z][A-Z0-9]{2}(` + regexp.QuoteMeta(sep) + `|[\r\n]|$)`)
	from := 0
	for _, at := range breaks.FindAllStringIndex(text, -1) {
		if begins.MatchString(text[at[1]:]) {
			p.segments = append(p.segments, strings.Split(text[from:at[0]], sep))
			from = at[1]
		}
	}
	p.segments = append(p.segments, strings.Split(text[from:], sep))
	return p
}

// apart tells the characters of a field's first subcomponent from the delimiters.
func (p plain) apart(c rune) bool {
	return c != rune(p.d.Repetition) && c != rune(p.d.Component) && c != rune(p.d.Subcomponent)
}

func ofLatin1(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

// text is what a subcomponent says.
func (p plain) text(s string) string {
	if s == `""` {
		return ""
	}
	return strings.ReplaceAll(p.unescaped(s), "\x00", "")
}

func (p plain) unescaped(s string) string {
	escape := string(rune(p.d.Escape))
	before, behind, found := strings.Cut(s, escape)
	if !found {
		return s
	}
	code, rest, ended := strings.Cut(behind, escape)
	known, ok := map[string]byte{"F": p.d.Field, "S": p.d.Component, "T": p.d.Subcomponent, "R": p.d.Repetition, "E": p.d.Escape, ".br": '\n'}[code]
	said := string(rune(known))
	if digits, isHex := strings.CutPrefix(code, "X"); isHex && digits != "" {
		if b, err := hex.DecodeString(digits); err == nil {
			if said, ok = string(b), true; !utf8.Valid(b) {
				said = ofLatin1(said)
			}
		}
	}
	if !ended || !ok {
		return before + escape + p.unescaped(behind)
	}
	return before + said + p.unescaped(rest)
}

// check compares every field, repetition, component and subcomponent, and that nothing comes behind the last.
func (p plain) check(t *testing.T, m *Message) {
	segments := slices.Collect(m.Segments(""))
	if len(segments) != len(p.segments) {
		t.Fatalf("%d segments, want %d", len(segments), len(p.segments))
	}
	for i, parts := range p.segments {
		s, first := segments[i], 1
		if parts[0] == "MSH" {
			if s.Field(1).Text() != string(rune(p.d.Field)) || s.Field(2).Text() != strings.ReplaceAll(parts[1], "\x00", "") {
				t.Fatalf("MSH-1 %q, MSH-2 %q", s.Field(1).Text(), s.Field(2).Text())
			}
			parts, first = slices.Insert(slices.Clone(parts), 1, ""), 3
		}
		if got := s.Name(); got != parts[0][:3] {
			t.Fatalf("segment %q, want %q", got, parts[0])
		}
		for n := first; n < len(parts); n++ {
			p.checkField(t, s.Field(n), parts[n])
		}
		if !s.Field(len(parts)).Absent() {
			t.Fatalf("%s-%d says %q", s.Name(), len(parts), s.Field(len(parts)).Text())
		}
	}
}

func (p plain) checkField(t *testing.T, f Field, want string) {
	if f.Absent() != (want == "") || f.Null() != (want == `""`) {
		t.Fatalf("%q: absent %v, null %v", want, f.Absent(), f.Null())
	}
	reps := strings.Split(want, string(rune(p.d.Repetition)))
	if n := len(slices.Collect(f.Repetitions())); want != "" && n != min(len(reps), MaxRepetitions) {
		t.Fatalf("%q: %d repetitions", want, n)
	}
	for r, rep := range reps {
		for c, comp := range strings.Split(rep, string(rune(p.d.Component))) {
			for u, sub := range strings.Split(comp, string(rune(p.d.Subcomponent))) {
				if got := f.Repetition(r + 1).Component(c + 1).Subcomponent(u + 1).Text(); got != p.text(sub) {
					t.Fatalf("[%d].%d.%d of %q is %q, want %q", r+1, c+1, u+1, want, got, p.text(sub))
				}
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample(f))
	f.Add(bytes.ReplaceAll(sample(f), []byte("\r"), []byte("\n")))
	f.Add([]byte("MSH#*!/%#A#B\nPID#/X41/#\"\""))
	f.Add([]byte("MSH|^~\\&|A|B\rPID|\\|\\X|~~|&&"))
	f.Add([]byte("MSH|^~|\xff"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, headerErr := ParseHeader(raw)
		m, err := Parse(raw)
		if err == nil && headerErr != nil {
			t.Fatalf("message is read, its header is not: %v", headerErr)
		}
		for _, s := range []string{h.SendingApplication, h.SendingFacility, h.ControlID, h.Type, h.Trigger, h.ProcessingID, h.Time, h.Version} {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
				t.Fatalf("%q is no text that a database takes", s)
			}
		}
		ack := Ack{Code: Error, Text: "not now"}.To(h)
		if _, err := Parse(ack); err != nil {
			t.Fatalf("acknowledgement of %q can't be read: %v", raw, err)
		}
		if headerErr == nil {
			sep := []byte{h.Delimiters.Field}
			message := strings.TrimRight(strings.TrimLeft(strings.TrimPrefix(string(raw), "\ufeff"), " \t\r\n\x0b"), "\r\n\x1c")
			first, _, _ := strings.Cut(message, "\r")
			first, _, _ = strings.Cut(first, "\n")
			controlID := ""
			if msh := strings.Split(first, string(sep)); len(msh) > 9 {
				controlID = msh[9]
			}
			if msa := bytes.Split(bytes.Split(ack, []byte("\r"))[1], sep); string(msa[2]) != controlID {
				t.Fatalf("MSA-2 is %q for %q", msa[2], controlID)
			}
		}
		if err == nil {
			split(raw).check(t, m)
		}
	})
}

// FuzzBuilder builds a message with any delimiters, line ends and character set, and reads back what was put in.
func FuzzBuilder(f *testing.F) {
	const punctuation = `|^~\&#*!/%$'()+,-.:;<=>?@[]_{}` + "`"
	f.Add([]byte{}, byte(0), false, "TESTER", "O'Brien & Söhne", `""`)
	f.Add([]byte{5, 5, 5, 5, 5}, byte(1), true, "Zoë", "a|b^c~d\\e&f#*!/%", "1 EXAMPLE ROAD\nGRAYS\r\n")
	f.Add([]byte{}, byte(2), true, "Ærøskøbing £", "\x0bMSH|^~\\&|\x1c\r", "")
	f.Add([]byte{}, byte(3), false, "漢字 \U0001f600", `\X41\ \.br\ \F`, "\x00\x7f\u0085\ufeff")
	f.Fuzz(func(t *testing.T, chosen []byte, end byte, latin bool, a, b, c string) {
		var d Delimiters
		free := []byte(punctuation)
		for i, to := range []*byte{&d.Field, &d.Component, &d.Repetition, &d.Escape, &d.Subcomponent} {
			at := 0
			if i < len(chosen) {
				at = int(chosen[i]) % len(free)
			}
			*to = free[at]
			free = slices.Delete(free, at, at+1)
		}
		built := &Builder{Delimiters: d}
		said := map[string]string{"MSH-10": a, "PID-3": b, "PID-3.4": c, "PID-3[2].1": a, "PID-3[3].4.2": b, "PID-5.2": c, "PV1-19.1": a, "ZXX-1.1.3": b}
		if latin {
			built.Set("MSH-18", "8859/1")
		}
		for path, text := range said {
			said[path] = strings.ToValidUTF8(text, "?")
			built.Set(path, said[path])
		}
		raw := built.Bytes()
		if latin {
			if raw = toLatin1(string(raw)); raw == nil {
				return
			}
		}
		raw = bytes.ReplaceAll(raw, []byte("\r"), []byte([]string{"\r", "\n", "\r\n", "\r\n\r\n"}[end%4]))
		m, err := Parse(raw)
		if err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		for path, want := range said {
			if want == `""` {
				want = ""
			}
			want = strings.ReplaceAll(want, "\x00", "")
			if got := m.Get(path).Text(); got != want {
				t.Fatalf("%s = %q, want %q in %q", path, got, want, raw)
			}
		}
	})
}

// toLatin1 returns nil for text that ISO 8859-1 does not have.
func toLatin1(s string) []byte {
	b := make([]byte, 0, len(s))
	for _, c := range s {
		if c > 0xff {
			return nil
		}
		b = append(b, byte(c))
	}
	return b
}
