package runbooks

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
)

const (
	envHosts = "RUNBOOK_HOSTS" // the socket that `on` asks
	folder   = "../../ops/runbooks"
)

var binary string

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "on" {
		os.Exit(on(os.Args[1:]))
	}
	os.Exit(func() int {
		built, done, err := rig.Build("../..")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer done()
		binary = built
		return m.Run()
	}())
}

// on is the command of that name: it runs another on a host, which here is a
// folder and a process.
func on(args []string) int {
	if len(args) < 2 {
		fmt.Fprintln(os.Stderr, "on: expected a host and a command")
		return 2
	}
	host, command := args[0], strings.Join(args[1:], " ")
	if words := strings.Fields(command); words[0] == "systemctl" {
		return asked(strings.Join(append([]string{host}, words[1:]...), " "))
	}
	sh := exec.Command("sh", "-ec", command)
	sh.Env = append(os.Environ(), "DATA="+os.Getenv("DATA_"+host))
	sh.Stdin, sh.Stdout, sh.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := sh.Run(); err != nil {
		return max(1, sh.ProcessState.ExitCode())
	}
	return 0
}

func asked(question string) int {
	conn, err := net.Dial("unix", os.Getenv(envHosts))
	if err == nil {
		defer conn.Close()
		_, err = fmt.Fprintln(conn, question)
	}
	answer := ""
	if err == nil {
		answer, err = bufio.NewReader(conn).ReadString('\n')
	}
	if err != nil {
		answer = err.Error()
	}
	if answer = strings.TrimSpace(answer); answer != "ok" {
		fmt.Fprintln(os.Stderr, answer)
		return 1
	}
	return 0
}

// play is a runbook with what surrounds it.
type play struct {
	fleet   fleet.Config
	prepare func(*testing.T, *fleet.Config) (environ []string) // before the fleet starts; nil: nothing is to be
	trouble func(*stage)                                       // makes the trouble that the runbook is for
	cured   func(*stage)                                       // checks that it is gone
}

// stage is a fleet with hosts to type commands on.
type stage struct {
	*rig.Rig
	hosts map[string]*fleet.Process
	env   []string
}

// set gives the blocks a variable.
func (s *stage) set(name, value string) { s.env = append(s.env, name+"="+value) }

// dir is the data folder of a host.
func (s *stage) dir(host string) string { return filepath.Join(s.Dir, host) }

// newCoordinator adds a host with a coordinator that is set to join and does not
// run. flags come last. It gives the URL of its API.
func (s *stage) newCoordinator(id string, flags ...string) string {
	s.T.Helper()
	ports, err := fleet.FreePorts(3)
	s.Must(err)
	c, err := s.API.Cluster(s.Ctx)
	s.Must(err)
	var join []string
	for _, one := range c.Servers {
		join = append(join, one.RPCAddress)
	}
	args := slices.Concat([]string{"coordinator", "--id", id, "--data", s.dir(id), "--http", ports[0], "--rpc", ports[1], "--raft", ports[2],
		"--join", strings.Join(join, ",")}, flags)
	s.hosts[id] = fleet.NewProcess(id, s.Dir, binary, args...)
	s.T.Cleanup(func() { _ = s.hosts[id].Kill() })
	return "http://" + ports[0]
}

// serve answers what `on` asks, until the test ends.
func (s *stage) serve() string {
	s.T.Helper()
	dir, err := os.MkdirTemp("", "on-") // short: a socket's path has 107 bytes
	s.Must(err)
	s.T.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	s.Must(err)
	s.T.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			question, _ := bufio.NewReader(conn).ReadString('\n')
			answer := "ok"
			if err := s.systemctl(strings.Fields(question)); err != nil {
				answer = err.Error()
			}
			fmt.Fprintln(conn, answer)
			conn.Close()
		}
	}()
	return path
}

