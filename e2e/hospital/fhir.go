package hospital

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// FHIR is a hospital's client of a FHIR door: it asks the same again, with the same X-Request-ID, until it has an answer.
type FHIR struct {
	// Door is the address, such as http://127.0.0.1:7080.
	Door string
	// SignIn gives an access token.
	SignIn func(ctx context.Context) (token string, err error)
	// Resent counts the tries that failed.
	Resent int
	token  string
	http   *http.Client
}

// FHIRAnswer is what was answered.
type FHIRAnswer struct {
	Status int
	Body   []byte
	again  time.Duration // what Retry-After asks for
}

// Send returns the first answer with 2xx to a request that writes. It gives up only at an answer that no repetition mends, and when ctx ends.
func (f *FHIR) Send(ctx context.Context, method, path, requestID string, body []byte) (FHIRAnswer, error) {
	return f.ask(ctx, method, path, requestID, body)
}

// Get reads until it is answered with 2xx.
func (f *FHIR) Get(ctx context.Context, path string) (FHIRAnswer, error) {
	return f.ask(ctx, http.MethodGet, path, "", nil)
}

func (f *FHIR) ask(ctx context.Context, method, path, requestID string, body []byte) (FHIRAnswer, error) {
	for ctx.Err() == nil {
		answer, err := f.try(ctx, method, path, requestID, body)
		rest := 50 * time.Millisecond
		switch {
		case err == nil && answer.Status/100 == 2:
			return answer, nil
		case err == nil && answer.Status == http.StatusUnauthorized:
			f.token = ""
		case err == nil && answer.Status == http.StatusTooManyRequests: // nothing was stored, as with 5xx
			rest = max(rest, answer.again)
		case err == nil && answer.Status < http.StatusInternalServerError:
			return answer, fmt.Errorf("%s %s: answered %d: %s", method, path, answer.Status, answer.Body)
		}
		f.Resent++
		select {
		case <-ctx.Done():
		case <-time.After(rest):
		}
	}
	return FHIRAnswer{}, ctx.Err()
}

func (f *FHIR) try(ctx context.Context, method, path, requestID string, body []byte) (FHIRAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	if f.http == nil {
		f.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	}
	if f.token == "" {
		token, err := f.SignIn(ctx)
		if err != nil {
			return FHIRAnswer{}, err
		}
		f.token = token
	}
	req, err := http.NewRequestWithContext(ctx, method, f.Door+path, bytes.NewReader(body))
	if err != nil {
		return FHIRAnswer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+f.token)
	if requestID != "" {
		req.Header.Set("X-Request-ID", requestID)
		req.Header.Set("Content-Type", "application/fhir+json")
	}
	resp, err := f.http.Do(req)
	if err != nil {
		return FHIRAnswer{}, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // the hub sends seconds, or nothing
	return FHIRAnswer{resp.StatusCode, answer, time.Duration(seconds) * time.Second}, err
}

// Close ends the connections.
func (f *FHIR) Close() {
	if f.http != nil {
		f.http.CloseIdleConnections()
	}
}
