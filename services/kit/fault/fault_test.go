package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestEveryErrorHasOneStatus(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want codes.Code
	}{
		{"none", nil, codes.OK},
		{"invalid", New(Invalid, "x"), codes.InvalidArgument},
		{"field", Field("on", "x"), codes.InvalidArgument},
		{"not found", New(NotFound, "x"), codes.NotFound},
		{"precondition", New(Precondition, "x"), codes.FailedPrecondition},
		{"conflict", New(Conflict, "x"), codes.Aborted},
		{"unauthenticated", New(Unauthenticated, "x"), codes.Unauthenticated},
		{"forbidden", New(Forbidden, "x"), codes.PermissionDenied},
		{"unavailable", New(Unavailable, "x"), codes.Unavailable},
		{"wrapped", fmt.Errorf("take task: %w", New(Conflict, "x")), codes.Aborted},
		{"a kind that does not exist", New("nonsense", "x"), codes.Internal},
		{"deadline", fmt.Errorf("query: %w", context.DeadlineExceeded), codes.DeadlineExceeded},
		{"caller gone", fmt.Errorf("query: %w", context.Canceled), codes.Canceled},
		{"a status", status.Error(codes.ResourceExhausted, "x"), codes.ResourceExhausted},
		{"anything else", errors.New("x"), codes.Internal},
	} {
		if got := Status(c.err).Code(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestUnknownErrorsTextNeverLeaves(t *testing.T) {
	secret := "duplicate key (nhs_number)=(9990000026)"
	for _, err := range []error{errors.New(secret), fmt.Errorf("%s: %w", secret, context.DeadlineExceeded), fmt.Errorf("%s: %w", secret, context.Canceled)} {
		s := Status(err)
		if strings.Contains(s.Message(), "999") || len(s.Details()) != 0 {
			t.Errorf("left the service: %v", s)
		}
	}
}

func TestFaultsWrappingKeepsItsOwnTextInside(t *testing.T) {
	s := Status(fmt.Errorf("row of 9990000026: %w", New(NotFound, "no such spell")))
	if s.Message() != "no such spell" {
		t.Errorf("message %q", s.Message())
	}
}

func TestCallerLearnsKindAndFieldByMachine(t *testing.T) {
	s := Status(Field("visit_number", "is empty"))
	if s.Message() != "visit_number: is empty" || len(s.Details()) != 1 {
		t.Fatalf("status %v", s)
	}
	info, ok := s.Details()[0].(*errdetails.ErrorInfo)
	if !ok || info.GetReason() != "invalid" || info.GetDomain() != "homeward" || info.GetMetadata()["field"] != "visit_number" {
		t.Errorf("details %v", s.Details())
	}
}

func TestIsFindsAKindUnderWrapping(t *testing.T) {
	err := fmt.Errorf("x: %w", New(NotFound, "y"))
	if !Is(err, NotFound) || Is(err, Conflict) || Is(errors.New("y"), NotFound) {
		t.Error("kinds are confused")
	}
}
