package devinfra

import (
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestAProcessThatWillNotStopIsKilledWithItsChildren(t *testing.T) {
	deaf, heard, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	cmd := exec.Command("sh", "-c", `trap "" TERM; echo deaf; sleep 600 & wait; sleep 600`)
	cmd.Stdout = heard
	p, err := Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	heard.Close()
	if _, err := deaf.Read(make([]byte, 16)); err != nil {
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
	// The pipe ends when the last of those that hold it has ended: the sleep too.
	if _, err := io.ReadAll(deaf); err != nil {
		t.Error(err)
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
