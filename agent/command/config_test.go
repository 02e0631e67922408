package command_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backfleet/agent/command"
	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/mtls/mtlstest"
)

// checked runs check-config on a file.
func checked(t *testing.T, text string, args ...string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := command.Agent("test", nil)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append([]string{"check-config", "--config", file}, args...))
	err := cmd.Execute()
	return out.String(), err
}

func TestCheckConfig(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("bfj_a_b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := mtlstest.NewCA(t).Issue(mtls.AgentName("w1"))
	text := "id: w1\ndata: " + filepath.Join(dir, "new", "data") + "\ncoordinators: [c1.example.com:8471]\ngroups: {default: 8}\n" +
		"tls: {ca: " + files.CA + ", cert: " + files.Cert + ", key: " + files.Key + "}\ntokenFile: " + token + "\n"
	out, err := checked(t, text, "--log-level", "debug")
	if err != nil || !strings.Contains(out, "The settings are fine.") || !strings.Contains(out, "cgroups: ") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, want := range []string{"w1", "agent.yaml:1", "--log-level", "default"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("the check has made the data folder")
	}
}

func TestCheckConfigFindsAllAtOnce(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("two words"), 0o600); err != nil {
		t.Fatal(err)
	}
	ca := mtlstest.NewCA(t)
	old := ca.Issue(mtls.AgentName("w1"))
	ca.IssueBetween(old, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour), mtls.AgentName("w1"))
	out, err := checked(t, "id: w 1\nlable: {a: b}\ndata: "+file+"/data\ncoordinators: [c1.example.com]\ngroups: {default: 0}\ntokenFile: "+file+"\n"+
		"tls: {ca: "+old.CA+", cert: "+old.Cert+", key: "+old.Key+"}\nlogs: {maxBytes: 1KiB}\npprof: 0.0.0.0:80\nlog: {level: loud}\nrun: {user: no-such-user-here}\n"+
		"taskProgram: "+file+"\nsecrets: "+file+"\nlabels: {backfleet/sql: \"true\"}\n")
	if fault.ExitCode(err) != 2 || strings.Contains(out, "fine") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, want := range []string{
		`agent.yaml:1: id: expected a name without blanks`, `agent.yaml:2: lable: there is no such setting (did you mean "labels"?)`,
		`agent.yaml:3: data: expected a folder, found a file at ` + file, `agent.yaml:5: groups.default: expected 1 to`,
		`agent.yaml:6: tokenFile: ` + file + `: expected a token alone`, `agent.yaml:7: tls.cert: `, `agent.yaml:8: logs.maxBytes: expected at least`,
		`agent.yaml:9: pprof: expected host:port on the loopback`, `agent.yaml:10: log.level: "loud" is no level`, `agent.yaml:11: run.user: `,
		`agent.yaml:12: taskProgram: expected a program, found none at ` + file, `agent.yaml:13: secrets: expected a folder, found a file`,
		`agent.yaml:14: labels.backfleet/sql: expected a name that does not begin with backfleet/`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in\n%v", want, err)
		}
	}
}

func TestCheckConfigOfTypes(t *testing.T) {
	dir := t.TempDir()
	program, secrets := filepath.Join(dir, "program"), filepath.Join(dir, "secrets")
	if err := os.WriteFile(program, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(secrets, 0o750); err != nil {
		t.Fatal(err)
	}
	text := "data: " + dir + "\ncoordinators: [127.0.0.1:8471]\ngroups: {default: 8}\nenvironment: {set: {PATH: " + dir + "}}\nsecrets: " + secrets + "\n"
	if out, err := checked(t, text); err != nil || !strings.Contains(out, "types of nodes: shell\n") {
		t.Errorf("%v\n%s", err, out)
	}
	text += "taskProgram: " + program + "\n"
	if out, err := checked(t, text); err != nil || !strings.Contains(out, "types of nodes: check, http, integration, logical_aggregate, logical_dimension, logical_fact, shell, sql\n") {
		t.Errorf("%v\n%s", err, out)
	}
	if err := os.Chmod(secrets, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := checked(t, text); err == nil || !strings.Contains(err.Error(), "secrets: every user of this host can get at") {
		t.Errorf("%v, want the folder of secrets closed", err)
	}
}

func TestCheckConfigOfCertificates(t *testing.T) {
	ca := mtlstest.NewCA(t)
	mine, other := ca.Issue(mtls.AgentName("w1")), ca.Issue(mtls.AgentName("w2"))
	config := func(files mtls.Files) string {
		return "id: w1\ndata: " + t.TempDir() + "\ncoordinators: [c1.example.com:8471]\ngroups: {default: 8}\n" +
			"tls: {ca: " + files.CA + ", cert: " + files.Cert + ", key: " + files.Key + "}\n"
	}
	if out, err := checked(t, config(mine)); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	mixed, gone := mine, mine
	mixed.Key, gone.CA = other.Key, filepath.Join(t.TempDir(), "gone.pem")
	for want, files := range map[string]mtls.Files{
		"expected a PEM certificate and its private key": mixed, "gone.pem": gone, "is not the certificate of agent w1": other,
	} {
		_, err := checked(t, config(files))
		if err == nil || fault.ExitCode(err) != 2 || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "TLS is needed") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestExampleConfig(t *testing.T) {
	cmd := command.Agent("test", nil)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"example-config"})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "\ncoordinators: [") || strings.Contains(out.String(), "etcd:") {
		t.Errorf("the slim binary's example:\n%s", out.String())
	}
}
