// Package dischargehub is the service that hospitals talk to: it stores every message before it acknowledges, folds the facts about
// each spell into its state, publishes that, and knows how far each handover is.
package dischargehub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/feeds"
	"github.com/homeward-care/homeward/services/discharge-hub/mllp"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/explain"
	"github.com/homeward-care/homeward/services/kit/run"
	"github.com/homeward-care/homeward/services/kit/service"
)

// Config of the hub, from the environment.
type Config struct {
	service.Config
	// MLLPAddr and MLLPTLSAddr are where HL7 messages come in, one of them at least: in the clear, and over TLS with client certificates.
	MLLPAddr    string `env:"MLLP_ADDR"`
	MLLPTLSAddr string `env:"MLLP_TLS_ADDR"`
	// The hub's certificate towards hospitals, and the authorities of theirs. The files are read again when they change.
	MLLPTLSCertFile  string `env:"MLLP_TLS_CERT_FILE"`
	MLLPTLSKeyFile   string `env:"MLLP_TLS_KEY_FILE"`
	MLLPClientCAFile string `env:"MLLP_CLIENT_CA_FILE"`
	// Limits on connections; see mllp.Limits.
	MLLPMaxConnections           int           `env:"MLLP_MAX_CONNECTIONS"`
	MLLPMaxConnectionsPerAddress int           `env:"MLLP_MAX_CONNECTIONS_PER_ADDRESS"`
	MLLPFirstByteTimeout         time.Duration `env:"MLLP_FIRST_BYTE_TIMEOUT"`
	MLLPFrameTimeout             time.Duration `env:"MLLP_FRAME_TIMEOUT"`
	// FeedsDir holds a JSON file for each sender; empty means the feeds that are built in.
	FeedsDir string `env:"FEEDS_DIR"`
	// FHIRAddr is where the FHIR door listens; empty for no such door. FHIRPublicURL is the address under which clients reach it.
	FHIRAddr      string `env:"FHIR_ADDR"`
	FHIRPublicURL string `env:"FHIR_PUBLIC_URL"`
	// With a certificate the FHIR door speaks TLS; without, something in front of it does.
	FHIRCertFile string `env:"FHIR_TLS_CERT_FILE"`
	FHIRKeyFile  string `env:"FHIR_TLS_KEY_FILE"`
	// ClientsDir holds a JSON file for each machine that signs in.
	ClientsDir string `env:"CLIENTS_DIR"`
	// FHIRAnswersKept is how long an X-Request-ID is remembered, AttemptsKept how long attempts to post a Task after it was taken.
	FHIRAnswersKept time.Duration `env:"FHIR_ANSWERS_KEPT"`
	AttemptsKept    time.Duration `env:"ATTEMPTS_KEPT"`
	// FHIRRate is how many requests a second each client may make at the FHIR door.
	FHIRRate float64 `env:"FHIR_REQUESTS_PER_SECOND"`
	// TokenSigningKeyFile is the private key for the tokens of clients.
	TokenSigningKeyFile string `env:"TOKEN_SIGNING_KEY_FILE"`
	PickupAddr          string `env:"COMMUNITY_PICKUP_ADDR,required,notEmpty"`
	AssessmentAddr      string `env:"LIGHT_TOUCH_ASSESSMENT_ADDR,required,notEmpty"`
}

// Stream and event types.
const (
	Stream         = "discharge"
	SpellType      = "homeward.discharge.spell.v1"
	taskType       = "homeward.pickup.task.v1"
	assessmentType = "homeward.assessment.assessment.v1"
)

// methods says who may call what.
func methods() authn.Table {
	t := authn.Table{
		dischargev1.DischargeHubService_RecordEvent_FullMethodName:    {authn.HubStaff, authn.Integration},
		dischargev1.DischargeHubService_GetHandover_FullMethodName:    {authn.HubStaff, authn.Integration, authn.Ops, authn.CLSWorker, authn.CLSManager, authn.Service},
		dischargev1.DischargeHubService_ListExceptions_FullMethodName: {authn.HubStaff, authn.Ops},
		dischargev1.DischargeHubService_GetPeople_FullMethodName:      {authn.HubStaff},
	}
	maps.Copy(t, exceptionRoles())
	maps.Copy(t, service.OpsRoles())
	return t
}

// undeliveredPoll is how often the hub looks for handovers that nobody has confirmed.
const undeliveredPoll = 15 * time.Second

// Run runs the hub until ctx ends.
func Run(ctx context.Context, cfg Config) error {
	feedList, err := loadFeeds(cfg.FeedsDir)
	if err != nil {
		return err
	}
	svc, err := service.New(ctx, "discharge-hub", cfg.Config, methods())
	if err != nil {
		return err
	}
	hub, err := Wire(svc, cfg, feedList)
	if err != nil {
		return err
	}
	listener, err := hub.openMLLP(cfg)
	if err != nil {
		return err
	}
	hub.clients.usable = cfg.usable
	svc.Go(listener.Serve)
	hub.watch(svc)
	if err := hub.AnswerWards(svc, cfg.line(svc.Log)); err != nil {
		return err
	}
	hub.PostTasks(svc)
	if cfg.FHIRAddr != "" {
		door, err := hub.openFHIR(svc, cfg)
		if err != nil {
			return err
		}
		svc.Go(door.serve)
	}
	return svc.Run(ctx)
}

