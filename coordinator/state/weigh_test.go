package state

import (
	"testing"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// heavy is a node whose attempts take several slots.
func heavy(id string, slots uint32, ups ...string) *wire.Node {
	n := daily(id, ups...)
	n.Slots = slots
	return n
}

func (m *machine) weighs(used, backfills, ahead uint32) {
	m.t.Helper()
	for _, s := range []*State{m.s, restored(m.t, m.s)} {
		a, _ := s.Agent("a1")
		if a.Used[0] != used || a.Backfills[0] != backfills || a.Ahead[0] != ahead {
			m.t.Fatalf("the agent uses %d slots, %d of them for backfills, and holds %d ahead; expected %d, %d and %d",
				a.Used[0], a.Backfills[0], a.Ahead[0], used, backfills, ahead)
		}
		if got, want := s.GroupUse("default"), (GroupUse{Slots: 10, Used: int(used), Backfills: int(backfills), Ahead: int(ahead)}); got != want {
			m.t.Fatalf("the group's use is %+v, expected %+v", got, want)
		}
	}
	if m.s.Hash() != restored(m.t, m.s).Hash() {
		m.t.Fatal("it is not the same after a restore")
	}
}

// refuses gives a turn with one grant, which must be refused.
func (m *machine) refuses(g *wire.Grant) {
	m.t.Helper()
	r := m.do(turn(&wire.Turn{Grants: []*wire.Grant{g}}))
	if len(r.Refused) != 1 || !fault.Is(r.Refused[0].Err, fault.Conflict) {
		m.t.Fatalf("%v: refused are %v", g, r.Refused)
	}
}

// TestR7_8_AnAttemptTakesItsNodesSlots, at one agent, as the plan pins them;
// what waits at an agent as well. What limits instances counts instances.
func TestR7_8_AnAttemptTakesItsNodesSlots(t *testing.T) {
	m := ready(t, heavy("a", 4))
	m.must(submit(current("a", 5)))
	first := m.grant(1, 0)
	m.weighs(4, 4, 0)
	m.must(apply(heavy("a", 1))) // the plan has pinned four
	m.grant(1, 1)
	m.weighs(8, 8, 0)
	if a, _ := m.s.Agent("a1"); a.Free("default") != 2 {
		t.Errorf("%d slots are free", a.Free("default"))
	}
	m.refuses(&wire.Grant{Plan: 1, Instance: 2, Agent: "a1", ResourceGroup: "default"})
	m.must(turn(&wire.Turn{Grants: []*wire.Grant{{Plan: 1, Instance: 2, Agent: "a1", ResourceGroup: "default", Ahead: true}}}))
	ahead := m.index
	m.weighs(8, 8, 4)
	m.finish(1, 0, first, wire.Outcome_SUCCEEDED)
	m.weighs(4, 4, 4)
	m.must(turn(&wire.Turn{Started: []*wire.Started{{Plan: 1, Instance: 2, Fence: ahead}}}))
	m.weighs(8, 8, 0)
	if l, _ := m.s.Lease(1, 2); l.Weight != 4 {
		t.Errorf("the lease weighs %d", l.Weight)
	}
	if got := m.plan(1).Active(); got != 2 {
		t.Errorf("%d instances run", got)
	}
	m.finish(1, 2, ahead, wire.Outcome_LOST)
	m.weighs(4, 4, 0)
}

// TestR7_8_SlotsOverLeavingAndComingBackToAGroup.
func TestR7_8_SlotsOverLeavingAndComingBackToAGroup(t *testing.T) {
	m := ready(t, heavy("a", 3))
	m.must(submit(current("a", 2)))
	m.grant(1, 0)
	other := agent("a1", 4)
	other.Groups[0].Group = "other"
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{other}}))
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{agent("a1", 10)}}))
	m.weighs(3, 3, 0)
}

// TestR7_7_AGrantNeedsTheLabels, all of them, when it becomes a fact.
func TestR7_7_AGrantNeedsTheLabels(t *testing.T) {
	a := daily("a")
	a.Requires = []*wire.Assignment{{Name: "os", Value: "linux"}, {Name: "gpu", Value: "true"}}
	m := ready(t, a)
	m.must(submit(current("a", 2)))
	with := func(labels ...*wire.Assignment) {
		own := agent("a1", 10)
		own.Labels = labels
		m.must(turn(&wire.Turn{Agents: []*wire.Agent{own}}))
	}
	grant := &wire.Grant{Plan: 1, Agent: "a1", ResourceGroup: "default"}
	m.refuses(grant)
	with(a.Requires[0])
	m.refuses(grant)
	with(a.Requires[0], &wire.Assignment{Name: "gpu", Value: "yes"})
	m.refuses(grant)
	with(&wire.Assignment{Name: "zone", Value: "b"}, a.Requires[1], a.Requires[0])
	m.grant(1, 0)
	m.weighs(1, 1, 0)
}

