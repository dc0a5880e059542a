package dischargehub

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/failpoint"
	"github.com/homeward-care/homeward/services/kit/outbox"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/run"
)

// interpreter reads stored messages in batches: it appends what they say to the facts of their spells, folds, and saves state, outbox and
// exceptions in one transaction.
type interpreter struct {
	store  *store
	feeds  func() map[string]discharge.Feed
	now    func() time.Time
	tracer trace.Tracer
	saved  run.Wake
	log    *slog.Logger

	people  run.Wake             // raised when there is something to tell spells of their people
	anyHeld atomic.Pointer[bool] // spells were held after a restore when it began; nil before it has looked
}

const interpretBatch = 256

// hubOwner owns what a person in the hub has to look at.
const hubOwner = "hub"

// reading is one pending message and what became of it.
type reading struct {
	pendingMessage
	discharge.Reading
	span trace.Span
	// left are the facts whose place this reading takes: of the message that it corrects, or of the same message read before.
	left []discharge.Fact
}

// saidFact is what a message says about a spell.
type saidFact struct {
	*reading
	fact  discharge.Fact
	spell uuid.UUID
}

// Step interprets one batch. When a batch is refused for its data, its messages are tried one by one, so that a bad one holds up none.
func (in *interpreter) Step(ctx context.Context) (bool, error) {
	claimed, err := in.interpret(ctx, interpretBatch)
	for i := 0; pg.IsData(err) && i < interpretBatch; i++ {
		if claimed, err = in.interpret(ctx, 1); pg.IsData(err) {
			err = in.setAside(ctx, claimed[0], err)
		}
	}
	if err != nil {
		return false, fmt.Errorf("interpret messages: %w", err)
	}
	if len(claimed) > 0 {
		in.saved.Raise()
	}
	bytes := 0
	for _, m := range claimed {
		bytes += len(m.Body)
	}
	return len(claimed) == interpretBatch || bytes >= batchBytes, nil
}

// setAside makes an exception of a message that cannot be interpreted.
func (in *interpreter) setAside(ctx context.Context, m pendingMessage, cause error) error {
	in.log.ErrorContext(ctx, "message set aside: its content cannot be stored", "message", m.ID, "feed", m.Feed)
	return in.store.db.InTx(ctx, "set-aside", func(tx pgx.Tx) error {
		if err := dropPending(ctx, tx, m.ID); err != nil {
			return err
		}
		return openExceptions(ctx, tx, in.now(), []newException{{kind: discharge.Unreadable, inboundID: m.ID,
			detail: "message: its content cannot be stored: " + cause.Error() + ". Ask the sender to mend the message and to send it again"}})
	})
}

// interpret does one batch of at most limit messages and returns those.
func (in *interpreter) interpret(ctx context.Context, limit int) (claimed []pendingMessage, err error) {
	var spans []trace.Span
	var ofPeople bool
	defer func() {
		for _, s := range spans {
			s.End()
		}
	}()
	err = in.store.db.InTx(ctx, "interpret", func(tx pgx.Tx) error {
		if claimed, err = claimPending(ctx, tx, limit); err != nil {
			return err
		}
		if len(claimed) == 0 {
			return pg.ErrNothing
		}
		readings := make([]*reading, len(claimed))
		for i, p := range claimed {
			r := &reading{pendingMessage: p, Reading: in.read(p)}
			if p.Trace.IsSampled() {
				r.span = in.startSpan(ctx, r, spans)
				if len(spans) == 0 {
					ctx = trace.ContextWithSpan(ctx, r.span)
				}
				spans = append(spans, r.span)
			}
			readings[i] = r
		}
		ofPeople = slices.ContainsFunc(readings, func(r *reading) bool { return r.Usable && r.Fact.Kind.OfPerson() })
		return in.apply(ctx, tx, readings)
	})
	if ofPeople && err == nil {
		in.people.Raise()
	}
	return claimed, err
}

// startSpan starts the span of one message below the span that stored it. The first of a batch is the parent of the batch's SQL; the
// others are linked with it.
func (in *interpreter) startSpan(ctx context.Context, r *reading, earlier []trace.Span) trace.Span {
	opts := []trace.SpanStartOption{trace.WithAttributes(attribute.String("homeward.feed", r.Feed))}
	if r.Usable && r.Fact.SpellID != "" {
		opts = append(opts, trace.WithAttributes(
			attribute.String("homeward.spell.id", r.Fact.SpellID),
			attribute.String("homeward.reference", discharge.Reference(r.Fact.SpellID)),
		))
	}
	if len(earlier) > 0 {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: earlier[0].SpanContext()}))
	}
	_, span := in.tracer.Start(trace.ContextWithRemoteSpanContext(ctx, r.Trace), "interpret message", opts...)
	return span
}

