package hl7

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func sample(t testing.TB) []byte {
	t.Helper()
	raw, err := os.ReadFile("testdata/sample_a03.hl7")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func mustParse(t testing.TB, raw string) *Message {
	t.Helper()
	m, err := Parse([]byte(raw))
	if err != nil {
		t.Fatalf("Parse(%q): %v", raw, err)
	}
	return m
}

func TestSampleMessageHasItsFieldsWhereTheStandardPutsThem(t *testing.T) {
	m := mustParse(t, string(sample(t)))
	for path, want := range map[string]string{
		"MSH-1": "|", "MSH-2": `^~\&`, "MSH-3": "MSEPAS", "MSH-9.2": "A03", "MSH-10": "MSG000042", "MSH-12": "2.4",
		"EVN-2": "20260902143000", "EVN-6": "20260902142500",
		"PID-3": "9990000026", "PID-3[2]": "1234567", "PID-3[2].4": "RAJ", "PID-3[3]": "", "PID-5.2": "Ada", "PID-11.5": "RM17 5AA", "PID-30": "N",
		"PD1-3.3": "F81155", "PV1-3.4.1": "RAJ12", "PV1-19.1": "SPELL0001", "PV1-36": "1", "PV1-37": "19",
		"PV1-44": "20260825091500", "PV1-45": "20260902142500", "PV2-9": "20260902", "ZZZ-1": "",
	} {
		if got := m.Get(path).Text(); got != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
}

func TestHeaderAloneReadsAsInTheWholeMessage(t *testing.T) {
	raw := sample(t)
	h, err := ParseHeader(raw)
	if err != nil {
		t.Fatal(err)
	}
	m := mustParse(t, string(raw))
	if diff := cmp.Diff(m.Header, h, cmp.AllowUnexported(Header{}, rawHeader{})); diff != "" {
		t.Error(diff)
	}
	if h.SendingApplication != "MSEPAS" || h.SendingFacility != "RAJ" || h.Type != "ADT" || h.Trigger != "A03" || h.ControlID != "MSG000042" || h.ProcessingID != "T" {
		t.Errorf("header is %+v", h)
	}
}

func TestAbsentEmptyNullAndValueDiffer(t *testing.T) {
	m := mustParse(t, "MSH|^~\\&|A|B\rPID|||\"\"|x^\"\"^y")
	for _, c := range []struct {
		path         string
		absent, null bool
		text         string
	}{
		{"PID-2", true, false, ""}, {"PID-99", true, false, ""}, {"NK1-1", true, false, ""},
		{"PID-3", false, true, ""}, {"PID-3.1", false, true, ""}, {"PID-3.2", true, false, ""},
		{"PID-4.1", false, false, "x"}, {"PID-4.2", false, true, ""}, {"PID-4.3", false, false, "y"},
	} {
		f := m.Get(c.path)
		if f.Absent() != c.absent || f.Null() != c.null || f.Text() != c.text {
			t.Errorf("%s: absent %v, null %v, text %q", c.path, f.Absent(), f.Null(), f.Text())
		}
	}
}

func TestSegmentsEndWithAnyLineBreak(t *testing.T) {
	for _, end := range []string{"\r", "\n", "\r\n", "\r\r", "\n\n"} {
		m := mustParse(t, strings.Join([]string{`MSH|^~\&|A|B`, "EVN|A03", "ZZZ|local", "PV1|1||W", ""}, end))
		var names []string
		for s := range m.Segments("") {
			names = append(names, s.Name())
		}
		if diff := cmp.Diff([]string{"MSH", "EVN", "ZZZ", "PV1"}, names); diff != "" {
			t.Errorf("%q: %s", end, diff)
		}
		if m.Field("ZZZ", 1).Text() != "local" || m.Field("PV1", 3).Text() != "W" {
			t.Errorf("%q: wrong fields", end)
		}
	}
}

func TestALineBreakInATextDoesNotLoseTheFieldsBehindIt(t *testing.T) {
	m := mustParse(t, "MSH|^~\\&|A|B\rPID|1|1 EXAMPLE ROAD\nGRAYS|Y\rPV1|I")
	if got := m.Field("PID", 3).Text(); got != "Y" {
		t.Errorf("PID-3 = %q", got)
	}
	if got := m.Field("PV1", 1).Text(); got != "I" {
		t.Errorf("PV1-1 = %q", got)
	}
}

func TestDelimitersAreTheMessagesOwn(t *testing.T) {
	m := mustParse(t, "MSH#*!/%#A#B#C#D#2026##ADT*A03#77\rPID###1*2!3*4%5/S/6")
	for path, want := range map[string]string{
		"MSH-9.2": "A03", "MSH-10": "77", "PID-3.2": "2", "PID-3[2].1": "3", "PID-3[2].2.2": "5*6",
	} {
		if got := m.Get(path).Text(); got != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
}

func TestShortMSH2GetsTheStandardRest(t *testing.T) {
	m := mustParse(t, "MSH|^~|A|B\rPID|a\\S\\b&c")
	if got := m.Field("PID", 1).Text(); got != "a^b" {
		t.Errorf("PID-1 = %q", got)
	}
}

func TestEscapes(t *testing.T) {
	for in, want := range map[string]string{
		`a\F\b\S\c\T\d\R\e\E\f`: `a|b^c&d~e\f`,
		`\X41\\X4243\`:          "ABC",
		`\XC3A9\ \XE9\`:         "é é",
		`one\.br\two`:           "one\ntwo",
		`\H\bold\N\`:            `\H\bold\N\`,
		`\Z9\`:                  `\Z9\`,
		`\XZZ\`:                 `\XZZ\`,
		`50\50`:                 `50\50`,
		`tail\`:                 `tail\`,
		`C:\dir\F\`:             `C:\dir|`,
	} {
		if got := unescape(in, &Standard); got != want {
			t.Errorf("unescape(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTextHoldsNoNUL(t *testing.T) {
	m := mustParse(t, "MSH|^~\\&|A|B\rPID|a\x00b|a\\X0041\\b")
	if a, b := m.Field("PID", 1).Text(), m.Field("PID", 2).Text(); a != "ab" || b != "aAb" {
		t.Errorf("%q, %q", a, b)
	}
}

func TestHeaderFieldsHaveNoBlanksAroundThem(t *testing.T) {
	h, err := ParseHeader([]byte("MSH|^~\\&| MSEPAS |RAJ ^x|HUB|T|2026||ADT^A03 | 7 |P|2.4"))
	if err != nil || h.SendingApplication != "MSEPAS" || h.SendingFacility != "RAJ" || h.Trigger != "A03" || h.ControlID != "7" {
		t.Errorf("%+v, %v", h, err)
	}
	if ack := mustParse(t, string(Ack{Code: Accept}.To(h))); ack.Field("MSA", 2).Text() != " 7 " {
		t.Errorf("MSA-2 is %q, not their bytes", ack.Field("MSA", 2).Text())
	}
}

func TestCharacterSets(t *testing.T) {
	for name, c := range map[string]struct{ set, bytes, want string }{
		"UTF-8 by default":                  {"", "Zo\xc3\xab", "Zoë"},
		"UTF-8 declared":                    {"UNICODE UTF-8", "Zo\xc3\xab", "Zoë"},
		"ISO 8859-1 declared":               {"8859/1", "Zo\xeb", "Zoë"},
		"ISO 8859-1 where it is no UTF-8":   {"", "Zo\xeb", "Zoë"},
		"ISO 8859-1 in spite of MSH-18":     {"UNICODE UTF-8", "Zo\xeb", "Zoë"},
		"ISO 8859-1 declared, like UTF-8":   {"8859/1", "\xc3\xab", "Ã«"},
		"plain ASCII whatever was declared": {"ASCII", "Zoe", "Zoe"},
	} {
		m := mustParse(t, "MSH|^~\\&|A|B"+strings.Repeat("|", 14)+c.set+"\rPID|"+c.bytes)
		if got := m.Field("PID", 1).Text(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestWhatIsNoMessageIsRefusedWithAReason(t *testing.T) {
	for name, c := range map[string]struct{ raw, reason string }{
		"nothing":                {"", "MSH"},
		"not HL7":                {"GET / HTTP/1.1\r\n\r\n", "MSH"},
		"XML encoding":           {"<ADT_A03/>", "MSH"},
		"no MSH first":           {"PID|1\rMSH|^~\\&|", "MSH"},
		"MSH alone":              {"MSH", "MSH"},
		"letters as delimiters":  {"MSHa^~\\&aX", "delimiter"},
		"the same twice":         {"MSH|^^\\&|A", "twice"},
		"no encoding characters": {"MSH||A|B", "MSH-2"},
		"two messages at once":   {"MSH|^~\\&|A\rMSH|^~\\&|B", "second MSH"},
	} {
		_, err := Parse([]byte(c.raw))
		if err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: error %v does not speak of %q", name, err, c.reason)
		}
	}
}

func TestLimits(t *testing.T) {
	head := "MSH|^~\\&|A|B\r"
	if _, err := Parse([]byte(head + strings.Repeat("x", MaxBytes))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many bytes: %v", err)
	}
	if _, err := ParseHeader([]byte(head + strings.Repeat("x", MaxBytes))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many bytes for the header: %v", err)
	}
	if _, err := Parse([]byte(head + strings.Repeat("NTE|1\r", MaxSegments))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many segments: %v", err)
	}
	m := mustParse(t, head+strings.Repeat("NTE|1\r", MaxSegments-2)+"NTE|2|"+strings.Repeat("~", 2*MaxRepetitions))
	var last Segment
	for s := range m.Segments("NTE") {
		last = s
	}
	if n := len(slices.Collect(last.Field(2).Repetitions())); n != MaxRepetitions {
		t.Errorf("%d repetitions", n)
	}
}

func TestADischargeWithManyObservationsIsRead(t *testing.T) {
	raw := append(sample(t), strings.Repeat("OBX|1|TX|NOTE||"+strings.Repeat("x", 1000)+"\r", 1100)...)
	m := mustParse(t, string(raw))
	if got := m.Get("PV1-19").Text(); got != "SPELL0001" || len(slices.Collect(m.Segments("OBX"))) != 1100 {
		t.Errorf("PV1-19 is %q", got)
	}
}

func TestPathsThatAreNone(t *testing.T) {
	for _, s := range []string{"", "PV1", "PV1-", "PV1-0", "pv1-3", "PV12-3", "PV1-3.", "PV1-3.1.1.1", "PV1-3[0]", "PV1-3[1", "PV1-x", "-1", "PV1-1000"} {
		if p, err := ParsePath(s); err == nil {
			t.Errorf("ParsePath(%q) = %+v", s, p)
		}
	}
}

// text draws what may stand in a field: delimiters, escapes, line breaks and other scripts included.
func text() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.OneOf(rapid.SampledFrom([]rune("|^~\\&#\r\n\x0b\x1c \"aZ0é漢")), rapid.Rune()), 1, 12, -1)
}

func TestWhatIsBuiltReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &Builder{Delimiters: rapid.SampledFrom([]Delimiters{Standard, {'#', '*', '!', '/', '%'}}).Draw(t, "delimiters")}
		b.Set("MSH-3", "A")
		want := map[string]string{}
		paths := rapid.SampledFrom([]string{"MSH-10", "PID-3", "PID-3.4", "PID-3[2].5", "PID-3[3].4.2", "PID-5.2", "PV1-19.1", "PV1-45", "ZXX-1.1.3", "PID-30"})
		for range rapid.IntRange(1, 12).Draw(t, "fields") {
			path, value := paths.Draw(t, "path"), text().Draw(t, "text")
			b.Set(path, value)
			want[path] = value
		}
		m, err := Parse(b.Bytes())
		if err != nil {
			t.Fatalf("%q: %v", b.Bytes(), err)
		}
		for path, value := range want {
			if value = strings.ReplaceAll(value, "\x00", ""); value == `""` {
				value = ""
			}
			if got := m.Get(path).Text(); got != value {
				t.Fatalf("%s = %q, want %q in %q", path, got, value, b.Bytes())
			}
		}
	})
}

func TestBuilderKeepsRepeatedSegmentsApart(t *testing.T) {
	b := (&Builder{}).Set("MSH-9", "ADT").Set("NK1-2", "first").Add("NK1").Set("NK1-2", "second").SetRaw("PID-3", "1^^^RAJ^PI~2")
	want := "MSH|^~\\&|||||||ADT\rNK1||first\rNK1||second\rPID|||1^^^RAJ^PI~2\r"
	if diff := cmp.Diff(want, string(b.Bytes())); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkParseHeader(b *testing.B) {
	raw := sample(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseHeader(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseOfLongMessages shows that the time for a byte does not grow with the message.
func BenchmarkParseOfLongMessages(b *testing.B) {
	for name, text := range map[string]string{
		"1000 segments":     strings.Repeat("OBX|1|TX|NOTE||text\r", 1000),
		"19000 segments":    strings.Repeat("OBX|1|TX|NOTE||text\r", 19_000),
		"breaks in texts":   "NTE|1||" + strings.Repeat("x\r\n", MaxBytes/4),
		"only line breaks":  "NTE|1||" + strings.Repeat("\r", MaxBytes-10_000) + "x",
		"escapes in a text": "NTE|1||" + strings.Repeat("\\T\\", MaxBytes/4),
		"unended escapes":   "NTE|1||" + strings.Repeat("\\X4", MaxBytes/4),
	} {
		raw := append(sample(b), text...)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				m, err := Parse(raw)
				if err != nil {
					b.Fatal(err)
				}
				_ = m.Get("NTE-3").Text()
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	raw := sample(b)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}