// TestR9_WhatAnExitCodeMeans to the node that the plan has pinned.
func TestR9_WhatAnExitCodeMeans(t *testing.T) {
	const fail, skip, retry, other = 64, 99, 75, 1
	a := daily("a")
	a.Retries = 1
	a.ExitCodes = []*wire.ExitCode{{Code: fail, Meaning: wire.ExitCode_FAIL}, {Code: retry}, {Code: skip, Meaning: wire.ExitCode_SKIP}}
	for _, c := range []struct {
		name    string
		code    int32
		outcome wire.Outcome // reported
		stopped bool
		want    wire.Outcome // recorded
		status  Status
	}{
		{"another code", other, wire.Outcome_FAILED, false, wire.Outcome_FAILED, Retrying},
		{"to be tried again", retry, wire.Outcome_FAILED, false, wire.Outcome_FAILED, Retrying},
		{"no use in trying", fail, wire.Outcome_FAILED, false, wire.Outcome_FAILED, Failed},
		{"nothing to do", skip, wire.Outcome_FAILED, false, wire.Outcome_SKIPPED, Succeeded},
		{"a time-out is none of them", skip, wire.Outcome_TIMED_OUT, false, wire.Outcome_TIMED_OUT, Retrying},
		{"nothing to do, before the stop came", skip, wire.Outcome_FAILED, true, wire.Outcome_SKIPPED, Succeeded},
		{"no use in trying, and stopped", fail, wire.Outcome_FAILED, true, wire.Outcome_STOPPED, Stopped},
		{"an agent that says so itself is not believed", other, wire.Outcome_SKIPPED, false, wire.Outcome_FAILED, Retrying},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := ready(t, a, daily("b", "a"))
			r := current("a", 1)
			r.Mode = wire.Request_DESCENDANTS
			m.must(submit(r))
			fence := m.grant(1, 0)
			m.must(apply(daily("a"))) // the plan has pinned the meanings
			if c.stopped {
				m.must(op(wire.Operate_STOP, of(1, 0)))
			}
			m.must(turn(&wire.Turn{Finishes: []*wire.Finish{{
				Plan: 1, Fence: fence, Outcome: c.outcome, ExitCode: c.code, StartedMs: m.now, EndedMs: m.now + 7,
			}}}))
			m.status(1, 0, c.status)
			got := m.s.Attempts(m.plan(1), 0)[0]
			if got.Outcome != c.want || got.ExitCode != c.code {
				t.Errorf("recorded is %s with exit code %d, expected %s", got.Outcome, got.ExitCode, c.want)
			}
			if o, _, _ := m.s.LastOutcome("a", m.plan(1).Dates[0], 0); c.want == wire.Outcome_SKIPPED && o != wire.Outcome_SUCCEEDED {
				t.Errorf("RULES R2.7: the cycle last came to %s", o)
			}
			if ms := m.s.Durations("a"); len(ms) > 0 {
				t.Errorf("durations are %v: nothing was done", ms)
			}
			if restored(t, m.s).Hash() != m.s.Hash() {
				t.Error("it is not the same after a restore")
			}
		})
	}
}

// TestR9_NoRetryLeavesTheFailureWhereItIs: it counts for stopAfter, and a rerun
// has its retries again.
func TestR9_NoRetryLeavesTheFailureWhereItIs(t *testing.T) {
	a := daily("a")
	a.Retries, a.ExitCodes = 3, []*wire.ExitCode{{Code: 1, Meaning: wire.ExitCode_FAIL}}
	m := ready(t, a)
	r := current("a", 3)
	r.StopAfter = 1
	m.must(submit(r))
	m.run(1, 0, wire.Outcome_FAILED)
	m.status(1, 0, Failed)
	if !m.plan(1).Halted {
		t.Error("stopAfter did not count it")
	}
	m.must(operate(1, wire.Operate_RESUME))
	m.must(rerun(1, 0))
	m.run(1, 0, wire.Outcome_TIMED_OUT)
	m.status(1, 0, Retrying)
}
