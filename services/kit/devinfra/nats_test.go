package devinfra

import (
	"context"
	"errors"
	"net"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func startNATS(t *testing.T, opts NATSOptions) *NATS {
	t.Helper()
	n, err := StartNATS(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func connect(t *testing.T, n *NATS, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(n.ClientURL(), opts...)
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

func TestNATSKeepsItsStreamsOverARestart(t *testing.T) {
	opts := NATSOptions{StoreDir: t.TempDir(), Port: -1}
	n := startNATS(t, opts)
	js := connect(t, n)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "discharge", Subjects: []string{"discharge.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "discharge.spell", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}

	js = connect(t, startNATS(t, opts))
	stream, err := js.Stream(t.Context(), "discharge")
	if err != nil {
		t.Fatal(err)
	}
	message, err := stream.GetMsg(t.Context(), 1)
	if err != nil || string(message.Data) != "kept" {
		t.Fatalf("got %v, %v", message, err)
	}
}

func TestNATSUserPublishesOnItsOwnSubjectsOnly(t *testing.T) {
	n := startNATS(t, NATSOptions{Port: -1, Users: []NATSUser{
		{Name: "discharge-hub", Password: "a", Publishes: []string{"discharge.>"}},
		{Name: "community-pickup", Password: "b", Publishes: []string{"pickup.>"}},
	}})
	if _, err := nats.Connect(n.ClientURL()); err == nil {
		t.Error("a connection without a user was accepted")
	}
	hub := connect(t, n, nats.UserInfo("discharge-hub", "a"))
	pickup := connect(t, n, nats.UserInfo("community-pickup", "b"))
	if _, err := hub.CreateStream(t.Context(), jetstream.StreamConfig{Name: "discharge", Subjects: []string{"discharge.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := hub.Publish(t.Context(), "discharge.spell", []byte("mine")); err != nil {
		t.Errorf("its own subject: %v", err)
	}
	conn := pickup.Conn()
	if err := conn.Publish("discharge.spell", []byte("not mine")); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(conn.LastError(), nats.ErrPermissionViolation) {
		t.Errorf("another service's subject: %v", conn.LastError())
	}

	consumer, err := pickup.CreateConsumer(t.Context(), "discharge", jetstream.ConsumerConfig{Durable: "community-pickup", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	message, err := consumer.Next()
	if err != nil || string(message.Data()) != "mine" {
		t.Fatalf("another service's event: %v, %v", message, err)
	}
	if err := message.DoubleAck(t.Context()); err != nil {
		t.Errorf("acknowledge: %v", err)
	}
}

// TestNATSThatCanStoreNothingMoreIsSick lets the server meet the end of its disk: a limit to the size of files, for this process.
func TestNATSThatCanStoreNothingMoreIsSick(t *testing.T) {
	n := startNATS(t, NATSOptions{Port: freePort(t)})
	js := connect(t, n)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "disk", Subjects: []string{"disk"}}); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100_000, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sick := make(chan error, 1)
	go func() { sick <- n.UntilSick(ctx) }()
	for range 4 {
		_, _ = js.PublishMsgAsync(&nats.Msg{Subject: "disk", Data: make([]byte, 50_000)}) // the last is never acknowledged
	}
	err := <-sick
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err == nil {
		t.Error("a server that stores nothing was never called sick")
	}
}

// A server that starts on a full disk stores again when there is room: nothing of its configuration is taken from the disk.
func TestNATSTakesItsLimitNotFromTheDiskAtItsStart(t *testing.T) {
	if got := startNATS(t, NATSOptions{}).JetStreamConfig().MaxStore; got != maxStore {
		t.Errorf("files may have %d bytes, want %d", got, int64(maxStore))
	}
}

func TestNATSWithoutAPortServesThisProcess(t *testing.T) {
	n := startNATS(t, NATSOptions{})
	conn, err := nats.Connect("", nats.InProcessServer(n))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
