package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"backfleet/pkg/fault"
)

// costs are what things take of a coordinator, as measured. CAPACITY.md says
// how each comes about.
type costs struct {
	LeaderMicros       float64 `json:"leaderMicros"`   // processor time an instance, leased and finished, in full turns
	FollowerMicros     float64 `json:"followerMicros"` // the same of one follower
	SparseMicros       float64 `json:"sparseMicros"`   // of the leader, in turns of a few instances
	SparseFollower     float64 `json:"sparseFollower"`
	EntryInstances     float64 `json:"entryInstances"` // in an entry of the log, when turns are full
	DiskBytes          float64 `json:"diskBytes"`      // written by a coordinator, an instance
	WireBytes          float64 `json:"wireBytes"`      // between leader and agents, an instance
	OutputMicros       float64 `json:"outputMicros"`   // of all coordinators together, an attempt with output, besides
	OutputBytes        float64 `json:"outputBytes"`    // written by a coordinator, an attempt with output, besides
	AgentMicros        float64 `json:"agentMicros"`    // of the leader, a second of one idle agent
	AgentKB            float64 `json:"agentKB"`        // of the leader's memory, an agent
	ReadMicros         float64 `json:"readMicros"`     // of the leader, a read of the API
	InstanceBytes      float64 `json:"instanceBytes"`  // of memory, finished once
	PlanKB             float64 `json:"planKB"`         // of memory, a small plan
	BaseMB             float64 `json:"baseMB"`         // of memory, a coordinator without work
	BaseMicros         float64 `json:"baseMicros"`     // of the leader, a second without work
	FilesOfAgent       float64 `json:"filesOfAgent"`   // of the leader, an agent
	BaseFiles          float64 `json:"baseFiles"`
	MeasuredAt, Commit string
}

// site is where coordinators are to run; each on a machine of its own.
type site struct {
	coordinators, cores int
	fsyncMs             float64
	diskMBs, networkMBs float64
	memoryGB            float64 // of each coordinator's machine
	files               float64 // open files allowed
	keepDays            float64
	outputs             float64 // share of attempts that write something
	readsPerSecond      float64
	agents              float64 // connected
}

// The assumptions; none of them is measured here. CAPACITY.md gives reasons.
const (
	turnShare      = 0.7 // of the leader's time for an instance that is in the one turn loop
	extraFollower  = 0.1 // of the leader's time for an instance, for each follower beyond two
	usableCores    = 0.8 // of a machine, before waiting times grow
	usableMemory   = 0.5 // of a machine's memory: the collector's slack and a snapshot besides
	sustainedShare = 0.6 // of the peak, over a day
	agentsCores    = 0.3 // of the usable cores, for renewals
)

// limit is a bound of something, by what bounds it.
type limit struct {
	by    string
	value float64
}

// first gives the two lowest limits.
func first(all ...limit) (lowest, next limit) {
	for _, l := range all {
		switch {
		case lowest.by == "" || l.value < lowest.value:
			lowest, next = l, lowest
		case next.by == "" || l.value < next.value:
			next = l
		}
	}
	return lowest, next
}

// peak bounds instances a second.
func (c *costs) peak(s site) (lowest, next limit) {
	leader := c.LeaderMicros*(1+extraFollower*float64(s.coordinators-3)) + s.outputs*c.OutputMicros
	besides := c.BaseMicros + s.agents*c.AgentMicros + s.readsPerSecond*c.ReadMicros
	disk := c.DiskBytes + s.outputs*c.OutputBytes
	network := c.WireBytes + float64(s.coordinators-1)*disk
	return first(
		limit{"the turn loop, one core", 1e6 / (c.LeaderMicros * turnShare)},
		limit{"the leader's cores", max(0, float64(s.cores)*usableCores*1e6-besides) / leader},
		limit{"fsyncs", 1000 / s.fsyncMs * c.EntryInstances},
		limit{"disk bandwidth", s.diskMBs * 1e6 / disk},
		limit{"the leader's network", s.networkMBs * 1e6 / network},
	)
}

func (c *costs) live(s site) float64 {
	return max(0, s.memoryGB*usableMemory*(1<<30)-c.BaseMB*(1<<20)-s.agents*c.AgentKB*1024) / c.InstanceBytes
}

// daily bounds instances a day, kept as long as plans are.
func (c *costs) daily(s site) (lowest, next limit) {
	peak, second := c.peak(s)
	return first(
		limit{peak.by, peak.value * sustainedShare * 86400}, limit{second.by, second.value * sustainedShare * 86400},
		limit{fmt.Sprintf("memory, with plans kept %.0f days", s.keepDays), c.live(s) / s.keepDays},
	)
}

