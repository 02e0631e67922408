// Package worker is an agent put together: a keeper, a session with the
// leader and a spool for logs, over one data folder.
package worker

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"

	"backfleet/agent/attempt"
	"backfleet/agent/dial"
	"backfleet/agent/executor/python"
	"backfleet/agent/keeper"
	"backfleet/agent/notify"
	"backfleet/agent/runner"
	"backfleet/agent/session"
	"backfleet/agent/spool"
	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/presence"
	"backfleet/pkg/wire"
)

// GroupSlots is how many attempts of a resource group the agent runs at once.
type GroupSlots struct {
	Group string
	Slots int
}

// Config of an agent.
type Config struct {
	// ID names the agent in the cluster; it must be the agent's alone. Default:
	// the host's name.
	ID string
	// DataDir holds the keeper's socket, running attempts, results and logs not
	// yet safe. Required; one agent per folder. It must be a local disk.
	DataDir string
	// Coordinators are rpc addresses ("host:port"); one is enough to find the
	// leader, all of them survive more. Required without a Directory.
	Coordinators []string
	// Directory finds more coordinators, and those that moved. Default: none.
	Directory presence.Directory
	// Announcer makes the agent seen by others. Default: none.
	Announcer presence.Announcer
	// Groups are the resource groups the agent serves. Required.
	Groups []GroupSlots
	// Labels say what is special about the agent, beside those that it gives itself:
	// backfleet/<type> for each type of nodes that it can run beyond shell.
	Labels map[string]string
	// TLS for the coordinators, with the certificate of this agent's id. nil:
	// none, which only loopback addresses accept.
	TLS *mtls.Material
	// TokenFile has the token that proves who the agent is. It is read at each
	// connection. Empty: none.
	TokenFile string
	// KeeperCommand starts a process that calls keeper.Run for the folder given
	// with "--dir". Default: this binary with the argument "keeper".
	KeeperCommand []string
	// LogMaxBytes bounds each attempt's log; lines past it are dropped, and a
	// line says how many (RULES R10.3). Default: runner.DefaultLogBytes, 2 GiB.
	LogMaxBytes int64
	// Inherit names the variables of this process that attempts get, too. nil:
	// executor.DefaultInherit.
	Inherit []string
	// Environment is set for every attempt, beside what it inherits. What a node
	// sets itself goes before it.
	Environment map[string]string
	// Python is what runs python nodes that say nothing else.
	Python python.Settings
	// TaskCommand starts the program for nodes that are no script. Default: none,
	// and the agent cannot run them.
	TaskCommand []string
	// Secrets is the folder with the files that data sources may name. Default:
	// none.
	Secrets string
	// Run is how attempts run.
	Run Running
	// Drain is what the end of ctx means.
	Drain Drain
	// DrainNow asks, with each value, for what Drain.Wait does at the end of ctx.
	// Default: nobody asks.
	DrainNow <-chan os.Signal
	// Manager is the service manager. nil: none.
	Manager *notify.Manager
	// Metrics is where figures are served, host:port. Beyond the loopback it needs
	// TLS, and who asks a certificate of the authority. Default: nowhere.
	Metrics string
	// Boot identifies the time since the host was started: while it stays the
	// same, processes may have outlived the agent. Default: the kernel's boot id.
	Boot string
	// Version is shown in lists of agents.
	Version string
	// Logger. Default: slog's default.
	Logger *slog.Logger

	traced *traced // nil: nothing is
}

// Running is how attempts run, as far as their nodes say nothing else.
type Running struct {
	// User has the rights with which attempts run whose node names nobody. Empty:
	// those of the agent.
	User string
	// AllowUsers are the users that nodes may name beside User; "*" stands for
	// everybody but root. Default: none.
	AllowUsers []string
	// Cgroup is the folder, as seen in /proc/self/cgroup or below /sys/fs/cgroup,
	// under which each attempt gets a control group of its own. CgroupAuto: the
	// agent's own, where it may. CgroupOff: none. Default: CgroupAuto.
	Cgroup string
	// Limits of attempts whose nodes set none; a field that is 0 limits nothing.
	// nil: none.
	Limits *wire.Limits
}

