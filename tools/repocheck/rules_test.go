package repocheck

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sound is a small repository in which every rule holds.
var sound = Tree{
	"go.work":                              "go 1.26.8\n\nuse (\n\t./proto\n\t./services/hub\n\t./services/kit\n)\n",
	"Makefile":                             "run: ## start\n\tgo run ./x\n",
	"README.md":                            "# Home\n\n`make run`, [the hub](services/hub/README.md#what-it-is), `proto/go.mod`, `application/json`\n\n```\n$ make run\n```\n",
	"deploy/images.sh":                     "GOWORK=off CGO_ENABLED=0 go build\n",
	"deploy/Dockerfile":                    "FROM scratch\nARG SERVICE\nCOPY ${SERVICE} /service\nUSER 65532:65532\n",
	"proto/go.mod":                         "module " + Prefix + "proto\n\ngo 1.26.8\n",
	"services/kit/go.mod":                  "module " + Prefix + "services/kit\n\ngo 1.26.8\n\nrequire " + Prefix + "proto v0.0.0\n\nreplace " + Prefix + "proto => ../../proto\n",
	"services/kit/run/run.go":              "// Package run runs.\npackage run\n\nimport _ \"" + Prefix + "proto/gen/homeward/ops/v1\"\n",
	"services/hub/go.mod":                  "module " + Prefix + "services/hub\n\ngo 1.26.8\n\nrequire (\n\t" + Prefix + "services/kit v0.0.0\n\texample.org/x v1.0.0\n)\n\nreplace (\n\t" + Prefix + "proto => ../../proto\n\t" + Prefix + "services/kit => ../kit\n)\n",
	"services/hub/README.md":               "# Hub\n\n## What it is\n",
	"services/hub/cmd/hub/main.go":         "// Command hub is the hub.\npackage main\n\nfunc main() {}\n",
	"services/hub/migrations/0001_hub.sql": "-- +goose Up\nCREATE TABLE x (at timestamptz); -- not now()\n",
	"services/hub/testdata/a.hl7":          "PID|1||9990000026^^^NHS|4444444444\n",
	"services/hub/store.go":                "// Package hub keeps.\npackage hub\n\nconst q = `SELECT at FROM x WHERE at < $1`\n",
}

// with returns the sound repository with some files added or replaced.
func with(changes Tree) Tree {
	t := maps.Clone(sound)
	maps.Copy(t, changes)
	return t
}

// goFile is a documented Go file with a body.
func goFile(pkg, body string) string {
	return "// Package " + pkg + " is there.\npackage " + pkg + "\n\n" + body
}

func TestSoundRepositoryBreaksNoRule(t *testing.T) {
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) { report(t, rule(sound)) })
	}
}

