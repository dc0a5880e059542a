// Homeward is the command-line tool for those who integrate and operate Homeward: it sends messages and tells what became of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata"

	"google.golang.org/grpc/status"
)

// command is one thing that the tool does.
type command struct {
	name, args, help string
	run              func(ctx context.Context, c call) error
}

// call is a command with its arguments and where it reads and writes.
type call struct {
	args []string
	in   io.Reader
	out  io.Writer
}

func commands() []command {
	return []command{
		{"discharge", "", "send the discharges of two synthetic people and tell what becomes of them", sendDischarges},
		{"send", "FILE|FOLDER|- ...", "send HL7 v2 messages over MLLP and tell what each answer means", sendFiles},
		{"why", "KEY", "each hop of a handover; KEY is a reference, control id, spell, event or trace id", explainHandover},
		{"trace", "ID", "the spans of a trace, as a tree", showTrace},
		{"watch", "", "handovers and exceptions as they come", watch},
		{"exceptions list", "", "what waits for a person", listExceptions},
		{"exceptions show", "ID", "an exception, its message, and the place at fault", showException},
		{"exceptions correct", "ID FILE", "store a corrected copy of the message in its place", correctException},
		{"exceptions dismiss", "ID", "close an exception of which nothing is to come", dismissException},
		{"exceptions assign", "ID [OWNER]", "say who looks into it; without OWNER you do", assignException},
		{"replay", "KEY", "read a stored message again by the mapping of now; KEY is a control id, message:ID or exception:ID", replay},
		{"feed check", "FOLDER", "say what a folder of messages holds, which spells would be due and why, and propose the feed's file", checkFeed},
		{"feed sheet", "FEED", "the interface sheet of a feed, to print; FEED is the key of a built-in feed or a file", printSheet},
		{"policy preview", "[FOLDER]", "what another policy or mapping would decide of stored messages, or of a folder's", previewPolicy},
		{"hospital", "", "a synthetic week of a hospital's messages, with all that goes wrong in one", simulateHospital},
	}
}

func usage() string {
	var b strings.Builder
	b.WriteString("usage: homeward COMMAND [--flag ...] ...; homeward COMMAND --help tells its flags\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-32s %s\n", strings.TrimSpace(c.name+" "+c.args), c.help)
	}
	b.WriteString(`
It talks to what 'make run' started in this checkout. For another Homeward set DISCHARGE_HUB_ADDR, COMMUNITY_PICKUP_ADDR,
LIGHT_TOUCH_ASSESSMENT_ADDR, REABLEMENT_CAPACITY_ADDR, MLLP_ADDR, JAEGER_QUERY_URL and HOMEWARD_TOKEN.`)
	return b.String()
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "homeward: %s\n", words(err))
		os.Exit(1)
	}
}

// words are what an error says: of what a service answered its own words alone, without the code that gRPC puts before them.
func words(err error) string {
	var answered interface {
		error
		GRPCStatus() *status.Status
	}
	if !errors.As(err, &answered) {
		return err.Error()
	}
	return strings.Replace(err.Error(), answered.Error(), answered.GRPCStatus().Message(), 1)
}

// run finds the command that the first words name.
func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	for _, c := range commands() {
		words := strings.Fields(c.name)
		if len(args) >= len(words) && strings.Join(args[:len(words)], " ") == c.name {
			return c.run(ctx, call{args: args[len(words):], in: in, out: out})
		}
	}
	if len(args) > 0 {
		return fmt.Errorf("there is no command %q\n%s", strings.Join(args, " "), usage())
	}
	return errors.New(usage())
}

// parse reads the flags of a command, wherever they stand among its arguments, and returns the others: at least and at most so many.
func (c call) parse(f *flag.FlagSet, least, most int) ([]string, error) {
	f.SetOutput(c.out)
	var rest []string
	for args := c.args; ; {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		if f.NArg() == 0 {
			break
		}
		rest, args = append(rest, f.Arg(0)), f.Args()[1:]
	}
	if len(rest) < least || most >= 0 && len(rest) > most {
		return nil, errors.New(usage())
	}
	return rest, nil
}

func flags(name string) *flag.FlagSet { return flag.NewFlagSet("homeward "+name, flag.ContinueOnError) }
