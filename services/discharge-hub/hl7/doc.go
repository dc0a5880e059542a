// Package hl7 reads and writes HL7 v2 messages in their ER7 encoding (`|^~\&`), as UK hospitals send them. It knows segments, fields
// and escapes, and nothing of what a message means.
//
// The way of a message: package mllp takes it off the wire, [ParseHeader] reads just MSH so that it can be stored and answered with
// [Ack], and later [Parse] opens the whole of it. Parse only finds the segments; fields are cut when they are asked for, so a
// message costs its few segments and what is read of it.
//
// What a field says has three states, and the difference matters in corrections (HL7 v2.4 chapter 2.7):
//
//	PID-30 absent or empty   nothing is said; what was known stays
//	PID-30 `""`              explicit null: what was known is deleted
//	PID-30 `Y`               the value
//
// Versions 2.2 to 2.5.1 differ in nothing that this package reads, so the version is reported and never refused.
package hl7
