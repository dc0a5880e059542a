package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/homeward-care/homeward/e2e/hospital"
	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
)

// TestJourneys sends what the transcripts say through the front door and compares every answer.
func TestJourneys(t *testing.T) {
	for _, tr := range readTranscripts(t) {
		t.Run(tr.name(), func(t *testing.T) {
			t.Parallel()
			got := tr
			got.lines = nil
			j := newJourney(t, shared)
			for _, l := range tr.lines {
				want := l.answer
				l.answer = j.do(l)
				got.lines = append(got.lines, l)
				if diff := cmp.Diff(want, l.answer); diff != "" && os.Getenv("UPDATE_GOLDEN") == "" {
					t.Errorf("%s: %s\nwant -, got +:\n%s", tr.file, l.text, diff)
				}
			}
			if os.Getenv("UPDATE_GOLDEN") != "" {
				got.write(t)
			}
		})
	}
}

// journey follows one transcript.
type journey struct {
	t        *testing.T
	p        *platform
	script   *script
	hospital *hospital.Connection
	sent     map[string]sent
	newest   string // control id
	asked    bool   // somebody asked for an assessment or reablement
}

func newJourney(t *testing.T, p *platform) *journey {
	t.Helper()
	h, err := hospital.Connect(p.MLLP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return &journey{t: t, p: p, script: newScript(""), hospital: h, sent: map[string]sent{}}
}

// do does what a line says and returns what was answered.
func (j *journey) do(l line) []string {
	j.t.Helper()
	if len(l.words) == 0 {
		return nil
	}
	args := l.words[1:]
	switch l.words[0] {
	case "send":
		return j.deliver(j.script.message(j.t, args))
	case "record":
		return j.deliver(j.script.event(j.t, args))
	case "again":
		return j.deliver(j.sent[args[0]])
	case "outcome":
		if len(args) == 1 {
			return j.outcome(args[0])
		}
		return j.outcome(j.newest)
	case "request-assessment":
		return j.requestAssessment()
	case "request-reablement":
		return j.requestReablement()
	case "take", "contact", "accept", "refuse":
		return j.work(l.words[0])
	}
	j.script.set(j.t, l.words)
	return nil
}

func (j *journey) deliver(s sent) []string {
	j.t.Helper()
	s.note()
	if s.event != nil {
		j.sent[s.controlID], j.newest = s, s.controlID
		if _, err := j.p.hub.RecordEvent(j.t.Context(), s.event); err != nil {
			j.t.Fatal(err)
		}
		return []string{"stored"}
	}
	code, text, err := j.hospital.Send(s.hl7)
	if err != nil {
		j.t.Fatal(err)
	}
	if code == "AA" {
		j.sent[s.controlID], j.newest = s, s.controlID
	}
	if text != "" {
		code += ": " + text
	}
	return []string{code}
}

// outcome waits until everything that was sent is delivered, and everything that was asked for is known to the task.
func (j *journey) outcome(controlID string) []string {
	j.t.Helper()
	for id := range j.sent {
		if _, _, err := j.p.handover(j.t.Context(), id); err != nil {
			j.t.Fatal(err)
		}
	}
	if j.asked {
		eventually(j.t, "the task shows assessment and reablement", j.tellsOfOthers)
	}
	text, err := j.p.outcome(j.t.Context(), controlID)
	if err != nil {
		j.t.Fatal(err)
	}
	return text
}

// tellsOfOthers compares the task with what the two other services hold.
func (j *journey) tellsOfOthers() error {
	spell := j.spell()
	task, err := j.p.task(j.t.Context(), spell)
	if err != nil {
		return err
	}
	if a, err := j.p.assessments.GetAssessment(j.t.Context(), &assessmentv1.GetAssessmentRequest{SpellId: spell}); err == nil {
		if is, want := task.GetTask().GetAssessmentStatus(), word(a.GetAssessment().GetStatus(), "STATUS_"); is != want {
			return fmt.Errorf("the task says %q and the assessment %q", is, want)
		}
	}
	if n, err := j.p.reablement.GetNeed(j.t.Context(), &reablementv1.GetNeedRequest{SpellId: spell}); err == nil {
		if is, want := task.GetTask().GetReablementStatus(), word(n.GetNeed().GetStatus(), "NEED_STATUS_"); is != want {
			return fmt.Errorf("the task says %q and reablement %q", is, want)
		}
	}
	return nil
}

func (j *journey) spell() string {
	j.t.Helper()
	h, none, err := j.p.handover(j.t.Context(), j.newest)
	if err != nil || h == nil {
		j.t.Fatalf("%s has no spell: %s %v", j.newest, none, err)
	}
	return h.GetSpellId()
}

// knownTo waits until a service has learned of the spell, so that its answer does not depend on which comes first.
func (j *journey) knownTo(service string) {
	j.t.Helper()
	spell := j.spell()
	eventually(j.t, service+" knows the spell", func() error {
		known, err := query(j.t.Context(), j.p, service, pgx.RowTo[int], `SELECT count(*) FROM inbox WHERE id = $1`, spell)
		if err == nil && known[0] == 0 {
			err = errPending
		}
		return err
	})
}

func (j *journey) requestAssessment() []string {
	j.t.Helper()
	j.asked = true
	j.knownTo("light-touch-assessment")
	resp, err := j.p.assessments.RequestAssessment(j.t.Context(), &assessmentv1.RequestAssessmentRequest{SpellId: j.spell()})
	if err != nil {
		j.t.Fatal(err)
	}
	return []string{word(resp.GetAssessment().GetStatus(), "STATUS_")}
}

func (j *journey) requestReablement() []string {
	j.t.Helper()
	j.asked = true
	j.knownTo("reablement-capacity")
	resp, err := j.p.reablement.RequestReablement(j.t.Context(), &reablementv1.RequestReablementRequest{
		SpellId: j.spell(), Area: "CLS-GRAYS", VisitsPerDay: 2, WantedFrom: "2026-09-03",
	})
	if err != nil {
		j.t.Fatal(err)
	}
	return []string{word(resp.GetNeed().GetStatus(), "NEED_STATUS_")}
}

// work is what somebody of the team that has the task does with it.
func (j *journey) work(command string) []string {
	j.t.Helper()
	j.outcome(j.newest)
	task, err := j.p.task(j.t.Context(), j.spell())
	if err != nil {
		j.t.Fatal(err)
	}
	id, version, team := task.GetTask().GetTaskId(), task.GetVersion(), task.GetTask().GetTeam()
	worker, manager := j.p.as(j.t, authn.CLSWorker, team), j.p.as(j.t, authn.CLSManager, team)
	switch command {
	case "take":
		_, err = worker.TakeTask(j.t.Context(), &pickupv1.TakeTaskRequest{TaskId: id, Version: version})
	case "contact":
		_, err = worker.RecordContact(j.t.Context(), &pickupv1.RecordContactRequest{
			TaskId: id, Version: version, Method: pickupv1.ContactMethod_CONTACT_METHOD_PHONE, TwoWay: true, At: timestamppb.New(time.Now()),
		})
	default:
		_, err = manager.DecideProposal(j.t.Context(), &pickupv1.DecideProposalRequest{TaskId: id, Version: version, Accept: command == "accept"})
	}
	switch {
	case status.Code(err) == codes.Aborted: // a deadline fired meanwhile: read it again, as the answer says
		return j.work(command)
	case err != nil:
		return []string{"refused: " + err.Error()}
	}
	return []string{"by " + team}
}
