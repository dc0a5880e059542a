package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/e2e/hospital"
	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// TestNothingIsLost kills every process in the middle of traffic, then deletes what JetStream kept, then lets a service miss discharges.
// What was acknowledged comes out right: one outcome for each spell, with its team and due date, delivered within a minute.
func TestNothingIsLost(t *testing.T) {
	p := startAnother(t)
	traffic := startTraffic(t, p, 4)

	for _, name := range []string{"discharge-hub", "community-pickup", "light-touch-assessment", "reablement-capacity", "nats", "postgres"} {
		traffic.flow(t)
		part := p.Part(name)
		starts := part.Starts()
		if err := part.Kill(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" is started again", func() error {
			if part.Starts() == starts {
				return errors.New("it is down")
			}
			return nil
		})
		p.ready(t)
	}
	traffic.flow(t)
	p.wipeJetStream(t)
	p.ready(t)
	traffic.flow(t)
	traffic.stop(t)
	if traffic.resent.Load() == 0 {
		t.Error("no sender felt anything: nothing was broken")
	}
	eventually(t, "everything that was acknowledged is delivered", func() error { return traffic.check(t, p) })

	// Discharges that happen while community-pickup is down, and whose events are gone when it comes back.
	if err := p.Part("community-pickup").Stop(); err != nil {
		t.Fatal(err)
	}
	traffic = traffic.resume(t, p)
	traffic.flow(t)
	traffic.stop(t)
	p.wipeJetStream(t)
	p.Part("community-pickup").Start()
	p.ready(t)
	eventually(t, "what was missed is delivered", func() error { return traffic.check(t, p) })

	traffic.checkNothingElse(t, p)
	if err := p.findNoIdentifiers(traffic.people); err != nil { // errors are what leaks first
		t.Error(err)
	}
}

