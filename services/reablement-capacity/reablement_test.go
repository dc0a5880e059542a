package reablementcapacity_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/kittest"
)

func TestNobodyIsLetInWithoutTheRightRole(t *testing.T) {
	w := newWorld(t, time.Hour)
	conn, err := grpc.NewClient(w.cfg.GRPCAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = reablementv1.NewReablementCapacityServiceClient(conn).GetNeed(t.Context(), &reablementv1.GetNeedRequest{SpellId: uuid.NewString()})
	wantCode(t, codes.Unauthenticated, err)

	ctx := t.Context()
	calls := map[string]func(c client) error{
		"publish": func(c client) error {
			_, err := c.PublishCapacity(ctx, &reablementv1.PublishCapacityRequest{})
			return err
		},
		"find": func(c client) error { _, err := c.FindCapacity(ctx, &reablementv1.FindCapacityRequest{}); return err },
		"request": func(c client) error {
			_, err := c.RequestReablement(ctx, &reablementv1.RequestReablementRequest{})
			return err
		},
		"hold":    func(c client) error { _, err := c.HoldCapacity(ctx, &reablementv1.HoldCapacityRequest{}); return err },
		"accept":  func(c client) error { _, err := c.AcceptHold(ctx, &reablementv1.AcceptHoldRequest{}); return err },
		"release": func(c client) error { _, err := c.ReleaseHold(ctx, &reablementv1.ReleaseHoldRequest{}); return err },
		"start": func(c client) error {
			_, err := c.StartReablement(ctx, &reablementv1.StartReablementRequest{})
			return err
		},
		"get": func(c client) error { _, err := c.GetNeed(ctx, &reablementv1.GetNeedRequest{}); return err },
	}
	allowed := map[authn.Role][]string{
		authn.HubStaff:    {"find", "request", "hold", "release", "get"},
		authn.Provider:    {"publish", "hold", "accept", "start", "get"},
		authn.CLSWorker:   {"find", "get"},
		authn.CLSManager:  {"find", "get"},
		authn.Service:     {"find", "get"},
		authn.Ops:         {},
		authn.Integration: {},
	}
	for role, may := range allowed {
		c := w.as(authn.Principal{Subject: "user:x", Roles: []authn.Role{role}, Provider: "ACME"})
		for name, call := range calls {
			// An empty request is told to be invalid only to those who are let in.
			want := codes.PermissionDenied
			if slices.Contains(may, name) {
				want = codes.InvalidArgument
			}
			if got := status.Code(call(c)); got != want {
				t.Errorf("%s as %s: %v, want %v", name, role, got, want)
			}
		}
	}
	nobodys := w.as(authn.Principal{Subject: "user:x", Roles: []authn.Role{authn.Provider}})
	_, err = nobodys.PublishCapacity(ctx, offer(uuid.NewString(), 1))
	wantCode(t, codes.PermissionDenied, err)
	wantCode(t, codes.PermissionDenied, w.hold(nobodys, uuid.NewString(), uuid.NewString()))
}

func TestANeedGoesFromRequestToStart(t *testing.T) {
	w := newWorld(t, time.Hour)
	ctx := t.Context()
	capacity, spell := w.offered(w.acme, 2), uuid.NewString()
	requested := w.need(spell)
	if diff := cmp.Diff(requested, w.need(spell), protocmp.Transform()); diff != "" {
		t.Errorf("asking again changed it (-first +second):\n%s", diff)
	}
	w.must(w.hold(w.hub, capacity, spell))
	held := w.get(spell)
	if held.GetStatus() != reablementv1.NeedStatus_NEED_STATUS_HELD || held.GetProvider() != "ACME" || held.GetCapacityId() != capacity || w.free(capacity) != 1 {
		t.Errorf("held: %v, %d free", held, w.free(capacity))
	}
	w.must(w.hold(w.hub, capacity, spell))
	if diff := cmp.Diff(held, w.get(spell), protocmp.Transform()); diff != "" || w.free(capacity) != 1 {
		t.Errorf("holding again changed it (-first +second), %d free:\n%s", w.free(capacity), diff)
	}
	w.must(w.accept(w.acme, spell, "2026-11-26"), w.accept(w.acme, spell, "2026-11-26"))
	w.wantStatus(spell, reablementv1.NeedStatus_NEED_STATUS_ACCEPTED)
	start, end := daysFromToday(-1), daysFromToday(41)
	wantCode(t, codes.InvalidArgument, w.begin(w.acme, spell, start, daysFromToday(42)))
	wantCode(t, codes.InvalidArgument, w.begin(w.acme, spell, daysFromToday(2), end))
	w.must(w.begin(w.acme, spell, start, end), w.begin(w.acme, spell, start, end))
	want := &reablementv1.Need{
		SpellId: spell, Status: reablementv1.NeedStatus_NEED_STATUS_STARTED, Area: "CLS-GRAYS", VisitsPerDay: 3, WantedFrom: "2026-11-26",
		Provider: "ACME", CapacityId: capacity, StartsOn: start, PlannedEndOn: end, RequestedAt: requested.GetRequestedAt(),
	}
	if diff := cmp.Diff(want, w.get(spell), protocmp.Transform()); diff != "" {
		t.Errorf("started (-want +got):\n%s", diff)
	}
	wantCode(t, codes.FailedPrecondition, w.release(w.hub, spell))

	var data []byte
	var version int64
	kittest.Eventually(t, "the event is sent", func() bool {
		return w.db.Pool.QueryRow(ctx, `SELECT data, version FROM outbox WHERE id = $1 AND key = $1 AND type = 'homeward.reablement.need.v1' AND NOT EXISTS (SELECT 1 FROM outbox_unsent u WHERE u.id = outbox.id)`,
			spell).Scan(&data, &version) == nil
	})
	var published reablementv1.Need
	if err := proto.Unmarshal(data, &published); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, &published, protocmp.Transform()); diff != "" || version != 4 {
		t.Errorf("event version %d, want 4 (-want +got):\n%s", version, diff)
	}
	wantAudit := []string{"user:hub need.request", "user:hub need.hold", "user:ACME need.accept", "user:ACME need.start"}
	if diff := cmp.Diff(wantAudit, w.audited(spell)); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"user:ACME capacity.publish"}, w.audited(capacity)); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
}

