package communitypickup

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/community-pickup/places"
	"github.com/homeward-care/homeward/services/kit/event"
)

func bytesOf(t testing.TB, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// FuzzSnapshots gives the service the data of three events, and a time. Whatever it does not refuse as poison has one outcome, in
// whatever order it comes; that outcome can be stored and published, and is the same when it is read again.
func FuzzSnapshots(f *testing.F) {
	place, err := places.Embedded("thurrock")
	if err != nil {
		f.Fatal(err)
	}
	const id = "6f1c2f0e-3a55-5d0c-9a52-7d3b8f1e2a44"
	at := func(text string) *timestamppb.Timestamp {
		m, err := time.Parse(time.RFC3339, text)
		if err != nil {
			f.Fatal(err)
		}
		return timestamppb.New(m)
	}
	spell := func(change func(*dischargev1.Spell)) []byte {
		s := &dischargev1.Spell{
			SpellId: id, Reference: "HW-7K3M-9QPD", Provider: "RAJ", Feed: "mse-basildon", Scope: dischargev1.Scope_SCOPE_SOCIAL_CARE,
			Status: dischargev1.SpellStatus_SPELL_STATUS_DISCHARGED, AdmittedAt: at("2026-08-25T08:15:00Z"),
			Discharge: &dischargev1.Discharge{At: at("2026-09-02T13:25:00Z"), On: "2026-09-02", Method: "1", Destination: "19", Number: 1},
			Site:      "RAJ12", PracticeCode: "F81155", HomePostcodeSector: "RM17 5", Adult: dischargev1.Adult_ADULT_YES, Death: dischargev1.Death_DEATH_NONE,
		}
		change(s)
		return bytesOf(f, s)
	}
	assessed := bytesOf(f, &assessmentv1.Assessment{SpellId: id, Status: assessmentv1.Status_STATUS_REQUESTED, LeftWithUnmet: 2, RequestedAt: at("2026-09-01T09:00:00Z")})
	need := bytesOf(f, &reablementv1.Need{SpellId: id, Status: reablementv1.NeedStatus_NEED_STATUS_STARTED, PlannedEndOn: "2026-10-20"})
	now := at("2026-09-02T13:35:00Z").Seconds
	f.Add(spell(func(*dischargev1.Spell) {}), assessed, need, now)
	f.Add(spell(func(s *dischargev1.Spell) { s.Death, s.Discharge.Method = dischargev1.Death_DEATH_DIED, "4" }), []byte{}, []byte{}, now)
	f.Add(spell(func(s *dischargev1.Spell) { s.Death = dischargev1.Death_DEATH_CONTRADICTORY }), []byte{}, []byte{}, now)
	f.Add(spell(func(s *dischargev1.Spell) {
		s.Scope, s.Discharge.Destination, s.HomePostcodeSector = dischargev1.Scope_SCOPE_WHOLE_HOSPITAL, "51", "SE1 7"
	}), []byte{}, need, now+42*86400)
	f.Add(spell(func(s *dischargev1.Spell) { s.Status, s.Discharge = dischargev1.SpellStatus_SPELL_STATUS_VOIDED, nil }), assessed, []byte{}, now)
	f.Add(spell(func(s *dischargev1.Spell) { s.NoFixedAbode, s.Discharge.Number, s.Discharge.Method = true, 3, "6" }), assessed, need, now)
	f.Add(spell(func(s *dischargev1.Spell) { s.Discharge.At = nil }), assessed, need, now)
	f.Add(spell(func(s *dischargev1.Spell) { s.Discharge.At = at("9999-12-31T23:59:59Z") }), []byte{}, []byte{}, now)
	f.Add(spell(func(s *dischargev1.Spell) { s.Discharge.At = &timestamppb.Timestamp{Seconds: 1 << 50, Nanos: -1} }), []byte{}, []byte{}, now)
	f.Add([]byte{}, bytesOf(f, &assessmentv1.Assessment{SpellId: id, RequestedAt: &timestamppb.Timestamp{Seconds: -1 << 40}}), []byte{}, now)
	f.Add([]byte{}, []byte{}, bytesOf(f, &reablementv1.Need{SpellId: id, PlannedEndOn: "0000-01-01"}), now)

	f.Fuzz(func(t *testing.T, spell, assessed, need []byte, seconds int64) {
		from, until := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
		now := from.Add(time.Duration(uint64(seconds-from.Unix())%uint64(until.Sub(from)/time.Second)) * time.Second)
		var given []pickup.Inputs
		var all pickup.Inputs
		for i, read := range []func(event.Event) (pickup.Inputs, error){readSpell, readAssessment, readNeed} {
			in, err := read(event.Event{Epoch: 1, Version: 1, Data: [][]byte{spell, assessed, need}[i]})
			if err != nil || in.Validate() != nil {
				continue
			}
			with := all
			switch i {
			case 0:
				var told dischargev1.Spell
				if err := proto.Unmarshal(spell, &told); err != nil {
					t.Fatal(err)
				}
				if in.Spell.Status == pickup.SpellDischarged && told.GetDischarge().GetAt() == nil {
					t.Fatalf("discharged at %v, which nobody told", in.Spell.Discharge.At)
				}
				with.Spell = in.Spell
			case 1:
				with.Assessment = in.Assessment
			case 2:
				with.Need = in.Need
			}
			if with.Validate() == nil { // of one spell
				given, all = append(given, in), with
			}
		}
		if len(given) == 0 {
			return
		}
		want := decideAll(t, place, given, now)
		for i := range given {
			order := slices.Concat(given[i:], given[:i], given)
			if got := decideAll(t, place, order, now); !reflect.DeepEqual(want, got) {
				t.Fatal(cmp.Diff(want, got))
			}
			slices.Reverse(order)
			if got := decideAll(t, place, order, now); !reflect.DeepEqual(want, got) {
				t.Fatal(cmp.Diff(want, got))
			}
		}
	})
}

// decideAll decides on one snapshot after the other, keeping each task as the database would, and returns what was decided in the end.
func decideAll(t *testing.T, place pickup.Place, given []pickup.Inputs, now time.Time) pickup.Task {
	var kept *pickup.Task
	for _, in := range given {
		task := pickup.Decide(place, kept, in, now)
		text, err := json.Marshal(task)
		if err != nil {
			t.Fatalf("a task that can't be stored: %v", err)
		}
		var back pickup.Task
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%s can't be read: %v", text, err)
		}
		if again, err := json.Marshal(back); err != nil || !bytes.Equal(text, again) {
			t.Fatalf("stored %s, read %s", text, again)
		}
		public := taskToProto(task)
		data, err := proto.Marshal(public)
		if err != nil {
			t.Fatalf("a task that can't be published: %v", err)
		}
		var read pickupv1.Task
		if err := proto.Unmarshal(data, &read); err != nil || !proto.Equal(public, &read) {
			t.Fatalf("published as %v, read as %v: %v", public, &read, err)
		}
		for _, at := range []*timestamppb.Timestamp{public.DueAt, public.FirstContactBy} {
			if at != nil && (at.CheckValid() != nil || at.AsTime().Year() < 1970) {
				t.Fatalf("a clock that runs to %v", at)
			}
		}
		if at, ok := pickup.NextDeadline(place, task); ok && at.IsZero() {
			t.Fatal("a deadline without a time")
		}
		kept = &back
	}
	return pickup.Task{
		TaskID: kept.TaskID, SpellID: kept.SpellID, Reference: kept.Reference, Outcome: kept.Outcome, Reason: kept.Reason, ReasonText: kept.ReasonText,
		Team: kept.Team, Route: kept.Route, DischargedOn: kept.DischargedOn, DueOn: kept.DueOn, DueAt: kept.DueAt, DueReason: kept.DueReason,
		FirstContactBy: kept.FirstContactBy, Priority: kept.Priority, PriorityReasons: kept.PriorityReasons, Contact: kept.Contact, Flags: kept.Flags,
		Watched: kept.Watched,
	}
}