// Values of Run.Cgroup that are no folders.
const (
	CgroupAuto = "auto"
	CgroupOff  = "off"
)

// Drain is how the agent ends.
type Drain struct {
	// Wait has the end of ctx wait for what runs. Otherwise what runs is left to
	// the keeper, and to the agent that is started next.
	Wait bool
	// Deadline bounds a wait, also one that is asked for; what runs then is
	// stopped, and runs again elsewhere. 0: none.
	Deadline time.Duration
}

// Validate fills in the defaults and refuses what cannot work, all findings at
// once, by the fields' names.
func (c *Config) Validate() error {
	host, _ := os.Hostname()
	if c.ID == "" {
		c.ID = host
	}
	if len(c.KeeperCommand) == 0 {
		c.KeeperCommand = []string{"/proc/self/exe", "keeper"}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.LogMaxBytes == 0 {
		c.LogMaxBytes = runner.DefaultLogBytes
	}
	if c.Boot == "" {
		c.Boot = keeper.Boot()
	}
	var found []fault.Detail
	add := func(field, message string) {
		found = append(found, fault.Detail{Field: field, Message: message})
	}
	if c.ID == "" || strings.ContainsAny(c.ID, " \t\n/") {
		add("id", "expected a name without blanks and slashes, found "+strconv.Quote(c.ID))
	}
	if c.TLS != nil {
		if err := c.TLS.RequireAgent(c.ID); err != nil {
			add("tls.cert", err.Error())
		}
	}
	if c.TokenFile != "" {
		if _, err := dial.ReadToken(c.TokenFile); err != nil {
			add("tokenFile", err.Error())
		}
	}
	if c.DataDir == "" {
		add("data", "expected a folder on a local disk, found nothing")
	}
	if len(c.Coordinators) == 0 && c.Directory == nil {
		add("coordinators", "expected at least one rpc address (host:port), found none")
	}
	for i, a := range c.Coordinators {
		field := "coordinators[" + strconv.Itoa(i) + "]"
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			add(field, "expected host:port, found "+strconv.Quote(a))
		} else if c.TLS == nil && !mtls.Loopback(a) {
			add(field, a+" is not on this host, so TLS is needed; give the agent its certificates")
		}
	}
	if c.LogMaxBytes < leastLogBytes {
		add("logs.maxBytes", "expected at least "+strconv.Itoa(leastLogBytes)+" bytes, found "+strconv.FormatInt(c.LogMaxBytes, 10))
	}
	c.checkRunning(add)
	c.checkTypes(add)
	c.checkMetrics(add)
	if len(c.Groups) == 0 {
		add("groups", "expected at least one resource group with its slots, found none")
	}
	seen := map[string]bool{}
	for _, g := range c.Groups {
		field := "groups." + g.Group
		switch {
		case g.Group == "":
			add("groups", "expected the resource group's name, found nothing")
		case seen[g.Group]:
			add(field, strconv.Quote(g.Group)+" stands there twice; add up its slots")
		case g.Slots < 1 || g.Slots > 100_000:
			add(field, "expected 1 to 100000 slots for "+strconv.Quote(g.Group)+", found "+strconv.Itoa(g.Slots))
		}
		seen[g.Group] = true
	}
	if len(found) > 0 {
		return fault.New(fault.Invalid, "the agent's settings are wrong").WithDetails(found...)
	}
	return nil
}

