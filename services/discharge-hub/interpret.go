package dischargehub

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/outbox"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/run"
)

// interpreter reads stored messages in batches: it appends what they say to the facts of their spells, folds, and saves state, outbox and
// exceptions in one transaction.
type interpreter struct {
	store  *store
	feeds  map[string]discharge.Feed
	now    func() time.Time
	tracer trace.Tracer
	saved  run.Wake
	log    *slog.Logger

	anyHeld *bool // spells were held after a restore when it began; nil before it has looked
}

const interpretBatch = 256

// hubOwner owns what a person in the hub has to look at.
const hubOwner = "hub"

// reading is one pending message and what became of it.
type reading struct {
	pendingMessage
	discharge.Reading
	spell uuid.UUID // of a usable fact
	span  trace.Span
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
	return len(claimed) == interpretBatch, nil
}

// setAside makes an exception of a message that cannot be interpreted.
func (in *interpreter) setAside(ctx context.Context, m pendingMessage, cause error) error {
	in.log.ErrorContext(ctx, "message set aside: its content cannot be stored", "message", m.ID, "feed", m.Feed)
	return in.store.db.InTx(ctx, "set-aside", func(tx pgx.Tx) error {
		if err := dropPending(ctx, tx, m.ID); err != nil {
			return err
		}
		return openExceptions(ctx, tx, in.now(), []newException{{kind: "unreadable-message", inboundID: m.ID,
			detail: "message: its content cannot be stored: " + cause.Error() + ". Ask the sender to mend the message and to send it again"}})
	})
}

// interpret does one batch of at most limit messages and returns those.
func (in *interpreter) interpret(ctx context.Context, limit int) (claimed []pendingMessage, err error) {
	var spans []trace.Span
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
		return in.apply(ctx, tx, readings)
	})
	return claimed, err
}

// startSpan starts the span of one message below the span that stored it. The first of a batch is the parent of the batch's SQL; the
// others are linked with it.
func (in *interpreter) startSpan(ctx context.Context, r *reading, earlier []trace.Span) trace.Span {
	opts := []trace.SpanStartOption{trace.WithAttributes(attribute.String("homeward.feed", r.Feed))}
	if r.Usable {
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
	feed, known := in.feeds[p.Feed]
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
		return unreadable("message", "it cannot be read: "+err.Error(), "Ask the sender to mend the message and to send it again")
	}
	return r
}

func unreadable(where, found, do string) discharge.Reading {
	return discharge.Reading{Problems: []discharge.Problem{{Kind: "unreadable-message", Where: where, Found: found, Do: do}}}
}

// apply appends the facts of a batch, folds every spell that they touch and saves what changed.
func (in *interpreter) apply(ctx context.Context, tx pgx.Tx, readings []*reading) error {
	now := in.now()
	var usable []*reading
	var exceptions []newException
	for _, r := range readings {
		var spell *uuid.UUID
		if r.Usable {
			id, err := uuid.Parse(r.Fact.SpellID)
			if err != nil {
				return fmt.Errorf("spell id of message %d: %w", r.ID, err)
			}
			r.spell, spell = id, &id
			usable = append(usable, r)
		}
		for _, p := range r.Problems {
			exceptions = append(exceptions, newException{kind: p.Kind, inboundID: r.ID, spell: spell, detail: p.String()})
		}
	}
	if err := insertNotHandled(ctx, tx, readings); err != nil {
		return err
	}
	if len(usable) > 0 {
		more, err := in.fold(ctx, tx, now, usable)
		if err != nil {
			return err
		}
		exceptions = append(exceptions, more...)
	}
	return openExceptions(ctx, tx, now, exceptions)
}

// fold brings the spells of the readings to their new states. It returns the exceptions that lie in the contradictions between facts.
func (in *interpreter) fold(ctx context.Context, tx pgx.Tx, now time.Time, usable []*reading) ([]newException, error) {
	newest := map[uuid.UUID]*reading{}
	for _, r := range usable {
		newest[r.spell] = r
	}
	spells, err := lockSpells(ctx, tx, usable)
	if err != nil {
		return nil, err
	}
	facts, err := factsOf(ctx, tx, spells)
	if err != nil {
		return nil, err
	}
	if err := insertFacts(ctx, tx, usable); err != nil {
		return nil, err
	}
	for _, r := range usable {
		facts[r.spell] = append(facts[r.spell], storedFact{r.ID, r.Fact})
	}
	published, err := outbox.Current(ctx, tx, spells)
	if err != nil {
		return nil, err
	}
	held, err := in.heldSpells(ctx, tx, spells, facts)
	if err != nil {
		return nil, err
	}
	var changed []event.Event
	var exceptions []newException
	people := make(map[uuid.UUID][]byte, len(spells))
	for _, id := range spells {
		state := discharge.Fold(factList(facts[id]))
		spell, occurred, publish := state.Spell, state.Recorded, true
		if h, is := held[id]; is {
			if spell, publish = h.Meanwhile(); h.Recorded.After(occurred) {
				occurred = h.Recorded
			}
		}
		data, err := marshalSpell(spell)
		if err != nil {
			return nil, err
		}
		if people[id], err = json.Marshal(state.Person); err != nil {
			return nil, err
		}
		exceptions = append(exceptions, contradictions(id, state, facts[id])...)
		if !publish || slices.Equal(published[id], data) {
			continue
		}
		r := newest[id]
		e := event.Event{Type: SpellType, ID: id, Key: id, OccurredAt: occurred, Trace: r.Trace, Data: data}
		if r.span != nil {
			e.Trace = r.span.SpanContext()
		}
		changed = append(changed, e)
	}
	if _, err := outbox.Save(ctx, tx, now, changed); err != nil {
		return nil, err
	}
	if err := in.store.teller.tell(ctx, tx, now, spells); err != nil {
		return nil, err
	}
	shared, err := sharedStays(ctx, tx, usable)
	if err != nil {
		return nil, err
	}
	exceptions = append(exceptions, shared...)
	if err := closeSettled(ctx, tx, now, spells, exceptions); err != nil {
		return nil, err
	}
	return exceptions, savePeople(ctx, tx, people)
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
	}
	return list
}
