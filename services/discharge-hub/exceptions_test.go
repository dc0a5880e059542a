package dischargehub

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/kit/authn"
)

const (
	stateOpen = dischargev1.ExceptionState_EXCEPTION_STATE_OPEN
	corrected = dischargev1.ExceptionState_EXCEPTION_STATE_CORRECTED
	dismissed = dischargev1.ExceptionState_EXCEPTION_STATE_DISMISSED
)

// exception returns the one exception of a kind, whatever its state.
func (h *hub) exception(t *testing.T, kind string) *dischargev1.MessageException {
	t.Helper()
	h.interpreted(t)
	list, err := h.client.ListExceptions(t.Context(), &dischargev1.ListExceptionsRequest{Kind: kind, Filter: dischargev1.ExceptionFilter_EXCEPTION_FILTER_ALL})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.GetExceptions()) != 1 {
		t.Fatalf("%d exceptions of kind %s, want one: %v", len(list.GetExceptions()), kind, list.GetExceptions())
	}
	return list.GetExceptions()[0]
}

func expectCode(t *testing.T, err error, want codes.Code, what string) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

// faulty is a discharge without PV1-19 and local patient number, right is what should have come.
func faulty() *hl7.Builder {
	return adt("A03", "BAD1", "", day(2, 14)).SetRaw("PID-3", "9990000026^^^NHS^NH")
}

func right() *hl7.Builder { return adt("A03", "BAD1", "V1", day(2, 14)) }

// TestASenderWhoseClockIsAheadIsAnException says that nobody's six weeks begin next year without somebody being told.
func TestASenderWhoseClockIsAheadIsAnException(t *testing.T) {
	h := startHub(t)
	ahead := time.Now().AddDate(1, 0, 0)
	h.send(t, adt("A03", "M1", "V1", ahead).Bytes())
	if e := h.exception(t, "recorded-in-the-future"); e.GetState() != stateOpen || e.GetSpellId() != spellID("V1") {
		t.Errorf("exception: %v", e)
	}
	_, err := h.client.RecordEvent(t.Context(), &dischargev1.RecordEventRequest{Feed: "hub-staff", MessageId: "hand-1", Kind: dischargev1.EventKind_EVENT_KIND_DISCHARGE,
		RecordedAt: timestamppb.New(ahead), VisitNumber: "V2"})
	expectCode(t, err, codes.InvalidArgument, "recorded by hand a year ahead")
}

