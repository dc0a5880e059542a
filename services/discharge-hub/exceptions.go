package dischargehub

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/kit/fault"
)

// How an exception was closed by a person.
const (
	closedCorrected = "corrected"
	closedReplayed  = "replayed"
	closedDismissed = "dismissed"
)

// exceptionRow is an exception as it is stored.
type exceptionRow struct {
	ID                                int64
	Kind, Owner, Detail               string
	OpenedAt                          time.Time
	ClosedAt                          *time.Time
	InboundID                         *int64
	SpellID                           *uuid.UUID
	Version, Alarms                   int32
	ClosedHow, ClosedBy, Reason, Note string
	Feed, ControlID                   string // of its message
	Format                            format
}

const exceptionColumns = `e.id, e.kind, e.owner, e.detail, e.opened_at, e.closed_at, e.inbound_id, e.spell_id, e.version, e.alarms,
	e.closed_how, e.closed_by, e.reason, e.note, coalesce(i.feed, ''), coalesce(i.control_id, ''), coalesce(i.format, '')`

func scanException(row pgx.CollectableRow) (exceptionRow, error) {
	var e exceptionRow
	err := row.Scan(&e.ID, &e.Kind, &e.Owner, &e.Detail, &e.OpenedAt, &e.ClosedAt, &e.InboundID, &e.SpellID, &e.Version, &e.Alarms,
		&e.ClosedHow, &e.ClosedBy, &e.Reason, &e.Note, &e.Feed, &e.ControlID, &e.Format)
	return e, err
}

// exceptionKinds are the kinds of all exceptions that there may be, sorted.
func exceptionKinds() []string {
	return slices.Sorted(slices.Values(append(discharge.Kinds(), silentKind, webhookUndelivered, answerRejected)))
}

var dismissReasons = map[string]dischargev1.DismissReason{
	"recorded-otherwise":  dischargev1.DismissReason_DISMISS_REASON_RECORDED_OTHERWISE,
	"test-message":        dischargev1.DismissReason_DISMISS_REASON_TEST_MESSAGE,
	"right-as-it-is":      dischargev1.DismissReason_DISMISS_REASON_RIGHT_AS_IT_IS,
	"not-ours":            dischargev1.DismissReason_DISMISS_REASON_NOT_OURS,
	"cannot-be-found-out": dischargev1.DismissReason_DISMISS_REASON_CANNOT_BE_FOUND_OUT,
}

var exceptionStates = map[string]dischargev1.ExceptionState{
	"":              dischargev1.ExceptionState_EXCEPTION_STATE_SETTLED,
	closedCorrected: dischargev1.ExceptionState_EXCEPTION_STATE_CORRECTED,
	closedReplayed:  dischargev1.ExceptionState_EXCEPTION_STATE_REPLAYED,
	closedDismissed: dischargev1.ExceptionState_EXCEPTION_STATE_DISMISSED,
}

// problem is what the exception is about, in the words of the door at which its message came in.
func (e exceptionRow) problem() discharge.Problem {
	return discharge.ReadProblem(e.Kind, e.Detail).At(e.Format.door())
}

// toProto leaves the note out: it may hold personal data.
func (e exceptionRow) toProto(now time.Time) *dischargev1.MessageException {
	out := &dischargev1.MessageException{
		Id: e.ID, Kind: e.Kind, Owner: e.Owner, OpenedAt: timestamppb.New(e.OpenedAt), Feed: e.Feed, ControlId: e.ControlID, Detail: discharge.InWordsOf(e.Format.door(), e.Detail),
		State: dischargev1.ExceptionState_EXCEPTION_STATE_OPEN, Version: e.Version, LookBy: timestamppb.New(discharge.LookBy(e.Kind, e.OpenedAt)),
		Alarms: e.Alarms, ClosedAt: timestampOf(e.ClosedAt), DismissedBecause: dismissReasons[e.Reason],
	}
	if e.SpellID != nil {
		out.SpellId = e.SpellID.String()
	}
	if e.InboundID != nil {
		out.MessageId = *e.InboundID
	}
	until := now
	if e.ClosedAt != nil {
		until, out.State = *e.ClosedAt, exceptionStates[e.ClosedHow]
	}
	out.AgeSeconds = int64(until.Sub(e.OpenedAt).Seconds())
	return out
}

