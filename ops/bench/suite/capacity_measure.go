package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
	"backfleet/pkg/calendar"
)

// spent is what the coordinators have used since a moment.
type spent struct {
	leader, follower float64 // processor seconds; of one follower
	all              float64 // of all together
	disk             float64 // bytes written, of one coordinator
	entries          float64
	seconds          float64
}

// meter measures a cluster whose leader stays the same.
type meter struct {
	c      *cluster
	leader *fleet.Process
	at     time.Time
	used   map[string]float64
	disk   map[string]float64
	index  float64
}

func (c *cluster) meter(ctx context.Context) (*meter, error) {
	leader, _, err := c.leads(ctx)
	if err != nil {
		return nil, err
	}
	m := &meter{c: c, leader: leader}
	return m, m.reset(ctx)
}

func (m *meter) reset(ctx context.Context) error {
	m.at, m.used, m.disk = time.Now(), map[string]float64{}, map[string]float64{}
	for _, p := range m.c.Coordinators {
		m.used[p.Name], m.disk[p.Name] = processorSeconds(p.Pid()), bytesWritten(p.Pid())
	}
	s, err := m.c.client.Cluster(ctx)
	if err == nil {
		m.index = float64(s.AppliedIndex)
	}
	return err
}

func (m *meter) read(ctx context.Context) (spent, error) {
	s := spent{seconds: time.Since(m.at).Seconds()}
	for _, p := range m.c.Coordinators {
		used := processorSeconds(p.Pid()) - m.used[p.Name]
		s.all += used
		s.disk += (bytesWritten(p.Pid()) - m.disk[p.Name]) / float64(len(m.c.Coordinators))
		if p == m.leader {
			s.leader = used
		} else {
			s.follower += used / float64(len(m.c.Coordinators)-1)
		}
	}
	status, err := m.c.client.Cluster(ctx)
	if err != nil {
		return s, err
	}
	if status.Leader != m.leader.Name {
		return s, fmt.Errorf("from %s to %s: %w", m.leader.Name, status.Leader, errLeaderMoved)
	}
	s.entries = float64(status.AppliedIndex) - m.index
	return s, nil
}

// bytesWritten is what a process has had written to disk.
func bytesWritten(pid int) float64 {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/io")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "write_bytes:"); ok {
			v, _ := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			return v
		}
	}
	return 0
}

const simulatedNodes = 1000

// applySimulated makes the nodes of simulated work known, and one that writes.
func (c *cluster) applySimulated(ctx context.Context) error {
	nodes := graph(simulatedNodes, 1, func(int) string { return ":" })
	for i := range nodes {
		nodes[i].ResourceGroup = soakGroup
	}
	nodes = append(nodes,
		v1.Node{ID: "writes", Name: "writes", Owner: "bench", Type: "shell", Code: "seq 1 500\n"},
		v1.Node{ID: "silent", Name: "silent", Owner: "bench", Type: "shell", Code: "seq 1 500 >/dev/null\n"})
	return c.apply(ctx, nodes)
}

