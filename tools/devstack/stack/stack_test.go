package stack

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// openFolder is a folder that PostgreSQL's own user can enter even when the tests run as root.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hw-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func start(t *testing.T, opts Options) *Stack {
	t.Helper()
	s, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func mustExec(t *testing.T, url, sql string) {
	t.Helper()
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.Background())
	if _, err := db.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// lines collects what a stack says.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) say(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
}

func (l *lines) about(name string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.HasPrefix(line, name+" ended") {
			found = append(found, line)
		}
	}
	return found
}

// eventually waits for something that a goroutine or a process does on its own; the limit only ends a broken test.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came true that %s", what)
		}
	}
}

func TestEveryPartThatIsKilledComesBack(t *testing.T) {
	var said lines
	opts := standIns("")
	opts.Say = said.say
	s := start(t, opts)
	mustExec(t, s.Databases["discharge-hub"], "CREATE TABLE kept ()")

	if len(s.Parts()) != 2+len(Services) {
		t.Fatalf("%d parts run", len(s.Parts()))
	}
	for _, part := range s.Parts() {
		before := part.Pid()
		if err := part.Kill(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, part.Name+" runs again", func() bool { return part.Starts() > 1 && part.Pid() != 0 })
		if err := part.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if part.Pid() == before {
			t.Errorf("%s is still process %d", part.Name, before)
		}
		eventually(t, "its death is told", func() bool { return len(said.about(part.Name)) > 0 })
	}
	mustExec(t, s.Databases["discharge-hub"], "SELECT FROM kept")
}

func TestAPartThatIsStoppedStaysDownUntilItIsStarted(t *testing.T) {
	opts := standIns("")
	s := start(t, opts)
	nats := s.Part("nats")
	if err := nats.Stop(); err != nil {
		t.Fatal(err)
	}
	if nats.Pid() != 0 {
		t.Fatalf("it still runs as %d", nats.Pid())
	}
	if err := os.RemoveAll(s.NATSDir()); err != nil {
		t.Fatal(err)
	}
	nats.Start()
	if err := nats.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := nats.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestDataIsThereAtTheNextStart(t *testing.T) {
	dir := openFolder(t)
	s := start(t, standIns(dir))
	mustExec(t, s.Databases["community-pickup"], "CREATE TABLE kept ()")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s = start(t, standIns(dir))
	mustExec(t, s.Databases["community-pickup"], "SELECT FROM kept")
}

func TestOnlyOneStackRunsInAFolder(t *testing.T) {
	dir := openFolder(t)
	s := start(t, standIns(dir))
	_, err := Start(t.Context(), standIns(dir))
	if want := fmt.Sprintf("already runs in %s (process %d)", dir, os.Getpid()); err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("a second start said %v, not %q", err, want)
	}
	found, err := ReadAddresses(dir)
	if err != nil || found.MLLP != s.MLLP {
		t.Fatalf("the first one's addresses: %+v, %v", found, err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAddresses(dir); err == nil {
		t.Fatal("a stack that has stopped still has addresses")
	}
}

func TestAPortInUseIsNamedWithItsHolderAndTheWayOut(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	opts := standIns("")
	opts.Ports.MLLP = listener.Addr().(*net.TCPAddr).Port
	_, err = Start(t.Context(), opts)
	if err == nil {
		t.Fatal("the stack started on a port that is taken")
	}
	for _, want := range []string{
		fmt.Sprintf("port %d (MLLP) is in use by", opts.Ports.MLLP),
		fmt.Sprintf("(process %d)", os.Getpid()), "HOMEWARD_MLLP_PORT", "HOMEWARD_PORT_OFFSET",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

func TestNothingOutlivesAKilledSupervisorAndTheNextStartWorks(t *testing.T) {
	dir := openFolder(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	supervisor := exec.Command(self)
	supervisor.Env = append(os.Environ(), superviseIn+"="+dir)
	supervisor.Stderr = os.Stderr
	out, err := supervisor.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := supervisor.Start(); err != nil {
		t.Fatal(err)
	}
	var children []int
	for scanner := bufio.NewScanner(out); scanner.Scan() && scanner.Text() != "up"; {
		pid, err := strconv.Atoi(scanner.Text())
		if err != nil {
			t.Fatal(err)
		}
		children = append(children, pid)
	}
	if len(children) != 2+len(Services) {
		t.Fatalf("%d children", len(children))
	}
	if err := supervisor.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = supervisor.Wait() // it was killed

	s := start(t, standIns(dir))
	for _, pid := range children {
		eventually(t, fmt.Sprintf("process %d ends", pid), func() bool { return hasEnded(pid) })
	}
	mustExec(t, s.Databases["discharge-hub"], "SELECT FROM migrated")
}

// hasEnded is true of a process that is gone or that only waits for its new parent to notice.
func hasEnded(pid int) bool {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(status), ") ")
	return strings.HasPrefix(rest, "Z")
}

func TestAFailedMigrationIsToldWithTheEndOfItsLog(t *testing.T) {
	_, err := Start(t.Context(), standIns("", brokenIn+"=migrate"))
	if err == nil || !strings.Contains(err.Error(), "discharge-hub") || !strings.Contains(err.Error(), "the schema is from the future") {
		t.Fatalf("got %v", err)
	}
}

func TestAPartThatDiesOfAFullDiskSaysSo(t *testing.T) {
	var said lines
	part := &Part{
		Name: "postgres", LogFile: filepath.Join(t.TempDir(), "log"), stopWith: drain, patience: time.Minute, say: said.say,
		command: func(_ context.Context, log *os.File) (*exec.Cmd, error) {
			cmd := exec.Command("sh", "-c", "echo 'PANIC: could not write to file: No space left on device'; exit 1")
			cmd.Stdout = log
			return cmd, nil
		},
	}
	part.Start()
	eventually(t, "it is told", func() bool { return len(said.about("postgres")) > 0 })
	if err := part.Stop(); err != nil {
		t.Fatal(err)
	}
	if line := said.about("postgres")[0]; !strings.Contains(line, "the disk is full") {
		t.Errorf("it said: %s", line)
	}
}
