package state

import (
	"strings"
	"testing"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// ahead grants instances to agent a1 beyond its slots and gives the fence.
func (m *machine) ahead(plan uint64, instances ...uint64) uint64 {
	m.t.Helper()
	t := &wire.Turn{}
	for _, i := range instances {
		t.Grants = append(t.Grants, &wire.Grant{Plan: plan, Instance: i, Agent: "a1", ResourceGroup: "default", Ahead: true})
	}
	m.must(turn(t))
	return m.index
}

// full is a machine whose agent of ten slots uses all of them, by plan 1 of 400
// dates; its first fence too.
func full(t *testing.T) (*machine, uint64) {
	t.Helper()
	m := ready(t, daily("a"))
	m.must(submit(current("a", 400)))
	grants := &wire.Turn{}
	for i := range uint64(10) {
		grants.Grants = append(grants.Grants, &wire.Grant{Plan: 1, Instance: i, Agent: "a1", ResourceGroup: "default"})
	}
	m.must(turn(grants))
	return m, m.index
}

func (m *machine) lease(instance uint64) Lease {
	m.t.Helper()
	l, ok := m.s.Lease(1, instance)
	if !ok {
		m.t.Fatalf("instance %d has no lease", instance)
	}
	return *l
}

func (m *machine) agentIs(used, ahead uint32, free, room int) {
	m.t.Helper()
	a, _ := m.s.Agent("a1")
	if a.Used[0] != used || a.Ahead[0] != ahead || a.Free("default") != free || a.Room("default") != room {
		m.t.Fatalf("agent: %d used, %d ahead, %d free, room for %d, expected %d, %d, %d, %d",
			a.Used[0], a.Ahead[0], a.Free("default"), a.Room("default"), used, ahead, free, room)
	}
	if use := m.s.GroupUse("default"); use.Used != int(used) || use.Backfills != int(used) || use.Ahead != int(ahead) {
		m.t.Fatalf("group: %+v, expected %d used and %d ahead", use, used, ahead)
	}
}

func TestR9_AheadIsBoundedAndUsesNoSlot(t *testing.T) {
	m, first := full(t)
	var some []uint64
	for i := range uint64(MaxAhead) {
		some = append(some, 10+i)
	}
	m.ahead(1, some...)
	m.agentIs(10, MaxAhead, 0, 0)
	last := &wire.Grant{Plan: 1, Instance: 399, Agent: "a1", ResourceGroup: "default", Ahead: true}
	if r := m.do(turn(&wire.Turn{Grants: []*wire.Grant{last}})); len(r.Refused) != 1 || !fault.Is(r.Refused[0].Err, fault.Conflict) {
		t.Fatalf("one more than may be held was granted: %+v", r.Refused)
	}
	m.finish(1, 0, first, wire.Outcome_SUCCEEDED) // a slot is free: the next one ahead takes it, but it is free as far as is known
	m.agentIs(9, MaxAhead, 1, 1)
	m.grant(1, 399)
	m.agentIs(10, MaxAhead, 0, 0)
	if got := m.plan(1).Active(); got != 10+MaxAhead {
		t.Fatalf("%d instances count as running, expected those ahead too", got)
	}
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{agent("a1", 0)}}))
	if r := m.do(turn(&wire.Turn{Grants: []*wire.Grant{last}})); len(r.Refused) != 1 {
		t.Fatal("granted ahead where there is no slot")
	}
}

func TestR4_8_AheadCountsForMaxRunning(t *testing.T) {
	m := ready(t, daily("a"))
	r := current("a", 5)
	r.MaxRunning = 2
	m.must(submit(r))
	m.ahead(1, 0, 1)
	if r := m.do(turn(&wire.Turn{Grants: []*wire.Grant{{Plan: 1, Instance: 2, Agent: "a1", ResourceGroup: "default", Ahead: true}}})); len(r.Refused) != 1 {
		t.Fatal("a third one was granted")
	}
}

