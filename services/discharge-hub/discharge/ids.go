package discharge

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/google/uuid"
)

// namespace is the UUIDv5 namespace of spells. It must never change: the same spell would get another id.
var namespace = uuid.MustParse("6f0d8d5e-3c0b-5d0e-9a55-4b1f6c1c7a11")

// SpellID is UUIDv5(provider, visit number PV1-19), by whatever feed or door; without a visit number (provider, local patient
// number, admission time). It is empty if neither key is whole. Nothing that a hospital corrects later is in it (design: local
// promise).
func SpellID(provider, visit, patientNumber string, admitted time.Time) string {
	var key string
	switch {
	case provider == "":
		return ""
	case visit != "":
		key = provider + "|visit|" + visit
	case patientNumber != "" && !admitted.IsZero():
		key = provider + "|patient|" + patientNumber + "|" + admitted.UTC().Format(time.RFC3339)
	default:
		return ""
	}
	return uuid.NewSHA1(namespace, []byte(key)).String()
}

// StayKeys are the same for messages about one person's stay, whatever visit number they carry: the id that the spell would have without
// one, under each number that is merged with the person's by what is told of people. There is none where patient number or admission time is
// not told.
func StayKeys(f Fact, people []Fact) []string {
	if f.PatientNumber == "" || f.AdmittedAt.Value.IsZero() {
		return nil
	}
	numbers := []string{f.PatientNumber}
	if len(people) > 0 {
		numbers = mergedOf(peopleOf(f.Provider, inOrder(people))).all(f.PatientNumber)
	}
	keys := make([]string, len(numbers))
	for i, number := range numbers {
		keys[i] = SpellID(f.Provider, "", number, f.AdmittedAt.Value.At)
	}
	return keys
}

// SameStay is the problem of two spells that have one stay: two tasks for one person, who would be visited twice.
func SameStay(one, other string) Problem {
	return Problem{TwoKeysOneStay, "PV1-19", Reference(one) + " and " + Reference(other) + " have the same patient number and the same admission time",
		"Find out whether it is one stay; if so, complete one of the two tasks and ask the sender for one visit number"}
}

// crockford is base 32 without the letters that are misread or misheard (Crockford: no I, L, O, U).
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// Reference is a spell's short name that is safe to say aloud, for instance `HW-7K3M-9QPD`: 40 bits of a hash of the id. It is for
// finding, not for identifying: among a million spells two may share one, so a search by it returns all that match.
func Reference(spellID string) string {
	sum := sha256.Sum256([]byte(spellID))
	var bits uint64
	for _, b := range sum[:5] {
		bits = bits<<8 | uint64(b)
	}
	b := []byte("HW-0000-0000")
	for _, at := range [8]int{3, 4, 5, 6, 8, 9, 10, 11} {
		b[at] = crockford[bits>>35&31]
		bits <<= 5
	}
	return string(b)
}

// NormalReference reads a reference as people write it: lower case, without hyphens, O for 0, I and L for 1. It is empty if it
// can't be one.
func NormalReference(s string) string {
	s = strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(s))
	code, ok := strings.CutPrefix(s, "HW")
	if !ok || len(code) != 8 || strings.Trim(code, crockford) != "" {
		return ""
	}
	return "HW-" + code[:4] + "-" + code[4:]
}

// Digest names a message by its bytes: SHA-256 in hexadecimal.
func Digest(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}