func TestExceptionPointsAtThePlaceAndOnlyHubStaffReadTheMessage(t *testing.T) {
	h := startHub(t)
	raw := faulty().Bytes()
	h.send(t, raw)
	e := h.exception(t, "no-spell-key")
	if e.GetState() != stateOpen || e.GetOwner() != "hub" || e.GetLookBy().AsTime().Sub(e.GetOpenedAt().AsTime()) != 4*time.Hour || e.GetMessageId() == 0 {
		t.Errorf("exception: %v", e)
	}
	got, err := h.client.GetException(t.Context(), &dischargev1.GetExceptionRequest{Id: e.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	f := got.GetFinger()
	if !bytes.Equal(got.GetMessage(), raw) || f.GetPath() != "PV1-19" || got.GetExpected() == "" || got.GetToDo() == "" || got.GetFound() == "" {
		t.Errorf("exception in full: %v", got)
	}
	if f.GetReached() != "PV1-19" || f.GetLength() != 0 || raw[f.GetOffset()] != '|' {
		t.Errorf("the finger points at %v", f)
	}
	if n := h.count(t, `SELECT count(*) FROM audit WHERE action = 'exception.read' AND actor = 'test:somebody'`); n != 1 {
		t.Errorf("%d audit rows for one reading", n)
	}
	ops := dischargev1.NewDischargeHubServiceClient(h.dial(t, authn.Ops))
	if _, err := ops.ListExceptions(t.Context(), &dischargev1.ListExceptionsRequest{}); err != nil {
		t.Errorf("ops may not list: %v", err)
	}
	_, err = ops.GetException(t.Context(), &dischargev1.GetExceptionRequest{Id: e.GetId()})
	expectCode(t, err, codes.PermissionDenied, "ops read a message")
	_, err = ops.ListExceptions(t.Context(), &dischargev1.ListExceptionsRequest{Kind: "no-spel-key"})
	if expectCode(t, err, codes.InvalidArgument, "a kind that there is not"); !strings.Contains(status.Convert(err).Message(), ", no-spell-key,") {
		t.Errorf("the kinds are not listed: %v", err)
	}
	for _, kind := range exceptionKinds() {
		if _, err := ops.ListExceptions(t.Context(), &dischargev1.ListExceptionsRequest{Kind: kind}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	_, err = h.client.GetException(t.Context(), &dischargev1.GetExceptionRequest{Id: 4711})
	expectCode(t, err, codes.NotFound, "an exception that is not there")
}

func TestCorrectedCopyTakesThePlaceOfTheMessage(t *testing.T) {
	h := startHub(t)
	h.send(t, faulty().Bytes())
	e := h.exception(t, "no-spell-key")
	req := &dischargev1.CorrectExceptionRequest{Id: e.GetId(), Version: e.GetVersion(), Message: faulty().Bytes(), Note: "the ward gave the number"}
	_, err := h.client.CorrectException(t.Context(), req)
	expectCode(t, err, codes.InvalidArgument, "the faulty message as its own correction")
	req.Message = right().Bytes()
	first, err := h.client.CorrectException(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.client.CorrectException(t.Context(), req)
	if err != nil || again.GetMessageId() != first.GetMessageId() {
		t.Errorf("the same call again: %v, %v", again, err)
	}
	req.Message = right().Set("PV1-37", "29").Bytes()
	_, err = h.client.CorrectException(t.Context(), req)
	expectCode(t, err, codes.Aborted, "somebody else's correction")
	if s := h.spell(t, first.GetSpellId()); s.GetDischarge().GetOn() != "2026-09-02" {
		t.Errorf("spell: %v", s)
	}
	if e := h.exception(t, "no-spell-key"); e.GetState() != corrected || e.GetClosedAt() == nil {
		t.Errorf("exception: %v", e)
	}
	if n := h.count(t, `SELECT count(*) FROM inbound`); n != 2 {
		t.Errorf("%d messages are kept, want the faulty one and its copy", n)
	}
	if n := h.count(t, `SELECT count(*) FROM audit WHERE action = 'exception.correct'`); n != 1 {
		t.Errorf("%d audit rows for one correction", n)
	}
	// The hospital sends the faulty bytes again: they are stored already.
	h.send(t, faulty().Bytes())
	if e := h.exception(t, "no-spell-key"); e.GetState() != corrected {
		t.Errorf("exception after the faulty message came again: %v", e)
	}
}

// A message carried another person's visit number: the wrong spell is taken back, the right one is there.
func TestCorrectionIntoAnotherSpellTakesTheWrongOneBack(t *testing.T) {
	h := startHub(t)
	wrong := adt("A03", "M1", "V-WRONG", day(2, 14)).Set("PV1-45", "20261202140000").Bytes() // a mistyped month as well, so that there is an exception
	h.send(t, wrong)
	before := h.handover(t, "M1").GetSpellId()
	e := h.exception(t, "discharge-in-the-future")
	resp, err := h.client.CorrectException(t.Context(), &dischargev1.CorrectExceptionRequest{Id: e.GetId(), Version: e.GetVersion(),
		Message: adt("A03", "M1", "V-RIGHT", day(2, 14)).Bytes(), Note: "number read from the wrong wristband"})
	if err != nil {
		t.Fatal(err)
	}
	if s := h.spell(t, resp.GetSpellId()); s.GetDischarge().GetOn() != "2026-09-02" || len(s.GetFlags()) != 0 {
		t.Errorf("the right spell: %v", s)
	}
	if s := h.spell(t, before); s.GetStatus() != dischargev1.SpellStatus_SPELL_STATUS_VOIDED || s.GetDischarge() != nil {
		t.Errorf("the wrong spell stands: %v", s)
	}
	if got := h.handover(t, "M1").GetSpellId(); got != resp.GetSpellId() {
		t.Errorf("the control id leads to %s", got)
	}
}

func TestDismissingNeedsAReasonAndHappensOnce(t *testing.T) {
	h := startHub(t)
	h.send(t, adt("A03", "T1", "V7", day(2, 15)).Set("MSH-11", "T").Bytes())
	e := h.exception(t, "test-message-on-live-feed")
	req := &dischargev1.DismissExceptionRequest{Id: e.GetId(), Version: e.GetVersion(), Note: "asked the PAS team"}
	_, err := h.client.DismissException(t.Context(), req)
	expectCode(t, err, codes.InvalidArgument, "no reason")
	req.Reason, req.Note = dischargev1.DismissReason_DISMISS_REASON_TEST_MESSAGE, " "
	_, err = h.client.DismissException(t.Context(), req)
	expectCode(t, err, codes.InvalidArgument, "no text")
	req.Note = "asked the PAS team"
	for range 2 {
		resp, err := h.client.DismissException(t.Context(), req)
		if err != nil || resp.GetException().GetState() != dismissed || resp.GetException().GetVersion() != e.GetVersion()+1 {
			t.Fatalf("dismissed: %v, %v", resp, err)
		}
	}
	req.Note = "another text"
	_, err = h.client.DismissException(t.Context(), req)
	expectCode(t, err, codes.Aborted, "dismissed by somebody else")
	if n := h.count(t, `SELECT count(*) FROM audit WHERE action = 'exception.dismiss' AND detail LIKE '%reason=test-message%' AND detail NOT LIKE '%PAS team%'`); n != 1 {
		t.Errorf("%d audit rows, want one with the code of the reason and without its text", n)
	}
}

func TestOnlyOneOfTwoPeopleTakesAnException(t *testing.T) {
	h := startHub(t)
	h.send(t, faulty().Bytes())
	e := h.exception(t, "no-spell-key")
	mine, err := h.client.AssignException(t.Context(), &dischargev1.AssignExceptionRequest{Id: e.GetId(), Version: e.GetVersion()})
	if err != nil || mine.GetException().GetOwner() != "test:somebody" {
		t.Fatalf("assigned: %v, %v", mine, err)
	}
	_, err = h.client.AssignException(t.Context(), &dischargev1.AssignExceptionRequest{Id: e.GetId(), Version: e.GetVersion(), Owner: "hub"})
	expectCode(t, err, codes.Aborted, "assigned by one who saw the version before")
	list, err := h.client.ListExceptions(t.Context(), &dischargev1.ListExceptionsRequest{Owner: "hub"})
	if err != nil || len(list.GetExceptions()) != 0 {
		t.Errorf("the hub's own: %v, %v", list, err)
	}
}

func TestReplayReadsByTheMappingOfNow(t *testing.T) {
	h := newStepped(t, adt("A03", "M1", "V1", day(2, 14)).Set("PV1-36", "HOME WITH WIFE").Set("PV1-37", "USUAL"), adt("A03", "M2", "V2", day(2, 14)).Set("PV1-44", "20260826").Set("MSH-11", "T"))
	before, _ := h.spellOf("M1")
	if !slices.Contains(before.GetFlags(), "discharge-method-unknown") {
		t.Fatalf("spell: %v", before)
	}
	for i := range h.feeds {
		if h.feeds[i].Key == "mse-basildon" {
			h.feeds[i].Mapping.Methods = map[string]string{"HOME WITH WIFE": "1"}
			h.feeds[i].Mapping.Destinations = map[string]string{"USUAL": "19"}
			h.feeds[i].Mode = "test"
		}
	}
	h.start()
	for _, dry := range []bool{true, true, false, false} {
		was, _ := h.spellOf("M1")
		got, err := h.in.replay(t.Context(), 1, dry, h.entry())
		if err != nil || !got.Usable {
			t.Fatalf("dry %t: %v, %v", dry, got, err)
		}
		now, _ := h.spellOf("M1")
		changed := len(now.GetFlags()) != len(was.GetFlags())
		if told := len(got.changes) == 1; changed == dry && told || told != (slices.Contains(was.GetFlags(), "discharge-method-unknown")) {
			t.Errorf("dry %t: told of %v; before %v, after %v", dry, got.changes, was.GetFlags(), now.GetFlags())
		}
	}
	if s, _ := h.spellOf("M1"); s.GetDischarge().GetMethod() != "1" || s.GetDischarge().GetDestination() != "19" || len(s.GetFlags()) != 0 {
		t.Errorf("spell after the replay: %v", s)
	}
	if _, err := h.in.replay(t.Context(), 2, false, h.entry()); err != nil {
		t.Fatal(err)
	}
	if s, how := h.spellOf("M2"); s.GetDischarge() == nil || how != closedReplayed {
		t.Errorf("the test message after its feed became one of tests: %v, exception %q", s, how)
	}
	// The feed is live again: the message says nothing that could be used, and what it said stays.
	for i := range h.feeds {
		h.feeds[i].Mode = "live"
	}
	h.start()
	if _, err := h.in.replay(t.Context(), 2, false, h.entry()); err == nil || !strings.Contains(err.Error(), "stays") {
		t.Errorf("a discharge was lost to a mapping: %v", err)
	}
	if s, _ := h.spellOf("M2"); s.GetDischarge() == nil {
		t.Error("a discharge was lost to a mapping")
	}
}

func TestPreviewOfAMappingTellsWhatWouldDiffer(t *testing.T) {
	h := startHub(t)
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Set("PV1-36", "OWN WAY").Bytes(), adt("A03", "M2", "V2", day(2, 14)).Bytes())
	h.interpreted(t)
	file := `{"key":"mse-basildon","door":"mllp","application":"MSEPAS","facilities":["RAJ"],"provider":"RAJ","scope":"social-care",
		"time_zone":"Europe/London","mode":"live","mapping":{"version":"2","methods":{"OWN WAY":"6"}}}`
	resp, err := h.client.PreviewMapping(t.Context(), &dischargev1.PreviewMappingRequest{FeedFile: file, Since: timestamp(day(1, 0))})
	if err != nil {
		t.Fatal(err)
	}
	if resp.GetMessages() != 2 || resp.GetSpells() != 2 || len(resp.GetChanges()) != 1 || resp.GetChanges()[0].GetAfter().GetDischarge().GetMethod() != "6" {
		t.Errorf("preview: %v", resp)
	}
	_, err = h.client.PreviewMapping(t.Context(), &dischargev1.PreviewMappingRequest{FeedFile: `{"key":"x"}`})
	expectCode(t, err, codes.InvalidArgument, "a file that is no feed")
	spells, err := h.client.ListSpells(t.Context(), &dischargev1.ListSpellsRequest{Since: timestamp(day(1, 0))})
	if err != nil || len(spells.GetSpells()) != 2 {
		t.Errorf("spells: %v, %v", spells, err)
	}
}
