package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
)

// replay reads a stored message again.
func replay(ctx context.Context, c call) error {
	f := flags("replay")
	dry := f.Bool("dry-run", false, "tell what would change, and change nothing")
	rest, err := c.parse(f, 1, 1)
	if err != nil {
		return err
	}
	req := &dischargev1.ReplayMessageRequest{DryRun: *dry, Key: &dischargev1.ReplayMessageRequest_ControlId{ControlId: rest[0]}}
	if kind, number, ok := strings.Cut(rest[0], ":"); ok && (kind == "message" || kind == "exception") {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is no number", number)
		}
		if req.Key = (&dischargev1.ReplayMessageRequest_MessageId{MessageId: n}); kind == "exception" {
			req.Key = &dischargev1.ReplayMessageRequest_ExceptionId{ExceptionId: n}
		}
	}
	return withTarget([]string{hubName}, func(t *target) error {
		resp, err := t.hub().ReplayMessage(ctx, req)
		if err != nil {
			return err
		}
		writeReplay(c.out, resp)
		return nil
	})
}

func writeReplay(out io.Writer, r *dischargev1.ReplayMessageResponse) {
	if r.GetDryRun() {
		fmt.Fprintf(out, "Dry run of message %d: nothing is changed.\n", r.GetMessageId())
	} else {
		fmt.Fprintf(out, "Message %d was read again.\n", r.GetMessageId())
	}
	if !r.GetUsable() {
		fmt.Fprintln(out, "By the mapping of now it says nothing that can be used; what it said before, if anything, stays.")
	}
	for _, p := range r.GetProblems() {
		fmt.Fprintf(out, "  %s at %s: %s. %s\n", p.GetKind(), p.GetPath(), p.GetFound(), p.GetToDo())
	}
	if len(r.GetChanges()) == 0 {
		fmt.Fprintln(out, "No spell changes.")
	}
	for _, c := range r.GetChanges() {
		writeChange(out, c)
	}
}

// writeChange prints how a spell differs, field by field: ids, codes and dates only.
func writeChange(out io.Writer, c *dischargev1.SpellChange) {
	fmt.Fprintf(out, "Handover %s, spell %s\n", c.GetReference(), c.GetSpellId())
	if c.GetBefore() == nil {
		fmt.Fprintln(out, "  a new spell")
	}
	before, after := spellLines(c.GetBefore()), spellLines(c.GetAfter())
	for i, line := range after {
		if c.GetBefore() == nil || before[i] != line {
			name, now, _ := strings.Cut(line, "\t")
			_, was, _ := strings.Cut(before[i], "\t")
			fmt.Fprintf(out, "  %-14s %s -> %s\n", name, orDash(was), orDash(now))
		}
	}
	if t := c.GetTaskAfter(); t != nil {
		was, now := taskLine(c.GetTaskBefore()), taskLine(t)
		if was == now {
			fmt.Fprintf(out, "  %-14s stays %s\n", "task", now)
		} else {
			fmt.Fprintf(out, "  %-14s %s -> %s\n", "task", was, now)
		}
	}
}

func spellLines(s *dischargev1.Spell) []string {
	d := s.GetDischarge()
	at := ""
	if d != nil {
		at = d.GetAt().AsTime().UTC().Format("2006-01-02T15:04:05Z")
	}
	var involved []string
	for _, i := range s.GetInvolvements() {
		involved = append(involved, enumWord(i.String(), "INVOLVEMENT_"))
	}
	status := ""
	if s != nil {
		status = enumWord(s.GetStatus().String(), "SPELL_STATUS_")
	}
	return []string{
		"status\t" + status, "discharged\t" + at, "method\t" + d.GetMethod(), "destination\t" + d.GetDestination(), "practice\t" + s.GetPracticeCode(),
		"home\t" + s.GetHomePostcodeSector(), "adult\t" + enumWord(s.GetAdult().String(), "ADULT_"), "death\t" + enumWord(s.GetDeath().String(), "DEATH_"),
		"pathway\t" + enumWord(s.GetPathway().String(), "PATHWAY_"), "involved\t" + strings.Join(involved, ", "), "flags\t" + strings.Join(s.GetFlags(), ", "),
	}
}

func enumWord(name, prefix string) string {
	word := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, prefix)), "_", "-")
	if word == "unspecified" {
		return ""
	}
	return word
}

func taskLine(t *dischargev1.TaskOutcome) string {
	if t == nil {
		return "none"
	}
	parts := []string{enumWord(t.GetOutcome(), ""), t.GetReason(), t.GetTeam(), t.GetDueOn(), enumWord(t.GetPriority(), "")}
	return strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
