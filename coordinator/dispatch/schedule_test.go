package dispatch

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// switchedOn is a node that the schedule runs at 13:00, an hour after the
// bench's noon.
var switchedOn = &wire.Node{Id: "a", Code: "true", Auto: true, Schedule: &wire.Schedule{Kind: wire.Schedule_DAILY, At: 13 * 3600}}

// generate makes today's plan of the schedule and gives its id.
func (b *bench) generate() uint64 {
	b.t.Helper()
	zone := plan.WireZone(calendar.ResolveZone(time.UTC, today-100, today+10))
	zone.Name = "UTC"
	return b.write(&wire.Command{Body: &wire.Command_Generate{Generate: &wire.Generate{
		Date: int32(today) - 1, Today: int32(today), ClusterZone: "UTC", Zones: []*wire.Zone{zone},
	}}}).Plan
}

// beside is a backfill's attempt of a node that the schedule runs in an hour.
func beside(t *testing.T, change func(*wire.Request)) (b *bench, c Conn, ref *wire.AttemptRef, auto uint64) {
	t.Helper()
	b = newBench(t, switchedOn)
	c = b.hello("x", "k1")
	b.turns()
	auto = b.generate()
	r := &wire.Request{Root: "a"}
	if change != nil {
		change(r)
	}
	id := b.submitDates(r, int32(today)-9, int32(today)-9)
	b.turns()
	_, work, _, _ := b.take(c)
	if len(work) != 1 || work[0].Ref.Plan != id {
		t.Fatalf("got %v, want the backfill's", work)
	}
	return b, c, work[0].Ref, auto
}

// submitDates submits for a range of dates.
func (b *bench) submitDates(r *wire.Request, from, to int32) uint64 {
	b.t.Helper()
	zone := plan.WireZone(calendar.ResolveZone(time.UTC, today-100, today+10))
	zone.Name = "UTC"
	r.Mode, r.Groups, r.Dates = wire.Request_CURRENT, 1, []*wire.DateRange{{From: from, To: to}}
	return b.write(&wire.Command{Actor: "ann", Body: &wire.Command_Submit{Submit: &wire.Submit{
		Request: r, Today: int32(today), ClusterZone: "UTC", Zones: []*wire.Zone{zone},
	}}}).Plan
}

// at moves the time on, the agent renewing.
func (b *bench) at(t time.Time, c Conn, held ...*wire.AttemptRef) {
	b.now = t
	b.renew(c, 1, held...)
	b.turns()
}

func TestR5_6_ABackfillsAttemptGivesWayAndComesBack(t *testing.T) {
	b, c, ref, auto := beside(t, nil)
	b.at(noon.Add(time.Hour-time.Second), c, ref)
	if _, work, stops, _ := b.take(c); work != nil || stops != nil {
		t.Fatalf("before the schedule's time: work %v, stops %v", work, stops)
	}
	b.at(noon.Add(time.Hour), c, ref)
	_, work, stops, _ := b.take(c)
	if work != nil || len(stops) != 1 || !proto.Equal(stops[0].Ref, ref) || stops[0].GraceMs != 10000 {
		t.Fatalf("at its time: work %v, stops %v; want a stop with grace, and the schedule's instance to wait for the end", work, stops)
	}
	b.turns()
	if _, _, stops, _ := b.take(c); stops != nil {
		t.Fatalf("told again: %v", stops)
	}
	b.core.Report(c, &wire.Report{Results: []*wire.AttemptResult{ended(ref, wire.Outcome_STOPPED)}}, b.now)
	b.turns()
	if _, work, _, _ := b.take(c); len(work) != 1 || work[0].Ref.Plan != auto {
		t.Fatalf("after its end %v, want the schedule's", work)
	} else {
		b.status(ref.Plan, ref.Instance, state.Again)
		p, _ := b.st.Plan(ref.Plan)
		if a := b.st.Attempts(p, ref.Instance); len(a) != 1 || a[0].Outcome != wire.Outcome_YIELDED {
			t.Fatalf("the attempt is recorded as %v, want yielded", a)
		}
		b.core.Report(c, &wire.Report{Results: []*wire.AttemptResult{ended(work[0].Ref, wire.Outcome_SUCCEEDED)}}, b.now)
		b.turns()
	}
	if _, work, _, _ := b.take(c); len(work) != 1 || work[0].Ref.Plan != ref.Plan || work[0].Ref.Attempt != 2 {
		t.Fatalf("after the schedule's %v, want the backfill's second attempt", work)
	}
}

