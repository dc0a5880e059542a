package stack

import (
	"fmt"
	"net"
	"os"
	"strconv"
)

// Ports are the TCP ports on 127.0.0.1 that the parts listen on. 0 means a free one.
type Ports struct {
	MLLP                 int `json:"mllp"`
	FHIR                 int `json:"fhir"`
	DischargeHub         int `json:"discharge_hub"`
	LightTouchAssessment int `json:"light_touch_assessment"`
	CommunityPickup      int `json:"community_pickup"`
	ReablementCapacity   int `json:"reablement_capacity"`
	NATS                 int `json:"nats"`
	Postgres             int `json:"postgres"`
	JaegerQuery          int `json:"jaeger_query"`
	OTLP                 int `json:"otlp"`
}

// usualPorts are those of `make run`; 5433 leaves a PostgreSQL of the system's own alone.
var usualPorts = Ports{
	MLLP: 2575, FHIR: 7080, DischargeHub: 7001, LightTouchAssessment: 7002, CommunityPickup: 7003, ReablementCapacity: 7004,
	NATS: 4222, Postgres: 5433, JaegerQuery: 16686, OTLP: 4317,
}

type namedPort struct {
	what, variable string
	port           int
}

// each calls visit for every port, with what it is for and the variable that chooses it.
func (p *Ports) each(visit func(what, variable string, port *int)) {
	visit("MLLP", "HOMEWARD_MLLP_PORT", &p.MLLP)
	visit("FHIR", "HOMEWARD_FHIR_PORT", &p.FHIR)
	visit("discharge-hub", "HOMEWARD_DISCHARGE_HUB_PORT", &p.DischargeHub)
	visit("light-touch-assessment", "HOMEWARD_LIGHT_TOUCH_ASSESSMENT_PORT", &p.LightTouchAssessment)
	visit("community-pickup", "HOMEWARD_COMMUNITY_PICKUP_PORT", &p.CommunityPickup)
	visit("reablement-capacity", "HOMEWARD_REABLEMENT_CAPACITY_PORT", &p.ReablementCapacity)
	visit("NATS", "HOMEWARD_NATS_PORT", &p.NATS)
	visit("PostgreSQL", "HOMEWARD_POSTGRES_PORT", &p.Postgres)
	visit("Jaeger", "HOMEWARD_JAEGER_PORT", &p.JaegerQuery)
	visit("OTLP, Jaeger's intake", "HOMEWARD_OTLP_PORT", &p.OTLP)
}

func (p *Ports) list() []namedPort {
	var all []namedPort
	p.each(func(what, variable string, port *int) { all = append(all, namedPort{what, variable, *port}) })
	return all
}

// PortsFromEnv are the usual ports, moved by HOMEWARD_PORT_OFFSET, each replaced by its own variable if that is set.
func PortsFromEnv() (Ports, error) {
	ports, offset := usualPorts, 0
	var failed error
	number := func(variable string, into *int) {
		text := os.Getenv(variable)
		if text == "" {
			return
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			failed = fmt.Errorf("%s is %q: it has to be a number", variable, text)
			return
		}
		*into = n
	}
	number("HOMEWARD_PORT_OFFSET", &offset)
	ports.each(func(what, variable string, port *int) {
		*port += offset
		number(variable, port)
		if *port < 1 || *port > 65535 {
			failed = fmt.Errorf("%d is no port for %s: set %s to one from 1 to 65535", *port, what, variable)
		}
	})
	return ports, failed
}

// fill replaces each 0 by a free port. All of them are held until the last is found, so that none is given twice.
func (p *Ports) fill() error {
	var failed error
	var held []net.Listener
	p.each(func(what, _ string, port *int) {
		if *port != 0 || failed != nil {
			return
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			failed = fmt.Errorf("find a free port for %s: %w", what, err)
			return
		}
		held = append(held, listener)
		*port = listener.Addr().(*net.TCPAddr).Port
	})
	for _, listener := range held {
		listener.Close()
	}
	return failed
}

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
