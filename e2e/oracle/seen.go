package oracle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
)

// Seen is a task as an observer reads it, in the words of Expected.
type Seen struct {
	SpellID, TaskID, Status, Outcome, Reason string
	Team, Proposed                           string
	Priority, Contact, Progress, Ending      string
	DischargedOn, DueOn                      string
	DueAt, FirstContactBy                    time.Time
	Met                                      bool
	VisitOn                                  string // the day of the visit that is booked
	VisitAt                                  time.Time
	Schedule                                 int
	Notices                                  []SeenNotice
	// What the hub tells of the handover; see With.
	Handover     bool
	Discharge    int
	DischargedAt time.Time
	Exceptions   []string
	Flags        []string
	PlannedOn    string
	// What the hub keeps of the person; see WithRecord.
	Record       bool
	Number, Ward string
}

// SeenNotice is a notice that fired; Withdrawn says that it proved untrue.
type SeenNotice struct {
	Kind      string
	Schedule  int
	DueAt     time.Time
	FiredAt   time.Time
	Withdrawn bool
}

// SeenOf reads a task.
func SeenOf(t *pickupv1.Task) Seen {
	s := Seen{
		SpellID: t.GetSpellId(), TaskID: t.GetTaskId(), Reason: t.GetReason(), Team: t.GetTeam(), Proposed: t.GetProposedTeam(),
		Status:  word(t.GetSpellStatus(), "SPELL_STATUS_"),
		Outcome: word(t.GetOutcome(), "OUTCOME_"), Priority: word(t.GetPriority(), "PRIORITY_"), Contact: word(t.GetContact(), "CONTACT_"),
		Progress: word(t.GetProgress(), "PROGRESS_"), Ending: word(t.GetEnding(), "ENDING_"),
		DischargedOn: t.GetDischargedOn(), DueOn: t.GetDueOn(), Met: t.GetMet(), Schedule: int(t.GetSchedule()),
	}
	if t.GetDueAt() != nil {
		s.DueAt, s.FirstContactBy = t.GetDueAt().AsTime(), t.GetFirstContactBy().AsTime()
	}
	if s.VisitOn = t.GetVisitOn(); t.GetVisitAt() != nil {
		s.VisitAt = t.GetVisitAt().AsTime()
	}
	for _, n := range t.GetNotices() {
		s.Notices = append(s.Notices, SeenNotice{word(n.GetKind(), "NOTICE_KIND_"), int(n.GetSchedule()), n.GetDueAt().AsTime(), n.GetFiredAt().AsTime(),
			n.GetWithdrawnAt() != nil})
	}
	return s
}

// With adds what the hub tells, so that it is checked too.
func (s Seen) With(h *dischargev1.GetHandoverResponse) Seen {
	s.Handover, s.Exceptions = true, slices.Compact(slices.Sorted(slices.Values(h.GetExceptions())))
	s.PlannedOn = h.GetSpell().GetExpectedDischargeOn()
	for _, flag := range h.GetSpell().GetFlags() {
		if slices.Contains(checkedFlags, flag) {
			s.Flags = append(s.Flags, flag)
		}
	}
	if d := h.GetSpell().GetDischarge(); d != nil {
		s.Discharge, s.DischargedAt = int(d.GetNumber()), d.GetAt().AsTime()
	}
	return s
}

// WithRecord adds the patient number and the ward that the hub keeps of the spell's person.
func (s Seen) WithRecord(number, ward string) Seen {
	s.Record, s.Number, s.Ward = true, number, ward
	return s
}

// word is an enum's value as the oracle writes it; unspecified is nothing.
func word(value fmt.Stringer, prefix string) string {
	w := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(value.String(), prefix), "_", "-"))
	if w == "unspecified" {
		return ""
	}
	return w
}

// differences collects in words what is not as it must be.
type differences struct {
	spell string
	words []string
}

func (d *differences) say(format string, args ...any) {
	d.words = append(d.words, "spell "+d.spell+": "+fmt.Sprintf(format, args...))
}

func same[T comparable](d *differences, what string, want, got T) {
	if want != got {
		d.say("%s is %v, must be %v", what, shown(got), shown(want))
	}
}

func shown(v any) any {
	if at, ok := v.(time.Time); ok {
		return at.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%q", fmt.Sprint(v))
}

// Check compares a task on which nobody has acted with what must have become of it. It returns the violations in words.
func Check(want Expected, got Seen) []string {
	d := &differences{spell: want.SpellID}
	d.facts(want, got)
	same(d, "outcome", want.Outcome, got.Outcome)
	same(d, "reason", want.Reason, got.Reason)
	same(d, "team", want.Team, got.Team)
	same(d, "proposed team", "", got.Proposed)
	same(d, "due on", want.DueOn, got.DueOn)
	same(d, "due at", want.DueAt, got.DueAt)
	same(d, "first contact by", want.FirstContactBy, got.FirstContactBy)
	same(d, "priority", want.Priority, got.Priority)
	same(d, "contact", want.Contact, got.Contact)
	progress := ""
	if want.Team != "" {
		progress = "untaken"
	}
	same(d, "progress", progress, got.Progress)
	same(d, "met", false, got.Met)
	same(d, "day of the visit", "", got.VisitOn)
	same(d, "moment of the visit", time.Time{}, got.VisitAt)
	return d.words
}

// facts compares what holds whoever has acted.
func (d *differences) facts(want Expected, got Seen) {
	same(d, "spell", want.SpellID, got.SpellID)
	same(d, "task", want.TaskID, got.TaskID)
	same(d, "status", want.Status, got.Status)
	same(d, "discharged on", want.DischargedOn, got.DischargedOn)
	if got.Record {
		same(d, "patient number", want.Number, got.Number)
		same(d, "ward", want.Ward, got.Ward)
	}
	if got.Handover {
		same(d, "number of the discharge", want.Discharge, got.Discharge)
		same(d, "moment of the discharge", want.DischargedAt, got.DischargedAt)
		same(d, "expected to leave on", want.PlannedOn, got.PlannedOn)
		same(d, "flags", strings.Join(want.Flags, ", "), strings.Join(got.Flags, ", "))
		same(d, "open exceptions", strings.Join(want.Exceptions, ", "), strings.Join(got.Exceptions, ", "))
	}
}