// Each case breaks one rule; the finding must name the place and the reason.
var broken = map[string][]struct {
	name string
	tree Tree
	want string
}{
	"imports stay within their fences": {
		{"service imports service", Tree{"services/hub/a.go": goFile("hub", `import _ "`+Prefix+`services/other/thing"`)}, "services/hub/a.go:4 imports services/other/thing: services never import"},
		{"kit imports service", Tree{"services/kit/a/a.go": goFile("a", `import _ "`+Prefix+`services/hub"`)}, "the kit imports no service"},
		{"kit imports business proto", Tree{"services/kit/a/a.go": goFile("a", `import _ "`+Prefix+`proto/gen/homeward/pickup/v1"`)}, "no business word"},
		{"proto imports kit", Tree{"proto/a.go": goFile("proto", `import _ "`+Prefix+`services/kit/run"`)}, "proto imports nothing"},
		{"service imports a tool", Tree{"services/hub/a.go": goFile("hub", `import _ "`+Prefix+`tools/devstack/stack"`)}, "do not know the programs"},
		{"e2e imports service", Tree{"e2e/a_test.go": goFile("e2e", `import _ "`+Prefix+`services/hub"`)}, "from outside"},
		{"service links the dev servers", Tree{"services/hub/a.go": goFile("hub", `import _ "`+Prefix+`services/kit/devinfra"`)}, "only tests may"},
	},
	"pure packages depend on their arguments alone": {
		{"the clock", Tree{"services/discharge-hub/hl7/a.go": goFile("hl7", "import \"time\"\n\nvar t = time.Now()\n")}, "services/discharge-hub/hl7/a.go:6 uses time.Now"},
		{"the clock under another name", Tree{"services/discharge-hub/hl7/a.go": goFile("hl7", "import std \"time\"\n\nvar t = std.Since\n")}, "uses std.Since"},
		{"a hidden clock", Tree{"services/discharge-hub/hl7/a.go": goFile("hl7", `import . "time"`)}, "with a dot"},
		{"a random id", Tree{"services/discharge-hub/hl7/a.go": goFile("hl7", "import \"github.com/google/uuid\"\n\nvar id = uuid.New()\n")}, "uses uuid.New"},
		{"a context", Tree{"services/discharge-hub/hl7/a.go": goFile("hl7", `import _ "context"`)}, "imports context"},
		{"the network", Tree{"services/discharge-hub/hl7/a.go": goFile("hl7", `import _ "net/http"`)}, "imports net/http"},
		{"files", Tree{"services/discharge-hub/hl7/a.go": goFile("hl7", `import _ "os"`)}, "imports os"},
		{"chance", Tree{"services/discharge-hub/hl7/a.go": goFile("hl7", `import _ "math/rand/v2"`)}, "imports math/rand/v2"},
		{"another module", Tree{"services/discharge-hub/hl7/a.go": goFile("hl7", `import _ "github.com/jackc/pgx/v5"`)}, "imports github.com/jackc/pgx/v5"},
		{"the kit", Tree{"services/discharge-hub/hl7/a.go": goFile("hl7", `import _ "`+Prefix+`services/kit/run"`)}, "imports only"},
		{"a pure package under a new name", Tree{"services/discharge-hub/go.mod": "module x\n"}, "services/discharge-hub/hl7 is not there"},
	},
	"each planted bug is a canary": {
		{"a bug that no list names", Tree{"services/hub/a.go": goFile("hub", "var b = failpoint.Bug(\"x\")\n")}, "services/hub/a.go:4 plants x, which"},
		{"a bug without a literal", Tree{"services/hub/a.go": goFile("hub", "var b = failpoint.Bug(x)\n")}, "services/hub/a.go:4: name the bug by a literal"},
		{"a canary that is planted nowhere", Tree{"e2e/canaries/canaries.go": goFile("canaries", "var all = []c{{Name: \"x\"}}\n")}, "lists x, which is planted nowhere"},
		{"a canary without a line", Tree{"e2e/canaries/canaries.go": goFile("canaries", "var all = []c{{Name: \"x\"}}\n")}, "lists x, of which"},
	},
	"modules build alone as they build together": {
		{"another Go", Tree{"proto/go.mod": "module " + Prefix + "proto\n\ngo 1.25.0\n"}, "but proto/go.mod says go 1.25.0"},
		{"a name that is not the folder's", Tree{"proto/go.mod": "module example.org/proto\n\ngo 1.26.8\n"}, "is not called"},
		{"a toolchain", Tree{"proto/go.mod": "module " + Prefix + "proto\n\ngo 1.26.8\n\ntoolchain go1.26.9\n"}, "toolchain line"},
		{"a sibling that is not replaced", Tree{"services/hub/go.mod": "module " + Prefix + "services/hub\n\ngo 1.26.8\n\nrequire " + Prefix + "services/kit v0.0.0\n\nreplace " + Prefix + "services/kit => ../kit\n"}, "reaches proto without a replace"},
		{"a sibling with a version", Tree{"services/kit/go.mod": "module " + Prefix + "services/kit\n\ngo 1.26.8\n\nrequire " + Prefix + "proto v1.0.0\n\nreplace " + Prefix + "proto => ../../proto\n"}, "siblings are v0.0.0"},
		{"a replace to elsewhere", Tree{"services/kit/go.mod": "module " + Prefix + "services/kit\n\ngo 1.26.8\n\nrequire " + Prefix + "proto v0.0.0\n\nreplace " + Prefix + "proto => ../proto\n"}, "not its folder"},
		{"a replace of others' work", Tree{"proto/go.mod": "module " + Prefix + "proto\n\ngo 1.26.8\n\nreplace example.org/x => example.org/y v1.0.0\n"}, "what its authors published"},
		{"two versions of one module", Tree{"proto/go.mod": "module " + Prefix + "proto\n\ngo 1.26.8\n\nrequire example.org/x v1.1.0\n"}, "go work sync"},
		{"a module outside of the workspace", Tree{"e2e/go.mod": "module " + Prefix + "e2e\n\ngo 1.26.8\n"}, "does not use e2e"},
		{"build tools in the workspace", Tree{"tools/build/go.mod": "module " + Prefix + "tools/build\n\ngo 1.26.8\n", "go.work": sound["go.work"] + "\nuse ./tools/build\n"}, "uses tools/build"},
	},
	"the top level is fixed": {
		{"one more folder", Tree{"docs/a.md": ""}, "docs lies at the top level"},
	},
	"files and packages have one job": {
		{"too long", Tree{"services/hub/a.go": goFile("hub", strings.Repeat("\n", 500))}, "has 503 lines"},
		{"a name that says nothing", Tree{"services/hub/utils/a.go": goFile("utils", "")}, "package utils"},
		{"work at import", Tree{"services/hub/a.go": goFile("hub", "func init() {}\n")}, "func init"},
		{"no word on what it is", Tree{"services/hub/a/a.go": "package a\n"}, "no file of package a says"},
	},
	"nothing is unfinished or of one machine only": {
		{"a mark", Tree{"services/hub/a.go": goFile("hub", "// TO"+"DO: later\n")}, "services/hub/a.go:4: \"TO"},
		{"a skipped test", Tree{"services/hub/a_test.go": goFile("hub", "func f() { t.Sk"+"ip(\"no\") }\n")}, "looks like one that passes"},
		{"half a merge", Tree{"README.md": "<<<<<<" + "< ours\n"}, "merge"},
		{"a folder of one machine", Tree{"README.md": "see /home" + "/jo/x\n"}, "one machine"},
		{"a package registry", Tree{"Makefile": "GOPROXY=https://proxy.gol" + "ang.org\n"}, "package registry"},
		{"an image registry", Tree{"deploy/x.yaml": "image: quay" + ".io/x\n"}, "image registry"},
		{"an address", Tree{"deploy/x.yaml": "host: 192.16" + "8.1.7\n"}, "one network"},
	},
	"Go is formatted": {
		{"not formatted", Tree{"services/hub/a.go": "package hub\nfunc  f() {}\n"}, "services/hub/a.go is not formatted"},
	},
	"SQL asks for no time and no chance": {
		{"in a migration", Tree{"services/hub/migrations/0001_hub.sql": "-- +goose Up\nCREATE TABLE x (at timestamptz DEFAULT NOW());\n"}, "0001_hub.sql:2: NOW("},
		{"in a statement", Tree{"services/hub/a.go": goFile("hub", "const q = `SELECT 1 WHERE at < current_timestamp`\n")}, "a.go:4: current_timestamp"},
		{"an id", Tree{"services/hub/a.go": goFile("hub", "const q = \"INSERT INTO x VALUES (gen_random_uuid())\"\n")}, "gen_random_uuid("},
	},
	"migrations only move forward": {
		{"a number twice", Tree{"services/hub/migrations/0001_zwei.sql": "-- +goose Up\n"}, "each number is used once"},
		{"a gap", Tree{"services/hub/migrations/0003_x.sql": "-- +goose Up\n"}, "without gaps"},
		{"a way back", Tree{"services/hub/migrations/0002_x.sql": "-- +goose Up\n-- +goose Down\n"}, "goes down"},
		{"a name", Tree{"services/hub/migrations/x.sql": "-- +goose Up\n"}, "is named"},
		{"no mark", Tree{"services/hub/migrations/0002_x.sql": "SELECT 1;\n"}, "+goose Up"},
	},
	"documents lead somewhere": {
		{"a link", Tree{"README.md": "\n[x](services/hub/none.md)\n"}, "README.md:2: the link services/hub/none.md leads to nothing"},
		{"a heading", Tree{"README.md": "[x](services/hub/README.md#else)\n"}, "heading"},
		{"a path", Tree{"README.md": "`services/hub/none.go`\n"}, "there is no services/hub/none.go"},
		{"a bare file name", Tree{"README.md": "`none.go`\n"}, "there is no none.go"},
		{"a target", Tree{"README.md": "`make fly`\n"}, "`make fly` is no target"},
		{"a target in a block", Tree{"README.md": "```\n$ make fly\n```\n"}, "`make fly` is no target"},
	},
	"the catalogue of events is complete": {
		{"an event that is not listed", Tree{"services/hub/a.go": goFile("hub", "const typ = \"homeward.hub.thing.v1\"\n")}, "services/hub/a.go speaks of homeward.hub.thing.v1"},
		{"an event that is no more", Tree{"proto/README.md": "`homeward.hub.gone.v1`\n"}, "lists homeward.hub.gone.v1"},
	},
	"people in examples are made up": {
		// Put together here, so that this file does not hold one.
		{"a number that could be issued", Tree{"e2e/testdata/a.hl7": "PID|1||943 476 " + "5919^^^NHS\n"}, "a.hl7:1: 943"},
	},
	"each service is one program": {
		{"no program", Tree{"services/new/go.mod": "module x\n"}, "services/new has no services/new/cmd/new/main.go"},
	},
	"an image is one static program": {
		{"a base", Tree{"deploy/Dockerfile": "FROM debian\nARG SERVICE\nCOPY ${SERVICE} /service\nUSER 1\n"}, "FROM debian"},
		{"root", Tree{"deploy/Dockerfile": "FROM scratch\nARG SERVICE\nCOPY ${SERVICE} /service\nUSER root\n"}, "numeric USER"},
		{"more than the program", Tree{"deploy/Dockerfile": "FROM scratch\nCOPY . /\nUSER 1\n"}, "only the service's program"},
		{"two programs", Tree{"deploy/Dockerfile": "FROM scratch\nCOPY ${SERVICE} /a\nCOPY ${SERVICE} /b\nUSER 1\n"}, "copies 2"},
		{"a program that needs libraries", Tree{"deploy/images.sh": "GOWORK=off go build\n"}, "CGO_ENABLED=0"},
		{"versions of the workspace", Tree{"deploy/images.sh": "CGO_ENABLED=0 go build\n"}, "GOWORK=off"},
		{"commands", Tree{"deploy/Dockerfile": sound["deploy/Dockerfile"] + "RUN true\n"}, "nothing in the image to run"},
	},
}

