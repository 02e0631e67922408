package faults

import (
	"bytes"
	"context"
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

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
	"backfleet/ops/examples/weather"
)

// patience is how long a condition may take; only a failing test waits so long.
const patience = 150 * time.Second

const (
	inside = "BACKFLEET_FAULTS_BINARY" // set: we are in a namespace of our own
	token  = "a-token-of-the-tests-0123456789"
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
		dir, err := os.MkdirTemp("", "backfleet-faults-")
		if err == nil {
			defer os.RemoveAll(dir)
			binary = filepath.Join(dir, "backfleet")
			err = fleet.Build(context.Background(), "../..", binary)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		flags := []string{"--net", "--mount"}
		if os.Geteuid() != 0 {
			flags = append(flags, "--user", "--map-root-user")
		}
		cmd := exec.Command("unshare", append(append(flags, "--", "/proc/self/exe"), os.Args[1:]...)...)
		if self, err := os.Executable(); err == nil {
			cmd.Args[len(flags)+2] = self
		}
		cmd.Env = append(os.Environ(), inside+"="+binary)
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

// site is a fleet with a folder that the attempts write to.
type site struct {
	*fleet.Fleet
	t      *testing.T
	ctx    context.Context
	dir    string // of the fleet
	out    string // the attempts' folder
	pki    string // its certificates
	client *client.Client
}

// trace is what the code of every node begins with: it notes the attempt's
// start and end in a file that all attempts share, one small write each.
const trace = `trace() { echo "$1 $BACKFLEET_INSTANCE $BACKFLEET_ATTEMPT $BACKFLEET_FENCE $BACKFLEET_NODE ${dt}" >>"$OUT/attempts.log"; }
trace start
`

// waits is code that lasts until the test opens a file.
func waits(name string) string {
	return "until [ -e \"$OUT/" + name + "\" ]; do sleep 0.05; done\ntrace end\n"
}

func start(t *testing.T, config fleet.Config) *site {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	s := &site{t: t, ctx: ctx, dir: t.TempDir(), out: t.TempDir()}
	config.Binary, config.Dir = binary, s.dir
	if config.Host != "" {
		config.Security = s.security(config)
	}
	var err error
	if s.Fleet, err = fleet.Start(ctx, config); err != nil {
		s.tell()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			s.tell()
		}
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if s.client, err = s.Client(s.Servers...); err != nil {
		t.Fatal(err)
	}
	return s
}

// security makes an authority and certificates as an operator does.
func (s *site) security(config fleet.Config) *fleet.Security {
	s.t.Helper()
	s.pki = s.t.TempDir()
	issue := func(args ...string) {
		s.t.Helper()
		if out, err := exec.Command(binary, append([]string{"tls"}, args...)...).CombinedOutput(); err != nil {
			s.t.Fatalf("tls %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	issue("init", "--dir", s.pki)
	role := map[string]string{}
	for i := range config.Coordinators {
		name := "c" + strconv.Itoa(i+1)
		role[name] = "coordinator"
		issue("issue", role[name], name, "--dir", s.pki, "--host", config.Host)
	}
	for i := range config.Agents {
		name := "a" + strconv.Itoa(i+1)
		role[name] = "agent"
		issue("issue", role[name], name, "--dir", s.pki)
	}
	secret := filepath.Join(s.pki, "token")
	s.must(os.WriteFile(secret, []byte(token+"\n"), 0o600))
	return &fleet.Security{
		Token: token, TLS: s.trust(),
		Flags: func(name string) []string {
			file := filepath.Join(s.pki, role[name]+"-"+name)
			return []string{"--tls-cert", file + ".pem", "--tls-key", file + ".key", "--tls-ca", filepath.Join(s.pki, "ca.pem"), "--token-file", secret}
		},
	}
}

// tell shows the end of every process's log.
func (s *site) tell() {
	logs, _ := filepath.Glob(filepath.Join(s.dir, "*.log"))
	keepers, _ := filepath.Glob(filepath.Join(s.dir, "*", "keeper", "keeper.log"))
	for _, path := range append(logs, keepers...) {
		text, _ := os.ReadFile(path)
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		s.t.Logf("%s:\n%s", path, strings.Join(lines[max(0, len(lines)-25):], "\n"))
	}
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) until(what string, holds func() bool) {
	s.t.Helper()
	s.must(fleet.Until(s.ctx, what, func(context.Context) (bool, error) { return holds(), nil }))
}

// apply makes nodes known, each with code that begins with the trace. Fields
// are further lines of its file.
func (s *site) apply(id, code string, fields ...string) {
	s.t.Helper()
	dir := s.t.TempDir()
	text := "id: " + id + "\nparams: {dt: \"${yyyymmdd}\"}\nenvironment: {OUT: {fromApply: OUT}}\n" + strings.Join(fields, "\n") + "\ncodeFile: code.sh\n"
	s.must(os.WriteFile(filepath.Join(dir, id+".yaml"), []byte(text), 0o600))
	s.must(os.WriteFile(filepath.Join(dir, "code.sh"), []byte(trace+code), 0o600))
	if out, err := s.cli("node", "apply", "-f", dir, "--env", "OUT="+s.out); err != nil {
		s.t.Fatal(err, out)
	}
}

// cli runs a command against the fleet and gives what it printed.
func (s *site) cli(args ...string) (string, error) {
	cmd := exec.CommandContext(s.ctx, binary, args...)
	cmd.Env = append(os.Environ(), "BACKFLEET_SERVER="+strings.Join(s.Servers, ","))
	if s.pki != "" {
		cmd.Env = append(cmd.Env, "BACKFLEET_CA="+filepath.Join(s.pki, "ca.pem"), "BACKFLEET_TOKEN_FILE="+filepath.Join(s.pki, "token"))
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("backfleet %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return string(out), err
}

// submit backfills one node, a group for each date, and gives the id.
func (s *site) submit(node, dates string) string {
	s.t.Helper()
	got, err := s.client.Submit(s.ctx, v1.BackfillRequest{Mode: v1.ModeCurrent, Root: node, Dates: []v1.DateRangeText{dates}, Groups: 10, Gate: v1.GateNone}, "")
	s.must(err)
	return got.ID
}

// quiet waits for a backfill's end.
func (s *site) quiet(id string) *v1.Backfill {
	s.t.Helper()
	var b *v1.Backfill
	s.must(fleet.Until(s.ctx, id+" is quiet", func(ctx context.Context) (bool, error) {
		var err error
		b, err = s.client.Backfill(ctx, id)
		return err == nil && b.Summary.Quiet, err
	}))
	return b
}

// succeeded asserts that a backfill's receipt has so many instances, every one
// of them succeeded and in one place only.
func (s *site) succeeded(id string, instances int64) {
	s.t.Helper()
	b := s.quiet(id)
	want := v1.ReceiptTotals{Generated: instances, Succeeded: instances, Asked: b.Receipt.Asked, Bridges: b.Receipt.Bridges}
	if b.Receipt != want {
		s.t.Errorf("receipt of %s: got %+v, want %d generated, all of them succeeded", id, b.Receipt, instances)
	}
}

// on gives the instances of a backfill that an agent runs.
func (s *site) on(id string, agent *fleet.Process) (list []string) {
	s.t.Helper()
	page, err := s.client.Instances(s.ctx, id, &v1.ListInstancesParams{Limit: 1000})
	s.must(err)
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
	s.t.Helper()
	f, err := os.Open(filepath.Join(s.out, "attempts.log"))
	s.must(err)
	defer f.Close()
	got, err := weather.ReadTrace(f)
	s.must(err)
	for _, wrong := range got.Wrong {
		s.t.Error(wrong)
	}
	if got.Attempts != attempts || got.Unended != killed {
		s.t.Errorf("%d attempts, %d of them killed, want %d and %d", got.Attempts, got.Unended, attempts, killed)
	}
}

// noted counts the notes of a kind, "start " or "end ", and of what follows.
func (s *site) noted(prefix string) int {
	text, _ := os.ReadFile(filepath.Join(s.out, "attempts.log"))
	return bytes.Count(append([]byte("\n"), text...), []byte("\n"+prefix))
}

// open makes the file that waiting attempts look for.
func (s *site) open(name string) {
	s.t.Helper()
	s.must(os.WriteFile(filepath.Join(s.out, name), nil, 0o600))
}

// last lets time go by in which nothing may happen.
func (s *site) last(d time.Duration) {
	s.t.Helper()
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
		s.t.Fatal(s.ctx.Err())
	}
}

// trust is what a person's program believes.
func (s *site) trust() *tls.Config {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.pki, "ca.pem"))
	s.must(err)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		s.t.Fatal("the authority's file has no certificate")
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
}
