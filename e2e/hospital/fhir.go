package hospital

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
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

// FHIRRequest is a request that writes, or, without an ID, one that reads.
type FHIRRequest struct {
	Method, Path string
	ID           string // X-Request-ID
	IfMatch      string
	IfNoneExist  string
	Body         []byte
}

// FHIRAnswer is what was answered.
type FHIRAnswer struct {
	Status int
	ETag   string
	// Location is a path at the door, such as /fhir/Patient/…
	Location string
	Body     []byte
	again    time.Duration // what Retry-After asks for
}

// Version is the version that an ETag of the door names.
func Version(etag string) (int, error) {
	version, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(etag, `W/"`), `"`))
	if err == nil && version < 1 {
		err = errors.New("there is no such version")
	}
	return version, err
}

// OK says that it went well.
func (a FHIRAnswer) OK() bool { return a.Status/100 == 2 }

// Send returns the first answer with 2xx. It gives up only at an answer that no repetition mends, which it returns with an error, and when ctx ends.
func (f *FHIR) Send(ctx context.Context, r FHIRRequest) (FHIRAnswer, error) {
	for ctx.Err() == nil {
		answer, err := f.try(ctx, r)
		rest := 50 * time.Millisecond
		switch {
		case err == nil && answer.OK():
			return answer, nil
		case err == nil && answer.Status == http.StatusUnauthorized:
			f.token = ""
		case err == nil && answer.Status == http.StatusTooManyRequests: // nothing was stored, as with 5xx
			rest = max(rest, answer.again)
		case err == nil && answer.Status < http.StatusInternalServerError:
			return answer, fmt.Errorf("%s %s: answered %d: %s", r.Method, r.Path, answer.Status, answer.Body)
		}
		f.Resent++
		select {
		case <-ctx.Done():
		case <-time.After(rest):
		}
	}
	return FHIRAnswer{}, ctx.Err()
}

// Post sends a FHIR message.
func (f *FHIR) Post(ctx context.Context, requestID string, message []byte) (FHIRAnswer, error) {
	return f.Send(ctx, FHIRRequest{Method: http.MethodPost, Path: "/fhir/$process-message", ID: requestID, Body: message})
}

// Get reads.
func (f *FHIR) Get(ctx context.Context, path string) (FHIRAnswer, error) {
	return f.Send(ctx, FHIRRequest{Method: http.MethodGet, Path: path})
}

func (f *FHIR) try(ctx context.Context, r FHIRRequest) (FHIRAnswer, error) {
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
	req, err := http.NewRequestWithContext(ctx, r.Method, f.Door+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		return FHIRAnswer{}, err
	}
	headers := map[string]string{"Authorization": "Bearer " + f.token, "X-Request-ID": r.ID, "If-Match": r.IfMatch, "If-None-Exist": r.IfNoneExist}
	if r.ID != "" {
		headers["Content-Type"] = "application/fhir+json"
	}
	for name, value := range headers {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := f.http.Do(req)
	if err != nil {
		return FHIRAnswer{}, err
	}
	defer resp.Body.Close()
	answer := FHIRAnswer{Status: resp.StatusCode, ETag: resp.Header.Get("ETag")}
	if there, err := url.Parse(resp.Header.Get("Location")); err == nil {
		answer.Location = there.Path
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // the hub sends seconds, or nothing
	answer.again = time.Duration(seconds) * time.Second
	answer.Body, err = io.ReadAll(resp.Body)
	return answer, err
}

// Page is what a search has found.
type Page struct {
	Resources map[string]json.RawMessage // by id
	Next      string                     // the path at the door of the next page; empty on the last one
}

// Found reads the answer to a search.
func Found(body []byte) (Page, error) {
	var bundle struct {
		Entry []struct{ Resource json.RawMessage }
		Link  []struct{ Relation, URL string }
	}
	if err := json.Unmarshal(body, &bundle); err != nil {
		return Page{}, err
	}
	p := Page{Resources: map[string]json.RawMessage{}}
	for _, e := range bundle.Entry {
		var resource struct{ ID string }
		if err := json.Unmarshal(e.Resource, &resource); err != nil {
			return p, err
		}
		p.Resources[resource.ID] = e.Resource
	}
	for _, l := range bundle.Link {
		if next, err := url.Parse(l.URL); err == nil && l.Relation == "next" {
			p.Next = next.RequestURI()
		}
	}
	return p, nil
}

// Close ends the connections.
func (f *FHIR) Close() {
	if f.http != nil {
		f.http.CloseIdleConnections()
	}
}
