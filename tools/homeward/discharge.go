package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/kit/event"
)

// sendDischarges sends two people home: one on a feed of people in whom social care is involved, one on the feed of the whole hospital, in
// whose case it is not known to be.
func sendDischarges(ctx context.Context, c call) error {
	if _, err := c.parse(flags("discharge"), 0, 0); err != nil {
		return err
	}
	return withTarget(everything(), func(t *target) error { return sendTwo(ctx, t, c.out) })
}

func sendTwo(ctx context.Context, t *target, out io.Writer) error {
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		return err
	}
	for i, sender := range []string{"MSEPAS", "MSEPAS-ALL"} {
		if i > 0 {
			fmt.Fprintln(out)
		}
		p := somebody()
		if err := sendHome(ctx, t, out, p, p.a03(sender, time.Now().In(london))); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, "\nThe whole way of either: make why REF=<reference>    its spans: make trace ID=<trace>")
	return nil
}

// person is a synthetic person with an address in Thurrock.
type person struct {
	nhsNumber, patientNumber, family, given, born string
	postcode, practice, visit, controlID          string
}

var homes = []struct{ postcode, practice string }{
	{"RM17 5AA", "F81155"}, {"RM15 4AB", "F81010"}, {"SS17 0AB", "F81153"}, {"RM18 8AB", "F81110"}, {"RM16 6AB", "F81113"}, {"RM18 7AB", "F81206"},
}

func somebody() person {
	home := homes[rand.IntN(len(homes))]
	tag := strconv.FormatInt(time.Now().UnixMilli(), 36) + strconv.Itoa(rand.IntN(10))
	return person{
		nhsNumber: syntheticNHSNumber(), patientNumber: strconv.Itoa(1000000 + rand.IntN(9000000)),
		family: "TESTER", given: []string{"Ada", "Basil", "Clara", "Derek"}[rand.IntN(4)], born: fmt.Sprintf("19%02d0%d15", 30+rand.IntN(30), 1+rand.IntN(9)),
		postcode: home.postcode, practice: home.practice, visit: "V" + tag, controlID: "M" + tag,
	}
}

// syntheticNHSNumber is a valid number of the range 999 000 0000 to 999 999 9999, which is never given to anybody.
func syntheticNHSNumber() string {
	for {
		stem := fmt.Sprintf("999%06d", rand.IntN(1000000))
		sum := 0
		for i, c := range stem {
			sum += int(c-'0') * (10 - i)
		}
		if check := (11 - sum%11) % 11; check < 10 {
			return stem + strconv.Itoa(check)
		}
	}
}

// a03 is the hospital's message that the person has just left.
func (p person) a03(sender string, now time.Time) []byte {
	at := now.Format("20060102150405")
	b := &hl7.Builder{}
	b.Set("MSH-3", sender).Set("MSH-4", "RAJ").Set("MSH-5", "THURROCK-HUB").Set("MSH-6", "THURROCK").Set("MSH-7", at).
		SetRaw("MSH-9", "ADT^A03").Set("MSH-10", p.controlID).Set("MSH-11", "P").Set("MSH-12", "2.4")
	b.Set("EVN-1", "A03").Set("EVN-2", at)
	b.SetRaw("PID-3", p.nhsNumber+"^^^NHS^NH~"+p.patientNumber+"^^^RAJ^PI").SetRaw("PID-5", p.family+"^"+p.given).Set("PID-7", p.born).
		SetRaw("PID-11", "1 EXAMPLE ROAD^^EXAMPLE TOWN^^"+p.postcode+"^GBR^H").Set("PID-30", "N")
	b.SetRaw("PD1-3", "A PRACTICE^^"+p.practice+"^^^NHS^ODS")
	b.Set("PV1-2", "I").SetRaw("PV1-3", "ELM^B2^04^RAJ12").Set("PV1-19", p.visit).Set("PV1-36", "1").Set("PV1-37", "19").
		Set("PV1-44", now.AddDate(0, 0, -6).Format("20060102150405")).Set("PV1-45", at)
	return b.Bytes()
}

