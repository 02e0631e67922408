package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

func op(k wire.Operate_Kind, targets ...*wire.Target) *wire.Command {
	o := &wire.Operate{Kind: k, Targets: targets}
	switch k {
	case wire.Operate_REMOVE_UPSTREAM:
		o.Upstream = "u"
	case wire.Operate_SET_PRIORITY:
		o.Priority = 7
	}
	return &wire.Command{Actor: "bob", Why: "because", Body: &wire.Command_Operate{Operate: o}}
}

func of(plan uint64, instances ...uint64) *wire.Target {
	return &wire.Target{Plan: plan, Instances: instances}
}

func ofDates(plan uint64, dates ...*wire.DateRange) *wire.Target {
	return &wire.Target{Plan: plan, Dates: dates}
}

// in is a machine with plan 1, whose only instance has a status.
func in(t *testing.T, st Status) *machine {
	t.Helper()
	n := daily("a", "u")
	n.Retries, n.DependsOnSelf = 1, true
	m := ready(t, daily("u"), n)
	r := current("a", 1)
	r.DryRun = st == DryRun
	m.must(submit(r))
	switch st {
	case Running:
		m.grant(1, 0)
	case Succeeded:
		m.run(1, 0, wire.Outcome_SUCCEEDED)
	case DryRun:
		m.must(turn(&wire.Turn{DryRuns: []*wire.DryRuns{{Plan: 1, Instances: []uint64{0}}}}))
	case Failed, SetToSuccess:
		m.run(1, 0, wire.Outcome_FAILED)
		m.run(1, 0, wire.Outcome_FAILED)
		if st == SetToSuccess {
			m.must(op(wire.Operate_SET_TO_SUCCESS, of(1, 0)))
		}
	case Stopped:
		m.must(op(wire.Operate_STOP, of(1, 0)))
	case Frozen, Missed:
		m.must(op(wire.Operate_FREEZE, of(1, 0)))
		if st == Missed {
			m.must(turn(&wire.Turn{Missed: []*wire.Missed{{Plan: 1, Instances: []uint64{0}}}}))
		}
	case Retrying:
		m.run(1, 0, wire.Outcome_FAILED)
	case Again:
		m.run(1, 0, wire.Outcome_LOST)
	}
	m.status(1, 0, st)
	return m
}

var waiting = map[Status]Status{Pending: Pending, Retrying: Retrying, Again: Again}

// TestR9_EveryOperationInEveryStatus: what each operation makes of an instance
// in each status; where the table says nothing it must be refused.
func TestR9_EveryOperationInEveryStatus(t *testing.T) {
	unfinished := map[Status]Status{Pending: Pending, Running: Running, Frozen: Frozen, Retrying: Retrying, Again: Again, Missed: Missed}
	for _, c := range []struct {
		kind   wire.Operate_Kind
		target *wire.Target
		gives  map[Status]Status
	}{
		{wire.Operate_STOP, of(1, 0), map[Status]Status{Pending: Stopped, Retrying: Stopped, Again: Stopped, Running: Running}},
		{wire.Operate_RERUN, of(1, 0), map[Status]Status{
			Pending: Pending, Succeeded: Again, DryRun: Again, SetToSuccess: Again, Failed: Again, Stopped: Again,
		}},
		{wire.Operate_SET_TO_SUCCESS, of(1, 0), map[Status]Status{Failed: SetToSuccess, Stopped: SetToSuccess}},
		{wire.Operate_FREEZE, of(1, 0), map[Status]Status{Pending: Frozen, Retrying: Frozen, Again: Frozen}},
		{wire.Operate_UNFREEZE, of(1, 0), map[Status]Status{Frozen: Pending, Missed: Failed}},
		{wire.Operate_FORCE_RUN, of(1, 0), waiting},
		{wire.Operate_REMOVE_UPSTREAM, of(1, 0), waiting},
		{wire.Operate_SET_PRIORITY, of(1, 0), waiting},
		{wire.Operate_STOP, of(1), map[Status]Status{
			Pending: Pending, Running: Running, Frozen: Frozen, Retrying: Failed, Again: Again, Missed: Missed,
		}},
		{wire.Operate_PAUSE, of(1), unfinished},
		{wire.Operate_RESUME, of(1), unfinished},
		{wire.Operate_RERUN_FAILED, of(1), map[Status]Status{Failed: Again, Stopped: Again}},
		{wire.Operate_FREEZE, of(1), map[Status]Status{Pending: Frozen, Retrying: Frozen, Again: Frozen}},
		{wire.Operate_UNFREEZE, of(1), map[Status]Status{Frozen: Pending, Missed: Failed}},
		{wire.Operate_FREEZE, ofDates(1, days(1)...), map[Status]Status{Pending: Frozen, Retrying: Frozen, Again: Frozen}},
		{wire.Operate_UNFREEZE, ofDates(1, days(1)...), map[Status]Status{Frozen: Pending, Missed: Failed}},
	} {
		for st := range nStatus {
			t.Run(fmt.Sprintf("%s/%v/%d", c.kind, c.target, st), func(t *testing.T) {
				m := in(t, st)
				want, allowed := c.gives[st]
				if !allowed {
					m.refused(fault.Conflict, op(c.kind, c.target))
					return
				}
				before := len(m.plan(1).Operations())
				m.must(op(c.kind, c.target))
				m.status(1, 0, want)
				lines := m.plan(1).Operations()
				if len(lines) != before+1 {
					t.Fatalf("%d lines in the log, expected one more than %d", len(lines), before)
				}
				line := lines[before]
				if line.Number != uint64(before+1) || line.Actor != "bob" || line.Why != "because" || line.Kind != c.kind || line.AtMs != m.now {
					t.Errorf("the log says %v", line)
				}
				if p := m.plan(1); p.ChangedMs != m.now || p.ChangedBy != "bob" {
					t.Errorf("the change is not noted: %d %q", p.ChangedMs, p.ChangedBy)
				}
				if len(c.target.Instances) > 0 {
					marks := m.plan(1).Marks(0)
					if len(marks) == 0 || marks[len(marks)-1].Operation != line.Number || line.Count != 1 || !slices.Equal(line.Instances, []uint64{0}) {
						t.Errorf("marks %v, line %v", marks, line)
					}
				}
				if restored(t, m.s).Hash() != m.s.Hash() {
					t.Error("a snapshot does not hold it all")
				}
			})
		}
	}
}

