// Package suite measures Backfleet from outside, with real processes, sockets
// and disks, and puts every figure beside what the machine allows at most:
// a bound measured in the same run, by the barest program that could do the
// work. Figures of a shared machine differ from day to day; their ratios to the
// bound differ little.
package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"backfleet/pkg/fault"
)

// options are the flags. Sizes of 0 are filled in by complete.
type options struct {
	quick, full  bool
	output       string
	results      string
	dir          string
	binary       string
	profile      string
	rounds       int
	nodes        int // of the large backfill
	dates        int
	cycleDates   int // of the plan of one minutely node
	recoverDates int // of the plan that is worked on
	plans        int // large backfills known at once
	idlers       int // agents connected with nothing to do
	noops        int
	agents       int
	slots        int // of each simulated agent
	shells       int
	shellSlots   int
	links        int // of the chain, for all rounds together
	kills        int
	idle         time.Duration
}

// complete fills in what was not given: small for --quick, large for --full.
func (o *options) complete() {
	or := func(field *int, quick, normal, full int) {
		switch {
		case *field != 0:
		case o.quick:
			*field = quick
		case o.full:
			*field = full
		default:
			*field = normal
		}
	}
	or(&o.rounds, 1, 3, 5)
	or(&o.nodes, 1_000, 10_000, 10_000)
	or(&o.dates, 100, 1_000, 1_000)
	or(&o.cycleDates, 100, 3_650, 3_650)
	or(&o.recoverDates, 2_000, 1_000, 1_000)
	or(&o.plans, 10, 100, 100)
	or(&o.idlers, 100, 1_000, 1_000)
	or(&o.noops, 20_000, 1_000_000, 1_000_000)
	or(&o.agents, 2, 4, 4)
	or(&o.slots, 4_000, 4_000, 4_000)
	or(&o.shells, 1_000, 4_000, 20_000)
	or(&o.shellSlots, 16, 16, 16)
	or(&o.links, 100, 500, 2_000)
	or(&o.kills, 2, 10, 30)
	if o.idle == 0 {
		o.idle = 20 * time.Second
		if o.quick {
			o.idle = 3 * time.Second
		}
	}
}

// row is one line of the promises and how it is measured.
type row struct {
	name, about string
	measure     func(ctx context.Context, r *run) error
}

var rows = []row{
	{"accept", "a backfill of ten million instances, from request to durable answer, and the API beside it", measureAccept},
	{"memory", "the state of ten million instances: bytes, snapshot, restore", measureMemory},
	{"noop", "instances leased and finished by simulated agents", measureNoop},
	{"shell", "real processes of one agent", measureShell},
	{"scale", "ten thousand nodes in a call, a hundred large backfills, a thousand agents, over the API", measureScale},
	{"handoff", "end of an upstream to start of what waits for it", measureHandoff},
	{"failover", "kill -9 of the leader to the next lease", measureFailover},
	{"recover", "a snapshot installed and all coordinators killed, in the middle of ten million instances", measureRecover},
	{"idle", "memory and processor of a cluster that has nothing to do", measureIdle},
}

// run is one run of the suite.
type run struct {
	o       options
	dir     string // temporary, on the disk to measure
	binary  string
	errOut  io.Writer
	figures []Figure
	started time.Time
	profile *os.File // of this process, while it is written
}

// say tells of progress.
func (r *run) say(format string, args ...any) {
	fmt.Fprintf(r.errOut, "%7.1fs  %s\n", time.Since(r.started).Seconds(), fmt.Sprintf(format, args...))
}

func (r *run) add(f Figure) {
	f.finish()
	r.figures = append(r.figures, f)
	r.say("%s: %s: %s", f.Row, f.What, f.text())
}

// Main runs a command line and gives the exit status.
func Main(args []string) int {
	if role := os.Getenv(roleVariable); role != "" {
		return play(role, args)
	}
	// Whatever ends it, nothing may be left behind. A reader that went away
	// (`bench | head`) ends nothing: the signal also comes from a socket whose
	// coordinator was killed.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	cmd := newCommand()
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	return fault.ExitCode(err)
}

