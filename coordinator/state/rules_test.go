package state

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

func TestR9_RetriesAndWhatUsesOne(t *testing.T) {
	const (
		ok, failed, timeout = wire.Outcome_SUCCEEDED, wire.Outcome_FAILED, wire.Outcome_TIMED_OUT
		lost, stopped       = wire.Outcome_LOST, wire.Outcome_STOPPED
	)
	for _, c := range []struct {
		name     string
		retries  int32
		outcomes []wire.Outcome
		after    []Status
	}{
		{"no retries by default", 0, []wire.Outcome{failed}, []Status{Failed}},
		{"a failure and a timeout use one each", 2, []wire.Outcome{failed, timeout, failed}, []Status{Retrying, Retrying, Failed}},
		{"a loss uses none", 1, []wire.Outcome{lost, lost, failed, lost, failed}, []Status{Again, Again, Retrying, Again, Failed}},
		{"a stop cancels them", 3, []wire.Outcome{failed, stopped}, []Status{Retrying, Stopped}},
		{"success after a retry", 1, []wire.Outcome{failed, ok}, []Status{Retrying, Succeeded}},
		{"an outcome that is none is a failure", 0, []wire.Outcome{0}, []Status{Failed}},
		{"an outcome of a newer agent is a failure", 0, []wire.Outcome{256}, []Status{Failed}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := daily("a")
			n.Retries = c.retries
			m := ready(t, n)
			m.must(submit(current("a", 1)))
			for i, o := range c.outcomes {
				m.run(1, 0, o)
				m.status(1, 0, c.after[i])
				attempts := m.s.Attempts(m.plan(1), 0)
				if len(attempts) != i+1 || attempts[i].Agent != "a1" || attempts[i].ExitCode != 1 || attempts[i].Version != 1 {
					t.Fatalf("attempts are %+v", attempts)
				}
			}
		})
	}
}

func TestR9_RetryDelayCountsByTheLeadersClock(t *testing.T) {
	n := daily("a")
	n.Retries, n.RetryDelayMs = 2, 60_000
	m := ready(t, n)
	m.must(submit(current("a", 1)))
	fence := m.grant(1, 0)
	m.must(turn(&wire.Turn{Finishes: []*wire.Finish{{
		Plan: 1, Fence: fence, Outcome: wire.Outcome_FAILED, StartedMs: m.now + 3_600_000, EndedMs: m.now + 3_600_005, // an hour ahead
	}}}))
	next, of, due := m.plan(1).Retry(plan.Place{})
	if next != 1 || of != 2 || due != m.now+60_000 {
		t.Fatalf("retry %d of %d at %d, expected 1 of 2 at %d", next, of, due, m.now+60_000)
	}
}

func TestR9_RerunGivesTheRetriesBack(t *testing.T) {
	n := daily("a")
	n.Retries = 1
	m := ready(t, n)
	m.must(submit(current("a", 1)))
	m.run(1, 0, wire.Outcome_FAILED)
	m.run(1, 0, wire.Outcome_FAILED)
	m.status(1, 0, Failed)
	m.must(rerun(1, 0))
	m.status(1, 0, Again)
	m.run(1, 0, wire.Outcome_FAILED)
	m.status(1, 0, Retrying)
	if got := m.s.Attempts(m.plan(1), 0); got[2].Number != 3 {
		t.Fatalf("attempts go on counting over a rerun: got %+v", got)
	}
}

func TestR9_StopCancelsRetriesAndLetsNothingStart(t *testing.T) {
	n := daily("a")
	n.Retries = 5
	m := ready(t, n)
	m.must(submit(current("a", 3)))
	m.run(1, 0, wire.Outcome_FAILED)
	fence := m.grant(1, 1)
	m.must(operate(1, wire.Operate_STOP))
	m.status(1, 0, Failed)
	l, _ := m.s.Lease(1, 1)
	if !l.Stopping || l.Cause != "stopped by bob" {
		t.Fatalf("the running attempt is not being stopped: %+v", l)
	}
	for i := range uint64(3) {
		r := m.do(turn(&wire.Turn{Grants: []*wire.Grant{{Plan: 1, Instance: i, Agent: "a1", ResourceGroup: "default"}}}))
		if len(r.Refused) != 1 {
			t.Fatalf("instance %d was started in a stopped plan", i)
		}
	}
	m.finish(1, 1, fence, wire.Outcome_FAILED)
	m.status(1, 1, Stopped)
	if a := m.s.Attempts(m.plan(1), 1); a[0].Cause != "stopped by bob" {
		t.Fatalf("the attempt's cause is %q", a[0].Cause)
	}
	m.refused(fault.Conflict, operate(1, wire.Operate_PAUSE))
	m.must(operate(1, wire.Operate_RESUME))
	m.run(1, 2, wire.Outcome_SUCCEEDED)
	m.status(1, 2, Succeeded)
}

