// Package fleet runs a cluster on this machine as it runs on many: every
// coordinator and every agent is a process of its own with its own folder and
// ports. The demonstration and the tests of real processes kill and restart
// them.
package fleet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"backfleet/agent/keeper"
	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// Config says how large the fleet is and how it is set.
type Config struct {
	// Binary is the whole binary, see Build.
	Binary string
	// Dir gets the data folders and logs of all processes.
	Dir string
	// Coordinators and Agents are how many of each. Default: 1 and 0.
	Coordinators, Agents int
	// Slots of each agent in the resource group "default". Default: 4.
	Slots int
	// CoordinatorFlags and AgentFlags are added to the command lines.
	CoordinatorFlags, AgentFlags []string
	// Host is the address that coordinators listen on. Default: 127.0.0.1; any
	// beyond the loopback needs Security.
	Host string
	// Security is what processes and clients prove themselves with. Default:
	// nothing.
	Security *Security
	// HostOf is the same for each coordinator by its name. Default: Host.
	HostOf func(coordinator string) string
	// Around gives the command that a process is run by, such as one that leads
	// into a network of its own. Default: none.
	Around func(name string) []string
	// AgentBinary is run for agents. Default: Binary with the argument "agent".
	AgentBinary string
}

// Security is the certificates and tokens of a fleet.
type Security struct {
	Flags func(name string) []string // of the coordinator or agent of that name
	TLS   *tls.Config                // of clients
	Token string
}

// Fleet is a running cluster.
type Fleet struct {
	Coordinators []*Process
	Agents       []*Process
	// Servers are the URLs of the coordinators' APIs, in their order.
	Servers []string

	config Config
	client *client.Client
}

