package feedcheck

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	_ "time/tzdata"

	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/community-pickup/places"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/discharge-hub/mllp"
)

var numbers = []string{"9990000018", "9990000026", "9990000034", "9990000042", "9990000050", "9990000069", "9990000077", "9990000085", "9990000093"}

// adt is one message of a sender who swaps PV1-36 and 37, puts the practice into PD1-4 and the provider's numbers under its own name.
func adt(trigger string, n int, at time.Time) *hl7.Builder {
	text := at.Format("20060102150405")
	b := &hl7.Builder{}
	b.Set("MSH-3", "MSEPAS").Set("MSH-4", "RAJ").Set("MSH-5", "HUB").Set("MSH-6", "THURROCK").Set("MSH-7", text).
		SetRaw("MSH-9", "ADT^"+trigger).Set("MSH-10", fmt.Sprintf("C%05d", n)).Set("MSH-11", "P").Set("MSH-12", "2.4")
	b.Set("EVN-1", trigger).Set("EVN-2", text)
	b.SetRaw("PID-3", numbers[n%len(numbers)]+"^^^NHS^NH~"+fmt.Sprint(1000000+n)+"^^^BTUH^PI").SetRaw("PID-5", "TESTER^Ada").Set("PID-7", "19410312").
		SetRaw("PID-11", "1 EXAMPLE ROAD^^GRAYS^^RM17 5AA^GBR").Set("PID-30", "N")
	b.SetRaw("PD1-4", "F81155^A PRACTICE")
	b.Set("PV1-2", "I").SetRaw("PV1-3", "ELM^B2^04^RAJ12").Set("PV1-19", fmt.Sprintf("V%05d", n)).Set("PV1-44", at.AddDate(0, 0, -5).Format("20060102150405"))
	return b
}

// week is a folder of 330 messages, 300 of them discharges, with what hospitals do.
func week() fstest.MapFS {
	folder := fstest.MapFS{}
	add := func(n int, raw []byte) { folder[fmt.Sprintf("%02d/%05d.hl7", n%7, n)] = &fstest.MapFile{Data: raw} }
	for n := range 300 {
		at := time.Date(2026, 9, 1+n%7, 9, n%60, 0, 0, time.UTC)
		b := adt("A03", n, at).Set("PV1-36", "19").Set("PV1-37", "1").Set("PV1-45", at.Format("20060102150405"))
		switch {
		case n >= 212 && n < 260:
			b.Set("PV1-36", "1").Set("PV1-37", "19")
		case n >= 260 && n < 270:
			b.Set("PV1-36", "USUAL PLACE OF RESIDENCE")
		case n >= 270 && n < 275:
			b.Set("PV1-36", "NURSING HOME").Set("PV1-37", "ROUTINE")
		case n >= 275 && n < 278:
			b.Set("PV1-36", "MORTUARY").Set("PV1-37", "DIED")
		case n >= 278:
			b.Set("PV1-36", "XR7").Set("PV1-37", "1")
		}
		switch {
		case n%40 == 1:
			b.SetRaw("PD1-4", "F85001^OUT OF TOWN")
		case n%100 == 2:
			b.SetRaw("PD1-4", "Y07507^A HUB")
		case n%25 == 3:
			b.SetRaw("PID-11", "1 EXAMPLE ROAD^^BASILDON^^SS14 1AA^GBR")
		case n%60 == 4:
			b.Set("PV1-19", "")
		case n%100 == 5:
			b.Set("MSH-10", "C00000")
		case n%15 == 6:
			b.Set("PV1-45", at.Format("20060102150405")+"+0100")
		case n%75 == 7:
			b.Set("MSH-11", "T")
		case n%43 == 8:
			b.Set("EVN-2", "")
		case n%50 == 9:
			b.Set("MSH-12", "2.3")
		}
		raw := b.Bytes()
		if n%50 == 10 {
			raw = bytes.ReplaceAll(raw, []byte("\r"), []byte("\n"))
		}
		add(n, raw)
	}
	for n := 300; n < 320; n++ {
		add(n, adt("A01", n, time.Date(2026, 8, 28, 9, n%60, 0, 0, time.UTC)).Set("PV1-2", "E").Set("PV1-19", fmt.Sprintf("V%05d", n-290)).Bytes())
	}
	for n := 320; n < 328; n++ {
		add(n, adt("A28", n, time.Date(2026, 8, 28, 9, n%60, 0, 0, time.UTC)).Bytes())
	}
	add(328, []byte("no message at all"))
	add(329, append(mllp.Frame(folder["06/00300.hl7"].Data), mllp.Frame(adt("A08", 329, time.Date(2026, 9, 9, 9, 0, 0, 0, time.UTC)).Bytes())...))
	return folder
}