// deliverLimit is how long a handover may take before this tool stops waiting; reconciliation repairs within a minute.
const deliverLimit = 90 * time.Second

func sendHome(ctx context.Context, t *target, out io.Writer, p person, message []byte) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	sent := time.Now()
	code, text, err := sendOne(t.mllp, message)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Sent\tADT^A03, control id %s, a synthetic person, practice %s, home %s\n", p.controlID, p.practice, sector(p.postcode))
	fmt.Fprintf(w, "Answer\t%s%s, after %s\n", code, orNothing(" ", text), since(sent, time.Now()))
	if code != "AA" {
		return fmt.Errorf("the message was not accepted: %s %s", code, text)
	}
	h, err := waitDelivered(ctx, t, p.controlID)
	if err != nil {
		return err
	}
	// What is asked about the handover belongs to its trace.
	origin := event.ParseTraceparent(h.GetTraceparent())
	task, err := pickupv1.NewCommunityPickupServiceClient(t.conns["community-pickup"]).GetTask(trace.ContextWithRemoteSpanContext(ctx, origin),
		&pickupv1.GetTaskRequest{Key: &pickupv1.GetTaskRequest_SpellId{SpellId: h.GetSpellId()}})
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Received\t%s, reference %s\n", h.GetReceivedAt().AsTime().Local().Format(time.TimeOnly), h.GetReference())
	fmt.Fprintf(w, "Delivered\t%s later\n", since(h.GetReceivedAt().AsTime(), h.GetDeliveredAt().AsTime()))
	describe(w, task.GetTask())
	if origin.IsValid() {
		fmt.Fprintf(w, "Trace\t%s%s\n", origin.TraceID(), orNothing("  ", link(t, origin.TraceID().String())))
	} else {
		fmt.Fprintf(w, "Trace\tnone: this handover was beyond the configured rate of traces\n")
	}
	return nil
}

func describe(w io.Writer, task *pickupv1.Task) {
	switch task.GetOutcome() {
	case pickupv1.Outcome_OUTCOME_PICK_UP_DUE:
		fmt.Fprintf(w, "Pick-up\tdue: %s\n", task.GetReasonText())
		fmt.Fprintf(w, "Team\t%s: %s\n", task.GetTeam(), task.GetRoute().GetText())
		fmt.Fprintf(w, "Due\t%s: %s\n", longDate(task.GetDueOn()), task.GetDueReason())
	case pickupv1.Outcome_OUTCOME_NOT_DUE:
		fmt.Fprintf(w, "Pick-up\tnot due, because: %s\n", task.GetReasonText())
	default:
		fmt.Fprintf(w, "Pick-up\t%s: %s\n", strings.TrimPrefix(task.GetOutcome().String(), "OUTCOME_"), task.GetReasonText())
	}
	if flags := task.GetFlags(); len(flags) > 0 {
		fmt.Fprintf(w, "Flags\t%s\n", strings.Join(flags, ", "))
	}
}

// waitDelivered asks the hub until community-pickup has confirmed the handover.
func waitDelivered(ctx context.Context, t *target, controlID string) (*dischargev1.GetHandoverResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, deliverLimit)
	defer cancel()
	hub := t.hub()
	for {
		h, err := hub.GetHandover(ctx, &dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_ControlId{ControlId: controlID}})
		switch {
		case err == nil && h.GetDeliveredAt() != nil:
			return h, nil
		case err != nil && status.Code(err) != codes.NotFound && status.Code(err) != codes.Unavailable:
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the message is received and not delivered within %s: see `make why REF=%s`", deliverLimit, controlID)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func sector(postcode string) string { return postcode[:len(postcode)-2] }

func since(from, to time.Time) string { return to.Sub(from).Round(time.Millisecond).String() }

func orNothing(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

func longDate(iso string) string {
	d, err := time.Parse(time.DateOnly, iso)
	if err != nil {
		return iso
	}
	return d.Format("Monday 2 January 2006")
}
