package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// link is where Jaeger shows a trace; empty when no Jaeger is known that has pages.
func link(t *target, traceID string) string {
	if t.jaeger == "" || !t.pages {
		return ""
	}
	return strings.TrimSuffix(t.jaeger, "/") + "/trace/" + traceID
}

// jaegerTrace is what Jaeger's query API says of one trace.
type jaegerTrace struct {
	Spans     []jaegerSpan `json:"spans"`
	Processes map[string]struct {
		Service string `json:"serviceName"`
	} `json:"processes"`
}

type jaegerSpan struct {
	SpanID     string `json:"spanID"`
	Name       string `json:"operationName"`
	ProcessID  string `json:"processID"`
	Start      int64  `json:"startTime"` // microseconds since 1970
	Duration   int64  `json:"duration"`  // microseconds
	References []struct {
		Type   string `json:"refType"`
		SpanID string `json:"spanID"`
	} `json:"references"`
}

func (s jaegerSpan) parent() string {
	for _, r := range s.References {
		if r.Type == "CHILD_OF" {
			return r.SpanID
		}
	}
	return ""
}

// showTrace is the command.
func showTrace(ctx context.Context, c call) error {
	rest, err := c.parse(flags("trace"), 1, 1)
	if err != nil {
		return err
	}
	return withTarget(nil, func(t *target) error { return printTrace(ctx, t, rest[0], c.out) })
}

// printTrace prints the spans of a trace as a tree, by Jaeger's query API.
func printTrace(ctx context.Context, t *target, traceID string, out io.Writer) error {
	if t.jaeger == "" {
		return errors.New("no Jaeger is known: set JAEGER_QUERY_URL")
	}
	if !isTraceID(traceID) {
		return errors.New("a trace id is 32 hexadecimal digits")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(t.jaeger, "/")+"/api/traces/"+traceID, nil)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("Jaeger does not answer (it may still be building; see the window of `make run`): %w", err)
	}
	defer resp.Body.Close()
	var body struct {
		Data []jaegerTrace `json:"data"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		return fmt.Errorf("what Jaeger answered cannot be read: %w", err)
	}
	if len(body.Data) == 0 {
		return errors.New("Jaeger has no such trace: it keeps traces in memory, and gets them about a second after the work")
	}
	body.Data[0].print(out)
	return nil
}

func (t jaegerTrace) print(out io.Writer) {
	slices.SortFunc(t.Spans, func(a, b jaegerSpan) int { return cmp.Compare(a.Start, b.Start) })
	known := map[string]bool{}
	for _, s := range t.Spans {
		known[s.SpanID] = true
	}
	children := map[string][]jaegerSpan{}
	for _, s := range t.Spans {
		parent := s.parent()
		if !known[parent] {
			parent = ""
		}
		children[parent] = append(children[parent], s)
	}
	begin := t.Spans[0].Start
	var walk func(parent, indent string)
	walk = func(parent, indent string) {
		for _, s := range children[parent] {
			at, took := time.Duration(s.Start-begin)*time.Microsecond, time.Duration(s.Duration)*time.Microsecond
			fmt.Fprintf(out, "%10s  %8s  %s%s: %s\n", "+"+at.Round(10*time.Microsecond).String(), took.Round(10*time.Microsecond), indent,
				t.Processes[s.ProcessID].Service, s.Name)
			walk(s.SpanID, indent+"  ")
		}
	}
	walk("", "")
}