// exceptionQuery chooses exceptions; an empty member chooses all.
type exceptionQuery struct {
	after             int64
	limit             int
	kind, owner, feed string
	open              *bool
	late              bool
	openedBefore      *time.Time
}

func (s *store) exceptions(ctx context.Context, q exceptionQuery) ([]exceptionRow, error) {
	state := ""
	switch { // written out, because the open ones have an index of their own
	case q.open != nil && *q.open:
		state = ` AND e.closed_at IS NULL`
	case q.open != nil:
		state = ` AND e.closed_at IS NOT NULL`
	}
	rows, err := s.db.Pool.Query(ctx, `
		SELECT `+exceptionColumns+` FROM exception e LEFT JOIN inbound i ON i.id = e.inbound_id
		WHERE e.id > $1 AND ($3 = '' OR e.kind = $3) AND ($4 = '' OR e.owner = $4) AND ($5 = '' OR i.feed = $5)
			AND (NOT $6::boolean OR e.alarms > 0) AND ($7::timestamptz IS NULL OR e.opened_at < $7)`+state+`
		ORDER BY e.id LIMIT $2`, q.after, q.limit, q.kind, q.owner, q.feed, q.late, q.openedBefore)
	if err != nil {
		return nil, fmt.Errorf("list exceptions: %w", err)
	}
	return pgx.CollectRows(rows, scanException)
}

// storedMessage is a message as it came.
type storedMessage struct {
	pendingMessage
	Accepted bool
}

// messageOf reads a stored message; a lock keeps everybody else who deals with it out until the transaction ends.
func messageOf(ctx context.Context, tx pgx.Tx, id int64, lock bool) (storedMessage, error) {
	var m storedMessage
	query := `SELECT id, feed, format, control_id, received_at, body, accepted, coalesce((SELECT supersedes FROM correction WHERE inbound_id = id), 0)
		FROM inbound WHERE id = $1`
	if lock {
		query += ` FOR UPDATE`
	}
	err := tx.QueryRow(ctx, query, id).Scan(&m.ID, &m.Feed, &m.Format, &m.ControlID, &m.ReceivedAt, &m.Body, &m.Accepted, &m.Supersedes)
	if errors.Is(err, pgx.ErrNoRows) {
		return m, fault.New(fault.NotFound, "no stored message %d", id)
	}
	if err != nil {
		return m, fmt.Errorf("read message %d: %w", id, err)
	}
	return m, nil
}

func errNoException(id int64) error { return fault.New(fault.NotFound, "no exception %d", id) }

// exceptionOf reads one exception.
func exceptionOf(ctx context.Context, tx pgx.Tx, id int64) (exceptionRow, error) {
	rows, err := tx.Query(ctx, `SELECT `+exceptionColumns+` FROM exception e LEFT JOIN inbound i ON i.id = e.inbound_id WHERE e.id = $1`, id)
	if err != nil {
		return exceptionRow{}, fmt.Errorf("read exception: %w", err)
	}
	e, err := pgx.CollectExactlyOneRow(rows, scanException)
	if errors.Is(err, pgx.ErrNoRows) {
		return e, errNoException(id)
	}
	return e, err
}

// lockException locks an exception, and before it its message and all that message's exceptions, in the order of their ids: two people who
// deal with two exceptions of one message wait for each other and do not stand crosswise.
func lockException(ctx context.Context, tx pgx.Tx, id int64) (exceptionRow, error) {
	e, err := exceptionOf(ctx, tx, id)
	if err != nil {
		return e, err
	}
	if e.InboundID != nil {
		if _, err := messageOf(ctx, tx, *e.InboundID, true); err != nil {
			return e, err
		}
	}
	if _, err := tx.Exec(ctx, `
		SELECT 1 FROM exception WHERE id = ANY(ARRAY(SELECT $1::bigint UNION SELECT id FROM exception WHERE inbound_id = $2)) ORDER BY id FOR UPDATE`,
		id, e.InboundID); err != nil {
		return e, fmt.Errorf("lock exception: %w", err)
	}
	return exceptionOf(ctx, tx, id)
}