// calibrate measures all costs on a cluster of three.
func (r *run) calibrate(ctx context.Context, instanceBytes float64) (_ *costs, err error) {
	out := &costs{InstanceBytes: instanceBytes}
	if instanceBytes == 0 {
		r.o.nodes, r.o.dates, r.o.rounds = 1000, 1000, 1
		if err := measureMemory(ctx, r); err != nil {
			return nil, err
		}
		out.InstanceBytes = weighs(r.figures)
	}
	c, err := r.cluster(ctx, 1, 16)
	if err != nil {
		return nil, err
	}
	defer func() { err = c.close(err) }()
	if err := c.applySimulated(ctx); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context, *cluster, *costs) error{
		r.calibrateIdle, r.calibrateAgents, r.calibrateFull, r.calibrateSparse, r.calibrateReads, r.calibrateOutput, r.calibratePlans,
	} {
		err := step(ctx, c, out)
		for try := 1; try < mostTries && errors.Is(err, errLeaderMoved); try++ {
			r.say("capacity: once more: %v", err)
			err = step(ctx, c, out)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// errLeaderMoved: what was measured belongs to nobody. On a machine busy with
// other things it happens, and the step is done again.
var errLeaderMoved = errors.New("leadership moved while it was measured")

const mostTries = 4

func (r *run) calibrateIdle(ctx context.Context, c *cluster, out *costs) error {
	m, err := c.meter(ctx)
	if err != nil {
		return err
	}
	if err := pause(ctx, 5*time.Second); err != nil {
		return err
	}
	s, err := m.read(ctx)
	if err != nil {
		return err
	}
	out.BaseMicros, out.BaseMB = s.leader*1e6/s.seconds, residentMB(m.leader.Pid())
	out.BaseFiles = openFiles(m.leader.Pid())
	r.say("capacity: idle: %.0f µs a second, %.0f MB", out.BaseMicros, out.BaseMB)
	return nil
}

// calibrateAgents connects agents that have nothing to do.
func (r *run) calibrateAgents(ctx context.Context, c *cluster, out *costs) error {
	const n = 1000
	end, err := r.connect(ctx, c, &simulation{agents: n, slots: 2, group: "idle", prefix: "idle", ramp: 5 * time.Second})
	if err != nil {
		return err
	}
	defer end()
	m, err := c.meter(ctx)
	if err != nil {
		return err
	}
	out.AgentKB = (residentMB(m.leader.Pid()) - out.BaseMB) * 1024 / n
	out.FilesOfAgent = max(1, (openFiles(m.leader.Pid())-out.BaseFiles)/n)
	if err := pause(ctx, 12*time.Second); err != nil {
		return err
	}
	s, err := m.read(ctx)
	if err != nil {
		return err
	}
	out.AgentMicros = max(0.1, (s.leader*1e6/s.seconds-out.BaseMicros)/n)
	r.say("capacity: an idle agent: %.1f µs a second, %.1f kB", out.AgentMicros, out.AgentKB)
	return nil
}

// connect starts a simulation and waits until all its agents are welcome.
func (r *run) connect(ctx context.Context, c *cluster, s *simulation) (end func(), err error) {
	status, err := c.client.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	for _, server := range status.Servers {
		s.coordinators = append(s.coordinators, server.RPCAddress)
	}
	inner, cancel := context.WithCancel(ctx)
	came := make(chan struct{}, s.agents)
	s.onWelcome = func(time.Time) {
		select {
		case came <- struct{}{}:
		default:
		}
	}
	wait := s.start(inner)
	end = func() {
		cancel()
		wait()
	}
	patience := time.After(2 * time.Minute)
	for i := range s.agents {
		select {
		case <-came:
		case <-ctx.Done():
			end()
			return nil, ctx.Err()
		case <-patience:
			end()
			return nil, fmt.Errorf("after two minutes %d of %d agents are connected", i, s.agents)
		}
	}
	return end, nil
}

// plan runs a plan of simulated work to its end.
func (c *cluster) plan(ctx context.Context, year, dates int, running int32) error {
	from := calendar.DateOf(year, 1, 1)
	sub, err := c.client.Submit(ctx, v1.BackfillRequest{
		Mode: v1.ModeDescendants, Root: nodeID(0), Groups: 10, Gate: v1.GateNone, MaxRunning: running,
		Dates: []v1.DateRangeText{from.String() + ".." + (from + calendar.Date(dates-1)).String()},
	}, "")
	if err != nil {
		return err
	}
	_, err = c.finished(ctx, sub.ID)
	return err
}

func (r *run) calibrateFull(ctx context.Context, c *cluster, out *costs) error {
	const dates = 200
	t := &traffic{}
	end, err := r.connect(ctx, c, &simulation{agents: 4, slots: 4000, group: soakGroup, prefix: "full", traffic: t})
	if err != nil {
		return err
	}
	defer end()
	m, err := c.meter(ctx)
	if err != nil {
		return err
	}
	if err := c.plan(ctx, 2000, dates, 0); err != nil {
		return err
	}
	s, err := m.read(ctx)
	if err != nil {
		return err
	}
	const n = dates * simulatedNodes
	out.LeaderMicros, out.FollowerMicros = s.leader*1e6/n, s.follower*1e6/n
	out.EntryInstances, out.DiskBytes = n/max(1, s.entries), s.disk/n
	out.WireBytes = float64(t.bytes.Load()) / n
	r.say("capacity: full turns: %.0f /s, leader %.1f µs, follower %.1f µs, %.0f B on disk, %.0f B to agents", n/s.seconds, out.LeaderMicros, out.FollowerMicros, out.DiskBytes, out.WireBytes)
	return nil
}

// The sparse work of calibration and check alike: so many at once, each taking
// so long.
const (
	sparseRunning = 1000
	sparseTakes   = 2 * time.Second
	sparseDates   = 10
)

func (r *run) calibrateSparse(ctx context.Context, c *cluster, out *costs) error {
	end, err := r.connect(ctx, c, &simulation{agents: 100, slots: 20, group: soakGroup, prefix: "sparse", takes: spread(sparseTakes)})
	if err != nil {
		return err
	}
	defer end()
	m, err := c.meter(ctx)
	if err != nil {
		return err
	}
	if err := c.plan(ctx, 2005, sparseDates, sparseRunning); err != nil {
		return err
	}
	s, err := m.read(ctx)
	if err != nil {
		return err
	}
	const n = sparseDates * simulatedNodes
	out.SparseMicros = (s.leader*1e6 - s.seconds*(out.BaseMicros+100*out.AgentMicros)) / n
	out.SparseFollower = s.follower * 1e6 / n
	r.say("capacity: sparse work: %.0f /s, leader %.0f µs, follower %.0f µs", n/s.seconds, out.SparseMicros, out.SparseFollower)
	return nil
}

func (r *run) calibrateReads(ctx context.Context, c *cluster, out *costs) error {
	const n = 300
	m, err := c.meter(ctx)
	if err != nil {
		return err
	}
	_, direct, err := c.leads(ctx)
	if err != nil {
		return err
	}
	for i := range n {
		if i%2 == 0 {
			_, err = direct.Backfills(ctx, &v1.ListBackfillsParams{Limit: 50})
		} else {
			_, err = direct.Backfill(ctx, "b1")
		}
		if err != nil {
			return err
		}
	}
	s, err := m.read(ctx)
	out.ReadMicros = max(1, (s.leader*1e6-s.seconds*out.BaseMicros)/n)
	r.say("capacity: a read: %.0f µs", out.ReadMicros)
	return err
}

// calibrateOutput runs the same code twice, once without its output.
func (r *run) calibrateOutput(ctx context.Context, c *cluster, out *costs) error {
	silent, err := r.processes(ctx, c, out, "silent")
	if err != nil {
		return err
	}
	writes, err := r.processes(ctx, c, out, "writes")
	if err != nil {
		return err
	}
	out.OutputMicros = max(0, writes.all-silent.all) * 1e6 / processes
	out.OutputBytes = max(0, writes.disk-silent.disk) / processes
	r.say("capacity: an attempt with output: %.0f µs and %.0f B besides (%.0f µs without; of all coordinators together)", out.OutputMicros, out.OutputBytes, silent.all*1e6/processes)
	return nil
}

// processes is how many real ones tell what output costs.
const processes = 2000

// processes runs so many of a node, and gives what they took beyond idleness.
func (r *run) processes(ctx context.Context, c *cluster, out *costs, node string) (s spent, err error) {
	m, err := c.meter(ctx)
	if err != nil {
		return s, err
	}
	from := calendar.DateOf(2000, 1, 1)
	sub, err := c.client.Submit(ctx, v1.BackfillRequest{
		Mode: v1.ModeCurrent, Root: node, Groups: 10, Gate: v1.GateNone,
		Dates: []v1.DateRangeText{from.String() + ".." + (from + processes - 1).String()},
	}, "")
	if err != nil {
		return s, err
	}
	if _, err := c.finished(ctx, sub.ID); err != nil {
		return s, err
	}
	if err := pause(ctx, 2*time.Second); err != nil { // logs follow
		return s, err
	}
	s, err = m.read(ctx)
	s.all -= s.seconds * 2 * out.BaseMicros / 1e6 // a follower takes about half of what a leader does
	return s, err
}

func (r *run) calibratePlans(ctx context.Context, c *cluster, out *costs) error {
	const n = 300
	leader, direct, err := c.leads(ctx)
	if err != nil {
		return err
	}
	before := residentMB(leader.Pid())
	later := time.Now().Add(24 * time.Hour)
	for i := range n {
		d := calendar.DateOf(2015, 1, 1) + calendar.Date(i)
		if _, err := direct.Submit(ctx, v1.BackfillRequest{Mode: v1.ModeCurrent, Root: "writes", NotBefore: &later, Dates: []v1.DateRangeText{d.String()}}, ""); err != nil {
			return err
		}
	}
	out.PlanKB = max(1, (residentMB(leader.Pid())-before)*1024/n)
	r.say("capacity: a small plan: at most %.1f kB", out.PlanKB)
	return nil
}

// usualLease is the coordinators' default, under which an idle agent was
// measured; what it costs is its renewals, a fifth of a lease apart.
const usualLease = 15 * time.Second

// checkCapacity holds what the costs predict for many agents against what a
// cluster takes.
func (r *run) checkCapacity(ctx context.Context, c *costs, agents int, lease time.Duration, out io.Writer) (err error) {
	if err := enoughFiles(agents); err != nil {
		return err
	}
	cl, err := r.cluster(ctx, 0, 0, "--lease", lease.String())
	if err != nil {
		return err
	}
	defer func() { err = cl.close(err) }()
	if err := cl.applySimulated(ctx); err != nil {
		return err
	}
	ledger := newLedger()
	began := time.Now()
	end, err := r.connect(ctx, cl, &simulation{agents: agents, slots: 2, group: soakGroup, prefix: "many", ramp: 20 * time.Second, takes: spread(sparseTakes), ledger: ledger})
	if err != nil {
		return err
	}
	defer end()
	r.say("capacity: %d agents connected in %.0f s; they renew a fifth of %s apart", agents, time.Since(began).Seconds(), lease)
	m, err := cl.meter(ctx)
	if err != nil {
		return err
	}
	if err := cl.plan(ctx, 2000, 2*sparseDates, sparseRunning); err != nil {
		return err
	}
	s, err := m.read(ctx)
	if err != nil {
		return err
	}
	const n = 2 * sparseDates * simulatedNodes
	rate := n / s.seconds
	t := table.NewWriter()
	t.AppendHeader(table.Row{fmt.Sprintf("%d agents, %d instances", agents, n), "predicted", "measured", "error"})
	for _, row := range []struct {
		what                string
		predicted, measured float64
		unit                string
	}{
		{"instances a second (so many at once over how long each takes)", float64(sparseRunning) / sparseTakes.Seconds(), rate, "/s"},
		{"leader, cores", (c.BaseMicros + float64(agents)*c.AgentMicros*usualLease.Seconds()/lease.Seconds() + rate*c.SparseMicros) / 1e6, s.leader / s.seconds, "cores"},
		{"follower, cores", rate * c.SparseFollower / 1e6, s.follower / s.seconds, "cores"},
		{"leader, memory", c.BaseMB + float64(agents)*c.AgentKB/1024 + n*c.InstanceBytes/(1<<20), residentMB(m.leader.Pid()), "MB"},
		{"leader, open files", c.BaseFiles + float64(agents)*c.FilesOfAgent, openFiles(m.leader.Pid()), "files"},
	} {
		t.AppendRow(table.Row{row.what, number(row.predicted, row.unit), number(row.measured, row.unit), fmt.Sprintf("%+.0f %%", (row.predicted/row.measured-1)*100)})
	}
	fmt.Fprintln(out)
	t.SetOutputMirror(out)
	t.SetStyle(table.StyleLight)
	t.Render()
	if a := ledger.audit(1); !a.Once(n) {
		return fmt.Errorf("not every instance happened once: %+v of %d", a, n)
	}
	return nil
}

func openFiles(pid int) float64 {
	list, _ := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	return float64(len(list))
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
