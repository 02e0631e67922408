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

// measureShell runs real processes through one agent. The bound runs the same
// script as often, as many at a time, with nothing around it.
func measureShell(ctx context.Context, r *run) (err error) {
	c, err := r.cluster(ctx, 1, r.o.shellSlots)
	if err != nil {
		return err
	}
	defer func() { err = c.close(err) }()
	const nodes, code = 100, "echo $1\n"
	dates := max(1, r.o.shells/nodes)
	if err := c.apply(ctx, graph(nodes, 1, func(int) string { return code })); err != nil {
		return err
	}
	argv, err := script(r.dir, code)
	if err != nil {
		return err
	}
	var rates, files, pipes []float64
	for round := range r.o.rounds {
		logged, err := (&forker{dir: r.dir, argv: argv, logged: true}).rate(ctx, 2000, r.o.shellSlots)
		if err != nil {
			return err
		}
		piped, err := (&forker{dir: r.dir, argv: argv}).rate(ctx, 2000, r.o.shellSlots)
		if err != nil {
			return err
		}
		rate, err := c.backfillRate(ctx, round, dates, nodes)
		if err != nil {
			return err
		}
		r.say("shell: round %d: %.0f /s; bare with log files %.0f /s, with pipes %.0f /s", round+1, rate, logged, piped)
		rates, files, pipes = append(rates, rate), append(files, logged), append(pipes, piped)
	}
	what := fmt.Sprintf("real processes, one agent of %d slots", r.o.shellSlots)
	target := atLeast(0.85)
	target.OfBound = true
	r.add(Figure{Row: "shell", What: what, Unit: "/s", Rounds: rates, Target: target, Bound: &Bound{"bare fork and exec, a log file each", median(files)}})
	r.add(Figure{Row: "shell", What: "the same against pipes", Unit: "/s", Rounds: rates, Bound: &Bound{"bare fork and exec, a pipe each", median(pipes)}})
	return nil
}

// script writes code to a file and gives the command that runs it.
func script(dir, code string) ([]string, error) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "script")
	return []string{sh, path, "20100101"}, os.WriteFile(path, []byte(code), 0o600)
}

// backfillRate gives how many instances a second end of one backfill.
func (c *cluster) backfillRate(ctx context.Context, round, dates, nodes int) (float64, error) {
	sub, err := c.client.Submit(ctx, request(round, dates), "")
	if err != nil {
		return 0, err
	}
	start := time.Now()
	end, err := c.finished(ctx, sub.ID)
	if err != nil {
		return 0, err
	}
	return float64(dates*nodes) / end.Sub(start).Seconds(), nil
}

// stamping is a script that says first when it begins and last when it ends.
func stamping(file string) string {
	return fmt.Sprintf("date \"+b $BACKFLEET_INSTANCE $BACKFLEET_FENCE %%s%%N\" >>%[1]s\ndate \"+e $BACKFLEET_INSTANCE $BACKFLEET_FENCE %%s%%N\" >>%[1]s\n", file)
}

// stamp is a line of such a script, or of the failover's.
type stamp struct {
	kind     string
	instance string
	fence    uint64
	at       time.Time
}

func readStamps(file string) ([]stamp, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out []stamp
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 4 {
			return nil, fmt.Errorf("a script wrote %q, expected four words", line)
		}
		fence, _ := strconv.ParseUint(f[2], 10, 64)
		ns, err := strconv.ParseInt(f[3], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("a script wrote %q: %w", line, err)
		}
		out = append(out, stamp{f[0], f[1], fence, time.Unix(0, ns)})
	}
	return out, nil
}