// read interprets one message. It never fails: what cannot be read is a problem with an owner.
func (in *interpreter) read(p pendingMessage) discharge.Reading {
	feed, known := in.feeds()[p.Feed]
	if !known {
		return unreadable("MSH-4", "the feed "+p.Feed+" was configured when this message came and is not any more",
			"Configure the feed again and replay the message")
	}
	var r discharge.Reading
	var err error
	switch p.Format {
	case formatRecordEvent:
		r, err = readRecordEvent(feed, p.Body)
	case formatFHIR:
		r, err = fhir.Stored(feed, p.Body)
	default:
		r, err = discharge.FromHL7(feed, p.Body)
	}
	if err != nil {
		return unreadable(discharge.WholeMessage, "it cannot be read: "+err.Error(), "Ask the sender to mend the message and to send it again")
	}
	return r.Received(p.ReceivedAt)
}

func unreadable(where, found, do string) discharge.Reading {
	return discharge.Reading{Problems: []discharge.Problem{{Kind: discharge.Unreadable, Where: where, Found: found, Do: do}}}
}

// apply stores what the messages of a batch say, folds every spell that they are about and saves what changed.
func (in *interpreter) apply(ctx context.Context, tx pgx.Tx, readings []*reading) error {
	now := in.now()
	var said []saidFact
	var told []personFact
	var exceptions []newException
	for _, r := range readings {
		var spell *uuid.UUID
		for part, f := range r.facts() {
			if f.Kind.OfPerson() {
				told = append(told, personFact{r.ID, part, f})
				continue
			}
			id, err := uuid.Parse(f.SpellID)
			if err != nil {
				return fmt.Errorf("spell id of message %d: %w", r.ID, err)
			}
			said = append(said, saidFact{r, f, id})
			if spell == nil {
				spell = &id
			}
		}
		for _, p := range r.Problems {
			exceptions = append(exceptions, newException{kind: p.Kind, inboundID: r.ID, spell: spell, detail: p.String()})
		}
	}
	if err := insertNotHandled(ctx, tx, readings); err != nil {
		return err
	}
	if err := insertPersonFacts(ctx, tx, told); err != nil {
		return err
	}
	left, err := leftFacts(ctx, tx, readings)
	if err != nil {
		return err
	}
	if len(said)+len(left) > 0 {
		more, err := in.fold(ctx, tx, now, said, left)
		if err != nil {
			return err
		}
		exceptions = append(exceptions, more...)
	}
	return openExceptions(ctx, tx, now, exceptions)
}

// facts are all that a message says.
func (r *reading) facts() []discharge.Fact {
	if !r.Usable {
		return nil
	}
	return append([]discharge.Fact{r.Fact}, r.Also...)
}

// fold brings the spells of what is said, and those that lose a fact to it, to their new states. It returns the exceptions that lie in the
// contradictions between facts.
func (in *interpreter) fold(ctx context.Context, tx pgx.Tx, now time.Time, said, left []saidFact) ([]newException, error) {
	cause := map[uuid.UUID]trace.SpanContext{}
	for _, s := range slices.Concat(left, said) {
		cause[s.spell] = s.Trace
		if s.span != nil {
			cause[s.spell] = s.span.SpanContext()
		}
	}
	spells, err := lockSpells(ctx, tx, said, left)
	if err != nil {
		return nil, err
	}
	if err := supersede(ctx, tx, left); err != nil {
		return nil, err
	}
	own, err := factsOf(ctx, tx, spells)
	if err != nil {
		return nil, err
	}
	if err := insertFacts(ctx, tx, said); err != nil {
		return nil, err
	}
	for _, s := range said {
		own[s.spell] = append(own[s.spell], storedFact{s.ID, s.fact})
	}
	exceptions, facts, err := in.settle(ctx, tx, now, spells, own, left, cause)
	if err != nil {
		return nil, err
	}
	var shared []newException
	var more []string
	if len(left) > 0 { // with a fact that is left goes the stay that it told
		more = append(more, discharge.TwoKeysOneStay)
		shared, err = refoldStays(ctx, tx, now, spells, own, facts)
	} else {
		shared, err = sharedStays(ctx, tx, staysOf(said, own, facts))
	}
	if err != nil {
		return nil, err
	}
	exceptions = append(exceptions, shared...)
	return exceptions, closeSettled(ctx, tx, now, spells, exceptions, more...)
}