func TestEveryRuleCanFail(t *testing.T) {
	for rule := range rules {
		if len(broken[rule]) == 0 {
			t.Errorf("no case breaks the rule %q", rule)
		}
	}
	for rule, cases := range broken {
		for _, c := range cases {
			t.Run(rule+"/"+c.name, func(t *testing.T) {
				found := rules[rule](with(c.tree))
				if !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.want) }) {
					t.Errorf("no finding contains %q; found %q", c.want, found)
				}
			})
		}
	}
}

func TestBinaryRulesCanFail(t *testing.T) {
	tree := with(Tree{"services/hub/zone.go": goFile("hub", "import \"time\"\n\nvar zone, err = time.LoadLocation(\"Europe/London\")\n")})
	for _, c := range []struct {
		name string
		deps []string
		want string
	}{
		{"a NATS server", []string{"github.com/nats-io/nats-server/v2/server"}, "nats-server"},
		{"test machinery", []string{Prefix + "services/kit/kittest"}, "kittest"},
		{"testing", []string{"testing"}, "testing"},
		{"no time zones", []string{Prefix + "services/hub"}, "time/tzdata"},
		{"sound", []string{"fmt", "time/tzdata", Prefix + "services/hub"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := strings.Join(Binaries(tree, "services/hub/cmd/hub", c.deps), "\n")
			if (c.want == "") != (found == "") || !strings.Contains(found, c.want) {
				t.Errorf("found %q, want something about %q", found, c.want)
			}
		})
	}
}

