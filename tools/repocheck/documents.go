package repocheck

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	fence      = regexp.MustCompile("^\\s*(```|~~~)")
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	codeSpan   = regexp.MustCompile("`([^`]+)`")
	pathLike   = regexp.MustCompile(`^\.{0,2}[\w.-]*(/[\w.-]+)+/?$|^[\w-]+\.(md|go|proto|yaml|json|csv|sql|sh)$`)
	makeCall   = regexp.MustCompile(`^make ([a-z][a-z0-9-]*)`)
	makeTarget = regexp.MustCompile(`(?m)^([a-zA-Z][\w %.-]*):([^=]|$)`)
	heading    = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *$`)
	notInSlug  = regexp.MustCompile("[^\\p{L}\\p{N} _-]")
)

// Documents finds links, paths and make targets in Markdown that lead nowhere.
func Documents(t Tree) []string {
	targets := makeTargets(t["Makefile"])
	var found []string
	for _, name := range t.paths(".md") {
		code := false
		number := 0
		for line := range strings.Lines(t[name]) {
			number++
			report := func(format string, args ...any) {
				found = append(found, fmt.Sprintf("%s:%d: ", name, number)+fmt.Sprintf(format, args...))
			}
			if fence.MatchString(line) {
				code = !code
				continue
			}
			if code {
				if m := makeCall.FindStringSubmatch(strings.TrimPrefix(strings.TrimSpace(line), "$ ")); m != nil && !slices.Contains(targets, m[1]) {
					report("`make %s` is no target of the Makefile", m[1])
				}
				continue
			}
			for _, m := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, ""), -1) {
				if why := brokenLink(t, name, m[1]); why != "" {
					report("the link %s %s", m[1], why)
				}
			}
			for _, m := range codeSpan.FindAllStringSubmatch(line, -1) {
				if m2 := makeCall.FindStringSubmatch(m[1]); m2 != nil && !slices.Contains(targets, m2[1]) {
					report("`make %s` is no target of the Makefile", m2[1])
				}
				if isPath(m[1]) && !t.has(path.Join(path.Dir(name), m[1])) && !t.has(m[1]) && !t.named(m[1]) {
					report("there is no %s, neither from here nor from the root", m[1])
				}
			}
		}
	}
	return found
}

func makeTargets(makefile string) []string {
	var targets []string
	for _, m := range makeTarget.FindAllStringSubmatch(makefile, -1) {
		targets = append(targets, strings.Fields(m[1])...)
	}
	return targets
}

// isPath reports whether a code span speaks of a file here: it begins with a folder of the top level or with a dot, or is a bare file
// name with an ending that only our files have. Everything else with a slash may be a subject, a media type or a resource.
func isPath(span string) bool {
	if !pathLike.MatchString(span) {
		return false
	}
	first, _, slash := strings.Cut(span, "/")
	if !slash {
		return true
	}
	return first == "." || first == ".." || slices.Contains(topLevel, first)
}

// named reports whether a bare file name is that of some file.
func (t Tree) named(base string) bool {
	return !strings.Contains(base, "/") && len(t.paths("/"+base)) > 0
}

func brokenLink(t Tree, from, target string) string {
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return ""
	}
	file, anchor, _ := strings.Cut(target, "#")
	to := from
	if file != "" {
		to = path.Join(path.Dir(from), file)
	}
	if !t.has(to) {
		return "leads to nothing"
	}
	if anchor != "" && strings.HasSuffix(to, ".md") && !slices.Contains(anchors(t[to]), anchor) {
		return "names a heading that is not there"
	}
	return ""
}

// anchors are the fragments that the headings of a Markdown file get.
func anchors(text string) []string {
	var found []string
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		slug := notInSlug.ReplaceAllString(strings.ToLower(m[1]), "")
		found = append(found, strings.ReplaceAll(slug, " ", "-"))
	}
	return found
}

var eventType = regexp.MustCompile(`\bhomeward\.[a-z]+\.[a-z]+\.v\d+\b`)

// Catalogue finds event types that proto/README.md does not list, and such as it lists though nothing knows them. Integrators read it
// before they read code.
func Catalogue(t Tree) []string {
	const catalogue = "proto/README.md"
	used, listed := map[string]string{}, map[string]bool{}
	for _, name := range slices.Concat(t.paths(".proto"), t.paths(".go")) {
		if first, _, _ := strings.Cut(name, "/"); first != "proto" && first != "services" || generated(t[name]) || strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, found := range eventType.FindAllString(t[name], -1) {
			used[found] = name
		}
	}
	for _, found := range eventType.FindAllString(t[catalogue], -1) {
		listed[found] = true
	}
	var found []string
	for _, event := range sortedKeys(used) {
		if !listed[event] {
			found = append(found, fmt.Sprintf("%s speaks of %s, which %s does not list", used[event], event, catalogue))
		}
	}
	for _, event := range sortedKeys(listed) {
		if used[event] == "" {
			found = append(found, fmt.Sprintf("%s lists %s, which nothing else knows", catalogue, event))
		}
	}
	return found
}