func TestR9_ASuccessThatBeatsTheStopCounts(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 1)))
	fence := m.grant(1, 0)
	m.must(operate(1, wire.Operate_STOP))
	m.finish(1, 0, fence, wire.Outcome_SUCCEEDED)
	m.status(1, 0, Succeeded)
}

func TestR9_PauseResumeAndFinishedPlans(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 2)))
	m.must(operate(1, wire.Operate_PAUSE))
	if !m.plan(1).Blocked(0) {
		t.Fatal("a paused plan lets instances start")
	}
	m.must(operate(1, wire.Operate_RESUME))
	m.run(1, 0, wire.Outcome_SUCCEEDED)
	m.run(1, 1, wire.Outcome_FAILED)
	for _, k := range []wire.Operate_Kind{wire.Operate_STOP, wire.Operate_PAUSE, wire.Operate_RESUME} {
		m.refused(fault.Conflict, operate(1, k))
	}
	m.refused(fault.NotFound, operate(7, wire.Operate_STOP))
	m.must(rerun(1, 1))
	m.refused(fault.Invalid, operate(1, 9))
}

func TestR9_ResumeReopensAStoppedPlanThatHasEnded(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 1)))
	fence := m.grant(1, 0)
	m.must(operate(1, wire.Operate_STOP))
	m.finish(1, 0, fence, wire.Outcome_STOPPED)
	m.must(operate(1, wire.Operate_RESUME))
	if m.plan(1).Stopped {
		t.Fatal("the plan is still stopped")
	}
}

func TestR4_5_StopAfterHaltsAndResumeResets(t *testing.T) {
	m := ready(t, daily("a"))
	r := current("a", 6)
	r.StopAfter = 2
	m.must(submit(r))
	m.run(1, 0, wire.Outcome_FAILED)
	if m.plan(1).Halted {
		t.Fatal("halted after one failure of two")
	}
	m.run(1, 1, wire.Outcome_FAILED)
	if !m.plan(1).Halted || !m.plan(1).Blocked(2) {
		t.Fatal("not halted after two failures")
	}
	m.must(operate(1, wire.Operate_RESUME))
	m.run(1, 2, wire.Outcome_FAILED)
	if m.plan(1).Halted {
		t.Fatal("resume did not begin to count anew")
	}
	m.run(1, 3, wire.Outcome_TIMED_OUT)
	if !m.plan(1).Halted {
		t.Fatal("not halted again")
	}
}

func TestR9_RerunAllOrNothingNamesEveryOffender(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 6)))
	m.run(1, 0, wire.Outcome_SUCCEEDED)
	m.run(1, 1, wire.Outcome_FAILED)
	m.grant(1, 2)
	m.run(1, 3, wire.Outcome_LOST)
	err := m.refused(fault.Conflict, rerun(1, 0, 1, 2, 3, 4))
	var named []string
	for _, d := range err.Details {
		named = append(named, d.Field)
	}
	if !slices.Equal(named, []string{"b1.2", "b1.3"}) {
		t.Fatalf("offenders named: %v", named)
	}
	err = m.refused(fault.NotFound, rerun(1, 0, 2, 99, 100))
	if len(err.Details) != 3 {
		t.Fatalf("expected the running one and both that there are not: %v", err)
	}
	m.must(rerun(1, 1, 0, 1, 4)) // a finished one, a failed one twice, one that never started
	m.status(1, 0, Again)
	m.status(1, 1, Again)
	m.status(1, 4, Pending)
	m.refused(fault.Invalid, rerun(1))
	m.refused(fault.TooLarge, rerun(1, make([]uint64, MaxNamed+1)...))
}

