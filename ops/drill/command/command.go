// Package command is `backfleet drill`.
package command

import (
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"backfleet/api/cli"
	"backfleet/api/client"
	"backfleet/ops/drill"
	"backfleet/ops/drill/network"
	"backfleet/pkg/fault"
)

// Drill makes the command.
func Drill(connects cli.Connects) *cobra.Command {
	var o drill.Options
	var real drill.Cluster
	var cluster bool
	var output string
	var connect func() (client.Options, error)
	cmd := &cobra.Command{
		Use:   "drill " + strings.Join(drill.Kinds(), "|") + "|" + drill.All,
		Short: "Inject faults into a working cluster and check that nothing is lost or doubled",
		Long: `Inject a fault into a cluster that works, again and again, and report how long
it took to go on, and whether it kept what it promises: no instance lost, none
run twice at once, none before what it waits for; receipts and logs that are
whole. Exit status 1 when a promise is broken; the folder is then kept, and the
report says how to replay.

` + drill.Describe() + `
By default the cluster is one of its own on this machine, in a folder that is
gone at the end. partition, disk-full and disk-slow need root or user namespaces,
the disks /dev/fuse as well.

With --cluster it is the one that --server or the context names, for leader-kill
and rolling-restart. --kill and --restart say how to act on a coordinator's host:
{host} and {id} are replaced. Nothing is done unless three coordinators or more
vote, answer and have caught up, no silent agent holds attempts, and no other
drill is under way. Attempts of the drill run in --resource-group; its nodes
(drill_…) are removed at the end. It stops at once when the cluster is not whole
again --within a time.`,
		Example: `  backfleet drill leader-kill --times 20
  backfleet drill all --report drill.md
  backfleet drill partition --times 12 --seed 7 --keep
  backfleet drill leader-kill --cluster --resource-group spare --restart 'ssh {host} sudo systemctl start backfleet-coordinator' \
      --kill 'ssh {host} sudo systemctl kill -s KILL backfleet-coordinator'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fault.New(fault.Invalid, "expected one drill: %s or %s", strings.Join(drill.Kinds(), ", "), drill.All)
			}
			return nil
		},
		ValidArgs: append(drill.Kinds(), drill.All),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Kind, o.Out, o.Err, o.JSON = args[0], cmd.OutOrStdout(), cmd.ErrOrStderr(), output == "json"
			if f, ok := o.Err.(*os.File); ok {
				o.Terminal = term.IsTerminal(int(f.Fd()))
			}
			if output != "table" && output != "json" {
				return fault.Field("--output", "%q is not known: expected table or json", output)
			}
			if cluster {
				var err error
				if real.Client, err = connect(); err != nil {
					return err
				}
				real.In, o.Cluster = cmd.InOrStdin(), &real
			} else if drill.Apart(o.Kind) {
				there, status, err := network.Enter()
				if err != nil {
					return err
				}
				if !there {
					os.Exit(status) // the one that was there has said everything
				}
			}
			return drill.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Times, "times", 3, "how often the fault is injected")
	f.IntVar(&o.Coordinators, "coordinators", 3, "coordinators of the fleet")
	f.IntVar(&o.Agents, "agents", 2, "agents of the fleet")
	f.Uint64Var(&o.Seed, "seed", 0, "of the moments and choices, to replay a drill (default: by the time)")
	f.StringVarP(&output, "output", "o", "table", "`form` of the report: table or json")
	f.StringVar(&o.Report, "report", "", "`file` that the report is added to, .md or .json")
	f.BoolVar(&o.Keep, "keep", false, "keep the folder with data and logs of the fleet; of a cluster, the drill's nodes")
	f.StringVar(&o.Binary, "binary", "", "`file` of the backfleet that the fleet runs (default: this one)")
	f.BoolVar(&cluster, "cluster", false, "drill a real cluster")
	f.StringVar(&real.Kill, "kill", "", "`command` that kills a coordinator of the cluster")
	f.StringVar(&real.Restart, "restart", "", "`command` that restarts one; for leader-kill: that starts it again, where nothing else does")
	f.StringVar(&real.Group, "resource-group", "", "`name` of the resource group that runs the drill's attempts")
	f.StringVar(&real.Yes, "yes-i-mean", "", "`name` of the cluster, instead of typing it")
	f.DurationVar(&real.Within, "within", 2*time.Minute, "how `long` the cluster may take to be whole again")
	connect = connects(cmd)
	return cmd
}
