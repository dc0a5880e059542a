package sim

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/homeward-care/homeward/e2e/oracle"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/feeds"
)

// queueWork is what the hub's staff do about exceptions.
type queueWork struct {
	dismissed map[string]map[string]bool // kinds by spell that somebody dismissed or tried to
	closed    map[int64]bool             // exceptions whose dismissal was acknowledged
	owners    map[int64][]string         // to whom an exception was given, acknowledged or not
	given     map[int64]bool             // acknowledged
	copies    []correction
}

// correction is a message and its corrected copy.
type correction struct {
	faulty, right oracle.Told
	acked         bool
}

func newQueueWork() queueWork {
	return queueWork{map[string]map[string]bool{}, map[int64]bool{}, map[int64][]string{}, map[int64]bool{}, nil}
}

// lookInto takes an exception of a stay, or any other, from the queue, and does something about it; without one it reads a message again, which
// changes nothing.
func (s *staff) lookInto(ctx context.Context, subject string, stay oracle.Stay) {
	w := s.w
	client := dischargev1.NewDischargeHubServiceClient(wire{w, "discharge-hub"})
	list, err := client.ListExceptions(ctx, &dischargev1.ListExceptionsRequest{})
	if err != nil {
		return
	}
	w.acts(queueStaff)
	open := list.GetExceptions()
	slices.SortFunc(open, func(a, b *dischargev1.MessageException) int { // ids are dealt in no order where one transaction opens several
		return cmp.Or(cmp.Compare(a.GetSpellId(), b.GetSpellId()), cmp.Compare(a.GetKind(), b.GetKind()), cmp.Compare(a.GetControlId(), b.GetControlId()))
	})
	if own := slices.DeleteFunc(slices.Clone(open), func(e *dischargev1.MessageException) bool { return e.GetSpellId() != stay.SpellID }); len(own) > 0 {
		open = own
	}
	act := w.rng.IntN(5)
	if len(open) == 0 || act == 0 {
		if len(stay.Messages) == 0 { // it is told resource by resource
			return
		}
		m := stay.Messages[w.rng.IntN(len(stay.Messages))]
		s.think(ctx, "discharge-hub", stay.SpellID)
		_, _ = client.ReplayMessage(ctx, &dischargev1.ReplayMessageRequest{Key: &dischargev1.ReplayMessageRequest_ControlId{ControlId: m.ControlID}, DryRun: w.rng.IntN(2) == 0})
		return
	}
	got, err := client.GetException(ctx, &dischargev1.GetExceptionRequest{Id: open[w.rng.IntN(len(open))].GetId()})
	if err != nil {
		return
	}
	e := got.GetException()
	id, version := e.GetId(), e.GetVersion()
	switch act {
	case 1:
		if resp, err := client.ReplayMessage(ctx, &dischargev1.ReplayMessageRequest{Key: &dischargev1.ReplayMessageRequest_ExceptionId{ExceptionId: id}}); err == nil && len(resp.GetChanges()) > 0 {
			w.tell("message %d is read again, which changes %d spells", resp.GetMessageId(), len(resp.GetChanges()))
		}
	case 2:
		s.owners[id] = append(s.owners[id], subject)
		if _, err := client.AssignException(ctx, &dischargev1.AssignExceptionRequest{Id: id, Version: version}); err == nil {
			w.tell("%s looks into %s of %s", subject, e.GetKind(), e.GetSpellId())
			s.queueWork.given[id] = true
		}
	case 3:
		if s.dismissed[e.GetSpellId()] == nil {
			s.dismissed[e.GetSpellId()] = map[string]bool{}
		}
		s.dismissed[e.GetSpellId()][e.GetKind()] = true
		if _, err := client.DismissException(ctx, &dischargev1.DismissExceptionRequest{
			Id: id, Version: version, Reason: dischargev1.DismissReason_DISMISS_REASON_RIGHT_AS_IT_IS, Note: "It was looked into."}); err == nil {
			w.tell("%s of %s is dismissed", e.GetKind(), e.GetSpellId())
			s.closed[id] = true
		}
	case 4:
		s.correct(ctx, client, got)
	}
}

// correct puts a mistyped year right.
func (s *staff) correct(ctx context.Context, client dischargev1.DischargeHubServiceClient, got *dischargev1.GetExceptionResponse) {
	w := s.w
	e := got.GetException()
	if w.restore.service == "discharge-hub" { // a correction that is lost with the gap is the staff's to make again
		return
	}
	for _, stay := range w.stays {
		at := slices.IndexFunc(stay.Messages, func(m oracle.Told) bool { return m.HL7 != nil && bytes.Equal(m.HL7, got.GetMessage()) })
		if at < 0 {
			continue
		}
		right, ok := stay.Messages[at].YearPutRight()
		if !ok {
			return
		}
		_, err := client.CorrectException(ctx, &dischargev1.CorrectExceptionRequest{Id: e.GetId(), Version: e.GetVersion(), Message: right.HL7, Note: "The ward says so."})
		if err == nil {
			w.tell("%s of %s is corrected", e.GetKind(), e.GetSpellId())
		}
		s.copies = append(s.copies, correction{stay.Messages[at], right, err == nil})
		return
	}
	if got.GetFormat() == "hl7v2" {
		w.fail("exception %d shows a message that nobody sent: %s", e.GetId(), got.GetMessage())
	}
}