func TestR9_WhatIsWrongWithAnOperationByItself(t *testing.T) {
	m := in(t, Pending)
	with := func(c *wire.Command, upstream string, priority int32) *wire.Command {
		c.GetOperate().Upstream, c.GetOperate().Priority = upstream, priority
		return c
	}
	for _, c := range []struct {
		field string
		c     *wire.Command
	}{
		{"operation", op(0, of(1))},
		{"operation", op(99, of(1))},
		{"targets", op(wire.Operate_STOP)},
		{"targets[0]", op(wire.Operate_PAUSE, of(1, 0))},
		{"targets[1]", op(wire.Operate_RERUN, of(1, 0), of(1))},
		{"targets[0]", op(wire.Operate_STOP, ofDates(1, days(1)...))},
		{"targets[0]", op(wire.Operate_FREEZE, ofDates(1, &wire.DateRange{From: 5, To: 4}))},
		{"upstream", with(op(wire.Operate_REMOVE_UPSTREAM, of(1, 0)), "", 0)},
		{"upstream", with(op(wire.Operate_STOP, of(1, 0)), "u", 0)},
		{"priority", with(op(wire.Operate_SET_PRIORITY, of(1, 0)), "", 4)},
		{"priority", with(op(wire.Operate_SET_PRIORITY, of(1, 0)), "", 0)},
		{"priority", with(op(wire.Operate_FREEZE, of(1, 0)), "", 7)},
	} {
		if err := m.refused(fault.Invalid, c.c); err.Field != c.field {
			t.Errorf("%v: refused for field %q, expected %q: %v", c.c, err.Field, c.field, err)
		}
	}
	m.refused(fault.TooLarge, op(wire.Operate_RERUN, of(1, make([]uint64, MaxNamed+1)...)))
}

// TestR9_ABatchWithOneBadMemberChangesNothing: over plans, and naming each.
func TestR9_ABatchWithOneBadMemberChangesNothing(t *testing.T) {
	for k, f := range forms {
		if !f.instances {
			continue
		}
		t.Run(k.String(), func(t *testing.T) {
			m := ready(t, daily("u"), daily("a", "u"))
			m.must(submit(current("a", 3)))
			m.must(submit(current("a", 4)))
			switch k {
			case wire.Operate_SET_TO_SUCCESS:
				m.must(op(wire.Operate_STOP, of(1, 0), of(2, 3)))
			case wire.Operate_UNFREEZE:
				m.must(op(wire.Operate_FREEZE, of(1, 0), of(2, 3)))
			}
			if k == wire.Operate_STOP || k == wire.Operate_UNFREEZE || k == wire.Operate_SET_TO_SUCCESS || k == wire.Operate_FREEZE {
				m.run(1, 1, wire.Outcome_SUCCEEDED)
			} else {
				m.grant(1, 1)
			}
			err := m.refused(fault.NotFound, op(k, of(2, 3, 9), of(1, 1, 0), of(7, 0)))
			var named []string
			for _, d := range err.Details {
				named = append(named, d.Field)
			}
			if !slices.Equal(named, []string{"b1.1", "b2.9", "b7"}) {
				t.Fatalf("named %v", named)
			}
			m.refused(fault.Conflict, op(k, of(2, 3), of(1, 1, 0)))
			if a := m.must(op(k, of(2, 3), of(1, 0), of(2, 3))); a.Instances != 2 {
				t.Errorf("%d instances changed, expected 2", a.Instances)
			}
		})
	}
}