// Hub is a wired hub whose doors nobody has opened to the network yet.
type Hub struct {
	door    *mllpDoor
	fhir    *fhirDoor
	clients *roster
	senders *atomic.Int32
	store   *store
}

// Wire gives a service the hub's workers, edges and RPCs.
func Wire(svc *service.Service, cfg Config, feedList []discharge.Feed) (*Hub, error) {
	clients, err := openRoster(feedList, cfg.FeedsDir, cfg.ClientsDir, svc.Now, svc.Log)
	if err != nil {
		return nil, err
	}
	st := &store{db: svc.DB, answered: func() []string { return clients.get().answered }, claims: &claims{db: svc.DB}}
	svc.Loop("claims", st.claims.Step, claimsPoll, nil)
	svc.AtClose(st.claims.Close)
	tellBack(svc, st, clients)
	if cfg.FeedsDir != "" || cfg.ClientsDir != "" {
		svc.Loop("read feeds and clients", clients.Step, rosterPoll, nil)
	}
	tracer := svc.TracerFor("discharge-hub")
	pending := run.NewWake()
	rcv := &receiver{store: st, now: svc.Now, pending: pending}

	people := run.NewWake()
	interpreter := &interpreter{store: st, feeds: clients.feeds, now: svc.Now, tracer: tracer, saved: svc.Saved, people: people, log: svc.Log}
	svc.Loop("interpret", interpreter.Step, time.Second, pending)
	svc.Loop("tell spells of their people", interpreter.TellSpells, time.Second, people)
	chaser := &chaser{store: st, now: svc.Now, saved: svc.Saved, log: svc.Log}
	svc.Loop("chase undelivered", chaser.Step, undeliveredPoll, nil)

	svc.LoopByClock("alarm exceptions", (&exceptionAlarm{store: st, log: svc.Log}).Step, exceptionAlarmPoll)
	svc.LoopByClock("retention", cfg.retention(st).Step, retentionPoll)

	pickup, err := svc.Dial(cfg.PickupAddr)
	if err != nil {
		return nil, err
	}
	dischargev1.RegisterDischargeHubServiceServer(svc.RPC, &server{store: st, feeds: clients.feeds, receive: rcv.receive, now: svc.Now,
		interpreter: interpreter, pending: pending, pickup: pickupv1.NewCommunityPickupServiceClient(pickup)})
	hops := func(ctx context.Context, spell uuid.UUID) ([]*opsv1.Hop, error) {
		gap, err := gapHops(ctx, svc.DB, clients.feedList())
		if err != nil {
			return nil, err
		}
		own, err := st.hops(ctx, spell)
		if err != nil {
			return nil, err
		}
		answers, err := st.answerHops(ctx, spell)
		return slices.Concat(gap, own, answers), err
	}
	svc.Publish(Stream, &explain.Server{Aggregates: func(spell uuid.UUID) []uuid.UUID { return []uuid.UUID{spell} }, Own: hops})
	err = errors.Join(
		svc.TakesOver(service.Own{
			Type: SpellType, Adopt: st.adoptSpells, Done: reportGap(feedList, svc.Log),
			// community-pickup keeps no snapshots of spells, but knows how new the newest is.
			HeldBy: map[string]string{"light-touch-assessment": cfg.AssessmentAddr, "community-pickup": cfg.PickupAddr},
		}),
		svc.Consume(service.Edge{Stream: "pickup", Type: taskType, Addr: cfg.PickupAddr, Handle: st.applyTasks, KeepData: true}),
		svc.Consume(service.Edge{Stream: "assessment", Type: assessmentType, Addr: cfg.AssessmentAddr, Handle: onlyKeep, KeepData: true}),
	)
	if err != nil {
		return nil, err
	}
	door := &mllpDoor{feeds: clients.feedList, receive: rcv.receive, now: svc.Now, tracer: tracer, log: svc.Log}
	door.start = strconv.FormatInt(svc.Now().Unix(), 36)
	fhir := &fhirDoor{feeds: clients.feeds, verifier: svc.Verifier, store: st, receive: rcv.receive, pending: pending,
		rates: newRates(cfg.FHIRRate, svc.Now), now: svc.Now, answeredAt: neverBack(svc), tracer: tracer, log: svc.Log}
	return &Hub{door, fhir, clients, &rcv.senders, st}, nil
}

// Answer does with one HL7 v2 message what the MLLP door does with it, and returns its acknowledgement.
func (h *Hub) Answer(ctx context.Context, raw []byte) []byte {
	return h.door.handle(ctx, mllp.Sender{}, raw).Ack
}

func loadFeeds(dir string) ([]discharge.Feed, error) {
	var folder fs.FS = feeds.Files
	if dir != "" {
		folder = os.DirFS(dir)
	}
	list, err := discharge.LoadFeeds(folder)
	if err != nil {
		return nil, fmt.Errorf("FEEDS_DIR: %w", err)
	}
	return list, nil
}

func feedsByKey(list []discharge.Feed) map[string]discharge.Feed {
	m := make(map[string]discharge.Feed, len(list))
	for _, f := range list {
		m[f.Key] = f
	}
	return m
}
