package inbox

import (
	"context"
	"time"

	"github.com/homeward-care/homeward/services/kit/bus"
	"github.com/homeward-care/homeward/services/kit/event"
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
	if err := c.Inbox.Apply(ctx, events); err != nil {
		for _, d := range deliveries {
			d.Retry(retryAfter)
		}
		return false, err
	}
	for _, d := range deliveries {
		d.Ack()
	}
	return len(deliveries) == consumeBatch, nil
}
