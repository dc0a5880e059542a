package dischargehub

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/kit/failpoint"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/run"
	"github.com/homeward-care/homeward/services/kit/service"
)

// poster posts the Tasks of one client to its webhook, each until it is taken. A newer version replaces one that waits.
type poster struct {
	client  client
	store   *store
	http    *http.Client
	atATime int
	now     func() time.Time
	tracer  trace.Tracer
	log     *slog.Logger
}

const (
	postBatch   = 8
	postTimeout = 10 * time.Second
	postLease   = time.Minute // another replica waits so long before it tries what this one is trying
	firstRetry  = time.Second
	maxRetry    = 5 * time.Minute
	// After a day it is tried every hour, and somebody is told.
	slowAfter = 24 * time.Hour
	slowRetry = time.Hour
	postPoll  = time.Second
)

// webhookUndelivered is the exception of a spell whose Task a client has not taken for a day.
const webhookUndelivered = "webhook-undelivered"

// newPostClient follows no redirects: Tasks go where the configuration says and nowhere else.
func newPostClient() *http.Client {
	return &http.Client{
		Timeout:       postTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost: postBatch, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: postTimeout,
		},
	}
}

// posting runs a poster for each client that has a webhook, and others when the clients change.
type posting struct {
	clients *roster
	each    poster // but for its client
}

// PostTasks posts the Tasks to the clients that have a webhook.
func (h *Hub) PostTasks(svc *service.Service) {
	svc.Go(h.posting(svc, newPostClient(), postBatch).Run)
}

// StepPosts is PostTasks where every worker is stepped: to the clients that there are, so many of a client's Tasks at a time.
func (h *Hub) StepPosts(svc *service.Service, by *http.Client, atATime int) {
	p, all := h.posting(svc, by, atATime), h.clients.get()
	for _, id := range all.ids() {
		if wake, posted := all.due[id]; posted {
			loop := p.loop(all.clients[id], wake)
			svc.Loop(loop.Name, loop.Step, loop.Poll, wake)
		}
	}
}

func (h *Hub) posting(svc *service.Service, by *http.Client, atATime int) posting {
	return posting{h.clients, poster{store: h.store, http: by, atATime: atATime, now: svc.Now, tracer: svc.TracerFor("discharge-hub"), log: svc.Log}}
}

// loop posts to one client.
func (p posting) loop(c client, wake run.Wake) run.Loop {
	one := p.each
	one.client = c
	return run.Loop{Name: "webhook of " + c.ID, Step: one.Step, Poll: postPoll, Wake: wake, Log: one.log}
}

// Run posts until ctx ends.
func (p posting) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		round, end := context.WithCancel(ctx)
		all := p.clients.get()
		var posters sync.WaitGroup
		for id, wake := range all.due {
			loop := p.loop(all.clients[id], wake)
			posters.Go(func() { _ = loop.Run(round) })
		}
		select {
		case <-ctx.Done():
		case <-p.clients.posts:
		}
		end()
		posters.Wait()
	}
	return nil
}

// post is one Task that is due.
type post struct {
	task     taskRow
	attempt  int64 // its id
	by       int32 // the number of the process that has claimed it
	attempts int
	since    time.Time
	spell    uuid.UUID
}

// Step posts what is due.
func (p *poster) Step(ctx context.Context) (bool, error) {
	var due []post
	err := failpoint.Do(ctx, "webhook.claim", func() (err error) { due, err = p.claim(ctx); return err })
	if errors.Is(err, pg.ErrNothing) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("claim webhooks of %s: %w", p.client.ID, err)
	}
	var group sync.WaitGroup
	failed := make([]error, len(due))
	for i, one := range due {
		group.Go(func() { failed[i] = p.deliver(ctx, one) })
	}
	group.Wait()
	for _, err := range failed {
		if err != nil {
			return false, err
		}
	}
	return len(due) >= p.atATime, nil
}

// begun is recorded of an attempt until it is known what came of it: the process that began it may die.
const begun = "begun; what came of it is not known"

// nextPosts finds those that are abandoned, or whose next try is within a span of time. A client's feeds may be other ones than when a Task became due to it: one of a
// provider that is not among theirs is not the client's to see.
const nextPosts = `
	SELECT task_id FROM webhook_due d WHERE client = $1 AND %s AND (SELECT provider FROM fhir_task t WHERE t.task_id = d.task_id) = ANY($7)
	ORDER BY next_at, task_id LIMIT $4 FOR UPDATE SKIP LOCKED`

