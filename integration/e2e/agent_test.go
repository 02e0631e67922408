package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
)

func containsAll(text string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}

// TestAgentKilled: the instances of a dead agent run elsewhere once its leases
// have ended, not before, and never twice at once (RULES R13.2).
func TestAgentKilled(t *testing.T) {
	const lease = 3 * time.Second
	s := start(t, fleet.Config{Coordinators: 1, Agents: 2, Slots: 4, CoordinatorFlags: []string{"--lease", lease.String()}})
	s.Apply(rig.Node{ID: "long", Code: rig.Waits("go")})
	id := s.submit(v1.BackfillRequest{Root: "long", Dates: []string{"2012-01-01..2012-01-08"}, Groups: 8})
	s.Until("all run", func() bool { return s.Noted("start ") == 8 })
	victim := s.Agents[0]
	theirs := map[string]bool{}
	for _, i := range s.Instances(id) {
		if i.Agent == victim.Name {
			theirs[i.ID] = true
		}
	}
	if len(theirs) != 4 {
		t.Fatalf("agent %s runs %d instances, want half of 8", victim.Name, len(theirs))
	}
	killed := time.Now()
	s.Must(s.KillAgent(s.Ctx, victim))
	s.Until("their leases have ended", func() bool {
		waiting := 0
		for _, i := range s.Instances(id) {
			if theirs[i.ID] && i.State == v1.StateNotRunning {
				waiting++
			}
		}
		return waiting == 4 // the other agent is full
	})
	if after := time.Since(killed); after < lease/2 {
		t.Errorf("the leases were taken back after %s, before an agent that is only cut off would have stopped", after)
	}
	s.Open("go")
	s.Succeeded(id, 8)
	got := s.Traced()
	if got.Attempts != 12 || got.Unended != 4 {
		t.Errorf("%d attempts, %d of them killed, want 12 and 4", got.Attempts, got.Unended)
	}
	for _, i := range s.Instances(id) {
		d, err := s.API.Instance(s.Ctx, i.ID)
		s.Must(err)
		switch {
		case !theirs[i.ID] && len(d.Attempts) == 1:
		case theirs[i.ID] && len(d.Attempts) == 2 && d.Attempts[0].State == v1.AttemptStateLost && d.Attempts[1].Agent == s.Agents[1].Name:
		default:
			t.Errorf("%s: attempts %+v", i.ID, d.Attempts)
		}
	}
}

// TestAgentRestarted: a session that is killed and started again finds its
// attempts running; none is disturbed and none runs twice (RULES R13.5).
func TestAgentRestarted(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 1, Agents: 1, Slots: 4})
	s.Apply(rig.Node{ID: "long", Code: rig.Waits("go")})
	id := s.submit(v1.BackfillRequest{Root: "long", Dates: []string{"2012-01-01..2012-01-06"}, Groups: 6})
	s.Until("four run", func() bool { return s.Noted("start ") == 4 })
	agent := s.Agents[0]
	pid, err := s.KeeperPid(s.Ctx, agent)
	s.Must(err)
	for range 2 {
		s.Must(agent.Kill())
		s.Must(agent.Start())
		s.Must(fleet.Until(s.Ctx, "the agent is back", func(ctx context.Context) (bool, error) {
			page, err := s.API.Agents(ctx, nil)
			return err == nil && len(page.Items) == 1 && page.Items[0].State == v1.AgentStateReady && page.Items[0].Groups[0].Used == 4, err
		}))
	}
	if again, err := s.KeeperPid(s.Ctx, agent); err != nil || again != pid {
		t.Errorf("the keeper was process %d and is %d, %v", pid, again, err)
	}
	s.Open("go")
	s.Succeeded(id, 6)
	if got := s.Traced(); got.Attempts != 6 || got.Unended != 0 {
		t.Errorf("%d attempts, %d of them killed, want 6 and none", got.Attempts, got.Unended)
	}
}

// TestResultOutlivesTheSession: an attempt that ends while no session runs is
// counted once the agent is back.
func TestResultOutlivesTheSession(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 1, Agents: 1})
	s.Apply(rig.Node{ID: "long", Code: "echo before\n" + rig.Waits("go")})
	id := s.submit(v1.BackfillRequest{Root: "long", Dates: []string{"2012-01-01"}})
	s.Until("it runs", func() bool { return s.Noted("start ") == 1 })
	s.Must(s.Agents[0].Kill())
	s.Open("go")
	s.Until("it has ended", func() bool { return s.Noted("end ") == 1 })
	s.Must(s.Agents[0].Start())
	s.Succeeded(id, 1)
	if got := s.Traced(); got.Attempts != 1 {
		t.Errorf("%d attempts, want 1", got.Attempts)
	}
	s.Must(fleet.Until(s.Ctx, "the log is there", func(context.Context) (bool, error) {
		out, err := s.CLI("instance", "logs", id+".0")
		return out == "before\n", err
	}))
}

