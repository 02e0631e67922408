package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func onAgents(k wire.OperateAgents_Kind, ids ...string) *wire.Command {
	return &wire.Command{Actor: "bob", Why: "new kernel", Body: &wire.Command_OperateAgents{OperateAgents: &wire.OperateAgents{Kind: k, Agents: ids}}}
}

// drain drains agents until a moment from now, in milliseconds; 0: without end.
func (m *machine) drain(in int64, ids ...string) *wire.Answer {
	m.t.Helper()
	c := onAgents(wire.OperateAgents_DRAIN, ids...)
	if in != 0 {
		c.GetOperateAgents().DeadlineMs = m.now + in
	}
	return m.must(c)
}

func (m *machine) agent(id string) *Agent {
	m.t.Helper()
	a, ok := m.s.Agent(id)
	if !ok {
		m.t.Fatalf("there is no agent %s", id)
	}
	return a
}

// named is a turn that says of an agent what is known.
func (m *machine) named(id string) Result {
	m.t.Helper()
	return m.do(turn(&wire.Turn{Agents: []*wire.Agent{m.agent(id).Agent}}))
}

func (m *machine) leaseOf(plan, instance uint64) *Lease {
	m.t.Helper()
	l, ok := m.s.Lease(plan, instance)
	if !ok {
		m.t.Fatalf("there is no lease of %d.%d", plan, instance)
	}
	return l
}

func as(a *wire.Agent, st wire.Agent_State) *wire.Agent {
	a = proto.CloneOf(a)
	a.State = st
	return a
}

func TestR14_2_ADrainedAgentGetsNothingNewAndGivesBackWhatWaits(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 9)))
	m.grant(1, 0)
	m.ahead(1, 1)
	if a := m.drain(0, "a1"); a.Instances != 1 {
		t.Errorf("%d agents were drained", a.Instances)
	}
	a := m.agent("a1")
	if a.State != wire.Agent_DRAINING || a.Agent.State != wire.Agent_READY || a.Leases != 2 || a.Drain.Actor != "bob" || a.Drain.Why != "new kernel" || a.Drain.SinceMs != m.now {
		t.Fatalf("the agent is %+v, drained %v", a, a.Drain)
	}
	if l := m.leaseOf(1, 1); !l.Recalled || l.Cause != "agent a1 is drained by bob: new kernel" {
		t.Errorf("what waits there is %+v", l)
	}
	if l := m.leaseOf(1, 0); l.Ending() {
		t.Errorf("what runs there is %+v: it goes on", l)
	}
	for _, ahead := range []bool{false, true} {
		g := &wire.Grant{Plan: 1, Instance: 2, Agent: "a1", ResourceGroup: "default", Ahead: ahead}
		if r := m.do(turn(&wire.Turn{Grants: []*wire.Grant{g}})); len(r.Refused) != 1 {
			t.Errorf("ahead %v: it is given more", ahead)
		}
	}
	if u := m.s.GroupUse("default"); u.Slots != 0 {
		t.Errorf("its slots count: %+v", u)
	}
	m.must(onAgents(wire.OperateAgents_RESUME, "a1"))
	if a := m.agent("a1"); a.State != wire.Agent_READY || a.Drain != nil {
		t.Errorf("resumed, it is %s, drained %v", a.State, a.Drain)
	}
	m.grant(1, 2)
}

func TestR14_2_WhatRunsAtTheDeadlineRunsAgainWithoutARetry(t *testing.T) {
	flaky := daily("a")
	flaky.Retries = 1
	m := ready(t, flaky)
	m.must(submit(current("a", 9)))
	fences := make([]uint64, 6)
	for i := range uint64(5) {
		fences[i] = m.grant(1, i)
	}
	fences[5] = m.ahead(1, 5)
	m.drain(1000, "a1")
	m.must(op(wire.Operate_STOP, of(1, 4)))
	m.named("a1")
	if l := m.leaseOf(1, 0); l.Draining {
		t.Fatal("stopped before the deadline")
	}
	m.now += 1000
	r := m.named("a1")
	if n := len(r.Changes); n != 5 || r.Changes[0].Kind != LeaseEnding {
		t.Errorf("%d changes, expected the end of five attempts: %+v", n, r.Changes)
	}
	if r := m.named("a1"); len(r.Changes) > 0 {
		t.Errorf("said again, it changes %+v", r.Changes)
	}
	again := restored(t, m.s)
	if again.Hash() != m.s.Hash() {
		t.Error("the snapshot is not what it is of")
	}
	m.s = again
	for i := range uint64(6) {
		l := m.leaseOf(1, i)
		if stopped := i == 4; l.Draining == stopped || l.Stopping != stopped || l.Recalled || !stopped && !strings.HasPrefix(l.Cause, "agent a1 is drained") {
			t.Errorf("the lease of %d is %+v", i, l)
		}
	}
	m.finish(1, 0, fences[0], wire.Outcome_FAILED) // by the signal
	m.finish(1, 1, fences[1], wire.Outcome_SUCCEEDED)
	m.finish(1, 2, fences[2], wire.Outcome_STOPPED)
	m.must(turn(&wire.Turn{Losses: []*wire.Loss{{Plan: 1, Instance: 3, Fence: fences[3], Cause: "silent"}}}))
	m.finish(1, 4, fences[4], wire.Outcome_STOPPED)
	m.finish(1, 5, fences[5], wire.Outcome_RECALLED)
	for i, want := range []Status{Again, Succeeded, Again, Again, Stopped, Again} {
		m.status(1, uint64(i), want)
	}
	p := m.plan(1)
	for i, want := range []wire.Outcome{wire.Outcome_DRAINED, wire.Outcome_SUCCEEDED, wire.Outcome_DRAINED, wire.Outcome_DRAINED, wire.Outcome_STOPPED, wire.Outcome_RECALLED} {
		if a := m.s.Attempts(p, uint64(i)); len(a) != 1 || a[0].Outcome != want || a[0].Agent != "a1" {
			t.Errorf("attempts of %d: %+v, expected %s", i, a, want)
		}
	}
	if got := p.tally(0); got.retriesUsed != 0 || got.yields != 0 || p.Failures != 0 {
		t.Errorf("it counts as %+v, %d failures", got, p.Failures)
	}
	if a := m.agent("a1"); a.Leases != 0 || a.Used[0] != 0 || a.Ahead[0] != 0 {
		t.Errorf("drained, it holds %+v", a)
	}
}

