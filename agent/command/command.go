// Package command is the agent's part of the command line. The slim binary
// has it as its root, the whole one mounts it among others.
package command

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"backfleet/agent/keeper"
	"backfleet/agent/notify"
	"backfleet/agent/program"
	"backfleet/agent/settings"
	"backfleet/agent/worker"
	"backfleet/pkg/fault"
	"backfleet/pkg/obs"
	"backfleet/pkg/presence"
	"backfleet/pkg/slack"
	"backfleet/pkg/wallclock"
)

// Presence is a directory that a binary offers beside the configured
// coordinators. The slim binary has none, so that it links no client of one.
type Presence interface {
	// Open gives the directory that the settings name, nil when they name none.
	// Close ends it.
	Open(s settings.Etcd, logger *slog.Logger) (r presence.Registry, close func(), err error)
}

// boot tells one start of the host from the next.
var boot = keeper.Boot

// agent is what its commands share.
type agent struct {
	version   string
	directory Presence // nil: none
}

// Agent makes the command `agent`, with those of its host below it, and its
// hidden helpers `keeper` and `guard`. Version is what the agent reports;
// directory may be nil.
func Agent(version string, directory Presence) *cobra.Command {
	a := &agent{version: version, directory: directory}
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run attempts on this host for a cluster of coordinators",
		Long: `Run attempts on this host for a cluster of coordinators.

The agent registers with the leader, takes as many attempts as its resource
groups have slots, and ships their results and logs. A second process, the
keeper, is the parent of the attempts: when the agent is restarted, or replaced
by a newer one, they go on and are found again. When no coordinator renews their
leases the keeper ends them in time.

Settings come from a file (--config), from variables (BACKFLEET_AGENT_…) and
from flags; a variable goes before the file, a flag before both. example-config
shows them all, check-config finds what is wrong.

SIGTERM ends the agent: what runs is left to the keeper, unless drain.onStop is
wait. SIGUSR1, like the command drain, has it take nothing new and end with
status 0 when nothing runs any more.`,
		Example: `  backfleet agent --config /etc/backfleet/agent.yaml
  backfleet agent --data /var/lib/backfleet-agent --coordinators 127.0.0.1:8471 --group default=8`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.run(cmd) },
	}
	settings.Flags(cmd.Flags(), a.whole())
	cmd.AddCommand(a.checkConfig(), a.exampleConfig(), keeperCommand(version), guardCommand())
	if a.whole() { // its `agent drain` is for agents anywhere
		host := &cobra.Command{Use: "host", Short: "Look at the agent on this host, and drain it"}
		host.AddCommand(a.status(), a.drain())
		cmd.AddCommand(host)
	} else {
		cmd.AddCommand(a.status(), a.drain())
	}
	return cmd
}

// taskProgram is what runs the nodes that are no script, unless the settings name
// another: the whole binary itself, or else the program beside this one; none, if
// it is not there.
func (a *agent) taskProgram() []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	if a.whole() {
		return []string{self, "task"}
	}
	if beside := filepath.Join(filepath.Dir(self), "backfleet-task"); program.Executable(beside) {
		return []string{beside}
	}
	return nil
}

// whole says whether the binary knows the settings of a directory.
func (a *agent) whole() bool { return a.directory != nil }

func (a *agent) run(cmd *cobra.Command) error {
	slack.Restart()
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/8)) // the cores are for the attempts
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends at once one that waits for what runs
	drains := make(chan os.Signal, 1)
	signal.Notify(drains, syscall.SIGUSR1)
	loaded := settings.Load(cmd.Flags(), os.Environ(), a.whole())
	config, found := a.prepare(loaded)
	if len(found) > 0 {
		return wrong(found)
	}
	config.DrainNow = drains
	var err error
	if config.Manager, err = notify.Open(); err != nil {
		return err
	}
	defer config.Manager.Close()
	endProfiles, err := obs.StartProfiles(loaded.Pprof, config.Logger)
	if err != nil {
		return err
	}
	defer endProfiles()
	endDirectory, err := a.openDirectory(loaded.Etcd, &config)
	if err != nil {
		return err
	}
	defer endDirectory()
	config.KeeperCommand = append([]string{"/proc/self/exe"}, path(cmd, "keeper")...)
	return worker.Run(ctx, config)
}

func (a *agent) openDirectory(s settings.Etcd, config *worker.Config) (end func(), err error) {
	if a.directory == nil {
		return func() {}, nil
	}
	r, end, err := a.directory.Open(s, config.Logger)
	if err == nil && r != nil { // a nil Registry must not become a Directory that is not nil
		config.Directory, config.Announcer = r, r
	}
	return end, err
}

// path gives the arguments that lead to a command below cmd.
func path(cmd *cobra.Command, name string) []string {
	return append(strings.Fields(cmd.CommandPath())[1:], name)
}

func keeperCommand(version string) *cobra.Command {
	config := keeper.Config{Version: version, Wall: wallclock.Drilled()}
	cmd := &cobra.Command{
		Use:    "keeper",
		Short:  "Be the parent of an agent's attempts (started by the agent)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			runtime.GOMAXPROCS(2) // the thread that forks holds one; results and answers need not wait for it
			signal.Ignore(syscall.SIGHUP, syscall.SIGINT)
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
			defer stop()
			config.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil)) // keeper.log
			config.Boot = boot()
			config.GuardCommand = append([]string{"/proc/self/exe"}, path(cmd.Parent(), "guard")...)
			return keeper.Run(ctx, config)
		},
	}
	cmd.Flags().StringVar(&config.Dir, "dir", "", "the keeper's folder")
	cmd.Flags().StringVar(&config.Cgroup, "cgroup", "", "where attempts get cgroups: auto, off or a folder (default auto)")
	cmd.Flags().DurationVar(&config.IdleExit, "idle-exit", 0, "how long to stay with nothing to do (default 1m)")
	return cmd
}

func guardCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "guard INCARNATION",
		Short:  "End a keeper's attempts should it die (started by the keeper)",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			runtime.GOMAXPROCS(1)
			return keeper.Guard(os.Stdin, args[0])
		},
	}
}

// Main runs the slim binary, of which `agent` is the root, and gives its exit
// code.
func Main(version string) int {
	cmd := Agent(version, nil)
	cmd.Use, cmd.Version = "backfleet-agent", version
	cmd.Long = strings.ReplaceAll(cmd.Long, "backfleet agent", "backfleet-agent")
	cmd.Example = strings.ReplaceAll(cmd.Example, "backfleet agent", "backfleet-agent")
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fault.New(fault.Invalid, "%s (see %s --help)", err, c.CommandPath())
	})
	err := cmd.ExecuteContext(context.Background())
	if err != nil {
		cmd.PrintErrln("error:", err)
	}
	return fault.ExitCode(err)
}
