package devinfra

import (
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestAProcessThatWillNotStopIsKilledWithItsChildren(t *testing.T) {
	cmd := exec.Command("sh", "-c", `trap "" TERM; sleep 600 & wait; sleep 600`)
	p, err := Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(syscall.SIGTERM, 50*time.Millisecond); err == nil {
		t.Error("it ignored SIGTERM, and Stop told nobody")
	}
	select {
	case <-p.Done():
	default:
		t.Error("it still runs")
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal to what has ended: %v", err)
	}
}

func TestAProgramThatIsNotThereIsAnErrorAtStart(t *testing.T) {
	if _, err := Start(exec.Command("/no/such/program")); err == nil {
		t.Fatal("no error")
	}
}