func TestR14_2_ADeadlineThatIsPastIsNow(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 2)))
	fence := m.grant(1, 0)
	m.drain(-5, "a1")
	if !m.leaseOf(1, 0).Draining {
		t.Fatal("it runs on")
	}
	m.must(onAgents(wire.OperateAgents_RESUME, "a1"))
	m.finish(1, 0, fence, wire.Outcome_FAILED)
	m.status(1, 0, Again) // it was told to end before the drain was
}

func TestR14_2_ADrainLastsUntilItIsResumed(t *testing.T) {
	m := ready(t)
	first := m.now + 10
	m.drain(60_000, "a1")
	c := onAgents(wire.OperateAgents_DRAIN, "a1")
	c.GetOperateAgents().DeadlineMs = m.agent("a1").Drain.DeadlineMs
	c.Actor = "eve"
	if r := m.do(c); r.Err != nil || r.Answer.Instances != 0 || len(r.Changes) > 0 || m.agent("a1").Drain.Actor != "bob" {
		t.Errorf("the same once more: %+v", r)
	}
	m.drain(0, "a1")
	if d := m.agent("a1").Drain; d.DeadlineMs != 0 || d.SinceMs != first {
		t.Errorf("another deadline: %v, since %d", d, first)
	}
	for _, st := range []wire.Agent_State{wire.Agent_DRAINING, wire.Agent_LOST, wire.Agent_GONE, wire.Agent_READY} {
		a := as(m.agent("a1").Agent, st)
		a.Incarnation += "+"
		m.must(turn(&wire.Turn{Agents: []*wire.Agent{a}}))
		want := st
		if st == wire.Agent_READY {
			want = wire.Agent_DRAINING
		}
		if a := m.agent("a1"); a.State != want || a.Drain == nil {
			t.Errorf("%s: %s, drained %v", st, a.State, a.Drain)
		}
	}
	if a, _ := restored(t, m.s).Agent("a1"); a.State != wire.Agent_DRAINING || !proto.Equal(a.Drain, m.agent("a1").Drain) {
		t.Errorf("restored, it is %s, drained %v", a.State, a.Drain)
	}
	for want := range 2 { // once with an effect, once without
		if a := m.must(onAgents(wire.OperateAgents_RESUME, "a1")); a.Instances != uint64(1-want) || len(a.Warnings) > 0 {
			t.Errorf("resumed: %v", a)
		}
	}
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{as(m.agent("a1").Agent, wire.Agent_DRAINING)}}))
	a := m.must(onAgents(wire.OperateAgents_RESUME, "a1"))
	if len(a.Warnings) != 1 || !strings.Contains(a.Warnings[0], `"a1"`) || m.agent("a1").State != wire.Agent_DRAINING {
		t.Errorf("one that drains by itself is resumed: %v", a)
	}
}

