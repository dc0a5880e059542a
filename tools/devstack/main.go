// Devstack runs the whole of Homeward on this machine and keeps it running: it is what `make run` starts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/devinfra"
	"github.com/homeward-care/homeward/tools/devstack/stack"
)

const usage = `usage: devstack run [-parts-only]    run everything until Ctrl-C
       devstack token -role ROLE [-sub NAME] [-team KEY]... [-provider KEY] [-valid 8h]
                                    print a token of the development issuer
       devstack client-token        sign in as the development client of the FHIR door, and print its access token`

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "devstack: %v\n", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	switch args[0] {
	case "run":
		return runStack(args[1:])
	case "token":
		return printToken(args[1:])
	case "client-token":
		return printClientToken()
	case "nats":
		return stack.ServeNATS(args[1:])
	}
	return fmt.Errorf("%s is no command of devstack\n%s", args[0], usage)
}

// runStack runs everything until a signal, and stops it in order.
func runStack(args []string) error {
	flags := flag.NewFlagSet("run", flag.ExitOnError)
	partsOnly := flags.Bool("parts-only", false, "NATS, PostgreSQL and Jaeger without the services")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := devinfra.StateDir()
	if err != nil {
		return err
	}
	ports, err := stack.PortsFromEnv()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	fmt.Println("Starting Homeward (the first time takes a few minutes: it is compiled, and what is missing is fetched) ...")
	s, err := stack.Start(ctx, stack.Options{
		Dir:          dir,
		Ports:        ports,
		Jaeger:       stack.JaegerLater,
		OTLPEndpoint: os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"),
		DatabaseURL:  os.Getenv("HOMEWARD_DATABASE_URL"),
		Postgres:     devinfra.PostgresOptions{Durable: true},
		PartsOnly:    *partsOnly,
		Binaries:     map[string]string{"devstack": self},
		Say:          say,
	})
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("stopped before everything was up")
		}
		return err
	}
	printOverview(s)
	<-ctx.Done()
	stop() // a second Ctrl-C ends this program at once, and with it all that it started
	fmt.Println("\nStopping ...")
	if err := s.Stop(); err != nil {
		return err
	}
	fmt.Println("Stopped. The data is kept for the next start.")
	return nil
}

func say(line string) { fmt.Println(time.Now().Format("15:04:05") + "  " + line) }

// printToken mints a token with the key in the state folder; who can read that key may be anybody here.
func printToken(args []string) error {
	flags := flag.NewFlagSet("token", flag.ExitOnError)
	var p authn.Principal
	roles := []authn.Role{authn.HubStaff, authn.CLSWorker, authn.CLSManager, authn.Provider, authn.Ops, authn.Integration}
	flags.Func("role", fmt.Sprintf("one of %v; may be repeated", roles), func(text string) error {
		for _, role := range roles {
			if string(role) == text {
				p.Roles = append(p.Roles, role)
				return nil
			}
		}
		return fmt.Errorf("it has to be one of %v", roles)
	})
	flags.StringVar(&p.Subject, "sub", "", "who it is, as the audit will name them (default: the role)")
	flags.Func("team", "key of a CLS team, such as CLS-GRAYS; may be repeated", func(text string) error {
		p.Teams = append(p.Teams, text)
		return nil
	})
	flags.StringVar(&p.Provider, "provider", "", "key of a reablement provider")
	valid := flags.Duration("valid", 8*time.Hour, "how long the token is good")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if len(p.Roles) == 0 {
		return errors.New("say what the token is for\n" + usage)
	}
	if p.Subject == "" {
		p.Subject = "development:" + string(p.Roles[0])
	}
	dir, err := devinfra.StateDir()
	if err != nil {
		return err
	}
	issuer, err := devinfra.OpenIssuer(stack.IssuerDir(dir))
	if err != nil {
		return err
	}
	token, err := issuer.Mint(p, *valid)
	if err != nil {
		return err
	}
	fmt.Println(strings.TrimSpace(token))
	return nil
}

// printClientToken signs in at the running stack's FHIR door as a hospital's machine does.
func printClientToken() error {
	dir, err := devinfra.StateDir()
	if err != nil {
		return err
	}
	addresses, err := stack.ReadAddresses(dir)
	if err != nil {
		return err
	}
	client, err := stack.OpenClient(dir)
	if err != nil {
		return err
	}
	token, err := client.Token(context.Background(), addresses.FHIR)
	if err != nil {
		return err
	}
	fmt.Println(token)
	return nil
}