func TestAReleasedSlotIsFreeAgain(t *testing.T) {
	w := newWorld(t, time.Hour)
	capacity := w.offered(w.acme, 1)
	first, second := w.needed(), w.needed()
	w.must(w.hold(w.hub, capacity, first))
	wantCode(t, codes.FailedPrecondition, w.hold(w.hub, capacity, second))
	w.must(w.release(w.hub, first), w.release(w.hub, first))
	w.wantStatus(first, reablementv1.NeedStatus_NEED_STATUS_REQUESTED)
	w.must(w.hold(w.hub, capacity, second), w.accept(w.acme, second, "2026-11-27"), w.release(w.hub, second), w.hold(w.hub, capacity, first))
	w.wantStatus(second, reablementv1.NeedStatus_NEED_STATUS_REQUESTED)
}

func TestAProviderWorksWithItsOwnOnly(t *testing.T) {
	w := newWorld(t, time.Hour)
	capacity, spell := w.offered(w.acme, 1), w.needed()
	_, err := w.bright.PublishCapacity(t.Context(), offer(capacity, 5))
	wantCode(t, codes.PermissionDenied, err)
	wantCode(t, codes.NotFound, w.hold(w.bright, capacity, spell))
	_, err = w.acme.GetNeed(t.Context(), &reablementv1.GetNeedRequest{SpellId: spell})
	wantCode(t, codes.NotFound, err)

	w.must(w.hold(w.acme, capacity, spell)) // the provider's pull
	if _, err = w.acme.GetNeed(t.Context(), &reablementv1.GetNeedRequest{SpellId: spell}); err != nil {
		t.Error(err)
	}
	_, err = w.bright.GetNeed(t.Context(), &reablementv1.GetNeedRequest{SpellId: spell})
	wantCode(t, codes.NotFound, err)
	wantCode(t, codes.NotFound, w.accept(w.bright, spell, "2026-11-26"))
	w.must(w.accept(w.acme, spell, "2026-11-26"))
	wantCode(t, codes.NotFound, w.begin(w.bright, spell, daysFromToday(0), daysFromToday(1)))
}