// measureHandoff runs chains of nodes on an idle cluster, one link at a time:
// from the last thing that an upstream did to the first thing that what waits
// for it does. The bound has the same script at both ends: one after another,
// barely forked, and a commit in between.
func measureHandoff(ctx context.Context, r *run) (err error) {
	c, err := r.cluster(ctx, 1, 4)
	if err != nil {
		return err
	}
	defer func() { err = c.close(err) }()
	const nodes = 21
	dates := max(1, r.o.links/(nodes-1))
	file := filepath.Join(r.dir, "stamps")
	code := stamping(file)
	if err := c.apply(ctx, graph(nodes, nodes, func(int) string { return code })); err != nil {
		return err
	}
	req := request(0, dates)
	req.Groups = 1
	sub, err := c.client.Submit(ctx, req, "")
	if err != nil {
		return err
	}
	if _, err := c.finished(ctx, sub.ID); err != nil {
		return err
	}
	gaps, err := r.gapsOf(file, dates*nodes, func(i int) bool { return i%nodes != 0 })
	if err != nil {
		return err
	}
	bare, err := r.bareGaps(ctx, 200)
	if err != nil {
		return err
	}
	commit, err := r.commitBound()
	if err != nil {
		return err
	}
	r.say("handoff: %d links; a bare gap %.1f ms, a commit %.1f ms", len(gaps), median(bare), commit)
	for _, p := range []struct{ percent, target float64 }{{50, 10}, {99, 50}} {
		r.add(Figure{
			Row: "handoff", What: fmt.Sprintf("end of an upstream to start of what waits, p%.0f of %d", p.percent, len(gaps)), Unit: "ms",
			Value: percentile(gaps, p.percent), Target: atMost(p.target),
			Bound: &Bound{"bare fork and exec of the same script, and one commit", percentile(bare, p.percent) + commit},
		})
	}
	return nil
}

// gapsOf reads the stamps of scripts that ran one after another and gives, in
// milliseconds, the gaps before those that count.
func (r *run) gapsOf(file string, n int, counts func(i int) bool) ([]float64, error) {
	defer os.Remove(file)
	stamps, err := readStamps(file)
	if err != nil {
		return nil, err
	}
	if len(stamps) != 2*n {
		return nil, fmt.Errorf("%d scripts stamped %d times, expected twice each", n, len(stamps))
	}
	var gaps []float64
	for i := 1; i < n; i++ {
		if gap := stamps[2*i].at.Sub(stamps[2*i-1].at); counts(i) {
			gaps = append(gaps, ms(gap))
		}
	}
	return gaps, nil
}

func (r *run) bareGaps(ctx context.Context, n int) ([]float64, error) {
	file := filepath.Join(r.dir, "barestamps")
	argv, err := script(r.dir, "BACKFLEET_INSTANCE=- BACKFLEET_FENCE=0\n"+stamping(file))
	if err != nil {
		return nil, err
	}
	if _, err := (&forker{dir: r.dir, argv: argv}).rate(ctx, n, 1); err != nil {
		return nil, err
	}
	return r.gapsOf(file, n, func(int) bool { return true })
}

// measureIdle watches a cluster that has run something and has nothing to do.
func measureIdle(ctx context.Context, r *run) (err error) {
	c, err := r.cluster(ctx, 1, 4)
	if err != nil {
		return err
	}
	defer func() { err = c.close(err) }()
	if err := c.apply(ctx, graph(10, 1, func(int) string { return ":" })); err != nil {
		return err
	}
	if _, err := c.backfillRate(ctx, 0, 10, 10); err != nil {
		return err
	}
	watched, err := c.members(ctx)
	if err != nil {
		return err
	}
	begin := map[string]float64{}
	for what, pids := range watched {
		begin[what] = sum(pids, processorSeconds)
	}
	start := time.Now()
	select {
	case <-time.After(r.o.idle):
	case <-ctx.Done():
		return ctx.Err()
	}
	seconds := time.Since(start).Seconds()
	for _, what := range []string{"leader", "follower", "agent"} {
		limit, pids := 80.0, watched[what]
		if what == "agent" {
			limit = 25
			r.say("idle: of the agent: session %.1f MB, keeper %.1f MB, guard %.1f MB", residentMB(pids[0]), residentMB(pids[1]), sum(pids[2:], residentMB))
		}
		r.add(Figure{Row: "idle", What: what + ": resident memory", Unit: "MB", Value: sum(pids, residentMB), Target: atMost(limit)})
		share := (sum(pids, processorSeconds) - begin[what]) / seconds * 100
		r.add(Figure{Row: "idle", What: fmt.Sprintf("%s: share of a core over %.0f s", what, seconds), Unit: "%", Value: share, Target: atMost(2)})
	}
	return nil
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
