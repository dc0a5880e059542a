// Package explain tells what a service holds of one handover, hop by hop, from PostgreSQL: what it applied, what it published and what it
// buried, with the service's own records between.
package explain

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// Server answers ExplainHandover.
type Server struct {
	opsv1.UnimplementedExplainServiceServer
	DB      *pg.DB
	Service string
	// Aggregates returns the ids under which this service keeps events about a spell.
	Aggregates func(spell uuid.UUID) []uuid.UUID
	// Own returns the hops that only this service knows; nil when it has none.
	Own func(ctx context.Context, spell uuid.UUID) ([]*opsv1.Hop, error)
}

// ExplainHandover returns the hops of a spell in this service, oldest first.
func (s *Server) ExplainHandover(ctx context.Context, req *opsv1.ExplainHandoverRequest) (*opsv1.ExplainHandoverResponse, error) {
	spell, err := uuid.Parse(req.GetSpellId())
	if err != nil {
		return nil, fault.Field("spell_id", "is not a UUID")
	}
	ids := s.Aggregates(spell)
	rows, err := s.DB.Pool.Query(ctx, `
		SELECT applied_at, 'event applied', type, epoch, version, traceparent, 0, '', 'recorded', recorded_at FROM inbox WHERE id = ANY($1)
		UNION ALL
		SELECT recorded_at, CASE WHEN u.attempts IS NULL THEN 'event sent' ELSE 'event unsent' END,
			type, epoch, version, traceparent, coalesce(u.attempts, 0), coalesce(u.last_error, ''),
			CASE WHEN u.attempts IS NULL THEN 'recorded' ELSE 'tried again within 5 s, recorded' END, recorded_at
		FROM outbox LEFT JOIN (SELECT id, max(attempts) AS attempts, max(last_error) AS last_error FROM outbox_unsent GROUP BY id) u USING (id)
		WHERE id = ANY($1)
		UNION ALL
		SELECT last_at, 'event buried', type, epoch, version, '', attempts, error, 'waits for a person, first tried', first_at FROM dead_letter WHERE id = ANY($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("explain: %w", err)
	}
	hops, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*opsv1.Hop, error) {
		var at, since time.Time
		var typ, traceparent, word string
		var epoch int32
		var version int64
		h := &opsv1.Hop{Service: s.Service}
		err := row.Scan(&at, &h.Name, &typ, &epoch, &version, &traceparent, &h.Attempts, &h.LastError, &word, &since)
		h.At = timestamppb.New(at)
		h.State = fmt.Sprintf("%s, epoch %d, version %d, %s %s", typ, epoch, version, word, since.UTC().Format(time.RFC3339))
		h.TraceId = TraceID(traceparent)
		return h, err
	})
	if err != nil {
		return nil, fmt.Errorf("explain: %w", err)
	}
	if s.Own != nil {
		own, err := s.Own(ctx, spell)
		if err != nil {
			return nil, fmt.Errorf("explain: %w", err)
		}
		hops = append(hops, own...)
	}
	slices.SortStableFunc(hops, func(a, b *opsv1.Hop) int {
		if c := a.GetAt().AsTime().Compare(b.GetAt().AsTime()); c != 0 {
			return c
		}
		return strings.Compare(a.GetName(), b.GetName())
	})
	return &opsv1.ExplainHandoverResponse{Hops: hops}, nil
}

// TraceID returns the trace id of a W3C traceparent, empty when there is none.
func TraceID(traceparent string) string {
	if sc := event.ParseTraceparent(traceparent); sc.IsValid() {
		return sc.TraceID().String()
	}
	return ""
}
