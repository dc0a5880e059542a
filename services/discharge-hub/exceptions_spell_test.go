package dischargehub

import (
	"strings"
	"testing"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
)

func TestContradictionAboutDeathIsOneExceptionUntilTheHospitalCorrectsIt(t *testing.T) {
	h := startHub(t)
	open := func() int {
		h.interpreted(t)
		return h.count(t, `SELECT count(*) FROM exception WHERE kind = 'death-contradictory' AND closed_at IS NULL`)
	}
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Set("PID-29", "20260902130000").Bytes())
	h.send(t, adt("A08", "M2", "V1", day(2, 15)).Set("PID-29", "20260902130000").Bytes())
	if n := open(); n != 1 {
		t.Errorf("%d exceptions are open for one contradiction", n)
	}
	h.send(t, adt("A08", "M3", "V1", day(2, 16)).SetRaw("PID-29", `""`).Bytes())
	if n := open(); n != 0 {
		t.Errorf("%d exceptions are open after the correction", n)
	}
	h.send(t, adt("A08", "M4", "V1", day(2, 17)).Set("PID-29", "20260902130000").Bytes())
	if n := open(); n != 1 {
		t.Errorf("%d exceptions are open after it was contradicted again", n)
	}
}

func TestCancelThatCameBeforeItsDischargeIsAnExceptionUntilThatComes(t *testing.T) {
	h := startHub(t)
	open := func() int {
		h.interpreted(t)
		return h.count(t, `SELECT count(*) FROM exception WHERE kind = 'cancel-without-discharge' AND closed_at IS NULL`)
	}
	h.send(t, adt("A13", "M2", "V1", day(2, 16)).Bytes())
	if n := open(); n != 1 {
		t.Errorf("%d exceptions are open for a cancel of nothing", n)
	}
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Bytes())
	if n := open(); n != 0 {
		t.Errorf("%d exceptions are open though the discharge has come", n)
	}
}

func TestTwoKeysThatLookLikeOneStayAreAnException(t *testing.T) {
	for name, messages := range map[string][][]byte{
		"without a visit number first": {adt("A01", "M1", "", day(1, 9)).Bytes(), adt("A03", "M2", "V1", day(2, 9)).Bytes()},
		"with a visit number first":    {adt("A01", "M1", "V1", day(1, 9)).Bytes(), adt("A03", "M2", "", day(2, 9)).Bytes()},
		"two visit numbers":            {adt("A01", "M1", "V1", day(1, 9)).Bytes(), adt("A03", "M2", "V2", day(2, 9)).Bytes()},
	} {
		t.Run(name, func(t *testing.T) {
			h := startHub(t)
			h.send(t, messages...)
			h.interpreted(t)
			if n := h.count(t, `SELECT count(*) FROM exception WHERE kind = 'two-keys-for-one-stay' AND closed_at IS NULL`); n != 1 {
				t.Errorf("%d exceptions", n)
			}
		})
	}
	t.Run("corrected", func(t *testing.T) {
		h := startHub(t)
		h.send(t, adt("A01", "V1", "V1", day(1, 9)).Bytes(), adt("A01", "V2", "V2", day(1, 9)).Bytes())
		e := h.exception(t, "two-keys-for-one-stay")
		wrong := e.GetControlId()
		other := map[string]string{"V1": "V2", "V2": "V1"}[wrong]
		for _, visit := range []string{wrong, other} {
			if !strings.Contains(e.GetDetail(), discharge.Reference(spellID(visit))) {
				t.Errorf("the handover of %s is not named: %s", visit, e.GetDetail())
			}
		}
		if _, err := h.client.CorrectException(t.Context(), &dischargev1.CorrectExceptionRequest{Id: e.GetId(), Version: e.GetVersion(), Note: "another person's",
			Message: adt("A01", wrong, wrong, day(1, 9)).SetRaw("PID-3", "7654321^^^RAJ^PI").Bytes()}); err != nil {
			t.Fatal(err)
		}
		h.interpreted(t)
		h.send(t, adt("A08", "M3", other, day(3, 9)).Bytes())
		if e = h.exception(t, "two-keys-for-one-stay"); e.GetState() != corrected {
			t.Errorf("a stay that was corrected away is still taken for the same: %v", e)
		}
	})
	t.Run("corrected by the spell that is not at fault", func(t *testing.T) {
		h := startHub(t)
		first, second := "V1", "V2"
		if spellID(first) > spellID(second) {
			first, second = second, first
		}
		h.send(t, adt("A03", "M1", first, day(2, 14)).Set("PV1-45", "20261202140000").Bytes(), adt("A01", "M2", second, day(1, 9)).Bytes())
		if e := h.exception(t, "two-keys-for-one-stay"); e.GetSpellId() != spellID(second) || e.GetClosedAt() != nil {
			t.Fatalf("%v", e)
		}
		e := h.exception(t, "discharge-in-the-future")
		if _, err := h.client.CorrectException(t.Context(), &dischargev1.CorrectExceptionRequest{Id: e.GetId(), Version: e.GetVersion(), Note: "another person's",
			Message: adt("A03", "M1", first, day(2, 14)).SetRaw("PID-3", "7654321^^^RAJ^PI").Bytes()}); err != nil {
			t.Fatal(err)
		}
		h.interpreted(t)
		if e := h.exception(t, "two-keys-for-one-stay"); e.GetState() != dischargev1.ExceptionState_EXCEPTION_STATE_SETTLED {
			t.Errorf("no other spell has the stay any more: %v", e)
		}
	})
	t.Run("one stay", func(t *testing.T) {
		h := startHub(t)
		h.send(t, adt("A01", "M1", "V1", day(1, 9)).Bytes(), adt("A03", "M2", "V1", day(2, 9)).Bytes())
		h.interpreted(t)
		if n := h.count(t, `SELECT count(*) FROM exception`); n != 0 {
			t.Errorf("%d exceptions for one stay with one key", n)
		}
	})
}
