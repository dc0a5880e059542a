package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/homeward-care/homeward/services/kit/devinfra"
)

const (
	firstPause = 100 * time.Millisecond // before a part that died is started again; doubled each time,
	longPause  = 10 * time.Second       // up to this,
	steady     = 20 * time.Second       // and back to the first once it has run this long
)

// Part is one supervised process: whatever kills it, it is started again until it is stopped through Stop.
type Part struct {
	Name string
	// LogFile holds what the process says.
	LogFile string

	command  func(ctx context.Context, log *os.File) (*exec.Cmd, error)
	ready    func(ctx context.Context) error
	stopWith syscall.Signal
	patience time.Duration
	say      func(string)

	mu     sync.Mutex
	proc   *devinfra.Process // nil while none runs
	starts int
	stop   context.CancelFunc // nil while the part is stopped
	ended  chan struct{}      // closed when the supervision has ended
}

// Pid is the process id of what runs now, 0 if nothing does.
func (p *Part) Pid() int {
	if proc := p.running(); proc != nil {
		return proc.Pid()
	}
	return 0
}

// Starts is how many processes this part has had.
func (p *Part) Starts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts
}

// Kill sends a signal to what runs now and, for a signal that ends it, waits until it has ended; it is then started again.
func (p *Part) Kill(sig syscall.Signal) error {
	proc := p.running()
	if proc == nil {
		return fmt.Errorf("%s is not running", p.Name)
	}
	if err := proc.Signal(sig); err != nil {
		return err
	}
	if sig == syscall.SIGKILL {
		<-proc.Done()
	}
	return nil
}

// Start begins the supervision. Starting a part that is supervised does nothing.
func (p *Part) Start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop, p.ended = cancel, make(chan struct{})
	go p.supervise(ctx, p.ended)
}

// Stop ends the process and its supervision, and waits for both. It stays down until Start.
func (p *Part) Stop() error { return p.end(p.stopWith) }

// Crash is Stop by SIGKILL.
func (p *Part) Crash() error { return p.end(syscall.SIGKILL) }

func (p *Part) end(sig syscall.Signal) error {
	p.mu.Lock()
	stop, ended, proc := p.stop, p.ended, p.proc
	p.stop = nil
	p.mu.Unlock()
	if stop == nil {
		return nil
	}
	stop()
	var err error
	if proc != nil {
		err = proc.Stop(sig, p.patience)
	}
	<-ended
	return err
}

// Restart stops the part and starts it again.
func (p *Part) Restart(ctx context.Context) error {
	err := p.Stop()
	p.Start()
	return errors.Join(err, p.Ready(ctx))
}

// Ready waits until the part does its work, or ctx ends.
func (p *Part) Ready(ctx context.Context) error {
	if err := p.ready(ctx); err != nil {
		return fmt.Errorf("%s is not ready: %w\n%s", p.Name, err, tail(p.LogFile))
	}
	return nil
}

func (p *Part) running() *devinfra.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proc
}

func (p *Part) supervise(ctx context.Context, ended chan struct{}) {
	defer close(ended)
	pause, death := firstPause, ""
	for ctx.Err() == nil {
		began := time.Now()
		err := p.once(ctx, death)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > steady {
			pause = firstPause
		}
		death = fmt.Sprintf("%s ended (%s)%s", p.Name, describe(err), hint(p.LogFile))
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, longPause)
	}
}

// once runs one process to its end and returns why it ended. The death before it, if any, is told in one line with what
// became of it.
func (p *Part) once(ctx context.Context, death string) (err error) {
	if death != "" {
		defer func() {
			if death != "" && ctx.Err() == nil {
				p.say(death + "; it could not be started again: " + err.Error())
			}
		}()
	}
	log, err := openLog(p.LogFile)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd, err := p.command(ctx, log)
	if err != nil {
		return err
	}
	// Under the lock, Stop either sees the process or has cancelled ctx before it was started.
	p.mu.Lock()
	if ctx.Err() != nil {
		p.mu.Unlock()
		return ctx.Err()
	}
	proc, err := devinfra.Start(cmd)
	p.proc = proc
	if err == nil {
		p.starts++
	}
	p.mu.Unlock()
	if err != nil {
		return err
	}
	if death != "" {
		p.say(fmt.Sprintf("%s; it is back as process %d", death, proc.Pid()))
		death = ""
	}
	err = proc.Err()
	p.mu.Lock()
	p.proc = nil
	p.mu.Unlock()
	return err
}

func describe(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.Error()
	}
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}
