// Package oracle says what must become of what hospitals tell, without a look at how the services find it out. It is the workload and the
// judge of every test in which things break: random stays, and the rules written a second time.
//
// # What it promises
//
// It is independent: it imports no service and reads none of the product's data. The few practices, postcode sectors, teams and holidays
// that it uses are written down in place.go, from the published lists. A stay carries its own truth: each message says in plain fields
// what the hospital means and whom it is about, and the rules go by that; nobody reads the bytes back.
//
// It is a function: NewStay depends on its generator, number and date alone, [Expect] on the set of messages alone, not on their order
// nor on how often each of them comes. Nothing asks a clock. So a seed names a run, and whatever part of a stay has been stored has an
// expected outcome: exactly that part need be given.
//
// # How to use it
//
//	stay := oracle.NewStay(r, 7, leaving)                 // its Messages are in the order in which the hospital recorded them
//	for _, told := range stay.Messages { ... }            // told.HL7 over MLLP, told.Event over gRPC, told.FHIR (Stay.ByFHIR) by HTTP; shuffled, twice, late
//	for _, want := range oracle.Expect(stored) {          // one for each spell, by spell id
//		seen := oracle.SeenOf(task).With(handover)
//		wrong = append(wrong, oracle.Check(want, seen)...)  // CheckActed where people have worked on the task
//		wrong = append(wrong, oracle.CheckNotices(want, seen, delivered, now)...)
//	}
//
// A [Record] is a person of whom a hospital tells resource by resource. What it writes counts as recorded when the hub received it, which only
// the hub can say: [Write.Received] makes a message of what was written and that time. [RecordOf] is one of somebody of whom messages tell too.
// [Stay.Faulty] adds messages that lack something or contradict themselves; [CheckRaised] holds the exceptions that those have by themselves.
//
// A merge joins the numbers of two records, and everything told under either is then told of both; about two numbers the last word counts.
// After a moved visit the spell is the person's to whom it was given (records.go). A message may be about several spells: [Told.SpellIDs]. What
// people do about assessments and reablement is held against the spell too ([CheckAssessment], [CheckNeed]). Nobody may revoke a merge that the hub has not read: send
// [RevocationsLast].
//
// # What it leaves open
//
// Sentences, most flags and routes in words; when things were learned of; and what depends on the moment at which people acted between two
// messages, where [CheckActed] accepts either answer. Its rules hold for discharges from 2025 to 2028, the years of its holidays.
package oracle
