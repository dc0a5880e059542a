package devinfra

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// StateDir is the one folder that everything made at run time lives in: HOMEWARD_STATE if set, else `.homeward` beside
// the go.work above the working directory, else `homeward` in the user's cache.
func StateDir() (string, error) {
	if dir := os.Getenv("HOMEWARD_STATE"); dir != "" {
		return filepath.Abs(dir)
	}
	if root, err := Checkout(); err == nil {
		return filepath.Join(root, ".homeward"), nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder to keep state in: set HOMEWARD_STATE to one: %w", err)
	}
	return filepath.Join(cache, "homeward"), nil
}

// Checkout is the project's folder: the nearest one above the working directory that holds a go.work.
func Checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("not inside a Homeward checkout: no go.work in this folder or above it")
		}
		dir = up
	}
}

// account is the user that PostgreSQL runs as: it refuses to run as root.
type account struct{ uid, gid int }

// databaseAccount is the caller, or, for root, `postgres` if that user exists and else `nobody`.
func databaseAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{os.Geteuid(), os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil && uid != 0 {
			return account{uid, gid}, nil
		}
	}
	return account{}, errors.New("PostgreSQL does not run as root, and this system has neither a user postgres nor a user nobody: run this as an ordinary user")
}

// attributes makes a command run as the account; the caller's own account needs no change.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{}
	if a.uid != os.Geteuid() {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}

// reachable returns a folder that the account can enter, made if absent: dir itself, or, where a folder above it is
// closed to others (a checkout under /root), one under /var/lib that dir then links to; say is told so once.
func reachable(dir string, who account, say func(string)) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	above, err := filepath.EvalSymlinks(filepath.Dir(dir))
	if err != nil {
		return "", err
	}
	dir = filepath.Join(above, filepath.Base(dir))
	if canEnter(above, who) {
		return dir, os.MkdirAll(dir, 0o755)
	}
	sum := sha256.Sum256([]byte(dir))
	open := filepath.Join("/var/lib", "homeward-"+hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(open, 0o755); err != nil {
		return "", fmt.Errorf("the user that PostgreSQL runs as cannot enter %s, and no folder could be made in its place: %w", dir, err)
	}
	if target, err := os.Readlink(dir); err == nil && target == open {
		return open, nil
	}
	if err := os.Symlink(open, dir); err != nil {
		return "", fmt.Errorf("the user that PostgreSQL runs as cannot enter %s: move it away: %w", dir, err)
	}
	say(fmt.Sprintf("PostgreSQL's own user cannot enter %s, so that folder is a link to %s", dir, open))
	return open, nil
}

// canEnter reports whether the account may search every folder on the way to dir, and dir itself.
func canEnter(dir string, who account) bool {
	if who.uid == os.Geteuid() {
		return true
	}
	for {
		info, err := os.Stat(dir)
		if err != nil {
			return false
		}
		mode := info.Mode().Perm()
		owner := info.Sys().(*syscall.Stat_t)
		switch {
		case int(owner.Uid) == who.uid:
			if mode&0o100 == 0 {
				return false
			}
		case int(owner.Gid) == who.gid:
			if mode&0o010 == 0 {
				return false
			}
		case mode&0o001 == 0:
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}

// lockFile holds an exclusive lock on path until release is called or the process dies.
func lockFile(path string) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
