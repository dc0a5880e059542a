package dischargehub

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/kit/outbox"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/restore"
	"github.com/homeward-care/homeward/services/kit/service"
)

// adoptSpells lets the snapshots that consumers hold stand in place of the facts that a restore lost: they are published as they are, and the
// spells are held until Replayed. Where only a newer version is known, consumers keep what they have.
func (s *store) adoptSpells(ctx context.Context, tx pgx.Tx, now time.Time, fresh []event.Event) error {
	n := len(fresh)
	ids, references, recorded, details := make([]uuid.UUID, n), make([]string, n), make([]time.Time, n), make([]string, n)
	var standing []event.Event
	for i, e := range fresh {
		if err := proto.Unmarshal(e.Data, &dischargev1.Spell{}); err != nil {
			return fmt.Errorf("%w: spell %s: %w", inbox.ErrPoison, e.ID, err)
		}
		ids[i], references[i], recorded[i], details[i] = e.ID, discharge.Reference(e.ID.String()), e.RecordedAt, discharge.FactsMissing.String()
		if len(e.Data) > 0 {
			standing = append(standing, e)
		}
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO spell (id, reference, received_at) SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[])
		ON CONFLICT (id) DO NOTHING`, ids, references, recorded); err != nil {
		return fmt.Errorf("adopt spells: %w", err)
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO held_spell (spell_id, since) SELECT id, (SELECT coalesce(max(id), 0) FROM inbound) FROM unnest($1::uuid[]) AS u (id)
		ON CONFLICT (spell_id) DO UPDATE SET since = excluded.since`, ids); err != nil {
		return fmt.Errorf("hold spells: %w", err)
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO exception (kind, spell_id, detail, owner, opened_at)
		SELECT $1, id, detail, $2, $3 FROM unnest($4::uuid[], $5::text[]) AS u (id, detail)
		WHERE NOT EXISTS (SELECT 1 FROM exception e WHERE e.spell_id = u.id AND e.kind = $1 AND e.closed_at IS NULL)`,
		discharge.FactsMissing.Kind, hubOwner, now, ids, details); err != nil {
		return fmt.Errorf("open exceptions: %w", err)
	}
	_, err := outbox.Save(ctx, tx, now, standing)
	return err
}

// heldSpells returns those of the spells that are held after a restore, with the facts that are known of them. It looks only if any was held
// when the interpreter began: the take-over alone holds spells, before.
func (in *interpreter) heldSpells(ctx context.Context, tx pgx.Tx, spells []uuid.UUID, facts map[uuid.UUID][]storedFact) (map[uuid.UUID]heldSpell, error) {
	if in.anyHeld.Load() == nil {
		var any bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM held_spell)`).Scan(&any); err != nil {
			return nil, fmt.Errorf("read held spells: %w", err)
		}
		in.anyHeld.Store(&any)
	}
	if !*in.anyHeld.Load() {
		return nil, nil
	}
	return readHeld(ctx, tx, spells, facts)
}

// heldSpell is a held spell with the snapshot that was taken over.
type heldSpell struct {
	discharge.Held
	snapshot event.Event
}

func readHeld(ctx context.Context, tx pgx.Tx, spells []uuid.UUID, facts map[uuid.UUID][]storedFact) (map[uuid.UUID]heldSpell, error) {
	rows, err := tx.Query(ctx, `
		SELECT h.spell_id, h.since, t.occurred_at, t.traceparent, t.data FROM held_spell h JOIN taken_over t ON t.id = h.spell_id
		WHERE h.spell_id = ANY($1)`, spells)
	if err != nil {
		return nil, fmt.Errorf("read held spells: %w", err)
	}
	held := make(map[uuid.UUID]heldSpell, len(spells))
	var id uuid.UUID
	var since int64
	var occurred time.Time
	var traceparent string
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &since, &occurred, &traceparent, &data}, func() error {
		h := heldSpell{snapshot: event.Event{ID: id, OccurredAt: occurred, Trace: event.ParseTraceparent(traceparent), Data: data}}
		h.Recorded = occurred
		if len(data) > 0 {
			var p dischargev1.Spell
			if err := proto.Unmarshal(data, &p); err != nil {
				return err
			}
			h.Spell = spellFromProto(&p)
		}
		for _, f := range facts[id] {
			if f.InboundID > since {
				h.Since = append(h.Since, f.Fact)
			} else {
				h.Before = append(h.Before, f.Fact)
			}
		}
		held[id] = h
		data = nil // the next row must not be read into the same bytes
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read held spells: %w", err)
	}
	return held, nil
}

