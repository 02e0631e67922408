package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	v1 "backfleet/api/v1"
	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
)

// TestR14_2_ADrainMovesWhatRuns: at its deadline what runs on a drained agent is
// stopped and runs on the other one, without a retry; a change of the leader
// before it makes no difference. Resumed, the agent is ready again.
func TestR14_2_ADrainMovesWhatRuns(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 3, Agents: 2, Slots: 2})
	s.Apply(rig.Node{ID: "long", Code: rig.Waits("go")})
	id := s.submit(v1.BackfillRequest{Root: "long", Dates: []string{"2012-01-01..2012-01-02"}, Groups: 2})
	s.Until("both run", func() bool { return s.Noted("start ") == 2 })
	on := map[string]string{} // agents by instance
	moved := 0
	drained := ""
	for _, i := range s.Instances(id) {
		d, err := s.API.Instance(s.Ctx, i.ID)
		s.Must(err)
		on[i.ID] = d.Attempts[0].Agent
		if drained = on[i.ID]; drained == "" {
			t.Fatalf("%s runs nowhere: %+v", i.ID, d.Attempts)
		}
	}
	for _, agent := range on {
		if agent == drained {
			moved++
		}
	}
	_, err := s.API.DrainAgents(s.Ctx, v1.AgentsDrain{Agents: []string{drained}, DeadlineSeconds: 4, Why: "new kernel"})
	s.Must(err)
	s.state(drained, v1.AgentStateDraining)
	leader, err := s.Leader(s.Ctx)
	s.Must(err)
	s.Must(leader.Kill())
	s.Must(leader.Start())
	s.Until("what ran there runs again", func() bool { return s.Noted("start ") == 2+moved })
	s.Open("go")
	s.Succeeded(id, 2)
	for instance, agent := range on {
		d, err := s.API.Instance(s.Ctx, instance)
		s.Must(err)
		switch first := d.Attempts[0]; {
		case agent != drained && len(d.Attempts) == 1:
		case agent == drained && len(d.Attempts) == 2 && first.State == v1.AttemptStateDrained && strings.Contains(first.Cause, "new kernel") && d.Attempts[1].Agent != drained:
		default:
			t.Errorf("%s ran on %s: attempts %+v", instance, agent, d.Attempts)
		}
	}
	if got := s.Traced(); got.Attempts != 2+moved || got.Unended != moved {
		t.Errorf("%d attempts, %d of them stopped, want %d and %d", got.Attempts, got.Unended, 2+moved, moved)
	}
	_, err = s.API.ResumeAgents(s.Ctx, v1.AgentsOperation{Agents: []string{drained}})
	s.Must(err)
	s.state(drained, v1.AgentStateReady)
}

// TestR14_1_AnAgentThatEndsIsGone, and one that is killed is not: it is silent, and
// ready when it is back.
func TestR14_1_AnAgentThatEndsIsGone(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 1, Agents: 1})
	agent := s.Agents[0]
	s.state(agent.Name, v1.AgentStateReady)
	s.Must(agent.Kill())
	s.state(agent.Name, v1.AgentStateSilent)
	s.Must(agent.Start())
	s.state(agent.Name, v1.AgentStateReady)
	s.Must(agent.Stop(s.Ctx))
	s.state(agent.Name, v1.AgentStateGone)
	s.Must(agent.Start())
	s.state(agent.Name, v1.AgentStateReady)
}

// TestR14_3_ASecondAgentIsRefused that was given the id of another.
func TestR14_3_ASecondAgentIsRefused(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 1, Agents: 1})
	cluster, err := s.API.Cluster(s.Ctx)
	s.Must(err)
	log := filepath.Join(s.Dir, "second.log")
	f, err := os.Create(log)
	s.Must(err)
	defer f.Close()
	second := s.Command("agent", "--id", s.Agents[0].Name, "--data", t.TempDir(), "--group", "default=1", "--coordinators", cluster.Servers[0].RPCAddress)
	second.Stdout, second.Stderr = f, f
	s.Must(second.Start())
	defer func() {
		_ = second.Process.Signal(syscall.SIGTERM)
		_ = second.Wait()
	}()
	s.Until("it says why", func() bool {
		text, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(text), "connected already")
	})
	s.state(s.Agents[0].Name, v1.AgentStateReady)
}

// state waits until an agent is in a state.
func (s *site) state(agent string, want v1.AgentState) {
	s.T.Helper()
	s.Must(fleet.Until(s.Ctx, agent+" is "+string(want), func(ctx context.Context) (bool, error) {
		a, err := s.API.Agent(ctx, agent)
		return err == nil && a.Agent.State == want, err
	}))
}
