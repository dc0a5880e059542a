// Package sim is a deterministic simulation of the platform: the decisions, stores and SQL that ship, on a real PostgreSQL, with the real
// relay, consumers, sweepers and reconciliation, stepped by one scheduler from one seed.
//
// Every worker, sender and person is a flow that stops before each statement, publication and call. The scheduler hands one baton from flow
// to flow; it passes it on when the flow comes to its next point, ends, or when PostgreSQL says that it is blocked by another one's lock. So
// transactions overlap, and a seed still decides everything: run twice it gives the same trace.
//
// Messages come in by HL7, over gRPC and by FHIR (people.go, door.go), and some people are told of resource by resource (desk.go), each request
// until it is answered. No network is between them and the hub's doors, so answers are lost at the scheduler's will.
//
// A seed has only some of the actors, triggers and kinds of faults, and the services that these need; seeds together have all (swarm.go).
//
// JetStream is a model with the defects that the real one was seen to have (courier.go). What goes wrong, and how often, is in faults.go.
// When a seed is over, package oracle, which knows nothing of the services' code, says what must have become of every spell (check.go).
package sim