func inputs(t *testing.T) ([]Message, discharge.Feed, pickup.Place) {
	t.Helper()
	place, err := places.Embedded("thurrock")
	if err != nil {
		t.Fatal(err)
	}
	messages, err := ReadFolder(week())
	if err != nil {
		t.Fatal(err)
	}
	feed, err := Draft(messages, "mse-new", discharge.ScopeSocialCare, "Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	return messages, feed, place
}

func TestReportIsAsWritten(t *testing.T) {
	messages, feed, place := inputs(t)
	var out bytes.Buffer
	Check(messages, feed, place).Write(&out, 12)
	golden := filepath.Join("testdata", "report.golden")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("the report is not as %s has it (UPDATE_GOLDEN=1 writes it):\n%s", golden, out.String())
	}
	for _, personal := range []string{"TESTER", "EXAMPLE ROAD", "9990000026", "RM17 5AA", "1941"} {
		if strings.Contains(out.String(), personal) {
			t.Errorf("the report holds %q", personal)
		}
	}
}

func TestFindingsAreCounted(t *testing.T) {
	messages, feed, place := inputs(t)
	r := Check(messages, feed, place)
	found := map[string]Finding{}
	for _, f := range r.Findings {
		found[f.Kind] = f
	}
	for kind, want := range map[string]int{
		kindSwapped: 212, kindPractice: 322, kindDestinations: 8, kindMethods: 40, kindAuthority: 322, "practice-not-in-directory": 8, "practice-not-a-gp-practice": 3,
		"postcode-outside": 12, "visit-number-missing": 5, "control-id-reused": 1, "test-messages": 4, "class-changes": 20, "evn-2-missing": 6,
		"offsets-mixed": 18, "unreadable": 1, "not-handled": 8, "duplicates": 1,
	} {
		if got := found[kind].Count; got != want {
			t.Errorf("%s: found in %d, want %d: %s", kind, got, want, found[kind].Text)
		}
	}
}

func TestProposalIsAFeedThatLeavesNothingToComplainOf(t *testing.T) {
	messages, feed, place := inputs(t)
	r := Check(messages, feed, place)
	if len(r.Changes) == 0 || len(r.Complaints(MendMapping)) == 0 {
		t.Fatal("nothing is proposed")
	}
	text, err := r.Proposal.File()
	if err != nil {
		t.Fatal(err)
	}
	proposed, err := discharge.ParseFeed("proposal.json", text)
	if err != nil {
		t.Fatalf("the proposal is no feed: %v\n%s", err, text)
	}
	again := Check(messages, proposed, place)
	for _, f := range again.Complaints(MendMapping) {
		t.Errorf("still: %s", f.Text)
	}
	if len(again.Changes) != 0 {
		t.Errorf("another proposal: %v", again.Changes)
	}
}

func TestSplit(t *testing.T) {
	one := "MSH|^~\\&|A|B\rPID|1\r"
	for name, c := range map[string]struct {
		data string
		want int
	}{
		"one": {one, 1}, "two behind one another": {one + one, 2}, "in frames": {"\x0b" + one + "\x1c\r\x0b" + one + "\x1c\r", 2},
		"with LF": {strings.ReplaceAll(one, "\r", "\n") + "MSH|^~\\&|A|B\n", 2}, "MSH in a text": {"MSH|^~\\&|A|B\rNTE|1|MSH|x\r", 1},
		"none": {"  \n", 0}, "no HL7": {"GET / HTTP/1.1", 1}, "with a byte order mark": {"\xef\xbb\xbf" + one, 1},
	} {
		if got := Split("f", []byte(c.data)); len(got) != c.want {
			t.Errorf("%s: %d messages, want %d", name, len(got), c.want)
		}
	}
}