func (c *costs) mostAgents(s site) (lowest, next limit) {
	return first(
		limit{"the leader's cores", max(0, float64(s.cores)*usableCores*agentsCores*1e6-c.BaseMicros) / c.AgentMicros},
		limit{"memory", s.memoryGB * usableMemory * (1 << 20) / 2 / c.AgentKB},
		limit{"open files", (s.files - c.BaseFiles) / c.FilesOfAgent},
	)
}

type capacityOptions struct {
	input, output string
	site          site
	perCore       float64 // GB
	agents        int     // of the check
	check         bool
	lease         time.Duration // of the check
	dir, binary   string
}

func capacityCommand() *cobra.Command {
	o := capacityOptions{}
	cmd := &cobra.Command{
		Use:   "capacity",
		Short: "What a cluster carries, from measured costs, checked against ten thousand agents",
		Long: "Costs are measured here, or read from the file of an earlier run (-i); of a bench's figures in such a file the\n" +
			"memory of an instance is taken. From them follows a table of what three and five coordinators carry, and which\n" +
			"limit comes first. CAPACITY.md says how, and what is assumed.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := &run{errOut: cmd.ErrOrStderr(), started: time.Now()}
			return r.capacity(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.input, "input", "i", "", "`file` with costs of an earlier run, or with figures of a bench")
	f.StringVarP(&o.output, "output", "o", "", "also write the costs to this `file`, as JSON")
	f.Float64Var(&o.site.fsyncMs, "fsync-ms", 1, "what an fsync takes there")
	f.Float64Var(&o.site.diskMBs, "disk", 200, "MB/s that the disk writes there")
	f.Float64Var(&o.site.networkMBs, "network", 1000, "MB/s that the network carries there")
	f.Float64Var(&o.perCore, "memory-per-core", 4, "GB of memory there, for each core")
	f.Float64Var(&o.site.files, "files", 1<<19, "open files that a coordinator is allowed there")
	f.Float64Var(&o.site.keepDays, "keep-days", 30, "how long plans are kept")
	f.Float64Var(&o.site.outputs, "outputs", 0.5, "share of attempts that write something")
	f.Float64Var(&o.site.readsPerSecond, "reads", 50, "reads of the API a second")
	f.Float64Var(&o.site.agents, "connected", 1000, "agents connected, for instances a second and a day")
	f.IntVar(&o.agents, "agents", 10_000, "simulated agents of the check")
	f.DurationVar(&o.lease, "lease", 90*time.Second, "their lease in the check; longer ones are renewed less often, and so many agents share this machine with the coordinators")
	f.BoolVar(&o.check, "check", true, "check the costs against these agents")
	f.StringVar(&o.dir, "dir", "", "`folder` for the temporary one (default: the system's)")
	f.StringVar(&o.binary, "binary", "", "backfleet binary (default: built from this module)")
	return cmd
}

func (r *run) capacity(ctx context.Context, o capacityOptions, out io.Writer) (err error) {
	r.o.binary = o.binary
	if r.dir, err = os.MkdirTemp(o.dir, "backfleet-capacity-"); err != nil {
		return fault.Wrap(err, fault.Invalid, "--dir: a temporary folder cannot be made")
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.dir)) }()
	c, instanceBytes, err := readCosts(o.input)
	if err != nil {
		return err
	}
	if c == nil {
		if c, err = r.calibrate(ctx, instanceBytes); err != nil {
			return err
		}
		c.Commit, c.MeasuredAt = commit(), time.Now().UTC().Format(time.RFC3339)
	}
	if o.output != "" {
		data, err := json.MarshalIndent(c, "", "  ")
		if err == nil {
			err = os.WriteFile(o.output, append(data, '\n'), 0o666)
		}
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "--output: the costs cannot be written")
		}
	}
	c.print(out)
	c.table(o, out)
	if !o.check {
		return nil
	}
	return r.checkCapacity(ctx, c, o.agents, o.lease, out)
}

