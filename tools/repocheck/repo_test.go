package repocheck

import (
	"os"
	"path/filepath"
	"testing"
)

// The rules that need nothing but the text of the repository.
var rules = map[string]func(Tree) []string{
	"imports stay within their fences":              Fences,
	"pure packages depend on their arguments alone": PurePackages,
	"modules build alone as they build together":    Modules,
	"the top level is fixed":                        TopLevel,
	"files and packages have one job":               Shape,
	"nothing is unfinished or of one machine only":  Words,
	"Go is formatted":                               Formatted,
	"SQL asks for no time and no chance":            SQL,
	"migrations only move forward":                  Migrations,
	"documents lead somewhere":                      Documents,
	"the catalogue of events is complete":           Catalogue,
	"people in examples are made up":                People,
	"each planted bug is a canary":                  Canaries,
	"each service is one program":                   Programs,
	"an image is one static program":                Dockerfile,
}

func load(t *testing.T) (Tree, string) {
	t.Helper()
	tree, root, err := Load(".")
	if err != nil {
		t.Fatal(err)
	}
	return tree, root
}

func report(t *testing.T, found []string) {
	t.Helper()
	for _, f := range found {
		t.Error(f)
	}
}

func TestRepository(t *testing.T) {
	tree, _ := load(t)
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) { report(t, rule(tree)) })
	}
}

func TestServiceBinariesHoldNoTestMachinery(t *testing.T) {
	tree, root := load(t)
	for _, cmd := range tree.commands() {
		deps, err := Deps(root, cmd)
		if err != nil {
			t.Error(err)
			continue
		}
		report(t, Binaries(tree, cmd, deps))
	}
}

func newBuf(t *testing.T, root string) Buf {
	t.Helper()
	buf, err := NewBuf(root, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return buf
}

func TestProtos(t *testing.T) {
	_, root := load(t)
	buf, proto := newBuf(t, root), filepath.Join(root, "proto")
	report(t, buf.Lint(proto))
	report(t, buf.Breaking(proto))
	found, err := buf.Generated(proto, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	report(t, found)
}

// edit copies the protos, changes one file, and returns the folder of the copy.
func edit(t *testing.T, root, name string, change func(string) string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "proto"))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, filepath.FromSlash(name))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := change(string(text))
	if changed == string(text) {
		t.Fatalf("the change did not change %s", name)
	}
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
