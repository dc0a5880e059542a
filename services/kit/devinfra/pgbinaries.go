package devinfra

import (
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
	if err := unpackDebian(ctx, root, "postgresql", isServerOrLibrary); err != nil {
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
	return append(env, libraryPath(b.root))
}

// share is initdb's -L: the folder of its shared files, given only where it is not the built-in one.
func (b pgBinaries) share() []string {
	if b.root == "" {
		return nil
	}
	return []string{"-L", filepath.Join(b.root, "usr/share/postgresql", strconv.Itoa(b.major))}
}

var serverPackage = regexp.MustCompile(`^postgresql-\d+$`)

// isServerOrLibrary leaves out what only Debian's own management of clusters needs.
func isServerOrLibrary(name string) bool {
	return serverPackage.MatchString(name) || (strings.HasPrefix(name, "lib") && !strings.HasSuffix(name, "-perl"))
}
