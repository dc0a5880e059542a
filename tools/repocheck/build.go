package repocheck

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Binaries finds what must not be linked into a service's program, and what must. deps are the packages that the program in cmd is
// made of.
func Binaries(t Tree, cmd string, deps []string) []string {
	var found []string
	zones := ""
	for _, dep := range deps {
		dir, isLocal := local(dep)
		switch {
		case dep == "testing" || within(dep, "github.com/nats-io/nats-server") || isLocal && slices.Contains(testOnly, dir):
			found = append(found, fmt.Sprintf("%s is built with %s: tests and development need it, a service in production does not", cmd, dep))
		case isLocal:
			for _, s := range t.sources(dir) {
				if s.dir() == dir && !s.test() && strings.Contains(t[s.name], "time.LoadLocation(") {
					zones = cmp.Or(zones, dir)
				}
			}
		}
	}
	if zones != "" && !slices.Contains(deps, "time/tzdata") {
		found = append(found, fmt.Sprintf("%s is built without time/tzdata, but %s loads a time zone: an image FROM scratch has none, and a deadline must not hang on the machine's", cmd, zones))
	}
	return found
}

// Deps lists the packages that a program is made of, as an image builds it: without the workspace.
func Deps(root, cmd string) ([]string, error) {
	out, err := run(filepath.Join(root, filepath.FromSlash(path.Dir(path.Dir(cmd)))), nil, "go", "list", "-deps", "./cmd/"+path.Base(cmd))
	return strings.Fields(out), err
}

// commands are the folders of the services' programs.
func (t Tree) commands() []string {
	var found []string
	for _, name := range t.paths("/main.go") {
		dir := path.Dir(name)
		if service(dir) != "" && path.Base(path.Dir(dir)) == "cmd" {
			found = append(found, dir)
		}
	}
	return found
}

// Programs finds services that do not build to one program of their own name: images and charts rest on that.
func Programs(t Tree) []string {
	var found []string
	commands := t.commands()
	for _, name := range t.services() {
		if want := path.Join("services", name, "cmd", name); !slices.Contains(commands, want) {
			found = append(found, fmt.Sprintf("services/%s has no %s/main.go: images and charts expect one program of the service's name", name, want))
		}
	}
	return found
}

var numericUser = regexp.MustCompile(`(?m)^USER [1-9]\d*(:\d+)?$`)

// Dockerfile finds what would make an image more than one static program that is not root.
func Dockerfile(t Tree) []string {
	const name = "deploy/Dockerfile"
	text, ok := t[name]
	if !ok {
		return []string{name + " is missing: it makes the image of every service"}
	}
	var found []string
	copies := 0
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "FROM" && (len(words) < 2 || words[1] != "scratch"):
			found = append(found, fmt.Sprintf("%s: %s: an image holds one static program and nothing that has to be kept up to date", name, strings.TrimSpace(line)))
		case words[0] == "COPY" || words[0] == "ADD":
			copies++
			if !strings.Contains(line, "${SERVICE}") {
				found = append(found, fmt.Sprintf("%s: %s: only the service's program goes into its image", name, strings.TrimSpace(line)))
			}
		case words[0] == "RUN":
			found = append(found, name+": RUN: there is nothing in the image to run")
		}
	}
	if copies != 1 {
		found = append(found, fmt.Sprintf("%s: copies %d things: an image holds one program", name, copies))
	}
	for setting, why := range map[string]string{"CGO_ENABLED=0": "the program would need libraries that the image does not have", "GOWORK=off": "the program would not have the versions of its own go.mod"} {
		if !strings.Contains(t["deploy/images.sh"], setting) {
			found = append(found, fmt.Sprintf("deploy/images.sh builds without %s: %s", setting, why))
		}
	}
	if !numericUser.MatchString(text) {
		found = append(found, name+": has no numeric USER other than 0: Kubernetes can only tell from a number that it is not root")
	}
	return found
}

// Buf is the protobuf compiler with its plugins, as tools/build pins them.
type Buf struct{ dir string }

// NewBuf builds the tools unless the build cache has them, and links them into the folder.
func NewBuf(root, dir string) (Buf, error) {
	for _, tool := range []string{"buf", "protoc-gen-go", "protoc-gen-go-grpc"} {
		out, err := run(filepath.Join(root, "tools", "build"), nil, "go", "tool", "-n", tool)
		if err != nil {
			return Buf{}, err
		}
		if err := os.Symlink(strings.TrimSpace(out), filepath.Join(dir, tool)); err != nil {
			return Buf{}, err
		}
	}
	return Buf{dir}, nil
}

// run runs buf in a folder and returns what it complains about.
func (b Buf) run(dir string, args ...string) []string {
	out, err := run(dir, []string{"PATH=" + b.dir + string(os.PathListSeparator) + os.Getenv("PATH")}, filepath.Join(b.dir, "buf"), args...)
	if err == nil {
		return nil
	}
	return append(strings.Split(strings.TrimSpace(out), "\n"), err.Error())
}

// Lint finds what proto/buf.yaml does not allow in the protos of a folder.
func (b Buf) Lint(proto string) []string { return b.run(proto, "lint") }

// Breaking finds changes by which the protos of a folder stop understanding what is stored and sent: its baseline.binpb is what was
// promised.
func (b Buf) Breaking(proto string) []string {
	return b.run(proto, "breaking", "--against", "baseline.binpb")
}

// Generated finds generated files of a folder that are not what its protos give now.
func (b Buf) Generated(proto, temporary string) ([]string, error) {
	if complaints := b.run(proto, "generate", "--output", temporary); complaints != nil {
		return complaints, nil
	}
	want, err := files(filepath.Join(temporary, "gen"))
	if err != nil {
		return nil, err
	}
	have, err := files(filepath.Join(proto, "gen"))
	if err != nil {
		return nil, err
	}
	var found []string
	for _, name := range sortedKeys(want) {
		if have[name] != want[name] {
			found = append(found, fmt.Sprintf("gen/%s is not what the protos give: generate it again (make gen)", name))
		}
	}
	for _, name := range sortedKeys(have) {
		if _, ok := want[name]; !ok {
			found = append(found, fmt.Sprintf("gen/%s comes from no proto: delete it (make gen)", name))
		}
	}
	return found, nil
}

// files reads all files below a folder, by path from it.
func files(dir string) (Tree, error) {
	tree := Tree{}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		tree[filepath.ToSlash(rel)] = string(text)
		return err
	})
	return tree, err
}

// run runs a program outside of the workspace and returns its output. The error holds what it wrote to its error output.
func run(dir string, env []string, program string, args ...string) (string, error) {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "GOWORK=off"), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s in %s: %w\n%s", filepath.Base(program), strings.Join(args, " "), dir, err, errs.String())
	}
	return out.String(), nil
}
