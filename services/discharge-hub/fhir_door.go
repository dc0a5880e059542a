package dischargehub

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/discharge-hub/identity"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/run"
)

// fhirDoor answers FHIR R4 over HTTP, and gives tokens to the machines that use it.
type fhirDoor struct {
	base     string // of all FHIR addresses, such as https://homeward.example/fhir
	feeds    func() map[string]discharge.Feed
	verifier *authn.Verifier
	tokens   http.Handler
	store    *store
	receive  func(ctx context.Context, m inbound) error
	pending  run.Wake
	rates    *rates
	now      func() time.Time
	tracer   trace.Tracer
	log      *slog.Logger
	// answeredAt is the clock by which answers are forgotten.
	answeredAt func() time.Time

	byMethod, byPath *http.ServeMux
}

// route is one interaction. The capability statement and the HTTP patterns are made of the same table.
type route struct {
	method, path string
	// resource and interaction are what the capability statement says; empty where it says it elsewhere or not.
	resource, interaction string
	handle                func(d *fhirDoor, c *call) (fhirReply, error)
	open                  bool // it needs no token
}

// call is one request of a client that has signed in.
type call struct {
	ctx       context.Context
	http      *http.Request
	client    string // its id
	feeds     []discharge.Feed
	requestID string
	body      []byte
	span      trace.Span
}

// fhirReply is an answer that went well.
type fhirReply struct {
	status         int
	location, etag string
	body           any
	text           []byte // instead of body
	contentType    string
}

// refusal is an answer that did not.
type refusal struct {
	status int
	issues []fhir.Issue
	after  time.Duration // when to ask again; 0 says nothing
}

func (r *refusal) Error() string { return fmt.Sprint(r.status, r.issues) }

func refuse(status int, code fhir.Code, format string, args ...any) *refusal {
	return &refusal{status: status, issues: []fhir.Issue{{Severity: fhir.Error, Code: code, Diagnostics: fmt.Sprintf(format, args...)}}}
}

// restCodes are the codes of Booking and Referrals for each status.
var restCodes = map[int]string{
	http.StatusBadRequest: "REC_BAD_REQUEST", http.StatusUnauthorized: "REC_UNAUTHORIZED", http.StatusForbidden: "REC_FORBIDDEN",
	http.StatusNotFound: "REC_NOT_FOUND", http.StatusMethodNotAllowed: "REC_METHOD_NOT_ALLOWED", http.StatusConflict: "REC_CONFLICT",
	http.StatusUnprocessableEntity: "REC_UNPROCESSABLE_ENTITY", http.StatusTooManyRequests: "REC_TOO_MANY_REQUESTS",
	http.StatusServiceUnavailable: "REC_UNAVAILABLE",
}

const (
	fhirJSON       = "application/fhir+json"
	maxFHIRBody    = 1 << 20
	maxHeader      = 16 << 10
	readTimeout    = 30 * time.Second
	callTimeout    = 15 * time.Second
	idleTimeout    = 2 * time.Minute
	maxRequestID   = 128
	tokenPath      = "/oauth2/token"
	fhirPath       = "/fhir"
	drainFHIRLimit = 10 * time.Second
)

// handler returns what answers HTTP requests.
func (d *fhirDoor) handler() http.Handler {
	d.byMethod, d.byPath = http.NewServeMux(), http.NewServeMux()
	paths := map[string]bool{}
	for _, r := range routes() {
		pattern := fhirPath + r.path
		d.byMethod.Handle(r.method+" "+pattern, d.answering(r))
		if !paths[pattern] {
			paths[pattern] = true
			d.byPath.Handle(pattern, http.NotFoundHandler())
		}
	}
	all := http.NewServeMux()
	all.Handle("POST "+tokenPath, d.tokens)
	all.HandleFunc("/", d.route)
	return all
}

