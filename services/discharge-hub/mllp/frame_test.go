package mllp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
)

// readAll returns every message and the error that ended them.
func readAll(in io.Reader, limit int) ([]string, error) {
	r := NewReader(in, limit)
	var got []string
	for {
		frame, err := r.Next()
		if err != nil && !errors.Is(err, ErrEmpty) {
			return got, err
		}
		got = append(got, string(frame))
	}
}

func TestFramesAreTakenAsSendersSendThem(t *testing.T) {
	for name, c := range map[string]struct {
		wire string
		want []string
	}{
		"one":                 {"\x0bMSH|1\x1c\r", []string{"MSH|1"}},
		"several":             {"\x0bMSH|1\x1c\r\x0bMSH|2\x1c\r", []string{"MSH|1", "MSH|2"}},
		"framed twice":        {"\x0b\x0bMSH|1\x1c\r\x1c\r\x0bMSH|2\x1c\r", []string{"MSH|1", "MSH|2"}},
		"line breaks between": {"\r\n\x0bMSH|1\x1c\r\n\n\x0bMSH|2\x1c\r", []string{"MSH|1", "MSH|2"}},
		"rubbish between":     {"hello\x0bMSH|1\x1c\rPING\x00\x0bMSH|2\x1c\r", []string{"MSH|1", "MSH|2"}},
		"no CR behind":        {"\x0bMSH|1\x1c\x0bMSH|2\x1c", []string{"MSH|1", "MSH|2"}},
		"LF instead of CR":    {"\x0bMSH|1\x1c\n\x0bMSH|2\x1c\n", []string{"MSH|1", "MSH|2"}},
		"empty frames":        {"\x0b\x1c\r\x0b\r\n\x1c\r\x0bMSH|1\x1c\r", []string{"", "", "MSH|1"}},
		"nothing":             {"", nil},
		"rubbish in front of a message in its frame": {"\x0bGARBAGE\x0bMSH|1\x1c\r", []string{"MSH|1"}},
		"cut off and begun anew":                     {"\x0bMSH|1|cut\x0bMSH|2\x1c\r\x0bMSH|3\x1c\r", []string{"MSH|2", "MSH|3"}},
		"cut off twice, then framed twice":           {"\x0bMSH|1\x0bMSH|2\x0b\x0b\r\n\ufeffMSH|3\x1c\r\x1c\r", []string{"MSH|3"}},
		"cut off within MSH":                         {"\x0bMSH|1\x0bMS\x0bMSH|2\x1c\r", []string{"MSH|2"}},
		"a line break of a word processor in a text": {"\x0bMSH|1\rNTE|1||one\x0btwo MSH\x0bMST\x1c\r", []string{"MSH|1\rNTE|1||one\x0btwo MSH\x0bMST"}},
	} {
		for way, in := range map[string]io.Reader{
			"whole":        strings.NewReader(c.wire),
			"byte by byte": iotest.OneByteReader(strings.NewReader(c.wire)),
		} {
			got, err := readAll(in, 0)
			if !errors.Is(err, io.EOF) {
				t.Errorf("%s, %s: ended with %v", name, way, err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s, %s: %s", name, way, diff)
			}
		}
	}
}

func TestAFrameWithoutCRIsGivenBeforeTheNextByteComes(t *testing.T) {
	in, out := io.Pipe()
	defer in.Close()
	go out.Write([]byte("\x0bMSH|1\x1c"))
	frame, err := NewReader(in, 0).Next()
	if err != nil || string(frame) != "MSH|1" {
		t.Errorf("%q, %v", frame, err)
	}
}

func TestAConnectionThatBreaksInAFrameSaysSo(t *testing.T) {
	if got, err := readAll(strings.NewReader("\x0bMSH|1\x1c\r\x0bMSH|2"), 0); !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != 1 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestATooLargeFrameIsNamedAndTheNextOneIsRead(t *testing.T) {
	for _, size := range []int{101, 50_000} {
		wire := "\x0bMSH|" + strings.Repeat("x", size) + "\x1c\r\x0bMSH|2\x1c\r\x0b" + strings.Repeat("y", 100) + "\x1c\r"
		r := NewReader(strings.NewReader(wire), 100)
		begin, err := r.Next()
		if !errors.Is(err, hl7.ErrTooLarge) || len(begin) != 100 || !bytes.HasPrefix(begin, []byte("MSH|x")) {
			t.Errorf("%d: %q, %v", size, begin, err)
		}
		if next, err := r.Next(); err != nil || string(next) != "MSH|2" {
			t.Errorf("%d: %q, %v", size, next, err)
		}
		if next, err := r.Next(); err != nil || len(next) != 100 {
			t.Errorf("a frame of exactly the limit: %q, %v", next, err)
		}
	}
}

func TestATooLargeFragmentIsDroppedForTheMessageThatFollowsInItsFrame(t *testing.T) {
	for _, size := range []int{90, 101, 50_000} {
		wire := "\x0bMSH|" + strings.Repeat("x", size) + "\x0bMSH|2\x1c\r\x0bMSH|3\x0bMSH|" + strings.Repeat("y", size+20) + "\x1c\r\x0bMSH|4\x1c\r"
		r := NewReader(strings.NewReader(wire), 100)
		if got, err := r.Next(); err != nil || string(got) != "MSH|2" {
			t.Errorf("%d: %q, %v", size, got, err)
		}
		if got, err := r.Next(); !errors.Is(err, hl7.ErrTooLarge) || len(got) != 100 || !bytes.HasPrefix(got, []byte("MSH|y")) {
			t.Errorf("%d: a message too large behind a fragment: %q, %v", size, got, err)
		}
		if got, err := r.Next(); err != nil || string(got) != "MSH|4" {
			t.Errorf("%d: %q, %v", size, got, err)
		}
	}
}

func TestWhatIsFramedIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		messages := rapid.SliceOf(rapid.StringMatching(`MSH\|[ -~\r]{0,40}[!-~]`)).Draw(t, "messages")
		var wire []byte
		for _, m := range messages {
			wire = append(wire, rapid.SampledFrom([]string{"", "\r\n", "\x1c\r", "noise", "\x0bMSH|cut", "\x0bnoise"}).Draw(t, "between")...)
			wire = AppendFrame(wire, []byte(m))
		}
		got, err := readAll(bytes.NewReader(wire), 0)
		if !errors.Is(err, io.EOF) || len(got) != len(messages) {
			t.Fatalf("%d of %d messages, %v", len(got), len(messages), err)
		}
		for i := range messages {
			if got[i] != messages[i] {
				t.Fatalf("%q, want %q", got[i], messages[i])
			}
		}
	})
}