// claim takes what is due until the lease ends, and records that it is begun; pg.ErrNothing if nothing is due. What is put off for longer than
// anything is was put off by a clock that was ahead: it is due.
func (p *poster) claim(ctx context.Context) ([]post, error) {
	now, by := p.now(), p.store.claims.number.Load()
	if by == 0 {
		return nil, pg.ErrNothing
	}
	rows, err := p.store.db.Pool.Query(ctx, `
		WITH claimed AS (
			UPDATE webhook_due d SET next_at = $3, attempts = d.attempts + 1, claimed_by = $8
			WHERE client = $1 AND task_id = ANY (coalesce(nullif(ARRAY(`+fmt.Sprintf(nextPosts, fmt.Sprintf(abandoned, 8))+`), '{}'),
				nullif(ARRAY(`+fmt.Sprintf(nextPosts, `next_at <= $2`)+`), '{}'), ARRAY(`+fmt.Sprintf(nextPosts, `next_at > $6`)+`)))
			RETURNING d.task_id, d.attempts, d.since
		), begun AS (
			INSERT INTO webhook_attempt (client, task_id, version, at, status, error)
			SELECT $1, task_id, t.version, $2, 0, $5 FROM claimed JOIN fhir_task t USING (task_id) RETURNING id, task_id
		)
		SELECT t.task_id, t.version, t.created_at, t.updated_at, t.handover, t.spell_id, c.attempts, c.since, b.id
		FROM claimed c JOIN fhir_task t USING (task_id) JOIN begun b USING (task_id)`,
		p.client.ID, now, now.Add(postLease), p.atATime, begun, now.Add(2*slowRetry), providers(p.client.Feeds), by)
	if err != nil {
		return nil, err
	}
	due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (post, error) {
		var one post
		var text []byte
		one.by = by
		if err := row.Scan(&one.task.id, &one.task.Number, &one.task.Created, &one.task.UpdatedAt, &text, &one.spell, &one.attempts, &one.since, &one.attempt); err != nil {
			return one, err
		}
		return one, json.Unmarshal(text, &one.task.handover)
	})
	if err == nil && len(due) == 0 {
		return nil, pg.ErrNothing
	}
	return due, err
}

