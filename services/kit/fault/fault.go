// Package fault is the one vocabulary of errors that callers can act on, and the one table from it to gRPC codes. Everything that is
// not a fault is internal: its text is logged and never leaves the service.
package fault

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Kind says what a caller can do about an error.
type Kind string

// The kinds, each with the gRPC code that Status gives it.
const (
	Invalid         Kind = "invalid"         // mend the request: INVALID_ARGUMENT
	NotFound        Kind = "not-found"       // nothing by that key that the caller may see: NOT_FOUND
	Precondition    Kind = "precondition"    // not in this state: FAILED_PRECONDITION
	Conflict        Kind = "conflict"        // somebody changed it since it was read: ABORTED
	Unauthenticated Kind = "unauthenticated" // sign in: UNAUTHENTICATED
	Forbidden       Kind = "forbidden"       // this role or scope may not: PERMISSION_DENIED
	Unavailable     Kind = "unavailable"     // nothing was stored, send it again: UNAVAILABLE
)

var grpcCodes = map[Kind]codes.Code{
	Invalid:         codes.InvalidArgument,
	NotFound:        codes.NotFound,
	Precondition:    codes.FailedPrecondition,
	Conflict:        codes.Aborted,
	Unauthenticated: codes.Unauthenticated,
	Forbidden:       codes.PermissionDenied,
	Unavailable:     codes.Unavailable,
}

var internal = status.New(codes.Internal, "the service failed; its log has the cause under this trace")

// Error is a fault. Its message is written for the caller and holds no personal data.
type Error struct {
	Kind  Kind
	Field string // the request field at fault; empty when none is
	msg   string
}

// Error returns the message with the field in front.
func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.msg
	}
	return e.msg
}

// New returns a fault with a message that says what is wrong and what to do.
func New(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, msg: fmt.Sprintf(format, args...)}
}

// Field returns an Invalid fault about one field of the request.
func Field(field, format string, args ...any) error {
	return &Error{Kind: Invalid, Field: field, msg: fmt.Sprintf(format, args...)}
}

// Is reports whether err is a fault of this kind.
func Is(err error, kind Kind) bool {
	var f *Error
	return errors.As(err, &f) && f.Kind == kind
}

// Status is the table from errors to what a gRPC caller sees. A status passes as it is; an unknown error becomes INTERNAL without
// its text.
func Status(err error) *status.Status {
	if err == nil {
		return nil
	}
	var f *Error
	if errors.As(err, &f) {
		code, known := grpcCodes[f.Kind]
		if !known { // the zero code would be OK
			return internal
		}
		s := status.New(code, f.Error())
		info := &errdetails.ErrorInfo{Reason: string(f.Kind), Domain: "homeward"}
		if f.Field != "" {
			info.Metadata = map[string]string{"field": f.Field}
		}
		if d, err := s.WithDetails(info); err == nil {
			return d
		}
		return s
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return status.New(codes.DeadlineExceeded, "the deadline of the call passed; nothing tells whether it took effect: read, then repeat")
	}
	if errors.Is(err, context.Canceled) {
		return status.New(codes.Canceled, "the caller went away")
	}
	if s, ok := status.FromError(err); ok {
		return s
	}
	return internal
}
