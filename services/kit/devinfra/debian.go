package devinfra

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

var installLine = regexp.MustCompile(`(?m)^Inst (\S+) `)

// unpackDebian downloads a package and those that it needs and this system lacks, with package lists and a cache of its own, and unpacks
// below root those of them that keep wants. apt checks them by the archive's signature. It needs no privilege and installs nothing.
func unpackDebian(ctx context.Context, root, wanted string, keep func(name string) bool) error {
	apt, err := os.MkdirTemp(root, "apt-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(apt)
	for _, dir := range []string{"state/lists/partial", "cache/archives/partial", "debs"} {
		if err := os.MkdirAll(filepath.Join(apt, dir), 0o755); err != nil {
			return err
		}
	}
	run := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{
			"-qq", "-o", "Dir::State=" + filepath.Join(apt, "state"), "-o", "Dir::State::status=/var/lib/dpkg/status",
			"-o", "Dir::Cache=" + filepath.Join(apt, "cache"), "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root",
		}, args...)...)
		cmd.Dir = filepath.Join(apt, "debs")
		return outputOf(cmd)
	}
	if _, err := run("update"); err != nil {
		return err
	}
	plan, err := run("install", "--simulate", "--no-install-recommends", wanted)
	if err != nil {
		return err
	}
	var packages []string
	for _, match := range installLine.FindAllSubmatch(plan, -1) {
		if name := string(match[1]); keep(name) {
			packages = append(packages, name)
		}
	}
	if len(packages) == 0 {
		return errors.New("the system's package lists offer no package " + wanted)
	}
	if _, err := run(append([]string{"download"}, packages...)...); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(apt, "debs", "*.deb"))
	if err != nil {
		return err
	}
	for _, deb := range debs {
		if _, err := outputOf(exec.CommandContext(ctx, "dpkg", "-x", deb, root)); err != nil {
			return err
		}
	}
	return nil
}

// libraryPath is the variable by which programs that are unpacked below root find their libraries.
func libraryPath(root string) string {
	dirs, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu*")) // fails only for a malformed pattern
	dirs = append(dirs, filepath.Join(root, "usr/lib"))
	more, _ := filepath.Glob(filepath.Join(root, "lib/*-linux-gnu*"))
	return "LD_LIBRARY_PATH=" + strings.Join(append(dirs, more...), ":")
}

// outputOf runs a command and returns what it printed; the error carries the last of what it complained of.
func outputOf(cmd *exec.Cmd) ([]byte, error) {
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(complaint.String())
		if len(text) > 2000 {
			text = text[len(text)-2000:]
		}
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, text)
	}
	return out.Bytes(), nil
}
