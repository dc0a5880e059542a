package dischargehub

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"
)

// TestWhatAReceiverDidIsSaid says what an attempt that failed tells the hospital's engineer, who knows the address, its secret and no Go.
func TestWhatAReceiverDidIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		says   string
	}{
		"takes":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }, ""},
		"redirects": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "answered 302; it must be 2xx"},
		"is gone":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }, "answered 410; it must be 2xx"},
		"hangs":     {func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body); <-r.Context().Done() }, "no answer within 200ms"},
		"hangs up":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		receiver := httptest.NewServer(http.HandlerFunc(c.answer))
		by := newPostClient()
		by.Timeout = 200 * time.Millisecond
		p := poster{client: client{Webhook: &webhook{URL: receiver.URL + "/?key=hidden"}}, http: by, now: time.Now, tracer: noop.NewTracerProvider().Tracer("")}
		_, err := p.send(t.Context(), post{})
		if c.says == "" && err != nil || c.says != "" && (err == nil || err.Error() != c.says) {
			t.Errorf("a receiver that %s: %v, want %q", name, err, c.says)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("a receiver that %s: its address is told", name)
		}
		receiver.Close()
	}
}