func newCommand() *cobra.Command {
	var o options
	var about strings.Builder
	for _, w := range rows {
		fmt.Fprintf(&about, "  %-9s %s\n", w.name, w.about)
	}
	cmd := &cobra.Command{
		Use:   "bench [ROW…]",
		Short: "Measure Backfleet, each figure beside the bound of this machine",
		Long: "Measure Backfleet, each figure beside the bound of this machine. The rows, all when none is named:\n\n" +
			about.String() + "\nA table goes to standard output, progress to standard error. Everything runs in a\ntemporary folder on the loopback and is gone afterwards.",
		Example:      "  bench --quick\n  bench noop shell --rounds 5 -o figures.json",
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Args = cobra.ArbitraryArgs // rows are not commands
	cmd.AddCommand(soakCommand(), capacityCommand())
	f := cmd.Flags()
	f.BoolVar(&o.quick, "quick", false, "small sizes and one round: a minute, to see that it works")
	f.BoolVar(&o.full, "full", false, "the sizes of the promises: an hour")
	f.StringVarP(&o.output, "output", "o", "", "also write the figures as JSON: to this `file`, or when it ends in a slash, to a new one in this folder")
	f.StringVar(&o.results, "results", "", "also append a section with the figures to this Markdown `file`")
	f.StringVar(&o.dir, "dir", "", "`folder` for the temporary one; its disk is the one measured (default: the system's)")
	f.StringVar(&o.binary, "binary", "", "backfleet binary to measure (default: built from this module)")
	f.StringVar(&o.profile, "profile", "", "write CPU profiles of every process to this `folder`; the figures suffer a little")
	f.IntVar(&o.rounds, "rounds", 0, "rounds whose median is shown")
	f.IntVar(&o.nodes, "nodes", 0, "accept, memory, scale: nodes of a large backfill")
	f.IntVar(&o.dates, "dates", 0, "accept, memory, scale: dates of a large backfill")
	f.IntVar(&o.cycleDates, "cycle-dates", 0, "scale: dates of the plan of one minutely node")
	f.IntVar(&o.recoverDates, "recover-dates", 0, "recover: dates of the backfill that is under way")
	f.IntVar(&o.plans, "plans", 0, "scale: large backfills known at once")
	f.IntVar(&o.idlers, "idlers", 0, "scale: agents with nothing to do")
	f.IntVar(&o.noops, "noops", 0, "noop: instances of a round")
	f.IntVar(&o.agents, "agents", 0, "noop: simulated agents")
	f.IntVar(&o.slots, "slots", 0, "noop: slots of each")
	f.IntVar(&o.shells, "shells", 0, "shell: instances of a round")
	f.IntVar(&o.shellSlots, "shell-slots", 0, "shell: slots of the agent")
	f.IntVar(&o.links, "links", 0, "handoff: links measured")
	f.IntVar(&o.kills, "kills", 0, "failover: leaders killed")
	f.DurationVar(&o.idle, "idle", 0, "idle, scale: how long to watch what does nothing")
	return cmd
}

func (o options) run(ctx context.Context, names []string, out, errOut io.Writer) (err error) {
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	o.complete()
	r := &run{o: o, errOut: errOut, started: time.Now()}
	if r.dir, err = os.MkdirTemp(o.dir, "backfleet-bench-"); err != nil {
		return fault.Wrap(err, fault.Invalid, "--dir: a temporary folder cannot be made")
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.dir)) }()
	if err := r.profileSelf(); err != nil {
		return err
	}
	defer r.stopProfile()
	report := &Report{Machine: describeMachine(r.dir), At: time.Now().UTC().Truncate(time.Second), Commit: commit()}
	var failed []error
	for _, w := range chosen {
		r.say("%s: %s", w.name, w.about)
		if err := r.one(ctx, w); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", w.name, err))
			report.Failed = append(report.Failed, RowError{Row: w.name, Error: err.Error()})
			r.say("%s: %v", w.name, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	report.Figures, report.Seconds, report.LoadAfter = r.figures, time.Since(r.started).Seconds(), loadAverage()
	return errors.Join(append(failed, report.write(o, out))...)
}

// rowWithin bounds a row, so that one that hangs does not cost the others.
const rowWithin = 5 * time.Minute

func (r *run) one(ctx context.Context, w row) error {
	if !r.o.full {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, rowWithin, fmt.Errorf("the row took longer than %v", rowWithin))
		defer cancel()
	}
	start := time.Now()
	err := w.measure(ctx, r)
	r.say("%s: took %.0f s", w.name, time.Since(start).Seconds())
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

func choose(names []string) ([]row, error) {
	if len(names) == 0 {
		return rows, nil
	}
	var out []row
	for _, w := range rows {
		if slices.Contains(names, w.name) {
			out = append(out, w)
		}
	}
	for _, n := range names {
		if !slices.ContainsFunc(rows, func(w row) bool { return w.name == n }) {
			return nil, fault.New(fault.Invalid, "row %q: there is none of that name: `bench --help` lists them", n)
		}
	}
	return out, nil
}
