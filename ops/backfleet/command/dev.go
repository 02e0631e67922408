package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"backfleet/agent/worker"
	"backfleet/coordinator/server"
	"backfleet/pkg/obs"
)

type devOptions struct {
	data   string
	http   string
	slots  int
	groups []string
	log    obs.LogConfig
	pprof  string

	settings settings
	logMax   int64
}

func devCommand(version string) *cobra.Command {
	o := &devOptions{settings: settings(server.DefaultSettings())}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a coordinator and an agent here, to play with",
		Long: `Run one coordinator and one agent on this machine, listening on the loopback.

Without --data everything is kept in a temporary folder and gone at the end. It
is the real thing in small: the same log on disk, the same protocol, the same
keeper. Not for production, since one coordinator has no spare.`,
		Example: `  backfleet dev
  backfleet dev --data ~/backfleet --slots 4`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd, version) },
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", "", "folder to keep everything in (default: a temporary one)")
	f.StringVar(&o.http, "http", "127.0.0.1:8470", "address of the API")
	f.IntVar(&o.slots, "slots", 8, "how many attempts run at once in a resource group")
	f.StringSliceVar(&o.groups, "group", []string{"default"}, "resource groups of the agent")
	o.settings.addFlags(f)
	f.Int64Var(&o.logMax, "logs-max-bytes", 0, "bytes of log an attempt may write; lines past them are dropped and counted (default 2 GiB)")
	addLog(f, &o.log)
	addProfiles(f, &o.pprof)
	return cmd
}

func (o *devOptions) run(cmd *cobra.Command, version string) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	logger, err := obs.NewLogger(o.log)
	if err != nil {
		return err
	}
	endProfiles, err := obs.StartProfiles(o.pprof, logger)
	if err != nil {
		return err
	}
	defer endProfiles()
	if o.data == "" {
		if o.data, err = os.MkdirTemp("", "backfleet-dev-"); err != nil {
			return err
		}
		defer os.RemoveAll(o.data)
	}
	s, err := server.Start(ctx, server.Config{
		ID: "dev", DataDir: filepath.Join(o.data, "coordinator"), Bootstrap: true, HTTP: o.http,
		RPC: "127.0.0.1:0", Raft: "127.0.0.1:0", Version: version, Logger: logger, Settings: (*server.Settings)(&o.settings),
	})
	if err != nil {
		return err
	}
	defer func() { _ = s.Stop(context.WithoutCancel(ctx)) }()
	fmt.Fprintf(cmd.ErrOrStderr(), "Backfleet is up with one agent. Look at %s in a browser, or in another terminal:\n  backfleet --server %s node apply -f DIR\nCtrl-C ends it.\n",
		s.HTTPAddress(), s.HTTPAddress())
	return o.runAgent(ctx, cmd, s, logger, version)
}

func (o *devOptions) runAgent(ctx context.Context, cmd *cobra.Command, s *server.Server, logger *slog.Logger, version string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.Failed():
			cancel(s.Err())
		case <-ctx.Done():
		}
	}()
	var groups []worker.GroupSlots
	for _, g := range o.groups {
		groups = append(groups, worker.GroupSlots{Group: g, Slots: o.slots})
	}
	root := strings.Fields(cmd.CommandPath())[1:]
	keeper := append([]string{"/proc/self/exe"}, append(root[:len(root)-1:len(root)-1], "agent", "keeper")...)
	err := worker.Run(ctx, worker.Config{
		ID: "dev", DataDir: filepath.Join(o.data, "agent"), Coordinators: []string{s.RPCAddress()}, Groups: groups,
		KeeperCommand: keeper, TaskCommand: []string{"/proc/self/exe", "task"}, Version: version, Logger: logger, LogMaxBytes: o.logMax,
	})
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}
