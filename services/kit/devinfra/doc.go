// Package devinfra runs the real parts that Homeward stands on (PostgreSQL, NATS with JetStream, Jaeger) on a
// developer's machine, without root and without containers: found where they are installed, fetched or built where not.
//
// It is for tests, for tools/devstack, for e2e and for the bench. No service imports it: it links the NATS server.
// Everything it starts listens on loopback only and dies with the process that started it.
package devinfra