func (d *fhirDoor) route(w http.ResponseWriter, r *http.Request) {
	if _, pattern := d.byMethod.Handler(r); pattern != "" {
		d.byMethod.ServeHTTP(w, r)
		return
	}
	if _, pattern := d.byPath.Handler(r); pattern != "" {
		d.write(w, r, fhirReply{}, refuse(http.StatusMethodNotAllowed, fhir.NotSupported, "%s is not offered here; /fhir/metadata says what is", r.Method))
		return
	}
	d.write(w, r, fhirReply{}, refuse(http.StatusNotFound, "not-found", "there is nothing at this address; /fhir/metadata says what is offered"))
}

// answering is a route with all that every request needs around it.
func (d *fhirDoor) answering(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header)), callTimeout)
		defer cancel()
		ctx, span := d.tracer.Start(ctx, rt.method+" "+fhirPath+rt.path, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			semconv.HTTPRequestMethodKey.String(rt.method), semconv.HTTPRoute(fhirPath+rt.path)))
		defer span.End()
		c := &call{ctx: ctx, http: r, span: span}
		answer, err := d.guarded(rt, w, c)
		status := d.write(w, r, answer, err)
		span.SetAttributes(semconv.HTTPResponseStatusCode(status), attribute.String("homeward.client", c.client))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "not answered")
			d.log.ErrorContext(ctx, "FHIR request failed", "route", rt.method+" "+rt.path, "client", c.client, "error", err)
		}
	})
}

