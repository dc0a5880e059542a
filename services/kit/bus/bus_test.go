package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/homeward-care/homeward/services/kit/bus"
	"github.com/homeward-care/homeward/services/kit/devinfra"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/kittest"
)

const thing = "homeward.test.thing.v1"

func connect(t *testing.T, c bus.Config) *bus.Bus {
	t.Helper()
	b, err := bus.Connect(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// admin is a connection that does what only a test or an operator does.
func admin(t *testing.T, n *devinfra.NATS) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(n.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func snapshot(version int64) event.Event {
	return event.Event{
		Type: thing, ID: uuid.New(), Key: uuid.New(), Epoch: 2, Version: version,
		OccurredAt: time.Date(2026, 9, 1, 9, 30, 0, 123456000, time.UTC), RecordedAt: time.Date(2026, 9, 1, 9, 31, 0, 1000, time.UTC),
		Trace: trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled}),
		Data:  []byte("state"),
	}
}

// publish retries, as the relay does, until JetStream has acknowledged.
func publish(t *testing.T, p *bus.Publisher, events ...event.Event) {
	t.Helper()
	var err error
	kittest.Eventually(t, "the events are published", func() bool {
		err = errors.Join(p.Publish(t.Context(), events)...)
		return err == nil
	})
}

// fetch retries, as the consumer does, until want deliveries came.
func fetch(t *testing.T, s *bus.Subscription, want int) (got []bus.Delivery) {
	t.Helper()
	kittest.Eventually(t, fmt.Sprintf("%d deliveries come", want), func() bool {
		d, _ := s.Fetch(t.Context(), 100)
		got = append(got, d...)
		return len(got) >= want
	})
	return got
}

func TestEventComesBackAsItWentIn(t *testing.T) {
	t.Parallel()
	b := connect(t, bus.Config{URL: kittest.NATS(t).ClientURL(), Service: "consumer"})
	sent := snapshot(7)
	publish(t, b.Publisher("test"), sent)
	d := fetch(t, b.Subscribe("test", "test.thing.>"), 1)[0]
	sent.Trace = sent.Trace.WithRemote(true)
	if diff := cmp.Diff(sent, d.Event, cmp.Comparer(trace.SpanContext.Equal)); diff != "" || d.Malformed != nil {
		t.Errorf("%v %s", d.Malformed, diff)
	}
}

func TestMessageIsACloudEventInBinaryMode(t *testing.T) {
	t.Parallel()
	n := kittest.NATS(t)
	e := snapshot(7)
	publish(t, connect(t, bus.Config{URL: n.ClientURL(), Service: "producer"}).Publisher("test"), e)
	stream, err := admin(t, n).Stream(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	want := nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {e.EventID().String()}, "ce-source": {"/homeward/producer"}, "ce-type": {thing}, "ce-subject": {e.ID.String()},
		"ce-time": {"2026-09-01T09:31:00.000001Z"}, "content-type": {"application/protobuf"}, "ce-epoch": {"2"}, "ce-version": {"7"},
		"ce-partitionkey": {e.Key.String()}, "ce-occurredat": {"2026-09-01T09:30:00.123456Z"},
		"traceparent": {"00-01000000000000000000000000000000-0200000000000000-01"},
	}
	if d := cmp.Diff(want, m.Header); d != "" || m.Subject != "test.thing."+e.Key.String() || string(m.Data) != "state" {
		t.Errorf("subject %s, data %q, headers: %s", m.Subject, m.Data, d)
	}
}

func TestWhatIsNoEventIsToldAsMalformed(t *testing.T) {
	t.Parallel()
	n := kittest.NATS(t)
	b := connect(t, bus.Config{URL: n.ClientURL(), Service: "consumer"})
	publish(t, b.Publisher("test"), snapshot(1))
	stream, err := admin(t, n).Stream(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	good, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	spoilt := map[string]string{
		"ce-subject": "no uuid", "ce-partitionkey": "", "ce-epoch": "0", "ce-version": "-1", "ce-time": "yesterday", "ce-occurredat": "", "ce-type": "thing",
	}
	for name, value := range spoilt {
		h := nats.Header{}
		for k, v := range good.Header {
			h[k] = v
		}
		h[name] = []string{value}
		if _, err := admin(t, n).PublishMsg(t.Context(), &nats.Msg{Subject: good.Subject, Header: h, Data: good.Data}); err != nil {
			t.Fatal(err)
		}
	}
	malformed := 0
	for _, d := range fetch(t, b.Subscribe("test"), 1+len(spoilt)) {
		if d.Malformed != nil {
			malformed++
		}
	}
	if malformed != len(spoilt) {
		t.Errorf("%d of %d were told as malformed", malformed, len(spoilt))
	}
}

func TestOnlyTheSubjectsAskedForCome(t *testing.T) {
	t.Parallel()
	b := connect(t, bus.Config{URL: kittest.NATS(t).ClientURL(), Service: "consumer"})
	other := snapshot(1)
	other.Type = "homeward.test.other.v1"
	publish(t, b.Publisher("test"), other, snapshot(2))
	if d := fetch(t, b.Subscribe("test", "test.thing.>"), 1); len(d) != 1 || d[0].Event.Type != thing {
		t.Errorf("came: %v", d)
	}
}

func TestRetryBringsTheEventAgainAndAckDoesNot(t *testing.T) {
	t.Parallel()
	b := connect(t, bus.Config{URL: kittest.NATS(t).ClientURL(), Service: "consumer"})
	publish(t, b.Publisher("test"), snapshot(1), snapshot(2))
	s := b.Subscribe("test")
	for _, d := range fetch(t, s, 2) {
		if d.Event.Version == 1 {
			d.Retry(time.Millisecond)
		} else {
			d.Ack()
		}
	}
	again := fetch(t, s, 1)
	if len(again) != 1 || again[0].Event.Version != 1 {
		t.Errorf("came again: %v", again)
	}
}

func TestRetryDoesNotBringTheEventAgainBeforeItsTime(t *testing.T) {
	t.Parallel()
	b := connect(t, bus.Config{URL: kittest.NATS(t).ClientURL(), Service: "consumer"})
	p, s := b.Publisher("test"), b.Subscribe("test")
	publish(t, p, snapshot(1))
	fetch(t, s, 1)[0].Retry(time.Hour)
	publish(t, p, snapshot(2)) // after it came what NATS would bring at once
	came := fetch(t, s, 1)
	if more, err := s.Fetch(t.Context(), 100); err == nil {
		came = append(came, more...)
	}
	if len(came) != 1 || came[0].Event.Version != 2 {
		t.Errorf("came: %v", came)
	}
}

func TestWipedStreamIsMadeAgainByPublisherAndSubscriber(t *testing.T) {
	t.Parallel()
	n := kittest.NATS(t)
	b := connect(t, bus.Config{URL: n.ClientURL(), Service: "consumer"})
	p, s := b.Publisher("test"), b.Subscribe("test")
	publish(t, p, snapshot(1))
	fetch(t, s, 1)[0].Ack()
	if err := admin(t, n).DeleteStream(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	publish(t, p, snapshot(2))
	if d := fetch(t, s, 1); d[0].Event.Version != 2 {
		t.Errorf("came: %v", d)
	}
}

func TestStreamThatNATSHasStoppedIsMadeAgain(t *testing.T) {
	t.Parallel()
	r := newRestartable(t)
	n := r.start(t)
	b := connect(t, bus.Config{URL: r.url, Service: "consumer"})
	p, s := b.Publisher("test"), b.Subscribe("test")
	publish(t, p, snapshot(1))
	fetch(t, s, 1)[0].Ack()
	stop(t, n)
	// A flipped bit makes of the consumer's description one with a setting that no server knows.
	file := filepath.Join(r.opts.StoreDir, "jetstream", "$G", "streams", "test", "obs", "consumer", "meta.inf")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	spoilt := bytes.Replace(text, []byte("ack_policy"), []byte("ack_polhcy"), 1)
	if bytes.Equal(text, spoilt) {
		t.Fatalf("nothing to spoil in %s", text)
	}
	if err := os.WriteFile(file, spoilt, 0o600); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	publish(t, p, snapshot(2))
	if d := fetch(t, s, 1); d[0].Event.Version != 2 {
		t.Errorf("came: %v", d)
	}
}

func TestSubscriberBeforeAnyPublisherMakesTheStream(t *testing.T) {
	t.Parallel()
	b := connect(t, bus.Config{URL: kittest.NATS(t).ClientURL(), Service: "consumer"})
	s := b.Subscribe("test")
	if _, err := s.Fetch(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	publish(t, b.Publisher("test"), snapshot(1))
	fetch(t, s, 1)
}

func TestStreamKeepsWhatItsOperatorSet(t *testing.T) {
	t.Parallel()
	n := kittest.NATS(t)
	js := admin(t, n)
	set := jetstream.StreamConfig{Name: "test", Subjects: []string{"test.>"}, MaxAge: 90 * 24 * time.Hour, Description: "three replicas, say"}
	if _, err := js.CreateStream(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	b := connect(t, bus.Config{URL: n.ClientURL(), Service: "consumer"})
	publish(t, b.Publisher("test"), snapshot(1))
	fetch(t, b.Subscribe("test"), 1)
	stream, err := js.Stream(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().Config; got.MaxAge != set.MaxAge || got.Description != set.Description {
		t.Errorf("the stream was set back: %+v", got)
	}
}

func TestManyServicesMakeTheSameStreamAtOnce(t *testing.T) {
	t.Parallel()
	url := kittest.NATS(t).ClientURL()
	errs := make(chan error)
	const services = 8
	for i := range services {
		b := connect(t, bus.Config{URL: url, Service: "service-" + strconv.Itoa(i)})
		go func() {
			if i%2 == 0 {
				errs <- errors.Join(b.Publisher("test").Publish(t.Context(), []event.Event{snapshot(1)})...)
			} else {
				_, err := b.Subscribe("test").Fetch(t.Context(), 1)
				errs <- err
			}
		}()
	}
	for range services {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// restartable is a NATS server on a port and a folder of its own that outlive it.
type restartable struct {
	opts devinfra.NATSOptions
	url  string
}

func newRestartable(t *testing.T) *restartable {
	t.Helper()
	addr := kittest.FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return &restartable{opts: devinfra.NATSOptions{StoreDir: t.TempDir(), Port: number}, url: "nats://" + addr}
}

func (r *restartable) start(t *testing.T) *devinfra.NATS {
	t.Helper()
	n, err := devinfra.StartNATS(r.opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop() })
	return n
}

func stop(t *testing.T, n *devinfra.NATS) {
	t.Helper()
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
}

func TestConnectDoesNotWaitForAServerAndWorksOnceThereIsOne(t *testing.T) {
	t.Parallel()
	r := newRestartable(t)
	b := connect(t, bus.Config{URL: r.url, Service: "consumer"})
	if err := b.Ping(t.Context()); err == nil {
		t.Error("a server that is not there answered")
	}
	if err := errors.Join(b.Publisher("test").Publish(t.Context(), []event.Event{snapshot(1)})...); err == nil {
		t.Error("published to nobody")
	}
	r.start(t)
	publish(t, b.Publisher("test"), snapshot(1))
	if err := b.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRestartedServerIsFoundAgainWithItsEvents(t *testing.T) {
	t.Parallel()
	r := newRestartable(t)
	n := r.start(t)
	b := connect(t, bus.Config{URL: r.url, Service: "consumer"})
	p, s := b.Publisher("test"), b.Subscribe("test")
	publish(t, p, snapshot(1))
	fetch(t, s, 1)[0].Ack()
	publish(t, p, snapshot(2))
	stop(t, n)
	kittest.Eventually(t, "the loss is noticed", func() bool { return b.Ping(t.Context()) != nil })
	r.start(t)
	publish(t, p, snapshot(3))
	seen := map[int64]bool{}
	kittest.Eventually(t, "what was not yet brought comes", func() bool {
		d, _ := s.Fetch(t.Context(), 100)
		for _, d := range d {
			seen[d.Event.Version] = true
			d.Ack()
		}
		return seen[2] && seen[3]
	})
}

func TestOutageLeavesNoSubscriptionsBehind(t *testing.T) {
	t.Parallel()
	r := newRestartable(t)
	n := r.start(t)
	b := connect(t, bus.Config{URL: r.url, Service: "consumer"})
	s := b.Subscribe("test")
	publish(t, b.Publisher("test"), snapshot(1))
	fetch(t, s, 1)
	stop(t, n)
	kittest.Eventually(t, "the loss is noticed", func() bool { return b.Ping(t.Context()) != nil })
	for failed := 0; failed < 200; {
		if _, err := s.Fetch(t.Context(), 10); err != nil {
			failed++
		}
	}
	n = r.start(t)
	publish(t, b.Publisher("test"), snapshot(2))
	conns, err := n.Connz(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conns.Conns {
		if c.NumSubs > 20 {
			t.Errorf("%d subscriptions after an outage", c.NumSubs)
		}
	}
}

func TestServerThatRefusesThePasswordForAWhileIsFoundAgain(t *testing.T) {
	t.Parallel()
	r := newRestartable(t)
	user := func(password string) []devinfra.NATSUser {
		return []devinfra.NATSUser{{Name: "hub", Password: password, Publishes: []string{"test.>"}}}
	}
	r.opts.Users = user("right")
	n := r.start(t)
	b := connect(t, bus.Config{URL: r.url, User: "hub", Password: "right", Service: "hub"})
	publish(t, b.Publisher("test"), snapshot(1))
	stop(t, n)

	r.opts.Users = user("changed too early")
	n = r.start(t)
	kittest.Eventually(t, "the server has refused more than once", func() bool {
		closed, err := n.Connz(&server.ConnzOptions{State: server.ConnClosed})
		return err == nil && len(closed.Conns) > 3
	})
	stop(t, n)

	r.opts.Users = user("right")
	r.start(t)
	publish(t, b.Publisher("test"), snapshot(2))
}

func TestAcknowledgementsThatNeverComeDoNotStallThePublisher(t *testing.T) {
	t.Parallel()
	n := kittest.NATS(t)
	b := connect(t, bus.Config{URL: n.ClientURL(), Service: "producer"})
	p := b.Publisher("test")
	publish(t, p, snapshot(1))
	// A stream without its leader: messages are taken by somebody, and nobody acknowledges.
	js := admin(t, n)
	if err := js.DeleteStream(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	silent, err := js.Conn().Subscribe("test.>", func(*nats.Msg) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	many := make([]event.Event, 1024)
	for i := range many {
		many[i] = snapshot(int64(i + 1))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := errors.Join(p.Publish(ctx, many)...); err == nil {
		t.Fatal("nobody acknowledged, and yet all is published")
	}
	if err := silent.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	publish(t, p, snapshot(2))
}
