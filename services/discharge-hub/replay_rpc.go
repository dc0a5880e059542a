package dischargehub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/kit/audit"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/fault"
)

// ReplayMessage reads a stored message again.
func (s *server) ReplayMessage(ctx context.Context, req *dischargev1.ReplayMessageRequest) (*dischargev1.ReplayMessageResponse, error) {
	who, err := authn.From(ctx)
	if err != nil {
		return nil, err
	}
	id, err := s.messageToReplay(ctx, req)
	if err != nil {
		return nil, err
	}
	entry := audit.Entry{At: s.now(), Actor: who.Subject, Action: "message.replay",
		Record: uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "homeward message %d", id)),
		Detail: fmt.Sprintf("message=%d", id), Trace: trace.SpanContextFromContext(ctx)}
	done, err := s.interpreter.replay(ctx, id, req.GetDryRun(), entry)
	if err != nil {
		return nil, err
	}
	resp := &dischargev1.ReplayMessageResponse{MessageId: id, DryRun: req.GetDryRun(), Usable: done.Usable, Changes: done.changes}
	for _, p := range done.Problems {
		p = p.At(done.format.door())
		resp.Problems = append(resp.Problems, &dischargev1.MessageProblem{Kind: p.Kind, Path: p.Where, Found: p.Found, ToDo: p.Do})
	}
	for _, c := range resp.Changes {
		s.askForTask(ctx, c)
	}
	return resp, nil
}

func (s *server) messageToReplay(ctx context.Context, req *dischargev1.ReplayMessageRequest) (int64, error) {
	var id int64
	var err error
	switch key := req.GetKey().(type) {
	case *dischargev1.ReplayMessageRequest_MessageId:
		return key.MessageId, nil
	case *dischargev1.ReplayMessageRequest_ExceptionId:
		err = s.store.db.Pool.QueryRow(ctx, `SELECT coalesce(inbound_id, 0) FROM exception WHERE id = $1`, key.ExceptionId).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return 0, errNoException(key.ExceptionId)
		}
		if err == nil && id == 0 {
			return 0, fault.New(fault.Precondition, "exception %d is about no message", key.ExceptionId)
		}
	case *dischargev1.ReplayMessageRequest_ControlId:
		err = s.store.db.Pool.QueryRow(ctx, `SELECT id FROM inbound WHERE control_id = $1 ORDER BY accepted DESC, id DESC LIMIT 1`,
			storedControlID(key.ControlId)).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return 0, fault.New(fault.NotFound, "no message has this control id")
		}
	default:
		return 0, fault.Field("key", "is missing; give one of message_id, exception_id, control_id")
	}
	if err != nil {
		return 0, fmt.Errorf("find the message: %w", err)
	}
	return id, nil
}

// askForTask fills in what community-pickup holds and would decide. Where it cannot be asked, that stays empty: the spell's change is told
// all the same.
func (s *server) askForTask(ctx context.Context, c *dischargev1.SpellChange) {
	resp, err := s.pickup.PreviewTask(ctx, &pickupv1.PreviewTaskRequest{Spell: c.GetAfter()})
	if err != nil {
		return
	}
	c.TaskBefore, c.TaskAfter = taskOutcome(resp.GetBefore()), taskOutcome(resp.GetAfter())
}

func taskOutcome(t *pickupv1.Task) *dischargev1.TaskOutcome {
	if t == nil {
		return nil
	}
	return &dischargev1.TaskOutcome{Outcome: strings.TrimPrefix(t.GetOutcome().String(), "OUTCOME_"), Reason: t.GetReason(), Team: t.GetTeam(),
		DueOn: t.GetDueOn(), Priority: strings.TrimPrefix(t.GetPriority().String(), "PRIORITY_")}
}

const (
	previewDays     = 30
	defaultPreview  = 5000
	maxPreview      = 20_000
	maxChanges      = 500
	defaultSpells   = 500
	maxSpells       = 1000
	maxFeedFileSize = 1 << 20
)

// PreviewMapping reads a feed's stored messages by another mapping, beside the one of now, and compares what their spells would be.
func (s *server) PreviewMapping(ctx context.Context, req *dischargev1.PreviewMappingRequest) (*dischargev1.PreviewMappingResponse, error) {
	if len(req.GetFeedFile()) > maxFeedFileSize {
		return nil, fault.Field("feed_file", "is larger than %d bytes", maxFeedFileSize)
	}
	changed, err := discharge.ParseFeed("feed_file", []byte(req.GetFeedFile()))
	if err != nil {
		return nil, fault.Field("feed_file", "%v", err)
	}
	if _, known := s.feeds()[changed.Key]; !known {
		return nil, fault.Field("feed_file", "its key %s is no configured feed: a new one has no stored messages", changed.Key)
	}
	limit := int(req.GetLimit())
	if limit == 0 {
		limit = defaultPreview
	}
	if limit < 0 || limit > maxPreview {
		return nil, fault.Field("limit", "is %d; ask for 1 to %d", limit, maxPreview)
	}
	since := timeOr(req.GetSince(), s.now().AddDate(0, 0, -previewDays))
	resp := &dischargev1.PreviewMappingResponse{ProblemsBefore: map[string]int32{}, ProblemsAfter: map[string]int32{}}
	if err := s.preview(ctx, changed, since, limit, resp); err != nil {
		return nil, err
	}
	for _, c := range resp.Changes {
		s.askForTask(ctx, c)
	}
	return resp, nil
}

