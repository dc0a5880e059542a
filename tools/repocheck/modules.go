package repocheck

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// apart are folders whose modules hold build tools and foreign programs; their requirements must not touch the services'.
var apart = []string{"tools/build", "tools/parts"}

func isApart(dir string) bool {
	return slices.ContainsFunc(apart, func(parent string) bool { return within(dir, parent) })
}

// modules returns every module by its folder.
func (t Tree) modules() (map[string]*modfile.File, []string) {
	mods, found := map[string]*modfile.File{}, []string{}
	for _, name := range t.paths("go.mod") {
		if path.Base(name) != "go.mod" {
			continue
		}
		mod, err := modfile.Parse(name, []byte(t[name]), nil)
		if err != nil {
			found = append(found, err.Error())
			continue
		}
		mods[path.Dir(name)] = mod
	}
	return mods, found
}

// Modules finds modules that would not build alone, or that would build with other versions alone than together.
func Modules(t Tree) []string {
	mods, found := t.modules()
	type use struct{ version, file string }
	goLine, newest := use{}, map[string]use{}
	for _, name := range t.paths("go.mod") {
		dir := path.Dir(name)
		mod := mods[dir]
		if mod == nil {
			continue
		}
		if mod.Module == nil || mod.Module.Mod.Path != Prefix+dir {
			found = append(found, fmt.Sprintf("%s: the module is not called %s: a module is named after its folder", name, Prefix+dir))
		}
		switch {
		case mod.Go == nil:
			found = append(found, name+": has no go line")
		case goLine.version == "":
			goLine = use{mod.Go.Version, name}
		case goLine.version != mod.Go.Version:
			found = append(found, fmt.Sprintf("%s: go %s, but %s says go %s: one toolchain builds everything", name, mod.Go.Version, goLine.file, goLine.version))
		}
		if mod.Toolchain != nil {
			found = append(found, name+": has a toolchain line; the go line says it all")
		}
		if isApart(dir) {
			continue
		}
		found = append(found, siblings(mods, dir)...)
		for _, r := range mod.Require {
			if semver.Compare(r.Mod.Version, newest[r.Mod.Path].version) > 0 {
				newest[r.Mod.Path] = use{r.Mod.Version, name}
			}
		}
	}
	for _, dir := range sortedKeys(mods) {
		for _, r := range mods[dir].Require {
			if is := newest[r.Mod.Path]; !isApart(dir) && r.Mod.Version != is.version {
				found = append(found, fmt.Sprintf("%s/go.mod: %s %s, but %s has %s: tests in the workspace would run with other versions than the binaries; `go work sync` makes them equal",
					dir, r.Mod.Path, r.Mod.Version, is.file, is.version))
			}
		}
	}
	return append(found, workspace(t, mods)...)
}

// siblings checks what a module says of the project's other modules. A replace is not inherited, so each module replaces all that it
// reaches.
func siblings(mods map[string]*modfile.File, dir string) []string {
	var found []string
	name, mod := path.Join(dir, "go.mod"), mods[dir]
	replaced := map[string]string{}
	for _, r := range mod.Replace {
		to, sibling := local(r.Old.Path)
		if !sibling {
			found = append(found, fmt.Sprintf("%s: replaces %s: a service uses what its authors published", name, r.Old.Path))
			continue
		}
		replaced[to] = path.Join(dir, r.New.Path)
		if replaced[to] != to {
			found = append(found, fmt.Sprintf("%s: replaces %s by %s, which is not its folder", name, r.Old.Path, r.New.Path))
		}
	}
	reached := map[string]bool{}
	var reach func(dir string)
	reach = func(dir string) {
		if mods[dir] == nil {
			return
		}
		for _, r := range mods[dir].Require {
			to, sibling := local(r.Mod.Path)
			if !sibling || reached[to] {
				continue
			}
			reached[to] = true
			if r.Mod.Version != "v0.0.0" {
				found = append(found, fmt.Sprintf("%s: requires %s %s: siblings are v0.0.0 and replaced, because they are never published", path.Join(dir, "go.mod"), r.Mod.Path, r.Mod.Version))
			}
			reach(to)
		}
	}
	reach(dir)
	for _, to := range sortedKeys(reached) {
		if replaced[to] == "" {
			found = append(found, fmt.Sprintf("%s: reaches %s without a replace, so it does not build with GOWORK=off", name, to))
		}
	}
	return found
}

