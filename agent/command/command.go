// Package command is the agent's part of the command line. The slim binary
// has it as its root, the whole one mounts it among others.
package command

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"backfleet/agent/keeper"
	"backfleet/agent/worker"
	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/obs"
	"backfleet/pkg/presence"
	"backfleet/pkg/slack"
)

type agentOptions struct {
	config    worker.Config
	groups    []string
	labels    []string
	tls       mtls.Files
	tokenFile string
	log       obs.LogConfig
	pprof     string
	directory Presence
}

// Presence is a directory that a binary offers beside --coordinators. The
// slim binary has none, so that it links no client of one.
type Presence interface {
	// AddFlags adds the flags that name the directory.
	AddFlags(f *pflag.FlagSet)
	// Open gives the directory, nil when the flags name none. Close ends it.
	Open(logger *slog.Logger) (r presence.Registry, close func(), err error)
}

// Agent makes the command `agent`, with its hidden helpers `keeper` and
// `guard` below it. Version is what the agent reports; directory may be nil.
func Agent(version string, directory Presence) *cobra.Command {
	o := &agentOptions{config: worker.Config{Version: version}, directory: directory}
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run attempts on this host for a cluster of coordinators",
		Long: `Run attempts on this host for a cluster of coordinators.

The agent registers with the leader, takes as many attempts as its resource
groups have slots, and ships their results and logs. A second process, the
keeper, is the parent of the attempts: when the agent is restarted they go on
and are found again. When no coordinator renews their leases the keeper ends
them in time.`,
		Example: `  backfleet agent --data /var/lib/backfleet --coordinators 127.0.0.1:7401 --group default=8`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&o.config.ID, "id", "", "the agent's name in the cluster (default: the host's name)")
	f.StringVar(&o.config.DataDir, "data", "", "data folder, on a local disk; one agent per folder")
	f.StringSliceVar(&o.config.Coordinators, "coordinators", nil, "rpc addresses of coordinators, host:port,…")
	f.StringArrayVar(&o.groups, "group", nil, "resource group and slots, name=slots (repeatable)")
	f.StringArrayVar(&o.labels, "label", nil, "what is special about this agent, name=value (repeatable)")
	f.StringVar(&o.tls.CA, "tls-ca", "", "PEM file with the coordinators' authority")
	f.StringVar(&o.tls.Cert, "tls-cert", "", "PEM file with the agent's certificate")
	f.StringVar(&o.tls.Key, "tls-key", "", "PEM file with its private key")
	f.StringVar(&o.tokenFile, "token-file", "", "file with the agent's token")
	f.Int64Var(&o.config.LogMaxBytes, "logs-max-bytes", 0, "bytes of log an attempt may write; lines past them are dropped and counted (default 2 GiB)")
	f.StringVar(&o.log.Format, "log-format", obs.FormatAuto, "the agent's own log: auto, text or json")
	f.StringVar(&o.log.Level, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.pprof, "pprof", "", "serve Go's profiles at this loopback address (default: nowhere)")
	if directory != nil {
		directory.AddFlags(f)
	}
	cmd.AddCommand(keeperCommand(version), guardCommand())
	return cmd
}

func (o *agentOptions) run(cmd *cobra.Command) error {
	slack.Restart()
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/8)) // the cores are for the attempts
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var err error
	if o.config.Groups, err = parseGroups(o.groups); err != nil {
		return err
	}
	if o.config.Labels, err = parseLabels(o.labels); err != nil {
		return err
	}
	if o.tls.Configured() {
		material, err := mtls.Load(o.tls)
		if err != nil {
			return err
		}
		o.config.TLS = material.ToCoordinator("")
	}
	if o.tokenFile != "" {
		token, err := os.ReadFile(o.tokenFile)
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "--token-file cannot be read")
		}
		o.config.Token = strings.TrimSpace(string(token))
	}
	if o.config.Logger, err = obs.NewLogger(o.log); err != nil {
		return err
	}
	endProfiles, err := obs.StartProfiles(o.pprof, o.config.Logger)
	if err != nil {
		return err
	}
	defer endProfiles()
	endDirectory, err := o.openDirectory()
	if err != nil {
		return err
	}
	defer endDirectory()
	o.config.KeeperCommand = append([]string{"/proc/self/exe"}, path(cmd, "keeper")...)
	return worker.Run(ctx, o.config)
}

func (o *agentOptions) openDirectory() (end func(), err error) {
	if o.directory == nil {
		return func() {}, nil
	}
	r, end, err := o.directory.Open(o.config.Logger)
	if err == nil && r != nil { // a nil Registry must not become a Directory that is not nil
		o.config.Directory, o.config.Announcer = r, r
	}
	return end, err
}

// path gives the arguments that lead to a command below cmd.
func path(cmd *cobra.Command, name string) []string {
	return append(strings.Fields(cmd.CommandPath())[1:], name)
}

// parseGroups reads name=slots.
func parseGroups(texts []string) ([]worker.GroupSlots, error) {
	var groups []worker.GroupSlots
	for _, text := range texts {
		name, number, _ := strings.Cut(text, "=")
		slots, err := strconv.Atoi(number)
		if err != nil {
			return nil, fault.Field("group", "expected name=slots with a whole number, like default=8, found %q", text)
		}
		groups = append(groups, worker.GroupSlots{Group: name, Slots: slots})
	}
	return groups, nil
}

// parseLabels reads name=value.
func parseLabels(texts []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fault.Field("label", "expected name=value, found %q", text)
		}
		labels[name] = value
	}
	return labels, nil
}

func keeperCommand(version string) *cobra.Command {
	config := keeper.Config{Version: version}
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
			config.GuardCommand = append([]string{"/proc/self/exe"}, path(cmd.Parent(), "guard")...)
			return keeper.Run(ctx, config)
		},
	}
	cmd.Flags().StringVar(&config.Dir, "dir", "", "the keeper's folder")
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
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(context.Background())
	if err != nil {
		cmd.PrintErrln("error:", err)
	}
	return fault.ExitCode(err)
}
