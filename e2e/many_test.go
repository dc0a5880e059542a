package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/homeward-care/homeward/e2e/hospital"
	"github.com/homeward-care/homeward/e2e/oracle"
)

// TestManyMessagesOnOneConnectionAndOn32 tells stays one after another, then those of 32 wards at once.
func TestManyMessagesOnOneConnectionAndOn32(t *testing.T) {
	stays := func(from, to int) (all []oracle.Told) {
		for n := from; n < to; n++ {
			r := rand.New(rand.NewPCG(32, uint64(n)))
			all = append(all, oracle.NewStay(r, n, time.Date(2026, 1, 10, 0, r.IntN(300*24*60), 0, 0, london)).Messages...)
		}
		return all
	}
	const first = 320_000 // no other test tells of them
	one := stays(first, first+60)
	all := slices.Clone(one)
	wards := make([][]oracle.Told, 32)
	for i := range wards {
		wards[i] = stays(first+100+5*i, first+105+5*i)
		all = append(all, wards[i]...)
	}
	for _, m := range one {
		identifiers.addMessage(m.Fields)
		identifiers.addPerson(m.Event.GetPerson())
	}
	tellAll := func(messages []oracle.Told) error {
		s := &hospital.Sender{Addr: shared.MLLP}
		defer s.Close()
		for _, m := range messages {
			var err error
			if m.Event != nil {
				err = shared.record(t.Context(), m.Event)
			} else {
				err = s.SendUntilAccepted(t.Context(), m.HL7)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := tellAll(one); err != nil {
		t.Fatal(err)
	}
	var told sync.WaitGroup
	failed := make([]error, len(wards))
	for i, messages := range wards {
		told.Go(func() { failed[i] = tellAll(messages) })
	}
	told.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all have their outcomes", func() error {
		if err := shared.allDelivered(t.Context()); err != nil {
			return err
		}
		tasks := publishedTasks(t, shared)
		for _, want := range oracle.Expect(all) {
			if wrong := oracle.Check(want, oracle.SeenOf(tasks[want.SpellID])); len(wrong) > 0 {
				return fmt.Errorf("%q", wrong)
			}
		}
		return nil
	})
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
