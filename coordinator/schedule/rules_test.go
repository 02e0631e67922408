package schedule

import (
	"testing"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

const hourMs = 3600_000

// on is a request for one node and single dates, given as days before today.
func on(root string, daysAgo ...int32) *wire.Request {
	r := &wire.Request{Root: root, Mode: wire.Request_CURRENT}
	for _, d := range daysAgo {
		r.Dates = append(r.Dates, &wire.DateRange{From: int32(today) - d, To: int32(today) - d})
	}
	return r
}

func with(r *wire.Request, change func(*wire.Request)) *wire.Request {
	change(r)
	return r
}

func at(n *wire.Node, clock int32) *wire.Node {
	n.Schedule.At = clock
	return n
}

func window(start, end int32) func(*wire.Request) {
	return func(r *wire.Request) { r.Period = &wire.Period{Start: start * 3600, End: end * 3600} }
}

func conflict(c wire.Request_OnConflict) func(*wire.Request) {
	return func(r *wire.Request) { r.OnConflict = c }
}

// TestR3_3_DueTimes: today is 2021-08-24, a Tuesday, noon.
func TestR3_3_DueTimes(t *testing.T) {
	early := func(r *wire.Request) { r.RunFutureEarly = true }
	a := []*wire.Node{at(daily("a"), 13*3600)}
	checkRows(t, []row{
		{"R3.3 T is past", a, func(f *facts) { f.submit(0, on("a", 2)) }, 1, 0, Block{}},
		{"R3.3 D = yesterday with T to come waits for T", a, func(f *facts) { f.submit(0, on("a", 1)) }, 1, 0, Block{Kind: Due, AtMs: noon + hourMs}},
		{"R3.3 at T it starts", a, func(f *facts) { f.submit(0, on("a", 1)); f.now += hourMs }, 1, 0, Block{}},
		{"R3.3 early: at 00:00 of D+1, which is past", a, func(f *facts) { f.submit(0, with(on("a", 1), early)) }, 1, 0, Block{}},
		{"R3.3 early: D = 2021-09-17 runs 2021-09-18 at 00:00", a, func(f *facts) { f.submit(0, with(on("a", -24), early)) }, 1, 0, Block{Kind: Due, AtMs: noon - 12*hourMs + 25*dayMs}},
	})
}

// TestR3_4_Windows: the period gates starts, from the due time on.
func TestR3_4_Windows(t *testing.T) {
	a := []*wire.Node{daily("a")}
	weekend := func(r *wire.Request) {
		r.Period = &wire.Period{Cycle: wire.Period_WEEKEND, Start: 9 * 3600, End: 86400}
	}
	checkRows(t, []row{
		{"R3.4 before it opens", a, func(f *facts) { f.submit(0, with(on("a", 1), window(20, 22))) }, 1, 0, Block{Kind: Window, AtMs: noon + 8*hourMs}},
		{"R3.4 inside", a, func(f *facts) { f.submit(0, with(on("a", 1), window(11, 13))) }, 1, 0, Block{}},
		{"R3.4 at its end it is closed", a, func(f *facts) { f.submit(0, with(on("a", 1), window(11, 12))) }, 1, 0, Block{Kind: Window, AtMs: noon + 23*hourMs}},
		{"R3.4 over midnight belongs to the day before", a, func(f *facts) { f.submit(0, with(on("a", 1), window(22, 13))) }, 1, 0, Block{}},
		{"R3.4 weekend", a, func(f *facts) { f.submit(0, with(on("a", 1), weekend)) }, 1, 0, Block{Kind: Window, AtMs: noon - 3*hourMs + 4*dayMs}},
		{"R3.4 due first, then the window", a, func(f *facts) { f.submit(0, with(on("a", 0), window(20, 22))) }, 1, 0, Block{Kind: Due, AtMs: noon + 12*hourMs}},
		{"R3.4 it gates starts only", a, func(f *facts) {
			f.submit(0, with(on("a", 1), window(11, 13)))
			f.grant(1, 0)
			f.now += 2 * hourMs
		}, 1, 0, Block{Kind: Ended}},
	})
	f := newFacts(t, a...)
	id := f.submit(0, with(on("a", 1), window(20, 22)))
	p, _ := f.st.Plan(id)
	if got := Plan(f.st, p, f.now); got != WaitingTime {
		t.Errorf("behind a closed window it is shown as %d, want Waiting time (R8)", got)
	}
	if next, ok := f.sched.NextMs(); !ok || next != noon+8*hourMs {
		t.Errorf("looked at again at %d %v, want when the window opens", next, ok)
	}
	f.now = noon + 8*hourMs
	f.sched.Tick(f.now)
	f.sched.Tick(f.now + 3*hourMs)
	if got := f.grants(1); got != nil {
		t.Errorf("%v start although the window has closed again", got)
	}
}

// TestR5_3_CrossCycle: previous cycles of children and named nodes.
func TestR5_3_CrossCycle(t *testing.T) {
	b := daily("b")
	b.Upstreams = []*wire.Upstream{{Node: "a", Previous: true}}
	parent := daily("p")
	parent.DependsOnChildren = true
	named := []*wire.Node{daily("a"), b}
	children := []*wire.Node{parent, daily("k", "p")}
	both := func(r *wire.Request) {
		r.Mode, r.Nodes, r.Root, r.Gate = wire.Request_ADVANCED, []string{"a", "b"}, "", wire.Request_NONE
	}
	checkRows(t, []row{
		{"R5.3 a named node's previous cycle in the plan", named, func(f *facts) { f.submit(0, with(on("", 2, 1), both)) }, 1, 3, Block{Kind: Upstream, Plan: 1, Instance: 0}},
		{"R5.3 whatever its group", named, func(f *facts) {
			f.submit(0, with(on("", 2, 1), func(r *wire.Request) { both(r); r.Groups = 2 }))
		}, 1, 3, Block{Kind: Upstream, Plan: 1, Instance: 0}},
		{"R5.3 it has succeeded", named, func(f *facts) { f.run(f.submit(0, with(on("", 2, 1), both)), 0, ok) }, 1, 3, Block{}},
		{"R5.3 outside the plan and never run: none", named, func(f *facts) { f.submit(0, on("b", 1)) }, 1, 0, Block{}},
		{"R5.3 outside the plan and failed", named, func(f *facts) {
			f.run(f.submit(0, on("a", 2)), 0, failed)
			f.submit(0, on("b", 1))
		}, 2, 0, Block{Kind: Upstream, Plan: 1, Instance: 0}},
		{"R5.3 outside the plan and repaired", named, func(f *facts) {
			f.run(f.submit(0, on("a", 2)), 0, failed)
			f.run(f.submit(0, on("a", 2)), 0, ok)
			f.submit(0, on("b", 1))
		}, 3, 0, Block{}},
		{"R5.3 children", children, func(f *facts) {
			f.run(f.submit(0, on("k", 2)), 0, failed)
			f.submit(0, on("p", 1))
		}, 2, 0, Block{Kind: Upstream, Plan: 1, Instance: 0}},
	})
}

// TestR5_5_TheScheduleIsOne: auto instances of different dates wait for each
// other; a repair counts, and so does for a backfill what the schedule ran.
func TestR5_5_TheScheduleIsOne(t *testing.T) {
	a := []*wire.Node{auto(onItself(daily("a")))}
	two := func(f *facts) { f.generate(int32(today) - 2); f.generate(int32(today) - 1) } // b1, b2
	yesterday := Block{Kind: Predecessor, Plan: 1, Instance: 0}
	checkRows(t, []row{
		{"R5.5 the date before has not run", a, two, 2, 0, yesterday},
		{"R5.5 it has failed", a, func(f *facts) { two(f); f.run(1, 0, failed) }, 2, 0, yesterday},
		{"R5.5 it has succeeded", a, func(f *facts) { two(f); f.run(1, 0, ok) }, 2, 0, Block{}},
		{"R5.5 it has failed and a backfill repaired it", a, func(f *facts) {
			two(f)
			f.run(1, 0, failed)
			f.run(f.submit(0, on("a", 2)), 0, ok)
		}, 2, 0, Block{}},
		{"R5.5 the repair has failed too", a, func(f *facts) {
			two(f)
			f.run(1, 0, failed)
			f.run(f.submit(0, on("a", 2)), 0, failed)
		}, 2, 0, Block{Kind: Predecessor, Plan: 3}}, // the newest run, which failed
		{"R5.5 it was set to success", a, func(f *facts) {
			two(f)
			f.run(1, 0, failed)
			f.operate(1, wire.Operate_SET_TO_SUCCESS, 0)
		}, 2, 0, Block{}},
		{"R5.5 a stop before it ran is no success", a, func(f *facts) { two(f); f.operate(1, stopped, 0) }, 2, 0, yesterday},
		{"R5.5 the schedule has no such date", a, func(f *facts) { f.generate(int32(today) - 1) }, 1, 0, Block{}},
		{"R5.5 for a backfill a waiting auto instance is none", a, func(f *facts) {
			f.generate(int32(today) - 2)
			f.operate(1, paused)
			f.submit(0, on("a", 1))
		}, 2, 0, Block{}},
		{"R5.5 for a backfill a failed auto instance counts", a, func(f *facts) {
			f.generate(int32(today) - 2)
			f.run(1, 0, failed)
			f.submit(0, on("a", 1))
		}, 2, 0, yesterday},
	})
}

// TestR5_6_BackfillAgainstSchedule: b1 is the schedule's yesterday, b2 a
// backfill of older dates of the same node.
func TestR5_6_BackfillAgainstSchedule(t *testing.T) {
	a := []*wire.Node{auto(daily("a")), daily("other")}
	late := []*wire.Node{auto(at(daily("a"), 13*3600))}
	behind := []*wire.Node{auto(daily("u")), auto(daily("a", "u"))}
	generate := func(f *facts) { f.generate(int32(today) - 1) }
	older := func(c wire.Request_OnConflict) *wire.Request { return with(on("a", 3), conflict(c)) }
	against := Block{Kind: Conflict, Plan: 1, Instance: 0}
	checkRows(t, []row{
		{"R5.6 the auto instance runs", a, func(f *facts) { generate(f); f.grant(1, 0); f.submit(0, older(wire.Request_WAIT)) }, 2, 0, against},
		{"R5.6 it is ready and could get a slot", a, func(f *facts) { generate(f); f.submit(0, older(wire.Request_YIELD)) }, 2, 0, against},
		{"R5.6 it is ready and its group is full", a, func(f *facts) {
			f.agent("a", 1, 0)
			f.submit(0, on("other", 1))
			f.grant(1, 0)
			generate(f)
			f.submit(0, older(wire.Request_YIELD))
		}, 3, 0, Block{}},
		{"R5.6 it is not due", late, func(f *facts) { generate(f); f.submit(0, older(wire.Request_YIELD)) }, 2, 0, Block{}},
		{"R5.6 an upstream holds it", behind, func(f *facts) { generate(f); f.submit(0, older(wire.Request_YIELD)) }, 2, 0, Block{}},
		{"R5.6 it has ended", a, func(f *facts) { generate(f); f.run(1, 0, failed); f.submit(0, older(wire.Request_YIELD)) }, 2, 0, Block{}},
		{"R5.6 it is frozen", a, func(f *facts) {
			generate(f)
			f.operate(1, wire.Operate_FREEZE, 0)
			f.submit(0, older(wire.Request_YIELD))
		}, 2, 0, Block{}},
		{"R5.6 allow", a, func(f *facts) { generate(f); f.grant(1, 0); f.submit(0, older(wire.Request_ALLOW)) }, 2, 0, Block{}},
		{"R5.6 another node", a, func(f *facts) { generate(f); f.grant(1, 0); f.submit(0, on("other", 3)) }, 2, 0, Block{}},
		{"R5.6 the auto instance waits for a backfill that runs", a, func(f *facts) {
			f.submit(0, older(wire.Request_WAIT))
			f.grant(1, 0)
			generate(f)
		}, 2, 0, against},
		{"R5.6 the same cycle as well", a, func(f *facts) {
			f.submit(0, with(on("a", 1), conflict(wire.Request_WAIT)))
			f.grant(1, 0)
			generate(f)
		}, 2, 0, against},
		{"R5.6 but not beside allow", a, func(f *facts) { f.submit(0, older(wire.Request_ALLOW)); f.grant(1, 0); generate(f) }, 2, 0, Block{}},
		{"R5.8 unless it is the same cycle", a, func(f *facts) {
			f.submit(0, with(on("a", 1), conflict(wire.Request_ALLOW)))
			f.grant(1, 0)
			generate(f)
		}, 2, 0, Block{Kind: Overlap, Plan: 1, Instance: 0}},
		{"R5.8 a backfill waits for an earlier auto instance of its cycle", late, func(f *facts) {
			generate(f)
			f.submit(0, with(on("a", 1), func(r *wire.Request) { r.OnConflict, r.RunFutureEarly = wire.Request_ALLOW, true }))
		}, 2, 0, Block{Kind: Overlap, Plan: 1, Instance: 0}},
		{"R5.8 an auto instance does not wait for an earlier backfill that waits", a, func(f *facts) {
			f.operate(f.submit(0, on("a", 1)), paused)
			generate(f)
		}, 2, 0, Block{}},
	})
}

// TestR5_6_Yield: a backfill attempt makes way, runs again after the auto
// instance, and does so three times at most.
func TestR5_6_Yield(t *testing.T) {
	hourly := auto(daily("a"))
	hourly.Schedule = &wire.Schedule{Kind: wire.Schedule_HOURLY, From: 12 * 3600, To: 18 * 3600, Every: 60}
	f := newFacts(t, hourly)
	f.agent("a", 1, 0)
	id := f.submit(0, with(on("a", 3), func(r *wire.Request) { r.Priority = 8; r.TimeOfDay = &wire.TimeRange{From: 12 * 3600, To: 12 * 3600} }))
	f.settleGrants()
	f.now -= hourMs // the schedule's 12:00 is to come
	schedule := f.generate(int32(today) - 1)
	f.now = noon
	for n := range uint64(4) {
		f.sched.Tick(f.now)
		f.settleGrants()
		l, running := f.st.Lease(id, 0)
		if !running {
			t.Fatalf("hour %d: the backfill does not run", n)
		}
		if n == 3 {
			if l.Yielding {
				t.Fatal("it makes way a fourth time")
			}
			if got, want := f.check(schedule, n), (Block{Kind: Conflict, Plan: id}); got != want {
				t.Fatalf("the auto instance is held by %+v, want %+v", got, want)
			}
			break
		}
		if !l.Yielding {
			t.Fatalf("hour %d: the backfill does not make way", n)
		}
		f.finish(id, 0, wire.Outcome_FAILED)
		f.settleGrants()
		if got, want := f.check(id, 0), (Block{Kind: Conflict, Plan: schedule, Instance: n}); got != want {
			t.Fatalf("hour %d: the backfill is held by %+v, want %+v", n, got, want)
		}
		f.finish(schedule, n, ok)
		f.settleGrants()
		f.now += hourMs
	}
	f.finish(id, 0, ok)
	f.settleGrants()
	if p, _ := f.st.Plan(schedule); p.Status(3) != state.Running {
		t.Fatal("the auto instance does not start after the backfill")
	}
}

// settleGrants does what the dispatcher would do now, and gives what starts.
func (f *facts) settleGrants() []*wire.Grant {
	f.t.Helper()
	f.settle(true, map[string]int{})
	free := map[string][]Slots{}
	f.st.Agents(func(a *state.Agent) {
		for _, g := range a.Groups {
			free[g.Group] = append(free[g.Group], Slots{Agent: a.Id, Free: a.Free(g.Group)})
		}
	})
	grants := f.sched.Grants(free)
	f.turn(&wire.Turn{Grants: grants})
	return grants
}

// TestR5_6_WaitsForWhomItMustAndNoLonger: what is held by a conflict goes on as
// soon as that is over, also when it is over because the group has filled up.
func TestR5_6_WaitsForWhomItMustAndNoLonger(t *testing.T) {
	other := daily("z")
	f := newFacts(t, auto(daily("a")), prior(other, 8))
	f.agent("a", 1, 5)
	id := f.submit(0, with(on("a", 3, 4), func(r *wire.Request) { r.ResourceGroup = "big" }))
	schedule := f.generate(int32(today) - 1)
	if got := f.sched.Ready()["big"]; f.check(id, 0).Kind != Conflict || got > 1 {
		t.Fatalf("held by %+v, %d queued", f.check(id, 0), got)
	}
	f.grants(0)
	big := map[string][]Slots{"big": {{Agent: "a", Free: 5}}}
	if got := f.sched.Grants(big); got != nil {
		t.Fatalf("%v start while the schedule could have a slot", got)
	}
	f.submit(0, on("z", 1))
	f.grant(3, 0) // the auto instance's group is full
	if got := f.sched.Grants(big); len(got) != 1 {
		t.Fatalf("got %v, want the first date of the backfill", got)
	}
	f.finish(3, 0, ok)
	f.sched.Reload(f.st, id)
	if got := f.sched.Grants(big); got != nil {
		t.Fatalf("%v start while the schedule could have a slot again", got)
	}
	f.operate(schedule, wire.Operate_FREEZE, 0)
	if got := f.sched.Grants(big); len(got) != 1 {
		t.Fatalf("got %v, want the backfill: the auto instance is frozen", got)
	}
}

// TestR6_DryRunsAndModes: what a dry run waits for and what not; paused nodes.
func TestR6_DryRunsAndModes(t *testing.T) {
	dry := func(r *wire.Request) { r.DryRun = true }
	keep := func(r *wire.Request) {
		r.Mode, r.PausedNodes, r.DryRunNodes = wire.Request_DESCENDANTS, wire.Request_KEEP, wire.Request_KEEP
	}
	a := []*wire.Node{auto(daily("a")), daily("b", "a")}
	paused := daily("p")
	paused.Mode = wire.Node_PAUSED
	modes := []*wire.Node{paused, daily("b", "p")}
	checkRows(t, []row{
		{"R6 it waits for its due time", a, func(f *facts) { f.submit(0, with(on("a", 0), dry)) }, 1, 0, Block{Kind: Due, AtMs: noon + 12*hourMs}},
		{"R6 it waits for its upstreams", a, func(f *facts) {
			f.submit(0, with(on("a", 1), func(r *wire.Request) { dry(r); r.Mode = wire.Request_DESCENDANTS }))
		}, 1, 1, Block{Kind: Upstream, Plan: 1}},
		{"R6 it waits for its gate", a, func(f *facts) { f.submit(0, with(on("a", 2, 1), dry)) }, 1, 1, Block{Kind: Gate, Plan: 1}},
		{"R6 not for a window", a, func(f *facts) {
			f.submit(0, with(on("a", 1), func(r *wire.Request) { dry(r); window(20, 22)(r) }))
		}, 1, 0, Block{}},
		{"R6 not for a conflict", a, func(f *facts) { f.generate(int32(today) - 1); f.grant(1, 0); f.submit(0, with(on("a", 3), dry)) }, 2, 0, Block{}},
		{"R6 not for the same cycle", a, func(f *facts) { f.generate(int32(today) - 1); f.grant(1, 0); f.submit(0, with(on("a", 1), dry)) }, 2, 0, Block{}},
		{"R6 a paused node's instances are frozen", modes, func(f *facts) { f.submit(0, with(on("p", 1), keep)) }, 1, 0, Block{Kind: Frozen}},
		{"R6 and hold what is downstream", modes, func(f *facts) { f.submit(0, with(on("p", 1), keep)) }, 1, 1, Block{Kind: Upstream, Plan: 1}},
		{"R6 unless it is to run as a normal node", modes, func(f *facts) { f.submit(0, on("p", 1)) }, 1, 0, Block{}},
	})
	f := newFacts(t, modes...)
	id := f.submit(0, with(on("p", 1), keep))
	p, _ := f.st.Plan(id)
	if got := Plan(f.st, p, f.now); got != Freeze || !NewMotion(f.st, p, f.now, nil).Quiet() {
		t.Errorf("a plan that a paused node holds is shown as %d, want Freeze, and quiet (R0, R8)", got)
	}
}

// TestR6_OffScheduleSucceedsAtOnce: 2021-08-24 is a Tuesday.
func TestR6_OffScheduleSucceedsAtOnce(t *testing.T) {
	w := daily("w")
	w.Schedule = &wire.Schedule{Kind: wire.Schedule_WEEKLY, Weekdays: 1 << 0}
	f := newFacts(t, w)
	f.submit(0, with(on("w", 2, 1), func(r *wire.Request) { r.Groups = 2 }))
	if got := f.sched.DryRuns(); len(got) != 1 || len(got[0].Instances) != 1 || got[0].Instances[0] != 1 {
		t.Errorf("dry runs %v, want that of D = Monday, whose T is on Tuesday", got)
	}
	if got := f.grants(5); len(got) != 1 || got[0].instance != 0 {
		t.Errorf("%v run, want that of D = Sunday", got)
	}
}

// TestR9_ForceAndRemove: what a forced start does not wait for, and what it
// does.
func TestR9_ForceAndRemove(t *testing.T) {
	force := func(f *facts, id, i uint64) { f.operate(id, wire.Operate_FORCE_RUN, i) }
	remove := func(f *facts, id, i uint64, up string) {
		f.must(operation(&wire.Operate{Kind: wire.Operate_REMOVE_UPSTREAM, Upstream: up, Targets: []*wire.Target{{Plan: id, Instances: []uint64{i}}}}))
	}
	a, b := auto(daily("a")), onItself(daily("b", "a"))
	nodes := []*wire.Node{a, b}
	all := func(r *wire.Request) { r.Mode = wire.Request_DESCENDANTS }
	checkRows(t, []row{
		{"R9 not for the gate, upstreams and its predecessor", nodes, func(f *facts) { f.submit(0, with(on("a", 2, 1), all)); force(f, 1, 3) }, 1, 3, Block{}},
		{"R9 not for the due time", nodes, func(f *facts) { f.submit(0, on("a", 0)); force(f, 1, 0) }, 1, 0, Block{}},
		{"R9 not for the window", nodes, func(f *facts) { f.submit(0, with(on("a", 1), window(20, 22))); force(f, 1, 0) }, 1, 0, Block{}},
		{"R9 but for its plan", nodes, func(f *facts) { f.submit(0, on("a", 1)); force(f, 1, 0); f.operate(1, paused) }, 1, 0, Block{Kind: PlanPaused}},
		{"R9 for the schedule", nodes, func(f *facts) {
			f.generate(int32(today) - 1)
			f.submit(0, on("a", 3))
			force(f, 2, 0)
		}, 2, 0, Block{Kind: Conflict, Plan: 1}},
		{"R9 for another run of the cycle", nodes, func(f *facts) {
			f.submit(0, on("a", 3))
			f.submit(0, on("a", 3))
			force(f, 2, 0)
		}, 2, 0, Block{Kind: Overlap, Plan: 1}},
		{"R9 once", nodes, func(f *facts) {
			f.submit(0, with(on("a", 1), window(20, 22)))
			force(f, 1, 0)
			f.run(1, 0, failed)
			f.rerun(1, 0)
		}, 1, 0, Block{Kind: Window, AtMs: noon + 8*hourMs}},
		{"R9 a removed upstream is not waited for", nodes, func(f *facts) { f.submit(0, with(on("a", 1), all)); remove(f, 1, 1, "a") }, 1, 1, Block{}},
		{"R9 by this instance only", nodes, func(f *facts) { f.submit(0, with(on("a", 2, 1), all)); remove(f, 1, 1, "a"); f.run(1, 0, ok) }, 1, 3, Block{Kind: Gate, Plan: 1}},
		{"R9 nor a removed cycle before", nodes, func(f *facts) {
			f.run(f.submit(0, on("b", 2)), 0, failed)
			f.submit(0, on("b", 1))
			remove(f, 2, 0, "b")
		}, 2, 0, Block{}},
	})
	f := newFacts(t, nodes...)
	id := f.submit(0, with(on("a", 2, 1), all))
	force(f, id, 3)
	if got := f.grants(5); len(got) != 2 || got[1] != (name{id, 3}) && got[0] != (name{id, 3}) {
		t.Errorf("%v start, want the first and the one forced behind the gate", got)
	}
}

// TestR9_Missed: only what could have started while frozen fails at an
// unfreeze.
func TestR9_Missed(t *testing.T) {
	f := newFacts(t, daily("a"), daily("b", "a"), at(daily("t"), 13*3600))
	id := f.submit(0, with(on("a", 1), func(r *wire.Request) { r.Mode = wire.Request_DESCENDANTS }))
	later := f.submit(0, on("t", 1))
	f.operate(id, wire.Operate_FREEZE, 1)
	f.operate(later, wire.Operate_FREEZE, 0)
	missed := func() (out []name) {
		for _, m := range f.sched.Missed() {
			for _, i := range m.Instances {
				out = append(out, name{m.Plan, i})
			}
			f.turn(&wire.Turn{Missed: []*wire.Missed{m}})
		}
		return out
	}
	if got := missed(); got != nil {
		t.Fatalf("%v could have started: neither its upstream nor its time has come", got)
	}
	f.run(id, 0, ok)
	if got := missed(); len(got) != 1 || got[0] != (name{id, 1}) {
		t.Fatalf("missed %v, want b, whose upstream has succeeded", got)
	}
	f.operate(later, wire.Operate_UNFREEZE, 0)
	f.operate(later, wire.Operate_FREEZE, 0)
	f.now += hourMs
	f.sched.Tick(f.now)
	if got := missed(); len(got) != 1 || got[0] != (name{later, 0}) {
		t.Fatalf("missed %v, want t at its time", got)
	}
	f.operate(id, wire.Operate_UNFREEZE, 1)
	if p, _ := f.st.Plan(id); p.Status(1) != state.Failed {
		t.Errorf("after the unfreeze it is %d, want failed", p.Status(1))
	}
}

// TestR0_WhatIsQuiet: a date that waits for a conflict is not, one that a
// frozen instance holds is, also when that is in another plan.
func TestR0_WhatIsQuiet(t *testing.T) {
	going := func(r *wire.Request) {
		r.Mode, r.Root, r.Nodes, r.OnFailure = wire.Request_ADVANCED, "", []string{"a", "b"}, wire.Request_CONTINUE
	}
	for _, c := range []struct {
		name string
		do   func(f *facts, id uint64)
		want []uint32
	}{
		{"b waits for the schedule", func(f *facts, _ uint64) { f.generate(int32(today) - 1) }, nil},
		{"b waits for a slot", func(f *facts, _ uint64) {}, nil},
		{"b has failed too", func(f *facts, id uint64) { f.run(id, 1, failed) }, []uint32{1}},
		{"b is frozen", func(f *facts, id uint64) { f.operate(id, wire.Operate_FREEZE, 1) }, []uint32{1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFacts(t, daily("a"), auto(daily("b")))
			id := f.submit(0, with(on("", 5, 4), going))
			f.run(id, 0, failed)
			c.do(f, id)
			if got := opens(f); len(got) != len(c.want) {
				t.Errorf("opened %v, want %v", got, c.want)
			}
		})
	}
	f := newFacts(t, daily("a"), daily("b"))
	first := f.submit(0, on("b", 5))
	id := f.submit(0, with(on("", 5, 4), going))
	f.run(id, 0, failed)
	if got := opens(f); got != nil {
		t.Fatalf("opened %v although b will start after %d", got, first)
	}
	f.operate(first, paused)
	if got := opens(f); len(got) != 1 {
		t.Fatalf("opened %v: b waits for a plan that is paused", got)
	}
}

// TestR8_FrozenRollUp: frozen ones with nothing else left make it Freeze.
func TestR8_FrozenRollUp(t *testing.T) {
	f := newFacts(t, daily("a"), daily("b", "a"), daily("c"))
	r := on("", 1)
	r.Mode, r.Nodes = wire.Request_ADVANCED, []string{"a", "b", "c"}
	id := f.submit(0, r)
	a, c := instanceOf(f, id, "a"), instanceOf(f, id, "c")
	shown := func(want Shown) {
		t.Helper()
		p, _ := f.st.Plan(id)
		if got := Plan(f.st, p, f.now); got != want {
			t.Errorf("shown as %d, want %d: %v", got, want, p.Total())
		}
	}
	f.operate(id, wire.Operate_FREEZE, a)
	shown(NotRunning) // c can start
	f.grant(id, c)
	shown(Running)
	f.finish(id, c, failed)
	shown(RunFailed)
	f.rerun(id, c)
	f.run(id, c, ok)
	shown(Freeze)
	p, _ := f.st.Plan(id)
	if !NewMotion(f.st, p, f.now, nil).Quiet() {
		t.Error("what a frozen instance holds is not quiet")
	}
	f.operate(id, wire.Operate_UNFREEZE, a)
	shown(Running)
}

func instanceOf(f *facts, id uint64, node string) uint64 {
	p, _ := f.st.Plan(id)
	n, _ := p.NodeIndex(node)
	from, _ := p.NodeRange(0, n)
	return from
}

// TestLazyBehindWindowAndSchedule: a large plan without gates that its window or
// the schedule holds has no more watched than it needs, and loses nothing.
func TestLazyBehindWindowAndSchedule(t *testing.T) {
	m := auto(minutely("m", 60))
	f := newFacts(t, m)
	none := func(r *wire.Request, from, to int32) *wire.Request {
		r.Mode, r.Gate = wire.Request_CURRENT, wire.Request_NONE
		r.Dates = []*wire.DateRange{{From: int32(today) - from, To: int32(today) - to}}
		return r
	}
	shut := f.submit(0, with(none(on("m"), 2000, 3), window(20, 22)))
	f.generate(int32(today) - 1)
	held := f.submit(0, none(on("m"), 4000, 2003))
	f.grants(0)
	for _, id := range []uint64{shut, held} {
		if n := f.sched.plans[id].parked; n < lazyParked/2 || n > lazyParked+24 {
			t.Errorf("b%d has %d instances watched, want about %d", id, n, lazyParked)
		}
	}
	f.operate(3, stopped)
	f.operate(2, stopped)
	f.now = noon + 8*hourMs
	f.sched.Tick(f.now)
	if got := len(f.grants(1000)); got != 1000 {
		t.Errorf("%d start when the window opens", got)
	}
}

// TestR6_ATurnStaysSmall: a million dry runs are noted bit by bit.
func TestR6_ATurnStaysSmall(t *testing.T) {
	f := newFacts(t, minutely("m", 1))
	f.submit(0, &wire.Request{
		Root: "m", Mode: wire.Request_CURRENT, Gate: wire.Request_NONE, DryRun: true,
		Dates: []*wire.DateRange{{From: int32(today) - 51, To: int32(today) - 2}},
	})
	noted := 0
	for range 10 {
		f.sched.Tick(f.now)
		for list := f.sched.DryRuns(); len(list) > 0; list = f.sched.DryRuns() {
			noted += len(list[0].Instances)
			if len(list[0].Instances) > maxNoted {
				t.Fatalf("%d at once", len(list[0].Instances))
			}
			f.turn(&wire.Turn{DryRuns: list})
		}
		if next, ok := f.sched.NextMs(); ok && next != f.now {
			t.Fatalf("asks for the next turn at %d, want at once", next)
		}
	}
	if noted != 50*1440 {
		t.Errorf("%d of %d dry runs were noted", noted, 50*1440)
	}
}

// TestR6_ADryRunHoldsNoOtherPlansCycle: a later plan runs beside it, however long
// it waits.
func TestR6_ADryRunHoldsNoOtherPlansCycle(t *testing.T) {
	f := newFacts(t, daily("a"))
	dry := one("a")
	dry.DryRun = true
	f.operate(f.submit(1, dry), wire.Operate_PAUSE)
	later := f.submit(1, one("a"))
	if got := f.grants(9); len(got) != 1 || got[0] != (name{later, 0}) {
		t.Fatalf("%v start, expected the later plan's", got)
	}
}

// TestR4_3_WhatIsAddedToADateHoldsTheNextOne: the gate is all of a date, also what
// got its numbers later.
func TestR4_3_WhatIsAddedToADateHoldsTheNextOne(t *testing.T) {
	f := newFacts(t, daily("a"), daily("b"))
	asked := one("a")
	asked.Groups = 1
	id := f.submit(2, asked)
	f.must(&wire.Command{Actor: "ann", Body: &wire.Command_EditPlan{EditPlan: &wire.EditPlan{
		Plan: id, AddNodes: []string{"b"}, Today: int32(today), Zones: []*wire.Zone{utc()},
	}}})
	f.run(id, 0, ok) // a of the first date; 1 is a of the second, 2 and 3 are b
	if got := f.check(id, 1); got.Kind != Gate || got.Pos != 0 {
		t.Errorf("a of the second date: %+v, expected it to wait for b of the first", got)
	}
	f.run(id, 2, ok)
	if got := f.check(id, 1); got.Kind != Nothing {
		t.Errorf("after b of the first date: %+v", got)
	}
}