// readCosts reads costs, or of a bench's figures what an instance weighs.
func readCosts(path string) (c *costs, instanceBytes float64, err error) {
	if path == "" {
		return nil, 0, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, fault.Wrap(err, fault.Invalid, "--input: cannot be read")
	}
	c = &costs{}
	var figures Report
	if err := errors.Join(json.Unmarshal(data, c), json.Unmarshal(data, &figures)); err != nil {
		return nil, 0, fault.Wrap(err, fault.Invalid, "--input %s: expected costs or figures, as JSON", path)
	}
	if c.LeaderMicros > 0 {
		return c, 0, nil
	}
	if v := weighs(figures.Figures); v > 0 {
		return nil, v, nil
	}
	return nil, 0, fault.New(fault.Invalid, "--input %s: neither costs nor the figures of the row memory are in it", path)
}

// weighs finds what a finished instance weighs.
func weighs(figures []Figure) float64 {
	for _, f := range figures {
		if f.Row == "memory" && f.Unit == "B/instance" && strings.HasPrefix(f.What, "all finished once") {
			return f.Value
		}
	}
	return 0
}

func (c *costs) print(out io.Writer) {
	t := table.NewWriter()
	t.AppendHeader(table.Row{"what it takes", "figure"})
	for _, row := range []struct {
		what  string
		value float64
		unit  string
	}{
		{"leader: an instance leased and finished, in full turns", c.LeaderMicros, "µs"},
		{"follower: the same", c.FollowerMicros, "µs"},
		{"leader: the same in turns of a few instances", c.SparseMicros, "µs"},
		{"follower: the same", c.SparseFollower, "µs"},
		{"instances in an entry of the log, full turns", c.EntryInstances, "instances"},
		{"written to disk by a coordinator, an instance", c.DiskBytes, "B"},
		{"between leader and agents, an instance", c.WireBytes, "B"},
		{"an attempt with output, besides, on all coordinators together", c.OutputMicros, "µs"},
		{"written to disk by a coordinator for it, besides", c.OutputBytes, "B"},
		{"leader: a second of an idle agent", c.AgentMicros, "µs"},
		{"leader: memory of an agent", c.AgentKB, "kB"},
		{"leader: a read of the API", c.ReadMicros, "µs"},
		{"memory of an instance, finished once", c.InstanceBytes, "B"},
		{"memory of a small plan", c.PlanKB, "kB"},
		{"memory of a coordinator without work", c.BaseMB, "MB"},
		{"leader: a second without work", c.BaseMicros, "µs"},
	} {
		t.AppendRow(table.Row{row.what, number(row.value, row.unit)})
	}
	t.SetOutputMirror(out)
	t.SetStyle(table.StyleLight)
	t.Render()
}

func (c *costs) table(o capacityOptions, out io.Writer) {
	t := table.NewWriter()
	t.AppendHeader(table.Row{"coordinators", "cores", "peak", "first limit", "next", "a day", "first limit", "next", "agents", "first limit", "live instances", "small plans"})
	for _, n := range []int{3, 5} {
		for _, cores := range []int{2, 4, 8, 16} {
			s := o.site
			s.coordinators, s.cores, s.memoryGB = n, cores, o.perCore*float64(cores)
			p, pn := c.peak(s)
			d, dn := c.daily(s)
			a, an := c.mostAgents(s)
			then := func(l limit, unit string) string { return fmt.Sprintf("%s: %s", l.by, number(l.value, unit)) }
			t.AppendRow(table.Row{
				n, cores, number(p.value, "/s"), p.by, then(pn, "/s"), number(d.value/1e6, "million"), d.by, then(limit{dn.by, dn.value / 1e6}, "million"),
				number(a.value, ""), a.by + "; " + then(an, ""), number(c.live(s)/1e6, "million"), number(s.memoryGB*usableMemory*(1<<20)/c.PlanKB, ""),
			})
		}
		t.AppendSeparator()
	}
	fmt.Fprintf(out, "\nEach coordinator on a machine of its own: fsync %g ms, disk %g MB/s, network %g MB/s, %g GB a core; %g agents connected,\n%g %% of attempts write, %g reads a second, plans kept %g days.\n",
		o.site.fsyncMs, o.site.diskMBs, o.site.networkMBs, o.perCore, o.site.agents, o.site.outputs*100, o.site.readsPerSecond, o.site.keepDays)
	t.SetOutputMirror(out)
	t.SetStyle(table.StyleLight)
	t.Render()
}

// enoughFiles refuses more agents than this process may have files for.
func enoughFiles(agents int) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	if need := uint64(agents + 500); need > l.Max {
		return fault.New(fault.Invalid, "%d agents need %d open files in a process, and %d are allowed: raise it (ulimit -Hn), or choose fewer with --agents", agents, need, l.Max)
	}
	return nil
}