// staysOf returns the stays that messages are about, by what is told of their people behind the spells' own facts.
func staysOf(said []saidFact, own, facts map[uuid.UUID][]storedFact) (stays []spellStay) {
	for _, s := range said {
		for _, key := range discharge.StayKeys(s.fact, factList(facts[s.spell][len(own[s.spell]):])) {
			stays = append(stays, spellStay{key, s.spell, s.ID})
		}
	}
	return stays
}

// settle folds spells from all their facts, which it returns with what is told of their people, and saves what is different. Left is what
// spells have just lost, and cause the trace of what made the difference.
func (in *interpreter) settle(ctx context.Context, tx pgx.Tx, now time.Time, spells []uuid.UUID, own map[uuid.UUID][]storedFact,
	left []saidFact, cause map[uuid.UUID]trace.SpanContext,
) ([]newException, map[uuid.UUID][]storedFact, error) {
	withdrawn, err := withdrawnFacts(ctx, tx, spells, own, left)
	if err != nil {
		return nil, nil, err
	}
	facts, err := withPeople(ctx, tx, own)
	if err != nil {
		return nil, nil, err
	}
	published, err := outbox.Current(ctx, tx, spells)
	if err != nil {
		return nil, nil, err
	}
	held, err := in.heldSpells(ctx, tx, spells, facts)
	if err != nil {
		return nil, nil, err
	}
	var changed []event.Event
	var unchanged []uuid.UUID
	var exceptions []newException
	persons := make(map[uuid.UUID][]byte, len(spells))
	for _, id := range spells {
		state := discharge.Fold(factList(facts[id]))
		if lost, gone := withdrawn[id]; gone {
			state = discharge.Withdrawn(lost)
		}
		spell, occurred, publish := state.Spell, state.Recorded, true
		if h, is := held[id]; is {
			if spell, publish = h.Meanwhile(); h.Recorded.After(occurred) {
				occurred = h.Recorded
			}
		}
		data, err := marshalSpell(spell)
		if err != nil {
			return nil, nil, err
		}
		if persons[id], err = json.Marshal(state.Person); err != nil {
			return nil, nil, err
		}
		exceptions = append(exceptions, contradictions(id, state, own[id])...)
		switch known := slices.Equal(published[id], data); {
		case publish && known:
			unchanged = append(unchanged, id)
		case publish:
			changed = append(changed, event.Event{Type: SpellType, ID: id, Key: id, OccurredAt: occurred, Trace: cause[id], Data: data})
		}
	}
	saved, err := outbox.Save(ctx, tx, now, changed)
	if err != nil {
		return nil, nil, err
	}
	answered := in.store.answeredFeeds()
	if err := answerReceived(ctx, tx, now, answered, saved, own); err != nil {
		return nil, nil, err
	}
	if err := answerFirst(ctx, tx, now, answered, unchanged, own, cause); err != nil {
		return nil, nil, err
	}
	if err := in.store.teller.tell(ctx, tx, now, spells); err != nil {
		return nil, nil, err
	}
	return exceptions, facts, savePersons(ctx, tx, persons)
}

// contradictions returns the exceptions of a fold. One about other people's messages is on each of those; any other is the spell's, open as
// long as the fold tells it, and on the newest message.
func contradictions(spell uuid.UUID, state discharge.State, facts []storedFact) []newException {
	var out []newException
	for _, p := range state.Problems {
		if p.Kind != discharge.VisitNumberReused {
			out = append(out, newException{kind: p.Kind, inboundID: facts[len(facts)-1].InboundID, spell: &spell, oncePerSpell: true, detail: p.String()})
			continue
		}
		for _, f := range facts {
			if slices.Contains(state.LeftOut, f.Fact.Digest) {
				out = append(out, newException{kind: p.Kind, inboundID: f.InboundID, spell: &spell, detail: p.String()})
			}
		}
	}
	return out
}

func factList(stored []storedFact) []discharge.Fact {
	list := make([]discharge.Fact, len(stored))
	for i, f := range stored {
		list[i] = f.Fact
		if failpoint.Bug("fold-by-arrival") {
			list[i].Recorded = stored[0].Fact.Recorded.Add(time.Duration(i))
		}
	}
	return list
}
