package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
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

func TestWhatCannotBeDoneIsNamed(t *testing.T) {
	for says, args := range map[string][]string{
		`there is no command "excptions list"`:   {"excptions", "list"},
		"usage: homeward COMMAND":                nil,
		"--policy is ./mine.json; give the name": {"policy", "preview", "--policy", "./mine.json"},
	} {
		if err := run(t.Context(), args, strings.NewReader(""), io.Discard); err == nil || !strings.HasPrefix(err.Error(), says) {
			t.Errorf("%v: %v, want %q", args, err, says)
		}
	}
}

func TestAnElementOfAFHIRMessageIsPointedAt(t *testing.T) {
	message := "{\n  \"period\": {\n    \"end\": \"2026\"\n  }\n}"
	var out strings.Builder
	writeException(&out, &dischargev1.GetExceptionResponse{Message: []byte(message), Format: "fhir",
		Finger: &dischargev1.Finger{Path: "Encounter.period.end", Reached: "Encounter.period.end", Offset: int32(strings.Index(message, `"2026"`)), Length: 6}})
	want := "At Encounter.period.end: byte 27, 6 bytes\n  {\n    \"period\": {\n      \"end\": \"2026\"\n             ^^^^^^\n    }\n  }\n"
	if got := out.String(); !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
