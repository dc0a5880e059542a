package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// TestServicesThatWereRestoredComeToTheSameOutcomes puts first community-pickup and then discharge-hub back to a backup from before most of
// what happened, as the operator does it, and has the hospital send again.
func TestServicesThatWereRestoredComeToTheSameOutcomes(t *testing.T) {
	p := startAnother(t)
	restored := []string{"community-pickup", "discharge-hub"}
	now := time.Now().In(london)
	stamp := func(d time.Duration) string { return now.Add(d).Format("20060102150405") }
	var all []sent
	say := func(who int, header ...string) {
		t.Helper()
		s := newScript("")
		s.set(t, []string{fmt.Sprintf("PID-3=QR88%02d^^^RAJ^PI", who), "PID-5=RESTORERIDGE^ROWENNA", "PID-7=19380606",
			"PID-11=8 KITEHOLLOW LANE^^GRAYS^ESSEX^RM17 6CC^GBR^H", "PD1-3=^^F81155", fmt.Sprintf("PV1-19=BACK%d", who)})
		m := s.message(t, header)
		all = append(all, m)
		p.replay(t, []sent{m})
	}
	discharge := func(who int, control string, ago time.Duration) {
		t.Helper()
		say(who, "A03", control, stamp(-ago), "PV1-36=1", "PV1-37=19", "PV1-45="+stamp(-ago))
	}
	settled := func() {
		t.Helper()
		eventually(t, "everything is delivered, and the hub holds what community-pickup publishes", func() error {
			if err := p.allDelivered(t.Context()); err != nil {
				return err
			}
			const sum = `SELECT coalesce(md5(string_agg(id || ':' || epoch || ':' || version, ',' ORDER BY id)), '') FROM `
			published, err := query(t.Context(), p, "community-pickup", pgx.RowTo[string], sum+`outbox`)
			if err != nil {
				return err
			}
			held, err := query(t.Context(), p, "discharge-hub", pgx.RowTo[string], sum+`inbox WHERE type = 'homeward.pickup.task.v1'`)
			if err == nil && held[0] != published[0] {
				err = fmt.Errorf("the hub holds other tasks than are published")
			}
			return err
		})
	}

	for who := range 3 {
		say(who, "A01", fmt.Sprintf("BACK-IN-%d", who), stamp(-72*time.Hour))
	}
	settled()
	for _, service := range restored {
		p.backUp(t, service)
	}
	discharge(0, "BACK-OUT-0", 3*time.Hour)
	discharge(1, "BACK-OUT-1", 2*time.Hour)
	discharge(3, "BACK-OUT-3", time.Hour)
	settled()
	worker := p.as(t, authn.CLSWorker, "CLS-GRAYS")
	first, _, err := p.handover(t.Context(), "BACK-OUT-0")
	if err != nil {
		t.Fatal(err)
	}
	task, err := p.task(t.Context(), first.GetSpellId())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := worker.TakeTask(t.Context(), &pickupv1.TakeTaskRequest{TaskId: task.GetTask().GetTaskId(), Version: task.GetVersion()}); err != nil {
		t.Fatal(err)
	}
	say(1, "A08", "BACK-DIED-1", stamp(-30*time.Minute), "PID-30=Y")
	settled()
	truth := publishedTasks(t, p)
	same := func(what string, form func(*pickupv1.Task) *pickupv1.Task) {
		t.Helper()
		eventually(t, what, func() error {
			got := publishedTasks(t, p)
			if len(got) != len(truth) {
				return fmt.Errorf("%d tasks, want %d", len(got), len(truth))
			}
			for spell, want := range truth {
				if diff := gocmp.Diff(form(want), form(got[spell]), protocmp.Transform()); diff != "" {
					return fmt.Errorf("spell %s\nbefore -, after +:\n%s", spell, diff)
				}
			}
			return p.allDelivered(t.Context())
		})
	}

	p.restore(t, "community-pickup", "epoch 2 begins")
	same("community-pickup has its tasks back", func(task *pickupv1.Task) *pickupv1.Task { return task })
	settled()
	p.restore(t, "discharge-hub", "ask feed mse-basildon to send again everything recorded from ")
	// Nothing that was known is taken back before the hospital has sent again.
	same("the hub takes nothing back", withoutVersions)
	if out := p.command(t, "discharge-hub", "replayed"); !strings.Contains(out, "3 spells are still known better by others") {
		t.Errorf("before the replay: %s", out)
	}
	p.replay(t, all)
	eventually(t, "the replayed messages are interpreted", func() error { return p.allDelivered(t.Context()) })
	if out := p.command(t, "discharge-hub", "replayed"); !strings.Contains(out, "The gap is closed") {
		t.Errorf("after the replay: %s", out)
	}
	same("the outcomes are those of a stack that was never restored", withoutVersions)
}

// withoutVersions takes away on which version of its spell a task rests: the same state has a later one after a restore.
func withoutVersions(t *pickupv1.Task) *pickupv1.Task {
	t = proto.CloneOf(t)
	t.SpellEpoch, t.SpellVersion = 0, 0
	return t
}

func (p *platform) admin(t *testing.T, statements ...string) {
	t.Helper()
	db, err := pgx.Connect(t.Context(), p.Databases["reablement-capacity"])
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	for _, sql := range statements {
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func serviceNamed(t *testing.T, name string) stack.Service {
	t.Helper()
	for _, s := range stack.Services {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no service %s", name)
	return stack.Service{}
}

// backUp copies the database of a service, which is stopped for it.
func (p *platform) backUp(t *testing.T, name string) {
	t.Helper()
	db := serviceNamed(t, name).Database
	if err := p.Part(name).Stop(); err != nil {
		t.Fatal(err)
	}
	p.admin(t, "CREATE DATABASE "+db+"_backup TEMPLATE "+db)
	if err := p.Part(name).Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// restore puts the database of a service back to its backup, declares that, starts the service and waits until it has taken over.
func (p *platform) restore(t *testing.T, name, says string) {
	t.Helper()
	db := serviceNamed(t, name).Database
	if err := p.Part(name).Stop(); err != nil {
		t.Fatal(err)
	}
	p.admin(t, "DROP DATABASE "+db+" WITH (FORCE)", "ALTER DATABASE "+db+"_backup RENAME TO "+db)
	if out := p.command(t, name, "restored"); !strings.Contains(out, says) {
		t.Errorf("`%s restored` does not say %q:\n%s", name, says, out)
	}
	if err := p.Part(name).Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, name+" has taken over", func() error {
		due, err := query(t.Context(), p, name, pgx.RowTo[int], `SELECT count(*) FROM restore WHERE taken_over_at IS NULL`)
		if err == nil && due[0] > 0 {
			err = errors.New("the take-over is due")
		}
		return err
	})
}

// command runs a command of a service's program as the operator does.
func (p *platform) command(t *testing.T, name, command string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binaries[name], command)
	cmd.Env = p.Environment(serviceNamed(t, name))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, command, err, out)
	}
	return string(out)
}