// preview reads every message twice and folds every spell twice; the facts of other feeds, and of messages before, are the same in both. What
// is told of people apart from a stay is left out of both.
func (s *server) preview(ctx context.Context, changed discharge.Feed, since time.Time, limit int, resp *dischargev1.PreviewMappingResponse) error {
	rows, err := s.store.db.Pool.Query(ctx, `
			SELECT i.id, i.feed, i.format, i.control_id, i.received_at, i.body FROM inbound i
			WHERE i.feed = $1 AND i.received_at >= $2 AND i.accepted AND NOT EXISTS (SELECT 1 FROM correction c WHERE c.supersedes = i.id)
			ORDER BY i.received_at, i.id LIMIT $3`, changed.Key, since, limit+1)
	if err != nil {
		return fmt.Errorf("read messages: %w", err)
	}
	messages, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m pendingMessage, err error) {
		err = row.Scan(&m.ID, &m.Feed, &m.Format, &m.ControlID, &m.ReceivedAt, &m.Body)
		return m, err
	})
	if err != nil {
		return fmt.Errorf("read messages: %w", err)
	}
	if resp.CutOff = len(messages) > limit; resp.CutOff {
		messages = messages[:limit]
	}
	resp.Messages = int32(len(messages))
	under := &interpreter{feeds: func() map[string]discharge.Feed { return map[string]discharge.Feed{changed.Key: changed} }}
	before, after := map[uuid.UUID][]discharge.Fact{}, map[uuid.UUID][]discharge.Fact{}
	var read []int64
	for _, m := range messages {
		read = append(read, m.ID)
		sortBySpell(s.interpreter.read(m), before, resp.ProblemsBefore)
		sortBySpell(under.read(m), after, resp.ProblemsAfter)
	}
	return s.store.compare(ctx, read, before, after, resp)
}

// sortBySpell sorts what a message says to its spell, and counts what is wrong with it.
func sortBySpell(r discharge.Reading, facts map[uuid.UUID][]discharge.Fact, problems map[string]int32) {
	for _, p := range r.Problems {
		problems[p.Kind]++
	}
	for _, f := range append([]discharge.Fact{r.Fact}, r.Also...) {
		if id, err := uuid.Parse(f.SpellID); err == nil && r.Usable && !f.Kind.OfPerson() {
			facts[id] = append(facts[id], f)
		}
	}
}

// compare folds what the messages say by either mapping, each with what others say of the same spells.
func (s *store) compare(ctx context.Context, read []int64, before, after map[uuid.UUID][]discharge.Fact, resp *dischargev1.PreviewMappingResponse) error {
	var ids []uuid.UUID
	for _, side := range []map[uuid.UUID][]discharge.Fact{before, after} {
		for id := range side {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	ids = slices.Compact(ids)
	resp.Spells = int32(len(ids))
	rows, err := s.db.Pool.Query(ctx, `SELECT spell_id, fact FROM fact WHERE spell_id = ANY($1) AND superseded_by IS NULL AND inbound_id <> ALL($2)`, ids, read)
	if err != nil {
		return fmt.Errorf("read facts: %w", err)
	}
	var id uuid.UUID
	var text []byte
	if _, err := pgx.ForEachRow(rows, []any{&id, &text}, func() error {
		var f discharge.Fact
		err := json.Unmarshal(text, &f)
		before[id], after[id] = append(before[id], f), append(after[id], f)
		return err
	}); err != nil {
		return fmt.Errorf("read facts: %w", err)
	}
	for _, id := range ids {
		was, would := discharge.Fold(before[id]).Spell, discharge.Fold(after[id]).Spell
		would.DataVersion = was.DataVersion // the version differs always
		c := &dischargev1.SpellChange{SpellId: id.String(), Reference: discharge.Reference(id.String())}
		if len(before[id]) > 0 {
			c.Before = spellToProto(was)
		}
		switch {
		case len(after[id]) > 0:
			c.After = spellToProto(would)
		default:
			c.After = spellToProto(discharge.Withdrawn(before[id][0]).Spell)
		}
		if !proto.Equal(c.Before, c.After) && len(resp.Changes) < maxChanges {
			resp.Changes = append(resp.Changes, c)
		}
	}
	return nil
}

// ListSpells pages through the published spells.
func (s *server) ListSpells(ctx context.Context, req *dischargev1.ListSpellsRequest) (*dischargev1.ListSpellsResponse, error) {
	limit := int(req.GetLimit())
	if limit == 0 {
		limit = defaultSpells
	}
	if limit < 0 || limit > maxSpells {
		return nil, fault.Field("limit", "is %d; ask for 1 to %d", limit, maxSpells)
	}
	after := uuid.Nil
	if text := req.GetAfterId(); text != "" {
		var err error
		if after, err = uuid.Parse(text); err != nil {
			return nil, fault.Field("after_id", "is not a UUID")
		}
	}
	rows, err := s.store.db.Pool.Query(ctx, `
		SELECT o.data FROM spell s JOIN outbox o USING (id) WHERE s.id > $1 AND s.received_at >= $2 ORDER BY s.id LIMIT $3`,
		after, timeOr(req.GetSince(), s.now().AddDate(0, 0, -previewDays)), limit)
	if err != nil {
		return nil, fmt.Errorf("list spells: %w", err)
	}
	spells, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*dischargev1.Spell, error) {
		var data []byte
		if err := row.Scan(&data); err != nil {
			return nil, err
		}
		p := &dischargev1.Spell{}
		return p, proto.Unmarshal(data, p)
	})
	if err != nil {
		return nil, fmt.Errorf("list spells: %w", err)
	}
	return &dischargev1.ListSpellsResponse{Spells: spells}, nil
}