func TestR9_RerunFailedTakesExactlyTheFailed(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 4)))
	m.run(1, 0, wire.Outcome_SUCCEEDED)
	m.run(1, 1, wire.Outcome_FAILED)
	m.run(1, 2, wire.Outcome_STOPPED)
	m.must(operate(1, wire.Operate_RERUN_FAILED))
	for i, want := range []Status{Succeeded, Again, Again, Pending} {
		m.status(1, uint64(i), want)
	}
	m.refused(fault.Conflict, operate(1, wire.Operate_RERUN_FAILED))
	m.refused(fault.Invalid, op(wire.Operate_RERUN_FAILED, of(1, 1)))
}

func TestR9_RerunInAStoppedPlanRunsExactlyTheNamed(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 4)))
	m.run(1, 0, wire.Outcome_FAILED)
	m.run(1, 1, wire.Outcome_LOST) // waits to run again when the stop comes
	m.must(operate(1, wire.Operate_STOP))
	m.must(rerun(1, 0, 1, 2))
	for i, blocked := range []bool{false, false, false, true} {
		if m.plan(1).Blocked(uint64(i)) != blocked {
			t.Errorf("instance %d: blocked is %v, expected %v", i, !blocked, blocked)
		}
	}
	m.run(1, 0, wire.Outcome_SUCCEEDED)
	m.run(1, 1, wire.Outcome_SUCCEEDED)
	m.must(rerun(1, 1))
	m.refused(fault.Conflict, rerun(1, 1)) // waits already
	m.must(operate(1, wire.Operate_STOP))
	if !m.plan(1).Blocked(2) {
		t.Error("a second stop left a named instance free to start")
	}
}

func TestR11_DefaultNames(t *testing.T) {
	m := ready(t, daily("a"), daily("b"))
	name := func(r *wire.Request, day int32) string {
		c := submit(r)
		c.GetSubmit().Today += day
		return m.plan(m.must(c).Plan).Name
	}
	own := current("a", 1)
	own.Name = "a_20210824_7"
	for i, got := range []string{
		name(current("a", 1), 0), name(current("b", 1), 0), name(own, 0), name(current("a", 1), 0),
		name(current("a", 1), 1), name(current("b", 1), 1), name(current("a", 1), 1),
	} {
		want := []string{"a_20210824_1", "b_20210824_1", "a_20210824_7", "a_20210824_2", "a_20210825_1", "b_20210825_1", "a_20210825_2"}[i]
		if got != want {
			t.Errorf("name %d is %q, expected %q", i, got, want)
		}
	}
}

func TestR5_8_OverlapWarnsRefusesAndNeverRunsTwice(t *testing.T) {
	m := ready(t, daily("a"), daily("b", "a"))
	m.must(submit(current("a", 3)))
	if a := m.must(submit(current("b", 3))); len(a.Warnings) > 0 {
		t.Fatalf("another node is no overlap: %v", a.Warnings)
	}
	a := m.must(submit(current("a", 5)))
	if len(a.Warnings) != 1 || !strings.Contains(a.Warnings[0], "b1") {
		t.Fatalf("warnings: %v", a.Warnings)
	}
	r := current("a", 1)
	r.Overlap = wire.Request_OVERLAP_REFUSE
	if err := m.refused(fault.Conflict, submit(r)); !strings.Contains(err.Message, "b1") || !strings.Contains(err.Message, "b3") {
		t.Fatalf("both plans in the way are to be named: %v", err)
	}
	fence := m.grant(1, 2) // the last day, instance 4 of plan 3
	again := turn(&wire.Turn{Grants: []*wire.Grant{{Plan: 3, Instance: 4, Agent: "a1", ResourceGroup: "default"}}})
	if r := m.do(again); len(r.Refused) != 1 || !strings.Contains(r.Refused[0].Err.Error(), "b1.2") {
		t.Fatalf("the cycle runs twice at once: %+v", r)
	}
	m.finish(1, 2, fence, wire.Outcome_SUCCEEDED)
	m.run(3, 4, wire.Outcome_SUCCEEDED)
}

