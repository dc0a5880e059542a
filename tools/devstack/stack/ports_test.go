package stack

import "testing"

func TestPortsMoveByOffsetAndEachByItsOwnVariable(t *testing.T) {
	t.Setenv("HOMEWARD_PORT_OFFSET", "100")
	t.Setenv("HOMEWARD_NATS_PORT", "14222")
	ports, err := PortsFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	if ports.MLLP != 2675 || ports.NATS != 14222 || ports.Postgres != 5533 {
		t.Errorf("got %+v", ports)
	}
}

func TestPortsThatAreNoPortsAreRefused(t *testing.T) {
	for variable, value := range map[string]string{
		"HOMEWARD_PORT_OFFSET": "many", "HOMEWARD_MLLP_PORT": "70000", "HOMEWARD_OTLP_PORT": "0",
	} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv(variable, value)
			if _, err := PortsFromEnv(); err == nil {
				t.Errorf("%s=%s was accepted", variable, value)
			}
		})
	}
}

func TestFreePortsAreAllDifferent(t *testing.T) {
	var ports Ports
	if err := ports.fill(); err != nil {
		t.Fatal(err)
	}
	seen := map[int]string{}
	for _, p := range ports.list() {
		if other, taken := seen[p.port]; taken || p.port == 0 {
			t.Errorf("%s and %s both got %d", p.what, other, p.port)
		}
		seen[p.port] = p.what
	}
}
