package dischargehub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/discharge-hub/migrations"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/reconcile"
	"github.com/homeward-care/homeward/services/kit/restore"
	"github.com/homeward-care/homeward/services/kit/run"
)

// stepped is a hub without doors and workers of its own: a test stores messages and lets it interpret them.
type stepped struct {
	t     *testing.T
	db    *pg.DB
	store *store
	feeds []discharge.Feed
	in    *interpreter
	log   bytes.Buffer
}

var restoredAt = time.Date(2026, 9, 10, 9, 0, 0, 0, time.UTC)

func newStepped(t *testing.T, messages ...*hl7.Builder) *stepped {
	t.Helper()
	h := steppedOn(t, kittest.Open(t, kittest.Database(t, migrations.FS)))
	h.send(messages...)
	return h
}

func steppedOn(t *testing.T, db *pg.DB) *stepped {
	t.Helper()
	h := &stepped{t: t, db: db, store: &store{db: db}}
	var err error
	if h.feeds, err = loadFeeds(""); err != nil {
		t.Fatal(err)
	}
	h.start()
	return h
}

func (h *stepped) start() {
	h.in = &interpreter{store: h.store, feeds: func() map[string]discharge.Feed { return feedsByKey(h.feeds) }, now: h.now, tracer: noop.NewTracerProvider().Tracer(""), saved: run.NewWake(), log: slog.New(slog.DiscardHandler)}
}

func (h *stepped) now() time.Time { return restoredAt }

func (h *stepped) send(messages ...*hl7.Builder) {
	h.t.Helper()
	for _, m := range messages {
		h.insert(m.Bytes())
		if _, err := h.in.Step(h.t.Context()); err != nil {
			h.t.Fatal(err)
		}
	}
}

// insert stores a message and leaves it to be interpreted.
func (h *stepped) insert(raw []byte) {
	h.t.Helper()
	if err := h.store.insertInbound(h.t.Context(), []*inbound{{Feed: "mse-basildon", Format: formatHL7, ControlID: "M", Body: raw, Accepted: true,
		Span: trace.SpanFromContext(h.t.Context()), digest: sha256.Sum256(raw), receivedAt: restoredAt}}); err != nil {
		h.t.Fatal(err)
	}
}

// heldBy is a consumer to whom a hub's events have come.
type heldBy struct {
	opsv1.ReconciliationServiceClient
	db *pg.DB
}

func (c heldBy) ListHeld(ctx context.Context, req *opsv1.ListHeldRequest, _ ...grpc.CallOption) (*opsv1.ListHeldResponse, error) {
	return (&reconcile.Server{DB: c.db}).ListHeld(ctx, req)
}

