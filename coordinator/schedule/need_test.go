package schedule

import (
	"testing"
	"time"

	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// TestR5_3_AnAutoInstanceThatNeverRanHoldsTheNextDate: stopped before it ever
// ran, it has no newest run that could stand for it.
func TestR5_3_AnAutoInstanceThatNeverRanHoldsTheNextDate(t *testing.T) {
	a := onItself(daily("a"))
	a.Auto = true
	f := newFacts(t, a)
	before, id := f.generate(int32(today)-1), f.generate(int32(today))
	f.operate(before, stopped, 0)
	if b := f.check(id, 0); b.Kind != Predecessor || b.Plan != before {
		t.Errorf("%+v: expected to wait for the stopped instance of the date before", b)
	}
}

// TestR5_6_AForcedCycleKeepsBackfillsOffBeforeTheOthersAreDue: the cycles before
// it wait for their time, it does not.
func TestR5_6_AForcedCycleKeepsBackfillsOffBeforeTheOthersAreDue(t *testing.T) {
	a := daily("a")
	a.Auto, a.Schedule = true, &wire.Schedule{Kind: wire.Schedule_HOURLY, From: 0, To: 3600, Every: 60}
	f := newFacts(t, a)
	auto := f.generate(int32(today))
	f.operate(auto, wire.Operate_FORCE_RUN, 1)
	id := f.submit(1, &wire.Request{Root: "a"})
	if b := f.check(id, 0); b.Kind != Conflict || b.Plan != auto || b.Instance != 1 {
		t.Errorf("%+v: expected a conflict with the forced cycle", b)
	}
}

// TestR8_APlanWithADateBehindAForcedOneStillMoves: the first date has failed, the
// third was forced and has succeeded, so the fourth may start.
func TestR8_APlanWithADateBehindAForcedOneStillMoves(t *testing.T) {
	f := newFacts(t, daily("a"))
	id := f.submit(4, &wire.Request{Root: "a"})
	f.run(id, 0, failed)
	f.operate(id, wire.Operate_FORCE_RUN, 2)
	f.run(id, 2, ok)
	p, _ := f.st.Plan(id)
	if b, shown := f.check(id, 3), Plan(f.st, p, f.now); b.Kind != Nothing || shown != Running {
		t.Errorf("the fourth date waits for %+v, the plan is shown as %d: expected it ready, and the plan running", b, shown)
	}
}

// TestR4_5_ContinuePassesADateWithoutInstances: on the night in between the
// clocks skip the node's only hour.
func TestR4_5_ContinuePassesADateWithoutInstances(t *testing.T) {
	for _, gate := range []wire.Request_Gate{wire.Request_DAY, wire.Request_NODE} {
		a := daily("a")
		a.Schedule = &wire.Schedule{Kind: wire.Schedule_HOURLY, From: 2 * 3600, To: 2 * 3600, Every: 60, Zone: "Europe/Berlin"}
		f := newFacts(t, a)
		spring := int32(calendar.DateOf(2021, 3, 26))
		c := f.submission(1, &wire.Request{
			Root: "a", Gate: gate, OnFailure: wire.Request_CONTINUE, Dates: []*wire.DateRange{{From: spring, To: spring + 2}},
		})
		berlin, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		z := plan.WireZone(calendar.ResolveZone(berlin, calendar.Date(spring), calendar.Date(spring+2)))
		c.GetSubmit().Zones = append(c.GetSubmit().Zones, z)
		id := f.must(c).Plan
		f.run(id, 0, failed)
		for opens := f.sched.Opens(); len(opens) > 0; opens = f.sched.Opens() {
			f.turn(&wire.Turn{Opens: opens})
		}
		if got := f.grants(2); len(got) != 1 || got[0] != (name{id, 1}) {
			t.Errorf("%s: %v starts after the first date has failed: expected the third date's instance", gate, got)
		}
	}
}

// TestR5_3_AnAutoInstanceWaitsForTheRepairThatRuns: and so it still moves,
// although the schedule's own instance of the date before has failed.
func TestR5_3_AnAutoInstanceWaitsForTheRepairThatRuns(t *testing.T) {
	a := onItself(daily("a"))
	a.Auto = true
	f := newFacts(t, a)
	before, id := f.generate(int32(today)-1), f.generate(int32(today))
	f.operate(before, stopped, 0)
	repair := f.submit(0, &wire.Request{Root: "a", Dates: []*wire.DateRange{{From: int32(today) - 1, To: int32(today) - 1}}})
	f.grant(repair, 0)
	if b := f.check(id, 0); b.Kind != Predecessor || b.Plan != repair {
		t.Errorf("%+v: expected to wait for the repair that runs", b)
	}
}

// TestR5_5_ADescendingPlanDoesNotWaitForWhatWaitsForIt: the same cycle of a later
// plan failed once, while the earlier plan was stopped, and runs again after
// that plan's own, which comes last in its order.
func TestR5_5_ADescendingPlanDoesNotWaitForWhatWaitsForIt(t *testing.T) {
	for _, gate := range []wire.Request_Gate{wire.Request_DAY, wire.Request_NODE} {
		f := newFacts(t, onItself(daily("a")))
		plan := f.submit(2, &wire.Request{Root: "a", Gate: gate, Order: wire.Request_DESCENDING})
		f.operate(plan, stopped)
		other := f.submit(0, &wire.Request{Root: "a", Dates: []*wire.DateRange{{From: int32(today) - 2, To: int32(today) - 2}}})
		f.run(other, 0, failed)
		f.operate(plan, wire.Operate_RESUME)
		if b := f.check(plan, 0); b != (Block{Kind: Predecessor, Plan: other}) {
			t.Errorf("%s: %+v: expected to wait for the failed run of the date before", gate, b)
		}
		f.rerun(other, 0)
		if b := f.check(other, 0); b != (Block{Kind: Overlap, Plan: plan, Instance: 1}) {
			t.Errorf("%s: %+v: expected the later plan to wait for the earlier one's instance of its cycle", gate, b)
		}
		for i, want := range []name{{plan, 0}, {plan, 1}, {other, 0}} {
			if got := f.grants(2); len(got) != 1 || got[0] != want {
				t.Fatalf("%s: %v is granted as number %d: expected %v", gate, got, i, want)
			}
			f.run(want.plan, want.instance, ok)
		}
	}
}
