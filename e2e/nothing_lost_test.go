package e2e

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/e2e/storm"
)

// TestNothingIsLost is a short slice of what `make storm` does: each kind of fault strikes once or twice, save those that need the rights of
// root. What was acknowledged comes out right, and nothing of the people is found where it does not belong: errors are what leaks first.
func TestNothingIsLost(t *testing.T) {
	s, err := storm.Start(t.Context(), storm.Options{Length: 80 * time.Second, Seed: 2026, Without: []string{"disk full"}, Binaries: maps.Clone(binaries), Say: say})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	report, err := s.Run(t.Context())
	t.Logf("the storm:\n%s", report)
	if err != nil || len(report.Violations) > 0 {
		t.Fatalf("%d violations: %v", len(report.Violations), err)
	}
	p, err := open(s.Stack)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	who := newPeople()
	for i, m := range s.Told() {
		if i%20 == 0 { // a share of the people; the search is slow
			who.addMessage(m.Fields)
			who.addPerson(m.Event.GetPerson())
		}
	}
	if err := p.findNoIdentifiers(who); err != nil {
		t.Error(err)
	}
}

// allDelivered says whether the hub holds nothing that is not interpreted, or not confirmed by community-pickup at its version.
func (p *platform) allDelivered(ctx context.Context) error {
	open, err := query(ctx, p, "discharge-hub", pgx.RowTo[int], `
		SELECT (SELECT count(*) FROM inbound_pending) + (SELECT count(*) FROM spell s JOIN outbox o USING (id)
			WHERE (s.delivered_epoch, s.delivered_version) <> (o.epoch, o.version))`)
	if err != nil {
		return err
	}
	if open[0] != 0 {
		return fmt.Errorf("%d messages or spells are on the way", open[0])
	}
	return nil
}
