package inbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/homeward-care/homeward/services/kit/bus"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/inbox"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// data is an error of the server with this code.
func data(t testing.TB, code string) error {
	t.Helper()
	return &pgconn.PgError{Code: code, Message: "refused"}
}

// answered counts what became of the deliveries of a fetch.
type answered struct{ acks, retries int }

func (a *answered) delivery(e event.Event, malformed error) bus.Delivery {
	return bus.Delivery{Event: e, Malformed: malformed, Subject: "test.thing.x", Ack: func() { a.acks++ }, Retry: func(time.Duration) { a.retries++ }}
}

func fetched(d ...bus.Delivery) func(context.Context, int) ([]bus.Delivery, error) {
	return func(context.Context, int) ([]bus.Delivery, error) { return d, nil }
}

func TestConsumerAcknowledgesAfterTheCommit(t *testing.T) {
	in := newInbox(t, pg.Hooks{}, work(nil))
	var a answered
	d := a.delivery(snapshot(1, 1, 1), nil)
	d.Ack = func() {
		a.acks++
		expect(t, "effects at the time of the acknowledgement", effects(t, in), "1 1.1")
	}
	c := inbox.Consumer{Inbox: in, Fetch: fetched(d)}
	if _, err := c.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a != (answered{acks: 1}) {
		t.Errorf("answered %+v", a)
	}
}

func TestConsumerAsksAgainForWhatCouldNotBeApplied(t *testing.T) {
	in := newInbox(t, pg.Hooks{}, work(func(event.Event) error { return errors.New("away") }))
	var a answered
	c := inbox.Consumer{Inbox: in, Fetch: fetched(a.delivery(snapshot(1, 1, 1), nil), a.delivery(snapshot(2, 1, 1), nil))}
	if _, err := c.Step(t.Context()); err == nil {
		t.Error("the failure is told to nobody")
	}
	if a != (answered{retries: 2}) {
		t.Errorf("answered %+v", a)
	}
}

func TestConsumerPassesOverWhatIsNoEvent(t *testing.T) {
	in := newInbox(t, pg.Hooks{}, work(nil))
	var a answered
	c := inbox.Consumer{Inbox: in, Fetch: fetched(a.delivery(event.Event{}, errors.New("no event")), a.delivery(snapshot(1, 1, 1), nil))}
	if _, err := c.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a != (answered{acks: 2}) {
		t.Errorf("answered %+v", a)
	}
	expect(t, "effects", effects(t, in), "1 1.1")
}

func TestConsumerTellsWhenTheBusIsAway(t *testing.T) {
	in := newInbox(t, pg.Hooks{}, work(nil))
	away := errors.New("not connected")
	c := inbox.Consumer{Inbox: in, Fetch: func(context.Context, int) ([]bus.Delivery, error) { return nil, away }}
	if _, err := c.Step(t.Context()); !errors.Is(err, away) {
		t.Errorf("error %v", err)
	}
}
