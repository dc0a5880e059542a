package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/status"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
)

// explainHandover is the command.
func explainHandover(ctx context.Context, c call) error {
	rest, err := c.parse(flags("why"), 1, 1)
	if err != nil {
		return err
	}
	return withTarget([]string{hubName}, func(t *target) error { return why(ctx, t, rest[0], c.out) })
}

// why prints each hop of a handover, from the PostgreSQL of every service.
func why(ctx context.Context, t *target, key string, out io.Writer) error {
	h, err := find(ctx, t, key)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Handover %s, spell %s\n", h.GetReference(), h.GetSpellId())
	fmt.Fprintf(out, "  received   %s\n", moment(h.GetReceivedAt().AsTime()))
	switch {
	case h.GetDeliveredAt() != nil:
		fmt.Fprintf(out, "  delivered  %s, epoch %d, version %d\n", moment(h.GetDeliveredAt().AsTime()), h.GetEpoch(), h.GetVersion())
	default:
		fmt.Fprintf(out, "  delivered  not yet: version %d is on its way and sent again every minute\n", h.GetVersion())
	}
	if h.GetTakenAt() != nil {
		fmt.Fprintf(out, "  taken      %s\n", moment(h.GetTakenAt().AsTime()))
	} else {
		fmt.Fprintf(out, "  taken      by nobody\n")
	}
	if len(h.GetExceptions()) > 0 {
		fmt.Fprintf(out, "  exceptions open: %s\n", strings.Join(h.GetExceptions(), ", "))
	}

	var hops []*opsv1.Hop
	var away []string
	for _, service := range []string{"discharge-hub", "light-touch-assessment", "reablement-capacity", "community-pickup"} {
		if t.conns[service] == nil {
			away = append(away, fmt.Sprintf("%s is not asked: set %s", service, peers[service]))
			continue
		}
		resp, err := opsv1.NewExplainServiceClient(t.conns[service]).ExplainHandover(ctx, &opsv1.ExplainHandoverRequest{SpellId: h.GetSpellId()})
		if err != nil {
			away = append(away, fmt.Sprintf("%s does not answer: %s", service, status.Convert(err).Message()))
			continue
		}
		hops = append(hops, resp.GetHops()...)
	}
	slices.SortStableFunc(hops, func(a, b *opsv1.Hop) int { return a.GetAt().AsTime().Compare(b.GetAt().AsTime()) })
	fmt.Fprintln(out)
	for _, hop := range hops {
		printHop(t, hop, out)
	}
	for _, line := range away {
		fmt.Fprintln(out, line)
	}
	return nil
}

func printHop(t *target, hop *opsv1.Hop, out io.Writer) {
	fmt.Fprintf(out, "%s  %-22s  %s\n", moment(hop.GetAt().AsTime()), hop.GetService(), hop.GetName())
	fmt.Fprintf(out, "      %s\n", hop.GetState())
	if hop.GetAttempts() > 0 {
		fmt.Fprintf(out, "      %d attempts\n", hop.GetAttempts())
	}
	if hop.GetLastError() != "" {
		fmt.Fprintf(out, "      last error: %s\n", hop.GetLastError())
	}
	if hop.GetNextRetry() != nil {
		fmt.Fprintf(out, "      next retry: %s\n", moment(hop.GetNextRetry().AsTime()))
	}
	if id := hop.GetTraceId(); id != "" {
		fmt.Fprintf(out, "      trace %s%s\n", id, orNothing("  ", link(t, id)))
	}
}

// find asks the hub with the key as what it looks like.
func find(ctx context.Context, t *target, key string) (*dischargev1.GetHandoverResponse, error) {
	hub := t.hub()
	key = strings.TrimSpace(key)
	var tries []*dischargev1.GetHandoverRequest
	switch {
	case isTraceID(key):
		tries = append(tries, &dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_TraceId{TraceId: key}})
	case uuid.Validate(key) == nil:
		tries = append(tries,
			&dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_SpellId{SpellId: key}},
			&dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_EventId{EventId: key}})
	case strings.HasPrefix(strings.ToUpper(key), "HW-"):
		tries = append(tries, &dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_Reference{Reference: key}})
	default:
		tries = append(tries, &dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_ControlId{ControlId: key}})
	}
	var last error
	for _, req := range tries {
		h, err := hub.GetHandover(ctx, req)
		if err == nil {
			return h, nil
		}
		last = err
	}
	return nil, fmt.Errorf("%s: %s", key, status.Convert(last).Message())
}

func isTraceID(s string) bool {
	return len(s) == 32 && strings.Trim(strings.ToLower(s), "0123456789abcdef") == ""
}

func moment(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05.000") }