func TestProtoRulesCanFail(t *testing.T) {
	_, root := load(t)
	buf := newBuf(t, root)
	const spell = "homeward/discharge/v1/spell.proto"
	replace := func(old, new string) func(string) string {
		return func(text string) string { return strings.Replace(text, old, new, 1) }
	}
	contains := func(t *testing.T, found []string, want string) {
		t.Helper()
		if !strings.Contains(strings.Join(found, "\n"), want) {
			t.Errorf("no finding contains %q; found %q", want, found)
		}
	}
	t.Run("lint", func(t *testing.T) {
		contains(t, buf.Lint(edit(t, root, spell, replace("string spell_id = 1;", "string spellID = 1;"))), "lower_snake_case")
	})
	t.Run("a field changes its type", func(t *testing.T) {
		contains(t, buf.Breaking(edit(t, root, spell, replace("string spell_id = 1;", "int64 spell_id = 1;"))), "changed type")
	})
	t.Run("generated code is old", func(t *testing.T) {
		dir := edit(t, root, spell, replace("string spell_id = 1;", "string spell_id = 1;\n  string more = 99;"))
		if err := os.WriteFile(filepath.Join(dir, "gen", "left.pb.go"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		found, err := buf.Generated(dir, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		contains(t, found, "gen/homeward/discharge/v1/spell.pb.go is not what the protos give")
		contains(t, found, "gen/left.pb.go comes from no proto")
	})
}
