package dischargehub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/discharge-hub/mllp"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/failpoint"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/run"
	"github.com/homeward-care/homeward/services/kit/service"
)

// answerer sends a feed's answers to the hospital, one after another over a line of its own, until each is accepted. There is one for each
// feed, so that a receiver that is away holds up nobody else's.
type answerer struct {
	key    string // the feed's
	feeds  func() map[string]discharge.Feed
	makes  func(discharge.Feed) (Line, error)
	store  *store
	now    func() time.Time
	tracer trace.Tracer
	log    *slog.Logger

	feed discharge.Feed // as it is
	line Line           // to the receiver that it names; nil while there is none

	used     time.Time // when the line was
	failures int       // in a row, of the receiver
	refused  []int64   // ids of the answers that it answered AE in a row, each once
	rest     time.Time // nothing is sent before
	alarmed  time.Time // when it was last
}

const (
	answerPoll = time.Second
	// answerTimeout bounds one try. The lease is longer, so that no other replica sends what this one still waits for.
	answerTimeout = 30 * time.Second
	answerLease   = 45 * time.Second
	// An idle connection is closed before a receiver or a firewall forgets it.
	answerIdle = 30 * time.Second
	answerRest = time.Minute // between tries while the receiver is away, at most
	maxSaid    = 500         // bytes of what a receiver said that are kept
	// So many different answers that are answered AE in a row, and none accepted between, are the receiver's trouble and not theirs.
	busyAfter = 3
)

// answering runs an answerer for each feed whose file says where its answers go, also for those that come later.
type answering struct {
	clients *roster
	each    answerer // but for its key
}

// AnswerWards sends the ward's answers, each feed's over the line that is made for it.
func (h *Hub) AnswerWards(svc *service.Service, line func(discharge.Feed) (Line, error)) error {
	a := h.answering(svc, line)
	for _, key := range a.clients.get().answered {
		if _, err := line(a.clients.feeds()[key]); err != nil {
			return fmt.Errorf("answers of feed %s: %w", key, err)
		}
	}
	svc.Go(a.Run)
	return nil
}

// StepAnswers is AnswerWards where every worker is stepped: of the feeds that there are.
func (h *Hub) StepAnswers(svc *service.Service, line func(discharge.Feed) (Line, error)) {
	a := h.answering(svc, line)
	for _, key := range a.clients.get().answered {
		loop := a.loop(key)
		svc.Loop(loop.Name, loop.Step, loop.Poll, nil)
	}
}

func (h *Hub) answering(svc *service.Service, line func(discharge.Feed) (Line, error)) answering {
	return answering{h.clients, answerer{feeds: h.clients.feeds, makes: line, store: h.store, now: svc.Now, tracer: svc.TracerFor("discharge-hub"), log: svc.Log}}
}

// loop answers one feed.
func (a answering) loop(key string) run.Loop {
	one := a.each
	one.key = key
	return run.Loop{Name: "answer " + key, Step: one.Step, Poll: answerPoll, Log: one.log}
}

// Run answers until ctx ends.
func (a answering) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	defer loops.Wait()
	begun := map[string]bool{}
	for {
		for _, key := range a.clients.get().answered {
			if !begun[key] {
				begun[key] = true
				loop := a.loop(key)
				loops.Go(func() { _ = loop.Run(ctx) })
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.clients.answers:
		}
	}
}

// ready makes the line to the receiver that the feed's file names; false while it names none.
func (a *answerer) ready() (bool, error) {
	feed := a.feeds()[a.key]
	if a.line != nil && (feed.Answers == nil || *feed.Answers != *a.feed.Answers) {
		a.line.HangUp()
		a.line, a.failures, a.refused, a.rest = nil, 0, nil, time.Time{}
	}
	if feed.Answers == nil {
		return false, nil
	}
	a.feed = feed
	if a.line != nil {
		return true, nil
	}
	line, err := a.makes(feed)
	if err != nil {
		return false, err
	}
	a.line = line
	return true, nil
}

// Line carries HL7 messages to a hospital's receiver, one at a time; see mllp.Line.
type Line interface {
	Exchange(ctx context.Context, message []byte) (answer []byte, err error)
	HangUp()
}

// line makes the line to a feed's receiver.
func (c Config) line(log *slog.Logger) func(discharge.Feed) (Line, error) {
	ours, missing := c.identity(log)
	return func(f discharge.Feed) (Line, error) {
		if !f.Answers.TLS {
			return mllp.NewLine(f.Answers.Addr, "", nil)
		}
		if missing != nil {
			return nil, missing
		}
		return mllp.NewLine(f.Answers.Addr, f.Answers.ServerName, ours)
	}
}

// attempt is what came of sending an answer.
type attempt struct {
	code hl7.AckCode // MSA-1; empty when there was no answer
	said string      // MSA-3, or the error
}

