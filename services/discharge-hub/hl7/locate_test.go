package hl7

import (
	"strings"
	"testing"
)

const located = "\x0b\r\nMSH|^~\\&|MSEPAS|RAJ|HUB|THURROCK|20260902143005||ADT^A03|MSG42|P|2.4\r" +
	"EVN|A03|20260902143000\r\n" +
	"PID|1||9990000026^^^NHS^NH~1234567^^^RAJ&x^PI||M\xdcLLER^Ada\r" +
	"PV1||I|ELM^B2^04^RAJ12\r\x1c"

func TestLocateNamesTheBytesOfAPlace(t *testing.T) {
	for _, c := range []struct{ path, text, reached string }{
		{"MSH-1", "|", "MSH-1"},
		{"MSH-2", `^~\&`, "MSH-2"},
		{"MSH-10", "MSG42", "MSH-10"},
		{"MSH-9.2", "A03", "MSH-9.2"},
		{"EVN-2", "20260902143000", "EVN-2"},
		{"PID-3", "9990000026^^^NHS^NH~1234567^^^RAJ&x^PI", "PID-3"},
		{"PID-3[2]", "1234567^^^RAJ&x^PI", "PID-3[2]"},
		{"PID-3[2].4.2", "x", "PID-3[2].4.2"},
		{"PID-3.4", "NHS", "PID-3.4"},
		{"PID-3[3].1", "", "PID-3"},
		{"PID-5.1", "M\xdcLLER", "PID-5.1"},
		{"PID-5.2", "Ada", "PID-5.2"},
		{"PID-2", "", "PID-2"},
		{"PV1-3.4", "RAJ12", "PV1-3.4"},
		{"PV1-3.9", "", "PV1-3"},
		{"PV1-19", "", "PV1"},
		{"PD1-3.3", "", ""},
	} {
		p, err := ParsePath(c.path)
		if err != nil {
			t.Fatal(err)
		}
		place, err := Locate([]byte(located), p)
		if err != nil {
			t.Fatalf("%s: %v", c.path, err)
		}
		if got := located[place.Offset : place.Offset+place.Length]; got != c.text || place.Reached.String() != c.reached {
			t.Errorf("%s: %q at %q, want %q at %q", c.path, got, place.Reached, c.text, c.reached)
		}
	}
	p, _ := ParsePath("PV1-19")
	place, _ := Locate([]byte(located), p)
	if end := strings.Index(located, "RAJ12") + len("RAJ12"); place.Offset != end {
		t.Errorf("what is missing in PV1 is shown at %d, and PV1 ends at %d", place.Offset, end)
	}
	if _, err := Locate([]byte("GET / HTTP/1.1"), p); err == nil {
		t.Error("a place in what is no message")
	}
}

func TestPathIsWrittenAsItIsRead(t *testing.T) {
	for _, text := range []string{"PV1-36", "PD1-3.3", "PV1-3.4.1", "PID-3[2].1", "PID-3[2].4.2", "PID-3[7]"} {
		p, err := ParsePath(text)
		if err != nil || p.String() != text {
			t.Errorf("%s became %s: %v", text, p, err)
		}
	}
}

// FuzzLocate: whatever the message and the path, the place lies within the message and holds what At says is there.
func FuzzLocate(f *testing.F) {
	for _, path := range []string{"PID-3[2].4.2", "PV1-19", "MSH-2", "MSH-3.2", "PID-5.1", "ZZZ-1"} {
		f.Add([]byte(located), path)
	}
	f.Add([]byte("\xef\xbb\xbfMSH|^\rPID|a\nb|c"), "PID-1.1")
	f.Add([]byte("MSH|^~\\&|||||||||||||||UNICODE UTF-8\rPID|1||M\xc3\x9cLLER~x"), "PID-3[2]")
	f.Add([]byte("MSH|^~\\&|a\rPV1|1\rPV1|2"), "PV1-1")
	f.Fuzz(func(t *testing.T, raw []byte, text string) {
		p, err := ParsePath(text)
		if err != nil {
			return
		}
		m, err := Parse(raw)
		if err != nil {
			return
		}
		place, err := Locate(raw, p)
		if err != nil {
			t.Fatalf("a message that is read has no places: %v", err)
		}
		if place.Offset < 0 || place.Length < 0 || place.Offset+place.Length > len(raw) {
			t.Fatalf("%s is at %d, %d bytes of %d", text, place.Offset, place.Length, len(raw))
		}
		want, got := m.At(p).raw, string(raw[place.Offset:place.Offset+place.Length])
		if want != got && want != latin1(got) {
			t.Fatalf("%s is %q, and shown is %q", text, want, got)
		}
		if place.Length > 0 && place.Reached != p {
			t.Fatalf("%s is shown, and only %s is reached", text, place.Reached)
		}
	})
}
