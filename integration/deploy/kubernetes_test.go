package deploy

import (
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// object is what these tests read of a manifest; that the rest is as
// Kubernetes has it is checked against its schemas by ops/deploy/check.sh.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		ServiceName string `yaml:"serviceName"`
		Replicas    int
		Selector    map[string]any
		PodSelector selector `yaml:"podSelector"`
		Ports       []port
		Template    struct {
			Metadata struct{ Labels map[string]string }
			Spec     pod
		}
		Claims          []struct{ Metadata struct{ Name string } } `yaml:"volumeClaimTemplates"`
		Ingress, Egress []struct {
			From, To []struct {
				PodSelector selector `yaml:"podSelector"`
			}
			Ports []struct{ Port any }
		}
	}
}

type selector struct {
	MatchLabels map[string]string `yaml:"matchLabels"`
}

type port struct {
	Name          string
	Port          int
	ContainerPort int `yaml:"containerPort"`
}

type pod struct {
	Grace              int    `yaml:"terminationGracePeriodSeconds"`
	ServiceAccountName string `yaml:"serviceAccountName"`
	Containers         []struct {
		Image        string
		Args         []string
		Ports        []port
		VolumeMounts []struct{ Name string } `yaml:"volumeMounts"`
	}
	Volumes []struct {
		Name   string
		Secret struct {
			Name string `yaml:"secretName"`
		}
	}
}

func manifests(t *testing.T) (all []object) {
	t.Helper()
	for _, name := range []string{"coordinator.yaml", "agent.yaml", "networkpolicy.yaml"} {
		for d := yaml.NewDecoder(strings.NewReader(read(t, "kubernetes/fleet/"+name))); ; {
			var o object
			if err := d.Decode(&o); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			all = append(all, o)
		}
	}
	return all
}

func named(t *testing.T, all []object, kind, name string) object {
	t.Helper()
	i := slices.IndexFunc(all, func(o object) bool { return o.Kind == kind && o.Metadata.Name == name })
	if i < 0 {
		t.Fatalf("there is no %s %s", kind, name)
	}
	return all[i]
}

// selects says whether a selector's labels are all among those of a pod.
func selects(labels map[string]string, of object) bool {
	have := of.Spec.Template.Metadata.Labels
	return len(labels) > 0 && !slices.ContainsFunc(slices.Collect(maps.Keys(labels)), func(k string) bool { return have[k] != labels[k] })
}

func TestSetsInKubernetes(t *testing.T) {
	all := manifests(t)
	page, secrets := read(t, "INSTALL.md"), 0
	for name, program := range map[string]string{"coordinator": "backfleet", "agent": "backfleet-agent"} {
		set := named(t, all, "StatefulSet", name)
		c := set.Spec.Template.Spec.Containers[0]
		if c.Image != program {
			t.Errorf("the image of %s is %q: expected %q", name, c.Image, program)
		}
		exists(t, "kubernetes/fleet/"+name+".yaml", append([]string{program}, c.Args...))
		named(t, all, "ServiceAccount", set.Spec.Template.Spec.ServiceAccountName)
		named(t, all, "PodDisruptionBudget", name)
		service := named(t, all, "Service", set.Spec.ServiceName)
		labels := map[string]string{}
		for k, v := range service.Spec.Selector {
			labels[k], _ = v.(string)
		}
		if !selects(labels, set) {
			t.Errorf("service %s selects %v, which the pods of %s are not", service.Metadata.Name, labels, name)
		}
		held := map[string]bool{}
		for _, claim := range set.Spec.Claims {
			held[claim.Metadata.Name] = true
		}
		for _, v := range set.Spec.Template.Spec.Volumes {
			held[v.Name] = true
			if v.Secret.Name == "" {
				continue
			}
			secrets++
			if !strings.Contains(page, "create secret generic "+v.Secret.Name+" ") {
				t.Errorf("INSTALL.md does not say how the secret %s is made", v.Secret.Name)
			}
		}
		for _, m := range c.VolumeMounts {
			if !held[m.Name] {
				t.Errorf("%s mounts %s, which is no volume of it", name, m.Name)
			}
		}
	}
	if secrets != 4 {
		t.Errorf("the pods have %d secrets: expected certificates and tokens of both", secrets)
	}
}

// Every coordinator is told of all of them, by the names that their pods have.
func TestCoordinatorsInKubernetesFindEachOther(t *testing.T) {
	set := named(t, manifests(t), "StatefulSet", "coordinator")
	args := set.Spec.Template.Spec.Containers[0].Args
	var names []string
	for n := range set.Spec.Replicas {
		names = append(names, "coordinator-"+string(rune('0'+n))+"."+set.Spec.ServiceName+":8471")
	}
	if want := "--join=" + strings.Join(names, ","); !slices.Contains(args, want) || set.Spec.Replicas != 3 {
		t.Errorf("%d coordinators with %v: expected 3 with %s", set.Spec.Replicas, args, want)
	}
	for _, part := range regexp.MustCompile(`value: (--\S+)`).FindAllStringSubmatch(read(t, "kubernetes/bootstrap/kustomization.yaml"), 1) {
		if !slices.Contains(args, part[1]) {
			t.Errorf("bootstrap replaces %q, which is no argument", part[1])
		}
	}
	agents := read(t, "kubernetes/fleet/agent-config.yaml")
	for _, n := range names {
		if !strings.Contains(agents, n) {
			t.Errorf("agents are not told of %s", n)
		}
	}
}

// A policy that names a port or a pod which is none would shut everybody out
// without a word.
func TestPoliciesInKubernetes(t *testing.T) {
	all := manifests(t)
	sets := []object{named(t, all, "StatefulSet", "coordinator"), named(t, all, "StatefulSet", "agent")}
	ports := map[any]bool{53: true}
	for _, p := range sets[0].Spec.Template.Spec.Containers[0].Ports {
		ports[p.Name] = true
	}
	some := func(labels map[string]string) bool {
		return slices.ContainsFunc(sets, func(s object) bool { return selects(labels, s) })
	}
	policy := named(t, all, "NetworkPolicy", "coordinator")
	if !some(policy.Spec.PodSelector.MatchLabels) {
		t.Errorf("the policy is for %v, which no pods are", policy.Spec.PodSelector.MatchLabels)
	}
	rules := 0
	for _, rule := range append(policy.Spec.Ingress, policy.Spec.Egress...) {
		for _, peer := range append(rule.From, rule.To...) {
			if labels := peer.PodSelector.MatchLabels; labels != nil && !some(labels) {
				t.Errorf("the policy lets %v in or out, which no pods are", labels)
			}
		}
		for _, p := range rule.Ports {
			rules++
			if !ports[p.Port] {
				t.Errorf("the policy names the port %v, which coordinators have not", p.Port)
			}
		}
	}
	if rules < 6 {
		t.Errorf("the policy names %d ports: expected at least 6", rules)
	}
}