func TestCapacityIsFoundByAreaDayAndVisitsTheEarliestFirst(t *testing.T) {
	w := newWorld(t, time.Hour)
	ids := map[string]string{}
	for name, change := range map[string]func(*reablementv1.PublishCapacityRequest){
		"good":      func(*reablementv1.PublishCapacityRequest) {},
		"earlier":   func(r *reablementv1.PublishCapacityRequest) { r.AvailableFrom = "2026-11-01" },
		"too late":  func(r *reablementv1.PublishCapacityRequest) { r.AvailableFrom = "2026-11-27" },
		"elsewhere": func(r *reablementv1.PublishCapacityRequest) { r.Area = "CLS-SLH" },
		"too few":   func(r *reablementv1.PublishCapacityRequest) { r.VisitsPerDay = 2 },
		"none":      func(r *reablementv1.PublishCapacityRequest) { r.Slots = 0 },
		"stale":     func(*reablementv1.PublishCapacityRequest) {},
	} {
		req := offer(uuid.NewString(), 1)
		change(req)
		if _, err := w.acme.PublishCapacity(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		ids[name] = req.GetCapacityId()
	}
	w.makeStale(ids["stale"])
	resp, err := w.hub.FindCapacity(t.Context(), &reablementv1.FindCapacityRequest{Area: "CLS-GRAYS", From: "2026-11-26", VisitsPerDay: 3})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, c := range resp.GetCapacities() {
		found = append(found, c.GetCapacityId())
	}
	if diff := cmp.Diff([]string{ids["earlier"], ids["good"]}, found); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	spell := w.needed()
	for _, name := range []string{"elsewhere", "too few", "none", "stale"} {
		if got := status.Code(w.hold(w.hub, ids[name], spell)); got != codes.FailedPrecondition {
			t.Errorf("holding what is %s: %v, want FailedPrecondition", name, got)
		}
	}
	w.must(w.hold(w.hub, ids["too late"], spell))
	wantCode(t, codes.InvalidArgument, w.accept(w.acme, spell, "2026-11-26"))
	w.must(w.accept(w.acme, spell, "2026-11-27"))
}

// makeStale lets the time of an offer have passed.
func (w *world) makeStale(capacity string) {
	w.t.Helper()
	if _, err := w.db.Pool.Exec(w.t.Context(), `UPDATE capacity SET valid_until = '2026-01-01' WHERE id = $1`, capacity); err != nil {
		w.t.Fatal(err)
	}
}

func TestWhatIsPublishedNeverGoesBelowWhatIsInUse(t *testing.T) {
	w := newWorld(t, time.Hour)
	capacity := w.offered(w.acme, 3)
	a, b, c := w.needed(), w.needed(), w.needed()
	w.must(w.hold(w.hub, capacity, a), w.hold(w.hub, capacity, b), w.hold(w.hub, capacity, c))
	republish := func(change func(*reablementv1.PublishCapacityRequest)) (*reablementv1.Capacity, error) {
		req := offer(capacity, 3)
		change(req)
		resp, err := w.acme.PublishCapacity(t.Context(), req)
		return resp.GetCapacity(), err
	}
	_, err := republish(func(r *reablementv1.PublishCapacityRequest) { r.Slots = 2 })
	wantCode(t, codes.FailedPrecondition, err)
	_, err = republish(func(r *reablementv1.PublishCapacityRequest) { r.VisitsPerDay = 2 })
	wantCode(t, codes.FailedPrecondition, err)
	_, err = republish(func(r *reablementv1.PublishCapacityRequest) { r.Area = "CLS-SLH" })
	wantCode(t, codes.FailedPrecondition, err)
	// The first two are given back; the third one's slot moves below the new end.
	w.must(w.release(w.hub, a), w.release(w.hub, b))
	got, err := republish(func(r *reablementv1.PublishCapacityRequest) { r.Slots = 1 })
	if err != nil || got.GetSlots() != 1 || got.GetFree() != 0 {
		t.Errorf("shrunk: %v, %v; want one slot, none free", got, err)
	}
	wantCode(t, codes.FailedPrecondition, w.hold(w.hub, capacity, a))
	if got, err = republish(func(r *reablementv1.PublishCapacityRequest) { r.Slots = 2 }); err != nil || got.GetFree() != 1 {
		t.Errorf("grown: %v, %v; want one free", got, err)
	}
	w.must(w.hold(w.hub, capacity, a))
	wantCode(t, codes.FailedPrecondition, w.hold(w.hub, capacity, b))
}

func TestFiftyAtOnceGetExactlyTheSlotsThatThereAre(t *testing.T) {
	w := newWorld(t, time.Hour)
	const people, slots = 50, 7
	capacity := w.offered(w.acme, slots)
	spells := make([]string, people)
	for i := range spells {
		spells[i] = w.needed()
	}
	results := make(chan error, people)
	for i, s := range spells {
		who := w.hub
		if i%2 == 1 {
			who = w.acme
		}
		go func() { results <- w.hold(who, capacity, s) }()
	}
	got := map[codes.Code]int{}
	for range people {
		got[status.Code(<-results)]++
	}
	if diff := cmp.Diff(map[codes.Code]int{codes.OK: slots, codes.FailedPrecondition: people - slots}, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	var held, rows int
	if err := w.db.Pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM need WHERE status = 'held'), (SELECT count(*) FROM slot)`).Scan(&held, &rows); err != nil {
		t.Fatal(err)
	}
	if held != slots || rows != slots {
		t.Errorf("%d needs are held and %d slots taken, want %d", held, rows, slots)
	}
}

func TestAnExpiredHoldIsClearedAwayAndItsSlotIsFree(t *testing.T) {
	w := newWorld(t, time.Millisecond)
	capacity, spell := w.offered(w.acme, 1), w.needed()
	w.must(w.hold(w.hub, capacity, spell))
	kittest.Eventually(t, "the sweeper gives the slot back", func() bool {
		return w.get(spell).GetStatus() == reablementv1.NeedStatus_NEED_STATUS_REQUESTED && w.free(capacity) == 1
	})
	wantCode(t, codes.FailedPrecondition, w.accept(w.acme, spell, "2026-11-26"))
	if got := w.audited(spell); got[len(got)-1] != "service:reablement-capacity need.expire-hold" {
		t.Errorf("audit: %q", got)
	}
}

func TestAVoidedSpellOrADeathWithdrawsTheNeedAndFreesTheSlot(t *testing.T) {
	w := newWorld(t, time.Hour)
	capacity := w.offered(w.acme, 3)
	voided, died, late := w.needed(), w.needed(), uuid.NewString()
	w.must(w.hold(w.hub, capacity, voided), w.hold(w.hub, capacity, died), w.accept(w.acme, died, "2026-11-26"),
		w.begin(w.acme, died, daysFromToday(0), daysFromToday(10)))
	if got := w.free(capacity); got != 1 {
		t.Fatalf("%d free, want 1", got)
	}
	w.tellSpell(1, &dischargev1.Spell{SpellId: voided, Status: dischargev1.SpellStatus_SPELL_STATUS_VOIDED})
	w.tellSpell(1, &dischargev1.Spell{SpellId: died, Death: dischargev1.Death_DEATH_DIED})
	w.tellSpell(1, &dischargev1.Spell{SpellId: late, Death: dischargev1.Death_DEATH_DIED})
	for _, s := range []string{voided, died, late} {
		w.settled(s, 1)
	}
	w.need(late) // asked for after the event had arrived
	for _, s := range []string{voided, died, late} {
		w.wantStatus(s, reablementv1.NeedStatus_NEED_STATUS_WITHDRAWN)
		wantCode(t, codes.FailedPrecondition, w.hold(w.hub, capacity, s))
	}
	if got := w.free(capacity); got != 3 {
		t.Errorf("%d free, want 3", got)
	}
	// The death was a mistake; the same and older news again say nothing.
	w.tellSpell(3, &dischargev1.Spell{SpellId: died, Status: dischargev1.SpellStatus_SPELL_STATUS_DISCHARGED, Death: dischargev1.Death_DEATH_NONE})
	w.settled(died, 3)
	w.tellSpell(3, &dischargev1.Spell{SpellId: died, Death: dischargev1.Death_DEATH_DIED})
	w.tellSpell(2, &dischargev1.Spell{SpellId: died, Death: dischargev1.Death_DEATH_DIED})
	w.publish("discharge", spellType, uuid.NewString(), 1, []byte("not protobuf"))
	marker := uuid.NewString()
	w.tellSpell(1, &dischargev1.Spell{SpellId: marker})
	w.settled(marker, 1)
	w.wantStatus(died, reablementv1.NeedStatus_NEED_STATUS_REQUESTED)
	w.must(w.hold(w.hub, capacity, died))
}

func TestAnAssessmentIsKeptInTheInbox(t *testing.T) {
	w := newWorld(t, time.Hour)
	spell := w.needed()
	w.tell("assessment", "homeward.assessment.assessment.v1", spell, 1, &assessmentv1.Assessment{SpellId: spell})
	ops := opsv1.NewExplainServiceClient(kittest.Dial(t, w.cfg.GRPCAddr, w.issuer, authn.Principal{Subject: "user:ops", Roles: []authn.Role{authn.Ops}}))
	kittest.Eventually(t, "the explanation names the assessment and the need", func() bool {
		resp, err := ops.ExplainHandover(t.Context(), &opsv1.ExplainHandoverRequest{SpellId: spell})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, h := range resp.GetHops() {
			names = append(names, h.GetName())
		}
		return slices.Contains(names, "event applied") && slices.Contains(names, "reablement need")
	})
}

func TestARestartKeepsHoldsAndCatchesUp(t *testing.T) {
	w := newWorld(t, time.Hour)
	capacity := w.offered(w.acme, 2)
	kept, ended := w.needed(), w.needed()
	w.must(w.hold(w.hub, capacity, kept), w.hold(w.hub, capacity, ended))
	before := w.get(kept)
	w.stop()
	w.tellSpell(1, &dischargev1.Spell{SpellId: ended, Status: dischargev1.SpellStatus_SPELL_STATUS_VOIDED})
	w.start()
	w.settled(ended, 1)
	w.wantStatus(ended, reablementv1.NeedStatus_NEED_STATUS_WITHDRAWN)
	if diff := cmp.Diff(before, w.get(kept), protocmp.Transform()); diff != "" {
		t.Errorf("the restart changed it (-before +after):\n%s", diff)
	}
	w.must(w.accept(w.acme, kept, "2026-11-26"))
}

func TestWhatIsPublishedCarriesTheTraceOfItsCause(t *testing.T) {
	w := newWorld(t, time.Hour)
	capacity, spell := w.offered(w.acme, 1), w.needed()
	published := func() string {
		t.Helper()
		var traceparent string
		if err := w.db.Pool.QueryRow(t.Context(), `SELECT traceparent FROM outbox WHERE id = $1`, spell).Scan(&traceparent); err != nil {
			t.Fatal(err)
		}
		return event.ParseTraceparent(traceparent).TraceID().String()
	}
	asked, told := sampled(1), sampled(2)
	if _, err := w.hub.HoldCapacity(trace.ContextWithRemoteSpanContext(t.Context(), asked),
		&reablementv1.HoldCapacityRequest{CapacityId: capacity, SpellId: spell}); err != nil {
		t.Fatal(err)
	}
	if got, want := published(), asked.TraceID().String(); got != want {
		t.Errorf("the hold's event has the trace %s, want the caller's %s", got, want)
	}
	w.trace = told
	w.tellSpell(1, &dischargev1.Spell{SpellId: spell, Status: dischargev1.SpellStatus_SPELL_STATUS_VOIDED})
	w.settled(spell, 1)
	if got, want := published(), told.TraceID().String(); got != want {
		t.Errorf("the event that follows from the spell has the trace %s, want the spell's %s", got, want)
	}
}