func TestR9_WhatIsAheadStarts(t *testing.T) {
	m, first := full(t)
	fence := m.ahead(1, 10, 11)
	started := func(i, fence uint64) Result {
		return m.do(turn(&wire.Turn{Started: []*wire.Started{{Plan: 1, Instance: i, Fence: fence}}}))
	}
	for _, unknown := range []Result{started(10, fence-1), started(399, fence), started(0, first)} {
		if len(unknown.Changes) > 0 {
			t.Fatalf("the start of something else changed %+v", unknown.Changes)
		}
	}
	m.must(operate(1, wire.Operate_PAUSE))
	if l := m.lease(10); !l.Recalled || !l.Ending() || l.Cause != "paused by bob" {
		t.Fatalf("after the pause: %+v", l)
	}
	// The end of another and the start it made possible come in one turn.
	r := m.do(turn(&wire.Turn{
		Finishes: []*wire.Finish{{Plan: 1, Instance: 0, Fence: first, Outcome: wire.Outcome_SUCCEEDED}},
		Started:  []*wire.Started{{Plan: 1, Instance: 10, Fence: fence}},
	}))
	if want := (Change{Kind: LeaseStarted, Plan: 1, Instance: 10}); r.Changes[len(r.Changes)-1] != want {
		t.Fatalf("changes %+v, expected %+v", r.Changes, want)
	}
	m.agentIs(10, 1, 0, MaxAhead-1)
	if l := m.lease(10); l.Ahead || !l.Started || l.Ending() || l.Cause != "" {
		t.Fatalf("what runs is not called back any more: %+v", l)
	}
	m.s = restored(t, m.s)
	m.agentIs(10, 1, 0, MaxAhead-1)
	m.finish(1, 10, fence, wire.Outcome_RECALLED) // it cannot be
	a := m.s.Attempts(m.plan(1), 10)
	if len(a) != 1 || a[0].Outcome != wire.Outcome_LOST || !strings.Contains(a[0].Cause, "had said that it runs") {
		t.Fatalf("an attempt that ran and was given back: %+v", a)
	}
	m.status(1, 10, Again)
}

// TestR9_GivenBackIsNoAttempt: it waits again, without a retry, a failure or an
// outcome of its cycle.
func TestR9_GivenBackIsNoAttempt(t *testing.T) {
	m := ready(t, daily("a"))
	r := current("a", 3)
	r.StopAfter = 1
	m.must(submit(r))
	fence := m.ahead(1, 0)
	m.must(operate(1, wire.Operate_PAUSE))
	m.finish(1, 0, fence, wire.Outcome_RECALLED)
	m.status(1, 0, Again)
	m.agentIs(0, 0, 10, 10+MaxAhead)
	p := m.plan(1)
	if a := m.s.Attempts(p, 0); len(a) != 1 || a[0].Outcome != wire.Outcome_RECALLED || a[0].Cause != "paused by bob" {
		t.Fatalf("attempts %+v", a)
	}
	if _, _, ran := m.s.LastOutcome("a", p.Dates[0], 0); ran || p.Failures > 0 || p.Halted || p.Yields(0) > 0 {
		t.Fatalf("it counts as a run: %v, %d failures, halted %v, %d yields", ran, p.Failures, p.Halted, p.Yields(0))
	}
	m.must(operate(1, wire.Operate_RESUME))
	fence = m.grant(1, 0) // with a free slot; its agent had none after all
	if l := m.lease(0); l.Attempt != 2 || l.Ahead {
		t.Fatalf("the next attempt: %+v", l)
	}
	m.finish(1, 0, fence, wire.Outcome_RECALLED)
	if a := m.s.Attempts(m.plan(1), 0); len(a) != 2 || a[1].Outcome != wire.Outcome_RECALLED || a[1].Cause != "exit status 1" {
		t.Fatalf("attempts %+v", a)
	}
}