// systemctl does to a host's process what systemd would.
func (s *stage) systemctl(words []string) error {
	if len(words) != 3 {
		return fmt.Errorf("on: expected HOST systemctl VERB UNIT, got %q", words)
	}
	host, verb, unit := words[0], words[1], words[2]
	p := s.hosts[host]
	if p == nil || unit != "backfleet-coordinator" && unit != "backfleet-agent" || (unit == "backfleet-agent") != strings.HasPrefix(host, "a") {
		return fmt.Errorf("on: %s has no unit %s", host, unit)
	}
	switch verb {
	case "start":
		return p.Start()
	case "stop":
		return p.Stop(s.Ctx)
	case "restart":
		if err := p.Stop(s.Ctx); err != nil {
			return err
		}
		return p.Start()
	case "kill":
		return p.Signal(syscall.SIGTERM)
	}
	return fmt.Errorf("on: systemctl %s is not played here", verb)
}

// run types the blocks of a runbook.
func (s *stage) run(name string) {
	s.T.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name+".md"))
	s.Must(err)
	script := blocks(string(text))
	if script == "" {
		s.T.Fatalf("%s.md has no block of sh", name)
	}
	bin := s.T.TempDir()
	self, err := os.Executable()
	s.Must(err)
	s.Must(os.Symlink(self, filepath.Join(bin, "on")))
	s.Must(os.Symlink(binary, filepath.Join(bin, "backfleet")))
	cmd := exec.CommandContext(s.Ctx, "bash", "-euxo", "pipefail", "-c", script)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), envHosts+"="+s.serve(), "BACKUP="+s.T.TempDir(),
		"SERVERS="+strings.Join(s.Servers, ","), "BACKFLEET_SERVER="+strings.Join(s.Servers, ","))
	for host := range s.hosts {
		cmd.Env = append(cmd.Env, "DATA_"+host+"="+s.dir(host))
	}
	cmd.Env = append(cmd.Env, s.env...)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.T.Fatalf("%s.md: %v\n%s", name, err, out)
	}
	s.T.Logf("%s", out)
}

// blocks gives what is fenced as sh.
func blocks(text string) string {
	var out strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		switch fence := strings.TrimRight(line, "\n"); {
		case inside && fence == "```":
			inside = false
		case inside:
			out.WriteString(line)
		case fence == "```sh":
			inside = true
		}
	}
	return out.String()
}

func TestRunbooks(t *testing.T) {
	books, err := filepath.Glob(filepath.Join(folder, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range books {
		names = append(names, strings.TrimSuffix(filepath.Base(path), ".md"))
	}
	for name := range plays {
		if !slices.Contains(names, name) {
			t.Errorf("there is a play of %s and no such runbook", name)
		}
	}
	for _, name := range names {
		p, ok := plays[name]
		if !ok {
			t.Errorf("%s.md is played by nobody: add it to the plays", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			p.fleet.Binary = binary
			var environ []string
			if p.prepare != nil {
				environ = p.prepare(t, &p.fleet)
			}
			s := &stage{Rig: rig.Start(t, p.fleet, environ...), hosts: map[string]*fleet.Process{}, env: environ}
			for _, one := range slices.Concat(s.Coordinators, s.Agents) {
				s.hosts[one.Name] = one
			}
			p.trouble(s)
			s.run(name)
			p.cured(s)
		})
	}
}

// whole waits until so many coordinators vote, by what these servers say.
func (s *stage) whole(voters int, servers ...string) {
	s.T.Helper()
	cl, err := s.Client(servers...)
	s.Must(err)
	s.Must(fleet.Until(s.Ctx, fmt.Sprintf("%d coordinators vote", voters), func(ctx context.Context) (bool, error) {
		c, err := cl.Standings(ctx)
		if err != nil || c.Leader == "" || len(c.Servers) != voters {
			return false, err
		}
		for _, one := range c.Servers {
			if one.Standing == nil || one.Role == "nonVoter" {
				return false, nil
			}
		}
		return true, nil
	}))
}
