package faults

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
)

const (
	inside     = "BACKFLEET_FAULTS_BINARY" // set: we are in a namespace of our own
	token      = "a-token-of-the-tests-0123456789"
	agentToken = "a-token-of-the-agents-0123456789"
)

var binary = os.Getenv(inside)

// TestMain builds the binary, then starts itself again where the network is
// its own and it may make others.
func TestMain(m *testing.M) {
	if binary != "" {
		os.Exit(func() int {
			if err := ownNetwork(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			return m.Run()
		}())
	}
	os.Exit(func() int {
		built, done, err := rig.Build("../..")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer done()
		flags := []string{"--net", "--mount"}
		if os.Geteuid() != 0 {
			flags = append(flags, "--user", "--map-root-user")
		}
		cmd := exec.Command("unshare", append(append(flags, "--", "/proc/self/exe"), os.Args[1:]...)...)
		if self, err := os.Executable(); err == nil {
			cmd.Args[len(flags)+2] = self
		}
		cmd.Env = append(os.Environ(), inside+"="+built)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		err = cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			fmt.Fprintln(os.Stderr, "these tests need `unshare` (util-linux), and root or user namespaces:", err)
			return 1
		}
		return cmd.ProcessState.ExitCode()
	}())
}

// site is a fleet, beyond one host with certificates of its own.
type site struct {
	*rig.Rig
	pki string // its certificates
}

func start(t *testing.T, config fleet.Config) *site {
	t.Helper()
	config.Binary = binary
	if config.Host == "" {
		return &site{Rig: rig.Start(t, config)}
	}
	pki := t.TempDir()
	config.Security = security(t, pki, config)
	return &site{rig.Start(t, config, "BACKFLEET_CA="+filepath.Join(pki, "ca.pem"), "BACKFLEET_TOKEN_FILE="+filepath.Join(pki, "token")), pki}
}

// security makes an authority and certificates as an operator does.
func security(t *testing.T, pki string, config fleet.Config) *fleet.Security {
	t.Helper()
	issue := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(binary, append([]string{"tls"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("tls %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	issue("init", "--dir", pki)
	role := map[string]string{}
	for i := range config.Coordinators {
		name := "c" + strconv.Itoa(i+1)
		role[name] = "coordinator"
		issue("issue", role[name], name, "--dir", pki, "--host", config.Host)
	}
	for i := range config.Agents {
		name := "a" + strconv.Itoa(i+1)
		role[name] = "agent"
		issue("issue", role[name], name, "--dir", pki)
	}
	for file, text := range map[string]string{"token": token, "tokens": "operator:" + token + "\nagents:" + agentToken + " role=agent", "agent-token": agentToken} {
		if err := os.WriteFile(filepath.Join(pki, file), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secrets := map[string]string{"coordinator": "tokens", "agent": "agent-token"}
	return &fleet.Security{
		Token: token, TLS: trust(t, pki),
		Flags: func(name string) []string {
			file := filepath.Join(pki, role[name]+"-"+name)
			return []string{"--tls-cert", file + ".pem", "--tls-key", file + ".key", "--tls-ca", filepath.Join(pki, "ca.pem"), "--token-file", filepath.Join(pki, secrets[role[name]])}
		},
	}
}

// apply makes a node known. Fields are further lines of its file.
func (s *site) apply(id, code string, fields ...string) {
	s.T.Helper()
	s.Apply(rig.Node{ID: id, Code: code, Fields: fields})
}

// submit backfills one node, a group for each date, and gives the id.
func (s *site) submit(node, dates string) string {
	s.T.Helper()
	return s.Submit(v1.BackfillRequest{Mode: v1.ModeCurrent, Root: node, Dates: []v1.DateRangeText{dates}, Groups: 10, Gate: v1.GateNone})
}

// on gives the instances of a backfill that an agent runs.
func (s *site) on(id string, agent *fleet.Process) (list []string) {
	s.T.Helper()
	page, err := s.API.Instances(s.Ctx, id, &v1.ListInstancesParams{Limit: 1000})
	s.Must(err)
	for _, i := range page.Items {
		if i.Agent == agent.Name && i.State == v1.StateRunning {
			list = append(list, i.ID)
		}
	}
	return list
}

// traced checks the attempts' own notes: so many began, so many of them were
// killed, no two of an instance overlapped and fences only grew.
func (s *site) traced(attempts, killed int) {
	s.T.Helper()
	if got := s.Traced(); got.Attempts != attempts || got.Unended != killed {
		s.T.Errorf("%d attempts, %d of them killed, want %d and %d", got.Attempts, got.Unended, attempts, killed)
	}
}

// last lets time go by in which nothing may happen.
func (s *site) last(d time.Duration) {
	s.T.Helper()
	select {
	case <-time.After(d):
	case <-s.Ctx.Done():
		s.T.Fatal(s.Ctx.Err())
	}
}

// trust is what a person's program believes.
func trust(t *testing.T, pki string) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(pki, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("the authority's file has no certificate")
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
}
