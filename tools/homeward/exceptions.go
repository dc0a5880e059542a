package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/tools/homeward/feedcheck"
)

var exceptionFilters = map[string]dischargev1.ExceptionFilter{
	"open": dischargev1.ExceptionFilter_EXCEPTION_FILTER_OPEN, "closed": dischargev1.ExceptionFilter_EXCEPTION_FILTER_CLOSED,
	"all": dischargev1.ExceptionFilter_EXCEPTION_FILTER_ALL, "late": dischargev1.ExceptionFilter_EXCEPTION_FILTER_LATE,
}

// listExceptions lists what waits for a person.
func listExceptions(ctx context.Context, c call) error {
	f := flags("exceptions list")
	kind, owner, feed := f.String("kind", "", "only this kind"), f.String("owner", "", "only this owner's"), f.String("feed", "", "only this feed's")
	state := f.String("state", "open", "open, late, closed or all")
	late := f.Bool("late", false, "as --state late: those that nobody has dealt with in time")
	older := f.Duration("older", 0, "only those opened so long ago, such as 24h")
	if _, err := c.parse(f, 0, 0); err != nil {
		return err
	}
	if *late {
		*state = "late"
	}
	filter, ok := exceptionFilters[*state]
	if !ok {
		return fmt.Errorf("--state is %q; choose one of %v", *state, slices.Sorted(maps.Keys(exceptionFilters)))
	}
	req := &dischargev1.ListExceptionsRequest{Kind: *kind, Owner: *owner, Feed: *feed, Filter: filter, Limit: 500}
	if *older > 0 {
		req.OpenedBefore = timestamppb.New(time.Now().Add(-*older))
	}
	return withTarget([]string{hubName}, func(t *target) error {
		w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
		defer w.Flush()
		fmt.Fprintln(w, "ID\tKIND\tSTATE\tAGE\tLOOK BY\tOWNER\tFEED\tCONTROL ID\tWHAT")
		for {
			page, err := t.hub().ListExceptions(ctx, req)
			if err != nil {
				return err
			}
			for _, e := range page.GetExceptions() {
				printException(w, e)
				req.AfterId = e.GetId()
			}
			if len(page.GetExceptions()) < int(req.GetLimit()) {
				return nil
			}
		}
	})
}

func printException(w io.Writer, e *dischargev1.MessageException) {
	state := stateWord(e)
	if e.GetAlarms() > 0 && e.GetClosedAt() == nil {
		state += ", LATE"
	}
	what, _, _ := strings.Cut(e.GetDetail(), ". ") // what to do about it is told where it is shown
	fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.GetId(), e.GetKind(), state, age(e), e.GetLookBy().AsTime().Local().Format("Mon 2 Jan 15:04"),
		e.GetOwner(), e.GetFeed(), shortened(e.GetControlId()), what)
}

// shortened keeps a control id within the column that most need: HL7 allows 20 characters, and a UUID has 36.
func shortened(controlID string) string {
	if r := []rune(controlID); len(r) > 36 {
		return string(r[:35]) + "…"
	}
	return controlID
}

func stateWord(e *dischargev1.MessageException) string {
	return strings.ToLower(strings.TrimPrefix(e.GetState().String(), "EXCEPTION_STATE_"))
}

func age(e *dischargev1.MessageException) string {
	d := time.Duration(e.GetAgeSeconds()) * time.Second
	if d >= 48*time.Hour {
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
	return d.String()
}

// one returns the exception that the first argument names.
func (t *target) exception(ctx context.Context, id string) (*dischargev1.GetExceptionResponse, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%q is no exception's number; `homeward exceptions list` shows them", id)
	}
	return t.hub().GetException(ctx, &dischargev1.GetExceptionRequest{Id: n})
}

// showException prints an exception with its message. It shows personal data, and the hub's audit says who looked.
func showException(ctx context.Context, c call) error {
	f := flags("exceptions show")
	raw := f.Bool("raw", false, "write the message alone, as it came")
	rest, err := c.parse(f, 1, 1)
	if err != nil {
		return err
	}
	return withTarget([]string{hubName}, func(t *target) error {
		e, err := t.exception(ctx, rest[0])
		if err != nil {
			return err
		}
		if *raw {
			_, err := c.out.Write(e.GetMessage())
			return err
		}
		writeException(c.out, e)
		return nil
	})
}

func writeException(out io.Writer, e *dischargev1.GetExceptionResponse) {
	x := e.GetException()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, text)
		}
	}
	line("Exception", fmt.Sprintf("%d, %s, %s, version %d", x.GetId(), x.GetKind(), stateWord(x), x.GetVersion()))
	line("Owner", x.GetOwner())
	line("Age", age(x))
	line("Look by", x.GetLookBy().AsTime().Local().Format("Mon 2 Jan 2006 15:04"))
	line("Message", fmt.Sprintf("%d, feed %s, control id %s, %s", x.GetMessageId(), x.GetFeed(), x.GetControlId(), e.GetFormat()))
	line("Spell", x.GetSpellId())
	line("Found", e.GetFound())
	line("Expected", e.GetExpected())
	line("To do", e.GetToDo())
	line("Closed by", e.GetClosedBy())
	line("Note", e.GetNote())
	if id := e.GetCorrectedByMessageId(); id != 0 {
		line("Corrected", fmt.Sprintf("message %d takes its place", id))
	}
	_ = w.Flush()
	if len(e.GetMessage()) > 0 {
		fmt.Fprintln(out)
		pointAt(out, e.GetMessage(), e.GetFinger())
	}
}