func TestATestSystemIsProposedAsOne(t *testing.T) {
	_, feed, place := inputs(t)
	var messages []Message
	for n := range 5 {
		messages = append(messages, Message{Raw: adt("A03", n, time.Date(2026, 9, 1, 9, 0, 0, 0, time.UTC)).Set("MSH-11", "T").Bytes()})
	}
	r := Check(messages, feed, place)
	if r.Proposal.Mode != discharge.Test || len(Check(messages, r.Proposal, place).Complaints(MendMapping)) != 0 {
		t.Errorf("proposed: %+v, because %v", r.Proposal, r.Changes)
	}
}

// TestAnEngineThatNamesNumbersOtherwise has the numbers of Cerner Millennium and a message about a person, which needs no visit number.
func TestAnEngineThatNamesNumbersOtherwise(t *testing.T) {
	_, feed, place := inputs(t)
	at := time.Date(2026, 9, 1, 9, 0, 0, 0, time.UTC)
	numbers := "1234567^^^LOCAL MRN^MRN~9990000026^^^NHSNBR^NHSNMBR"
	r := Check([]Message{{Raw: adt("A28", 1, at).SetRaw("PID-3", numbers).Set("PV1-2", "N").Set("PV1-19", "").Bytes()},
		{Raw: adt("A03", 2, at).SetRaw("PID-3", numbers).Bytes()}}, feed, place)
	if r.Proposal.Mapping.PatientAuthority != "LOCAL MRN" {
		t.Errorf("the authority of the patient numbers is proposed to be %s", r.Proposal.Mapping.PatientAuthority)
	}
	for _, f := range r.Findings {
		if f.Kind == "visit-number-missing" && f.Count > 0 {
			t.Error(f.Text)
		}
	}
}

func TestAVisitNumberInAnotherPlaceIsPointedAt(t *testing.T) {
	_, feed, place := inputs(t)
	at := time.Date(2026, 9, 1, 9, 0, 0, 0, time.UTC)
	r := Check([]Message{{Raw: adt("A03", 1, at).Set("PV1-19", "").Set("PID-18", "V1").Bytes()}, {Raw: adt("A03", 2, at).Set("PID-18", "V2").Bytes()},
		{Raw: adt("A31", 3, at).Set("PV1-19", "").Set("PID-18", "V3").Bytes()}}, feed, place)
	for _, f := range r.Findings {
		if f.Kind == "visit-number-missing" && !strings.Contains(f.Text, "PID-18 holds a number in 1 of them") {
			t.Error(f.Text)
		}
	}
}

// FuzzCheck: whatever lies in a folder, the check ends, its proposal is a feed, and after that feed nothing is left for the mapping.
func FuzzCheck(f *testing.F) {
	place, err := places.Embedded("thurrock")
	if err != nil {
		f.Fatal(err)
	}
	feed, err := discharge.ParseFeed("feed", []byte(`{"key":"f","door":"mllp","application":"A","facilities":["RAJ"],"provider":"RAJ","scope":"social-care",
		"time_zone":"Europe/London","mode":"live","mapping":{"version":"1"}}`))
	if err != nil {
		f.Fatal(err)
	}
	for name, file := range week() {
		if strings.HasSuffix(name, "7.hl7") {
			f.Add(file.Data)
		}
	}
	f.Add([]byte("MSH|^~\\&|A|RAJ|||2026||ADT^A03\rPV1||||||||||||||||||||||||||||||||||||4|79\r"))
	f.Fuzz(func(t *testing.T, data []byte) {
		messages := Split("f", data)
		r := Check(messages, feed, place)
		r.Write(new(bytes.Buffer), 5)
		text, err := r.Proposal.File()
		if err != nil {
			t.Fatal(err)
		}
		proposed, err := discharge.ParseFeed("proposal", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for _, c := range Check(messages, proposed, place).Complaints(MendMapping) {
			t.Errorf("still: %s", c.Text)
		}
	})
}
