// Package cli is the command line of Backfleet's users: each command is an
// options struct, its flags, and a run function over api/client. Commands that
// run servers are mounted beside these by the program's main.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	"backfleet/pkg/fault"
)

// Options are the world of the command line. Zero fields get the process's.
type Options struct {
	Version  string    // shown by `version`; default "dev"
	In       io.Reader // for lists of ids, and answers to questions
	Out, Err io.Writer
	Getenv   func(string) string
	Now      func() time.Time
	// Directory finds coordinators where --server does not name them. Default:
	// none.
	Directory Directory
	// Commands are mounted beside the client's own. One with the name of a
	// group here (agent) becomes that group: `agent` runs, `agent list` asks.
	Commands []*cobra.Command
	// Cluster and Snapshot are mounted in the groups cluster and cluster snapshot.
	Cluster, Snapshot []*cobra.Command
	// Clients make further commands, of those that ask a cluster.
	Clients []func(Connects) *cobra.Command
}

// Connects adds the flags by which a command finds the cluster. What it gives
// is called when the command runs, and says how to ask it.
type Connects func(*cobra.Command) func() (client.Options, error)

// app is what commands share.
type app struct {
	Options
	settledOf   map[*cobra.Command]*settled
	connections map[*cobra.Command]*connection
	local       *cobra.Command // shows what is here; nothing tells of its changes

	color   string // auto, always or never
	noPager bool
	verbose bool
	wide    bool // tables are shown whole
}

// NewRoot makes the whole command tree.
func NewRoot(o Options) *cobra.Command {
	a := &app{Options: o}
	if a.Version == "" {
		a.Version = "dev"
	}
	if a.In == nil {
		a.In = os.Stdin
	}
	if a.Out == nil {
		a.Out = os.Stdout
	}
	if a.Err == nil {
		a.Err = os.Stderr
	}
	if a.Getenv == nil {
		a.Getenv = os.Getenv
	}
	if a.Now == nil {
		a.Now = time.Now
	}
	root := &cobra.Command{
		Use:   "backfleet",
		Short: "Run code again for dates gone by, on many machines, in order",
		Long: `Backfleet runs nodes (scheduled code) again for any data timestamps, in the order
of their dependencies, on a fleet of agents under replicated coordinators.

Exit status: 0 done; 1 failed, or a watched backfill ended otherwise than
succeeded; 2 wrong input; 3 not found; 4 refused by the present state; 5 not
permitted; 6 unavailable or overloaded; 7 timed out or outcome unknown; 8
stored data is broken; 130 interrupted.

Environment: BACKFLEET_SERVER, BACKFLEET_TOKEN_FILE, BACKFLEET_CA, BACKFLEET_CERT,
BACKFLEET_KEY, BACKFLEET_OUTPUT, BACKFLEET_ETCD, BACKFLEET_ETCD_CA and so on are
the defaults of --server, --token-file, --ca, --cert, --key, --output, --etcd and
--etcd-ca; BACKFLEET_CONTEXT is that of --context, BACKFLEET_CONFIG the file of
contexts; PAGER shows long tables; NO_COLOR turns colours off.`,
		Example: `  backfleet node apply -f nodes/
  backfleet backfill preview --node ingest --mode descendants --dates 2012-01-01..2012-01-31
  backfleet backfill submit --node ingest --mode descendants --dates 2012-01-01..2015-12-31 --groups 10 --watch
  backfleet instance logs b1.17 --follow`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fault.New(fault.Invalid, "%s (see %s --help)", err, c.CommandPath())
	})
	root.PersistentFlags().String(flagContext, "", "`name` of the context to use (see backfleet context --help); '' for none")
	root.PersistentFlags().StringVar(&a.color, "color", "auto", "`when` to use colours: auto, always or never")
	root.PersistentFlags().BoolVar(&a.noPager, "no-pager", false, "show long tables without $PAGER")
	root.PersistentFlags().BoolVar(&a.verbose, "verbose", false, "tell of every request on standard error, with its id")
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		if !slices.Contains(colourWords, a.color) {
			return fault.Field("--color", "%q is not known: expected auto, always or never", a.color)
		}
		if !filledIn(c.Flags()) {
			return nil
		}
		_, err := a.settle(c)
		return err
	}
	root.SetUsageFunc(usage)
	root.AddGroup(commandGroups...)
	root.AddCommand(in(groupWork, a.backfillCommand(), a.instanceCommand(), a.nodeCommand(), a.scheduleCommand(), a.topCommand())...)
	root.AddCommand(in(groupFleet, a.agentCommand(), a.clusterCommand(), a.resourceGroupCommand(), a.workspaceCommand(), a.regionCommand(),
		a.baselineCommand(), a.sourceCommand(), a.channelCommand(), a.notificationCommand())...)
	root.AddCommand(in(groupPeople, a.contextCommand(), a.loginCommand(), a.logoutCommand(), a.meCommand(), a.userCommand(), a.accessCommand(), a.auditCommand())...)
	root.AddCommand(a.paramsCommand(), a.completionCommand(), a.versionCommand())
	root.CompletionOptions.DisableDefaultCmd = true
	a.watched(root)
	a.completes(root)
	_ = root.RegisterFlagCompletionFunc(flagContext, func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return a.contextNames(begun), cobra.ShellCompDirectiveNoFileComp
	})
	_ = root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions(colourWords, cobra.ShellCompDirectiveNoFileComp))
	for _, c := range o.Commands {
		mount(root, c)
	}
	for _, made := range o.Clients {
		mount(root, made(func(c *cobra.Command) func() (client.Options, error) { return a.connects(c).options }))
	}
	return root
}

// mount adds a command; where a group has its name, the group's commands go
// below it.
func mount(root, c *cobra.Command) {
	c.GroupID = groupServers
	for _, own := range root.Commands() {
		if own.Name() != c.Name() {
			continue
		}
		c.GroupID = own.GroupID
		root.RemoveCommand(own)
		below := slices.Clone(own.Commands())
		own.RemoveCommand(below...)
		c.AddCommand(below...)
	}
	root.AddCommand(c)
}

// Main runs a command line and gives the exit status. The first interrupt
// cancels, the second kills.
func Main(root *cobra.Command, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var coded *fault.Error
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(root.ErrOrStderr(), "interrupted")
		return 130
	case !errors.As(err, &coded) && strings.HasPrefix(err.Error(), "unknown command"):
		err = fault.New(fault.Invalid, "%s (see backfleet --help)", err)
	}
	fmt.Fprintln(root.ErrOrStderr(), "Error:", strings.TrimSpace(err.Error()))
	return fault.ExitCode(err)
}

// group is a command that only holds others.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fault.New(fault.Invalid, "unknown command %q for %q: expected %s", args[0], c.CommandPath(), commandNames(c))
			}
			return c.Help()
		},
	}
	var examples []string
	for _, b := range below {
		first, _, _ := strings.Cut(b.Example, "\n")
		examples = append(examples, first)
	}
	c.Example = strings.Join(examples, "\n")
	c.AddCommand(below...)
	return c
}

func commandNames(c *cobra.Command) string {
	var all []string
	for _, b := range c.Commands() {
		all = append(all, b.Name())
	}
	return strings.Join(all, ", ")
}

// exactly asks for the arguments that the usage names.
func exactly(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return fault.New(fault.Invalid, "%d arguments were given: expected `%s`", len(args), c.UseLine())
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program",
		Example: "  backfleet version",
		Args:    exactly(0),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.Out, "backfleet %s %s %s/%s\n", a.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
