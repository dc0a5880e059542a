package repocheck

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

// pure are the packages that decide: what they return depends on their arguments alone.
var pure = []string{
	"services/community-pickup/pickup",
	"services/discharge-hub/discharge",
	"services/discharge-hub/fhir",
	"services/discharge-hub/hl7",
	"services/light-touch-assessment/assessment",
	"services/reablement-capacity/reablement",
}

// testOnly are packages that bring servers and test machinery with them.
var testOnly = []string{"services/kit/devinfra", "services/kit/kittest"}

// local returns the folder of an import path of this repository.
func local(importPath string) (string, bool) {
	return strings.CutPrefix(importPath, Prefix)
}

// service returns the service that a folder belongs to, the kit not being one.
func service(dir string) string {
	parts := strings.Split(dir, "/")
	if len(parts) < 2 || parts[0] != "services" || parts[1] == "kit" {
		return ""
	}
	return parts[1]
}

// within reports whether a folder is another or lies in it.
func within(dir, parent string) bool { return dir == parent || strings.HasPrefix(dir, parent+"/") }

// Fences finds imports that cross the borders between services, kit, proto and the programs around them.
func Fences(t Tree) []string {
	var found []string
	for _, s := range t.sources("") {
		for importPath, spec := range s.imported() {
			to, ok := local(importPath)
			if !ok {
				continue
			}
			if why := crossing(s.dir(), to, s.test()); why != "" {
				found = append(found, fmt.Sprintf("%s imports %s: %s", s.at(spec), to, why))
			}
		}
	}
	slices.Sort(found)
	return found
}

// crossing says why a package may not import another one; empty when it may.
func crossing(from, to string, test bool) string {
	switch {
	case within(from, "services/kit") && service(to) != "":
		return "the kit imports no service, because every service imports the kit"
	case within(from, "services/kit") && within(to, "proto") && to != "proto/gen/homeward/ops/v1":
		return "of proto the kit knows only homeward/ops/v1, because it has no business word"
	case service(from) != "" && service(to) != "" && service(from) != service(to):
		return "services never import one another; what they know of each other is in proto"
	case within(from, "proto") && !within(to, "proto"):
		return "proto imports nothing of the project, because everything imports proto"
	case within(from, "services") && (within(to, "tools") || within(to, "e2e")):
		return "services do not know the programs that build, run and test them"
	case within(from, "e2e") && !within(from, "e2e/sim") && service(to) != "":
		return "e2e looks at services from outside, as processes, so that it sees what users see"
	case within(from, "services") && !test && slices.Contains(testOnly, to) && !slices.Contains(testOnly, from):
		return "it brings a NATS server and test machinery, which do not belong into a service's binary; only tests may"
	}
	return ""
}

// impurePackages reach outside of a function's arguments.
var impurePackages = []string{
	"context", "crypto/rand", "database", "expvar", "flag", "io/ioutil", "log", "math/rand", "net", "os", "os/exec", "os/signal", "plugin",
	"runtime", "syscall", "testing", "unsafe",
}

// impureCalls are functions of allowed packages that look at the clock, wait, or draw random numbers.
var impureCalls = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Local"},
	"github.com/google/uuid": {"New", "NewString", "NewRandom", "NewRandomFromReader", "NewUUID", "NewV6", "NewV7", "NewV7FromReader",
		"NewDCEGroup", "NewDCEPerson", "NewDCESecurity", "SetRand"},
}

// PurePackages finds what would make a decision depend on more than its arguments. Tests of a pure package may use anything.
func PurePackages(t Tree) []string {
	var found []string
	for _, dir := range pure {
		if slices.Contains(t.services(), service(dir)) && !t.has(dir) {
			found = append(found, fmt.Sprintf("%s is not there: if the pure package has a new name, name it in tools/repocheck/imports.go, or nothing guards it", dir))
		}
		for _, s := range t.sources(dir) {
			if !s.test() {
				found = append(found, impureIn(s)...)
			}
		}
	}
	return found
}

func impureIn(s source) []string {
	var found []string
	watched := map[string]string{} // name in this file to import path
	for importPath, spec := range s.imported() {
		if why := impureImport(s.dir(), importPath); why != "" {
			found = append(found, fmt.Sprintf("%s imports %s: %s", s.at(spec), importPath, why))
		}
		if impureCalls[importPath] == nil {
			continue
		}
		name := path.Base(importPath)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == "." {
			found = append(found, fmt.Sprintf("%s imports %s with a dot: that hides calls to the clock", s.at(spec), importPath))
		}
		watched[name] = importPath
	}
	slices.Sort(found)
	ast.Inspect(s.File, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(impureCalls[watched[x.Name]], sel.Sel.Name) {
			found = append(found, fmt.Sprintf("%s uses %s.%s: a pure package takes the time and its ids as arguments, so that production, tests and replay decide alike",
				s.at(sel), x.Name, sel.Sel.Name))
		}
		return true
	})
	return found
}

func impureImport(from, importPath string) string {
	if to, ok := local(importPath); ok {
		if slices.Contains(pure, to) && service(to) == service(from) {
			return ""
		}
		return "a pure package imports only the standard library, google/uuid and pure packages of its own service"
	}
	first, _, _ := strings.Cut(importPath, "/")
	if strings.Contains(first, ".") {
		if importPath == "github.com/google/uuid" {
			return ""
		}
		return "a pure package imports only the standard library, google/uuid and pure packages of its own service"
	}
	for _, impure := range impurePackages {
		if within(importPath, impure) {
			return "a pure package does no I/O, has no context and draws no random numbers: what it decides rests on its arguments alone"
		}
	}
	return ""
}
