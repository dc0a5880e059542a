package main

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestAnErrorIsToldInTheWordsOfTheService(t *testing.T) {
	gone := status.Error(codes.NotFound, "no exception 999")
	for _, c := range []struct {
		err  error
		want string
	}{
		{gone, "no exception 999"},
		{fmt.Errorf("NOPE: %w", gone), "NOPE: no exception 999"},
		{errors.New("stat x: no such file"), "stat x: no such file"},
	} {
		if got := words(c.err); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
