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
		"rejected for a field": {v24, "MSH|^~\\&|HUB|THURROCK|MSEPAS^1.2^ISO|RAJ|20260902143006+0100||ACK^A03^ACK|A1|P|2.4\rMSA|AR|MSG\\S\\42|Who\rERR|MSH^1^3^204&Who&HL70357\r",
			Ack{Code: Reject, Text: "Who", Condition: UnknownKey, Field: "MSH-3"}},
		"rejected for a field in 2.5.1": {v25, "MSH|^~\\&|HUB|THURROCK|MSEPAS|RAJ|20260902143006+0100||ACK^A03^ACK|A1|P|2.5.1\rMSA|AR|7|Who\rERR||MSH^1^3|204^Unknown key identifier^HL70357|E||||Who\r",
			Ack{Code: Reject, Text: "Who", Condition: UnknownKey, Field: "MSH-3"}},
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

func TestTheSenderSaysByMSH15And16WhatItWantsToHear(t *testing.T) {
	for _, c := range []struct{ accept, application, whenAccepted, whenNot, whenRejected string }{
		{"", "", "AA", "AE", "AR"},
		{"AL", "", "CA", "CE", "CR"},
		{"AL", "NE", "CA", "CE", "CR"},
		{"AL", "AL", "CA", "CE", "CR"},
		{"NE", "NE", "", "", ""},
		{"NE", "", "", "", ""},
		{"", "NE", "", "", ""},
		{"NE", "AL", "AA", "AE", "AR"},
		{"", "AL", "AA", "AE", "AR"},
		{"ER", "", "", "CE", "CR"},
		{"ER", "AL", "AA", "CE", "CR"},
		{"SU", "", "CA", "", ""},
		{"SU", "ER", "CA", "AE", "AR"},
		{"yes", "", "CA", "CE", "CR"},
	} {
		h, err := ParseHeader([]byte("MSH|^~\\&|A|B|C|D|2026||ADT^A03|7|P|2.4|||" + c.accept + "|" + c.application))
		if err != nil {
			t.Fatal(err)
		}
		for code, want := range map[AckCode]string{Accept: c.whenAccepted, Error: c.whenNot, Reject: c.whenRejected} {
			if got, wanted := code.For(h); wanted != (want != "") || wanted && string(got) != want {
				t.Errorf("MSH-15 %q, MSH-16 %q: %s is told as %s, %v; want %q", c.accept, c.application, code, got, wanted, want)
			}
		}
	}
	h, _ := ParseHeader([]byte("MSH|^~\\&|A|B|C|D|2026||ADT^A03|7|P|2.4|||AL|NE"))
	want := "MSH|^~\\&|C|D|A|B|20260902143006+0100||ACK^A03^ACK|A1|P|2.4\rMSA|CA|7\r"
	if diff := cmp.Diff(want, string(Ack{Code: CommitAccept, At: ackTime(), ControlID: "A1"}.To(h))); diff != "" {
		t.Error(diff)
	}
}