// workspace checks that go.work uses every module but those that stand apart.
func workspace(t Tree, mods map[string]*modfile.File) []string {
	text, ok := t["go.work"]
	if !ok {
		return []string{"go.work is missing: it lists every module, so that `go test work` and editors see them all"}
	}
	work, err := modfile.ParseWork("go.work", []byte(text), nil)
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	used := map[string]bool{}
	for _, u := range work.Use {
		used[path.Clean(u.Path)] = true
	}
	for _, dir := range sortedKeys(mods) {
		if used[dir] && isApart(dir) {
			found = append(found, fmt.Sprintf("go.work: uses %s, whose many requirements would then decide the services' versions", dir))
		}
		if !used[dir] && !isApart(dir) {
			found = append(found, fmt.Sprintf("go.work: does not use %s", dir))
		}
	}
	return found
}

// topLevel is all that lies at the root of the repository; what begins with a dot is not looked at.
var topLevel = []string{"services", "proto", "deploy", "charts", "tools", "e2e", "go.work", "go.work.sum", "Makefile", "README.md"}

// TopLevel finds what does not belong at the root.
func TopLevel(t Tree) []string {
	seen := map[string]bool{}
	for name := range t {
		first, _, _ := strings.Cut(name, "/")
		seen[first] = true
	}
	var found []string
	for _, name := range sortedKeys(seen) {
		if !slices.Contains(topLevel, name) {
			found = append(found, fmt.Sprintf("%s lies at the top level, which is fixed: %s", name, strings.Join(topLevel, " ")))
		}
	}
	return found
}

// maxLines is how long a file may be before it is really two.
const maxLines = 500

// emptyNames are package names that say nothing of the job.
var emptyNames = []string{"base", "common", "helper", "helpers", "interfaces", "lib", "manager", "misc", "models", "shared", "types", "util", "utils"}

// Shape finds files that are too long, packages whose name says nothing or that say nothing of themselves, and code that runs at import.
func Shape(t Tree) []string {
	var found []string
	for _, suffix := range []string{".go", ".proto", ".sql", ".sh", ".yaml", ".tpl", "Makefile"} {
		for _, name := range t.paths(suffix) {
			if n := strings.Count(t[name], "\n"); n > maxLines && !generated(t[name]) {
				found = append(found, fmt.Sprintf("%s has %d lines; more than %d are two files", name, n, maxLines))
			}
		}
	}
	explained, first := map[string]bool{}, map[string]source{}
	for _, s := range t.sources("") {
		if slices.Contains(emptyNames, s.Name.Name) {
			found = append(found, fmt.Sprintf("%s: package %s: a package is named after its job", s.at(s.Name), s.Name.Name))
		}
		for _, fn := range functions(s) {
			if fn.Name.Name == "init" && fn.Recv == nil {
				found = append(found, fmt.Sprintf("%s: func init: nothing happens because a package is imported", s.at(fn)))
			}
		}
		if s.test() {
			continue
		}
		if _, seen := first[s.dir()]; !seen {
			first[s.dir()] = s
		}
		explained[s.dir()] = explained[s.dir()] || s.Doc != nil
	}
	for _, dir := range sortedKeys(first) {
		if !explained[dir] {
			found = append(found, fmt.Sprintf("%s: no file of package %s says what the package is for", dir, first[dir].Name.Name))
		}
	}
	return found
}