// TestStop: a plan that is stopped starts nothing new, and every process of
// its attempts is gone, children in the background too (RULES R9).
func TestStop(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 1, Agents: 1, Slots: 2})
	s.Apply(rig.Node{ID: "stubborn", Code: `trap '' TERM
sleep 600 &
echo $! >"$OUT/child.${dt}"
echo $$ >"$OUT/shell.${dt}"
wait
sleep 600
`}, rig.Node{ID: "after", Fields: []string{"upstreams: [stubborn]"}, Code: "trace end\n"})
	id := s.submit(v1.BackfillRequest{Root: "stubborn", Dates: []string{"2012-01-01..2012-01-05"}, Groups: 5})
	var pids []int
	s.Until("two run", func() bool {
		pids = s.pids("child.*", "shell.*")
		return len(pids) == 4
	})
	for _, pid := range pids {
		if !fleet.Alive(pid) {
			t.Errorf("process %d does not run", pid)
		}
	}
	out, err := s.CLI("backfill", "stop", id)
	if err != nil || !strings.Contains(out, "stopped") {
		t.Fatal(out, err)
	}
	b := s.Quiet(id)
	for _, pid := range pids {
		if fleet.Alive(pid) {
			t.Errorf("process %d lives on though the backfill is quiet", pid)
		}
	}
	if r := b.Receipt; r.Generated != 10 || r.Stopped != 2 || r.Waiting != 8 || !b.Summary.Stopped {
		t.Errorf("receipt %+v, stopped %v: want 2 stopped, 8 waiting", r, b.Summary.Stopped)
	}
	if got := s.Traced(); got.Attempts != 2 || got.Unended != 2 {
		t.Errorf("%d attempts, %d of them killed, want 2 and 2", got.Attempts, got.Unended)
	}
}

// pids reads process ids out of files that attempts wrote.
func (s *site) pids(patterns ...string) []int {
	s.T.Helper()
	var list []int
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join(s.Out, pattern))
		s.Must(err)
		for _, path := range files {
			text, err := os.ReadFile(path)
			s.Must(err)
			if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
				list = append(list, pid)
			}
		}
	}
	return list
}

// TestRetriesAndTimeout: a failed attempt is repeated as often as the node
// says, one that lasts too long is ended with all its processes, and what
// depends on a failure waits for it (RULES R4.4, R9).
func TestRetriesAndTimeout(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 1, Agents: 1})
	s.Apply(
		rig.Node{ID: "third_time", Fields: []string{"retries: 2"}, Code: "trace end\n[ $BACKFLEET_ATTEMPT = 3 ] || { echo not yet >&2; exit 7; }\n"},
		rig.Node{ID: "never", Fields: []string{"retries: 1", "retryDelay: 1s"}, Code: "trace end\nexit 9\n"},
		rig.Node{ID: "endless", Fields: []string{"timeout: 1s"}, Code: "sleep 600 &\necho $! >\"$OUT/child.${dt}\"\nwait\n"},
		rig.Node{ID: "below", Fields: []string{"upstreams: [never]"}, Code: "trace end\n"},
	)
	one := []string{"2012-01-01"}
	retried, failed, endless := s.submit(v1.BackfillRequest{Root: "third_time", Dates: one}),
		s.submit(v1.BackfillRequest{Root: "never", Dates: []string{"2012-01-01..2012-01-02"}}), s.submit(v1.BackfillRequest{Root: "endless", Dates: one})

	s.Succeeded(retried, 1)
	d, err := s.API.Instance(s.Ctx, retried+".0")
	s.Must(err)
	if len(d.Attempts) != 3 || *d.Attempts[0].ExitCode != 7 || d.Attempts[1].State != v1.AttemptStateFailed || d.Attempts[2].State != v1.AttemptStateSucceeded {
		t.Errorf("attempts %+v", d.Attempts)
	}
	out, err := s.CLI("instance", "logs", retried+".0", "--attempt", "2", "--stream", "stderr")
	if err != nil || out != "not yet\n" {
		t.Errorf("the log of a failed attempt: %q, %v", out, err)
	}

	if r := s.Quiet(failed).Receipt; r.Failed != 1 || r.Waiting != 3 || r.Generated != 4 {
		t.Errorf("receipt %+v: want 1 failed and 3 that it holds", r)
	}
	if d, err = s.API.Instance(s.Ctx, failed+".0"); err != nil || len(d.Attempts) != 2 || *d.Attempts[1].ExitCode != 9 {
		t.Fatalf("%+v, %v", d, err)
	}
	if wait := d.Attempts[1].StartedAt.Sub(*d.Attempts[0].EndedAt); wait < time.Second {
		t.Errorf("the second attempt began %s after the first had failed, want 1s", wait)
	}

	if r := s.Quiet(endless).Receipt; r.Failed != 1 {
		t.Errorf("receipt %+v: want 1 failed", r)
	}
	d, err = s.API.Instance(s.Ctx, endless+".0")
	s.Must(err)
	if len(d.Attempts) != 1 || d.Attempts[0].State != v1.AttemptStateTimedOut {
		t.Errorf("attempts %+v, want one that timed out", d.Attempts)
	}
	for _, pid := range s.pids("child.*") {
		if fleet.Alive(pid) {
			t.Errorf("process %d outlived its timeout", pid)
		}
	}
}
