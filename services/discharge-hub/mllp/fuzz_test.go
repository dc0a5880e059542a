package mllp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
)

// framed is what Next returns.
type framed struct {
	Text string
	Err  string
}

// framesOf is MLLP as Reader describes it, over the whole stream at once: what stands between a VT and the next FS, from the last
// beginning of a message in it, without what comes along in front.
func framesOf(wire []byte, limit int) (frames []framed) {
	for {
		_, behind, begun := bytes.Cut(wire, []byte{startBlock})
		if !begun {
			return append(frames, framed{"", io.EOF.Error()})
		}
		block, rest, ended := bytes.Cut(behind, []byte{endBlock})
		if !ended {
			return append(frames, framed{"", io.ErrUnexpectedEOF.Error()})
		}
		wire = rest
		for i := len(block) - 1; i >= 0; i-- {
			if block[i] != startBlock {
				continue
			}
			at := i + 1
			for at < len(block) && strings.IndexByte(" \t\r\n\xef\xbb\xbf", block[at]) >= 0 {
				at++
			}
			if bytes.HasPrefix(block[at:], []byte("MSH")) {
				block = block[at:]
				break
			}
		}
		text := strings.TrimLeft(string(block[:min(len(block), limit)]), "\x0b \t\r\n")
		switch {
		case len(block) > limit:
			frames = append(frames, framed{text, hl7.ErrTooLarge.Error()})
		case text == "":
			frames = append(frames, framed{"", ErrEmpty.Error()})
		default:
			frames = append(frames, framed{text, ""})
		}
	}
}

// inCuts reads in pieces of the given lengths, and then the rest.
func inCuts(wire, cuts []byte) io.Reader {
	var parts []io.Reader
	for _, c := range cuts {
		n := min(int(c), len(wire))
		parts = append(parts, bytes.NewReader(wire[:n]))
		wire = wire[n:]
	}
	return io.MultiReader(append(parts, bytes.NewReader(wire))...)
}

func FuzzReader(f *testing.F) {
	message, err := os.ReadFile("../hl7/testdata/sample_a03.hl7")
	if err != nil {
		f.Fatal(err)
	}
	whole := Frame(message)
	f.Add(whole, uint16(4000), []byte{})
	f.Add(append(slices.Clone(whole), whole...), uint16(463), []byte{1, 2, 200, 255, 1})
	f.Add(append(slices.Clone(whole), whole...), uint16(462), []byte{0, 11})
	f.Add(append([]byte("\x0bMSH|^~\\&|CUT|OFF\rEVN|A0"), whole...), uint16(4000), []byte{25, 1, 1, 1})
	f.Add([]byte("\x0b\x0bMSH|1\x1c\r\x1c\r\n\x0b\r\n\x1c\rPING\x00\x0bMSH|2\x1c\x0bMSH|3\x1c\n"), uint16(10), []byte{3})
	f.Add([]byte("\x0bMSH|1\rNTE|1||one\x0btwo\x0b \xef\xbb\xbfMS\x0b\x0b\r\nMSH|2\x1c\r\x0bMSH"), uint16(9), []byte{20, 1})
	f.Add([]byte("\x0bMSH\x1c\x0b\x1c\x0bMSH"), uint16(2), []byte{})
	f.Fuzz(func(t *testing.T, wire []byte, limit uint16, cuts []byte) {
		want := framesOf(wire, max(1, int(limit)))
		for way, in := range map[string]*bufio.Reader{
			"whole":                         bufio.NewReader(bytes.NewReader(wire)),
			"in pieces":                     bufio.NewReader(inCuts(wire, cuts)),
			"whole, through a small buffer": bufio.NewReaderSize(bytes.NewReader(wire), 16),
			"the end with the last bytes, through a small buffer": bufio.NewReaderSize(iotest.DataErrReader(inCuts(wire, cuts)), 16),
		} {
			r := &Reader{in: in, limit: max(1, int(limit))}
			var got []framed
			for over := false; !over; {
				frame, err := r.Next()
				one := framed{Text: string(frame)}
				switch over = err != nil && !errors.Is(err, hl7.ErrTooLarge) && !errors.Is(err, ErrEmpty); {
				case over, errors.Is(err, ErrEmpty):
					one.Err = err.Error()
				case err != nil:
					one.Err = hl7.ErrTooLarge.Error()
				}
				got = append(got, one)
			}
			if !slices.Equal(want, got) {
				t.Fatalf("%s: %s", way, cmp.Diff(want, got))
			}
		}
	})
}
