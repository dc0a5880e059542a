// Package chart checks what charts/homeward renders to: that Kubernetes knows every field, that its parts fit together, and that each
// service finds in its environment what its Config reads.
package chart

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// Objects are what a chart renders to.
type Objects struct {
	Deployments []appsv1.Deployment
	Services    []corev1.Service
}

// Decode reads rendered manifests. A field that Kubernetes does not know, or one given twice, is an error.
func Decode(manifests string) (Objects, error) {
	var o Objects
	for doc := range strings.SplitSeq("\n"+manifests, "\n---") {
		var head struct {
			Kind string `json:"kind"`
		}
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			return o, fmt.Errorf("%w in:\n%s", err, doc)
		}
		var err error
		switch head.Kind {
		case "":
		case "Deployment":
			var d appsv1.Deployment
			err = yaml.UnmarshalStrict([]byte(doc), &d)
			o.Deployments = append(o.Deployments, d)
		case "Service":
			var s corev1.Service
			err = yaml.UnmarshalStrict([]byte(doc), &s)
			o.Services = append(o.Services, s)
		default:
			err = fmt.Errorf("a %s is not among the kinds that are checked: add it to Decode", head.Kind)
		}
		if err != nil {
			return o, fmt.Errorf("%w in:\n%s", err, doc)
		}
	}
	return o, nil
}

// Check finds what Kubernetes would refuse or what would not work.
func Check(o Objects) []string {
	var found []string
	for _, d := range o.Deployments {
		pod := d.Spec.Template
		if !matches(d.Spec.Selector.MatchLabels, pod.Labels) {
			found = append(found, d.Name+": the selector does not match the pods")
		}
		if sc := pod.Spec.SecurityContext; sc == nil || sc.RunAsNonRoot == nil || !*sc.RunAsNonRoot {
			found = append(found, d.Name+": the pod may run as root")
		}
		volumes := map[string]bool{}
		for _, v := range pod.Spec.Volumes {
			volumes[v.Name] = true
		}
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			at := d.Name + "/" + c.Name + ": "
			sc := c.SecurityContext
			if sc == nil || sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem || sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation ||
				sc.Capabilities == nil || !slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}) {
				found = append(found, at+"the container may do more than it needs")
			}
			if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
				found = append(found, at+"says neither how much memory it may take nor what CPU it needs")
			}
			for _, m := range c.VolumeMounts {
				if !volumes[m.Name] {
					found = append(found, at+"mounts "+m.Name+", which is no volume")
				}
			}
		}
		for _, c := range pod.Spec.Containers {
			at := d.Name + "/" + c.Name + ": "
			if r := c.ReadinessProbe; r == nil || r.GRPC == nil || !hasPort(c, strconv.Itoa(int(r.GRPC.Port))) {
				found = append(found, at+"readiness is not asked by gRPC on a port that it has")
			}
			if l := c.LivenessProbe; l == nil || l.TCPSocket == nil || !hasPort(c, l.TCPSocket.Port.String()) {
				found = append(found, at+"liveness is not probed on a port that it has")
			}
		}
	}
	for _, s := range o.Services {
		at := slices.IndexFunc(o.Deployments, func(d appsv1.Deployment) bool { return matches(s.Spec.Selector, d.Spec.Template.Labels) })
		if at < 0 {
			found = append(found, s.Name+": selects no pods")
			continue
		}
		for _, p := range s.Spec.Ports {
			if !hasPort(o.Deployments[at].Spec.Template.Spec.Containers[0], p.TargetPort.String()) {
				found = append(found, fmt.Sprintf("%s: its port %s leads to no port of the pods", s.Name, p.Name))
			}
		}
	}
	return append(found, peers(o)...)
}

// peers finds addresses in environments that are no Service's.
func peers(o Objects) []string {
	known := map[string]bool{}
	for _, s := range o.Services {
		for _, p := range s.Spec.Ports {
			known[fmt.Sprintf("%s:%d", s.Name, p.Port)] = true
		}
	}
	var found []string
	for _, d := range o.Deployments {
		for _, e := range d.Spec.Template.Spec.Containers[0].Env {
			if strings.HasSuffix(e.Name, "_ADDR") && !strings.HasPrefix(e.Value, ":") && !known[e.Value] {
				found = append(found, fmt.Sprintf("%s: %s is %s, where no Service is", d.Name, e.Name, e.Value))
			}
		}
	}
	return found
}

// matches reports whether a selector selects the labels.
func matches(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

// hasPort reports whether a container has a port of that name or number.
func hasPort(c corev1.Container, port string) bool {
	return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == port || strconv.Itoa(int(p.ContainerPort)) == port })
}

// Variable is something that a Config reads from the environment.
type Variable struct {
	Name     string
	Required bool
}

// Config reads from the Go sources in the folders which variables their structs take (tag `env`).
func Config(dirs ...string) ([]Variable, error) {
	var found []Variable
	for _, dir := range dirs {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if field, ok := n.(*ast.Field); ok && field.Tag != nil {
					tag := reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("env")
					if name, options, _ := strings.Cut(tag, ","); name != "" {
						found = append(found, Variable{name, slices.Contains(strings.Split(options, ","), "required")})
					}
				}
				return true
			})
		}
	}
	return found, nil
}

// Environment finds variables that a container lacks, and such as its program does not read.
func Environment(c corev1.Container, reads []Variable) []string {
	var found []string
	given := map[string]bool{}
	for _, e := range c.Env {
		if given[e.Name] {
			found = append(found, fmt.Sprintf("%s is given %s twice", c.Name, e.Name))
		}
		given[e.Name] = true
		if !slices.ContainsFunc(reads, func(v Variable) bool { return v.Name == e.Name }) {
			found = append(found, fmt.Sprintf("%s is given %s, which it does not read", c.Name, e.Name))
		}
	}
	for _, v := range reads {
		if v.Required && !given[v.Name] {
			found = append(found, fmt.Sprintf("%s needs %s, which it is not given", c.Name, v.Name))
		}
	}
	return found
}
