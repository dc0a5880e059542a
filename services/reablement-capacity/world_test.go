package reablementcapacity_test

import (
	"context"
	"log/slog"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
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
	trace  trace.SpanContext // of what the other services tell
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
		DischargeHubAddr: kittest.FreeAddr(t), LightTouchAssessmentAddr: kittest.FreeAddr(t), CommunityPickupAddr: kittest.FreeAddr(t), HoldFor: holdFor, TimeZone: "Europe/London",
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
		Type: eventType, ID: spell, Key: spell, Epoch: 1, Version: version, OccurredAt: time.Now(), RecordedAt: time.Now(), Data: data, Trace: w.trace,
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

// sampled is the context of a trace that is recorded.
func sampled(n byte) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{n}, SpanID: trace.SpanID{n}, TraceFlags: trace.FlagsSampled})
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
