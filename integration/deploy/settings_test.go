package deploy

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"backfleet/agent/settings"
)

// Agents in Kubernetes get their settings from a file and from flags.
func TestSettingsOfAgentsInKubernetes(t *testing.T) {
	set := named(t, manifests(t), "StatefulSet", "agent").Spec.Template.Spec
	f := pflag.NewFlagSet("agent", pflag.ContinueOnError)
	settings.Flags(f, false)
	var args []string
	for _, a := range set.Containers[0].Args {
		args = append(args, strings.ReplaceAll(strings.ReplaceAll(a, "$(POD_NAME)", "agent-0"),
			"--config=/etc/backfleet/agent.yaml", "--config="+filepath.Join(folder, "kubernetes/fleet/agent-config.yaml")))
	}
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	loaded := settings.Load(f, nil, false)
	for _, found := range loaded.Findings() {
		t.Errorf("%s %s: %s", found.Where, found.Field, found.Message)
	}
	if loaded.File == "" || loaded.ID != "agent-0" || len(loaded.Coordinators) != 3 || len(loaded.Groups) == 0 {
		t.Errorf("the settings are %+v: expected an id, three coordinators and groups", loaded.Settings)
	}
	if loaded.TLS.Cert != "/etc/backfleet/tls/agent-agent-0.pem" || loaded.TLS.CA == "" || loaded.TLS.Key == "" {
		t.Errorf("the certificate is %+v: expected the one that `tls issue agent agent-0` makes", loaded.TLS)
	}
	if grace := time.Duration(set.Grace) * time.Second; loaded.Drain.OnStop != settings.Wait || loaded.Drain.Deadline >= grace {
		t.Errorf("a pod is killed after %s, and drains for %s: expected the former to be longer", grace, loaded.Drain.Deadline)
	}
}

// What INSTALL.md says to change in the example, and walk.sh changes, is there.
func TestExampleOfAgentSettings(t *testing.T) {
	var b strings.Builder
	if err := settings.Example(&b, false); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"#id:", "coordinators:", "groups:", "#labels:", "#tls:", "#  ca: /etc/backfleet/tls/ca.pem", "#  cert: /etc/backfleet/tls/agent.pem",
		"#  key: /etc/backfleet/tls/agent.key", "#tokenFile: /etc/backfleet/agent.token", "data: /var/lib/backfleet-agent", "#run:", "#  user:", "#  allowUsers:",
		"#secrets: /etc/backfleet/secrets", "#python:", "#  venv:", "#pprof: 127.0.0.1:"} {
		if !strings.Contains(b.String(), "\n"+line) {
			t.Errorf("the example has no line that begins with %q", line)
		}
	}
}
