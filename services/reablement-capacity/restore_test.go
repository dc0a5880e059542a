package reablementcapacity_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/service"
	reablementcapacity "github.com/homeward-care/homeward/services/reablement-capacity"
	"github.com/homeward-care/homeward/services/reablement-capacity/migrations"
)

// In the backup a has the one slot of an offer. Since then a gave it back and b has it, and c has one of an offer that was published later.
func TestRestoredServiceHasItsNeedsAndSlotsBack(t *testing.T) {
	t.Parallel()
	db := kittest.Open(t, kittest.Database(t, migrations.FS))
	now := time.Date(2026, 9, 10, 9, 0, 0, 0, time.UTC)
	a, b, c := uuid.MustParse("00000000-0000-4000-8000-00000000000a"), uuid.MustParse("00000000-0000-4000-8000-000000000001"), uuid.New()
	known, later := uuid.New(), uuid.New()
	if _, err := db.Pool.Exec(t.Context(), `INSERT INTO capacity (id, provider, area, slots, visits_per_day, available_from, valid_until, published_at)
		VALUES ($1, 'ACME', 'CLS-GRAYS', 1, 4, '2026-09-01', $2, $2)`, known, now.Add(240*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Pool.Exec(t.Context(), `INSERT INTO need (spell_id, status, area, visits_per_day, wanted_from, requested_at, provider, capacity_id, starts_on)
		VALUES ($1, 'accepted', 'CLS-GRAYS', 2, '2026-09-03', $3, 'ACME', $2, '2026-09-05')`, a, known, now); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Pool.Exec(t.Context(), `INSERT INTO slot (capacity_id, slots, number, spell_id) VALUES ($1, 1, 1, $2)`, known, a); err != nil {
		t.Fatal(err)
	}
	need := func(spell uuid.UUID, status reablementv1.NeedStatus, capacity uuid.UUID, starts, ends string) *reablementv1.Need {
		n := &reablementv1.Need{SpellId: spell.String(), Status: status, Area: "CLS-GRAYS", VisitsPerDay: 2, WantedFrom: "2026-09-03", RequestedAt: timestamppb.New(now),
			StartsOn: starts, PlannedEndOn: ends}
		if capacity != uuid.Nil {
			n.CapacityId, n.Provider = capacity.String(), "ACME"
		}
		return n
	}
	want := map[uuid.UUID]*reablementv1.Need{
		a: need(a, reablementv1.NeedStatus_NEED_STATUS_REQUESTED, uuid.Nil, "", ""),
		b: need(b, reablementv1.NeedStatus_NEED_STATUS_ACCEPTED, known, "2026-09-08", ""),
		c: need(c, reablementv1.NeedStatus_NEED_STATUS_STARTED, later, "2026-09-08", "2026-10-10"),
	}
	var held []event.Event
	for spell, n := range want {
		data, err := proto.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, event.Event{Type: "homeward.reablement.need.v1", ID: spell, Key: spell, Epoch: 1, Version: 4, OccurredAt: now, RecordedAt: now, Data: data})
	}
	wire := func(s *service.Service) error {
		return reablementcapacity.Wire(s, reablementcapacity.Config{HoldFor: time.Hour, TimeZone: "Europe/London"})
	}
	published := kittest.TakeOver(t, db, now.Add(24*time.Hour), wire, held...)
	for spell, n := range want {
		var got reablementv1.Need
		if err := proto.Unmarshal(published[spell.String()].Data, &got); err != nil || !proto.Equal(&got, n) {
			t.Errorf("published is\n%v\nwant\n%v, %v", &got, n, err)
		}
	}
	var slots int
	if err := db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM slot WHERE (capacity_id, spell_id) IN (($1, $2), ($3, $4))`, known, b, later, c).Scan(&slots); err != nil || slots != 2 {
		t.Errorf("%d of the two slots are taken, %v", slots, err)
	}
	var fresh int
	if err := db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM capacity WHERE valid_until > $1`, now.Add(24*time.Hour)).Scan(&fresh); err != nil || fresh != 0 {
		t.Errorf("%d offers can still be held, %v: what providers said since the backup is not known", fresh, err)
	}
}
