package sim

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/community-pickup"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/discharge-hub"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/bus"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/run"
	"github.com/homeward-care/homeward/services/kit/service"
	"github.com/homeward-care/homeward/services/light-touch-assessment"
	"github.com/homeward-care/homeward/services/reablement-capacity"
)

// The services, and the stream that each publishes. A process reaches another service by its name.
var (
	serviceNames   = []string{"discharge-hub", "community-pickup", "light-touch-assessment", "reablement-capacity"}
	serviceStreams = map[string]string{
		"discharge-hub": "discharge", "community-pickup": "pickup", "light-touch-assessment": "assessment", "reablement-capacity": "reablement",
	}
)

// node is a machine on which one process of a service runs at a time.
type node struct {
	world         *world
	service, name string
	db            *pg.DB
	proc          *process // nil while it is down
	downUntil     int      // steps of the scheduler
	pausedUntil   int
	skew          time.Duration // how far its clock is off
	skewUntil     int
	skewed        bool // it was, once
	alarmed       bool // it has asked for a clock set right, or a restart
}

// process is one run of a service: the real service, wired to the simulation.
type process struct {
	node    *node
	svc     *service.Service
	hub     *dischargehub.Hub
	door    http.Handler // the hub's, of FHIR
	rpc     registry
	dead    atomic.Bool
	closed  bool // its doors are: it has not taken over what a restore lost
	workers []*worker
	session *session // the relay's, which holds the advisory lock
	claims  *session // the hub's, by which others see that it lives
}

// worker is one of a process's background workers.
type worker struct {
	name     string
	loop     run.Loop
	proc     *process
	busy     bool
	next     time.Time // its next poll
	lagUntil int
}

func (n *node) now() time.Time { return n.world.clock.Add(n.skew).Truncate(time.Microsecond) }

// settings are what the services read once, not for each process.
type settings struct {
	place   pickup.Place
	feeds   []discharge.Feed
	clients string // folder; empty when there are none
	// verifier reads tokens; token is that of the engine, which signs in whether or not it is configured as a client.
	verifier *authn.Verifier
	token    string
}

// start runs the service on a node.
func (n *node) start() error {
	w := n.world
	if n.skew > 0 || n.skew < -24*time.Hour { // whoever starts it has looked whether the clock is ahead, or weeks behind
		n.skew = 0
	}
	p := &process{node: n, rpc: registry{}}
	p.svc = &service.Service{
		Name: n.service, Log: slog.New(teller{w, n}), Tracer: noop.NewTracerProvider(), DB: n.db, RPC: p.rpc, Verifier: w.settings.verifier,
		Dial:      func(addr string) (grpc.ClientConnInterface, error) { return wire{w, addr}, nil },
		Publisher: p.publisher,
		Subscribe: func(stream, subjects string) func(context.Context, int) ([]bus.Delivery, error) {
			return func(ctx context.Context, limit int) ([]bus.Delivery, error) {
				return w.courier.fetch(frameOf(ctx).flow, p, stream, subjects, limit), nil
			}
		},
		Now: n.now, Elapsed: func() time.Duration { return w.elapsed }, Saved: run.NewWake(),
	}
	if err := p.wire(w.settings); err != nil {
		return fmt.Errorf("wire %s: %w", n.name, err)
	}
	p.closed = true
	p.workers = []*worker{{name: n.name + "/take over", proc: p, next: w.clock, loop: run.Loop{Name: "take over", Poll: time.Second, Step: p.takeOver}}}
	for _, l := range p.svc.Workers {
		p.workers = append(p.workers, &worker{name: n.name + "/" + l.Name, loop: l, proc: p, next: w.clock})
	}
	n.proc = p
	w.tell("%s starts", n.name)
	return nil
}