func TestLargeFramesOfManyReadersShareABudget(t *testing.T) {
	budget := NewBudget(2 * budgetStep)
	large := func(n int) string { return "\x0bMSH|" + strings.Repeat("x", n) + "\x1c\r" }
	reader := func(wire string) *Reader {
		r := NewReader(strings.NewReader(wire), 0)
		r.Budget = budget
		return r
	}
	first := reader(large(2*budgetStep) + large(10))
	second := reader(large(smallFrame*2) + large(smallFrame*2))
	if frame, err := first.Next(); err != nil || len(frame) != 2*budgetStep+4 {
		t.Fatalf("%d bytes, %v", len(frame), err)
	}
	if begin, err := second.Next(); !errors.Is(err, ErrBusy) || !bytes.HasPrefix(begin, []byte("MSH|x")) {
		t.Errorf("%d bytes, %v: another holds all that there is", len(begin), err)
	}
	if frame, err := reader(large(1000)).Next(); err != nil || len(frame) != 1004 {
		t.Errorf("a small frame: %d bytes, %v", len(frame), err)
	}
	if frame, err := first.Next(); err != nil || len(frame) != 14 {
		t.Errorf("%d bytes, %v", len(frame), err)
	}
	if frame, err := second.Next(); err != nil || len(frame) != 2*smallFrame+4 {
		t.Errorf("%d bytes, %v: the budget is free again", len(frame), err)
	}
	second.Release()
	if free := budget.free.Load(); free != 2*budgetStep {
		t.Errorf("%d of the budget are free after all, want %d", free, 2*budgetStep)
	}
}
