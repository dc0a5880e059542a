package dischargehub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/kit/failpoint"
)

// mllpDoor answers HL7 v2 messages over MLLP. It looks at MSH only: what is wrong with the content is found by the interpreter, after
// the bytes are safe.
type mllpDoor struct {
	feeds   []discharge.Feed
	receive func(ctx context.Context, m inbound) error
	senders *atomic.Int32 // counts the open connections
	now     func() time.Time
	tracer  trace.Tracer
	log     *slog.Logger
	answer  atomic.Uint64 // MSH-10 of the answers, with the time of the start in front
	start   string
}

// mllpListener is the door on a TCP port.
type mllpListener struct {
	*mllpDoor
	lis net.Listener
}

// replyTimeout bounds how long a sender may take to read an acknowledgement.
const replyTimeout = 30 * time.Second

func listenMLLP(addr string, d *mllpDoor) (*mllpListener, error) {
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("MLLP_ADDR: %w", err)
	}
	return &mllpListener{d, lis}, nil
}

// serve accepts connections until ctx ends, then lets each finish the message that it is storing.
func (l *mllpListener) serve(ctx context.Context) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	stop := context.AfterFunc(ctx, func() { _ = l.lis.Close() })
	defer stop()
	for {
		conn, err := l.lis.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			// Out of file descriptors, for instance: it passes when connections end.
			l.log.WarnContext(ctx, "MLLP connection not accepted", "error", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		conns.Go(func() { l.converse(ctx, conn) })
	}
}

// converse answers one message after another, as MLLP has it.
func (l *mllpListener) converse(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	l.senders.Add(1)
	defer l.senders.Add(-1)
	// A stop ends the wait for the next message, not the answer to this one.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	in := hl7.NewReader(conn, hl7.MaxBytes)
	unit := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		raw, err := in.Next()
		var reply []byte
		switch {
		case err == nil:
			reply = l.handle(unit, raw)
		case errors.Is(err, hl7.ErrTooLarge):
			reply = l.refuse(unit, raw, err)
		default:
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				l.log.InfoContext(ctx, "MLLP connection ended", "remote", conn.RemoteAddr().String(), "error", err)
			}
			return
		}
		_ = conn.SetWriteDeadline(time.Now().Add(replyTimeout))
		if err := failpoint.Do(unit, "door.answer", func() error { _, err := conn.Write(hl7.Frame(reply)); return err }); err != nil {
			return // the message is stored; the sender will send it again and be answered then
		}
	}
}

// handle stores a message and returns its acknowledgement: AA once it is stored, AE when it could not be, AR when it is no HL7 message or
// its sender is not known.
func (l *mllpDoor) handle(ctx context.Context, raw []byte) []byte {
	h, err := hl7.ParseHeader(raw)
	if err != nil {
		return l.refuse(ctx, raw, err)
	}
	ctx, span := l.tracer.Start(ctx, "receive "+spanName(h), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		semconv.NetworkProtocolName("mllp"),
	))
	defer span.End()
	feed, known := discharge.Match(l.feeds, h.SendingApplication, h.SendingFacility)
	m := inbound{Feed: feed.Key, Format: formatHL7, ControlID: h.ControlID, Body: raw, Accepted: known, Span: span}
	if err := l.receive(ctx, m); err != nil {
		span.SetStatus(codes.Error, "not stored")
		return l.ack(h, hl7.Ack{Code: hl7.Error, Text: "Not stored: Homeward cannot reach its database. Send this message again.", Condition: hl7.InternalError})
	}
	if !known {
		span.SetStatus(codes.Error, "unknown sender")
		l.log.WarnContext(ctx, "message rejected: its sender is not configured", "msh3", code(h.SendingApplication), "msh4", code(h.SendingFacility))
		return l.ack(h, hl7.Ack{Code: hl7.Reject, Condition: hl7.UnknownKey,
			Text: "MSH-3 and MSH-4 name no configured sender. Check both, or have this feed configured, then send again."})
	}
	span.SetAttributes(attribute.String("homeward.feed", feed.Key))
	return l.ack(h, hl7.Ack{Code: hl7.Accept})
}

// refuse keeps the bytes of what cannot be read, then rejects it.
func (l *mllpDoor) refuse(ctx context.Context, raw []byte, cause error) []byte {
	h, _ := hl7.ParseHeader(raw) // as much of a header as there is
	if err := l.receive(ctx, inbound{Format: formatHL7, ControlID: h.ControlID, Body: raw, Span: trace.SpanFromContext(ctx)}); err != nil {
		return l.ack(h, hl7.Ack{Code: hl7.Error, Text: "Not stored: Homeward cannot reach its database. Send this message again.", Condition: hl7.InternalError})
	}
	l.log.WarnContext(ctx, "message rejected: it cannot be read", "bytes", len(raw), "error", cause)
	return l.ack(h, hl7.Ack{Code: hl7.Reject, Condition: hl7.SegmentSequenceError, Text: "Not an HL7 v2 message that can be read: " + cause.Error()})
}

func (l *mllpDoor) ack(h hl7.Header, a hl7.Ack) []byte {
	a.ControlID = l.start + strconv.FormatUint(l.answer.Add(1), 36)
	a.At = l.now()
	return a.To(h)
}

// spanName names the message, but only by a trigger: whatever else a sender writes into MSH-9 stays out of the telemetry.
func spanName(h hl7.Header) string {
	if t := h.Trigger; h.Type == "ADT" && len(t) == 3 && t[0] == 'A' && '0' <= t[1] && t[1] <= '9' && '0' <= t[2] && t[2] <= '9' {
		return "ADT^" + t
	}
	return "HL7 v2"
}

// code is what a sender wrote, if it looks like the code of a system; a header whose fields have slipped may hold a name there.
func code(s string) string {
	for _, c := range s {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return "(not a code)"
		}
	}
	if len(s) > 20 {
		return "(not a code)"
	}
	return s
}
