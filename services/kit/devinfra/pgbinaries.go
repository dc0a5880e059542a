package devinfra

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// oldestPostgres is the oldest major version that the schemas are tested on.
const oldestPostgres = 15

// pgBinaries is one installation of PostgreSQL's server programs.
type pgBinaries struct {
	dir   string // holds initdb and postgres
	major int
	root  string // set if unpacked below a folder of ours: its libraries and shared files are found from here
}

// findPostgres returns a server of the major version wanted (0: the newest found), which it fetches if there is none.
// parts is the folder for what has to be fetched; say receives a line for a person before anything slow.
func findPostgres(ctx context.Context, parts string, wanted int, who account, say func(string)) (pgBinaries, error) {
	if found, ok := choosePostgres(installedPostgres(), wanted); ok {
		return found, nil
	}
	root, err := reachable(filepath.Join(parts, "postgres"), who, say)
	if err != nil {
		return pgBinaries{}, err
	}
	release, err := lockFile(filepath.Join(root, "lock"))
	if err != nil {
		return pgBinaries{}, err
	}
	defer release()
	if found, ok := choosePostgres(unpackedPostgres(root), wanted); ok {
		return found, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return pgBinaries{}, errors.New(missingPostgres(wanted))
	}
	say(fmt.Sprintf("PostgreSQL is not installed: fetching Debian's packages and unpacking them in %s (about 10 s, nothing on the system changes)", root))
	if err := unpackPostgres(ctx, root); err != nil {
		return pgBinaries{}, fmt.Errorf("%s\nFetching its packages failed: %w", missingPostgres(wanted), err)
	}
	if found, ok := choosePostgres(unpackedPostgres(root), wanted); ok {
		return found, nil
	}
	return pgBinaries{}, errors.New(missingPostgres(wanted) + "\nThis system's packages hold no such version.")
}

func missingPostgres(wanted int) string {
	version := fmt.Sprintf("PostgreSQL %d or later", oldestPostgres)
	if wanted != 0 {
		version = fmt.Sprintf("PostgreSQL %d (the version that made the data)", wanted)
	}
	return version + " was not found: looked for initdb in PATH, /usr/lib/postgresql/*/bin and /usr/pgsql-*/bin. " +
		"Install it (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; " +
		"Alpine: apk add postgresql; Arch: pacman -S postgresql) and run this again."
}

// choosePostgres prefers the order given among equal versions.
func choosePostgres(found []pgBinaries, wanted int) (pgBinaries, bool) {
	fits := slices.DeleteFunc(slices.Clone(found), func(b pgBinaries) bool {
		return b.major < oldestPostgres || (wanted != 0 && b.major != wanted)
	})
	if len(fits) == 0 {
		return pgBinaries{}, false
	}
	return fits[0], true
}

// installedPostgres lists what the system has: PATH first, as its user chose it, then the newest.
func installedPostgres() []pgBinaries {
	var found []pgBinaries
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(initdb); err == nil {
			found = append(found, inspect(filepath.Dir(real), "")...)
		}
	}
	var others []pgBinaries
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/opt/homebrew/opt/postgresql@*/bin"} {
		dirs, _ := filepath.Glob(pattern) // fails only for a malformed pattern
		for _, dir := range dirs {
			others = append(others, inspect(dir, "")...)
		}
	}
	slices.SortStableFunc(others, func(a, b pgBinaries) int { return cmp.Compare(b.major, a.major) })
	return append(found, others...)
}

func unpackedPostgres(root string) []pgBinaries {
	var found []pgBinaries
	dirs, _ := filepath.Glob(filepath.Join(root, "usr/lib/postgresql/*/bin")) // fails only for a malformed pattern
	for _, dir := range dirs {
		found = append(found, inspect(dir, root)...)
	}
	return found
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// inspect returns the installation in dir, or none if it does not run.
func inspect(dir, root string) []pgBinaries {
	b := pgBinaries{dir: dir, root: root}
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return nil
	}
	cmd := exec.Command(filepath.Join(dir, "postgres"), "--version")
	cmd.Env = b.environment()
	out, err := cmd.Output()
	if err != nil {
		return nil
	}
	match := versionLine.FindSubmatch(out)
	if match == nil {
		return nil
	}
	b.major, err = strconv.Atoi(string(match[1]))
	if err != nil {
		return nil
	}
	return []pgBinaries{b}
}

// environment is what the programs run with: this process's, and for unpacked ones where their libraries are.
func (b pgBinaries) environment() []string {
	env := append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	if b.root == "" {
		return env
	}
	dirs, _ := filepath.Glob(filepath.Join(b.root, "usr/lib/*-linux-gnu*")) // fails only for a malformed pattern
	dirs = append(dirs, filepath.Join(b.root, "usr/lib"))
	more, _ := filepath.Glob(filepath.Join(b.root, "lib/*-linux-gnu*"))
	return append(env, "LD_LIBRARY_PATH="+strings.Join(append(dirs, more...), ":"))
}

// share is initdb's -L: the folder of its shared files, given only where it is not the built-in one.
func (b pgBinaries) share() []string {
	if b.root == "" {
		return nil
	}
	return []string{"-L", filepath.Join(b.root, "usr/share/postgresql", strconv.Itoa(b.major))}
}

var installLine = regexp.MustCompile(`(?m)^Inst (\S+) `)

// unpackPostgres downloads the server's package and the libraries that this system lacks, with package lists and a
// cache of its own, and unpacks them below root. It needs no privilege and installs nothing.
func unpackPostgres(ctx context.Context, root string) error {
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
	plan, err := run("install", "--simulate", "--no-install-recommends", "postgresql")
	if err != nil {
		return err
	}
	var packages []string
	for _, match := range installLine.FindAllSubmatch(plan, -1) {
		if name := string(match[1]); isServerOrLibrary(name) {
			packages = append(packages, name)
		}
	}
	if len(packages) == 0 {
		return errors.New("the system's package lists offer no postgresql package")
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

var serverPackage = regexp.MustCompile(`^postgresql-\d+$`)

// isServerOrLibrary leaves out what only Debian's own management of clusters needs.
func isServerOrLibrary(name string) bool {
	return serverPackage.MatchString(name) || (strings.HasPrefix(name, "lib") && !strings.HasSuffix(name, "-perl"))
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
