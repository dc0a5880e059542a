package hl7

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// The bytes of the Minimal Lower Layer Protocol (HL7 v2 implementation guide, appendix C): a frame is VT message FS CR.
const (
	startBlock = 0x0b
	endBlock   = 0x1c
)

// Reader takes messages out of an MLLP connection. Senders are not exact, so it takes what is clear: frames in frames, line breaks
// and rubbish between frames, a missing CR at the end, any fragmentation. A frame ends with its FS, not with the CR behind it,
// because a sender that leaves the CR out waits for an answer.
//
// Where a message begins inside a frame, its sender began anew: the message is what begins last. What stands before was cut off;
// it is dropped, for it gets no answer and is sent again. A VT that no MSH follows is a character in a text, such as a word
// processor's line break.
type Reader struct {
	in    *bufio.Reader
	limit int
	frame []byte
}

// messageStart is what every message begins with.
const messageStart = "MSH"

// NewReader reads frames of at most limit bytes from in; MaxBytes if limit is 0.
func NewReader(in io.Reader, limit int) *Reader {
	if limit <= 0 {
		limit = MaxBytes
	}
	return &Reader{in: bufio.NewReaderSize(in, 16<<10), limit: limit}
}

// Next returns the next message without its frame. The bytes stay valid until the following call.
//
// io.EOF is the end of the connection between frames, io.ErrUnexpectedEOF within one. ErrTooLarge comes with the beginning of the
// message, so that it can be refused by its control id; its rest has been skipped, and Next can be called again.
func (r *Reader) Next() ([]byte, error) {
	for {
		if err := r.skipTo(startBlock); err != nil {
			return nil, err
		}
		frame, err := r.readTo(endBlock)
		frame = bytes.TrimLeft(frame, "\x0b \t\r\n")
		if err != nil || len(frame) > 0 {
			return frame, err
		}
	}
}

func (r *Reader) skipTo(b byte) error {
	for {
		_, err := r.in.ReadSlice(b)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

func (r *Reader) readTo(b byte) ([]byte, error) {
	r.frame = r.frame[:0]
	size := 0
	var anew restart
	for {
		part, err := r.in.ReadSlice(b)
		if behind := anew.in(part); behind > 0 {
			r.frame = append(r.frame[:0], messageStart...)
			size, part = len(messageStart), part[behind:]
		}
		size += len(part)
		r.frame = append(r.frame, part[:min(len(part), max(0, r.limit+1-len(r.frame)))]...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case size-1 > r.limit:
			return r.frame[:r.limit], fmt.Errorf("%w: %d bytes in one frame, at most %d are read", ErrTooLarge, size-1, r.limit)
		}
		return r.frame[:size-1], nil
	}
}

// restart finds where a message begins behind a VT, whichever parts the bytes come in. Its value is how much has been seen of VT and
// messageStart.
type restart int

// in returns the place in the part that is behind the last such beginning, or 0 if none is complete there.
func (r *restart) in(part []byte) int {
	behind := 0
	for i := 0; i < len(part); i++ {
		if *r == 0 {
			vt := bytes.IndexByte(part[i:], startBlock)
			if vt < 0 {
				break
			}
			i += vt
		}
		switch c := part[i]; {
		case c == startBlock:
			*r = 1
		case *r == 1 && bytes.IndexByte([]byte(" \t\r\n\xef\xbb\xbf"), c) >= 0:
		case c == messageStart[*r-1]:
			*r++
		default:
			*r = 0
		}
		if int(*r) > len(messageStart) {
			behind, *r = i+1, 0
		}
	}
	return behind
}

// Frame returns the message in its frame, ready for one write.
func Frame(message []byte) []byte {
	return AppendFrame(make([]byte, 0, len(message)+3), message)
}

// AppendFrame appends the message in its frame.
func AppendFrame(b, message []byte) []byte {
	b = append(b, startBlock)
	b = append(b, message...)
	return append(b, endBlock, '\r')
}