func (p *process) wire(s settings) (err error) {
	switch p.node.service {
	case "discharge-hub":
		if p.hub, err = dischargehub.Wire(p.svc, dischargehub.Config{
			PickupAddr: "community-pickup", AssessmentAddr: "light-touch-assessment", ClientsDir: s.clients,
			AttemptsKept: 10 * 365 * 24 * time.Hour, // the checks count them all
			FHIRRate:     1e6,                       // it is counted by the clock of the machine
		}, s.feeds); err != nil {
			return err
		}
		p.door = p.hub.FHIR(publicURL, http.NotFoundHandler())
		p.hub.StepPosts(p.svc, &http.Client{Transport: post{p.node.world.engine, p}}, 1)
		p.hub.StepAnswers(p.svc, p.line)
	case "community-pickup":
		err = communitypickup.Wire(p.svc, communitypickup.Config{
			HubAddr: "discharge-hub", AssessmentAddr: "light-touch-assessment", ReablementAddr: "reablement-capacity",
		}, s.place)
	case "light-touch-assessment":
		err = lighttouch.Wire(p.svc, lighttouch.Config{DischargeHubAddr: "discharge-hub", QuestionSet: "safe-discharge-1"})
	case "reablement-capacity":
		err = reablementcapacity.Wire(p.svc, reablementcapacity.Config{
			DischargeHubAddr: "discharge-hub", LightTouchAssessmentAddr: "light-touch-assessment", CommunityPickupAddr: "community-pickup", HoldFor: 2 * time.Hour, TimeZone: "Europe/London",
		})
	}
	return err
}

// takeOver opens the doors of a process when it has what its consumers hold.
func (p *process) takeOver(ctx context.Context) (bool, error) {
	err := p.svc.TakeOver(ctx)
	p.closed = err != nil
	return false, err
}

// active are the workers that run: one alone until the doors are open.
func (p *process) active() []*worker {
	if p.closed {
		return p.workers[:1]
	}
	return p.workers[1:]
}

// crash ends a process where it stands: what it holds in memory is gone, what it has open at PostgreSQL is rolled back.
func (w *world) crash(p *process) {
	p.dead.Store(true)
	for again := true; again; {
		again = false
		for _, f := range w.sched.flows {
			if f.proc == p && f.state == waiting {
				w.sched.grant(f, verdict{err: errCrashed})
				again = true
				break // the list has changed
			}
		}
	}
	p.svc.Close()
	n := p.node
	if n.proc == p {
		n.proc, n.downUntil = nil, w.sched.steps+w.rng.IntN(60)
	}
	w.checkApplied(n.service)
	w.tell("%s is gone", n.name)
}

// processOf returns a process of a service that answers a call; nil when none does.
func (w *world) processOf(service, method string) *process {
	var up []*process
	for _, n := range w.nodes {
		if n.service == service && n.proc != nil && n.pausedUntil <= w.sched.steps && (!n.proc.closed || method == opsv1.ReconciliationService_ListHeld_FullMethodName) {
			up = append(up, n.proc)
		}
	}
	if len(up) == 0 {
		return nil
	}
	return up[w.rng.IntN(len(up))]
}

// begin starts one step of a worker.
func (k *worker) begin() {
	w := k.proc.node.world
	k.busy = true
	var worked bool
	var err error
	w.sched.spawn(k.name, func() {
		k.busy = false
		if err != nil && !k.proc.dead.Load() {
			w.tellDetail(k.name+" fails: ", err.Error())
		}
		if worked && err == nil {
			k.next = w.clock
		} else {
			k.next = w.clock.Add(k.loop.Poll)
		}
	}, func(f *flow) {
		worked, err = k.loop.Step(withFrame(w.ctx, f, k.proc))
	})
}

// woken says whether something has raised the worker's signal since it last began.
func (k *worker) woken() bool { return len(k.loop.Wake) > 0 }

// teller takes what a service logs as a warning or worse into the story.
type teller struct {
	w    *world
	node *node
}

func (t teller) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

func (t teller) Handle(_ context.Context, r slog.Record) error {
	detail := ""
	r.Attrs(func(a slog.Attr) bool {
		detail += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	t.w.tellDetail(t.node.name+" says: "+r.Message, detail)
	t.node.alarmed = t.node.alarmed || strings.Contains(r.Message, "restart this service")
	return nil
}

func (t teller) WithAttrs([]slog.Attr) slog.Handler { return t }
func (t teller) WithGroup(string) slog.Handler      { return t }
