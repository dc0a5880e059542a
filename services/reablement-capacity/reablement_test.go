package reablementcapacity_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/bus"
	"github.com/homeward-care/homeward/services/kit/devinfra"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/pg"
	reablementcapacity "github.com/homeward-care/homeward/services/reablement-capacity"
	"github.com/homeward-care/homeward/services/reablement-capacity/migrations"
)

func TestMain(m *testing.M) { kittest.Main(m) }

type client = reablementv1.ReablementCapacityServiceClient

// world is the service with its real servers, and the other services' part played by the test.
type world struct {
	t      *testing.T
	cfg    reablementcapacity.Config
	issuer *devinfra.Issuer
	db     *pg.DB
	bus    *bus.Bus
	stop   func()
	hub    client
	acme   client // works for the provider ACME
	bright client // works for the provider BRIGHT
}

func newWorld(t *testing.T, holdFor time.Duration) *world {
	t.Helper()
	url, n, issuer := kittest.Database(t, migrations.FS), kittest.NATS(t), kittest.Issuer(t)
	w := &world{t: t, issuer: issuer, db: kittest.Open(t, url)}
	w.cfg = reablementcapacity.Config{
		Config:           kittest.Config(t, "reablement-capacity", url, n, issuer),
		DischargeHubAddr: kittest.FreeAddr(t), LightTouchAssessmentAddr: kittest.FreeAddr(t), HoldFor: holdFor, TimeZone: "Europe/London",
	}
	var err error
	if w.bus, err = bus.Connect(bus.Config{URL: n.ClientURL(), Service: "test"}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.bus.Close)
	w.hub = w.as(authn.Principal{Subject: "user:hub", Roles: []authn.Role{authn.HubStaff}})
	w.acme, w.bright = w.asProvider("ACME"), w.asProvider("BRIGHT")
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *world) start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- reablementcapacity.Run(ctx, w.cfg) }()
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("service ended with: %v", err)
		}
	}
	kittest.Eventually(w.t, "the service answers", func() bool {
		_, err := w.hub.GetNeed(w.t.Context(), &reablementv1.GetNeedRequest{SpellId: uuid.NewString()})
		return status.Code(err) == codes.NotFound
	})
}

func (w *world) as(p authn.Principal) client {
	return reablementv1.NewReablementCapacityServiceClient(kittest.Dial(w.t, w.cfg.GRPCAddr, w.issuer, p))
}

func (w *world) asProvider(key string) client {
	return w.as(authn.Principal{Subject: "user:" + key, Roles: []authn.Role{authn.Provider}, Provider: key})
}

// tell publishes a version of an aggregate of another service.
func (w *world) tell(stream, eventType, id string, version int64, m proto.Message) {
	w.t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	w.publish(stream, eventType, id, version, data)
}

func (w *world) publish(stream, eventType, id string, version int64, data []byte) {
	w.t.Helper()
	spell := uuid.MustParse(id)
	for _, err := range w.bus.Publisher(stream).Publish(w.t.Context(), []event.Event{{
		Type: eventType, ID: spell, Key: spell, Epoch: 1, Version: version, OccurredAt: time.Now(), RecordedAt: time.Now(), Data: data,
	}}) {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

const spellType = "homeward.discharge.spell.v1"

func (w *world) tellSpell(version int64, s *dischargev1.Spell) {
	w.t.Helper()
	w.tell("discharge", spellType, s.GetSpellId(), version, s)
}

// settled waits until the service has applied a version of a spell.
func (w *world) settled(spell string, version int64) {
	w.t.Helper()
	kittest.Eventually(w.t, "the spell's version is applied", func() bool {
		var applied int64
		err := w.db.Pool.QueryRow(w.t.Context(), `SELECT coalesce(max(version), 0) FROM inbox WHERE id = $1 AND type = $2`, spell, spellType).Scan(&applied)
		return err == nil && applied >= version
	})
}

// offer is capacity in Grays that is good for a while.
func offer(id string, slots int32) *reablementv1.PublishCapacityRequest {
	return &reablementv1.PublishCapacityRequest{
		CapacityId: id, Area: "CLS-GRAYS", Slots: slots, VisitsPerDay: 4, AvailableFrom: "2026-11-20",
		ValidUntil: timestamppb.New(time.Now().Add(24 * time.Hour)),
	}
}

func (w *world) offered(c client, slots int32) string {
	w.t.Helper()
	id := uuid.NewString()
	if _, err := c.PublishCapacity(w.t.Context(), offer(id, slots)); err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) needed() string {
	w.t.Helper()
	id := uuid.NewString()
	w.need(id)
	return id
}

func (w *world) need(spell string) *reablementv1.Need {
	w.t.Helper()
	resp, err := w.hub.RequestReablement(w.t.Context(), &reablementv1.RequestReablementRequest{
		SpellId: spell, Area: "CLS-GRAYS", VisitsPerDay: 3, WantedFrom: "2026-11-26",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetNeed()
}

func (w *world) get(spell string) *reablementv1.Need {
	w.t.Helper()
	resp, err := w.hub.GetNeed(w.t.Context(), &reablementv1.GetNeedRequest{SpellId: spell})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetNeed()
}

func (w *world) hold(c client, capacity, spell string) error {
	_, err := c.HoldCapacity(w.t.Context(), &reablementv1.HoldCapacityRequest{CapacityId: capacity, SpellId: spell})
	return err
}

func (w *world) accept(c client, spell, from string) error {
	_, err := c.AcceptHold(w.t.Context(), &reablementv1.AcceptHoldRequest{SpellId: spell, StartsOn: from})
	return err
}

func (w *world) begin(c client, spell, on, end string) error {
	_, err := c.StartReablement(w.t.Context(), &reablementv1.StartReablementRequest{SpellId: spell, StartedOn: on, PlannedEndOn: end})
	return err
}

func (w *world) release(c client, spell string) error {
	_, err := c.ReleaseHold(w.t.Context(), &reablementv1.ReleaseHoldRequest{SpellId: spell})
	return err
}

// free asks how many slots a capacity has free; none when it is not found.
func (w *world) free(capacity string) int32 {
	w.t.Helper()
	resp, err := w.hub.FindCapacity(w.t.Context(), &reablementv1.FindCapacityRequest{Area: "CLS-GRAYS", From: "2026-11-26", VisitsPerDay: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range resp.GetCapacities() {
		if c.GetCapacityId() == capacity {
			return c.GetFree()
		}
	}
	return 0
}

func (w *world) must(errs ...error) {
	w.t.Helper()
	for i, err := range errs {
		if err != nil {
			w.t.Fatalf("step %d: %v", i, err)
		}
	}
}

func (w *world) wantStatus(spell string, want reablementv1.NeedStatus) {
	w.t.Helper()
	if got := w.get(spell).GetStatus(); got != want {
		w.t.Errorf("the need is %v, want %v", got, want)
	}
}

func wantCode(t *testing.T, want codes.Code, err error) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("got %v, want the code %v", err, want)
	}
}

func (w *world) audited(record string) []string {
	w.t.Helper()
	rows, err := w.db.Pool.Query(w.t.Context(), `SELECT actor || ' ' || action FROM audit WHERE record = $1 ORDER BY seq`, record)
	if err != nil {
		w.t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.t.Fatal(err)
	}
	return lines
}

func daysFromToday(n int) string { return time.Now().AddDate(0, 0, n).UTC().Format(time.DateOnly) }

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
		return w.db.Pool.QueryRow(ctx, `SELECT data, version FROM outbox WHERE id = $1 AND key = $1 AND type = 'homeward.reablement.need.v1' AND sent_at IS NOT NULL`,
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