// fresh says whether somebody who saw this version may act on the exception.
func (e exceptionRow) fresh(version int32) error {
	switch {
	case e.ClosedAt != nil && e.ClosedHow == "":
		return fault.New(fault.Conflict, "exception %d is closed: later messages settled it", e.ID)
	case e.ClosedAt != nil:
		return fault.New(fault.Conflict, "exception %d is closed: %s by %s", e.ID, e.ClosedHow, e.ClosedBy)
	case e.Version != version:
		return fault.New(fault.Conflict, "exception %d is at version %d, and you saw %d: read it again", e.ID, e.Version, version)
	}
	return nil
}

// storeCorrection stores the corrected copy of a message and queues it for interpretation. It returns the copy's id, and whether the copy was
// there already as the correction of the same message.
func storeCorrection(ctx context.Context, tx pgx.Tx, now time.Time, e exceptionRow, m storedMessage, controlID, traceparent string,
	body []byte) (int64, bool, error) {
	digest := sha256.Sum256(body)
	var there, supersedes int64
	err := tx.QueryRow(ctx, `
		SELECT i.id, coalesce(c.supersedes, 0) FROM inbound i LEFT JOIN correction c ON c.inbound_id = i.id WHERE i.digest = $1 AND i.feed = $2`,
		digest[:], m.Feed).Scan(&there, &supersedes)
	switch {
	case err == nil && supersedes == m.ID:
		return there, true, nil
	case err == nil && there == m.ID:
		return 0, false, fault.Field("message", "is the faulty message itself: correct it first")
	case err == nil:
		return 0, false, fault.Field("message", "these bytes are stored already, as message %d of the same feed: dismiss the exception as recorded otherwise",
			there)
	case !errors.Is(err, pgx.ErrNoRows):
		return 0, false, fmt.Errorf("find the copy: %w", err)
	}
	var other int64
	err = tx.QueryRow(ctx, `SELECT inbound_id FROM correction WHERE supersedes = $1`, m.ID).Scan(&other)
	if err == nil {
		return 0, false, fault.New(fault.Conflict, "message %d was corrected already, by message %d: correct that one", m.ID, other)
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return 0, false, fmt.Errorf("find corrections: %w", err)
	}
	var id int64
	if err := tx.QueryRow(ctx, `
		INSERT INTO inbound (feed, format, control_id, digest, body, traceparent, received_at, accepted) VALUES ($1, $2, $3, $4, $5, $6, $7, true)
		RETURNING id`, m.Feed, string(m.Format), storedControlID(controlID), digest[:], body, traceparent, now).Scan(&id); err != nil {
		return 0, false, fmt.Errorf("store the copy: %w", err)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO correction (inbound_id, supersedes, exception_id) VALUES ($1, $2, $3)`, id, m.ID, e.ID); err != nil {
		return 0, false, fmt.Errorf("store the correction: %w", err)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO inbound_pending (id) VALUES ($1)`, id); err != nil {
		return 0, false, fmt.Errorf("queue the copy: %w", err)
	}
	return id, false, nil
}

// closeException closes one exception as a person's act.
func closeException(ctx context.Context, tx pgx.Tx, now time.Time, id int64, how, by, reason, note string) error {
	_, err := tx.Exec(ctx, `
		UPDATE exception SET closed_at = $2, closed_how = $3, closed_by = $4, reason = $5, note = $6, version = version + 1
		WHERE id = $1 AND closed_at IS NULL`, id, now, how, by, reason, note)
	if err != nil {
		return fmt.Errorf("close exception: %w", err)
	}
	return nil
}