// deliver posts a Task once and notes what came of it. Where the claim has gone to another process, only the attempt is noted.
func (p *poster) deliver(ctx context.Context, one post) error {
	status, cause := p.send(ctx, one)
	now := p.now()
	text := ""
	if cause != nil {
		text = inbox.Storable(cause.Error())
		if one.attempts%10 == 1 {
			p.log.WarnContext(ctx, "webhook not taken, will retry", "client", p.client.ID,
				"task", one.task.id, "version", one.task.Number, "attempts", one.attempts, "status", status)
		}
	}
	return p.store.db.InTx(ctx, "webhook", func(tx pgx.Tx) error {
		// Where nothing is due any more, another replica has had it taken meanwhile.
		if _, err := tx.Exec(ctx, `
			UPDATE webhook_attempt SET at = $2, status = $3, error = $4,
				taken_at = CASE WHEN NOT EXISTS (SELECT FROM webhook_due WHERE client = $5 AND task_id = $6) THEN $2::timestamptz END WHERE id = $1`,
			one.attempt, now, status, text, p.client.ID, one.task.id); err != nil {
			return fmt.Errorf("note attempt: %w", err)
		}
		mine, err := tx.Exec(ctx, `UPDATE webhook_due SET claimed_by = NULL, next_at = $4 WHERE client = $1 AND task_id = $2 AND claimed_by = $3`,
			p.client.ID, one.task.id, one.by, now.Add(retryPost(one.task.id, one.attempts, now.Sub(one.since))))
		if err != nil {
			return fmt.Errorf("note attempt: %w", err)
		}
		if mine.RowsAffected() == 0 {
			return nil
		}
		if cause == nil || failpoint.Bug("untaken-webhook-passes") {
			return p.taken(ctx, tx, now, one)
		}
		if now.Sub(one.since) < slowAfter {
			return nil
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO exception (kind, spell_id, detail, owner, opened_at) SELECT $1, $2, $3, 'ops', $4
			WHERE NOT EXISTS (SELECT 1 FROM exception e WHERE e.spell_id = $2 AND e.kind = $1 AND e.closed_at IS NULL)`,
			webhookUndelivered, one.spell,
			"webhook: client "+p.client.ID+" has not taken its Task for a day; it is tried every hour. See that its address answers with 2xx", now)
		return err
	})
}

// taken ends the posting of a version; of a newer one that came meanwhile it begins at once. The deletion comes before the update: it waits for
// whoever is just saving a newer version, which the update then sees.
func (p *poster) taken(ctx context.Context, tx pgx.Tx, now time.Time, one post) error {
	if _, err := tx.Exec(ctx, `UPDATE webhook_attempt SET taken_at = $3 WHERE task_id = $2 AND client = $1 AND version <= $4 AND taken_at IS NULL`,
		p.client.ID, one.task.id, now, one.task.Number); err != nil {
		return fmt.Errorf("note delivery: %w", err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM webhook_due WHERE client = $1 AND task_id = $2 AND version <= $3`,
		p.client.ID, one.task.id, one.task.Number); err != nil {
		return fmt.Errorf("note delivery: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE webhook_due SET attempts = 0, since = $3, next_at = $3 WHERE client = $1 AND task_id = $2 AND version > $4`,
		p.client.ID, one.task.id, now, one.task.Number); err != nil {
		return fmt.Errorf("note delivery: %w", err)
	}
	_, err := tx.Exec(ctx, `
		UPDATE exception SET closed_at = $3 WHERE spell_id = $1 AND kind = $2 AND closed_at IS NULL
			AND NOT EXISTS (SELECT 1 FROM webhook_due WHERE task_id = $4)`, one.spell, webhookUndelivered, now, one.task.id)
	return err
}

// retryPost is how long to wait after so many attempts: doubling to five minutes, and an hour after a day, for each Task up to a tenth more or
// less, so that what failed together does not come back together.
func retryPost(task uuid.UUID, attempts int, waited time.Duration) time.Duration {
	d := min(firstRetry<<min(attempts-1, 20), maxRetry)
	if waited >= slowAfter {
		d = slowRetry
	}
	return d - d/10 + d/5*time.Duration(task[15])/256
}

// send posts a Task, signed. Anything but 2xx is an error.
func (p *poster) send(ctx context.Context, one post) (status int, err error) {
	ctx, span := p.tracer.Start(ctx, "POST webhook", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("homeward.client", p.client.ID), attribute.String("homeward.spell.id", one.spell.String()),
		attribute.String("homeward.reference", one.task.handover.Reference), attribute.Int64("homeward.version", one.task.Number)))
	defer span.End()
	system := ""
	for _, f := range p.client.Feeds {
		if f.Provider == one.task.handover.Provider && f.VisitSystem != "" {
			system = f.VisitSystem
		}
	}
	body, err := json.Marshal(one.task.handover.Task(one.task.Version, system))
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.client.Webhook.URL, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", fhirJSON)
	req.Header.Set("X-Request-ID", deliveryID(one.task))
	req.Header.Set("Homeward-Signature", signature(p.client.Webhook.Secret, p.now(), body))
	err = failpoint.Do(ctx, "webhook.post", func() error {
		resp, err := p.http.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
		status = resp.StatusCode
		return nil
	})
	var failed *url.Error
	switch {
	case errors.As(err, &failed) && failed.Timeout():
		err = fmt.Errorf("no answer within %s", p.http.Timeout)
	case failed != nil:
		err = failed.Err // the URL may hold a secret, and whoever asks knows it
	case err == nil && status/100 != 2:
		err = fmt.Errorf("answered %d; it must be 2xx", status)
	}
	return status, err
}

// deliveryID is the same for each attempt at a version, so that a receiver knows one that it has had.
func deliveryID(t taskRow) string { return uuid.NewSHA1(t.id, fmt.Append(nil, t.Number)).String() }

// signature is what a receiver checks: t is when it was signed, in seconds since 1970, and v1 is HMAC-SHA256 of `<t>.<body>` in hexadecimal.
func signature(secret []byte, now time.Time, body []byte) string {
	at := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte(at + "."))
	_, _ = mac.Write(body)
	return "t=" + at + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// readDeliveries is GET Task/[id]/$deliveries: every attempt to post the Task to the client who asks.
func readDeliveries(d *fhirDoor, c *call) (fhirReply, error) {
	id, err := uuid.Parse(c.http.PathValue("id"))
	if err != nil {
		return fhirReply{}, noTask()
	}
	tasks, err := d.store.fhirTasks(c.ctx, theTask(c, id))
	if err != nil {
		return fhirReply{}, err
	}
	if len(tasks) == 0 {
		return fhirReply{}, noTask()
	}
	rows, err := d.store.db.Pool.Query(c.ctx, `
		SELECT version, at, status, error FROM webhook_attempt WHERE task_id = $1 AND client = $2 ORDER BY id DESC LIMIT $3`, id, c.client, maxCount)
	if err != nil {
		return fhirReply{}, fmt.Errorf("read attempts: %w", err)
	}
	var list []fhir.Attempt
	var a fhir.Attempt
	if _, err := pgx.ForEachRow(rows, []any{&a.Version, &a.At, &a.Status, &a.Error}, func() error {
		list = append(list, a)
		return nil
	}); err != nil {
		return fhirReply{}, fmt.Errorf("read attempts: %w", err)
	}
	return fhirReply{status: http.StatusOK, body: fhir.Deliveries(list)}, nil
}