func TestR9_AllThatStandInTheWayAreNamedUpToAHundred(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 150)))
	var all []uint64
	for i := range uint64(150) {
		all = append(all, i)
	}
	err := m.refused(fault.Conflict, op(wire.Operate_SET_TO_SUCCESS, of(1, all...)))
	if len(err.Details) != maxOffenders+1 || err.Details[maxOffenders].Message != "and 50 more" {
		t.Fatalf("%d details, the last says %q", len(err.Details), err.Details[len(err.Details)-1].Message)
	}
	err = m.refused(fault.NotFound, op(wire.Operate_STOP, of(9)))
	if err.Message != "there is no backfill b9" {
		t.Errorf("got %q", err.Message)
	}
}

func TestR9_StopOfInstances(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 3)))
	fence := m.grant(1, 0)
	if a := m.must(op(wire.Operate_STOP, of(1, 0, 1))); a.Instances != 2 {
		t.Fatalf("%d instances changed", a.Instances)
	}
	if l := lease(t, m.s, 1, 0); !l.Stopping || l.Cause != "stopped by bob: because" {
		t.Fatalf("the lease is %+v", l)
	}
	m.status(1, 1, Stopped)
	m.status(1, 2, Pending)
	m.finish(1, 0, fence, wire.Outcome_LOST) // a stop is a stop, however it ends
	m.status(1, 0, Stopped)
	m.must(op(wire.Operate_RERUN, of(1, 0, 1)))
	m.run(1, 1, wire.Outcome_SUCCEEDED)
	if a := m.s.Attempts(m.plan(1), 1); len(a) != 1 || a[0].Number != 1 {
		t.Errorf("what was stopped before it ran has attempts %+v", a)
	}
}

func TestR9_StopOfAPlanTwiceOverListsEachPlan(t *testing.T) {
	m := ready(t, daily("a"), daily("b"))
	m.must(submit(current("a", 2)))
	m.must(submit(current("b", 2)))
	m.grant(1, 0)
	m.must(op(wire.Operate_STOP, of(2), of(1)))
	for id := uint64(1); id <= 2; id++ {
		if !m.plan(id).Stopped || !m.plan(id).Blocked(1) {
			t.Errorf("plan %d is not stopped", id)
		}
	}
	m.refused(fault.Conflict, op(wire.Operate_PAUSE, of(1), of(2)))
	m.must(op(wire.Operate_RESUME, of(1), of(2)))
	if m.plan(1).Stopped || m.plan(2).Stopped {
		t.Error("still stopped")
	}
}

func TestR9_UnfreezeGoesOnAsBefore(t *testing.T) {
	for _, st := range []Status{Pending, Retrying, Again} {
		m := in(t, st)
		next, of1, due := m.plan(1).Retry(plan.Place{})
		m.must(op(wire.Operate_FREEZE, of(1, 0)))
		m.must(op(wire.Operate_UNFREEZE, of(1, 0)))
		m.status(1, 0, st)
		if n, o, d := m.plan(1).Retry(plan.Place{}); n != next || o != of1 || d != due {
			t.Errorf("the retry was %d of %d at %d, and is %d of %d at %d", next, of1, due, n, o, d)
		}
	}
	m := in(t, Failed)
	m.must(op(wire.Operate_RERUN, of(1, 0)))
	m.must(op(wire.Operate_FREEZE, of(1, 0)))
	m.must(op(wire.Operate_UNFREEZE, of(1, 0)))
	m.status(1, 0, Again)
}

func TestR9_OnlyWhatIsFrozenCanBeMissed(t *testing.T) {
	for st := range nStatus {
		m := in(t, st)
		m.must(turn(&wire.Turn{Missed: []*wire.Missed{{Plan: 1, Instances: []uint64{0, 1, 99}}, {Plan: 9, Instances: []uint64{0}}}}))
		want := st
		if st == Frozen {
			want = Missed
		}
		m.status(1, 0, want)
	}
}

