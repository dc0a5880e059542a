package repocheck

import (
	"fmt"
	"go/ast"
	"go/format"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A pattern that must not be found, and why. The patterns are written in pieces so that this file does not match itself.
type word struct {
	pattern *regexp.Regexp
	why     string
}

var unfinished = []word{
	{regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`), "what is not done is an issue, not a comment"},
	{regexp.MustCompile(`\b(t|b|tb|f)\.Skip` + `(Now|f)?\(`), "a test that is skipped looks like one that passes"},
	{regexp.MustCompile(`(?m)^(<{7}|>{7}) `), "a merge was not finished"},
}

var elsewhere = []word{
	{regexp.MustCompile(`[\s"'(=:` + "`" + `]/(work|root|home/\w+|Users/\w+)` + `/`), "names a folder of one machine"},
	{regexp.MustCompile(`\.\./sha` + `red\b`), "names a folder outside of the repository"},
	{regexp.MustCompile(`\b(proxy\.golang|registry\.npmjs|goproxy\.io|sum\.golang)` + `\b`), "names a package registry; tools are configured for theirs"},
	{regexp.MustCompile(`\b(docker|ghcr|quay|gcr|mcr\.microsoft|registry\.k8s)` + `\.(io|com)/`), "names an image registry; who installs says which"},
	{regexp.MustCompile(`\b(10\.\d+|192\.168|172\.(1[6-9]|2\d|3[01]))` + `\.\d+\.\d+\b`), "names an address of one network"},
}

// Words finds marks of unfinished work and names of places that exist on one machine only.
func Words(t Tree) []string {
	var found []string
	for _, name := range t.paths("") {
		switch path.Base(name) {
		case "go.mod", "go.sum", "go.work.sum":
			continue
		}
		if strings.ContainsRune(t[name], 0) || generated(t[name]) {
			continue
		}
		for _, w := range slices.Concat(unfinished, elsewhere) {
			for _, at := range w.pattern.FindAllStringIndex(t[name], -1) {
				line := 1 + strings.Count(t[name][:at[0]], "\n")
				found = append(found, fmt.Sprintf("%s:%d: %q %s", name, line, strings.TrimSpace(t[name][at[0]:at[1]]), w.why))
			}
		}
	}
	return found
}

// Formatted finds Go files that gofmt would change.
func Formatted(t Tree) []string {
	var found []string
	for _, name := range t.paths(".go") {
		if want, err := format.Source([]byte(t[name])); err == nil && string(want) != t[name] {
			found = append(found, name+" is not formatted: run gofmt -w on it")
		}
	}
	return found
}

var (
	impureSQL = regexp.MustCompile(`(?i)\b(now|random|gen_random_uuid|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|uuidv4|uuidv7)\s*\(|` +
		`\b(current_(timestamp|date|time)|localtimestamp|localtime)\b`)
	looksLikeSQL = regexp.MustCompile(`(?i)\b(select|insert into|update|delete from|values|where|default|returning)\b`)
	sqlComment   = regexp.MustCompile(`--[^\n]*`)
)

const whySQL = "the service's clock and its ids are arguments, so that tests and replay give what production gave"

// SQL finds statements of services that ask the database for the time or for random numbers.
func SQL(t Tree) []string {
	var found []string
	for _, name := range t.paths(".sql") {
		number := 0
		for line := range strings.Lines(t[name]) {
			number++
			if hit := impureSQL.FindString(sqlComment.ReplaceAllString(line, "")); hit != "" {
				found = append(found, fmt.Sprintf("%s:%d: %s in SQL: %s", name, number, hit, whySQL))
			}
		}
	}
	for _, s := range t.sources("services") {
		if s.test() {
			continue
		}
		ast.Inspect(s.File, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil || !looksLikeSQL.MatchString(text) {
				return true
			}
			if hit := impureSQL.FindString(sqlComment.ReplaceAllString(text, "")); hit != "" {
				found = append(found, fmt.Sprintf("%s: %s in SQL: %s", s.at(lit), hit, whySQL))
			}
			return true
		})
	}
	return found
}

var migrationName = regexp.MustCompile(`^\d{4}_[a-z0-9_]+\.sql$`)

// Migrations finds migrations whose order is not plain, or that go back.
func Migrations(t Tree) []string {
	var found []string
	last := map[string]int{}
	for _, name := range t.paths(".sql") {
		dir := path.Dir(name)
		if path.Base(dir) != "migrations" {
			continue
		}
		if !migrationName.MatchString(path.Base(name)) {
			found = append(found, name+": a migration is named 0001_what_it_makes.sql")
			continue
		}
		number, _ := strconv.Atoi(path.Base(name)[:4])
		if number != last[dir]+1 {
			found = append(found, fmt.Sprintf("%s: comes after number %04d: each number is used once, without gaps, because the order is the schema", name, last[dir]))
		}
		last[dir] = number
		if !strings.Contains(t[name], "-- +goose Up") {
			found = append(found, name+": has no line `-- +goose Up`")
		}
		if strings.Contains(t[name], "-- +goose Down") {
			found = append(found, name+": goes down: a schema only moves forward, beside the older version that still runs")
		}
	}
	return found
}