func TestR9_FreezingCallsBackWhatIsAhead(t *testing.T) {
	m, _ := full(t)
	fence := m.ahead(1, 10, 11, 12, 13, 14)
	p := m.plan(1)
	frozen := func(k wire.Operate_Kind, tg *wire.Target, want uint64, list ...uint64) {
		t.Helper()
		a := m.must(op(k, tg))
		if a.Instances != want {
			t.Fatalf("%d instances changed, expected %d", a.Instances, want)
		}
		for _, i := range list {
			if l := m.lease(i); l.Freezing != (k == wire.Operate_FREEZE) || !l.Recalled || l.Cause != "frozen by bob: because" {
				t.Fatalf("lease %+v", l)
			}
		}
	}
	frozen(wire.Operate_FREEZE, of(1, 10), 1, 10)
	at, _ := p.Locate(11)
	d := int32(p.Dates[at.Pos])
	frozen(wire.Operate_FREEZE, &wire.Target{Plan: 1, Dates: []*wire.DateRange{{From: d, To: d}}}, 1, 11)
	m.refused(fault.Conflict, op(wire.Operate_FREEZE, of(1, 11)))
	frozen(wire.Operate_UNFREEZE, of(1, 11), 1, 11)
	m.refused(fault.Conflict, op(wire.Operate_UNFREEZE, of(1, 11)))
	frozen(wire.Operate_FREEZE, of(1), 400-10-1, 10, 11, 12, 13, 14) // what runs goes on, one is frozen
	m.finish(1, 10, fence, wire.Outcome_RECALLED)
	m.status(1, 10, Frozen)
	m.must(turn(&wire.Turn{Losses: []*wire.Loss{{Plan: 1, Instance: 11, Fence: fence, Cause: "silent"}}}))
	m.status(1, 11, Frozen)
	m.must(turn(&wire.Turn{Started: []*wire.Started{{Plan: 1, Instance: 12, Fence: fence}}}))
	m.finish(1, 12, fence, wire.Outcome_LOST)
	m.status(1, 12, Again) // it ran, like the others that ran
	m.must(op(wire.Operate_STOP, of(1, 13)))
	if l := m.lease(13); !l.Stopping || l.Recalled || l.Freezing || l.Cause != "stopped by bob: because" {
		t.Fatalf("a stop outdoes a recall: %+v", l)
	}
	m.finish(1, 13, fence, wire.Outcome_RECALLED)
	m.status(1, 13, Stopped)
	m.must(op(wire.Operate_UNFREEZE, of(1)))
	m.status(1, 10, Again)
	m.status(1, 20, Pending)
	m.finish(1, 14, fence, wire.Outcome_RECALLED)
	m.status(1, 14, Again) // unfrozen before it came back
}

func TestR4_5_HaltingCallsBackWhatIsAhead(t *testing.T) {
	m := ready(t, daily("a"))
	r := current("a", 9)
	r.StopAfter = 1
	m.must(submit(r))
	running := m.grant(1, 0)
	m.ahead(1, 1, 2)
	m.finish(1, 0, running, wire.Outcome_FAILED)
	for _, i := range []uint64{1, 2} {
		if l := m.lease(i); !l.Recalled || l.Freezing {
			t.Fatalf("after the halt: %+v", l)
		}
	}
}

func TestR9_DroppingCallsBackWhatIsAhead(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 9)))
	fence := m.ahead(1, 0, 1)
	m.must(op(wire.Operate_FREEZE, of(1, 0)))
	d := m.plan(1).Dates[0]
	m.must(editPlan(&wire.EditPlan{Plan: 1, DropDates: dateSpan(d, d)}))
	if l := m.lease(0); !l.Recalled || l.Freezing {
		t.Fatalf("dropped: %+v", l)
	}
	if l := m.lease(1); l.Recalled {
		t.Fatalf("not dropped: %+v", l)
	}
	m.finish(1, 0, fence, wire.Outcome_RECALLED)
	m.status(1, 0, Again)
	m.must(turn(&wire.Turn{DryRuns: []*wire.DryRuns{{Plan: 1, Instances: []uint64{0}}}}))
	m.status(1, 0, DryRun)
}

// TestR9_OthersSayWhereItIsQueued: neither what is for waiting instances nor
// what is for others can be done for these few milliseconds.
func TestR9_OthersSayWhereItIsQueued(t *testing.T) {
	m, _ := full(t)
	m.ahead(1, 10)
	for _, k := range []wire.Operate_Kind{wire.Operate_RERUN, wire.Operate_SET_TO_SUCCESS, wire.Operate_FORCE_RUN, wire.Operate_SET_PRIORITY} {
		if err := m.refused(fault.Conflict, op(k, of(1, 10))); !strings.Contains(err.Details[0].Message, "queued at agent a1") {
			t.Errorf("%v: %v", k, err.Details)
		}
	}
}
