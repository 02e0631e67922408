package schedule

import (
	"fmt"
	"slices"
	"testing"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// TestR4_4_AFailedDateHoldsItsGroup, and only it, until the date is complete
// (R4.6).
func TestR4_4_AFailedDateHoldsItsGroup(t *testing.T) {
	f := newFacts(t, daily("a"), daily("b"))
	r := on("", 4, 3, 2, 1)
	r.Mode, r.Nodes, r.Groups = wire.Request_ADVANCED, []string{"a", "b"}, 2
	id := f.submit(0, r)
	f.run(id, 0, failed)
	f.run(id, 1, ok) // does not depend on it
	f.run(id, 4, ok)
	f.run(id, 5, ok)
	if got, want := f.grants(9), []name{{id, 6}, {id, 7}}; !slices.Equal(got, want) {
		t.Fatalf("%v start, want %v: the other group goes on", got, want)
	}
	if got, want := f.check(id, 2), (Block{Kind: Gate, Plan: id, Pos: 0}); got != want {
		t.Errorf("held by %+v, want %+v", got, want)
	}
	p, _ := f.st.Plan(id)
	if got := Date(f.st, p, 0, f.now); got != RunFailed {
		t.Errorf("the date is shown as %d, want Run failed", got)
	}
	f.operate(id, wire.Operate_SET_TO_SUCCESS, 0)
	f.sched.Reload(f.st, id)
	got := f.grants(9)
	slices.SortFunc(got, func(a, b name) int { return int(a.instance) - int(b.instance) })
	if want := []name{{id, 2}, {id, 3}, {id, 6}, {id, 7}}; !slices.Equal(got, want) {
		t.Errorf("%v start, want %v: the next date starts by itself", got, want)
	}
}

func (f *facts) resourceGroup(reserve, share uint32) {
	f.t.Helper()
	f.must(&wire.Command{Body: &wire.Command_PutResourceGroup{PutResourceGroup: &wire.PutResourceGroup{
		Name: "default", ReserveForAuto: reserve, BackfillMaxShare: share,
	}}})
}

// TestR7_3_AutoBeforeBackfill at equal priority, after a higher one.
func TestR7_3_AutoBeforeBackfill(t *testing.T) {
	f := newFacts(t, daily("low"), prior(daily("high"), 8), auto(daily("s")))
	f.submit(0, on("low", 1))
	f.submit(0, on("high", 1))
	schedule := f.generate(int32(today) - 1)
	if place, _ := f.sched.Place(1, 0); place != 2 {
		t.Errorf("the backfill is %d behind, want 2", place)
	}
	if got, want := f.grants(9), []name{{2, 0}, {schedule, 0}, {1, 0}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestR7_5_ReserveAndShare bound what backfills use of a resource group.
func TestR7_5_ReserveAndShare(t *testing.T) {
	for _, c := range []struct{ slots, reserve, share, want uint32 }{
		{5, 0, 0, 5}, {5, 2, 0, 3}, {5, 0, 50, 2}, {5, 1, 90, 4}, {5, 3, 90, 2}, {1, 0, 100, 1},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			f := newFacts(t, daily("a"), auto(daily("s")))
			f.agent("a", c.slots, 0)
			f.resourceGroup(c.reserve, c.share)
			f.submit(0, with(on("a", 9, 8, 7, 6, 5, 4, 3, 2, 1), func(r *wire.Request) { r.Groups = 9; r.Priority = 8 }))
			if got := f.settleGrants(); len(got) != int(c.want) {
				t.Fatalf("%d start, want %d", len(got), c.want)
			}
			if got := f.settleGrants(); len(got) != 0 {
				t.Fatalf("%d more start", len(got))
			}
			f.generate(int32(today) - 1)
			if got := f.settleGrants(); len(got) != min(1, int(c.slots-c.want)) {
				t.Errorf("%d auto instances start beside them", len(got))
			}
			f.finish(1, 0, ok)
			if got := f.settleGrants(); len(got) != 1 {
				t.Errorf("%d start when a slot is free again, want 1", len(got))
			}
		})
	}
	if got := BackfillLimit(3, &wire.PutResourceGroup{BackfillMaxShare: 10}); got != 1 {
		t.Errorf("a share that has come to round to no slot gives %d, want 1", got)
	}
	if got := BackfillLimit(2, &wire.PutResourceGroup{ReserveForAuto: 2}); got != 0 {
		t.Errorf("a reserve of everything leaves %d", got)
	}
}

// TestR7_5_PlaceBehindTheShare: when backfills have all they may have, auto
// instances of a lower priority go first.
func TestR7_5_PlaceBehindTheShare(t *testing.T) {
	f := newFacts(t, prior(daily("a"), 8), auto(daily("s1")), auto(daily("s2")))
	f.agent("a", 2, 0)
	f.resourceGroup(1, 0)
	f.submit(0, with(on("a", 2, 1), func(r *wire.Request) { r.Groups = 2; r.Priority = 8 }))
	f.settleGrants()
	f.generate(int32(today) - 1)
	if place, ok := f.sched.Place(1, 1); !ok || place != 2 {
		t.Errorf("%d before it, want the two auto instances", place)
	}
}

// TestR7_5_Patience: the backfill instance that waits for the longest time goes
// first after 60 s, once in 60 s, whatever the priorities. An operation on its
// plan does not make it wait anew.
func TestR7_5_Patience(t *testing.T) {
	f := newFacts(t, daily("low"), prior(daily("high"), 8))
	f.agent("a", 1, 0)
	busy := f.submit(0, with(on("high", 9, 8, 7, 6, 5, 4, 3, 2, 1), func(r *wire.Request) { r.Groups = 9; r.Priority = 8 }))
	low := f.submit(0, with(on("low", 3, 2, 1), func(r *wire.Request) { r.Groups = 3 }))
	var got []uint64
	for step := range int64(14) { // an instance takes 10 s
		f.now = noon + step*10_000
		f.sched.Tick(f.now)
		f.st.Leases(func(l *state.Lease) { f.finish(l.Plan, l.Instance, ok) })
		if step == 4 {
			f.operate(low, wire.Operate_FREEZE, 2)
		}
		for _, g := range f.settleGrants() {
			got = append(got, g.Plan)
		}
	}
	want := []uint64{1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 2}
	if !slices.Equal(got, want) {
		t.Errorf("the slot goes to %v, want %v (b%d is urgent, b%d is not)", got, want, busy, low)
	}
}

// TestR7_5_PatienceLeavesTheReserve alone.
func TestR7_5_PatienceLeavesTheReserve(t *testing.T) {
	f := newFacts(t, daily("low"), prior(daily("high"), 8))
	f.agent("a", 2, 0)
	f.resourceGroup(1, 0)
	f.submit(0, on("high", 2, 1))
	f.submit(0, on("low", 1))
	f.settleGrants()
	f.now += 120_000
	if got := f.settleGrants(); len(got) != 0 {
		t.Errorf("%v takes a reserved slot", got)
	}
	f.finish(1, 0, ok)
	if got := f.settleGrants(); len(got) != 1 || got[0].Plan != 2 {
		t.Errorf("the free slot goes to %v, want the one that waited", got)
	}
}

// TestR7_6_PriorityOfWhatWaits can be changed, of an instance and of a plan.
func TestR7_6_PriorityOfWhatWaits(t *testing.T) {
	f := newFacts(t, daily("a"), daily("b"), daily("c"))
	three := func(node string) uint64 {
		return f.submit(0, with(on(node, 3, 2, 1), func(r *wire.Request) { r.Groups = 3 }))
	}
	a, b, c := three("a"), three("b"), three("c")
	f.must(operation(&wire.Operate{Kind: wire.Operate_SET_PRIORITY, Priority: 7, Targets: []*wire.Target{{Plan: b, Instances: []uint64{2}}}}))
	five := int32(5)
	f.must(&wire.Command{Body: &wire.Command_EditPlan{EditPlan: &wire.EditPlan{Plan: c, Priority: &five}}})
	if got, want := f.grants(5), []name{{b, 2}, {c, 0}, {c, 1}, {c, 2}, {a, 0}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestR7_3_AReloadKeepsTheTurn: operations on a plan do not send it to the end
// of the line.
func TestR7_3_AReloadKeepsTheTurn(t *testing.T) {
	f := newFacts(t, daily("a"), daily("b"))
	a := f.submit(0, with(on("a", 4, 3, 2, 1), func(r *wire.Request) { r.Groups = 4 }))
	b := f.submit(0, with(on("b", 4, 3, 2, 1), func(r *wire.Request) { r.Groups = 4 }))
	for i, want := range []uint64{a, b, a, b} {
		limit := 5 + int32(i)
		f.must(&wire.Command{Body: &wire.Command_EditPlan{EditPlan: &wire.EditPlan{Plan: want, MaxRunning: &limit}}})
		got := f.grants(1)
		if len(got) != 1 || got[0].plan != want {
			t.Fatalf("turn %d goes to %v, want b%d", i, got, want)
		}
		f.grant(got[0].plan, got[0].instance)
	}
}

// simulate lets everything run in virtual time: each attempt takes as long as
// takes says, succeeds, and started is told when it began.
func (f *facts) simulate(untilMs int64, takes func(*wire.Grant) int64, started func(*wire.Grant)) {
	f.t.Helper()
	ends := map[int64][]name{}
	for f.now < untilMs {
		f.sched.Tick(f.now)
		for grants := f.settleGrants(); len(grants) > 0; grants = f.settleGrants() {
			for _, g := range grants {
				started(g)
				end := f.now + takes(g)
				ends[end] = append(ends[end], name{g.Plan, g.Instance})
			}
		}
		next := untilMs
		for at := range ends {
			next = min(next, at)
		}
		if at, ok := f.sched.NextMs(); ok {
			next = min(next, at)
		}
		f.now = next
		turn := &wire.Turn{}
		for _, n := range ends[next] {
			l, _ := f.st.Lease(n.plan, n.instance)
			turn.Finishes = append(turn.Finishes, &wire.Finish{Plan: n.plan, Instance: n.instance, Fence: l.Fence, Outcome: ok, StartedMs: l.GrantedMs, EndedMs: f.now})
		}
		delete(ends, next)
		f.turn(turn)
	}
}

func minutely(id string, every int32) *wire.Node {
	return &wire.Node{Id: id, Code: "true", Schedule: &wire.Schedule{Kind: wire.Schedule_MINUTELY, To: 24*3600 - 60, Every: every}}
}

// TestR7_5_AMillionInstancesDoNotDelayTheSchedule: where slots are reserved, an
// auto instance waits for a running one at most, even of the lowest priority,
// and beside a million of the highest.
func TestR7_5_AMillionInstancesDoNotDelayTheSchedule(t *testing.T) {
	const takes = 45_000
	f := newFacts(t, minutely("m", 1), auto(minutely("s", 7)))
	f.agent("a", 4, 0)
	f.resourceGroup(1, 0)
	f.now -= hourMs
	schedule := f.generate(int32(today) - 1)
	f.simulate(noon, func(*wire.Grant) int64 { return 1 }, func(*wire.Grant) {})
	id := f.submit(700, &wire.Request{Root: "m", Mode: wire.Request_CURRENT, Groups: 10, Gate: wire.Request_NONE, Priority: 8})
	p, _ := f.st.Plan(id)
	if p.Size() != 700*1440 {
		t.Fatalf("%d instances", p.Size())
	}
	started := map[uint64]int{}
	f.simulate(noon+2*hourMs, func(*wire.Grant) int64 { return takes }, func(g *wire.Grant) {
		started[g.Plan]++
		if g.Plan != schedule {
			return
		}
		q, _ := f.st.Plan(schedule)
		place, _ := q.Locate(g.Instance)
		if late := f.now - q.DueMs(place); late > takes {
			t.Fatalf("an auto instance starts %d ms late", late)
		}
	})
	if started[schedule] != 17 || started[id] != 3*2*80 {
		t.Errorf("started %v: want 17 of the schedule, and the backfill in three slots all the time", started)
	}
}

// TestR7_5_ABusyScheduleDoesNotStopABackfill for ever: of more urgent work than
// the slots can do, one backfill instance in 60 s goes first.
func TestR7_5_ABusyScheduleDoesNotStopABackfill(t *testing.T) {
	for _, reserve := range []uint32{0, 1} {
		nodes := []*wire.Node{daily("low")}
		for i := range 5 {
			nodes = append(nodes, auto(prior(minutely(fmt.Sprint("s", i), 1), 8)))
		}
		f := newFacts(t, nodes...)
		f.agent("a", 2, 0)
		f.resourceGroup(reserve, 0)
		f.generate(int32(today) - 1)
		id := f.submit(10, &wire.Request{Root: "low", Mode: wire.Request_CURRENT, Groups: 10})
		var at []int64
		f.simulate(noon+hourMs, func(*wire.Grant) int64 { return 30_000 }, func(g *wire.Grant) {
			if g.Plan == id {
				at = append(at, f.now)
			}
		})
		if len(at) != 10 {
			t.Fatalf("reserve %d: %d of 10 instances of the backfill started within an hour", reserve, len(at))
		}
		for i, ms := range at {
			waited := ms - noon
			if i > 0 {
				waited = ms - at[i-1]
			}
			if waited < 60_000 || waited > 90_000 {
				t.Errorf("reserve %d: instance %d starts after %d ms, want 60 s and a running instance's length at most", reserve, i, waited)
			}
		}
	}
}