// ready waits until every part answers.
func (p *platform) ready(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for _, part := range p.Parts() {
		if err := part.Ready(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// wipeJetStream kills NATS and deletes its store before it runs again.
func (p *platform) wipeJetStream(t *testing.T) {
	t.Helper()
	part := p.Part("nats")
	if err := errors.Join(part.Kill(syscall.SIGKILL), part.Stop(), os.RemoveAll(p.NATSDir())); err != nil {
		t.Fatal(err)
	}
	part.Start()
}

// expected is what the oracle, which knows nothing of the rules' code, says of a spell.
type expected struct {
	team, due              string
	assessment, reablement bool
}

// traffic is hospitals that send and hub staff who ask, until they are stopped.
type traffic struct {
	cancel   context.CancelFunc
	senders  sync.WaitGroup
	accepted atomic.Int64
	resent   atomic.Int64
	failed   chan error

	people *people // whom the messages are about
	mu     sync.Mutex
	want   map[string]expected // of acknowledged discharges, by visit number
	sent   int                 // visits begun
}

// homes pairs practices with the team that they belong to, by the published list of networks.
var homes = []struct{ practice, postcode, team string }{
	{"F81155", "RM17 5QQ", "CLS-GRAYS"}, {"F81010", "RM15 4QQ", "CLS-ASOP"}, {"F81153", "SS17 0QQ", "CLS-SLH"}, {"F81110", "RM18 8QQ", "CLS-TC"},
}

func startTraffic(t *testing.T, p *platform, connections int) *traffic {
	t.Helper()
	return (&traffic{people: newPeople(), want: map[string]expected{}}).begin(t, p, connections)
}

// resume sends on with what was expected before.
func (tr *traffic) resume(t *testing.T, p *platform) *traffic {
	t.Helper()
	return (&traffic{people: tr.people, want: tr.want, sent: tr.sent}).begin(t, p, 2)
}

func (tr *traffic) begin(t *testing.T, p *platform, connections int) *traffic {
	ctx, cancel := context.WithCancel(t.Context())
	tr.cancel, tr.failed = cancel, make(chan error, connections)
	for range connections {
		tr.senders.Go(func() {
			if err := tr.send(ctx, p); err != nil && ctx.Err() == nil {
				tr.failed <- err
			}
		})
	}
	return tr
}

// send is one hospital's connection: it admits and discharges, and cancels every fifth discharge for another one.
func (tr *traffic) send(ctx context.Context, p *platform) error {
	s := &hospital.Sender{Addr: p.MLLP}
	defer s.Close()
	for ctx.Err() == nil {
		tr.mu.Lock()
		n := tr.sent
		tr.sent++
		tr.mu.Unlock()
		visit, messages, want := visitOf(n)
		for _, m := range messages {
			// What is begun is finished, as a hospital's queue would: only then is it expected.
			tr.people.addMessage(m)
			if err := s.SendUntilAccepted(context.WithoutCancel(ctx), m.Encode()); err != nil {
				return err
			}
			tr.accepted.Add(1)
		}
		tr.mu.Lock()
		tr.want[visit] = want
		tr.mu.Unlock()
		if n%7 == 0 {
			if err := tr.involve(ctx, p, visit); err != nil {
				return err
			}
		}
		time.Sleep(10 * time.Millisecond) // a busy hospital, not a benchmark
	}
	tr.resent.Add(int64(s.Resent))
	return nil
}

// visitOf is the nth visit: its messages, and what must become of it.
func visitOf(n int) (visit string, messages []hospital.Message, want expected) {
	home := homes[n%len(homes)]
	visit = fmt.Sprintf("LOST%05d", n)
	left := time.Date(2026, 3, 1+n%60, 9+n%9, n%60, 0, 0, london)
	at := func(d time.Duration) string { return left.Add(d).Format("20060102150405") }
	build := func(trigger, id string, recorded time.Duration, discharged string) hospital.Message {
		return hospital.Message{
			"MSH-3": "MSEPAS", "MSH-4": "RAJ", "MSH-7": at(recorded), "MSH-9": "ADT^" + trigger, "MSH-10": visit + id, "MSH-11": "P", "MSH-12": "2.4",
			"EVN-1": trigger, "EVN-2": at(recorded),
			"PID-3": fmt.Sprintf("QL%05d^^^RAJ^PI", n%20), "PID-5": "LOSTWITHIELLE^LANCELOTTA", "PID-7": "19330303",
			"PID-11": "33 OSPREYNEST ROAD^^THURROCK^ESSEX^" + home.postcode + "^GBR^H", "PD1-3": "^^" + home.practice,
			"PV1-2": "I", "PV1-19": visit, "PV1-36": "1", "PV1-37": "19", "PV1-44": at(-72 * time.Hour), "PV1-45": discharged,
		}
	}
	messages = []hospital.Message{build("A01", "A", -72*time.Hour, ""), build("A03", "B", 0, at(0))}
	last := left
	if n%5 == 0 {
		last = left.AddDate(0, 0, 3)
		messages = append(messages, build("A13", "C", time.Hour, ""), build("A03", "D", last.Sub(left), last.Format("20060102150405")))
	}
	return visit, messages, expected{team: home.team, due: last.AddDate(0, 0, 42).Format(time.DateOnly)}
}

// involve asks for an assessment and for reablement, again and again until both services have said yes.
func (tr *traffic) involve(ctx context.Context, p *platform, visit string) error {
	for ctx.Err() == nil {
		spells, err := query(ctx, p, "discharge-hub", pgx.RowTo[string], `SELECT spell_id::text FROM fact WHERE fact::json->>'visit_number' = $1 LIMIT 1`, visit)
		if err == nil && len(spells) == 1 {
			_, err = p.assessments.RequestAssessment(ctx, &assessmentv1.RequestAssessmentRequest{SpellId: spells[0]})
			if err == nil {
				_, err = p.reablement.RequestReablement(ctx, &reablementv1.RequestReablementRequest{SpellId: spells[0], Area: "CLS-GRAYS", VisitsPerDay: 1, WantedFrom: "2026-03-02"})
			}
			if err == nil {
				tr.mu.Lock()
				defer tr.mu.Unlock()
				w := tr.want[visit]
				w.assessment, w.reablement = true, true
				tr.want[visit] = w
				return nil
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// flow waits until so many more messages were accepted that every connection is in full swing.
func (tr *traffic) flow(t *testing.T) {
	t.Helper()
	goal := tr.accepted.Load() + 100
	eventually(t, "traffic flows", func() error {
		select {
		case err := <-tr.failed:
			t.Fatal(err)
		default:
		}
		if n := tr.accepted.Load(); n < goal {
			return fmt.Errorf("%d of %d messages accepted", n, goal)
		}
		return nil
	})
}

func (tr *traffic) stop(t *testing.T) {
	t.Helper()
	tr.cancel()
	tr.senders.Wait()
	t.Logf("%d messages accepted, %d sent again", tr.accepted.Load(), tr.resent.Load())
}

// check compares every acknowledged visit with the task that community-pickup holds and that the hub knows to be delivered.
func (tr *traffic) check(t *testing.T, p *platform) error {
	t.Helper()
	if err := p.allDelivered(t.Context()); err != nil {
		return err
	}
	spells, err := tr.spells(t, p)
	if err != nil {
		return err
	}
	tasks := publishedTasks(t, p)
	for visit, want := range tr.want {
		task := tasks[spells[visit]]
		switch {
		case task == nil:
			return fmt.Errorf("visit %s: no task", visit)
		case task.GetOutcome() != pickupv1.Outcome_OUTCOME_PICK_UP_DUE || task.GetTeam() != want.team || task.GetDueOn() != want.due:
			return fmt.Errorf("visit %s: %s, %s, due %s; want %+v", visit, task.GetOutcome(), task.GetTeam(), task.GetDueOn(), want)
		case want.assessment && task.GetAssessmentStatus() == "", want.reablement && task.GetReablementStatus() == "":
			return fmt.Errorf("visit %s: assessment %q, reablement %q", visit, task.GetAssessmentStatus(), task.GetReablementStatus())
		}
	}
	return nil
}

// spells maps visit numbers to the spells that the hub made of them.
func (tr *traffic) spells(t *testing.T, p *platform) (map[string]string, error) {
	t.Helper()
	type pair struct{ Visit, Spell string }
	pairs, err := query(t.Context(), p, "discharge-hub", pgx.RowToStructByPos[pair], `
		SELECT DISTINCT fact::json->>'visit_number', spell_id::text FROM fact WHERE fact::json->>'visit_number' LIKE 'LOST%'`)
	spells := map[string]string{}
	for _, pair := range pairs {
		if spells[pair.Visit] != "" {
			return nil, fmt.Errorf("visit %s has two spells", pair.Visit)
		}
		spells[pair.Visit] = pair.Spell
	}
	return spells, err
}

// checkNothingElse says that there is no more than was acknowledged, and that nothing was buried.
func (tr *traffic) checkNothingElse(t *testing.T, p *platform) {
	t.Helper()
	spells, err := tr.spells(t, p)
	if err != nil {
		t.Fatal(err)
	}
	tasks := publishedTasks(t, p)
	if len(spells) != len(tr.want) || len(tasks) != len(tr.want) {
		t.Errorf("%d visits, %d spells, %d tasks", len(tr.want), len(spells), len(tasks))
	}
	for _, service := range stack.Services {
		buried, err := query(t.Context(), p, service.Name, pgx.RowTo[int], `SELECT count(*) FROM dead_letter`)
		if err != nil || buried[0] != 0 {
			t.Errorf("%s has %d dead letters: %v", service.Name, buried, err)
		}
	}
}

// allDelivered says whether the hub holds nothing that is not interpreted, or not confirmed by community-pickup at its version.
func (p *platform) allDelivered(ctx context.Context) error {
	open, err := query(ctx, p, "discharge-hub", pgx.RowTo[int], `
		SELECT (SELECT count(*) FROM inbound_pending) + (SELECT count(*) FROM spell s JOIN outbox o USING (id)
			WHERE (s.delivered_epoch, s.delivered_version) <> (o.epoch, o.version))`)
	if err != nil {
		return err
	}
	if open[0] != 0 {
		return fmt.Errorf("%d messages or spells are on the way", open[0])
	}
	return nil
}
