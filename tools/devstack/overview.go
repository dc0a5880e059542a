package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// printOverview says where everything is and what to type next.
func printOverview(s *stack.Stack) {
	fmt.Print("\nHomeward is running.\n\n")
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, part := range s.Parts() {
		fmt.Fprintf(w, "  %s\t%s\tprocess %d\n", part.Name, where(s, part.Name), part.Pid())
	}
	w.Flush()
	fmt.Printf("\n  logs    %s\n", s.Logs)
	switch {
	case s.Jaeger == "" && s.OTLP != "":
		fmt.Printf("  traces  go to %s\n", s.OTLP)
	case s.JaegerPages && s.Part("jaeger") != nil:
		fmt.Printf("  traces  %s\n", s.Jaeger)
	case s.Part("jaeger") == nil && s.Jaeger != "":
		fmt.Print("  traces  from when Jaeger has been built; this window will say so\n")
	case s.Jaeger != "":
		fmt.Print("  traces  make trace ID=... (a `jaeger` from an official release, in PATH, has pages to look at)\n")
	}
	fmt.Print(`
Next, in another terminal:
  make discharge          send a hospital's discharge message and see what becomes of it
  make why REF=...        the whole way of one handover, by its reference
  make trace ID=...       its spans in Jaeger, as a tree
  kill -9 any process     it comes back, and nothing is lost
The FHIR door, with curl: services/discharge-hub/docs/fhir.md; a hospital's HL7 feed: docs/integration.md beside it.
Ctrl-C stops everything. The data stays for the next start; make clean removes it.

`)
}

// where is the address of a part, in words.
func where(s *stack.Stack, part string) string {
	switch part {
	case "nats":
		return s.NATS
	case "postgres":
		return strings.Replace(s.Databases["discharge-hub"], "discharge_hub", "postgres", 1)
	case "jaeger":
		return s.Jaeger
	case "discharge-hub":
		return "gRPC " + s.GRPC[part] + ", HL7 over MLLP " + s.MLLP + ", FHIR " + s.FHIR + "/fhir"
	}
	return "gRPC " + s.GRPC[part]
}
