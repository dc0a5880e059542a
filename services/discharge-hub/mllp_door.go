package dischargehub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/discharge-hub/identity"
	"github.com/homeward-care/homeward/services/discharge-hub/mllp"
)

// openMLLP opens the door for HL7 v2 messages where the configuration says: in the clear, with TLS, or both.
func (h *Hub) openMLLP(cfg Config) (*mllp.Listener, error) {
	l := &mllp.Listener{Answer: h.door.answer, Limits: cfg.mllpLimits(), Senders: h.senders, Log: h.door.log}
	if cfg.MLLPAddr == "" && cfg.MLLPTLSAddr == "" {
		return nil, errors.New("no door for HL7 messages: set MLLP_ADDR, MLLP_TLS_ADDR, or both")
	}
	if cfg.MLLPAddr != "" {
		if err := l.Open(cfg.MLLPAddr, nil); err != nil {
			return nil, fmt.Errorf("MLLP_ADDR: %w", err)
		}
	}
	if cfg.MLLPTLSAddr != "" {
		ours, err := cfg.identity(h.door.log)
		if err == nil {
			err = l.Open(cfg.MLLPTLSAddr, ours)
		}
		if err != nil {
			return nil, fmt.Errorf("MLLP_TLS_ADDR: %w", err)
		}
	}
	return l, cfg.usable(h.door.feeds())
}

// usable tells whether feeds can be used with the doors that there are, and with the hub's certificate.
func (c Config) usable(feeds []discharge.Feed) error {
	for _, f := range feeds {
		if len(f.Certificates) > 0 && c.MLLPTLSAddr == "" {
			return fmt.Errorf("feed %s names certificates, and could send nothing without TLS: set MLLP_TLS_ADDR", f.Key)
		}
		if f.Answers != nil && f.Answers.TLS && c.MLLPTLSCertFile == "" {
			return fmt.Errorf("feed %s has its answers sent over TLS, for which the hub needs a certificate: set MLLP_TLS_CERT_FILE", f.Key)
		}
	}
	return nil
}

func (c Config) mllpLimits() mllp.Limits {
	return mllp.Limits{
		Connections: cmp.Or(c.MLLPMaxConnections, 1000), PerAddress: cmp.Or(c.MLLPMaxConnectionsPerAddress, 100),
		FirstByte: cmp.Or(c.MLLPFirstByteTimeout, 5*time.Minute), Frame: cmp.Or(c.MLLPFrameTimeout, 2*time.Minute),
	}
}

// identity is the hub's towards hospitals, at the door and where the ward's answers go.
func (c Config) identity(log *slog.Logger) (*identity.Identity, error) {
	if c.MLLPTLSCertFile == "" || c.MLLPTLSKeyFile == "" || c.MLLPClientCAFile == "" {
		return nil, errors.New("TLS with hospitals needs MLLP_TLS_CERT_FILE, MLLP_TLS_KEY_FILE and MLLP_CLIENT_CA_FILE")
	}
	return &identity.Identity{CertFile: c.MLLPTLSCertFile, KeyFile: c.MLLPTLSKeyFile, CAFile: c.MLLPClientCAFile, Log: log}, nil
}

// mllpDoor answers HL7 v2 messages over MLLP. It looks at MSH only: what is wrong with the content is found by the interpreter, after
// the bytes are safe.
type mllpDoor struct {
	feeds   func() []discharge.Feed
	receive func(ctx context.Context, m inbound) error
	now     func() time.Time
	tracer  trace.Tracer
	log     *slog.Logger
	answers atomic.Uint64 // MSH-10 of the answers, with the time of the start in front
	start   string
}

// answer makes the reply to a frame, as mllp.Listener has it.
func (l *mllpDoor) answer(ctx context.Context, from mllp.Sender, frame []byte, err error) mllp.Reply {
	switch {
	case err == nil:
		return l.handle(ctx, from, frame)
	case errors.Is(err, mllp.ErrEmpty):
		return l.empty(ctx, from)
	case errors.Is(err, mllp.ErrBusy):
		return l.busy(ctx, frame)
	}
	return l.refuse(ctx, frame, err)
}

