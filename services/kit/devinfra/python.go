package devinfra

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Python is a Python interpreter that has a library which a test needs.
type Python struct {
	program string
	env     []string // beside this process's
}

// Command runs a program of Python's.
func (p Python) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.program, args...)
	cmd.Env = append(os.Environ(), p.env...)
	return cmd
}

// has tells whether the interpreter runs and has the library.
func (p Python) has(ctx context.Context, library string) bool {
	return p.Command(ctx, "-c", "import "+library).Run() == nil
}

// FindPython returns an interpreter with the library: one that the system has, or Debian's, which is fetched with the package of the library
// and kept in the parts. say receives a line for a person before anything slow.
func FindPython(ctx context.Context, library, debianPackage string, say func(string)) (Python, error) {
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if p := (Python{program: name}); p.has(ctx, library) {
			return p, nil
		}
	}
	state, err := StateDir()
	if err != nil {
		return Python{}, err
	}
	root := filepath.Join(state, "parts", debianPackage)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return Python{}, err
	}
	release, err := lockFile(filepath.Join(root, "lock"))
	if err != nil {
		return Python{}, err
	}
	defer release()
	if p := unpackedPython(root); p.has(ctx, library) {
		return p, nil
	}
	missing := fmt.Sprintf("Python's library %s was not found: install it (Debian, Ubuntu: apt-get install %s; elsewhere: pip install %s) and run this again",
		library, debianPackage, library)
	if _, err := exec.LookPath("apt-get"); err != nil {
		return Python{}, errors.New(missing)
	}
	say(fmt.Sprintf("Python's library %s is not installed: fetching Debian's package and unpacking it in %s (nothing on the system changes)", library, root))
	if err := unpackDebian(ctx, root, debianPackage, func(string) bool { return true }); err != nil {
		return Python{}, fmt.Errorf("%s\nFetching it failed: %w", missing, err)
	}
	if p := unpackedPython(root); p.has(ctx, library) {
		return p, nil
	}
	return Python{}, errors.New(missing + "\nWhat was fetched does not run.")
}

// unpackedPython is the interpreter below root, or the system's with the libraries below root where only those were missing.
func unpackedPython(root string) Python {
	p := Python{program: "/usr/bin/python3", env: []string{"PYTHONPATH=" + filepath.Join(root, "usr/lib/python3/dist-packages")}}
	if own := filepath.Join(root, "usr/bin/python3"); exists(own) {
		p.program = own
		p.env = append(p.env, "PYTHONHOME="+filepath.Join(root, "usr"), libraryPath(root))
	}
	return p
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