// Missing is a spell whose facts are still older than the snapshot that was taken over.
type Missing struct {
	Spell     uuid.UUID
	Reference string
	// Recorded is when the hospital recorded the newest fact that is missing.
	Recorded time.Time
}

const replayBatch = 200

// Replayed closes the gap of a restore after the hospitals have sent again: each held spell is folded anew from its facts and published. It
// returns those that stay held, because facts are still missing; without any the gap is closed. It refuses while messages wait for
// interpretation, and before the take-over.
func Replayed(ctx context.Context, db *pg.DB, feeds []discharge.Feed, now time.Time) (missing []Missing, err error) {
	answered := answeredOf(feedsByKey(feeds))
	open, err := restore.Open(ctx, db)
	switch {
	case err != nil:
		return nil, err
	case len(open) == 0:
		return nil, fault.New(fault.Precondition, "no gap is open: no restore was declared, or its gap is closed")
	case open[0].TakenOverAt.IsZero():
		return nil, fault.New(fault.Precondition, "the take-over is still due: start the service, and let the hospitals send again first")
	}
	var pending int
	if err := db.Pool.QueryRow(ctx, `SELECT count(*) FROM inbound_pending`).Scan(&pending); err != nil {
		return nil, fmt.Errorf("count messages: %w", err)
	}
	if pending > 0 {
		return nil, fault.New(fault.Precondition, "%d messages wait for interpretation: let the service interpret them first", pending)
	}
	for after, more := uuid.Nil, true; more; {
		err := db.InTx(ctx, "replayed", func(tx pgx.Tx) error {
			ids, err := lockHeld(ctx, tx, after)
			if err != nil {
				return err
			}
			if more = len(ids) > 0; !more {
				if len(missing) > 0 {
					return nil
				}
				return restore.Close(ctx, tx, now)
			}
			after = ids[len(ids)-1]
			still, err := release(ctx, tx, now, answered, ids)
			missing = append(missing, still...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("close the gap: %w", err)
		}
	}
	return missing, nil
}

// lockHeld locks the next held spells, in the order of their ids as every fold does.
func lockHeld(ctx context.Context, tx pgx.Tx, after uuid.UUID) ([]uuid.UUID, error) {
	rows, err := tx.Query(ctx, `
		SELECT s.id FROM held_spell h JOIN spell s ON s.id = h.spell_id WHERE h.spell_id > $1 ORDER BY s.id LIMIT $2 FOR UPDATE OF s`, after, replayBatch)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

// release publishes what the facts of held spells amount to and holds them no more, those whose facts are complete.
func release(ctx context.Context, tx pgx.Tx, now time.Time, answered []string, ids []uuid.UUID) (missing []Missing, err error) {
	own, err := factsOf(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	facts, err := withPeople(ctx, tx, own)
	if err != nil {
		return nil, err
	}
	held, err := readHeld(ctx, tx, ids, facts)
	if err != nil {
		return nil, err
	}
	withdrawn, err := withdrawnFacts(ctx, tx, ids, own, nil)
	if err != nil {
		return nil, err
	}
	published, err := outbox.Current(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	var free []uuid.UUID
	var changed []event.Event
	var exceptions []newException
	for _, id := range ids {
		h := held[id]
		left, gone := withdrawn[id]
		if !gone && !h.Complete() {
			missing = append(missing, Missing{Spell: id, Reference: discharge.Reference(id.String()), Recorded: h.Recorded.UTC()})
			continue
		}
		free = append(free, id)
		state := discharge.Fold(factList(facts[id]))
		if gone {
			state = discharge.Withdrawn(left)
		}
		data, err := marshalSpell(state.Spell)
		if err != nil {
			return nil, err
		}
		exceptions = append(exceptions, contradictions(id, state, own[id])...)
		// What only consumers know in a later version is published in any case, to be newer than that.
		if h.Spell == nil || !bytes.Equal(published[id], data) {
			changed = append(changed, event.Event{Type: SpellType, ID: id, Key: id, OccurredAt: state.Recorded, Trace: h.snapshot.Trace, Data: data})
		}
	}
	saved, err := outbox.Save(ctx, tx, now, changed)
	if err != nil {
		return nil, err
	}
	if err := answerReceived(ctx, tx, now, answered, saved, own); err != nil {
		return nil, err
	}
	if err := answerFirst(ctx, tx, now, answered, free, own, nil); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM held_spell WHERE spell_id = ANY($1)`, free); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, `UPDATE exception SET closed_at = $3 WHERE spell_id = ANY($1) AND kind = $2 AND closed_at IS NULL`,
		free, discharge.FactsMissing.Kind, now); err != nil {
		return nil, err
	}
	if err := closeSettled(ctx, tx, now, free, exceptions); err != nil {
		return nil, err
	}
	return missing, openExceptions(ctx, tx, now, exceptions)
}

// ask says what each sender is to send again. Sending too much is harmless: the same bytes are one message.
func ask(feeds []discharge.Feed, r restore.Restore) []string {
	from, to := r.Gap()
	during := "recorded from " + from.UTC().Format(time.RFC3339) + " to " + to.UTC().Format(time.RFC3339)
	var lines []string
	for _, f := range feeds {
		if f.Door == discharge.DoorGRPC {
			lines = append(lines, "what came by feed "+f.Key+" and was "+during+" may be missing: whoever recorded it is to record it again")
		} else {
			lines = append(lines, "ask feed "+f.Key+" to send again everything "+during)
		}
	}
	return lines
}

// reportGap logs after the take-over what may be missing.
func reportGap(feeds []discharge.Feed, log *slog.Logger) func(context.Context, pgx.Tx, time.Time, restore.Restore) error {
	return func(ctx context.Context, _ pgx.Tx, _ time.Time, r restore.Restore) error {
		for _, line := range ask(feeds, r) {
			log.WarnContext(ctx, "after a restore: "+line+"; then run `discharge-hub replayed`")
		}
		return nil
	}
}

// gapHops tell in the story of every handover which messages may be missing.
func gapHops(ctx context.Context, db *pg.DB, feeds []discharge.Feed) ([]*opsv1.Hop, error) {
	open, err := restore.Open(ctx, db)
	if err != nil {
		return nil, err
	}
	var hops []*opsv1.Hop
	for _, r := range open {
		for _, line := range ask(feeds, r) {
			hops = append(hops, &opsv1.Hop{At: timestamppb.New(r.At), Service: "discharge-hub", Name: "database restored", State: line})
		}
	}
	return hops, nil
}

// Commands are what the hub's program does beside running it.
func Commands() []service.Command {
	return []service.Command{
		{Name: "restored", Help: service.RestoredHelp, Run: restored},
		{Name: "replayed", Help: "close the gap of a restore, after the hospitals have sent again", Run: replayed},
	}
}

func restored(ctx context.Context, db *pg.DB, now time.Time, out io.Writer) error {
	feeds, err := feedsFromEnv()
	if err != nil {
		return err
	}
	if err := service.Restored(ctx, db, now, out); err != nil {
		return err
	}
	open, err := restore.Open(ctx, db)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "When it runs:")
	for _, r := range slices.Backward(open) {
		for _, line := range ask(feeds, r) {
			fmt.Fprintln(out, " -", line)
		}
	}
	fmt.Fprintln(out, "When all that has come in: discharge-hub replayed")
	return nil
}

// feedsFromEnv are the feeds of the service that the environment configures.
func feedsFromEnv() ([]discharge.Feed, error) {
	env, err := service.FromEnv[struct {
		FeedsDir string `env:"FEEDS_DIR"`
	}]()
	if err != nil {
		return nil, err
	}
	return loadFeeds(env.FeedsDir)
}

func replayed(ctx context.Context, db *pg.DB, now time.Time, out io.Writer) error {
	feeds, err := feedsFromEnv()
	if err != nil {
		return err
	}
	missing, err := Replayed(ctx, db, feeds, now)
	if err != nil {
		return err
	}
	if len(missing) == 0 {
		fmt.Fprintln(out, "The gap is closed: every spell is what its messages say.")
		return nil
	}
	fmt.Fprintf(out, "%d spells are still known better by others than by their messages; what others know stands. Missing is, of each, at least the message recorded at:\n", len(missing))
	for _, m := range missing {
		fmt.Fprintf(out, "  %s  %s  spell %s\n", m.Recorded.Format(time.RFC3339), m.Reference, m.Spell)
	}
	fmt.Fprintln(out, "Have them sent or recorded again, then run this again.")
	return nil
}
