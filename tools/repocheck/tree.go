// Package repocheck holds the rules of this repository that no compiler checks: who may import whom, what a pure package may touch,
// that modules agree, that generated code and documents match what they speak of. Each rule is a function over the files of the
// repository; the tests apply it to the repository, and to a small tree that breaks it.
package repocheck

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Prefix of the path of every module here; the rest of a module's path is its folder.
const Prefix = "github.com/homeward-care/homeward/"

// Tree is the text files of the repository, by path from its root with forward slashes.
type Tree map[string]string

// Load reads the repository that the folder lies in.
func Load(dir string) (Tree, string, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, "", err
	}
	for !isDir(filepath.Join(root, ".git")) && !isDir(filepath.Join(root, "services", "kit")) {
		if root == filepath.Dir(root) {
			return nil, "", fmt.Errorf("%s lies in no checkout of Homeward", dir)
		}
		root = filepath.Dir(root)
	}
	tree := Tree{}
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch hidden := name != root && strings.HasPrefix(d.Name(), "."); {
		case hidden && d.IsDir():
			// It belongs to git or to tools, or is what the project makes at run time.
			return fs.SkipDir
		case hidden || !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		tree[filepath.ToSlash(rel)] = string(text)
		return err
	})
	return tree, root, err
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// paths returns the names of files that end in suffix, sorted.
func (t Tree) paths(suffix string) []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if strings.HasSuffix(name, suffix) {
			found = append(found, name)
		}
	}
	return found
}

// has reports whether there is such a file or folder.
func (t Tree) has(name string) bool {
	name = path.Clean(name)
	if _, ok := t[name]; ok || name == "." {
		return true
	}
	for file := range t {
		if strings.HasPrefix(file, name+"/") {
			return true
		}
	}
	return false
}

// services are the names of the folders in services that hold a module, without the kit.
func (t Tree) services() []string {
	var names []string
	for _, mod := range t.paths("/go.mod") {
		if dir := path.Dir(mod); path.Dir(dir) == "services" && dir != "services/kit" {
			names = append(names, path.Base(dir))
		}
	}
	return names
}

// generated reports whether a file is written by a tool: its own header says so.
func generated(text string) bool {
	head, _, _ := strings.Cut(text, "\npackage ")
	return strings.Contains(head, "// Code generated ") && strings.Contains(head, "DO NOT EDIT.")
}

// source is a parsed Go file.
type source struct {
	name string
	fset *token.FileSet
	*ast.File
}

// dir is the file's folder.
func (s source) dir() string { return path.Dir(s.name) }

// test reports whether the file is only built into tests.
func (s source) test() bool { return strings.HasSuffix(s.name, "_test.go") }

// at says where a node is.
func (s source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.name, s.fset.Position(n.Pos()).Line)
}

// imported are the paths that the file imports, with their import declarations.
func (s source) imported() map[string]*ast.ImportSpec {
	found := make(map[string]*ast.ImportSpec, len(s.Imports))
	for _, spec := range s.Imports {
		found[strings.Trim(spec.Path.Value, `"`)] = spec
	}
	return found
}

// sources parses every hand-written Go file below the folder ("" for all), sorted by name. A file that does not parse is left out: the
// compiler says more about it.
func (t Tree) sources(dir string) []source {
	var found []source
	for _, name := range t.paths(".go") {
		if dir != "" && !strings.HasPrefix(name, dir+"/") || generated(t[name]) {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, t[name], parser.ParseComments|parser.SkipObjectResolution)
		if err == nil {
			found = append(found, source{name, fset, file})
		}
	}
	return found
}

func functions(s source) []*ast.FuncDecl {
	var found []*ast.FuncDecl
	for _, d := range s.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			found = append(found, fn)
		}
	}
	return found
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
