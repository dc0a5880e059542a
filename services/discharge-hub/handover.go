package dischargehub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/explain"
	"github.com/homeward-care/homeward/services/kit/fault"
)

// handover reads how far the handover of a spell is.
func (s *store) handover(ctx context.Context, spell uuid.UUID) (*dischargev1.GetHandoverResponse, error) {
	var received time.Time
	var deliveredAt, takenAt *time.Time
	var deliveredEpoch int32
	var deliveredVersion int64
	var data []byte
	resp := &dischargev1.GetHandoverResponse{SpellId: spell.String(), Interpreted: true}
	err := s.db.Pool.QueryRow(ctx, `
		SELECT s.reference, s.received_at, s.delivered_epoch, s.delivered_version, s.delivered_at, s.taken_at,
			o.epoch, o.version, o.traceparent, o.data,
			ARRAY(SELECT kind FROM exception e WHERE e.spell_id = s.id AND e.closed_at IS NULL ORDER BY id)
		FROM spell s JOIN outbox o USING (id) WHERE s.id = $1`, spell).
		Scan(&resp.Reference, &received, &deliveredEpoch, &deliveredVersion, &deliveredAt, &takenAt,
			&resp.Epoch, &resp.Version, &resp.Traceparent, &data, &resp.Exceptions)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, notFound("spell")
	}
	if err != nil {
		return nil, fmt.Errorf("read handover: %w", err)
	}
	resp.ReceivedAt, resp.TakenAt = timestamppb.New(received), timestampOf(takenAt)
	if deliveredEpoch == resp.Epoch && deliveredVersion == resp.Version {
		resp.DeliveredAt = timestampOf(deliveredAt)
	}
	resp.Spell = &dischargev1.Spell{}
	if err := proto.Unmarshal(data, resp.Spell); err != nil {
		return nil, fmt.Errorf("read handover: %w", err)
	}
	return resp, nil
}

func notFound(what string) error {
	return fault.New(fault.NotFound, "no %s by that key; a message that was just sent may not be interpreted yet", what)
}

// spellByReference finds a spell by what people say. Two spells can share a reference, if rarely: then only the id will do.
func (s *store) spellByReference(ctx context.Context, reference string) (uuid.UUID, error) {
	rows, err := s.db.Pool.Query(ctx, `SELECT id FROM spell WHERE reference = $1 ORDER BY id LIMIT 2`, reference)
	if err != nil {
		return uuid.Nil, fmt.Errorf("find reference: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	switch {
	case err != nil:
		return uuid.Nil, fmt.Errorf("find reference: %w", err)
	case len(ids) == 0:
		return uuid.Nil, notFound("spell")
	case len(ids) > 1:
		return uuid.Nil, fault.New(fault.Precondition, "two spells share this reference: ask by spell id, %s or %s", ids[0], ids[1])
	}
	return ids[0], nil
}

// spellByControlID finds the spell of the newest message with that MSH-10.
func (s *store) spellByControlID(ctx context.Context, controlID string) (uuid.UUID, error) {
	var id int64
	var pending, accepted, ofPerson bool
	var spell *uuid.UUID
	var notHandled, exceptions string
	err := s.db.Pool.QueryRow(ctx, `
		SELECT i.id, i.accepted, EXISTS (SELECT 1 FROM inbound_pending p WHERE p.id = i.id),
			EXISTS (SELECT 1 FROM person_fact p WHERE p.inbound_id = i.id), f.spell_id, coalesce(n.message, ''),
			coalesce((SELECT string_agg(kind, ', ') FROM exception e WHERE e.inbound_id = i.id), '')
		FROM inbound i LEFT JOIN fact f ON f.inbound_id = i.id LEFT JOIN not_handled n ON n.inbound_id = i.id
		WHERE i.control_id = $1 ORDER BY i.accepted DESC, i.id DESC, f.spell_id LIMIT 1`, storedControlID(controlID)).Scan(&id, &accepted, &pending, &ofPerson, &spell, &notHandled, &exceptions)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return uuid.Nil, fault.New(fault.NotFound, "no message has this control id")
	case err != nil:
		return uuid.Nil, fmt.Errorf("find control id: %w", err)
	case spell != nil:
		return *spell, nil
	case !accepted:
		return uuid.Nil, fault.New(fault.Precondition, "the message was rejected: it is no HL7 message, or MSH-3 and MSH-4 name no configured sender; its bytes are kept as message %d", id)
	case pending:
		return uuid.Nil, fault.New(fault.NotFound, "the message is stored and not interpreted yet; ask again")
	case ofPerson:
		return uuid.Nil, fault.New(fault.Precondition, "the message is about a person and not about one handover; each handover of that person shows it: ask by its reference")
	case notHandled != "":
		return uuid.Nil, fault.New(fault.Precondition, "the message is stored; %s is not handled, so it belongs to no handover", notHandled)
	}
	return uuid.Nil, fault.New(fault.Precondition, "the message is stored and waits for a person in the hub: %s", exceptions)
}

