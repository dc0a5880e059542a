package dischargehub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/kit/event"
)

// fhirResource is a resource as it is stored; version 0 is none yet.
type fhirResource struct {
	provider  string
	version   int64
	updatedAt time.Time
	body      json.RawMessage
	// discharged says of an Encounter that a discharge was told by it and not taken back.
	discharged bool
}

// hears notes what was told by the resource.
func (r *fhirResource) hears(kind discharge.Kind) {
	switch kind {
	case discharge.KindDischarge:
		r.discharged = true
	case discharge.KindCancelDischarge, discharge.KindCancelAdmit:
		r.discharged = false
	}
}

// lockResource returns the resource, which nobody else writes until the transaction ends. One that is not there is made, with version 0.
func lockResource(ctx context.Context, tx pgx.Tx, typ, id, provider string) (*fhirResource, error) {
	if _, err := tx.Exec(ctx, `INSERT INTO fhir_resource (type, id, provider, version, updated_at, body) VALUES ($1, $2, $3, 0, '1970-01-01Z', '')
		ON CONFLICT DO NOTHING`, typ, id, provider); err != nil {
		return nil, fmt.Errorf("make resource: %w", err)
	}
	r := &fhirResource{provider: provider}
	var body string
	if err := tx.QueryRow(ctx, `SELECT version, updated_at, body, discharged FROM fhir_resource WHERE type = $1 AND id = $2 FOR UPDATE`, typ, id).
		Scan(&r.version, &r.updatedAt, &body, &r.discharged); err != nil {
		return nil, fmt.Errorf("lock resource: %w", err)
	}
	r.body = json.RawMessage(body)
	return r, nil
}

// shareResource returns the body of a provider's resource, which nobody changes until the transaction ends; nil when there is none.
func shareResource(ctx context.Context, tx pgx.Tx, typ, id, provider string) (json.RawMessage, error) {
	uid, err := uuid.Parse(id)
	if err != nil {
		return nil, nil
	}
	var body string
	err = tx.QueryRow(ctx, `SELECT body FROM fhir_resource WHERE type = $1 AND id = $2 AND provider = $3 AND version > 0 FOR SHARE`,
		typ, uid, provider).Scan(&body)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read resource: %w", err)
	}
	return json.RawMessage(body), nil
}

// save stores what was sent as the next version, and what it is found by.
func (r *fhirResource) save(ctx context.Context, tx pgx.Tx, s fhir.Sent, now time.Time) error {
	r.version++
	r.updatedAt, r.body = now, s.Raw
	var names, tokens []string
	for _, t := range s.Tokens() {
		names, tokens = append(names, t.Name), append(tokens, storedControlID(t.Text))
	}
	if _, err := tx.Exec(ctx, `
		WITH saved AS (
			UPDATE fhir_resource SET version = $3, updated_at = $4, body = $5, discharged = $8 WHERE type = $1 AND id = $2
		), found_by AS (
			SELECT DISTINCT * FROM unnest($6::text[], $7::text[]) AS u (name, token)
		), gone AS (
			DELETE FROM fhir_token t WHERE type = $1 AND id = $2 AND NOT EXISTS (
				SELECT FROM found_by f WHERE (f.name, f.token) = (t.name, t.token))
		)
		INSERT INTO fhir_token (type, id, name, token) SELECT $1, $2, name, token FROM found_by ON CONFLICT DO NOTHING`,
		s.Type, s.ID, r.version, now, string(s.Raw), names, tokens, r.discharged); err != nil {
		return fmt.Errorf("save resource: %w", err)
	}
	return nil
}

// hasFHIRResource tells whether there is such a resource of one of the providers.
func (s *store) hasFHIRResource(ctx context.Context, typ string, id uuid.UUID, providers []string) (bool, error) {
	var there bool
	err := s.db.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM fhir_resource WHERE type = $1 AND id = $2 AND provider = ANY($3) AND version > 0)`,
		typ, id, providers).Scan(&there)
	return there, err
}

// insertFHIRInbound stores a request for the interpreter.
func insertFHIRInbound(ctx context.Context, tx pgx.Tx, feed, requestID string, body []byte, now time.Time, span trace.Span) error {
	digest := sha256.Sum256(body)
	_, err := tx.Exec(ctx, `
		WITH stored AS (
			INSERT INTO inbound (feed, format, control_id, digest, body, traceparent, received_at, accepted) VALUES ($1, $2, $3, $4, $5, $6, $7, true)
			ON CONFLICT (digest, feed) DO NOTHING RETURNING id
		)
		INSERT INTO inbound_pending (id) SELECT id FROM stored`,
		feed, string(formatFHIR), requestID, digest[:], body, event.Traceparent(span.SpanContext()), now)
	if err != nil {
		return fmt.Errorf("store request: %w", err)
	}
	return nil
}

// claimAnswer makes the row of an answer, or returns the answer that the same request was given before. The same id with another request is
// refused.
func claimAnswer(ctx context.Context, tx pgx.Tx, client, requestID string, digest []byte, now time.Time) (*fhirReply, error) {
	tag, err := tx.Exec(ctx, `INSERT INTO fhir_answer (client, request_id, digest, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		client, requestID, digest, now)
	if err != nil {
		return nil, fmt.Errorf("claim answer: %w", err)
	}
	if tag.RowsAffected() == 1 {
		return nil, nil
	}
	var r fhirReply
	var earlier []byte
	var body string
	if err := tx.QueryRow(ctx, `SELECT digest, status, location, etag, body FROM fhir_answer WHERE client = $1 AND request_id = $2`, client, requestID).
		Scan(&earlier, &r.status, &r.location, &r.etag, &body); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if !bytes.Equal(earlier, digest) {
		return nil, refuse(http.StatusConflict, "conflict", "this X-Request-ID was used for another request; give each request a new one")
	}
	r.text = []byte(body)
	return &r, nil
}

func saveAnswer(ctx context.Context, tx pgx.Tx, client, requestID string, r fhirReply) error {
	body, err := json.Marshal(r.body)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE fhir_answer SET status = $3, location = $4, etag = $5, body = $6 WHERE client = $1 AND request_id = $2`,
		client, requestID, r.status, r.location, r.etag, string(body)); err != nil {
		return fmt.Errorf("save answer: %w", err)
	}
	return nil
}