func TestR14_1_OnlyAgentsThatAreAwayAreForgotten(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{agent("a2", 3), as(agent("a3", 3), wire.Agent_GONE)}}))
	m.must(submit(current("a", 2)))
	m.run(1, 0, wire.Outcome_SUCCEEDED)
	fence := m.grant(1, 1)
	m.drain(0, "a1")
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{as(m.agent("a1").Agent, wire.Agent_LOST)}}))
	err := m.refused(fault.Conflict, onAgents(wire.OperateAgents_FORGET, "a3", "a2", "a1"))
	if d := err.Details; len(d) != 2 || d[0].Field != "a1" || !strings.Contains(d[0].Message, "holds 1 attempts") || d[1].Field != "a2" || !strings.Contains(d[1].Message, "is there") {
		t.Errorf("refused for %+v", d)
	}
	m.must(turn(&wire.Turn{Losses: []*wire.Loss{{Plan: 1, Instance: 1, Fence: fence}}}))
	if a := m.must(onAgents(wire.OperateAgents_FORGET, "a3", "a1", "a1")); a.Instances != 2 {
		t.Errorf("%d agents were forgotten", a.Instances)
	}
	if err := m.refused(fault.NotFound, onAgents(wire.OperateAgents_FORGET, "a1")); !strings.Contains(err.Error(), `"a1"`) {
		t.Errorf("forgotten twice: %v", err)
	}
	if _, ok := m.s.Agent("a1"); ok {
		t.Fatal("a forgotten agent is there")
	}
	m.s = restored(t, m.s)
	if got := m.s.Attempts(m.plan(1), 0); got[0].Agent != "a1" {
		t.Errorf("what a forgotten agent ran is told as of %q", got[0].Agent)
	}
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{agent("a1", 1)}}))
	if a := m.agent("a1"); a.Number != 3 || a.Drain != nil || a.State != wire.Agent_READY {
		t.Errorf("when it comes back it is %+v", a)
	}
}

func TestOperationsOnAgentsAreCheckedByField(t *testing.T) {
	m := ready(t)
	late := onAgents(wire.OperateAgents_RESUME, "a1")
	late.GetOperateAgents().DeadlineMs = 5
	before := onAgents(wire.OperateAgents_DRAIN, "a1")
	before.GetOperateAgents().DeadlineMs = -5
	for field, c := range map[string]*wire.Command{
		"agents": onAgents(wire.OperateAgents_DRAIN), "deadline": late, "operation": onAgents(77, "a1"),
	} {
		if err := m.refused(fault.Invalid, c); err.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := m.refused(fault.Invalid, before); err.Field != "deadline" {
		t.Errorf("a moment before 1970: %v", err)
	}
	if err := m.refused(fault.NotFound, onAgents(wire.OperateAgents_DRAIN, "a1", "a9")); len(err.Details) != 1 || err.Details[0].Field != "a9" {
		t.Errorf("one that nobody knows: %+v", err)
	}
	if m.agent("a1").Drain != nil {
		t.Error("what was refused as a whole was done in part")
	}
}

// TestR14_1_WhenAnAgentWasHeardOf: its state has begun when it changed, what is
// no news changes nothing.
func TestR14_1_WhenAnAgentWasHeardOf(t *testing.T) {
	m := ready(t)
	began := m.now
	if r := m.named("a1"); len(r.Changes) > 0 {
		t.Errorf("no news: %+v", r.Changes)
	}
	more := proto.CloneOf(m.agent("a1").Agent)
	more.Version = "2"
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{more}}))
	if a := m.agent("a1"); a.ReadyMs != began || a.HeardMs != m.now {
		t.Errorf("ready since %d, heard at %d, expected %d and %d", a.ReadyMs, a.HeardMs, began, m.now)
	}
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{as(more, wire.Agent_LOST)}}))
	if a := m.agent("a1"); a.ReadyMs != m.now || a.HeardMs != m.now {
		t.Errorf("lost since %d, heard at %d, expected %d", a.ReadyMs, a.HeardMs, m.now)
	}
	if a, _ := restored(t, m.s).Agent("a1"); a.HeardMs != m.now {
		t.Errorf("restored, it was heard of at %d", a.HeardMs)
	}
}

// TestManyAgentsKeepTheirNumbers: a State that somebody holds does not see the
// names that later ones add.
func TestManyAgentsKeepTheirNumbers(t *testing.T) {
	m := newMachine(t)
	var kept []*State
	var want []string
	for i := range 300 {
		id := fmt.Sprint("x", i)
		want = append(want, id)
		m.s.Edit(m.index+1, m.now).PutAgent(agent("dropped", 1))
		m.must(turn(&wire.Turn{Agents: []*wire.Agent{agent(id, 1)}}))
		kept = append(kept, m.s)
	}
	for i, s := range append(kept, restored(t, m.s)) {
		n := min(i+1, len(want))
		if got := s.agentNames.list(); !slices.Equal(got, want[:n]) {
			t.Fatalf("after %d agents the names are %v", n, got)
		}
	}
}

// BenchmarkRegister is one agent more, when so many are known: an entry each.
func BenchmarkRegister(b *testing.B) {
	for _, known := range []int{100, 10_000} {
		b.Run(fmt.Sprint(known, " known"), func(b *testing.B) {
			m := newMachine(b)
			for i := range known {
				m.must(turn(&wire.Turn{Agents: []*wire.Agent{agent(fmt.Sprint("k", i), 1)}}))
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s, _ := m.s.Apply(m.index+1, turn(&wire.Turn{Agents: []*wire.Agent{agent(fmt.Sprint("n", i), 1)}}))
				if s.agents.Len() != known+1 {
					b.Fatal("it is not there")
				}
			}
		})
	}
}
