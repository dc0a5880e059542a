package devinfra

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is a running child in a process group of its own, so that a terminal's Ctrl-C reaches only its parent, which
// then stops its children in order.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Start starts cmd. The child receives cmd.SysProcAttr.Pdeathsig (SIGKILL if unset) when this process dies, however it
// dies. The kernel ties that signal to the *thread* that forked, so the thread stays locked until the child has ended.
func Start(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr)

	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// Pid is the child's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the child ended: nil for exit status 0. It blocks until then.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Signal sends sig to the child alone. A child that has ended is no error.
func (p *Process) Signal(sig os.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.cmd.Path, err)
	}
	return nil
}

// Stop sends sig, waits at most patience, and then kills the child's whole group. It returns when the child has ended.
func (p *Process) Stop(sig os.Signal, patience time.Duration) error {
	if err := p.Signal(sig); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("%s did not stop within %s and was killed", p.cmd.Path, patience), p.KillGroup())
	}
	return nil
}

// KillGroup kills the child with everything that it started, and waits for it.
func (p *Process) KillGroup() error {
	err := syscall.Kill(-p.Pid(), syscall.SIGKILL)
	<-p.done
	if errors.Is(err, syscall.ESRCH) { // it ended first
		return nil
	}
	return err
}