// pointAt prints a message, a segment or an element a line, with a mark below the place at fault.
func pointAt(out io.Writer, message []byte, f *dischargev1.Finger) {
	if f != nil {
		fmt.Fprintf(out, "At %s", f.GetPath())
		if f.GetReached() != f.GetPath() {
			fmt.Fprintf(out, ", which the message does not have")
			if f.GetReached() != "" {
				fmt.Fprintf(out, "; it has %s", f.GetReached())
			}
		}
		fmt.Fprintf(out, ": byte %d, %d bytes\n", f.GetOffset(), f.GetLength())
	}
	at, length := int(f.GetOffset()), int(f.GetLength())
	start := 0
	for start < len(message) {
		end := bytes.IndexAny(message[start:], "\r\n")
		if end < 0 {
			end = len(message)
		} else {
			end += start
		}
		if end > start {
			fmt.Fprintf(out, "  %s\n", message[start:end])
			if f != nil && at >= start && at <= end {
				fmt.Fprintf(out, "  %s%s\n", strings.Repeat(" ", len([]rune(string(message[start:at])))), strings.Repeat("^", max(1, min(length, end-at))))
			}
		}
		start = end + 1
	}
}

// correctException stores a corrected copy.
func correctException(ctx context.Context, c call) error {
	f := flags("exceptions correct")
	note := f.String("note", "", "why this is right, and who says so (required)")
	rest, err := c.parse(f, 2, 2)
	if err != nil {
		return err
	}
	var body []byte
	if rest[1] == "-" {
		body, err = io.ReadAll(c.in)
	} else {
		body, err = os.ReadFile(rest[1])
	}
	if err != nil {
		return err
	}
	return withTarget([]string{hubName}, func(t *target) error {
		e, err := t.exception(ctx, rest[0])
		if err != nil {
			return err
		}
		if e.GetFormat() == "hl7v2" {
			if n := len(feedcheck.Split(rest[1], body)); n != 1 {
				return fmt.Errorf("%s holds %d messages: give the one corrected copy", rest[1], n)
			}
		}
		resp, err := t.hub().CorrectException(ctx, &dischargev1.CorrectExceptionRequest{Id: e.GetException().GetId(),
			Version: e.GetException().GetVersion(), Message: body, Note: *note})
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "Stored as message %d, of handover %s. `homeward why %s` tells what becomes of it.\n",
			resp.GetMessageId(), resp.GetReference(), resp.GetReference())
		return nil
	})
}

// dismissException closes an exception.
func dismissException(ctx context.Context, c call) error {
	f := flags("exceptions dismiss")
	reasons := map[string]dischargev1.DismissReason{}
	for n, name := range dischargev1.DismissReason_name {
		if n != 0 {
			reasons[strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "DISMISS_REASON_")), "_", "-")] = dischargev1.DismissReason(n)
		}
	}
	list := slices.Sorted(maps.Keys(reasons))
	reason := f.String("reason", "", "one of "+strings.Join(list, ", ")+" (required)")
	note := f.String("note", "", "in words; it stays in the hub (required)")
	rest, err := c.parse(f, 1, 1)
	if err != nil {
		return err
	}
	if reasons[*reason] == 0 {
		return fmt.Errorf("--reason is %q; choose one of %s", *reason, strings.Join(list, ", "))
	}
	return withTarget([]string{hubName}, func(t *target) error {
		e, err := t.exception(ctx, rest[0])
		if err != nil {
			return err
		}
		resp, err := t.hub().DismissException(ctx, &dischargev1.DismissExceptionRequest{Id: e.GetException().GetId(),
			Version: e.GetException().GetVersion(), Reason: reasons[*reason], Note: *note})
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "Exception %d is %s.\n", resp.GetException().GetId(), stateWord(resp.GetException()))
		return nil
	})
}

// assignException gives an exception to somebody.
func assignException(ctx context.Context, c call) error {
	rest, err := c.parse(flags("exceptions assign"), 1, 2)
	if err != nil {
		return err
	}
	owner := ""
	if len(rest) == 2 {
		owner = rest[1]
	}
	return withTarget([]string{hubName}, func(t *target) error {
		e, err := t.exception(ctx, rest[0])
		if err != nil {
			return err
		}
		resp, err := t.hub().AssignException(ctx, &dischargev1.AssignExceptionRequest{Id: e.GetException().GetId(),
			Version: e.GetException().GetVersion(), Owner: owner})
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "Exception %d is %s's.\n", resp.GetException().GetId(), resp.GetException().GetOwner())
		return nil
	})
}