// Build builds the whole binary of the module in dir, or takes the one that
// BACKFLEET_BUILT names: many tests start it, and one link is enough.
func Build(ctx context.Context, dir, binary string) error {
	if built := os.Getenv("BACKFLEET_BUILT"); built != "" {
		return run(exec.CommandContext(ctx, "cp", built, binary))
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./ops/backfleet")
	cmd.Dir = dir
	return run(cmd)
}

func run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

// Start brings up the coordinators, then the agents, and returns when all are
// members. What it started is gone again when it fails.
func Start(ctx context.Context, config Config) (*Fleet, error) {
	if config.Coordinators == 0 {
		config.Coordinators = 1
	}
	if config.Slots == 0 {
		config.Slots = 4
	}
	f := &Fleet{config: config}
	if err := f.start(ctx); err != nil {
		return nil, errors.Join(err, f.Stop(context.WithoutCancel(ctx)))
	}
	return f, nil
}

func (f *Fleet) start(ctx context.Context) error {
	ports, err := f.config.ports()
	if err != nil {
		return err
	}
	var rpcs []string
	for i := range f.config.Coordinators {
		http, rpc, raft := ports[3*i], ports[3*i+1], ports[3*i+2]
		name := "c" + strconv.Itoa(i+1)
		args := slices.Concat(f.config.around(name), []string{f.config.Binary, "coordinator", "--id", name, "--data", filepath.Join(f.config.Dir, name),
			"--http", http, "--rpc", rpc, "--raft", raft}, f.config.security(name), f.config.CoordinatorFlags)
		if i == 0 {
			args = append(args, "--bootstrap")
		} else {
			args = append(args, "--join", rpcs[0])
		}
		rpcs = append(rpcs, rpc)
		f.Servers = append(f.Servers, f.config.scheme()+http)
		f.Coordinators = append(f.Coordinators, NewProcess(name, f.config.Dir, args[0], args[1:]...))
	}
	if f.client, err = f.Client(f.Servers...); err != nil {
		return err
	}
	for i, c := range f.Coordinators {
		if err := c.Start(); err != nil {
			return err
		}
		if err := f.members(ctx, i+1); err != nil {
			return fmt.Errorf("%s did not become a member, see %s: %w", c.Name, c.Log, err)
		}
	}
	for i := range f.config.Agents {
		name := "a" + strconv.Itoa(i+1)
		argv := slices.Concat(f.config.agentCommand(name), []string{"--id", name, "--data", f.AgentDir(name), "--coordinators", strings.Join(rpcs, ","),
			"--group", "default=" + strconv.Itoa(f.config.Slots)}, f.config.security(name), f.config.AgentFlags)
		f.Agents = append(f.Agents, NewProcess(name, f.config.Dir, argv[0], argv[1:]...))
		if err := f.Agents[i].Start(); err != nil {
			return err
		}
	}
	return Until(ctx, "all agents are ready", func(ctx context.Context) (bool, error) {
		page, err := f.client.Agents(ctx, nil)
		return err == nil && len(page.Items) == f.config.Agents, err
	})
}

// ports gives three addresses for each coordinator.
func (c *Config) ports() ([]string, error) {
	ports, err := FreePorts(3 * c.Coordinators)
	for i, address := range ports {
		host := c.Host
		if c.HostOf != nil {
			host = c.HostOf("c" + strconv.Itoa(i/3+1))
		}
		if _, port, _ := net.SplitHostPort(address); host != "" {
			ports[i] = net.JoinHostPort(host, port)
		}
	}
	return ports, err
}

func (c *Config) scheme() string {
	if c.Security != nil {
		return "https://"
	}
	return "http://"
}

func (c *Config) security(name string) []string {
	if c.Security == nil {
		return nil
	}
	return c.Security.Flags(name)
}

// agentCommand is what an agent's own flags follow.
func (c *Config) agentCommand(name string) []string {
	argv := c.around(name)
	if c.AgentBinary != "" {
		return append(argv, c.AgentBinary)
	}
	return append(argv, c.Binary, "agent")
}

func (c *Config) around(name string) []string {
	if c.Around == nil {
		return nil
	}
	return slices.Clone(c.Around(name))
}

// members waits until so many coordinators vote and know each other.
func (f *Fleet) members(ctx context.Context, n int) error {
	return Until(ctx, strconv.Itoa(n)+" coordinators vote", func(ctx context.Context) (bool, error) {
		c, err := f.client.Cluster(ctx)
		if err != nil || c.Leader == "" {
			return false, err
		}
		voters := 0
		for _, s := range c.Servers {
			if s.Role != v1.ServerRoleNonVoter && s.HTTPAddress != "" {
				voters++
			}
		}
		return voters == n, nil
	})
}

// AgentDir is the data folder of an agent.
func (f *Fleet) AgentDir(name string) string { return filepath.Join(f.config.Dir, name) }

// client adds what clients prove themselves with.
func (c *Config) client(o client.Options) client.Options {
	if c.Security != nil {
		o.TLS, o.Token = c.Security.TLS, c.Security.Token
	}
	return o
}

// Options are those of a client that asks these servers, in this order.
func (f *Fleet) Options(servers ...string) client.Options {
	return f.config.client(client.Options{Servers: servers})
}

// Client makes a client that asks these servers, in this order.
func (f *Fleet) Client(servers ...string) (*client.Client, error) {
	return client.New(f.config.client(client.Options{Servers: servers, Patience: 30 * time.Second, AttemptTimeout: 10 * time.Second, Backoff: 20 * time.Millisecond}))
}

// Leader finds the coordinator that leads and is alive.
func (f *Fleet) Leader(ctx context.Context) (leader *Process, err error) {
	err = Until(ctx, "a living coordinator leads", func(ctx context.Context) (bool, error) {
		for i, c := range f.Coordinators {
			if !c.Running() {
				continue
			}
			one, err := client.New(f.config.client(client.Options{Servers: f.Servers[i : i+1], Patience: time.Second, AttemptTimeout: time.Second}))
			if err != nil {
				return false, err
			}
			s, err := one.Cluster(ctx)
			if err != nil || s.Leader != c.Name { // only the leader's own word counts
				continue
			}
			leader = c
			return true, nil
		}
		return false, nil
	})
	return leader, err
}

// KeeperPid is the process id of an agent's keeper.
func (f *Fleet) KeeperPid(ctx context.Context, agent *Process) (int, error) {
	k, err := keeper.Dial(ctx, filepath.Join(f.AgentDir(agent.Name), "keeper"))
	if err != nil {
		return 0, err
	}
	defer k.Close()
	return int(k.Info.Pid), nil
}

// KillAgent kills an agent as a failing host does: its session and its keeper,
// whose guard ends the attempts.
func (f *Fleet) KillAgent(ctx context.Context, agent *Process) error {
	pid, err := f.KeeperPid(ctx, agent)
	if err != nil {
		return err
	}
	if err := agent.Kill(); err != nil {
		return err
	}
	return kill(ctx, pid)
}

// kill ends a process that is no child and waits until it is gone.
func kill(ctx context.Context, pid int) error {
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return Until(ctx, "process "+strconv.Itoa(pid)+" is gone", func(context.Context) (bool, error) { return !Alive(pid), nil })
}

// Alive says whether a process runs; a zombie does not.
func Alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, found := strings.Cut(string(stat), ") ")
	return found && !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
}

