package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

const root = "../../.."

// helm runs helm, which the build cache keeps after the first time, on the chart.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"tool", "helm"}, args...)...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "GOWORK=off", "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func template(t *testing.T, args ...string) string {
	t.Helper()
	out, err := helm(t, append([]string{"template", "homeward", root + "/charts/homeward"}, args...)...)
	if err != nil {
		t.Fatalf("helm template: %v\n%s", err, out)
	}
	return out
}

func decode(t *testing.T, manifests string) Objects {
	t.Helper()
	o, err := Decode(manifests)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestHelmLint(t *testing.T) {
	if out, err := helm(t, "lint", "--strict", root+"/charts/homeward"); err != nil {
		t.Errorf("helm lint: %v\n%s", err, out)
	}
}

var installations = map[string][]string{
	"as shipped":            nil,
	"TLS alone at the door": {"--set", "services.discharge-hub.mllp.tlsSecret=door,services.discharge-hub.mllp.plain=false"},
	"everything set": {
		"--set", "image.repository=registry.example:5000/homeward,image.tag=1.2.3,image.pullSecrets={pull}",
		"--set", "nats.url=tls://nats.example:4222,tokens.keysConfigMap=keys,tracing.endpoint=http://collector:4317",
		"--set", "services.discharge-hub.secret=hub,services.discharge-hub.files.FEEDS_DIR=our-feeds,services.discharge-hub.env.LOG_LEVEL=DEBUG",
		"--set", "services.discharge-hub.mllp.type=LoadBalancer,services.discharge-hub.mllp.sourceRanges={192.0.2.0/24},services.discharge-hub.mllp.annotations.a=b",
		"--set", "services.discharge-hub.mllp.tlsSecret=door,services.discharge-hub.env.MLLP_MAX_CONNECTIONS=200",
		"--set", "services.discharge-hub.fhir.publicURL=https://homeward.example,services.discharge-hub.fhir.clientsSecret=clients,services.discharge-hub.fhir.tlsSecret=fhir",
		"--set", "services.community-pickup.files.PLACE_DIR=our-place,services.community-pickup.env.DATABASE_CONNS=20",
	},
}

func TestWhatIsRenderedWorks(t *testing.T) {
	for name, args := range installations {
		t.Run(name, func(t *testing.T) {
			o := decode(t, template(t, args...))
			for _, f := range Check(o) {
				t.Error(f)
			}
			for _, d := range o.Deployments {
				c := d.Spec.Template.Spec.Containers[0]
				reads, err := Config(root+"/services/kit/service", root+"/services/"+c.Name)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range Environment(c, reads) {
					t.Error(f)
				}
			}
		})
	}
}

func TestEveryServiceIsInstalled(t *testing.T) {
	commands, err := filepath.Glob(root + "/services/*/cmd/*")
	if err != nil {
		t.Fatal(err)
	}
	var built, installed []string
	for _, c := range commands {
		built = append(built, filepath.Base(c))
	}
	for _, d := range decode(t, template(t)).Deployments {
		installed = append(installed, d.Spec.Template.Spec.Containers[0].Name)
	}
	slices.Sort(installed)
	if !slices.Equal(built, installed) {
		t.Errorf("the chart installs %q, but the services are %q", installed, built)
	}
}

func TestWrongValuesAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ set, want string }{
		"a value that does not exist":   {"services.discharge-hub.replica=3", "replica"},
		"a service that does not exist": {"services.hub.replicas=3", "hub"},
		"no replicas":                   {"services.discharge-hub.replicas=0", "replicas"},
		"a NATS address without scheme": {"nats.url=nats:4222", "nats/url"},
		"an unknown peer":               {"services.discharge-hub.peers={hub}", "peers"},
		"no issuer":                     {"tokens.issuer=", "issuer"},
		"MLLP for another service":      {"services.community-pickup.mllp.type=ClusterIP", "mllp"},
		"FHIR without clients":          {"services.discharge-hub.fhir.publicURL=https://homeward.example", "fhir"},
		"a hub without a door":          {"services.discharge-hub.mllp.plain=false", "mllp"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := helm(t, "template", "homeward", root+"/charts/homeward", "--set", c.set)
			if err == nil || !strings.Contains(out, "schema") || !strings.Contains(out, c.want) {
				t.Errorf("helm did not refuse %s by its schema: %v\n%s", c.set, err, out)
			}
		})
	}
}

func TestDecodeRefusesWhatKubernetesDoesNotKnow(t *testing.T) {
	for _, manifest := range []string{
		"kind: Service\nspec:\n  publishNotReadyAdresses: true\n",
		"kind: Deployment\nspec:\n  replicas: two\n",
		"kind: Service\nspec: {}\nspec: {}\n",
		"kind: Pod\n",
	} {
		if _, err := Decode(manifest); err == nil {
			t.Errorf("no error for:\n%s", manifest)
		}
	}
}

// Each case breaks a sound installation in one way.
func TestChecksCanFail(t *testing.T) {
	sound := template(t)
	for want, spoil := range map[string]func(*Objects, *corev1.PodSpec, *corev1.Container){
		"selector does not match": func(o *Objects, _ *corev1.PodSpec, _ *corev1.Container) { o.Deployments[0].Spec.Template.Labels = nil },
		"may run as root":         func(_ *Objects, p *corev1.PodSpec, _ *corev1.Container) { p.SecurityContext = nil },
		"more than it needs":      func(_ *Objects, _ *corev1.PodSpec, c *corev1.Container) { c.SecurityContext.Capabilities = nil },
		"how much memory":         func(_ *Objects, _ *corev1.PodSpec, c *corev1.Container) { c.Resources = corev1.ResourceRequirements{} },
		"is no volume":            func(_ *Objects, p *corev1.PodSpec, _ *corev1.Container) { p.Volumes = nil },
		"readiness":               func(_ *Objects, _ *corev1.PodSpec, c *corev1.Container) { c.ReadinessProbe.GRPC.Port = 1 },
		"liveness":                func(_ *Objects, _ *corev1.PodSpec, c *corev1.Container) { c.LivenessProbe = nil },
		"selects no pods":         func(o *Objects, _ *corev1.PodSpec, _ *corev1.Container) { o.Services[0].Spec.Selector = nil },
		"leads to no port":        func(o *Objects, _ *corev1.PodSpec, c *corev1.Container) { c.Ports = nil },
		"where no Service is":     func(o *Objects, _ *corev1.PodSpec, _ *corev1.Container) { o.Services = o.Services[:1] },
	} {
		t.Run(want, func(t *testing.T) {
			o := decode(t, sound)
			pod := &o.Deployments[0].Spec.Template.Spec
			spoil(&o, pod, &pod.Containers[0])
			if found := strings.Join(Check(o), "\n"); !strings.Contains(found, want) {
				t.Errorf("found %q", found)
			}
		})
	}
}

func TestEnvironmentNamesWhatIsMissingAndWhatIsUnread(t *testing.T) {
	c := corev1.Container{Name: "hub", Env: []corev1.EnvVar{{Name: "A"}, {Name: "A"}, {Name: "B"}}}
	want := []string{"hub is given A twice", "hub is given B, which it does not read", "hub needs C, which it is not given"}
	if found := Environment(c, []Variable{{"A", true}, {"C", true}, {"D", false}}); !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
}
