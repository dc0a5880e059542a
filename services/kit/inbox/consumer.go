package inbox

import (
	"context"
	"errors"
	"time"

	"github.com/homeward-care/homeward/services/kit/bus"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/failpoint"
)

// consumeBatch bounds how many events one transaction applies.
const consumeBatch = 512

// retryAfter is how long the bus waits before it brings events again that could not be applied.
const retryAfter = time.Second

// Consumer brings events from the bus to an inbox and acknowledges them after the commit.
type Consumer struct {
	Inbox *Inbox
	// Fetch returns what is there, at most max deliveries, waiting a little when there is nothing.
	Fetch func(ctx context.Context, max int) ([]bus.Delivery, error)
}

// Step applies one batch.
func (c *Consumer) Step(ctx context.Context) (bool, error) {
	deliveries, err := c.Fetch(ctx, consumeBatch)
	if err != nil || len(deliveries) == 0 {
		return false, err
	}
	events := make([]event.Event, 0, len(deliveries))
	for _, d := range deliveries {
		if d.Malformed != nil {
			// It names no aggregate, so there is nothing to keep it under; reconciliation brings what it should have been.
			c.Inbox.Log.ErrorContext(ctx, "message ignored: it is not an event", "subject", d.Subject, "error", d.Malformed)
			continue
		}
		events = append(events, d.Event)
	}
	if failpoint.Bug("confirm-before-commit") {
		for _, d := range deliveries {
			d.Ack()
		}
	}
	if err := c.Inbox.Apply(ctx, events); err != nil {
		return false, errors.Join(err, each(ctx, "inbox.retry", deliveries, func(d bus.Delivery) { d.Retry(retryAfter) }))
	}
	return len(deliveries) == consumeBatch, each(ctx, "inbox.ack", deliveries, func(d bus.Delivery) { d.Ack() })
}

// each tells the bus the same of all deliveries.
func each(ctx context.Context, point string, deliveries []bus.Delivery, do func(bus.Delivery)) error {
	return failpoint.Do(ctx, point, func() error {
		for _, d := range deliveries {
			do(d)
		}
		return nil
	})
}