// Stop ends every process of the fleet: agents first, their keepers with what
// still runs, then the coordinators. Twice is fine.
func (f *Fleet) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var errs []error
	for _, a := range f.Agents {
		errs = append(errs, a.Stop(ctx))
		if pid, err := f.KeeperPid(ctx, a); err == nil { // it keeps attempts, which nobody wants any more
			errs = append(errs, kill(ctx, pid))
		}
	}
	for _, c := range f.Coordinators {
		errs = append(errs, c.Signal(syscall.SIGTERM)) // all at once: the last ones cannot hand over anyway
	}
	for _, c := range f.Coordinators {
		errs = append(errs, c.Stop(ctx))
	}
	return errors.Join(errs...)
}

// Looks at the world outside are a tenth of the time waited so far apart,
// within these bounds: whoever waits long must not load what is watched.
const (
	soonest = 20 * time.Millisecond
	latest  = 250 * time.Millisecond
)

// Until polls until a condition of the world outside holds, at first every
// 20 ms and after some seconds four times a second. The error of the last look
// tells why it never did.
func Until(ctx context.Context, what string, holds func(context.Context) (bool, error)) error {
	began := time.Now()
	look := time.NewTimer(soonest)
	defer look.Stop()
	for {
		ok, err := holds(ctx)
		if ok {
			return nil
		}
		look.Reset(min(max(time.Since(began)/10, soonest), latest))
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, errors.Join(ctx.Err(), err))
		case <-look.C:
		}
	}
}

// ports is what this process takes addresses from.
var ports struct {
	sync.Mutex
	block, left int
	claims      []net.Listener // never closed: they end with the process
}

// FreePorts finds loopback addresses that nobody listens on, and never gives
// one twice. They lie below the range from which the system takes ports for
// outgoing connections, so that a killed process finds its own again. Processes
// side by side get different ones: each takes blocks of ports whose first it
// listens on for as long as it lives.
func FreePorts(n int) ([]string, error) {
	const first, blocks, size = 20000, 120, 100
	at := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	ports.Lock()
	defer ports.Unlock()
	var found []string
	for len(found) < n {
		if ports.left == 0 {
			if ports.block == blocks {
				return nil, fault.New(fault.Unavailable, "no %d free ports between %d and %d on the loopback", n, first, first+blocks*size)
			}
			if l, err := net.Listen("tcp", at(first+ports.block*size)); err == nil {
				ports.claims, ports.left = append(ports.claims, l), size-1
			}
			ports.block++
			continue
		}
		address := at(first + ports.block*size - ports.left)
		ports.left--
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			found = append(found, address)
		}
	}
	return found, nil
}