// correctTold puts corrected copies in the place of what was told. What was acknowledged has a copy.
func (w *world) correctTold() {
	for _, c := range w.staff.copies {
		var n int
		if err := w.db.admin.QueryRow(w.ctx, `SELECT count(*) FROM discharge_hub.correction c JOIN discharge_hub.inbound i ON i.id = c.supersedes WHERE i.body = $1`,
			c.faulty.HL7).Scan(&n); err != nil || n > 1 || c.acked && n == 0 {
			w.fail("message %s has %d corrected copies: %v", c.faulty.ControlID, n, err)
		}
		for i, m := range w.told {
			if n > 0 && bytes.Equal(m.HL7, c.faulty.HL7) {
				w.told[i] = c.right
			}
		}
	}
}

// forgetDismissed leaves out what somebody dismissed: it may have been found again since.
func (s *staff) forgetDismissed(kinds []string, spell string) []string {
	return slices.DeleteFunc(slices.Clone(kinds), func(kind string) bool { return s.dismissed[spell][kind] })
}

// checkQueue holds the queue of exceptions, the list of spells and the people against what each handover tells.
func (w *world) checkQueue(expected []oracle.Expected, open map[string][]string) {
	ctx := asHubStaff(w.ctx)
	listed := map[string][]string{}
	var owners = map[int64]string{}
	for after := int64(0); ; {
		var page dischargev1.ListExceptionsResponse
		if err := w.ask(ctx, "discharge-hub", dischargev1.DischargeHubService_ListExceptions_FullMethodName,
			&dischargev1.ListExceptionsRequest{AfterId: after, Limit: 7}, &page); err != nil {
			w.fail("list exceptions: %v", err)
			return
		}
		for _, e := range page.GetExceptions() {
			after = e.GetId()
			owners[e.GetId()] = e.GetOwner()
			if e.GetSpellId() != "" {
				listed[e.GetSpellId()] = append(listed[e.GetSpellId()], e.GetKind())
			}
		}
		if len(page.GetExceptions()) < 7 {
			break
		}
	}
	for spell, kinds := range listed {
		slices.Sort(kinds)
		listed[spell] = slices.Compact(kinds)
	}
	if !maps.EqualFunc(listed, open, func(a, b []string) bool { return slices.Equal(a, b) }) {
		w.fail("the queue holds %v, and the handovers tell of %v", listed, open)
	}
	if w.restore.service != "discharge-hub" { // the restore took back what was done about exceptions
		for id, given := range w.staff.queueWork.given {
			if owner, is := owners[id]; given && is && !slices.Contains(w.staff.owners[id], owner) {
				w.fail("exception %d was given to one of %v and is %s's", id, w.staff.owners[id], owner)
			}
		}
		for id := range w.staff.closed {
			var e dischargev1.GetExceptionResponse
			if err := w.ask(ctx, "discharge-hub", dischargev1.DischargeHubService_GetException_FullMethodName, &dischargev1.GetExceptionRequest{Id: id}, &e); err != nil ||
				e.GetException().GetState() != dischargev1.ExceptionState_EXCEPTION_STATE_DISMISSED {
				w.fail("exception %d was dismissed and is %s: %v", id, e.GetException().GetState(), err)
			}
		}
	}
	var ids []string
	for after := ""; ; {
		var page dischargev1.ListSpellsResponse
		if err := w.ask(ctx, "discharge-hub", dischargev1.DischargeHubService_ListSpells_FullMethodName,
			&dischargev1.ListSpellsRequest{Since: timestamppb.New(time.Unix(0, 0)), AfterId: after, Limit: 5}, &page); err != nil {
			w.fail("list spells: %v", err)
			return
		}
		for _, s := range page.GetSpells() {
			after = s.GetSpellId()
			ids = append(ids, after)
		}
		if len(page.GetSpells()) < 5 {
			break
		}
	}
	var must []string
	for _, want := range expected {
		must = append(must, want.SpellID)
	}
	if !slices.Equal(ids, must) {
		w.fail("the spells %v are listed, must be %v", ids, must)
	}
	var people dischargev1.GetPeopleResponse
	if err := w.ask(ctx, "discharge-hub", dischargev1.DischargeHubService_GetPeople_FullMethodName, &dischargev1.GetPeopleRequest{SpellIds: must}, &people); err != nil ||
		len(people.GetPeople()) != len(must) {
		w.fail("%d people of %d spells are told: %v", len(people.GetPeople()), len(must), err)
	}
}

// checkPreviews asks what each feed's messages would be by the mapping that it has: what they are.
func (w *world) checkPreviews() {
	for _, f := range w.settings.feeds {
		file, err := feeds.Files.ReadFile(f.Key + ".json")
		if err != nil || f.Door != discharge.DoorMLLP {
			continue
		}
		var resp dischargev1.PreviewMappingResponse
		if err := w.ask(asHubStaff(w.ctx), "discharge-hub", dischargev1.DischargeHubService_PreviewMapping_FullMethodName,
			&dischargev1.PreviewMappingRequest{FeedFile: string(file), Since: timestamppb.New(time.Unix(0, 0))}, &resp); err != nil {
			w.fail("preview the mapping of %s: %v", f.Key, err)
		}
		for _, c := range resp.GetChanges() {
			w.fail("spell %s: by the mapping that %s has it would be %v, and is %v", c.GetSpellId(), f.Key, c.GetAfter(), c.GetBefore())
		}
	}
}
