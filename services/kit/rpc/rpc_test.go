package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/devinfra"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/services/kit/rpc"
)

// explainer is a service whose one method does what the test says.
type explainer struct {
	opsv1.UnimplementedExplainServiceServer
	do func(ctx context.Context) error
}

func (e *explainer) ExplainHandover(ctx context.Context, _ *opsv1.ExplainHandoverRequest) (*opsv1.ExplainHandoverResponse, error) {
	return &opsv1.ExplainHandoverResponse{}, e.do(ctx)
}

// log is what a server logged.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.buf.String(), s)
}

type server struct {
	addr   string
	issuer *devinfra.Issuer
	log    *log
	conn   *grpc.ClientConn
	call   func(ctx context.Context) error
}

func start(t *testing.T, do func(context.Context) error, probes map[string]func(context.Context) error) *server {
	t.Helper()
	t.Parallel()
	s := &server{issuer: kittest.Issuer(t), log: &log{}}
	verifier, err := authn.NewVerifier(s.issuer.KeysFile(), devinfra.IssuerName)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := rpc.NewServer(rpc.ServerConfig{
		Addr: "127.0.0.1:0", Verifier: verifier, Table: authn.Table{opsv1.ExplainService_ExplainHandover_FullMethodName: {authn.Ops}},
		Tracer: noop.NewTracerProvider(), Log: slog.New(slog.NewJSONHandler(s.log, nil)), Probes: probes,
	})
	if err != nil {
		t.Fatal(err)
	}
	opsv1.RegisterExplainServiceServer(srv, &explainer{do: do})
	kittest.Start(t, srv.Serve)
	s.addr = srv.Addr()
	s.conn = kittest.Dial(t, s.addr, s.issuer, authn.Principal{Subject: "test:ops", Roles: []authn.Role{authn.Ops}})
	s.call = func(ctx context.Context) error {
		_, err := opsv1.NewExplainServiceClient(s.conn).ExplainHandover(ctx, &opsv1.ExplainHandoverRequest{})
		return err
	}
	return s
}

func TestCallWithoutADeadlineGetsOne(t *testing.T) {
	var left time.Duration
	s := start(t, func(ctx context.Context) error {
		at, ok := ctx.Deadline()
		if !ok {
			t.Error("the handler has no deadline")
		}
		left = time.Until(at)
		return nil
	}, nil)
	if err := s.call(context.Background()); err != nil {
		t.Fatal(err)
	}
	if left > 10*time.Second {
		t.Errorf("%v are left", left)
	}
}

func TestServerKeepsAPieceOfTheDeadlineForItsAnswer(t *testing.T) {
	s := start(t, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := s.call(ctx); status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "read, then repeat") {
		t.Errorf("the client gave up before the server answered: %v", err)
	}
}

func TestPanicBecomesInternalWithoutItsText(t *testing.T) {
	s := start(t, func(context.Context) error { panic("secret of 9990000026") }, nil)
	for range 2 { // and the server lives
		if err := s.call(t.Context()); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
			t.Errorf("error %v", err)
		}
	}
	if !s.log.has("secret of") || !s.log.has("panic in a call") {
		t.Error("the log does not have the cause")
	}
}

func TestUnknownErrorIsLoggedAndItsTextStaysInside(t *testing.T) {
	s := start(t, func(context.Context) error { return errors.New("connect to db-7.internal failed") }, nil)
	if err := s.call(t.Context()); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "db-7") {
		t.Errorf("error %v", err)
	}
	if !s.log.has("db-7") {
		t.Error("the log does not have the cause")
	}
}

func TestFaultReachesTheCallerWithItsText(t *testing.T) {
	s := start(t, func(context.Context) error {
		return fault.New(fault.Precondition, "the task is closed: open it again first")
	}, nil)
	if err := s.call(t.Context()); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "open it again") {
		t.Errorf("error %v", err)
	}
}

func TestNobodyGetsInWithoutAToken(t *testing.T) {
	s := start(t, func(context.Context) error { t.Error("the handler was reached"); return nil }, nil)
	conn, err := rpc.Dial(s.addr, func() (string, error) { return "", nil }, noop.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := opsv1.NewExplainServiceClient(conn).ExplainHandover(t.Context(), &opsv1.ExplainHandoverRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("error %v", err)
	}
	other := kittest.Dial(t, s.addr, s.issuer, authn.Principal{Subject: "test:hub", Roles: []authn.Role{authn.HubStaff}})
	if _, err := opsv1.NewExplainServiceClient(other).ExplainHandover(t.Context(), &opsv1.ExplainHandoverRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("error %v", err)
	}
}

// rawCall sends one gRPC request with any :path over plain HTTP/2 and returns the HTTP and the gRPC status of the answer.
func rawCall(t *testing.T, addr, path, token string) (httpStatus, grpcStatus string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var headers bytes.Buffer
	enc := hpack.NewEncoder(&headers)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", addr}, {"content-type", "application/grpc"},
		{"te", "trailers"}, {"authorization", "Bearer " + token}} {
		if err := enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(framer.WriteSettings(), framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers.Bytes(), EndHeaders: true}),
		framer.WriteData(1, true, make([]byte, 5))); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			return httpStatus, grpcStatus
		}
		if h, ok := f.(*http2.MetaHeadersFrame); ok {
			for _, field := range h.Fields {
				switch field.Name {
				case ":status":
					httpStatus = field.Value
				case "grpc-status":
					grpcStatus = field.Value
				}
			}
			if h.StreamEnded() {
				return httpStatus, grpcStatus
			}
		}
		if _, ok := f.(*http2.RSTStreamFrame); ok {
			return httpStatus, grpcStatus
		}
	}
}

