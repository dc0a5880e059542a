package discharge

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/discharge-hub/mllp"
)

// TestADischargeReadsTheSameHoweverItsSenderWritesIt says the sample discharge in the ways in which systems differ, one sentence of the
// README each, takes it off the wire in pieces, and wants the same fact.
func TestADischargeReadsTheSameHoweverItsSenderWritesIt(t *testing.T) {
	_, raw := sample(t)
	replace := func(old, new string) string {
		if !strings.Contains(string(raw), old) {
			t.Fatalf("the sample holds no %q", old)
		}
		return strings.ReplaceAll(string(raw), old, new)
	}
	lines := func(end string) string { return strings.ReplaceAll(string(raw), "\r", end) }
	for name, said := range map[string]string{
		"version 2.1":                          replace("|2.4", "|2.1"),
		"version 2.2, the trigger in EVN only": strings.Replace(replace("|2.4", "|2.2"), "ADT^A03", "ADT", 1),
		"version 2.3":                          replace("|2.4", "|2.3"),
		"version 2.3.1":                        strings.Replace(replace("|2.4", "|2.3.1"), "ADT^A03", "ADT^A03^ADT_A03", 1),
		"version 2.5":                          strings.Replace(replace("|2.4", "|2.5"), "ADT^A03", "ADT^A03^ADT_A03", 1),
		"version 2.5.1 with its realm":         replace("|2.4", "|2.5.1^GBR"),
		"no version":                           replace("|2.4", ""),
		"delimiters of its own":                strings.NewReplacer("|", "#", "^", "*", "~", "!", `\`, "/", "&", "%").Replace(string(raw)),
		"MSH-2 cut short":                      replace(`^~\&`, "^~"),
		"escapes in codes and names":           strings.Replace(replace("TESTER", `T\X4553\TER`), "SPELL0001", `SPELL\X30\001`, 1),
		"more repetitions of PID-3":            replace("9990000026^^^NHS^NH", "X1^^^OTHER^MR~9990000026^^^NHS^NH~X2^^^ELSE^PI"),
		"Z-segments before, between, behind":   strings.Replace(string(raw), "\rPID", "\rZBE|1|a^b~c\rPID", 1) + "ZZZ\rZU1||" + strings.Repeat("x|", 300) + "\r",
		"segments that nobody reads":           string(raw) + "AL1|1||^\rOBX|1|TX|NOTE||PV1 and \\.br\\ MSH\r",
		"LF for CR":                            lines("\n"),
		"CR and LF":                            lines("\r\n"),
		"blank lines":                          lines("\r\r\n"),
		"no break at the end":                  strings.TrimRight(string(raw), "\r"),
		"UTF-8 with a byte order mark":         "\ufeff" + string(raw),
		"UTF-8, declared":                      replace("|2.4", "|2.4||||||UNICODE UTF-8"),
		"ISO 8859-1, declared":                 replace("|2.4", "|2.4||||||8859/1"),
		"empty fields behind the last":         lines("|||\r"),
		"explicit nulls where nothing is read": strings.Replace(string(raw), "PD1|||", `PD1|""|""|`, 1),
		"the enhanced mode":                    replace("|2.4", "|2.4|||AL|NE"),
	} {
		for way, wire := range map[string]string{
			"one frame":                        "\x0b" + said + "\x1c\r",
			"a frame in a frame":               "\x0b\x0b" + said + "\x1c\r\x1c\r",
			"no CR behind the frame":           "\x0b" + said + "\x1c",
			"rubbish and line breaks in front": "\r\n \x00\x0b" + said + "\x1c\r\n",
			"begun anew after it was cut off":  "\x0b" + said[:len(said)/2] + "\x0b" + said + "\x1c\r",
		} {
			in := mllp.NewReader(iotest.OneByteReader(strings.NewReader(wire)), 0)
			frame, err := in.Next()
			if err != nil {
				t.Fatalf("%s, %s: %v", name, way, err)
			}
			got := reading(t, bytes.Clone(frame))
			want := reading(t, raw)
			got.Fact.Digest, want.Fact.Digest = "", ""
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %s: %s", name, way, diff)
			}
			if _, err := in.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("%s, %s: there is more than one message: %v", name, way, err)
			}
		}
	}
}

func TestNamesInBothCharacterSetsAreTheSame(t *testing.T) {
	_, raw := sample(t)
	for name, said := range map[string]string{
		"UTF-8":                    strings.Replace(string(raw), "Ada", "Zo\xc3\xab", 1),
		"UTF-8, with its mark":     "\ufeff" + strings.Replace(string(raw), "Ada", "Zo\xc3\xab", 1),
		"ISO 8859-1":               strings.Replace(string(raw), "Ada", "Zo\xeb", 1),
		"ISO 8859-1, declared":     strings.NewReplacer("Ada", "Zo\xeb", "|2.4", "|2.4||||||8859/1").Replace(string(raw)),
		"ISO 8859-1, as its bytes": strings.Replace(string(raw), "Ada", `Zo\XEB\`, 1),
	} {
		if got := reading(t, []byte(said)).Fact.GivenName; got != Tell("Zoë") {
			t.Errorf("%s: %q", name, got.Value)
		}
	}
}

func TestEmptySaysNothingAndNullDeletes(t *testing.T) {
	_, raw := sample(t)
	state := func(later string) State {
		later = strings.NewReplacer("ADT^A03", "ADT^A08", "|A03|", "|A08|", "20260902143000", "20260902150000").Replace(later)
		return Fold([]Fact{reading(t, raw).Fact, reading(t, []byte(later)).Fact})
	}
	practice := "BALFOUR MEDICAL CENTRE^^F81155^^^NHS^ODS"
	if got := state(strings.Replace(string(raw), practice, "", 1)).Spell.PracticeCode; got != "F81155" {
		t.Errorf("an empty practice: %q is known, and nothing was said against F81155", got)
	}
	if got := state(strings.Replace(string(raw), practice, `""`, 1)).Spell.PracticeCode; got != "" {
		t.Errorf("a practice that was deleted is still %q", got)
	}
	if got := state(strings.Replace(string(raw), "19410312", `""`, 1)).Spell.Adult; got == AdultYes {
		t.Errorf("a birth date that was deleted still makes an adult")
	}
}

// TestNoMessageIsSlowToRead has messages of the greatest size whose parts are all of one kind. A mapping whose cost grows faster than its
// message would not end.
func TestNoMessageIsSlowToRead(t *testing.T) {
	_, raw := sample(t)
	head, tail, _ := strings.Cut(string(raw), "9990000026")
	room := hl7.MaxBytes - len(raw)
	for name, said := range map[string]string{
		"repetitions":   head + strings.Repeat("~", room) + tail,
		"components":    head + strings.Repeat("^", room) + tail,
		"subcomponents": head + strings.Repeat("&", room) + tail,
		"fields":        head + strings.Repeat("|", room) + tail,
		"escapes":       head + strings.Repeat(`\`, room) + tail,
		"ids":           head + strings.Repeat("~1^^^RAJ^PI", room/11) + tail,
		"segments":      string(raw) + strings.Repeat("PV1|\r", hl7.MaxSegments-10),
	} {
		if _, err := FromHL7(feedNamed(t, "mse-basildon"), []byte(said)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