// guarded handles a request; a panic is an error.
func (d *fhirDoor) guarded(rt route, w http.ResponseWriter, c *call) (answer fhirReply, err error) {
	defer func() {
		if p := recover(); p != nil {
			d.log.ErrorContext(c.ctx, "panic in a FHIR request", "route", rt.path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = errors.New("panic")
		}
	}()
	if !acceptsJSON(c.http) {
		return fhirReply{}, refuse(http.StatusNotAcceptable, fhir.NotSupported, "only %s is written here; accept that", fhirJSON)
	}
	if rt.open {
		return rt.handle(d, c)
	}
	if err := d.signIn(c); err != nil {
		return fhirReply{}, err
	}
	if wait := d.rates.wait(c.client); wait > 0 {
		return fhirReply{}, tooMany(wait)
	}
	if c.http.Method != http.MethodGet && !strings.HasSuffix(rt.path, "/_search") {
		if err := d.readBody(w, c); err != nil {
			return fhirReply{}, err
		}
	}
	return rt.handle(d, c)
}

// signIn finds out who is asking.
func (d *fhirDoor) signIn(c *call) error {
	token, found := strings.CutPrefix(c.http.Header.Get("Authorization"), "Bearer ")
	if !found {
		return refuse(http.StatusUnauthorized, "login", "send a token in the header Authorization, after the word Bearer; %s gives tokens", tokenPath)
	}
	p, err := d.verifier.Verify(token)
	if err != nil {
		return refuse(http.StatusUnauthorized, "login", "%v", err)
	}
	c.client = strings.TrimPrefix(p.Subject, "client:")
	feeds := d.feeds()
	for _, key := range p.Feeds {
		if f, ok := feeds[key]; ok && f.Door == discharge.DoorFHIR {
			c.feeds = append(c.feeds, f)
		}
	}
	if !p.Has(authn.Integration) || len(c.feeds) == 0 {
		return refuse(http.StatusForbidden, "forbidden", "this token may send and read for no feed of the FHIR door")
	}
	return nil
}

// readBody reads the body of a request that writes, and its id.
func (d *fhirDoor) readBody(w http.ResponseWriter, c *call) error {
	media, _, err := mime.ParseMediaType(c.http.Header.Get("Content-Type"))
	if err != nil || media != fhirJSON && media != "application/json" {
		return refuse(http.StatusUnsupportedMediaType, fhir.NotSupported, "Content-Type must be %s", fhirJSON)
	}
	if c.requestID = c.http.Header.Get("X-Request-ID"); !plainHeader(c.requestID) {
		return refuse(http.StatusBadRequest, fhir.Required, "send the header X-Request-ID, a new id for each request and the same when you repeat one: "+
			"by it a request that is repeated has no second effect")
	}
	c.body, err = io.ReadAll(http.MaxBytesReader(w, c.http.Body, maxFHIRBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return refuse(http.StatusRequestEntityTooLarge, "too-long", "a body may have %d bytes", maxFHIRBody)
	case err != nil:
		return refuse(http.StatusBadRequest, fhir.Structure, "the body did not arrive whole; send it again")
	}
	return nil
}

// plainHeader tells whether a header's value can be kept and echoed.
func plainHeader(s string) bool {
	return s != "" && len(s) <= maxRequestID && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func acceptsJSON(r *http.Request) bool {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if accept == "" {
		return true
	}
	for part := range strings.SplitSeq(accept, ",") {
		media, _, _ := mime.ParseMediaType(part)
		if slices.Contains([]string{"*/*", "application/*", fhirJSON, "application/json", "application/yaml"}, media) {
			return true
		}
	}
	return false
}

// write writes an answer and returns its status.
func (d *fhirDoor) write(w http.ResponseWriter, r *http.Request, answer fhirReply, err error) int {
	h := w.Header()
	for _, name := range []string{"X-Request-ID", "X-Correlation-ID"} {
		if v := r.Header.Get(name); plainHeader(v) {
			h.Set(name, v)
		}
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if err != nil {
		refused := refusalOf(err)
		for i := range refused.issues {
			if refused.issues[i].Severity == fhir.Error && refused.issues[i].Details == "" {
				refused.issues[i].Details = restCodes[refused.status]
			}
		}
		if refused.status == http.StatusUnauthorized {
			h.Set("WWW-Authenticate", `Bearer realm="homeward"`)
		}
		if refused.after > 0 {
			h.Set("Retry-After", retryAfter(refused.after))
		}
		answer = fhirReply{status: refused.status, body: fhir.Outcome(refused.issues...)}
	}
	body := answer.text
	if body == nil {
		body, _ = json.Marshal(answer.body) // objects of texts and numbers: it cannot fail
	}
	contentType := answer.contentType
	if contentType == "" {
		contentType = fhirJSON + "; charset=utf-8"
	}
	h.Set("Content-Type", contentType)
	if answer.location != "" {
		h.Set("Location", answer.location)
	}
	if answer.etag != "" {
		h.Set("ETag", answer.etag)
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(body)
	return answer.status
}

// refusalOf makes an answer of any error; what went wrong inside stays in the log.
func refusalOf(err error) *refusal {
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusServiceUnavailable, "timeout", "it took too long; nothing says whether it was stored: repeat it with the same X-Request-ID")
	}
	return refuse(http.StatusServiceUnavailable, "transient", "Homeward cannot store or read this now; repeat it with the same X-Request-ID")
}

// fhirListener is the door on a TCP port.
type fhirListener struct {
	lis    net.Listener
	server *http.Server
}

// listenFHIR opens the port; with a certificate, for TLS.
func listenFHIR(addr, certFile, keyFile string, handler http.Handler, log *slog.Logger) (*fhirListener, error) {
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("FHIR_ADDR: %w", err)
	}
	if certFile != "" {
		as := &identity.Identity{CertFile: certFile, KeyFile: keyFile, Log: log}
		if err := as.Check(); err != nil {
			return nil, errors.Join(fmt.Errorf("FHIR_TLS_CERT_FILE and FHIR_TLS_KEY_FILE: %w", err), lis.Close())
		}
		lis = tls.NewListener(lis, as.Server())
	}
	return &fhirListener{lis, &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: readTimeout, WriteTimeout: readTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}, nil
}

// serve answers requests until ctx ends, then finishes those in hand.
func (l *fhirListener) serve(ctx context.Context) error {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainFHIRLimit)
		defer cancel()
		_ = l.server.Shutdown(drain)
	}()
	if err := l.server.Serve(l.lis); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve FHIR: %w", err)
	}
	<-stopped
	return nil
}

// publicURL checks FHIR_PUBLIC_URL, under which clients reach the door.
func publicURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" {
		return "", errors.New("FHIR_PUBLIC_URL must be the address under which clients reach the FHIR door, such as https://homeward.example")
	}
	return strings.TrimSuffix(text, "/"), nil
}