func TestR6_DryRunsHaveNoLeaseAndPlayNoPartInOverlaps(t *testing.T) {
	m := ready(t, daily("a"))
	dry := current("a", 2)
	dry.DryRun = true
	m.must(submit(dry))
	strict := current("a", 2)
	strict.Overlap = wire.Request_OVERLAP_REFUSE
	m.must(submit(strict)) // a dry run is not in its way
	again := current("a", 2)
	again.DryRun, again.Overlap = true, wire.Request_OVERLAP_REFUSE
	m.must(submit(again)) // and nothing is in a dry run's way
	r := m.do(turn(&wire.Turn{Grants: []*wire.Grant{{Plan: 1, Agent: "a1", ResourceGroup: "default"}}}))
	if len(r.Refused) != 1 {
		t.Fatal("a dry run was leased")
	}
	m.must(turn(&wire.Turn{DryRuns: []*wire.DryRuns{{Plan: 1, Instances: []uint64{0, 1, 2}}, {Plan: 2, Instances: []uint64{0}}}}))
	m.status(1, 0, DryRun)
	m.status(2, 0, Pending)
	if !m.plan(1).Succeeded() {
		t.Fatal("the dry run's plan has not succeeded")
	}
}

func TestR1_6_CodeVersionAtGrant(t *testing.T) {
	m := ready(t, daily("a"))
	pinned := current("a", 1)
	pinned.PinCode = true
	m.must(submit(current("a", 3)))
	m.must(submit(pinned))
	newer := daily("a")
	newer.Code = "echo new"
	m.must(apply(newer))
	m.grant(1, 0)
	if l, _ := m.s.Lease(1, 0); l.Version != 2 {
		t.Errorf("the attempt runs version %d, expected the newest, 2", l.Version)
	}
	m.grant(2, 0)
	if l, _ := m.s.Lease(2, 0); l.Version != 1 {
		t.Errorf("the attempt runs version %d, expected the pinned one, 1", l.Version)
	}
	m.must(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Remove: []string{"a"}}}})
	m.grant(1, 1)
	if l, _ := m.s.Lease(1, 1); l.Version != 1 {
		t.Errorf("the attempt of a removed node runs version %d, expected the plan's, 1", l.Version)
	}
	if a := m.must(apply(daily("a"))); a.Nodes[0].Version != 3 || a.Nodes[0].Kind != wire.NodeChange_ADDED {
		t.Errorf("a node that comes back goes on counting: %v", a.Nodes)
	}
}

func TestApplyNodesIsAllOrNothing(t *testing.T) {
	m := ready(t, daily("a"))
	m.refused(fault.Invalid, apply(daily("b"), daily("c", "nowhere")))
	m.refused(fault.Invalid, apply(daily("b"), daily("b")))
	urgent := daily("b")
	urgent.Baseline, urgent.Priority = "default", 7
	m.refused(fault.Invalid, apply(urgent)) // baseline "default" has priority 1
	m.refused(fault.Invalid, &wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Remove: []string{"b"}}}})
	m.refused(fault.Invalid, submit(nil))
}

func TestR13_4_StaleAndRepeatedReportsChangeNothing(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 1)))
	first := m.grant(1, 0)
	m.finish(1, 0, first, wire.Outcome_LOST)
	second := m.grant(1, 0)
	for _, fence := range []uint64{0, first, second + 1} {
		m.finish(1, 0, fence, wire.Outcome_SUCCEEDED)
		m.status(1, 0, Running)
	}
	m.finish(1, 0, second, wire.Outcome_SUCCEEDED)
	m.finish(1, 0, second, wire.Outcome_FAILED)
	m.status(1, 0, Succeeded)
	if n := len(m.s.Attempts(m.plan(1), 0)); n != 2 {
		t.Fatalf("%d attempts, expected 2", n)
	}
}