func TestR5_6_UnderWaitNothingIsStopped(t *testing.T) {
	b, c, ref, auto := beside(t, func(r *wire.Request) { r.OnConflict = wire.Request_WAIT })
	b.at(noon.Add(time.Hour), c, ref)
	if _, work, stops, _ := b.take(c); work != nil || stops != nil {
		t.Fatalf("work %v, stops %v; want the schedule to wait", work, stops)
	}
	b.core.Report(c, &wire.Report{Results: []*wire.AttemptResult{ended(ref, wire.Outcome_SUCCEEDED)}}, b.now)
	b.turns()
	if _, work, _, _ := b.take(c); len(work) != 1 || work[0].Ref.Plan != auto {
		t.Fatalf("after its end %v, want the schedule's", work)
	}
}

func TestR5_6_AYieldReachesAnAgentThatWasAway(t *testing.T) {
	b, c, ref, auto := beside(t, nil)
	b.at(noon.Add(time.Hour-time.Second), c, ref)
	b.core.Gone(c)
	b.now = noon.Add(time.Hour)
	b.turns()
	l, ok := b.st.Lease(ref.Plan, ref.Instance)
	if !ok || !l.Yielding {
		t.Fatalf("the lease is %+v, want it to give way", l)
	}
	again := b.hello("x", "k1", ref)
	b.turns()
	if _, _, stops, _ := b.take(again); len(stops) != 1 {
		t.Fatalf("the new stream is told of %v", stops)
	}
	// And one that never comes back ends with its lease, and gave way all the same.
	b.core.Gone(again)
	spare := b.hello("y", "k2")
	b.now = b.now.Add(14 * time.Second)
	b.renew(spare, 1)
	b.turns()
	b.now = b.now.Add(2 * time.Second)
	b.renew(spare, 2)
	b.turns()
	p, _ := b.st.Plan(ref.Plan)
	if a := b.st.Attempts(p, ref.Instance); len(a) != 1 || a[0].Outcome != wire.Outcome_YIELDED {
		t.Errorf("the attempt is recorded as %v, want yielded", a)
	}
	if _, work, _, _ := b.take(spare); len(work) != 1 || work[0].Ref.Plan != auto {
		t.Errorf("the other agent has %v, want the schedule's", work)
	}
}

func TestR9_AStopOfOneInstanceReachesItsAgent(t *testing.T) {
	b, c, held := working(t)
	other := b.hello("y", "k2")
	b.turns()
	b.take(other)
	b.write(operate(wire.Operate_STOP, &wire.Target{Plan: 1, Instances: []uint64{1}}))
	b.turns()
	_, _, stops, _ := b.take(c)
	if len(stops) != 1 || stops[0].Ref.Instance != 1 || stops[0].Cause != "stopped by ann" {
		t.Fatalf("the agent is told of %v, want the one instance", stops)
	}
	if _, work, stops, _ := b.take(other); work != nil || stops != nil {
		t.Errorf("another agent is told of %v %v", work, stops)
	}
	b.core.Report(c, &wire.Report{Results: []*wire.AttemptResult{ended(held[1], wire.Outcome_FAILED)}}, b.now)
	b.turns()
	b.status(1, 1, state.Stopped)
	b.status(1, 0, state.Running)
}

func TestR9_AStopOfAnInstanceBetweenATurnAndItsEntry(t *testing.T) {
	b, c, held := working(t)
	b.core.Report(c, &wire.Report{Results: []*wire.AttemptResult{ended(held[0], wire.Outcome_SUCCEEDED)}}, b.now)
	b.turns(func() { b.write(operate(wire.Operate_STOP, &wire.Target{Plan: 1, Instances: []uint64{1}})) })
	if _, _, stops, _ := b.take(c); len(stops) != 1 || stops[0].Ref.Instance != 1 {
		t.Fatalf("told of %v", stops)
	}
}