// checkRunning refuses what attempts cannot be given.
func (c *Config) checkRunning(add func(field, message string)) {
	l := c.Run.Limits
	for _, n := range []struct {
		field              string
		value, least, most int32
	}{
		{"nice", l.GetNice(), 0, 19}, {"openFiles", l.GetOpenFiles(), 16, 1 << 20}, {"processes", l.GetProcesses(), 1, 1 << 22},
	} {
		if n.value != 0 && (n.value < n.least || n.value > n.most) {
			add("run.limits."+n.field, fmt.Sprintf("expected %d to %d, found %d", n.least, n.most, n.value))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Environment)) {
		if !variable.MatchString(name) || strings.HasPrefix(name, "BACKFLEET_") {
			add("environment.set."+name, "expected the name of a variable, of letters, digits and _, that does not begin with BACKFLEET_")
		}
	}
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// leastLogBytes is the smallest bound of a log that leaves something to read.
const leastLogBytes = 64 << 10

// keeper is the command that starts one, with what the settings say of it.
func (c *Config) keeper() []string {
	if c.Run.Cgroup == "" || c.Run.Cgroup == CgroupAuto {
		return c.KeeperCommand
	}
	return append(slices.Clone(c.KeeperCommand), "--cgroup", c.Run.Cgroup)
}

// registration is the agent as it introduces itself.
func (c *Config) registration() *wire.Agent {
	host, _ := os.Hostname()
	a := &wire.Agent{Id: c.ID, Host: host, Version: c.Version, State: wire.Agent_READY, Boot: c.Boot, Labels: c.labels()}
	for _, g := range c.Groups {
		a.Groups = append(a.Groups, &wire.GroupSlots{Group: g.Group, Slots: uint32(g.Slots)})
	}
	return a
}

// heedDrains drains the agent whenever it is asked.
func (c *Config) heedDrains(ctx context.Context, s *session.Session) {
	for {
		select {
		case <-c.DrainNow:
			s.Drain(c.Drain.Deadline)
		case <-ctx.Done():
			return
		}
	}
}

// Run is the agent's session process. It adopts the folder's keeper, or starts
// one, and works until ctx ends. Attempts that run then are left to the keeper
// and found again by the next Run; without any, the keeper ends too. It returns
// as well when it was asked to drain and nothing is left. The error says why it
// could not begin.
func Run(ctx context.Context, config Config) error {
	if err := config.Validate(); err != nil {
		return err
	}
	if err := os.MkdirAll(config.DataDir, 0o700); err != nil {
		return fault.Wrap(err, fault.Invalid, "the agent's data folder cannot be made; choose another with --data")
	}
	lock, err := keeper.Lock(filepath.Join(config.DataDir, "agent.lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	logger := config.Logger.With("agent", config.ID)
	var secure credentials.TransportCredentials
	if config.TLS != nil {
		secure = config.TLS.Credentials("")
	}
	pool := dial.NewPool(config.Coordinators, secure, dial.TokenFile(config.TokenFile))
	var s *session.Session
	logs, err := spool.New(spool.Config{
		Coordinators: pool,
		Folder:       filepath.Join(config.DataDir, "spool"),
		Safe:         func(k attempt.Key) { s.LogSafe(k) },
		Logger:       logger,
	})
	if err != nil {
		return err
	}
	generation, err := session.OpenGeneration(config.DataDir)
	if err != nil {
		return err
	}
	config.traced = &traced{}
	s = session.New(session.Config{
		Generation:    generation,
		Traced:        config.traced.told,
		Agent:         config.registration(),
		Prepare:       bounded{config.executors(logger), config.LogMaxBytes},
		Coordinators:  pool,
		KeeperDir:     filepath.Join(config.DataDir, "keeper"),
		KeeperCommand: config.keeper(),
		Shipper:       logs,
		Logger:        logger,
		Wait:          config.Drain.Wait,
		Deadline:      config.Drain.Deadline,
	})
	control := control{&config, s, logs}
	listener, err := control.listen()
	if err != nil {
		return err
	}
	figures, err := config.listenMetrics()
	if err != nil {
		listener.Close()
		return err
	}
	shipping, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wait sync.WaitGroup
	wait.Go(func() { logs.Run(shipping) })
	wait.Go(func() { discovery{&config, pool, logger}.run(shipping) }) // who waits for what runs may have to find a new leader
	wait.Go(func() { control.serve(shipping, listener, logger) })
	if figures != nil {
		wait.Go(func() { control.serveMetrics(shipping, figures, logger) })
	}
	wait.Go(func() { tell(shipping, ctx, config.Manager, s) })
	wait.Go(func() { config.heedDrains(shipping, s) })
	if config.TLS != nil {
		wait.Go(func() { config.TLS.Watch(shipping, logger) })
	}
	err = s.Run(ctx)
	stop()
	wait.Wait()
	return err
}
