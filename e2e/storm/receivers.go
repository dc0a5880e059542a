package storm

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/homeward-care/homeward/e2e/hospital"
	"github.com/homeward-care/homeward/services/kit/devinfra"
	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// receivers are what the hospital is told back by: its webhook, and the ward's.
type receivers struct {
	webhook *hospital.Webhook
	ward    *hospital.Ward
}

// answeredFeeds are those whose wards are told: not the busiest one, whose answers one after another would be a benchmark on a busy machine.
var answeredFeeds = []string{"mse-all", "bhrut"}

// receive opens the receivers, each behind a breakable way, and returns the hub's variables for them.
func (s *storm) receive() ([]string, error) {
	const secret = "a secret of the storm, of 32 bytes or more"
	checkout, err := devinfra.Checkout()
	if err != nil {
		return nil, err
	}
	if _, err := stack.OpenClient(s.dir); err != nil {
		return nil, err
	}
	if s.receivers.webhook, err = hospital.OpenWebhook(secret); err != nil {
		return nil, err
	}
	if s.receivers.ward, err = hospital.OpenWard(); err != nil {
		return nil, err
	}
	webhook, err := s.links.through("discharge-hub", "webhook", s.receivers.webhook.Addr)
	if err != nil {
		return nil, err
	}
	ward, err := s.links.through("discharge-hub", "ward", s.receivers.ward.Addr)
	if err != nil {
		return nil, err
	}
	return hospital.Wiring{
		Feeds: filepath.Join(checkout, "services", "discharge-hub", "feeds"), Client: filepath.Join(stack.ClientsDir(s.dir), "dev-hospital.json"),
		Answered: answeredFeeds, Ward: ward, Webhook: webhook, Secret: secret,
	}.Environment(s.dir)
}

func (r receivers) close() {
	if r.webhook != nil {
		r.webhook.Close()
	}
	if r.ward != nil {
		r.ward.Close()
	}
}

// ofManners is a receiver that can be told how to behave.
type ofManners interface {
	Behave(hospital.Manner)
	Met() int
}

// receiverFaults make the receivers themselves fail. One counts when a delivery has met it to its end.
func (s *storm) receiverFaults() []fault {
	var kinds []fault
	add := func(name string, receiver ofManners) {
		var alone sync.Mutex // one may wait long for a delivery
		of := func(words string, manner hospital.Manner) {
			kinds = append(kinds, fault{name + " " + words, name, func(ctx context.Context, _ *rand.Rand) (func() error, error) {
				alone.Lock()
				receiver.Behave(manner)
				heal := func() error {
					receiver.Behave(hospital.Takes)
					alone.Unlock()
					return nil
				}
				for end := time.Now().Add(recovery); receiver.Met() == 0; sleep(ctx, 20*time.Millisecond) {
					if time.Now().After(end) || ctx.Err() != nil {
						return heal, errors.New("no delivery met it")
					}
				}
				return heal, nil
			}})
		}
		of("refuses", hospital.Refuses)
		of("answers after the time-out", hospital.Late)
		of("takes and hangs up", hospital.Cuts)
		of("answers something else", hospital.Mumbles)
	}
	add("webhook", s.receivers.webhook)
	add("ward", s.receivers.ward)
	return kinds
}