func TestR9_MissedFailsAndSaysWhy(t *testing.T) {
	m := in(t, Missed)
	if !m.plan(1).Unfinished() {
		t.Error("a plan of missed instances waits for a person")
	}
	m.must(op(wire.Operate_UNFREEZE, of(1)))
	m.status(1, 0, Failed)
	marks := m.plan(1).Marks(0)
	line, ok := m.plan(1).Operation(marks[len(marks)-1].Operation)
	if !ok || line.Kind != wire.Operate_UNFREEZE || line.Actor != "bob" {
		t.Errorf("the last mark is of %v", line)
	}
	if p := m.plan(1); p.Failures != 0 {
		t.Error("what a person did is no failure to halt for")
	}
	m.must(op(wire.Operate_RERUN, of(1, 0)))
	m.status(1, 0, Again)
}

func TestR9_FreezeOfDatesTakesTheirWaitingOnes(t *testing.T) {
	m := ready(t, daily("a"), daily("b", "a"))
	m.must(submit(&wire.Request{Mode: wire.Request_DESCENDANTS, Root: "a", Dates: days(4)}))
	m.run(1, 0, wire.Outcome_SUCCEEDED)
	m.grant(1, 2)
	last := int32(today) - 2
	if a := m.must(op(wire.Operate_FREEZE, ofDates(1, &wire.DateRange{From: last - 3, To: last - 2}))); a.Instances != 2 {
		t.Fatalf("%d frozen, expected 2", a.Instances)
	}
	for i, want := range []Status{Succeeded, Frozen, Running, Frozen, Pending, Pending} {
		m.status(1, uint64(i), want)
	}
	err := m.refused(fault.NotFound, op(wire.Operate_FREEZE, ofDates(1, &wire.DateRange{From: last, To: last}, &wire.DateRange{From: last + 1, To: last + 9})))
	if len(err.Details) != 1 || !strings.HasPrefix(err.Details[0].Field, "b1 2021-08-23..") {
		t.Errorf("got %v", err)
	}
	m.refused(fault.Conflict, op(wire.Operate_UNFREEZE, ofDates(1, &wire.DateRange{From: last, To: last})))
	m.must(op(wire.Operate_UNFREEZE, of(1)))
	m.status(1, 1, Pending)
}

func TestR9_ForcedOnceUntilItEnds(t *testing.T) {
	m := in(t, Pending)
	m.must(op(wire.Operate_FORCE_RUN, of(1, 0)))
	forced := func(want bool) {
		t.Helper()
		n := 0
		m.plan(1).EachForced(func(uint64) { n++ })
		if m.plan(1).Forced(0) != want || n > 0 != want {
			t.Fatalf("forced is %v (%d listed), expected %v", m.plan(1).Forced(0), n, want)
		}
	}
	forced(true)
	m.run(1, 0, wire.Outcome_LOST) // has not run yet
	forced(true)
	m.run(1, 0, wire.Outcome_SUCCEEDED)
	forced(false)
	m.must(op(wire.Operate_RERUN, of(1, 0)))
	forced(false)
	m.must(op(wire.Operate_FORCE_RUN, of(1, 0)))
	m.must(op(wire.Operate_FREEZE, of(1, 0)))
	forced(false)
}

func TestR9_RemoveUpstream(t *testing.T) {
	child := daily("c", "a")
	other := daily("x")
	n := daily("a", "u")
	n.DependsOnSelf, n.DependsOnChildren = true, true
	n.Upstreams = append(n.Upstreams, &wire.Upstream{Node: "x", Previous: true})
	m := ready(t, daily("u"), n, child, other, daily("stranger"))
	m.must(submit(current("a", 3)))
	remove := func(id string, i uint64) *wire.Command {
		c := op(wire.Operate_REMOVE_UPSTREAM, of(1, i))
		c.GetOperate().Upstream = id
		return c
	}
	for _, id := range []string{"u", "a", "x", "c"} {
		m.must(remove(id, 1))
		if !m.plan(1).Removed(1, id) || m.plan(1).Removed(0, id) {
			t.Errorf("%s: removed are %v and %v", id, m.plan(1).RemovedOf(0), m.plan(1).RemovedOf(1))
		}
		m.refused(fault.Conflict, remove(id, 1))
	}
	m.refused(fault.Conflict, remove("stranger", 1))
	m.refused(fault.Conflict, remove("nowhere", 1))
	if o := m.plan(1).Operations(); o[1].Detail != "a" {
		t.Errorf("the log says %v", o[1])
	}
	if s := restored(t, m.s); s.Hash() != m.s.Hash() {
		t.Error("a snapshot loses what was removed")
	}
}

