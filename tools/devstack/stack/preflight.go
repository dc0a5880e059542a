package stack

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// leastSpace is what must be free on the disk: PostgreSQL's log alone may grow to 1 GiB under load.
const leastSpace = 1 << 30

// checkSystem says what about this machine stands in the way.
func checkSystem(dir string) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("the stack runs on Linux (here: %s): use a virtual machine, WSL or a container", runtime.GOOS)
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("read how much space is free in %s: %w", dir, err)
	}
	if free := uint64(fs.Bavail) * uint64(fs.Bsize); free < leastSpace {
		return fmt.Errorf("the disk that holds %s is nearly full: %d MiB are free and 1024 MiB are needed; make room, or set HOMEWARD_STATE to a folder on another disk", dir, free>>20)
	}
	return nil
}

// lockDir makes this the one stack in dir until the process ends, however it ends.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		pid, _ := os.ReadFile(path)
		return nil, fmt.Errorf("Homeward already runs in %s (process %s): use that one, or stop it with Ctrl-C or `kill %s`",
			dir, strings.TrimSpace(string(pid)), strings.TrimSpace(string(pid)))
	}
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return f, err
}

// isLocked reports whether a stack runs in dir.
func isLocked(dir string) bool {
	f, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// portGrace is how long a port may stay taken: what a killed stack ran ends a moment after it.
const portGrace = 3 * time.Second

// checkPorts reports every port that another program holds.
func checkPorts(ports []namedPort) error {
	var taken []string
	deadline := time.Now().Add(portGrace)
	for _, p := range ports {
		for !isFree(p.port) {
			if time.Now().After(deadline) {
				taken = append(taken, fmt.Sprintf("port %d (%s) is in use%s: set %s to another port", p.port, p.what, holder(p.port), p.variable))
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	if len(taken) == 0 {
		return nil
	}
	return fmt.Errorf("%s\nHOMEWARD_PORT_OFFSET=100 moves all ports up by 100", strings.Join(taken, "\n"))
}

func isFree(port int) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	listener.Close()
	return true
}

// holder names the program that listens on a port, as far as this user may see it.
func holder(port int) string {
	inode := listenerInode(port)
	if inode == "" {
		return ""
	}
	descriptors, _ := filepath.Glob("/proc/[0-9]*/fd/*") // fails only for a malformed pattern
	for _, fd := range descriptors {
		if target, err := os.Readlink(fd); err != nil || target != "socket:["+inode+"]" {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		name, _ := os.ReadFile("/proc/" + pid + "/comm") // it may have ended since
		return fmt.Sprintf(" by %s (process %s)", strings.TrimSpace(string(name)), pid)
	}
	return " by another user's program"
}

// listenerInode finds the socket that listens on a TCP port in the kernel's table (proc(5): address, state 0A, inode).
func listenerInode(port int) string {
	suffix := fmt.Sprintf(":%04X", port)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(text), "\n") {
			if f := strings.Fields(line); len(f) > 9 && strings.HasSuffix(f[1], suffix) && f[3] == "0A" {
				return f[9]
			}
		}
	}
	return ""
}
