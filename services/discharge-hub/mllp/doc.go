// Package mllp carries HL7 v2 messages over TCP in the Minimal Lower Layer Protocol (HL7 v2 implementation guide, appendix C), with TLS or
// without: a Listener takes what hospitals send, a Line brings a hospital's receiver what the hub has to say. It knows nothing of what
// the messages mean.
package mllp
