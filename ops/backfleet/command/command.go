// Package command composes the command line of the whole binary.
package command

import (
	"context"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	_ "time/tzdata" // zones must not depend on the host's packages

	"github.com/spf13/cobra"

	agent "backfleet/agent/command"
	"backfleet/agent/task"
	"backfleet/api/cli"
	"backfleet/coordinator/raftnode"
	"backfleet/coordinator/server"
	drill "backfleet/ops/drill/command"
	"backfleet/pkg/mtls"
	"backfleet/pkg/obs"
	"backfleet/pkg/slack"
	"backfleet/pkg/wallclock"
)

// Main runs a command line and gives the exit status. `task` is not for people and
// not in the tree: agents start it for nodes that are no script.
func Main(args []string) int {
	if len(args) > 0 && args[0] == "task" {
		return task.Main(args[1:])
	}
	return cli.Main(Root(), args)
}

// Root makes the whole command tree.
func Root() *cobra.Command {
	v := version()
	return cli.NewRoot(cli.Options{
		Version:   v,
		Directory: &etcdFinder{},
		Cluster:   []*cobra.Command{recoverCommand()},
		Snapshot:  []*cobra.Command{inspectCommand(), restoreCommand()},
		Commands:  []*cobra.Command{coordinatorCommand(v), devCommand(v), tlsCommand(), agent.Agent(v, agentDirectory{})},
		Clients:   []func(cli.Connects) *cobra.Command{drill.Drill},
	})
}

var release string // set by the linker, in packages

// version is that of the release, or the revision that it was built from.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "dev-" + s.Value[:12]
		}
	}
	return "dev"
}

type coordinatorOptions struct {
	config server.Config
	log    obs.LogConfig
	pprof  string
	etcd   etcdPresence

	settings     settings
	smtpPassword string // where it is
}

