package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
	"backfleet/pkg/calendar"
)

// cluster is three coordinators, and agents when asked for, each a process.
type cluster struct {
	*fleet.Fleet
	client *client.Client // asks whoever answers
	dir    string
}

// cluster starts one, its coordinators with these flags; end it with close.
func (r *run) cluster(ctx context.Context, agents, slots int, flags ...string) (*cluster, error) {
	if err := r.prepareBinary(ctx); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(r.dir, "fleet")
	if err != nil {
		return nil, err
	}
	f, err := fleet.Start(ctx, fleet.Config{Binary: r.binary, Dir: dir, Coordinators: 3, Agents: agents, Slots: slots, CoordinatorFlags: flags})
	if err != nil {
		return nil, err
	}
	c := &cluster{Fleet: f, dir: dir}
	if c.client, err = f.Client(f.Servers...); err != nil {
		return nil, errors.Join(err, c.close(nil))
	}
	return c, nil
}

// close ends every process and removes what they wrote. It gives err, or what
// went wrong here; with err it says what the processes logged last.
func (c *cluster) close(err error) error {
	stopped := c.Stop(context.Background())
	if err != nil {
		for _, p := range slices.Concat(c.Coordinators, c.Agents) {
			err = fmt.Errorf("%w\n  %s: %s", err, p.Name, lastLine(p.Log))
		}
	}
	return errors.Join(err, stopped, os.RemoveAll(c.dir))
}

func lastLine(path string) string {
	text, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// leads gives the leader's process and a client that asks it alone.
func (c *cluster) leads(ctx context.Context) (*fleet.Process, *client.Client, error) {
	p, err := c.Leader(ctx)
	if err != nil {
		return nil, nil, err
	}
	one, err := c.Client(c.Servers[slices.Index(c.Coordinators, p)])
	return p, one, err
}

// prepareBinary builds the binary once, unless one was given.
func (r *run) prepareBinary(ctx context.Context) error {
	switch {
	case r.binary != "":
		return nil
	case r.o.profile != "":
		return r.profiled()
	case r.o.binary != "":
		path, err := filepath.Abs(r.o.binary)
		r.binary = path
		return err
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	r.say("building the backfleet binary")
	path := filepath.Join(r.dir, "backfleet")
	if err := fleet.Build(ctx, root, path); err != nil {
		return err
	}
	r.binary = path
	return nil
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "backfleet").Output()
	if err != nil {
		return "", fmt.Errorf("the backfleet module is not here (run it with `go run ./ops/bench` in a clone, or give --binary): %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func gitHead() (string, error) {
	out, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	return strings.TrimSpace(string(out)), err
}

// graph is n nodes: the first one, and under it chains of the given length.
func graph(n, length int, code func(i int) string) []v1.Node {
	var out []v1.Node
	for i := range n {
		node := v1.Node{
			ID: nodeID(i), Name: "bench " + strconv.Itoa(i), Owner: "bench", Type: "shell",
			Params: []v1.Assignment{{Name: "bizdate", Value: "$bizdate"}}, Code: code(i),
		}
		switch {
		case i == 0:
		case (i-1)%length == 0:
			node.Upstreams = []v1.Upstream{{Node: nodeID(0)}}
		default:
			node.Upstreams = []v1.Upstream{{Node: nodeID(i - 1)}}
		}
		out = append(out, node)
	}
	return out
}

func nodeID(i int) string { return fmt.Sprintf("bench_%05d", i) }

// apply makes the nodes known, in requests of a thousand.
func (c *cluster) apply(ctx context.Context, nodes []v1.Node) error {
	for part := range slices.Chunk(nodes, 1000) {
		if _, err := c.client.ApplyNodes(ctx, v1.NodeApplication{Nodes: part}); err != nil {
			return err
		}
	}
	return nil
}

// request is a backfill of everything under the first node, over days of which
// no other round has any.
func request(round, dates int) v1.BackfillRequest {
	from := calendar.DateOf(2010, 1, 1) + calendar.Date(round*dates)
	return v1.BackfillRequest{
		Mode: v1.ModeDescendants, Root: nodeID(0), Groups: 10,
		Dates: []v1.DateRangeText{from.String() + ".." + (from + calendar.Date(dates-1)).String()},
	}
}

// finished waits until a backfill has succeeded and says when it did, by the
// leader's clock, which is this machine's: however seldom one looks, the time
// is that of the entry with the last result.
func (c *cluster) finished(ctx context.Context, id string) (time.Time, error) {
	var last v1.BackfillSummary
	err := fleet.Until(ctx, "backfill "+id+" has finished", func(ctx context.Context) (bool, error) {
		b, err := c.client.Backfill(ctx, id)
		if err != nil {
			return false, err
		}
		last = b.Summary
		return last.State == v1.StateSucceeded || last.State == v1.StateFailed, nil
	})
	switch {
	case err != nil:
		return time.Time{}, err
	case last.State == v1.StateFailed:
		return time.Time{}, fmt.Errorf("backfill %s failed: %d instances", id, last.Counts.Failed)
	case last.ChangedAt == nil:
		return time.Time{}, fmt.Errorf("backfill %s does not say when it changed last", id)
	}
	return *last.ChangedAt, nil
}

// residentMB is the memory of a process that is in RAM.
func residentMB(pid int) float64 {
	return float64(fieldKB("/proc/"+strconv.Itoa(pid)+"/status", "VmRSS")) / 1024
}

// processorSeconds is the time that a process has spent on cores.
func processorSeconds(pid int) float64 {
	stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100 // USER_HZ, which Linux fixes for what it shows
}