func TestPathWithoutItsSlashReachesNoHandler(t *testing.T) {
	reached := false
	s := start(t, func(context.Context) error { reached = true; return nil }, nil)
	token, err := s.issuer.Mint(authn.Principal{Subject: "test:ops", Roles: []authn.Role{authn.Ops}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	path := opsv1.ExplainService_ExplainHandover_FullMethodName
	if _, got := rawCall(t, s.addr, path, token); got != "0" || !reached {
		t.Fatalf("a good raw call: status %q, reached %v", got, reached)
	}
	reached = false
	for _, p := range []string{path[1:], "/" + path, path + "/", strings.ToLower(path), "/../" + path[1:]} {
		if _, got := rawCall(t, s.addr, p, token); got == "0" || reached {
			t.Errorf("%s: status %q, reached %v", p, got, reached)
		}
	}
}

func TestServerRefusesToServeAMethodWithoutARow(t *testing.T) {
	t.Parallel()
	srv, err := rpc.NewServer(rpc.ServerConfig{Addr: "127.0.0.1:0", Table: authn.Table{}, Tracer: noop.NewTracerProvider(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Stop()
	opsv1.RegisterExplainServiceServer(srv, &explainer{})
	if err := srv.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), "has no row") {
		t.Errorf("error %v", err)
	}
}

func TestPortInUseIsToldAtOnce(t *testing.T) {
	s := start(t, nil, nil)
	if _, err := rpc.NewServer(rpc.ServerConfig{Addr: s.addr}); err == nil || !strings.Contains(err.Error(), "GRPC_ADDR") {
		t.Errorf("error %v", err)
	}
}

func TestStopFinishesTheCallInHand(t *testing.T) {
	t.Parallel()
	issuer := kittest.Issuer(t)
	verifier, err := authn.NewVerifier(issuer.KeysFile(), devinfra.IssuerName)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := rpc.NewServer(rpc.ServerConfig{
		Addr: "127.0.0.1:0", Verifier: verifier, Table: authn.Table{opsv1.ExplainService_ExplainHandover_FullMethodName: {authn.Ops}},
		Tracer: noop.NewTracerProvider(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	inHand, finish := make(chan struct{}), make(chan struct{})
	opsv1.RegisterExplainServiceServer(srv, &explainer{do: func(context.Context) error { close(inHand); <-finish; return nil }})
	ctx, cancel := context.WithCancel(t.Context())
	served, called := make(chan error, 1), make(chan error, 1)
	go func() { served <- srv.Serve(ctx) }()
	conn := kittest.Dial(t, srv.Addr(), issuer, authn.Principal{Subject: "test:ops", Roles: []authn.Role{authn.Ops}})
	go func() {
		_, err := opsv1.NewExplainServiceClient(conn).ExplainHandover(context.Background(), &opsv1.ExplainHandoverRequest{})
		called <- err
	}()
	<-inHand
	cancel()
	close(finish)
	if err := errors.Join(<-called, <-served); err != nil {
		t.Error(err)
	}
}

func (s *server) health(t *testing.T) healthv1.HealthCheckResponse_ServingStatus {
	t.Helper()
	resp, err := healthv1.NewHealthClient(s.conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetStatus()
}

func TestHealthIsNotServingBeforeTheDependenciesHaveAnswered(t *testing.T) {
	answer := make(chan struct{})
	s := start(t, nil, map[string]func(context.Context) error{"PostgreSQL": func(ctx context.Context) error {
		select {
		case <-answer:
		case <-ctx.Done():
		}
		return nil
	}})
	if got := s.health(t); got != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health %v though nobody has answered yet", got)
	}
	close(answer)
	kittest.Eventually(t, "it is healthy", func() bool { return s.health(t) == healthv1.HealthCheckResponse_SERVING })
}

func TestHealthFollowsPostgreSQL(t *testing.T) {
	folder, err := os.MkdirTemp("", "hw-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o755); err != nil { // PostgreSQL may run as another user
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	opts := devinfra.PostgresOptions{Dir: filepath.Join(folder, "pg")}
	p, err := devinfra.StartPostgres(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop() })
	db, err := pg.Open(p.URL("postgres"), pg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	s := start(t, nil, map[string]func(context.Context) error{"PostgreSQL": db.Ping})
	becomes := func(what string, want healthv1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		kittest.Eventually(t, what, func() bool { return s.health(t) == want })
	}
	becomes("it is healthy", healthv1.HealthCheckResponse_SERVING)
	if err := p.KillGroup(); err != nil {
		t.Fatal(err)
	}
	becomes("it is not healthy without PostgreSQL", healthv1.HealthCheckResponse_NOT_SERVING)
	if !s.log.has(`"dependency":"PostgreSQL"`) {
		t.Error("the log does not name the dependency")
	}
	if p, err = devinfra.StartPostgres(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	becomes("it is healthy again", healthv1.HealthCheckResponse_SERVING)
}
