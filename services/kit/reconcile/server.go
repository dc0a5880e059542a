// Package reconcile repairs what the bus lost: a consumer walks a producer's versions over gRPC, compares them with its own inbox, and
// applies the snapshots that differ. The whole JetStream store can vanish in the middle of traffic and nothing is lost.
package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// Server answers walks from a producer's outbox, and a restored producer from its consumer's inbox.
type Server struct {
	opsv1.UnimplementedReconciliationServiceServer
	DB *pg.DB
}

const (
	defaultPage  = 1000
	maxPage      = 5000
	maxSnapshots = 1000
	maxHeld      = 500 // with their data
)

// ListVersions returns a page of versions in the order of their ids, or of a window of changes in the order of those.
func (s *Server) ListVersions(ctx context.Context, req *opsv1.ListVersionsRequest) (*opsv1.ListVersionsResponse, error) {
	limit := int(req.GetLimit())
	switch {
	case limit == 0:
		limit = defaultPage
	case limit < 0 || limit > maxPage:
		return nil, fault.Field("limit", "is %d; ask for 1 to %d", limit, maxPage)
	}
	after, err := afterID(req.GetAfterId())
	if err != nil {
		return nil, err
	}
	query := `SELECT id, epoch, version, recorded_at FROM outbox WHERE type = $1 AND id > $2 ORDER BY id LIMIT $3`
	args := []any{req.GetType(), after, limit}
	if req.GetChangedSince() != nil || req.GetChangedBefore() != nil {
		before := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		if req.GetChangedBefore() != nil {
			before = req.GetChangedBefore().AsTime()
		}
		query = `SELECT id, epoch, version, recorded_at FROM outbox
			WHERE type = $1 AND (recorded_at, id) > ($4, $2) AND recorded_at < $5 ORDER BY recorded_at, id LIMIT $3`
		args = append(args, req.GetChangedSince().AsTime(), before)
	}
	rows, err := s.DB.Pool.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	resp := &opsv1.ListVersionsResponse{}
	var id uuid.UUID
	var epoch int32
	var version int64
	var recorded time.Time
	if _, err := pgx.ForEachRow(rows, []any{&id, &epoch, &version, &recorded}, func() error {
		resp.Versions = append(resp.Versions, &opsv1.AggregateVersion{Id: id.String(), Epoch: epoch, Version: version})
		return nil
	}); err != nil {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	if len(resp.Versions) > 0 {
		resp.LastChangedAt = timestamppb.New(recorded)
	}
	return resp, nil
}

// GetSnapshots returns current snapshots by id.
func (s *Server) GetSnapshots(ctx context.Context, req *opsv1.GetSnapshotsRequest) (*opsv1.GetSnapshotsResponse, error) {
	if len(req.GetIds()) > maxSnapshots {
		return nil, fault.Field("ids", "holds %d; ask for at most %d at once", len(req.GetIds()), maxSnapshots)
	}
	ids := make([]uuid.UUID, len(req.GetIds()))
	for i, id := range req.GetIds() {
		var err error
		if ids[i], err = uuid.Parse(id); err != nil {
			return nil, fault.Field("ids", "entry %d is not a UUID", i)
		}
	}
	rows, err := s.DB.Pool.Query(ctx, `
		SELECT type, id, key, epoch, version, occurred_at, recorded_at, traceparent, data FROM outbox WHERE type = $1 AND id = ANY($2)`,
		req.GetType(), ids)
	if err != nil {
		return nil, fmt.Errorf("get snapshots: %w", err)
	}
	snapshots, err := pgx.CollectRows(rows, scanSnapshot)
	if err != nil {
		return nil, fmt.Errorf("get snapshots: %w", err)
	}
	return &opsv1.GetSnapshotsResponse{Snapshots: snapshots}, nil
}

// ListHeld returns a page of what the inbox holds, in the order of ids.
func (s *Server) ListHeld(ctx context.Context, req *opsv1.ListHeldRequest) (*opsv1.ListHeldResponse, error) {
	limit := int(req.GetLimit())
	switch {
	case limit == 0:
		limit = maxHeld
	case limit < 0 || limit > maxHeld:
		return nil, fault.Field("limit", "is %d; ask for 1 to %d", limit, maxHeld)
	}
	after, err := afterID(req.GetAfterId())
	if err != nil {
		return nil, err
	}
	rows, err := s.DB.Pool.Query(ctx, `
		SELECT type, id, key, epoch, version, occurred_at, recorded_at, traceparent, data FROM inbox WHERE type = $1 AND id > $2 ORDER BY id LIMIT $3`,
		req.GetType(), after, limit)
	if err != nil {
		return nil, fmt.Errorf("list held: %w", err)
	}
	held, err := pgx.CollectRows(rows, scanSnapshot)
	if err != nil {
		return nil, fmt.Errorf("list held: %w", err)
	}
	return &opsv1.ListHeldResponse{Snapshots: held}, nil
}

func afterID(text string) (uuid.UUID, error) {
	if text == "" {
		return uuid.Nil, nil
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return uuid.Nil, fault.Field("after_id", "is not a UUID; pass the last id of the page before")
	}
	return id, nil
}

func scanSnapshot(row pgx.CollectableRow) (*opsv1.Snapshot, error) {
	var id, key uuid.UUID
	var occurred, recorded time.Time
	p := &opsv1.Snapshot{}
	err := row.Scan(&p.Type, &id, &key, &p.Epoch, &p.Version, &occurred, &recorded, &p.Traceparent, &p.Data)
	p.Id, p.Key = id.String(), key.String()
	p.OccurredAt, p.RecordedAt = timestamppb.New(occurred), timestamppb.New(recorded)
	return p, err
}

// Events returns the events that snapshots carry.
func Events(snapshots []*opsv1.Snapshot) ([]event.Event, error) {
	events := make([]event.Event, 0, len(snapshots))
	for _, p := range snapshots {
		e, err := fromProto(p)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

func fromProto(p *opsv1.Snapshot) (event.Event, error) {
	id, err := uuid.Parse(p.GetId())
	if err != nil {
		return event.Event{}, fmt.Errorf("snapshot id: %w", err)
	}
	key, err := uuid.Parse(p.GetKey())
	if err != nil {
		return event.Event{}, fmt.Errorf("snapshot key: %w", err)
	}
	return event.Event{
		Type: p.GetType(), ID: id, Key: key, Epoch: p.GetEpoch(), Version: p.GetVersion(),
		OccurredAt: p.GetOccurredAt().AsTime(), RecordedAt: p.GetRecordedAt().AsTime(),
		Trace: event.ParseTraceparent(p.GetTraceparent()), Data: p.GetData(),
	}, nil
}