// handle stores a message and returns its acknowledgement: AA once it is stored, AE when it could not be, AR when it is no HL7 message, its
// sender is not known, or it may not come this way.
func (l *mllpDoor) handle(ctx context.Context, from mllp.Sender, raw []byte) mllp.Reply {
	h, err := hl7.ParseHeader(raw)
	if err != nil {
		return l.refuse(ctx, raw, err)
	}
	ctx, span := l.tracer.Start(ctx, "receive "+spanName(h), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		semconv.NetworkProtocolName("mllp"),
	))
	defer span.End()
	feed, known := discharge.Match(l.feeds(), h.SendingApplication, h.SendingFacility)
	m := inbound{Format: formatHL7, ControlID: h.ControlID, Body: raw, Accepted: known && feed.MaySend(from.Certificate), Span: span}
	if m.Accepted {
		m.Feed = feed.Key // what is rejected is nobody's: the same bytes, sent rightly, are another message
	}
	if err := l.receive(ctx, m); err != nil {
		span.SetStatus(codes.Error, "not stored")
		return l.ack(h, notStored)
	}
	if !known {
		span.SetStatus(codes.Error, "unknown sender")
		l.log.WarnContext(ctx, "message rejected: its sender is not configured", "msh3", code(h.SendingApplication), "msh4", code(h.SendingFacility))
		return l.ack(h, hl7.Ack{Code: hl7.Reject, Condition: hl7.UnknownKey, Field: "MSH-3", Text: fmt.Sprintf(
			"MSH-3 %s and MSH-4 %s name no configured sender. Check both, or have this feed configured, then send again.",
			quoted(h.SendingApplication), quoted(h.SendingFacility))})
	}
	if !m.Accepted {
		span.SetStatus(codes.Error, "not the feed's certificate")
		l.log.WarnContext(ctx, "message rejected: its connection may not send for this feed",
			"feed", feed.Key, "remote", from.Addr, "tls", from.Certificate != nil, "certificate", from.Certificate)
		return l.ack(h, hl7.Ack{Code: hl7.Reject, Condition: hl7.UnknownKey, Field: "MSH-3",
			Text: "This connection may not send what MSH-3 and MSH-4 name: that takes TLS with a client certificate that is configured for this sender."})
	}
	span.SetAttributes(attribute.String("homeward.feed", feed.Key))
	return l.ack(h, hl7.Ack{Code: hl7.Accept})
}

// refuse keeps the bytes of what cannot be read, then rejects it.
func (l *mllpDoor) refuse(ctx context.Context, raw []byte, cause error) mllp.Reply {
	h, _ := hl7.ParseHeader(raw) // as much of a header as there is
	if err := l.receive(ctx, inbound{Format: formatHL7, ControlID: h.ControlID, Body: raw, Span: trace.SpanFromContext(ctx)}); err != nil {
		return l.ack(h, notStored)
	}
	l.log.WarnContext(ctx, "message rejected: it cannot be read", "bytes", len(raw), "error", cause)
	return l.ack(h, hl7.Ack{Code: hl7.Reject, Condition: hl7.SegmentSequenceError, Text: "Not an HL7 v2 message that can be read: " + cause.Error()})
}

// empty rejects a frame with nothing in it. There are no bytes to keep; who sent it must not wait for ever, nor take the answer to its next
// message for the answer to this.
func (l *mllpDoor) empty(ctx context.Context, from mllp.Sender) mllp.Reply {
	l.log.WarnContext(ctx, "message rejected: its frame is empty", "remote", from.Addr)
	return l.ack(hl7.Header{}, hl7.Ack{Code: hl7.Reject, Condition: hl7.SegmentSequenceError,
		Text: "The frame is empty: there is no HL7 v2 message in it. Send the message again, or nothing between messages."})
}

// busy refuses for the moment what is too large to be kept beside the large messages of others.
func (l *mllpDoor) busy(ctx context.Context, raw []byte) mllp.Reply {
	h, _ := hl7.ParseHeader(raw)
	l.log.WarnContext(ctx, "message not taken now: too many large messages are on their way", "limit", mllp.MaxLargeFrames)
	return l.ack(h, hl7.Ack{Code: hl7.Error, Condition: hl7.InternalError, Text: "Not stored: too many large messages arrive at this moment. Send this message again."})
}

var notStored = hl7.Ack{Code: hl7.Error, Text: "Not stored: Homeward cannot reach its database. Send this message again.", Condition: hl7.InternalError}

// ack is the answer in the mode that the sender asked for. One that asked for none and whose message could not be stored would never know:
// it is hung up on.
func (l *mllpDoor) ack(h hl7.Header, a hl7.Ack) mllp.Reply {
	code, wanted := a.Code.For(h)
	if !wanted {
		return mllp.Reply{HangUp: a.Code == hl7.Error}
	}
	a.Code = code
	a.ControlID = l.start + strconv.FormatUint(l.answers.Add(1), 36)
	a.At = l.now()
	return mllp.Reply{Ack: a.To(h)}
}

// spanName names the message, but only by a trigger: whatever else a sender writes into MSH-9 stays out of the telemetry.
func spanName(h hl7.Header) string {
	if t := h.Trigger; h.Type == "ADT" && len(t) == 3 && t[0] == 'A' && '0' <= t[1] && t[1] <= '9' && '0' <= t[2] && t[2] <= '9' {
		return "ADT^" + t
	}
	return "HL7 v2"
}

// quoted is code in quotation marks, for an answer.
func quoted(s string) string {
	if c := code(s); c != s {
		return c
	}
	return strconv.Quote(s)
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
