package fhir

import (
	"slices"
	"strings"

	"github.com/google/uuid"
)

// searchParam is a search parameter as the capability statement tells it. Selective says that it names one or a few.
type searchParam struct {
	name, kind, documentation string
	selective                 bool
}

// searchParams are those of each type.
var searchParams = func() map[string][]searchParam {
	id, updated := searchParam{"_id", "token", "", true}, searchParam{"_lastUpdated", "date", "", false}
	identifier := searchParam{"identifier", "token", "<system>|<value>", true}
	patient := searchParam{"patient", "reference", "a Patient whom the resource refers to", true}
	return map[string][]searchParam{
		Patient:   {id, updated, identifier},
		Encounter: {id, updated, identifier, patient},
		ServiceRequest: {id, updated, identifier, patient,
			{"encounter", "reference", "also encounter.identifier=<system>|<value> of the visit number", true}},
		"Task": {id, updated, {"identifier", "token", "the handover's reference, or the visit number", true},
			{"owner", "token", "the key of the team", false}, {"status", "token", "", false}},
	}
}()

// SearchNames are the names of a type's search parameters.
func SearchNames(typ string) []string { return namesOf(searchParams[typ]) }

// SelectiveNames are those of them that name one or a few resources.
func SelectiveNames(typ string) []string {
	return namesOf(slices.DeleteFunc(slices.Clone(searchParams[typ]), func(p searchParam) bool { return !p.selective }))
}

func namesOf(list []searchParam) (names []string) {
	for _, p := range list {
		names = append(names, p.name)
	}
	return names
}

// Token is what a stored resource is found by: the name of a search parameter, and what the resource has there.
type Token struct{ Name, Text string }

// Identifies is the token of an identifier. An NHS number is the same with and without the spaces with which it is displayed.
func Identifies(system, value string) Token {
	value = strings.TrimSpace(value)
	if system == NHSNumberSystem {
		value = bare(value)
	}
	return Token{"identifier", system + "|" + value}
}

// OfPatient is the token of a resource that refers to a Patient here.
func OfPatient(id string) Token { return Token{"patient", id} }

// maxTokens is by how many of its identifiers a resource is found at most: the first ones.
const maxTokens = 50

// Tokens are what a resource is found by beside its id. What is wrong with it is no matter here.
func (s Sent) Tokens() (list []Token) {
	var said []Issue
	e := parse(s.Raw, "", &said)
	for _, id := range e.each("identifier") {
		value := id.get("value").text()
		if t := Identifies(id.get("system").text(), value); value != "" && len(list) < maxTokens && !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	if id, ok := Referred(Patient, s.Subject); ok {
		list = append(list, OfPatient(id))
	}
	return list
}

// Referred is the id in a reference of a search, which may be the id alone: `Type/id`, relative or absolute.
func Referred(typ, reference string) (string, bool) {
	path, id := "", reference
	if i := strings.LastIndexByte(reference, '/'); i >= 0 {
		path, id = reference[:i], reference[i+1:]
	}
	uid, err := uuid.Parse(id)
	if err != nil || path != "" && path != typ && !strings.HasSuffix(path, "/"+typ) {
		return "", false
	}
	return uid.String(), true
}
