package suite

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"backfleet/ops/demo/fleet"
)

// measureIdle watches a cluster that has run something and has nothing to do.
func measureIdle(ctx context.Context, r *run) (err error) {
	c, err := r.cluster(ctx, 0, 0)
	if err != nil {
		return err
	}
	defer func() { err = c.close(err) }()
	if err := c.slimAgent(ctx, r); err != nil {
		return err
	}
	if err := c.apply(ctx, graph(10, 1, func(int) string { return ":" })); err != nil {
		return err
	}
	if _, _, err := c.backfillRate(ctx, 0, 10, 10); err != nil {
		return err
	}
	watched, err := c.members(ctx)
	if err != nil {
		return err
	}
	begin, woken := map[string]float64{}, map[string]float64{}
	for what, pids := range watched {
		begin[what], woken[what] = sum(pids, processorSeconds), sum(pids, wakeups)
	}
	entries, err := c.applied(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	select {
	case <-time.After(r.o.idle):
	case <-ctx.Done():
		return ctx.Err()
	}
	seconds := time.Since(start).Seconds()
	after, err := c.applied(ctx)
	if err != nil {
		return err
	}
	r.say("idle: %.1f log entries a second; the rest is Raft's heartbeats and renewals", float64(after-entries)/seconds)
	for _, what := range []string{"leader", "follower", "agent"} {
		pids := watched[what]
		if what == "agent" {
			r.say("idle: of the agent: session %.1f MB, keeper %.1f MB, guard %.1f MB", residentMB(pids[0]), residentMB(pids[1]), sum(pids[2:], residentMB))
			r.add(Figure{Row: "idle", What: "agent, its three processes: memory, what they share counted once", Unit: "MB", Value: sum(pids, shareMB), Target: atMost(25)})
			r.add(Figure{Row: "idle", What: "agent, its three processes: memory that is theirs alone", Unit: "MB", Value: sum(pids, privateMB)})
			r.add(Figure{Row: "idle", What: "agent, its three processes: resident memory, the sum", Unit: "MB", Value: sum(pids, residentMB)})
		} else {
			r.add(Figure{Row: "idle", What: what + ": resident memory", Unit: "MB", Value: sum(pids, residentMB), Target: atMost(80)})
		}
		share := (sum(pids, processorSeconds) - begin[what]) / seconds * 100
		r.add(Figure{Row: "idle", What: fmt.Sprintf("%s: share of a core over %.0f s", what, seconds), Unit: "%", Value: share, Target: atMost(2)})
		// What is woken without reason costs a core more than what it then does.
		r.add(Figure{Row: "idle", What: what + ": of that, times its threads went to sleep", Unit: "/s", Value: (sum(pids, wakeups) - woken[what]) / seconds})
	}
	return nil
}

// wakeups counts how often the threads of a process have gone to sleep so far.
func wakeups(pid int) float64 {
	total := 0.0
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, t := range threads {
		text, _ := os.ReadFile(t)
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				n, _ := strconv.ParseFloat(strings.TrimSpace(rest), 64)
				total += n
			}
		}
	}
	return total
}

// applied is the index of the newest entry that is applied.
func (c *cluster) applied(ctx context.Context) (uint64, error) {
	s, err := c.client.Cluster(ctx)
	if err != nil {
		return 0, err
	}
	return s.AppliedIndex, nil
}

// slimAgent starts an agent from the binary for hosts that run nothing else.
func (c *cluster) slimAgent(ctx context.Context, r *run) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	binary := filepath.Join(c.dir, "backfleet-agent")
	if err := r.buildAsPackaged(ctx, root, binary, "./agent", "slim agent", 20); err != nil {
		return err
	}
	if err := r.buildAsPackaged(ctx, root, filepath.Join(c.dir, "backfleet-packaged"), "./ops/backfleet", "whole", 0); err != nil {
		return err
	}
	s, err := c.client.Cluster(ctx)
	if err != nil {
		return err
	}
	args := []string{"--id", "a1", "--data", c.AgentDir("a1"), "--group", "default=4"}
	for _, v := range s.Servers {
		args = append(args, "--coordinators", v.RPCAddress)
	}
	agent := fleet.NewProcess("a1", c.dir, binary, args...)
	c.Agents = append(c.Agents, agent)
	return agent.Start()
}

// buildAsPackaged builds a binary with the flags of its package and tells its
// size, of which at most mostMB is promised; 0: nothing is.
func (r *run) buildAsPackaged(ctx context.Context, root, binary, pkg, what string, mostMB float64) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, pkg)
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	info, err := os.Stat(binary)
	if err != nil {
		return err
	}
	f := Figure{Row: "idle", What: what + ": size of the binary, as packaged", Unit: "MB", Value: float64(info.Size()) / (1 << 20)}
	if mostMB > 0 {
		f.Target = atMost(mostMB)
	}
	r.add(f)
	return nil
}

// shareMB is a process's memory with what it shares split among the sharers.
func shareMB(pid int) float64 {
	return float64(fieldKB("/proc/"+strconv.Itoa(pid)+"/smaps_rollup", "Pss")) / 1024
}

func privateMB(pid int) float64 {
	file := "/proc/" + strconv.Itoa(pid) + "/smaps_rollup"
	return float64(fieldKB(file, "Private_Dirty")+fieldKB(file, "Private_Clean")) / 1024
}

// members gives the process ids of the leader, of one follower and of the
// agent: its session, its keeper and the keeper's guard.
func (c *cluster) members(ctx context.Context) (map[string][]int, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return nil, err
	}
	follower := c.Coordinators[0]
	if follower == leader {
		follower = c.Coordinators[1]
	}
	keeper, err := c.KeeperPid(ctx, c.Agents[0])
	if err != nil {
		return nil, err
	}
	agent := []int{c.Agents[0].Pid(), keeper}
	return map[string][]int{"leader": {leader.Pid()}, "follower": {follower.Pid()}, "agent": append(agent, children(keeper)...)}, nil
}

func children(pid int) []int {
	var out []int
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range threads {
		text, _ := os.ReadFile(t)
		for _, f := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(f); err == nil && fleet.Alive(child) {
				out = append(out, child)
			}
		}
	}
	return out
}

func sum(pids []int, f func(int) float64) float64 {
	total := 0.0
	for _, p := range pids {
		total += f(p)
	}
	return total
}
