package e2e

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/homeward-care/homeward/e2e/hospital"
)

// TestManyMessagesOnOneConnectionAndOn32 sends whole visits one after another, then from 32 wards at once.
func TestManyMessagesOnOneConnectionAndOn32(t *testing.T) {
	tr := &traffic{want: map[string]expected{}}
	visit := func(s *hospital.Sender, n int) error {
		name, messages, want := visitOf(n)
		for _, m := range messages {
			identifiers.addMessage(m)
			if err := s.SendUntilAccepted(t.Context(), m.Encode()); err != nil {
				return err
			}
		}
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.want[name] = want
		return nil
	}
	one := &hospital.Sender{Addr: shared.MLLP}
	defer one.Close()
	for n := range 100 {
		if err := visit(one, n); err != nil {
			t.Fatal(err)
		}
	}
	errs := make(chan error)
	for c := range 32 {
		go func() {
			s := &hospital.Sender{Addr: shared.MLLP}
			defer s.Close()
			var err error
			for n := range 10 {
				err = errors.Join(err, visit(s, 1000+c*10+n))
			}
			errs <- err
		}()
	}
	for range 32 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if len(tr.want) != 420 {
		t.Fatalf("%d visits", len(tr.want))
	}
	eventually(t, "all have their outcomes", func() error { return tr.check(t, shared) })
}

// TestAMessageTenDaysLateStartsWithTenDaysUsed counts from the discharge, not from the message.
func TestAMessageTenDaysLateStartsWithTenDaysUsed(t *testing.T) {
	s := newScript("")
	now := time.Now().In(london)
	left := time.Date(now.Year(), now.Month(), now.Day()-10, 11, 0, 0, 0, london)
	s.set(t, []string{"PID-3=QL7001^^^RAJ^PI", "PID-5=LATHERINGTONE^LEONORABEL", "PID-7=19360606", "PID-11=66 OSPREYNEST ROAD^^GRAYS^ESSEX^RM17 6LL^GBR^H",
		"PD1-3=^^F81155", "PV1-19=LATE", "PV1-36=1", "PV1-37=19", "PV1-45=" + left.Format("20060102150405")})
	shared.sendAll(t, []sent{s.message(t, []string{"A03", "LATE-1", now.Format("20060102150405")})})
	h, _, err := shared.handover(t.Context(), "LATE-1")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := shared.task(t.Context(), h.GetSpellId())
	if err != nil {
		t.Fatal(err)
	}
	task := resp.GetTask()
	midnight := 0 // the test may run across one
	if time.Now().In(london).Day() != now.Day() {
		midnight = 1
	}
	if used := int(task.GetDaysUsedOnArrival()); used != 10 && used != 10+midnight {
		t.Errorf("%d days used", used)
	}
	due := left.AddDate(0, 0, 42)
	if task.GetDueOn() != due.Format(time.DateOnly) {
		t.Errorf("due on %s, not %s", task.GetDueOn(), due.Format(time.DateOnly))
	}
	end := time.Date(due.Year(), due.Month(), due.Day()+1, 0, 0, 0, 0, london)
	if !task.GetDueAt().AsTime().Equal(end) {
		t.Errorf("late from %s, not %s", task.GetDueAt().AsTime(), end)
	}
	if want := fmt.Sprintf("42 calendar days after the actual discharge on %s, to the end of the day.", left.Format(time.DateOnly)); task.GetDueReason() != want {
		t.Errorf("because %q", task.GetDueReason())
	}
}