func TestR7_6_PriorityOfAnInstance(t *testing.T) {
	m := in(t, Pending)
	at := plan.Place{}
	if got := m.plan(1).PriorityOf(at); got != 1 {
		t.Fatalf("the priority is %d, expected the baseline's", got)
	}
	for _, v := range []int32{8, 2} {
		c := op(wire.Operate_SET_PRIORITY, of(1, 0))
		c.GetOperate().Priority = v
		m.must(c)
		if got := m.plan(1).PriorityOf(at); got != v {
			t.Errorf("the priority is %d, expected %d", got, v)
		}
	}
	m.s = restored(t, m.s)
	if got := m.plan(1).PriorityOf(at); got != 2 {
		t.Errorf("after a restore the priority is %d", got)
	}
}

func TestR9_RepeatedOperationsGiveTheSameAnswer(t *testing.T) {
	m := in(t, Failed)
	c := op(wire.Operate_RERUN_FAILED, of(1))
	c.RequestId, c.RequestHash = "k", []byte("h")
	if a := m.must(c); a.Instances != 1 || a.Plan != 1 {
		t.Fatalf("answered %v", a)
	}
	again := op(wire.Operate_RERUN_FAILED, of(1))
	again.RequestId, again.RequestHash = "k", []byte("h")
	if a := m.must(again); a.Instances != 1 || a.Plan != 1 {
		t.Fatalf("a retry was answered %v", a)
	}
}

func TestR5_6_YieldStopsAndQueuesAgain(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 2)))
	yield := func(fence uint64) *wire.Command {
		return turn(&wire.Turn{Yields: []*wire.Yield{{Plan: 1, Instance: 0, Fence: fence, ToPlan: 5, ToInstance: 3}}})
	}
	for n := 1; n <= 3; n++ {
		fence := m.grant(1, 0)
		m.must(yield(fence - 1))
		if lease(t, m.s, 1, 0).Ending() {
			t.Fatal("an old fence made a new attempt yield")
		}
		m.must(yield(fence))
		if l := lease(t, m.s, 1, 0); !l.Yielding || l.Stopping || l.Cause != "made way for the schedule's b5.3" {
			t.Fatalf("the lease is %+v", l)
		}
		if lease(t, restored(t, m.s), 1, 0).Yielding != true {
			t.Fatal("a snapshot loses it")
		}
		m.finish(1, 0, fence, wire.Outcome_STOPPED)
		m.status(1, 0, Again)
		a := m.s.Attempts(m.plan(1), 0)
		if p := m.plan(1); p.Yields(0) != n || p.Failures != 0 || a[n-1].Outcome != wire.Outcome_YIELDED || !strings.Contains(a[n-1].Cause, "b5.3") {
			t.Fatalf("yields %d, failures %d, attempts %+v", p.Yields(0), p.Failures, a)
		}
	}
	fence := m.grant(1, 0)
	m.must(yield(fence))
	m.finish(1, 0, fence, wire.Outcome_SUCCEEDED) // was faster
	m.status(1, 0, Succeeded)
	m.must(op(wire.Operate_RERUN, of(1, 0)))
	if m.plan(1).Yields(0) != 0 {
		t.Error("a person who asks again starts anew")
	}
	fence = m.grant(1, 0)
	m.must(yield(fence))
	m.must(op(wire.Operate_STOP, of(1, 0)))
	m.finish(1, 0, fence, wire.Outcome_STOPPED)
	m.status(1, 0, Stopped) // a person's stop is stronger
	m.must(op(wire.Operate_RERUN, of(1, 0)))
	fence = m.grant(1, 0)
	m.finish(1, 0, fence, wire.Outcome_YIELDED) // nobody asked it to
	m.status(1, 0, Failed)
}

func TestR5_6_OnlyPlansThatMakeWayYield(t *testing.T) {
	for _, c := range []wire.Request_OnConflict{wire.Request_WAIT, wire.Request_ALLOW} {
		m := ready(t, daily("a"))
		r := current("a", 1)
		r.OnConflict = c
		m.must(submit(r))
		fence := m.grant(1, 0)
		m.must(turn(&wire.Turn{Yields: []*wire.Yield{{Plan: 1, Fence: fence}}}))
		if lease(t, m.s, 1, 0).Ending() {
			t.Errorf("%s: it yields", c)
		}
	}
}
