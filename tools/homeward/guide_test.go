package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	communitypickup "github.com/homeward-care/homeward/services/community-pickup"
	pickupmigrations "github.com/homeward-care/homeward/services/community-pickup/migrations"
	dischargehub "github.com/homeward-care/homeward/services/discharge-hub"
	hubmigrations "github.com/homeward-care/homeward/services/discharge-hub/migrations"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/pg"
)

// TestMain lets the test's own program be the tool where it is called by the tool's name: the guide's commands are run as they stand.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "homeward" {
		main()
		os.Exit(0)
	}
	kittest.Main(m)
}

// platform is the hub and community-pickup, running, and the environment by which the tool finds them.
type platform struct {
	hub *pg.DB
	env []string
}

func startPlatform(t *testing.T) platform {
	t.Helper()
	nats, issuer := kittest.NATS(t), kittest.Issuer(t)
	hubURL, pickupURL := kittest.Database(t, hubmigrations.FS), kittest.Database(t, pickupmigrations.FS)
	away := kittest.FreeAddr(t)
	hub := dischargehub.Config{Config: kittest.Config(t, "discharge-hub", hubURL, nats, issuer), MLLPAddr: kittest.FreeAddr(t), AssessmentAddr: away}
	pickup := communitypickup.Config{Config: kittest.Config(t, "community-pickup", pickupURL, nats, issuer), Place: "thurrock", AssessmentAddr: away, ReablementAddr: away}
	hub.PickupAddr, pickup.HubAddr = pickup.GRPCAddr, hub.GRPCAddr
	kittest.Start(t, func(ctx context.Context) error { return dischargehub.Run(ctx, hub) })
	kittest.Start(t, func(ctx context.Context) error { return communitypickup.Run(ctx, pickup) })
	token, err := issuer.Mint(authn.Principal{Subject: "test:integrator", Roles: []authn.Role{authn.HubStaff, authn.Ops}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	p := platform{hub: kittest.Open(t, hubURL), env: []string{"HOMEWARD_TOKEN=" + token, "MLLP_ADDR=" + hub.MLLPAddr, "DISCHARGE_HUB_ADDR=" + hub.GRPCAddr,
		"COMMUNITY_PICKUP_ADDR=" + pickup.GRPCAddr, "TZ=Europe/London"}}
	kittest.Eventually(t, "the hub answers", func() bool {
		_, err := p.sh(t, t.TempDir(), "homeward exceptions list")
		return err == nil
	})
	return p
}

// sh runs a script in a folder, with the tool in its path.
func (p platform) sh(t *testing.T, folder, script string) (string, error) {
	t.Helper()
	bin := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "homeward")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-eu", "-c", script)
	cmd.Dir = folder
	cmd.Env = append(append(os.Environ(), p.env...), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// settled waits until everything that was stored is interpreted, as it is before a person has typed the next command.
func (p platform) settled(t *testing.T) {
	t.Helper()
	kittest.Eventually(t, "all messages are interpreted", func() bool {
		var n int
		return p.hub.Pool.QueryRow(t.Context(), `SELECT count(*) FROM inbound_pending`).Scan(&n) == nil && n == 0
	})
}

// fenced is a block of the guide.
type fenced struct {
	language, text string
	line           int
}

func blocks(t *testing.T, file string) []fenced {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found []fenced
	in := false
	for i, line := range strings.Split(string(data), "\n") {
		switch language, fence := strings.CutPrefix(line, "```"); {
		case fence && !in:
			in = true
			found = append(found, fenced{language: language, line: i + 2})
		case fence:
			in = false
		case in:
			found[len(found)-1].text += line + "\n"
		}
	}
	return found
}

var blanks = regexp.MustCompile(`[ \t]+`)

// matches tells whether the output is as the guide shows it: `...` stands for anything, a line of it alone for any lines. How wide the columns
// are does not matter.
func matches(want, got string) bool {
	want, got = blanks.ReplaceAllString(want, " "), blanks.ReplaceAllString(got, " ")
	var pattern strings.Builder
	pattern.WriteString(`^`)
	for line := range strings.Lines(strings.TrimRight(want, "\n")) {
		if line = strings.TrimRight(line, "\n"); line == "..." {
			pattern.WriteString(`(?:.*\n)*?`)
			continue
		}
		parts := strings.Split(line, "...")
		for i := range parts {
			if i > 0 { // what stands for anything stands for the blanks around it too
				parts[i-1], parts[i] = strings.TrimRight(parts[i-1], " "), strings.TrimLeft(parts[i], " ")
			}
		}
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		pattern.WriteString(strings.Join(parts, `.*`) + `\n`)
	}
	return regexp.MustCompile(pattern.String() + `$`).MatchString(got)
}

const guide = "../../services/discharge-hub/docs/integration.md"

func TestEveryExampleOfTheGuideDoesWhatItSays(t *testing.T) {
	p := startPlatform(t)
	folder := t.TempDir()
	list := blocks(t, guide)
	ran := 0
	for i, b := range list {
		if b.language != "sh" {
			continue
		}
		out, err := p.sh(t, folder, b.text)
		if err != nil {
			t.Fatalf("%s:%d: %v\n%s\n%s", guide, b.line, err, b.text, out)
		}
		if i+1 < len(list) && list[i+1].language == "text" {
			if next := list[i+1]; !matches(next.text, out) {
				t.Errorf("%s:%d: the guide shows\n%s\nand it is\n%s", guide, next.line, next.text, out)
			}
		}
		p.settled(t)
		ran++
	}
	if ran < 15 {
		t.Errorf("only %d examples were run", ran)
	}
	var words string
	if err := p.hub.Pool.QueryRow(t.Context(), `SELECT string_agg(kind || ' ' || closed_how, ', ' ORDER BY id) FROM exception WHERE id < 3`).Scan(&words); err != nil {
		t.Fatal(err)
	}
	if want := "no-spell-key corrected, test-message-on-live-feed dismissed"; words != want {
		t.Errorf("the guide leaves behind %s, want %s", words, want)
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		want, got string
		is        bool
	}{
		{"a\nb\n", "a\nb\n", true}, {"a\nb\n", "a\nc\n", false}, {"a ... b\n", "a x y b\n", true}, {"...\nb\n", "x\ny\nb\n", true},
		{"a\n...\n", "a\nx\n", true}, {"a\n", "a\nx\n", false}, {"(a|b)\n", "a\n", false},
	} {
		if got := matches(c.want, c.got); got != c.is {
			t.Errorf("%q matches %q: %t", c.want, c.got, got)
		}
	}
}

// What a person mistypes is told with what to do.
func TestCommandsSayWhatIsMissing(t *testing.T) {
	for args, want := range map[string]string{
		"":                                   "usage: homeward",
		"nonsense":                           "usage: homeward",
		"send":                               "usage: homeward",
		"feed sheet nobody":                  "no built-in feed",
		"feed check .":                       "",
		"exceptions dismiss 1 --reason lazy": "choose one of cannot-be-found-out",
		"exceptions list --state odd":        "choose one of [all closed late open]",
		"policy preview --place nowhere":     "not built in",
		"hospital --beds 0":                  "at least one bed",
	} {
		err := run(t.Context(), strings.Fields(args), strings.NewReader(""), new(strings.Builder))
		if err == nil && want != "" || err != nil && !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("homeward %s: %v, want %q", args, err, want)
		}
	}
}