func TestEditsOfOneStateKeepTheirHistoriesApart(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 60)))
	var all wire.Turn
	for i := range uint64(10) {
		all.Grants = append(all.Grants, &wire.Grant{Plan: 1, Instance: i, Agent: "a1", ResourceGroup: "default"})
	}
	m.must(turn(&all))
	end := func(s *State, instances ...uint64) *State {
		e := s.Edit(s.Index()+1, s.NowMs())
		for _, i := range instances {
			if !e.Finish(&wire.Finish{Plan: 1, Instance: i, Fence: m.index, Outcome: wire.Outcome_FAILED, Cause: strings.Repeat("x", int(i))}) {
				t.Fatalf("instance %d did not finish", i)
			}
		}
		next, _ := e.Done()
		return next
	}
	base := end(m.s, 0, 1, 2, 3, 4, 5, 6, 7) // many in one edit: it leaves room behind them
	one, other := end(base, 8), end(base, 9)
	for _, c := range []struct {
		s    *State
		want []uint64
	}{{base, nil}, {one, []uint64{8}}, {other, []uint64{9}}} {
		p, _ := c.s.Plan(1)
		for i := uint64(8); i < 10; i++ {
			attempts := c.s.Attempts(p, i)
			if slices.Contains(c.want, i) != (len(attempts) == 1) || len(attempts) == 1 && attempts[0].Cause != strings.Repeat("x", int(i)) {
				t.Errorf("instance %d: attempts are %+v, finished here: %v", i, attempts, c.want)
			}
		}
	}
}

func TestCauseIsClippedBetweenCharacters(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 1)))
	fence := m.grant(1, 0)
	m.must(turn(&wire.Turn{Finishes: []*wire.Finish{{Plan: 1, Fence: fence, Outcome: wire.Outcome_FAILED, Cause: strings.Repeat("語", 1000)}}}))
	cause := m.s.Attempts(m.plan(1), 0)[0].Cause
	if len(cause) > maxCause || !utf8.ValidString(cause) || !strings.HasSuffix(cause, "語…") {
		t.Fatalf("the cause is %d bytes, valid %v: %q", len(cause), utf8.ValidString(cause), cause[len(cause)-8:])
	}
}

func TestAgentsSlotsOverLeavingAndComingBackToAGroup(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 3)))
	m.grant(1, 0)
	m.grant(1, 1)
	gone := agent("a1", 4)
	gone.Groups[0].Group = "other"
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{gone}}))
	if a, _ := m.s.Agent("a1"); a.Used[0] != 0 || a.Free("default") != 0 || a.Free("other") != 4 {
		t.Fatalf("after leaving the group: %+v", a)
	}
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{agent("a1", 2)}}))
	if a, _ := m.s.Agent("a1"); a.Used[0] != 2 || a.Free("default") != 0 {
		t.Fatalf("after coming back: %+v", a)
	}
}

func TestIdempotencyKeysAreKeptForADay(t *testing.T) {
	m := ready(t, daily("a"))
	c := submit(current("a", 1))
	c.RequestId, c.RequestHash = "k", []byte("h")
	first := m.must(c)
	if again := m.must(submitKey("k", "h")); again.Plan != first.Plan || again.Index != first.Index {
		t.Fatalf("answered %v, before %v", again, first)
	}
	m.refused(fault.Conflict, submitKey("k", "other"))
	m.now += requestAge - 60_000
	m.must(submitKey("k1", "h")) // forgets what is old
	if again := m.must(submitKey("k", "h")); again.Plan != first.Plan {
		t.Fatal("the key was kept for less than a day")
	}
	m.now += 60_000
	m.must(submitKey("k2", "h"))
	if again := m.must(submitKey("k", "other")); again.Plan == first.Plan {
		t.Fatal("the key was kept for more than a day")
	}
}

func submitKey(id, hash string) *wire.Command {
	c := submit(current("a", 1))
	c.RequestId, c.RequestHash = id, []byte(hash)
	return c
}

func TestUnknownCommandsStopTheMachine(t *testing.T) {
	m := ready(t, daily("a"))
	for _, c := range []*wire.Command{{}, {Behaviour: Newest + 1, Body: submit(current("a", 1)).Body}} {
		next, r := m.s.Apply(m.index+1, c)
		if !fault.Is(r.Err, fault.Corrupt) || next != m.s {
			t.Errorf("got %v", r.Err)
		}
	}
}
