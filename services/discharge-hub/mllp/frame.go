package mllp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
)

// A frame is VT message FS CR.
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
	// Begun, if set, is called when a frame begins, before the rest of it is waited for.
	Begun func()
	// Budget, if set, is shared with other readers: what they hold of large frames together.
	Budget *Budget

	in    *bufio.Reader
	limit int
	frame []byte
	held  int64 // of the budget
}

// Budget bounds what many readers hold of large frames at one time, so that many large messages at once cannot exhaust the memory.
type Budget struct{ free atomic.Int64 }

// NewBudget returns a budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	b := &Budget{}
	b.free.Store(bytes)
	return b
}

func (b *Budget) take(n int64) bool {
	if b.free.Add(-n) < 0 {
		b.free.Add(n)
		return false
	}
	return true
}

// ErrEmpty says that a frame had nothing in it, though whoever sent it may wait for an answer.
var ErrEmpty = errors.New("the frame is empty")

// ErrBusy says that a frame was not kept because others hold the whole budget: the same message may be taken a moment later.
var ErrBusy = errors.New("too many large messages are on their way at this moment")

const (
	smallFrame = 64 << 10 // what a reader may hold outside of the budget
	budgetStep = 256 << 10
)

// messageStart is what every message begins with.
const messageStart = "MSH"

// NewReader reads frames of at most limit bytes from in; hl7.MaxBytes if limit is 0.
func NewReader(in io.Reader, limit int) *Reader {
	if limit <= 0 {
		limit = hl7.MaxBytes
	}
	return &Reader{in: bufio.NewReaderSize(in, 16<<10), limit: limit}
}

// Next returns the next message without its frame. The bytes stay valid until the following call.
//
// io.EOF is the end of the connection between frames, io.ErrUnexpectedEOF within one. hl7.ErrTooLarge comes with the beginning of the
// message, so that it can be refused by its control id; its rest has been skipped, and Next can be called again. So does ErrBusy. After
// ErrEmpty, too, Next can be called again.
func (r *Reader) Next() ([]byte, error) {
	r.Release()
	if err := r.skipTo(startBlock); err != nil {
		return nil, err
	}
	if r.Begun != nil {
		r.Begun()
	}
	frame, err := r.readTo(endBlock)
	frame = bytes.TrimLeft(frame, "\x0b \t\r\n")
	if err == nil && len(frame) == 0 {
		err = ErrEmpty
	}
	return frame, err
}

// Release gives back what the last frame holds; its bytes are not valid any more.
func (r *Reader) Release() {
	if cap(r.frame) > smallFrame {
		r.frame = nil
	}
	if r.Budget != nil {
		r.Budget.free.Add(r.held)
	}
	r.held = 0
}

// room tells whether a frame may grow to that size.
func (r *Reader) room(size int) bool {
	if r.Budget == nil {
		return true
	}
	for int64(size) > smallFrame+r.held {
		if !r.Budget.take(budgetStep) {
			return false
		}
		r.held += budgetStep
	}
	return true
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
	busy := false
	var anew restart
	for {
		part, err := r.in.ReadSlice(b)
		if behind := anew.in(part); behind > 0 {
			r.frame = append(r.frame[:0], messageStart...)
			size, part, busy = len(messageStart), part[behind:], false
		}
		size += len(part)
		keep := min(len(part), max(0, r.limit+1-len(r.frame)))
		if busy = busy || !r.room(len(r.frame)+keep); !busy {
			r.frame = append(r.frame, part[:keep]...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case size-1 > r.limit:
			return r.frame[:min(len(r.frame), r.limit)], fmt.Errorf("%w: %d bytes in one frame, at most %d are read", hl7.ErrTooLarge, size-1, r.limit)
		case busy:
			return r.frame, ErrBusy
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
