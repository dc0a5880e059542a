package fhir

import (
	"fmt"
	"slices"
)

// Severity of an issue: whatever is an error is refused.
type Severity string

const (
	Error       Severity = "error"
	Warning     Severity = "warning"
	Information Severity = "information"
)

// Code is FHIR's issue type.
type Code string

const (
	Structure    Code = "structure"     // not what FHIR has in this place
	Required     Code = "required"      // missing
	Value        Code = "value"         // not a value that is possible here
	Invariant    Code = "invariant"     // two elements contradict each other
	NotSupported Code = "not-supported" // what this server does not do
	Informative  Code = "informational"
)

// Issue is something to say about a request. It repeats nothing that identifies a patient.
type Issue struct {
	Severity    Severity
	Code        Code
	Details     string // a code of errorCodes
	Diagnostics string
	Expression  string // FHIRPath of the element at fault; empty when none is
}

// Refused tells whether an issue is an error.
func Refused(issues []Issue) bool {
	return slices.ContainsFunc(issues, func(i Issue) bool { return i.Severity == Error })
}

// Malformed tells whether an issue is that the body is not FHIR at all, or not where it should be, rather than wrong in what it says.
func Malformed(issues []Issue) bool {
	return slices.ContainsFunc(issues, func(i Issue) bool { return i.Severity == Error && i.Code == Structure })
}

func issue(code Code, expression, format string, args ...any) Issue {
	return Issue{Severity: Error, Code: code, Expression: expression, Diagnostics: fmt.Sprintf(format, args...)}
}

// object is a JSON object to be written.
type object = map[string]any

// Outcome is the issues as an OperationOutcome.
func Outcome(issues ...Issue) any {
	list := make([]object, len(issues))
	for i, is := range issues {
		o := object{"severity": is.Severity, "code": is.Code, "diagnostics": is.Diagnostics}
		if is.Details != "" {
			o["details"] = concept(errorCodes, is.Details)
		}
		if is.Expression != "" {
			o["expression"] = []string{is.Expression}
		}
		list[i] = o
	}
	return object{"resourceType": "OperationOutcome", "issue": list}
}

func concept(system, code string) object {
	return object{"coding": []object{{"system": system, "code": code}}}
}
