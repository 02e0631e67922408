// Package secure has the tests of real processes for what surrounds the work:
// certificates and tokens, etcd as the directory, disks that fill up.
package secure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backfleet/agent/keeper"
	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
)

var binary string

// TestMain builds the one binary that all tests run.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "backfleet-secure-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "backfleet")
		if err := fleet.Build(context.Background(), "../..", binary); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// patience is for what real processes do on a busy machine.
const patience = 40 * time.Second

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func until(t *testing.T, what string, holds func() (bool, error)) {
	t.Helper()
	if err := fleet.Until(within(t), what, func(context.Context) (bool, error) { return holds() }); err != nil {
		t.Fatal(err)
	}
}

// free finds addresses on the loopback that nobody listens on.
func free(t *testing.T, n int) []string {
	t.Helper()
	found, err := fleet.FreePorts(n)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// start runs a process until the test ends; what it wrote is shown when the
// test fails.
func start(t *testing.T, name, dir string, args ...string) *fleet.Process {
	t.Helper()
	p := fleet.NewProcess(name, dir, binary, args...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, output(p))
		}
	})
	return p
}

func output(p *fleet.Process) string {
	text, _ := os.ReadFile(p.Log)
	return string(text)
}

func exited(t *testing.T, p *fleet.Process) int {
	t.Helper()
	status, err := p.Wait(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// agentProcess is agent a1.
func agentProcess(t *testing.T, dir string, args ...string) *fleet.Process {
	t.Helper()
	return agentNamed(t, dir, "a1", args...)
}

// agentNamed is an agent whose keeper ends with the test too.
func agentNamed(t *testing.T, dir, id string, args ...string) *fleet.Process {
	t.Helper()
	data := filepath.Join(dir, id)
	t.Cleanup(func() { // after the agent's own end
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		k, err := keeper.Dial(ctx, filepath.Join(data, "keeper"))
		if err != nil {
			return // it ended with the agent, as it does without attempts
		}
		defer k.Close()
		if p, err := os.FindProcess(int(k.Info.Pid)); err == nil {
			_ = p.Kill()
		}
	})
	return start(t, id, dir, append([]string{"agent", "--id", id, "--data", data, "--group", "default=4"}, args...)...)
}

// cli is the command line of a user.
type cli struct {
	t     *testing.T
	flags []string // after every command
}

type outcome struct {
	exit     int
	out, err string
}

func (c cli) run(args ...string) outcome {
	c.t.Helper()
	cmd := exec.CommandContext(within(c.t), binary, append(args, c.flags...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatalf("%v: %v", args, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// must runs what has to succeed.
func (c cli) must(args ...string) string {
	c.t.Helper()
	got := c.run(args...)
	if got.exit != 0 {
		c.t.Fatalf("backfleet %s: exit %d\n%s%s", strings.Join(args, " "), got.exit, got.out, got.err)
	}
	return got.out
}

// refused runs what has to fail with this status and these words.
func (c cli) refused(exit int, words string, args ...string) {
	c.t.Helper()
	got := c.run(args...)
	if got.exit != exit || !strings.Contains(got.err, words) {
		c.t.Errorf("backfleet %s: exit %d; expected %d and %q\n%s%s", strings.Join(args, " "), got.exit, exit, words, got.out, got.err)
	}
}

// waits applies a node whose attempts go on until the file is there.
func (c cli) waits(id, flag string) {
	c.t.Helper()
	dir := c.t.TempDir()
	text := fmt.Sprintf("id: %s\nname: Waits\nworkspace: test\nowner: tests\nschedule: {daily: \"00:10\"}\ncode: |\n  while [ ! -e %s ]; do sleep 0.05; done\n", id, flag)
	if err := os.WriteFile(filepath.Join(dir, id+".yaml"), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.must("node", "apply", "-f", dir)
}

// running waits until so many instances of a backfill run.
func (c cli) running(backfill string, n int) {
	c.t.Helper()
	until(c.t, fmt.Sprintf("%d instances of %s run", n, backfill), func() (bool, error) {
		got := c.run("instance", "list", backfill, "--state", "running", "-o", "name")
		return len(strings.Fields(got.out)) >= n, errors.New(got.err)
	})
}

// nodes writes the file of a node that says hello.
func nodes(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text := "id: hello\nname: Hello\nworkspace: test\nowner: tests\nparams: {dt: '${yyyymmdd}'}\nschedule: {daily: \"00:10\"}\ncode: |\n  echo \"hello ${dt}\"\n"
	if err := os.WriteFile(filepath.Join(dir, "hello.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// coordinator is one, with its addresses.
type coordinator struct {
	*fleet.Process
	id, http, rpc, raft string
}

// members starts coordinators and waits until all vote. flags gives what each
// has beside its addresses.
func members(t *testing.T, dir string, n int, scheme string, client cli, flags func(id string) []string) []coordinator {
	t.Helper()
	ports := free(t, 3*n)
	var all []coordinator
	for i := range n {
		c := coordinator{id: fmt.Sprintf("c%d", i+1), http: ports[3*i], rpc: ports[3*i+1], raft: ports[3*i+2]}
		args := append([]string{"coordinator", "--id", c.id, "--http", c.http, "--rpc", c.rpc, "--raft", c.raft}, flags(c.id)...)
		if i == 0 {
			args = append(args, "--bootstrap")
		} else {
			args = append(args, "--join", all[0].rpc)
		}
		c.Process = start(t, c.id, dir, args...)
		all = append(all, c)
		until(t, fmt.Sprintf("%d coordinators vote", i+1), func() (bool, error) {
			cluster, err := client.cluster(scheme + all[0].http)
			voters := 0
			for _, s := range cluster.Servers {
				if s.Role != v1.ServerRoleNonVoter && s.HTTPAddress != "" {
					voters++
				}
			}
			return voters == i+1, err
		})
	}
	return all
}

// cluster asks one coordinator, once.
func (c cli) cluster(server string) (v1.Cluster, error) {
	c.t.Helper()
	got := c.run("cluster", "status", "-o", "json", "--server", server, "--timeout", "1s")
	var cluster v1.Cluster
	if got.exit != 0 {
		return cluster, errors.New(got.err)
	}
	return cluster, json.Unmarshal([]byte(got.out), &cluster)
}

// leader waits until one of the coordinators says that it leads.
func leader(t *testing.T, all []coordinator, scheme string, client cli) (leads coordinator) {
	t.Helper()
	until(t, "one leads", func() (bool, error) {
		var last error
		for _, c := range all {
			if !c.Running() {
				continue
			}
			cluster, err := client.cluster(scheme + c.http)
			if last = err; err == nil && cluster.Leader == c.id {
				leads = c
				return true, nil
			}
		}
		return false, last
	})
	return leads
}
