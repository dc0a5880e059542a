// Package fhir is what FHIR R4 means to the hub: it reads the resources and messages that hospitals send as discharge events, and writes the
// Task that tells them how far a handover is. It is pure: no clock, no I/O.
//
//	request ── Read(feed) ──> discharge.Event, issues ── discharge.FromEvent ──> Fact
//	spell, task of community-pickup ── Handover.Task ──> Task
//
// A request that is stored (Request) holds the resource as it was sent and whatever else its reading rests on, so that reading it again
// gives the same. Every issue names its element by a FHIRPath expression.
//
// # What is read
//
//	Patient         identifier (NHS number with its verification status, the provider's own number), name, birthDate, address, general
//	                practitioner (ODS code of the practice), deceased
//	Encounter       identifier (the visit number: with it the same spell as by HL7 v2), status, period, planned end, criteria to reside,
//	                pathway, location (site), discharge method and destination, address of the destination
//	ServiceRequest  status: the referral to the hub, or its withdrawal
//
// Whatever else they hold is kept as it was sent and says nothing. A modifier extension changes the meaning of what it stands in, and none
// is known here: it is refused.
//
// # What an Encounter's status says
//
//	finished                   discharged at period.end; again: a correction
//	in-progress after finished the discharge is cancelled
//	cancelled                  there was no such stay, or it is expected no more
//	planned                    an admission is expected
//	arrived, triaged           in A&E or a clinic, not admitted
//	onleave                    on leave; in-progress after it: back
//	in-progress                admitted, where it was one of those; otherwise an update
//
// Only what this Encounter said before counts: a stale `in-progress` never cancels a discharge that was told by another door.
package fhir
