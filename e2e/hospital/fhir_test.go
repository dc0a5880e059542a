package hospital

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// A door may say that there are too many requests, be away, or want another token: then the same request is sent again, and only then.
func TestARequestIsSentUntilItIsAnsweredForGood(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers []int
		sent    int
		refused bool
	}{
		{"at once", []int{201}, 1, false},
		{"too many requests", []int{429, 429, 201}, 3, false},
		{"away", []int{503, 201}, 2, false},
		{"a token that has run out", []int{401, 201}, 2, false},
		{"refused", []int{422, 201}, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sent []string
			door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				w.WriteHeader(tt.answers[len(sent)])
				sent = append(sent, r.Header.Get("X-Request-ID")+" "+string(body))
			}))
			defer door.Close()
			client := FHIR{Door: door.URL, SignIn: func(context.Context) (string, error) { return "a token", nil }}
			defer client.Close()
			answer, err := client.Send(t.Context(), FHIRRequest{Method: http.MethodPost, Path: "/", ID: "7", Body: []byte("{}")})
			if (err != nil) != tt.refused || answer.Status != tt.answers[tt.sent-1] || len(sent) != tt.sent {
				t.Errorf("Send() = %d, %v after %d requests", answer.Status, err, len(sent))
			}
			for _, s := range sent {
				if s != "7 {}" {
					t.Errorf("sent %q, want the same request", s)
				}
			}
		})
	}
}