func (a attempt) accepted() bool {
	return a.code == hl7.Accept || a.code == hl7.CommitAccept || failpoint.Bug("unaccepted-answer-passes")
}
func (a attempt) rejected() bool { return a.code == hl7.Reject || a.code == hl7.CommitReject }

// wait is when to try again after so many tries.
func (a attempt) wait(tries int) time.Duration {
	if a.rejected() {
		return discharge.AfterReject
	}
	return discharge.Retry(tries)
}

// Step sends one answer, if one is due.
func (a *answerer) Step(ctx context.Context) (bool, error) {
	if there, err := a.ready(); !there {
		return false, err
	}
	now := a.now()
	if now.Before(a.rest) && a.rest.Sub(now) <= answerRest { // a clock that was set back must not stretch the rest
		return false, nil
	}
	var next *queuedAnswer
	err := failpoint.Do(ctx, "answer.claim", func() (err error) {
		next, err = a.store.claimAnswer(ctx, a.feed.Key, now, now.Add(answerLease))
		return err
	})
	if errors.Is(err, pg.ErrNothing) {
		if now.Sub(a.used) > answerIdle {
			a.line.HangUp()
		}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	o := a.send(ctx, next)
	a.used = a.now()
	a.mind(next, o)
	a.tell(ctx, next, o)
	return true, failpoint.Do(ctx, "answer.record", func() error { return a.store.recordAttempt(ctx, next, a.used, o) })
}

// mind lets the receiver rest when it is away or busy: AE is about one answer, until it is given to one after another.
func (a *answerer) mind(next *queuedAnswer, o attempt) {
	if o.accepted() || o.rejected() {
		a.failures, a.refused = 0, nil
		return
	}
	if o.code != "" && len(a.refused) < busyAfter {
		if !slices.Contains(a.refused, next.id) {
			a.refused = append(a.refused, next.id)
		}
		if len(a.refused) < busyAfter {
			return
		}
	}
	a.failures++
	a.rest = a.used.Add(min(discharge.Retry(a.failures), answerRest))
}

// tell logs what a person should know of: the first failure of a row, or of an answer, a rejection, and an alarm while answers are late.
func (a *answerer) tell(ctx context.Context, next *queuedAnswer, o attempt) {
	attrs := []any{"feed", a.feed.Key, "reference", discharge.Reference(next.SpellID), "word", next.Word, "answer", o.code, "tries", next.tries}
	switch late := a.used.Sub(next.recordedAt); {
	case o.accepted():
	case o.rejected():
		a.log.ErrorContext(ctx, "alarm: the hospital rejects an answer; it is an exception, and tried again every hour", attrs...)
	case late >= alarmAfter && a.used.Sub(a.alarmed) >= alarmAfter:
		a.alarmed = a.used
		a.log.ErrorContext(ctx, "alarm: the ward's answers are not accepted; see that the hospital's receiver runs", append(attrs, "since", next.recordedAt)...)
	case a.failures == 1 || next.tries == 1:
		a.log.WarnContext(ctx, "answer not accepted, will retry", attrs...)
	}
}

// send sends one answer and waits for what the receiver says to it.
func (a *answerer) send(ctx context.Context, next *queuedAnswer) attempt {
	ctx, span := a.tracer.Start(trace.ContextWithRemoteSpanContext(ctx, event.ParseTraceparent(next.traceparent)), "answer "+string(next.Word),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			attribute.String("homeward.feed", a.feed.Key), attribute.String("homeward.spell.id", next.SpellID),
			attribute.String("homeward.reference", discharge.Reference(next.SpellID))))
	defer span.End()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var o attempt
	err := failpoint.Do(ctx, "answer.send", func() (err error) { o, err = a.exchange(ctx, next); return err })
	if err != nil {
		a.line.HangUp()
		o.said = err.Error()
	}
	if !o.accepted() {
		span.SetStatus(codes.Error, "not accepted")
	}
	o.said = o.said[:min(len(o.said), maxSaid)]
	o.said = storedControlID(o.said) // PostgreSQL's text holds no NUL and nothing but UTF-8
	return o
}

func (a *answerer) exchange(ctx context.Context, next *queuedAnswer) (attempt, error) {
	raw, err := a.line.Exchange(ctx, next.Message(a.feed))
	if err != nil {
		return attempt{}, err
	}
	ack, err := hl7.Parse(raw)
	if err != nil {
		return attempt{}, fmt.Errorf("the answer is no HL7: %w", err)
	}
	if id := ack.Get("MSA-2").Text(); id != next.ControlID() {
		return attempt{}, errors.New("the answer is to another message: MSA-2 is not our MSH-10")
	}
	o := attempt{code: hl7.AckCode(ack.Get("MSA-1").Text()), said: ack.Get("MSA-3").Text()}
	switch o.code {
	case hl7.Accept, hl7.CommitAccept, hl7.Error, hl7.CommitError, hl7.Reject, hl7.CommitReject:
		return o, nil
	}
	return attempt{}, errors.New("the answer says neither yes nor no: MSA-1 is none of AA, AE, AR, CA, CE, CR")
}
