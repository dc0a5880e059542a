package repocheck

import (
	"fmt"
	"go/ast"
	"strconv"
	"strings"
)

// Where the canaries are listed, and told of.
const (
	canaryList = "e2e/canaries/canaries.go"
	canaryDoc  = "e2e/FAULTS.md"
)

// Canaries finds planted bugs that no list names, so that nobody looks whether they are caught; and such as are listed and planted nowhere.
func Canaries(t Tree) []string {
	var found []string
	planted, listed := map[string]string{}, map[string]string{}
	for _, s := range t.sources("services") {
		if s.test() || s.dir() == "services/kit/failpoint" {
			continue
		}
		ast.Inspect(s.File, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !selects(call.Fun, "failpoint", "Bug") {
				return true
			}
			if name, ok := literal(call.Args[0]); ok {
				planted[name] = s.at(call)
			} else {
				found = append(found, s.at(call)+": name the bug by a literal, so that it is found here")
			}
			return true
		})
	}
	for _, s := range t.sources("e2e/canaries") {
		if s.name != canaryList {
			continue
		}
		ast.Inspect(s.File, func(n ast.Node) bool {
			if field, ok := n.(*ast.KeyValueExpr); ok {
				if key, ok := field.Key.(*ast.Ident); ok && key.Name == "Name" {
					name, _ := literal(field.Value)
					listed[name] = s.at(field)
				}
			}
			return true
		})
	}
	for _, name := range sortedKeys(planted) {
		if listed[name] == "" {
			found = append(found, fmt.Sprintf("%s plants %s, which %s does not list: nobody looks whether it is caught", planted[name], name, canaryList))
		}
	}
	for _, name := range sortedKeys(listed) {
		if planted[name] == "" {
			found = append(found, fmt.Sprintf("%s lists %s, which is planted nowhere", listed[name], name))
		}
		if !strings.Contains(t[canaryDoc], "`"+name+"`") {
			found = append(found, fmt.Sprintf("%s lists %s, of which %s does not tell", listed[name], name, canaryDoc))
		}
	}
	return found
}

// selects reports whether an expression is a name of a package.
func selects(e ast.Expr, pkg, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg && sel.Sel.Name == name
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}
