package dischargehub

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
)

// pointed returns an exception in full, and what its finger points at.
func (h *hub) pointed(t *testing.T, kind string) (*dischargev1.GetExceptionResponse, string) {
	t.Helper()
	e := h.exception(t, kind)
	got, err := h.client.GetException(t.Context(), &dischargev1.GetExceptionRequest{Id: e.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	f := got.GetFinger()
	if f.GetReached() != f.GetPath() {
		t.Errorf("the finger does not reach its place: %v", f)
	}
	return got, string(got.GetMessage()[f.GetOffset() : f.GetOffset()+f.GetLength()])
}

// correct corrects an exception by another text in the place of one that its message, as it is shown, holds.
func (h *hub) correctText(e *dischargev1.GetExceptionResponse, t *testing.T, faulty, right string) (*dischargev1.CorrectExceptionResponse, error) {
	t.Helper()
	message := strings.Replace(string(e.GetMessage()), faulty, right, 1)
	if right != faulty && message == string(e.GetMessage()) {
		t.Fatalf("%q is not in %s", faulty, message)
	}
	return h.client.CorrectException(t.Context(), &dischargev1.CorrectExceptionRequest{Id: e.GetException().GetId(), Version: e.GetException().GetVersion(),
		Message: []byte(message), Note: "asked the ward"})
}

func TestExceptionOfAFHIRMessageNamesItsElementAndIsCorrected(t *testing.T) {
	h, e := startFHIR(t)
	const bad, good = "2026-08-20T14:25:00+01:00", "2026-08-26T14:25:00+01:00" // admitted on the 25th
	stay := aStay("finished", "V1", `"period":{"start":"2026-08-25T09:15:00+01:00","end":"`+bad+`"}`)
	for name, send := range map[string]func(){
		"resource": func() { e.send(t, "POST", "/fhir/Encounter", stay).want(t, 201) },
		"message": func() {
			e.send(t, "POST", "/fhir/$process-message", aMessage("discharged", day(2, 14), strings.Replace(stay, "V1", "V2", 1))).want(t, 200)
		},
	} {
		t.Run(name, func(t *testing.T) {
			send()
			got, at := h.pointed(t, discharge.DischargeBeforeStay)
			if got.GetFormat() != "fhir" || got.GetFinger().GetPath() != "Encounter.period.end" || at != `"`+bad+`"` {
				t.Errorf("%s: the finger points at %q: %v", got.GetFormat(), at, got.GetFinger())
			}
			for _, text := range []string{got.GetFound(), got.GetExpected(), got.GetException().GetDetail()} {
				if !strings.Contains(text, "Encounter.period.start") || strings.Contains(text, "PV1") {
					t.Errorf("not in FHIR's words: %s", text)
				}
			}
			for faulty, right := range map[string]string{bad: bad, `"end"`: `"ended"`, "Encounter": "Patient", bad + `"`: bad, visitSystem: "urn:other"} {
				_, err := h.correctText(got, t, faulty, right)
				expectCode(t, err, codes.InvalidArgument, faulty+" becomes "+right)
			}
			resp, err := h.correctText(got, t, bad, good)
			if err != nil {
				t.Fatal(err)
			}
			h.interpreted(t)
			if s := h.spell(t, resp.GetSpellId()); s.GetDischarge().GetOn() != "2026-08-26" || s.GetDischarge().GetNumber() != 1 {
				t.Errorf("spell: %v", s)
			}
			if again, err := h.correctText(got, t, bad, good); err != nil || again.GetMessageId() != resp.GetMessageId() {
				t.Errorf("the same correction again: %v, %v", again, err)
			}
			if x := h.exception(t, discharge.DischargeBeforeStay); x.GetState() != corrected {
				t.Errorf("exception: %v", x)
			}
			if _, err := h.db.Pool.Exec(t.Context(), `DELETE FROM exception`); err != nil { // for the other door
				t.Fatal(err)
			}
		})
	}
}

// The person to whom a resource refers is read with it: a correction cannot exchange them unseen.
func TestACorrectedResourceRefersToTheSameOnes(t *testing.T) {
	h, e := startFHIR(t)
	e.send(t, "POST", "/fhir/Patient", aPatient("1234567", "RM17 5AA")).want(t, 201)
	id := e.send(t, "POST", "/fhir/Patient", aPatient("7654321", "SS17 0PH")).want(t, 201).header.Get("Location")
	location := e.send(t, "PUT", "/fhir/Patient?identifier="+patientSystem+"|1234567", aPatient("1234567", "RM17 5AA")).want(t, 200).header.Get("Location")
	first, second := location[strings.LastIndex(location, "/")+1:], id[strings.LastIndex(id, "/")+1:]
	e.send(t, "POST", "/fhir/Encounter", aStay("finished", "V1", `"subject":{"reference":"Patient/`+first+`"}`,
		`"period":{"start":"2026-08-25T09:15:00+01:00","end":"2026-08-20T14:25:00+01:00"}`)).want(t, 201)
	got, _ := h.pointed(t, discharge.DischargeBeforeStay)
	_, err := h.correctText(got, t, first, second)
	expectCode(t, err, codes.InvalidArgument, "another Patient")
	resp, err := h.correctText(got, t, "2026-08-20", "2026-08-26")
	if err != nil {
		t.Fatal(err)
	}
	h.interpreted(t)
	if s := h.spell(t, resp.GetSpellId()); s.GetHomePostcodeSector() != "RM17 5" || s.GetDischarge().GetOn() != "2026-08-26" {
		t.Errorf("spell: %v", s)
	}
}

func TestExceptionOfARecordedEventNamesItsFieldAndIsCorrected(t *testing.T) {
	h := startHub(t)
	if _, err := h.client.RecordEvent(t.Context(), &dischargev1.RecordEventRequest{Feed: "hub-staff", MessageId: "H1", Kind: dischargev1.EventKind_EVENT_KIND_DISCHARGE,
		RecordedAt: timestamp(day(2, 15)), VisitNumber: "V1", AdmittedAt: timestamp(day(2, 9)), DischargedAt: timestamp(day(1, 14))}); err != nil {
		t.Fatal(err)
	}
	got, at := h.pointed(t, discharge.DischargeBeforeStay)
	if got.GetFormat() != "record-event" || got.GetFinger().GetPath() != "discharged_at" || at != `"2026-09-01T14:00:00Z"` || !strings.Contains(got.GetFound(), "admitted_at") {
		t.Errorf("the finger points at %q: %v", at, got)
	}
	for faulty, right := range map[string]string{`"V1"`: `""`, "hub-staff": "mse-fhir", "kind": "kinds", "09-01": "09-01",
		`EVENT_KIND_DISCHARGE"`: `EVENT_KIND_REVOKE_MERGE", "patient_number": "1", "prior_patient_number": "2"`} {
		_, err := h.correctText(got, t, faulty, right)
		expectCode(t, err, codes.InvalidArgument, faulty+" becomes "+right)
	}
	resp, err := h.correctText(got, t, "2026-09-01T14", "2026-09-02T14")
	if err != nil {
		t.Fatal(err)
	}
	h.interpreted(t)
	if s := h.spell(t, resp.GetSpellId()); s.GetDischarge().GetOn() != "2026-09-02" {
		t.Errorf("spell: %v", s)
	}
	if x := h.exception(t, discharge.DischargeBeforeStay); x.GetState() != corrected {
		t.Errorf("exception: %v", x)
	}
}

func TestTwoNHSNumbersInOneMessageGiveThePersonNeither(t *testing.T) {
	h := startHub(t)
	h.send(t, adt("A01", "M1", "V1", day(1, 9)).Bytes(),
		adt("A03", "M2", "V1", day(2, 14)).SetRaw("PID-3", "9990000034^^^NHS^NH~1234567^^^RAJ^PI~9990000042^^^NHS^NH").Bytes())
	e := h.exception(t, "nhs-numbers-differ")
	spell := h.handover(t, "M2").GetSpellId()
	people, err := h.client.GetPeople(t.Context(), &dischargev1.GetPeopleRequest{SpellIds: []string{spell}})
	if err != nil || people.GetPeople()[spell].GetNhsNumber() != "9990000026" {
		t.Errorf("the number that was known is gone: %v, %v", people, err)
	}
	if s := h.spell(t, spell); s.GetDischarge().GetOn() != "2026-09-02" || e.GetSpellId() != spell || strings.Contains(e.GetDetail(), "9990000034") {
		t.Errorf("spell %v, exception %v", s, e)
	}
}

func TestTheDetailOfAnExceptionIsToldAsItIsStored(t *testing.T) {
	t.Parallel()
	for _, detail := range []string{
		"feed mse-basildon: it has sent nothing since noon. See that the engine runs",
		"webhook: client a has not taken its Task for a day; it is tried every hour. See that its address answers",
		"message: no more is known",
	} {
		if got := (exceptionRow{Detail: detail}).toProto(time.Now()).GetDetail(); got != detail {
			t.Errorf("%q is told as %q", detail, got)
		}
	}
}
