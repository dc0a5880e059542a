// Package discharge is the hub's domain: what a hospital's messages mean, and what they amount to. It is pure: no clock, no I/O.
//
// The way of a message:
//
//	bytes ── FromHL7(feed) ──┐
//	                         ├─> Fact, problems ── appended to its spell ── Fold ──> State: Spell, Person, problems
//	event ── FromEvent(feed) ┘
//
// A Fact is what one message says: of a spell, or of a person and so of each spell of that person. A spell is a set of facts, and its state is Fold over the set. Fold sorts facts by when the
// hospital recorded them (EVN-2, or MSH-7 where it knows better), so the order and number of arrivals do not matter.
//
// # The course of a spell
//
//		(nothing) ──A01, A02, A08──> in hospital ──A03──> discharged (number 1)
//		discharged ──A03, A08──> discharged      a correction: same number, newer values
//		discharged ──A13──> in hospital          the discharge is void, its time, method and destination with it
//		in hospital ──A03──> discharged          again: the number grows
//		any ──A11──> voided ──A01, A03──> as from nothing, the number goes on counting
//		(nothing) ──A04, A05──> not admitted ──A01, A06──> in hospital      only expected, or in A&E or a clinic
//		not admitted ──A38──> voided             if only expected
//		in hospital ──A07──> in hospital         with a problem: an A03 is missing
//
//	  - An A13 cancels the discharge that was recorded before it, never one recorded later. With nothing to cancel it is flagged.
//	    EVN-6 of a cancel is the time of what it cancels and orders nothing.
//	  - Recorded at the same moment: by control id, but a cancel waits for what it can cancel. So a discharge, its cancel and the next
//	    discharge within one minute, of a sender that writes minutes, end as discharged.
//	  - The class (PV1-2) can make an inpatient of somebody who is not admitted, and never the other way: E stays on inpatients.
//	  - An A03 is a discharge whatever went before it. Of somebody who was not admitted it is flagged.
//	  - A leave (A21, A22) and plans (A15, A16, A25, A26) never discharge.
//	  - An A01 after the discharge does not take it back: only A13 does. It is flagged until the next A03; with another admission time it
//	    looks like a second stay under the same number, and stays a problem. A discharge time without an A03 is one too.
//	  - A visit number used for two people holds the first: see identity.differs.
//
// # People
//
// Facts about a person are about a patient number of one provider. Merges that stand join numbers, in whatever order they are told: see
// mergedOf. An A45 gives the visit to another person: what was told under other numbers stays true of the visit, and is true of nobody; see
// movedVisits. What is told of the person apart from the spell, as in an A31, is taken like an A08 of it; after the discharge it is a change
// since then, unless EVN-6 says otherwise or nothing was told before; see Spell.home.
//
// # Values
//
// The value told last, in recorded order, holds; silence changes nothing; `""` deletes (see Told). Time, method and destination of a
// discharge come from its A03s and from A08s while it holds. The time is PV1-45, else EVN-6 of the A03, else when it was first
// recorded (flagged). Practice and home are those at the discharge; see Spell.home for what came later. Death is decided by what
// stands, by DecideDeath. Flags of a value fall when the same thing is told properly; see flags.go.
//
// # Problems and flags
//
// A Problem needs a person: it becomes an exception. Those of a message are told by FromHL7, those between the facts of a spell by Fold as
// long as they stand (SpellProblems). A flag only says, in the snapshot, how far a fact is to be trusted. Neither
// stops a discharge whose spell and time can be told. FromHL7 makes nothing usable only of a message without a spell key, without
// any time, or marked as a test on a live feed.
//
// # To change a rule
//
// Each is in the file of its name. Facts are stored, so Fold may change at any time and every spell follows at its next fold; what
// FromHL7 reads is in the facts already, and changing it needs a new mapping version and the raw messages read again.
package discharge