// spellByTrace finds the spell of the message whose receipt began the trace.
func (s *store) spellByTrace(ctx context.Context, traceID string) (uuid.UUID, error) {
	var spell uuid.UUID
	err := s.db.Pool.QueryRow(ctx, `
		SELECT f.spell_id FROM inbound i JOIN fact f ON f.inbound_id = i.id
		WHERE substr(i.traceparent, 4, 32) = $1 AND i.traceparent <> '' ORDER BY i.id DESC LIMIT 1`, strings.ToLower(traceID)).Scan(&spell)
	if errors.Is(err, pgx.ErrNoRows) {
		return uuid.Nil, notFound("message")
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("find trace: %w", err)
	}
	return spell, nil
}

// spellByEvent finds the spell of which an event id was made. The id is a hash, so all spells are gone through: seconds for a million,
// which a person in search of a lost handover waits for.
func (s *store) spellByEvent(ctx context.Context, eventID uuid.UUID) (uuid.UUID, error) {
	rows, err := s.db.Pool.Query(ctx, `SELECT id, type, epoch, version FROM outbox`)
	if err != nil {
		return uuid.Nil, fmt.Errorf("find event: %w", err)
	}
	found := uuid.Nil
	var e event.Event
	var newest int64
	_, err = pgx.ForEachRow(rows, []any{&e.ID, &e.Type, &e.Epoch, &newest}, func() error {
		for epoch := e.Epoch; epoch >= 1; epoch-- {
			for v := newest; v >= 1; v-- {
				if (event.Event{Type: e.Type, ID: e.ID, Epoch: epoch, Version: v}).EventID() == eventID {
					found = e.ID
				}
			}
		}
		return nil
	})
	if err != nil {
		return uuid.Nil, fmt.Errorf("find event: %w", err)
	}
	if found == uuid.Nil {
		return uuid.Nil, notFound("event of a spell")
	}
	return found, nil
}

