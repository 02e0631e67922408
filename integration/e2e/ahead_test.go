package e2e

import (
	"strings"
	"testing"

	v1 "backfleet/api/v1"
	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
)

// TestR9_WorkGrantedAheadRunsOnce: short processes, most of which wait at their
// agent for a slot. The agent's session and the leader are killed, and the plan
// is paused in the middle: when the agents have answered nothing of it starts
// any more. Each instance runs once.
func TestR9_WorkGrantedAheadRunsOnce(t *testing.T) {
	const days = 2000
	s := start(t, fleet.Config{Coordinators: 3, Agents: 1, Slots: 4})
	s.Apply(rig.Node{ID: "short", Code: "trace end\n"}, rig.Node{ID: "probe", Code: "trace end\n"})
	began := func() int { return s.Noted("start ") }
	id := s.submit(v1.BackfillRequest{Root: "short", Dates: []string{"2012-01-01.." + day(days-1)}, Gate: v1.GateNone})

	s.Until("an instance is shown as queued", func() bool {
		page, err := s.API.Instances(s.Ctx, id, &v1.ListInstancesParams{State: []v1.State{v1.StateNotRunning}, Limit: 20})
		s.Must(err)
		for _, i := range page.Items {
			if i.Agent == "" {
				continue // it has not been granted
			}
			d, err := s.API.Instance(s.Ctx, i.ID)
			s.Must(err)
			if d.Reason != nil && strings.HasPrefix(d.Reason.Text, "queued at agent a1") {
				if d.Instance.State != v1.StateNotRunning {
					t.Errorf("%s is %s, and %s", i.ID, d.Instance.State, d.Reason.Text)
				}
				return true
			}
		}
		if len(page.Items) == 0 {
			t.Fatal("all have run, and none was seen as queued at its agent")
		}
		return false
	})
	s.Until("some have run", func() bool { return began() > days/5 })
	s.Must(s.Agents[0].Kill())
	s.Must(s.Agents[0].Start())
	seen := began()
	s.Until("the agent goes on", func() bool { return began() > seen+days/20 })
	leader, err := s.Leader(s.Ctx)
	s.Must(err)
	s.Must(leader.Kill())
	seen = began()
	s.Until("the fleet goes on", func() bool { return began() > seen+days/20 })
	s.Must(leader.Start())

	if out, err := s.CLI("backfill", "pause", id); err != nil {
		t.Fatal(out, err)
	}
	s.Until("the agent has answered", func() bool {
		b, err := s.API.Backfill(s.Ctx, id)
		s.Must(err)
		return b.Receipt.Running == 0
	})
	seen = began()
	if seen == days {
		t.Error("all had run before the pause")
	}
	probe := s.submit(v1.BackfillRequest{Root: "probe", Dates: []string{"2012-01-01.." + day(49)}, Gate: v1.GateNone})
	s.Succeeded(probe, 50)
	if now := began(); now != seen+50 {
		t.Errorf("%d attempts of the paused plan began after all agents had answered", now-seen-50)
	}
	if out, err := s.CLI("backfill", "resume", id); err != nil {
		t.Fatal(out, err)
	}
	s.Succeeded(id, days)
	if got := s.Traced(); got.Attempts != days+50 || got.Unended != 0 {
		t.Errorf("%d attempts, %d of them killed, want %d and none", got.Attempts, got.Unended, days+50)
	}
}
