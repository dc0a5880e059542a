package matrix

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/homeward-care/homeward/e2e/hospital"
	"github.com/homeward-care/homeward/e2e/oracle"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/kit/devinfra"
	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// answeredFeeds are those whose wards are told.
var answeredFeeds = []string{"mse-basildon", "mse-all"}

// receive opens what the hospital is told back by, and returns the hub's variables for it.
func (w *world) receive() ([]string, error) {
	const secret = "a secret of the matrix, of 32 bytes or more"
	checkout, err := devinfra.Checkout()
	if err != nil {
		return nil, err
	}
	client, err := stack.OpenClient(w.dir)
	if err != nil {
		return nil, err
	}
	w.signIn = func(ctx context.Context) (string, error) { return client.Token(ctx, w.FHIR) }
	if w.told, err = hospital.OpenWebhook(secret); err != nil {
		return nil, err
	}
	if w.ward, err = hospital.OpenWard(); err != nil {
		return nil, err
	}
	return hospital.Wiring{
		Feeds: filepath.Join(checkout, "services", hub, "feeds"), Client: filepath.Join(stack.ClientsDir(w.dir), "dev-hospital.json"),
		Answered: answeredFeeds, Ward: w.ward.Addr, Webhook: w.told.Addr, Secret: secret,
	}.Environment(w.dir)
}

// byFHIR is somebody who is discharged by FHIR, of whom the hospital's other system then tells another practice by HL7, and whose task is
// taken. The discharge is sent once more when its answer is long there.
func (s *story) byFHIR(ctx context.Context) error {
	p := s.person("F")
	left := s.began.Add(-24 * time.Hour)
	told, ok := oracle.ByFHIR(p.home(left, nil), s.began)
	if !ok {
		return errors.New("the discharge cannot be told by FHIR")
	}
	first, err := s.request(ctx, told)
	if err != nil {
		return err
	}
	return cmp.Or(
		s.send(ctx, told, p.message("A08", left.Add(time.Hour).Truncate(time.Second), func(says *oracle.Says) { says.Practice = "F81010" })),
		s.act(ctx, p.spell(), oracle.Acted{Command: "take"}, func(t oracle.Seen) bool { return t.Progress == "taken" }, func(id string, version int64) error {
			_, err := s.w.tasks.TakeTask(ctx, &pickupv1.TakeTaskRequest{TaskId: id, Version: version})
			return err
		}),
		again(ctx, "read what was sent", func() error {
			_, err := s.door.Get(ctx, "/fhir/Encounter/"+p.spell())
			return err
		}),
		again(ctx, "repeat the request", func() error {
			repeated, err := s.request(ctx, told)
			if err == nil && (repeated.Status != first.Status || !bytes.Equal(repeated.Body, first.Body)) {
				err = fmt.Errorf("the same request was answered %d %s, and then %d %s", first.Status, first.Body, repeated.Status, repeated.Body)
			}
			return err
		}),
	)
}

// client is a client of the FHIR door, which signs in anew.
func (w *world) client() *hospital.FHIR { return &hospital.FHIR{Door: w.FHIR, SignIn: w.signIn} }

// byResource is somebody of whom one clerk or two tell resource by resource.
func (s *story) byResource(ctx context.Context) error {
	doors := []*hospital.FHIR{s.w.client(), s.w.client()}[:1+s.n%2]
	if err := s.desk.Work(ctx, 5, doors...); err != nil {
		return err
	}
	return s.desk.Repeat(ctx, doors[0])
}

// request sends a message by FHIR until it is stored.
func (s *story) request(ctx context.Context, m oracle.Told) (hospital.FHIRAnswer, error) {
	return s.door.Post(ctx, m.ControlID, m.FHIR)
}

func (s *story) post(ctx context.Context, m oracle.Told) error {
	_, err := s.request(ctx, m)
	return err
}

// merge is what a merge must have come to: the spell's team is that of the practice that was told under the number that survived.
type merge struct {
	spell, team string
	sent        []string // control ids
}

// merged is somebody with two patient numbers, who has left under the one; of the practice the hospital knows under the other.
func (s *story) merged(ctx context.Context) error {
	p := s.person("G")
	p.says.Practice = ""
	left := s.began.Add(-24 * time.Hour)
	discharge := p.home(left, nil)
	about := func(kind, id string, fields hospital.Message) hospital.Message {
		m := changed(discharge.Fields, hospital.Message{"MSH-9": "ADT^" + kind, "EVN-1": kind, "MSH-10": p.key + id, "PID-3": "S" + p.key + "^^^RAJ^PI",
			"PV1-2": "", "PV1-19": "", "PV1-36": "", "PV1-37": "", "PV1-44": "", "PV1-45": ""})
		return changed(m, fields)
	}
	sender := hospital.Sender{Addr: s.w.MLLP}
	defer sender.Close()
	want := merge{spell: p.spell(), team: "CLS-ASOP"}
	for _, m := range []hospital.Message{
		discharge.Fields,
		about("A31", "-P", hospital.Message{"PD1-3": "^^F81010", "PID-11": "", "EVN-2": left.Add(-time.Hour).In(oracle.London).Format("20060102150405-0700")}),
		about("A40", "-M", hospital.Message{"MRG-1": p.says.Patient + "^^^RAJ^PI", "PID-11": ""}),
	} {
		if err := sender.SendUntilAccepted(ctx, m.Encode()); err != nil {
			return err
		}
		want.sent = append(want.sent, m["MSH-10"])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.merges = append(s.merges, want)
	return nil
}
