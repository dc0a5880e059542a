package hl7

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func ackTime() time.Time {
	return time.Date(2026, 9, 2, 14, 30, 6, 0, time.FixedZone("BST", 3600))
}

func TestAcknowledgements(t *testing.T) {
	const v24 = "MSH|^~\\&|MSEPAS^1.2^ISO|RAJ|HUB|THURROCK|2026||ADT^A03|MSG\\S\\42|P|2.4\rPID|1"
	const v25 = "MSH|^~\\&|MSEPAS|RAJ|HUB|THURROCK|2026||ADT^A03^ADT_A03|7|P|2.5.1"
	const odd = "MSH#*!/%#MSEPAS#RAJ#HUB#THURROCK#2026##ADT*A03#7#D*T#2.3"
	for name, c := range map[string]struct {
		request, want string
		ack           Ack
	}{
		"stored": {v24, "MSH|^~\\&|HUB|THURROCK|MSEPAS^1.2^ISO|RAJ|20260902143006+0100||ACK^A03^ACK|A1|P|2.4\rMSA|AA|MSG\\S\\42\r",
			Ack{Code: Accept}},
		"not stored now": {v24, "MSH|^~\\&|HUB|THURROCK|MSEPAS^1.2^ISO|RAJ|20260902143006+0100||ACK^A03^ACK|A1|P|2.4\rMSA|AE|MSG\\S\\42|Not stored; send again\rERR|^^^207&Not stored; send again&HL70357\r",
			Ack{Code: Error, Text: "Not stored; send again"}},
		"rejected in 2.5.1": {v25, "MSH|^~\\&|HUB|THURROCK|MSEPAS|RAJ|20260902143006+0100||ACK^A03^ACK|A1|P|2.5.1\rMSA|AR|7|Who\\T\\what\rERR|||204^Unknown key identifier^HL70357|E||||Who\\T\\what\r",
			Ack{Code: Reject, Text: "Who&what", Condition: UnknownKey}},
		"their delimiters": {odd, "MSH#*!/%#HUB#THURROCK#MSEPAS#RAJ#20260902143006+0100##ACK*A03*ACK#A1#D*T#2.3\rMSA#AA#7\r",
			Ack{Code: Accept}},
		"no header could be read": {"rubbish", "MSH|^~\\&|||||20260902143006+0100||ACK|A1|P|2.4\rMSA|AR||Not HL7\rERR|^^^100&Not HL7&HL70357\r",
			Ack{Code: Reject, Text: "Not HL7", Condition: SegmentSequenceError}},
	} {
		h, _ := ParseHeader([]byte(c.request))
		c.ack.At, c.ack.ControlID = ackTime(), "A1"
		if diff := cmp.Diff(c.want, string(c.ack.To(h))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