// consumer is one that keeps what the hub has published until now; without data it keeps the versions.
func (h *stepped) consumer(keepData bool) restore.Holder {
	h.t.Helper()
	db := kittest.Open(h.t, kittest.Database(h.t, migrations.FS))
	rows, err := h.db.Pool.Query(h.t.Context(), `SELECT id, epoch, version, occurred_at, CASE WHEN $1 THEN data ELSE '' END FROM outbox`, keepData)
	if err != nil {
		h.t.Fatal(err)
	}
	var id uuid.UUID
	var epoch int32
	var version int64
	var occurred time.Time
	var data []byte
	if _, err := pgx.ForEachRow(rows, []any{&id, &epoch, &version, &occurred, &data}, func() error {
		_, err := db.Pool.Exec(h.t.Context(), `INSERT INTO inbox (id, type, key, epoch, version, occurred_at, recorded_at, traceparent, data, applied_at)
			VALUES ($1, $2, $1, $3, $4, $5, $5, '', $6, $5)`, id, SpellType, epoch, version, occurred, data)
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
	return restore.Holder{Name: "consumer", Source: heldBy{db: db}}
}

// restored declares the restore, takes over and starts anew.
func (h *stepped) restored(holders ...restore.Holder) {
	h.t.Helper()
	if _, _, err := restore.Declare(h.t.Context(), h.db, restoredAt); err != nil {
		h.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&h.log, nil))
	takeOver := restore.TakeOver{DB: h.db, Type: SpellType, Holders: holders, Adopt: h.store.adoptSpells, Done: reportGap(h.feeds, log), Now: h.now, Log: log}
	if err := takeOver.Run(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.start()
}

// published is the one spell that the hub publishes, with its epoch; nil when it publishes none.
func (h *stepped) published() (*dischargev1.Spell, int32) {
	h.t.Helper()
	var data []byte
	var epoch int32
	if err := h.db.Pool.QueryRow(h.t.Context(), `SELECT (SELECT data FROM outbox), coalesce((SELECT epoch FROM outbox), 0)`).Scan(&data, &epoch); err != nil {
		h.t.Fatal(err)
	}
	if data == nil {
		return nil, 0
	}
	var s dischargev1.Spell
	if err := proto.Unmarshal(data, &s); err != nil {
		h.t.Fatal(err)
	}
	return &s, epoch
}

func (h *stepped) expect(what string, want *dischargev1.Spell, inEpoch int32) {
	h.t.Helper()
	if got, epoch := h.published(); !proto.Equal(got, want) || epoch != inEpoch {
		h.t.Errorf("%s: published in epoch %d\n%v\nwant in epoch %d\n%v", what, epoch, got, inEpoch, want)
	}
}

func (h *stepped) replayed() []Missing {
	h.t.Helper()
	missing, err := Replayed(h.t.Context(), h.db, h.feeds, restoredAt)
	if err != nil {
		h.t.Fatal(err)
	}
	return missing
}

func (h *stepped) open(kind string) int {
	h.t.Helper()
	still := true
	list, err := h.store.exceptions(h.t.Context(), exceptionQuery{limit: 100, kind: kind, open: &still})
	if err != nil {
		h.t.Fatal(err)
	}
	return len(list)
}

var (
	admitted   = func() *hl7.Builder { return adt("A01", "M1", "V1", day(1, 9)) }
	moved      = func() *hl7.Builder { return adt("A08", "M2", "V1", day(2, 9)).Set("PD1-3.3", "F81010") }
	discharged = func() *hl7.Builder { return adt("A03", "M3", "V1", day(3, 14)).Set("PD1-3.3", "") }
	died       = func() *hl7.Builder { return adt("A08", "M4", "V1", day(4, 9)).Set("PID-30", "Y") }
)

func TestTakenOverSpellStandsUntilTheHospitalHasSentAgain(t *testing.T) {
	t.Parallel()
	whole := newStepped(t, admitted(), moved(), discharged())
	truth, _ := whole.published()
	for name, kept := range map[string][]*hl7.Builder{"of which a part is lost": {admitted()}, "of which all is lost": nil} {
		t.Run(name, func(t *testing.T) {
			h := newStepped(t, kept...)
			h.restored(whole.consumer(true))
			h.expect("after the take-over", truth, 2)
			if h.open(discharge.FactsMissing.Kind) != 1 {
				t.Error("nobody is told that facts are missing")
			}
			if missing := h.replayed(); len(missing) != 1 || !missing[0].Recorded.Equal(day(3, 13)) {
				t.Errorf("before anything was sent again, missing is %v", missing)
			}
			h.send(discharged(), admitted())
			h.expect("after some messages", truth, 2)
			h.send(moved())
			h.expect("after all messages", truth, 2)
			if missing := h.replayed(); len(missing) != 0 {
				t.Errorf("still missing: %v", missing)
			}
			h.expect("after the gap was closed", truth, 2)
			if n := h.open(discharge.FactsMissing.Kind); n != 0 {
				t.Errorf("%d exceptions are open", n)
			}
			if _, err := Replayed(t.Context(), h.db, h.feeds, restoredAt); !fault.Is(err, fault.Precondition) {
				t.Errorf("closing what is closed: %v", err)
			}
			h.send(died())
			if s, _ := h.published(); s.GetDeath() != dischargev1.Death_DEATH_DIED {
				t.Error("after the gap was closed, facts do not count")
			}
		})
	}
}

func TestNewFactsAddToATakenOverSpellAtOnce(t *testing.T) {
	t.Parallel()
	h := newStepped(t, admitted())
	h.restored(newStepped(t, admitted(), moved()).consumer(true))
	h.send(discharged())
	s, _ := h.published()
	if s.GetStatus() != dischargev1.SpellStatus_SPELL_STATUS_DISCHARGED || s.GetPracticeCode() != "F81010" {
		t.Errorf("a discharge after the restore: %v", s)
	}
	h.send(died())
	if s, _ = h.published(); s.GetDeath() != dischargev1.Death_DEATH_DIED || s.GetPracticeCode() != "F81010" {
		t.Errorf("a death after the restore: %v", s)
	}
	h.send(moved())
	if missing := h.replayed(); len(missing) != 0 {
		t.Fatalf("missing: %v", missing)
	}
	truth, _ := newStepped(t, admitted(), moved(), discharged(), died()).published()
	h.expect("after the gap was closed", truth, 2)
}

func TestSpellKnownInANewerVersionOnlyIsPublishedAfterTheReplay(t *testing.T) {
	t.Parallel()
	whole := newStepped(t, admitted(), discharged())
	truth, _ := whole.published()
	h := newStepped(t, admitted())
	before, _ := h.published()
	h.restored(whole.consumer(false))
	h.expect("after the take-over", before, 1)
	h.send(discharged())
	h.expect("before the gap is closed", before, 1)
	h.feeds[slices.IndexFunc(h.feeds, func(f discharge.Feed) bool { return f.Key == "mse-basildon" })].Answers = &discharge.Answers{Addr: "ward:2575"}
	h.replayed()
	h.expect("after the gap was closed", truth, 2)
	var told string
	if err := h.db.Pool.QueryRow(t.Context(), `SELECT coalesce(string_agg(feed || ' ' || word || ' ' || about, ', '), '') FROM answer`).Scan(&told); err != nil {
		t.Fatal(err)
	}
	if told != "mse-basildon received 2.2" {
		t.Errorf("the ward is told %q", told)
	}
}

func TestGapIsToldForEachFeed(t *testing.T) {
	t.Parallel()
	h := newStepped(t, admitted())
	h.restored(newStepped(t).consumer(true))
	hops, err := gapHops(t.Context(), h.db, h.feeds)
	if err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	for _, hop := range hops {
		told.WriteString(hop.GetState() + "\n")
	}
	for _, f := range h.feeds {
		if !strings.Contains(told.String(), "feed "+f.Key+" ") || !strings.Contains(h.log.String(), "feed "+f.Key+" ") {
			t.Errorf("feed %s is not named in\n%s\nor the log\n%s", f.Key, told.String(), h.log.String())
		}
	}
	if want := "everything recorded from 2026-09-10T08:59:00Z to 2026-09-10T09:00:00Z"; !strings.Contains(told.String(), want) {
		t.Errorf("%q is not told in\n%s", want, told.String())
	}
	if missing := h.replayed(); len(missing) != 0 {
		t.Errorf("missing: %v", missing)
	}
	if hops, err := gapHops(t.Context(), h.db, h.feeds); err != nil || len(hops) != 0 {
		t.Errorf("after the gap was closed: %v, %v", hops, err)
	}
}