func TestR9_AfterAPauseIsAcknowledgedNothingIsGranted(t *testing.T) {
	for name, op := range map[string]wire.Operate_Kind{"pause": wire.Operate_PAUSE, "stop": wire.Operate_STOP} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, job)
			c := b.hello("x", "k1")
			b.turns()
			b.submit(9, &wire.Request{Root: "a"})
			b.turns()
			_, work, _, _ := b.take(c)
			// The slots of both become free, in the turn before which the entry comes.
			for _, w := range work {
				b.core.Report(c, &wire.Report{Results: []*wire.AttemptResult{ended(w.Ref, wire.Outcome_SUCCEEDED)}}, b.now)
			}
			b.turns(func() { b.write(operate(op, &wire.Target{Plan: 1})) })
			b.lead()
			again := b.hello("x", "k1")
			b.turns()
			_, more, _, _ := b.take(c)
			_, later, _, _ := b.take(again)
			if more != nil || later != nil || b.st.LeaseCount() != 0 {
				t.Errorf("granted %v and %v", more, later)
			}
		})
	}
}

func TestR9_WhatIsFrozenAndCouldHaveStartedIsMissed(t *testing.T) {
	b := newBench(t, job, &wire.Node{Id: "d", Code: "true", Upstreams: []*wire.Upstream{{Node: "a"}}})
	c := b.hello("x", "k1")
	b.turns()
	b.submit(1, &wire.Request{Root: "a", Mode: wire.Request_DESCENDANTS})
	b.write(operate(wire.Operate_FREEZE, &wire.Target{Plan: 1, Instances: []uint64{1}}))
	b.turns()
	b.status(1, 1, state.Frozen) // what it waits for has not succeeded
	_, work, _, _ := b.take(c)
	b.core.Report(c, &wire.Report{Results: []*wire.AttemptResult{ended(work[0].Ref, wire.Outcome_SUCCEEDED)}}, b.now)
	b.turns()
	b.status(1, 1, state.Missed) // in the same entry
	if _, work, _, _ := b.take(c); work != nil {
		t.Errorf("what is frozen runs: %v", work)
	}
}

func TestR1_6_DatesAddedLaterAreDefinedWithTheirOwnDay(t *testing.T) {
	b := newBench(t, job)
	c := b.hello("x", "k1")
	b.turns()
	b.submitDates(&wire.Request{Root: "a"}, int32(today)-5, int32(today)-5)
	zone := plan.WireZone(calendar.ResolveZone(time.UTC, today-100, today+10))
	zone.Name = "UTC"
	groups := int32(2)
	b.write(&wire.Command{Actor: "ann", Body: &wire.Command_EditPlan{EditPlan: &wire.EditPlan{
		Plan: 1, Groups: &groups, AddDates: []*wire.DateRange{{From: int32(today) - 3, To: int32(today) - 3}}, Today: int32(today) + 1, Zones: []*wire.Zone{zone},
	}}})
	b.turns()
	generated := map[int32]int32{} // by date
	days := map[uint64]int32{}
	for _, m := range b.sent[c] {
		for _, d := range m.GetAssign().GetDefinitions() {
			days[d.Id] = d.Generated
		}
		for _, w := range m.GetAssign().GetWork() {
			generated[w.DataTimestamp] = days[w.Definition]
		}
	}
	if len(generated) != 2 || generated[int32(today)-5] != int32(today) || generated[int32(today)-3] != int32(today)+1 {
		t.Errorf("generated on %v, want each date with the day on which it was taken in", generated)
	}
}

func TestR6_ManyDryRunsComeInTurnsOfBoundedSize(t *testing.T) {
	b := newBench(t, &wire.Node{Id: "a", Code: "true", Schedule: &wire.Schedule{Kind: wire.Schedule_MINUTELY, To: 86340, Every: 1}})
	b.submitDates(&wire.Request{Root: "a", DryRun: true}, int32(today)-41, int32(today)-2)
	turns := 0
	for {
		turn := b.core.Turn(b.now)
		if turn == nil {
			break
		}
		if n := transitions(turn); n > maxOthers+1440 {
			t.Fatalf("%d transitions in a turn", n)
		}
		r, _ := b.apply(&wire.Command{Body: &wire.Command_Turn{Turn: turn}})
		b.send(b.core.Committed(b.st, r.Changes, r.Refused, b.now))
		if turns++; turns < 5 && !b.core.Busy() {
			t.Fatal("more is to be done, and it does not say so")
		}
	}
	p, _ := b.st.Plan(1)
	if !p.Succeeded() || turns < 5 || b.core.Busy() {
		t.Errorf("after %d turns %v", turns, p.Total())
	}
}