// hops are what the hub alone knows of a handover: its messages, its exceptions, and how far it was confirmed.
func (s *store) hops(ctx context.Context, spell uuid.UUID) ([]*opsv1.Hop, error) {
	rows, err := s.db.Pool.Query(ctx, `
		SELECT i.received_at, 'message stored', 'feed ' || i.feed || ', control id ' || i.control_id || ', ' || coalesce(f.fact::json->>'kind', '') ||
			coalesce('; corrected: message ' || f.superseded_by || ' takes its place', '') ||
			CASE WHEN EXISTS (SELECT 1 FROM inbound o WHERE o.control_id = i.control_id AND o.feed = i.feed AND o.id <> i.id)
				THEN '; another message has the same control id' ELSE '' END, i.traceparent, NULL::timestamptz
		FROM fact f JOIN inbound i ON i.id = f.inbound_id WHERE f.spell_id = $1
		UNION ALL
		SELECT opened_at, 'exception', kind || ', owner ' || owner || CASE WHEN closed_at IS NULL THEN ', open' ELSE ', closed' END, '', NULL
		FROM exception WHERE spell_id = $1
		UNION ALL
		SELECT delivered_at, 'delivered', 'community-pickup holds epoch ' || delivered_epoch || ', version ' || delivered_version ||
			CASE WHEN (s.delivered_epoch, s.delivered_version) = (o.epoch, o.version) THEN '' ELSE '; a newer version is not confirmed yet' END, '', NULL
		FROM spell s JOIN outbox o USING (id) WHERE id = $1 AND delivered_at IS NOT NULL
		UNION ALL
		SELECT since, 'undelivered', 'community-pickup has not confirmed the current version; it is sent again', '', until + $2::interval
		FROM undelivered, chased WHERE spell_id = $1
		UNION ALL
		SELECT taken_at, 'taken', 'a worker in the team has it', '', NULL FROM spell WHERE id = $1 AND taken_at IS NOT NULL
		UNION ALL
		SELECT a.at, 'webhook', 'client ' || a.client || ', Task version ' || a.version || CASE WHEN a.error = '' THEN ', taken' ELSE ', not taken: ' || a.error END,
			'', CASE WHEN a.error <> '' THEN d.next_at END
		FROM webhook_attempt a LEFT JOIN webhook_due d USING (client, task_id) WHERE a.task_id = $3`, spell, resendAfter+undeliveredPoll, fhir.TaskID(spell.String()))
	if err != nil {
		return nil, err
	}
	hops, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*opsv1.Hop, error) {
		var at time.Time
		var traceparent string
		var retry *time.Time
		h := &opsv1.Hop{Service: "discharge-hub"}
		err := row.Scan(&at, &h.Name, &h.State, &traceparent, &retry)
		h.At, h.TraceId, h.NextRetry = timestamppb.New(at), explain.TraceID(traceparent), timestampOf(retry)
		return h, err
	})
	if err != nil {
		return nil, err
	}
	ofPeople, err := s.hopsOfPeople(ctx, spell)
	return append(hops, ofPeople...), err
}

// hopsOfPeople are the messages about the spell's person. The kind alone is told, for a merge names patient numbers.
func (s *store) hopsOfPeople(ctx context.Context, spell uuid.UUID) ([]*opsv1.Hop, error) {
	rows, err := s.db.Pool.Query(ctx, `
		SELECT DISTINCT fact_patient(fact) FROM fact WHERE spell_id = $1 AND fact_patient(fact) IS NOT NULL`, spell)
	if err != nil {
		return nil, err
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	told, err := readPeople(ctx, s.db.Pool, keys)
	if err != nil {
		return nil, err
	}
	kind := map[int64]string{}
	var messages []int64
	for _, list := range told {
		for _, f := range list {
			kind[f.InboundID] = string(f.Fact.Kind)
			messages = append(messages, f.InboundID)
		}
	}
	rows, err = s.db.Pool.Query(ctx, `
		SELECT i.id, i.received_at, i.feed, i.control_id, i.traceparent, EXISTS (SELECT 1 FROM person_pending p WHERE p.inbound_id = i.id)
		FROM inbound i WHERE i.id = ANY($1) ORDER BY i.id`, messages)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*opsv1.Hop, error) {
		var id int64
		var at time.Time
		var feed, controlID, traceparent string
		var pending bool
		err := row.Scan(&id, &at, &feed, &controlID, &traceparent, &pending)
		h := &opsv1.Hop{At: timestamppb.New(at), Service: "discharge-hub", Name: "message about the person", TraceId: explain.TraceID(traceparent),
			State: "feed " + feed + ", control id " + controlID + ", " + kind[id]}
		if pending {
			h.State += "; it waits to be told to the handover"
		}
		return h, err
	})
}
