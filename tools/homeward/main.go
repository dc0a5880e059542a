// Homeward is the command-line tool for those who integrate and operate Homeward: it sends messages and tells what became of them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata"
)

const usage = `usage: homeward discharge       send the discharges of two synthetic people and tell what becomes of them
       homeward send FILE...    send HL7 v2 messages over MLLP, a file each, and print their acknowledgements
       homeward why KEY         each hop of a handover; KEY is a reference, control id, spell, event or trace id
       homeward trace ID        the spans of a trace, as a tree

It talks to what 'make run' started in this checkout. For another Homeward set DISCHARGE_HUB_ADDR, COMMUNITY_PICKUP_ADDR,
LIGHT_TOUCH_ASSESSMENT_ADDR, REABLEMENT_CAPACITY_ADDR, MLLP_ADDR, JAEGER_QUERY_URL and HOMEWARD_TOKEN.`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "homeward: %v\n", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	name, rest := args[0], args[1:]
	switch {
	case name == "discharge" && len(rest) == 0:
		return withTarget(func(t *target) error { return discharge(ctx, t, os.Stdout) })
	case name == "send" && len(rest) > 0:
		return withTarget(func(t *target) error { return sendFiles(t, rest, os.Stdout) })
	case name == "why" && len(rest) == 1:
		return withTarget(func(t *target) error { return why(ctx, t, rest[0], os.Stdout) })
	case name == "trace" && len(rest) == 1:
		return withTarget(func(t *target) error { return printTrace(ctx, t, rest[0], os.Stdout) })
	}
	return errors.New(usage)
}