func coordinatorCommand(version string) *cobra.Command {
	o := &coordinatorOptions{config: server.Config{Version: version, Now: wallclock.Drilled(), Compaction: raftnode.DefaultCompaction()}, settings: settings(server.DefaultSettings())}
	o.config.Settings = (*server.Settings)(&o.settings)
	cmd := &cobra.Command{
		Use:   "coordinator",
		Short: "Run a coordinator: it holds plans and leases instances to agents",
		Long: `Run a coordinator.

The first one of a cluster starts with --bootstrap, every other with --join and
the rpc address of one that runs. One coordinator survives nothing but a restart,
three survive the loss of one, five of two. SIGTERM hands leadership over and
ends in order.`,
		Example: `  backfleet coordinator --id c1 --data /var/lib/backfleet --bootstrap
  backfleet coordinator --id c2 --data /var/lib/backfleet --join host1:8471 \
      --http 0.0.0.0:8470 --rpc 0.0.0.0:8471 --raft 0.0.0.0:8472 --advertise-host host2 \
      --tls-cert c2.pem --tls-key c2.key --tls-ca ca.pem --token-file tokens`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			o.config.Notifications.Mail.Password = server.SecretPlace(o.smtpPassword)
			if o.config.Logger, err = obs.NewLogger(o.log); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	c := &o.config
	f.StringVar(&c.ID, "id", "", "the coordinator's name in the cluster, for ever")
	f.StringVar(&c.DataDir, "data", "", "data folder, on a local disk; one coordinator per folder")
	f.BoolVar(&c.Bootstrap, "bootstrap", false, "start a new cluster (ignored when the folder has one)")
	f.StringSliceVar(&c.Join, "join", nil, "rpc addresses of coordinators whose cluster to join, host:port,…")
	f.StringVar(&c.HTTP, "http", "", "address of the API (default 127.0.0.1:8470)")
	f.StringVar(&c.RPC, "rpc", "", "address for agents and other coordinators (default 127.0.0.1:8471)")
	f.StringVar(&c.Raft, "raft", "", "address of the replicated log (default 127.0.0.1:8472)")
	f.StringVar(&c.AdvertiseHost, "advertise-host", "", "host that others dial, when the addresses listened on are not it")
	f.StringVar(&c.Profile, "profile", "", "timing: lan or wan (default lan)")
	f.StringVar(&c.Zone, "zone", "", "the cluster's time zone (default UTC)")
	f.DurationVar(&c.StopTimeout, "stop-timeout", 0, "how long an orderly end may take (default 10s)")
	f.DurationVar(&c.Terms.Lease, "lease", 0, "how long an attempt may run without renewal (default 15s)")
	f.DurationVar(&c.Terms.Renew, "renew", 0, "how often agents renew (default a fifth of the lease)")
	f.BoolVar(&c.AllowInsecure, "allow-insecure", false, "listen beyond the loopback without TLS and tokens: something else protects the network")
	f.BoolVar(&c.CertifyClients, "require-client-cert", false, "refuse clients of the API without a certificate of the authority, beside their token")
	addCompaction(f, &c.Compaction)
	f.Uint64Var(&c.Reserve, "data-reserve-bytes", 0, "bytes that must be free on the volume of --data for new work to be taken (default 64 MiB, which is the least)")
	f.Uint32Var(&c.BehaviourMax, "behaviour-max", 0, "newest version of the rules to agree to: holds the whole cluster there, so that going back to the former binary stays possible (default: what this binary knows)")
	f.DurationVar(&c.BehaviourAfter, "behaviour-after", 0, "how long every coordinator must have agreed to newer rules before they are put in force (default 1m)")
	o.settings.addFlags(f)
	addNotifications(f, &c.Notifications, &o.smtpPassword)
	addTLS(f, &c.TLS)
	f.StringVar(&c.TokenFile, "token-file", "", "file with secrets that hold beside users' tokens: name:secret [role=admin|operator|developer|viewer|agent] [workspaces=a,b] on each line; read again when it changes")
	addPeople(f, c)
	addLog(f, &o.log)
	addProfiles(f, &o.pprof)
	addTraces(f, &c.Traces)
	f.BoolVar(&c.Profiles, "pprof-admin", false, "serve Go's profiles to admins as well, at /debug/pprof/ of the API")
	o.etcd.AddFlags(f)
	return cmd
}

func addTLS(f flags, tls *mtls.Files) {
	f.StringVar(&tls.Cert, "tls-cert", "", "PEM file with the certificate")
	f.StringVar(&tls.Key, "tls-key", "", "PEM file with its private key")
	f.StringVar(&tls.CA, "tls-ca", "", "PEM file with the authority of coordinators and agents")
}

func addLog(f flags, log *obs.LogConfig) {
	f.StringVar(&log.Format, "log-format", obs.FormatAuto, "auto, text or json")
	f.StringVar(&log.Level, "log-level", "info", "debug, info, warn or error")
}

func addProfiles(f flags, address *string) {
	f.StringVar(address, strings.TrimPrefix(obs.FlagProfiles, "--"), "", "serve Go's profiles at this loopback address (default: nowhere)")
}

type flags interface {
	StringVar(p *string, name, value, usage string)
}

// run runs until a signal, or until the coordinator cannot go on.
func (o *coordinatorOptions) run(ctx context.Context) error {
	slack.Restart()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	// Where files are limited in size (ulimit -f), a write past the limit shall
	// fail like one on a full disk, with words, and not end the process.
	signal.Ignore(syscall.SIGXFSZ)
	endProfiles, err := obs.StartProfiles(o.pprof, o.config.Logger)
	if err != nil {
		return err
	}
	defer endProfiles()
	directory, endDirectory, err := o.etcd.Open(o.config.Logger)
	if err != nil {
		return err
	}
	defer endDirectory()
	if directory != nil { // a nil Registry must not become an Announcer that is not nil
		o.config.Announcer, o.config.Directory = directory, directory
	}
	s, err := server.Start(ctx, o.config)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-s.Failed():
	}
	o.config.Logger.Info("stopping")
	if err := s.Stop(context.WithoutCancel(ctx)); err != nil {
		o.config.Logger.Warn("the end was not orderly", "error", err)
	}
	return s.Err()
}
