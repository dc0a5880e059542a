package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/homeward-care/homeward/services/kit/devinfra"
)

// Addresses is where everything of a stack is. A running stack keeps them in its folder for other programs.
type Addresses struct {
	// MLLP takes HL7 messages, as host:port.
	MLLP string `json:"mllp"`
	// FHIR is the URL of the FHIR door, without the path /fhir.
	FHIR string `json:"fhir"`
	// GRPC holds each service's address, as host:port.
	GRPC map[string]string `json:"grpc"`
	// Databases holds each service's database URL.
	Databases map[string]string `json:"databases"`
	// NATS is the courier's URL, or those of its nodes with commas between.
	NATS string `json:"nats"`
	// Jaeger is the base URL of the query API, and of the pages if JaegerPages; "" if traces go elsewhere or nowhere.
	Jaeger      string `json:"jaeger"`
	JaegerPages bool   `json:"jaeger_pages"`
	// OTLP is where the services send traces; "" for nowhere.
	OTLP string `json:"otlp"`
	// IssuerDir is the folder of the development issuer, whose key mints tokens; TokenIssuer is its name.
	IssuerDir   string `json:"issuer_dir"`
	TokenIssuer string `json:"token_issuer"`
	// Logs is the folder of the parts' logs.
	Logs string `json:"logs"`
}

func addressesOf(o Options, issuer *devinfra.Issuer) Addresses {
	a := Addresses{
		MLLP: loopback(o.Ports.MLLP),
		FHIR: "http://" + loopback(o.Ports.FHIR),
		GRPC: map[string]string{
			"discharge-hub":          loopback(o.Ports.DischargeHub),
			"light-touch-assessment": loopback(o.Ports.LightTouchAssessment),
			"community-pickup":       loopback(o.Ports.CommunityPickup),
			"reablement-capacity":    loopback(o.Ports.ReablementCapacity),
		},
		NATS:        natsURL(o, func(_, addr string) string { return addr }),
		OTLP:        o.OTLPEndpoint,
		IssuerDir:   filepath.Dir(issuer.KeysFile()),
		TokenIssuer: devinfra.IssuerName,
		Logs:        filepath.Join(o.Dir, "log"),
	}
	if o.OTLPEndpoint == "" && o.Jaeger != JaegerOff {
		a.OTLP = "http://" + loopback(o.Ports.OTLP)
		a.Jaeger = "http://" + loopback(o.Ports.JaegerQuery)
	}
	return a
}

// natsURL is the courier's URL through whatever stands before each node.
func natsURL(o Options, through func(node, addr string) string) string {
	if len(o.NATSNodes) == 0 {
		return "nats://" + through("nats", loopback(o.Ports.NATS))
	}
	var urls []string
	for i, node := range o.NATSNodes {
		urls = append(urls, "nats://"+through(fmt.Sprintf("nats-%d", i+1), net.JoinHostPort(node.Host, strconv.Itoa(o.Ports.NATS))))
	}
	return strings.Join(urls, ",")
}

func addressesFile(dir string) string { return filepath.Join(dir, "stack.json") }

func (a Addresses) write(dir string) error {
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(addressesFile(dir), append(text, '\n'), 0o600)
}

// ReadAddresses returns the addresses of the stack that runs in dir.
func ReadAddresses(dir string) (Addresses, error) {
	var a Addresses
	text, err := os.ReadFile(addressesFile(dir))
	if errors.Is(err, os.ErrNotExist) || err == nil && !isLocked(dir) {
		return a, fmt.Errorf("Homeward does not run in %s: start it with `make run`", dir)
	}
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("%s is damaged: stop Homeward and start it again: %w", addressesFile(dir), err)
	}
	return a, nil
}

func removeAddresses(dir string) error {
	if err := os.Remove(addressesFile(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
