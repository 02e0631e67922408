package schedule

import (
	"slices"
	"testing"

	"backfleet/pkg/wire"
)

func one(root string) *wire.Request {
	return &wire.Request{Root: root, Mode: wire.Request_CURRENT, Groups: 10}
}

// TestR7_3_PriorityThenTurnsThenDueTime: the order in which slots are given.
func TestR7_3_PriorityThenTurnsThenDueTime(t *testing.T) {
	late := daily("late")
	late.Schedule.At = 3600
	f := newFacts(t, daily("low"), prior(daily("high"), 8), late)
	f.submit(3, one("low"))  // b1
	f.submit(1, one("late")) // b2
	f.submit(3, one("high")) // b3: the dates before yesterday have a lower priority
	got := f.grants(100)
	want := []name{{3, 2}, {3, 0}, {3, 1}, {1, 0}, {2, 0}, {1, 1}, {1, 2}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestR7_3_PlansTakeTurns: at equal priority no plan starves another, however
// much it has ready, and Place foretells it.
func TestR7_3_PlansTakeTurns(t *testing.T) {
	f := newFacts(t, daily("a"), daily("b"), daily("c"))
	f.submit(9, one("a"))
	f.submit(5, one("b"))
	f.submit(2, one("c"))
	before := map[name]int{}
	for id := uint64(1); id <= 3; id++ {
		p, _ := f.st.Plan(id)
		for i := range p.Size() {
			n, ok := f.sched.Place(id, i)
			if !ok {
				t.Fatalf("b%d.%d has no place", id, i)
			}
			before[name{id, i}] = n
		}
	}
	var got []name
	for range 16 { // one slot at a time
		got = append(got, f.grants(1)...)
	}
	want := []name{{1, 0}, {2, 0}, {3, 0}, {1, 1}, {2, 1}, {3, 1}, {1, 2}, {2, 2}, {1, 3}, {2, 3}, {1, 4}, {2, 4}, {1, 5}, {1, 6}, {1, 7}, {1, 8}}
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i, n := range want {
		if d := before[n] - i; d < -2 || d > 2 { // which plan has the next turn is not foretold
			t.Errorf("%v was to start after %d others, and did after %d", n, before[n], i)
		}
	}
	if _, ok := f.sched.Place(1, 0); ok {
		t.Error("an instance that was given a slot still has a place")
	}
}

// TestR4_8_MaxRunning: a plan at its cap leaves its turn to others.
func TestR4_8_MaxRunning(t *testing.T) {
	f := newFacts(t, daily("a"), daily("b"))
	r := one("a")
	r.MaxRunning = 2
	f.submit(5, r)
	f.submit(2, one("b"))
	if got, want := f.grants(10), []name{{1, 0}, {2, 0}, {1, 1}, {2, 1}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestSlotsGoToTheAgentWithTheMost, and never more than it has.
func TestSlotsGoToTheAgentWithTheMost(t *testing.T) {
	f := newFacts(t, daily("a"))
	f.submit(9, one("a"))
	got := map[string]int{}
	for i, g := range f.sched.Grants(map[string][]Slots{"default": {{"x", 1}, {"y", 4}}, "big": {{"z", 9}}}) {
		got[g.Agent]++
		if i < 3 && g.Agent != "y" {
			t.Errorf("grant %d goes to %s", i, g.Agent)
		}
	}
	if got["x"] != 1 || got["y"] != 4 || got["z"] != 0 {
		t.Errorf("got %v", got)
	}
}

// opens makes what Opens decides a fact, and gives the positions.
func opens(f *facts) (out []uint32) {
	for {
		list := f.sched.Opens()
		if len(list) == 0 {
			return out
		}
		for _, o := range list {
			out = append(out, o.Position)
		}
		f.turn(&wire.Turn{Opens: list})
	}
}

// TestR4_5_ContinueOpensWhatIsHeldByAQuietDate.
func TestR4_5_ContinueOpensWhatIsHeldByAQuietDate(t *testing.T) {
	f := newFacts(t, daily("a"), daily("b"), daily("c", "a"))
	id := f.submit(3, &wire.Request{Root: "a", OnFailure: wire.Request_CONTINUE})
	f.grant(id, 0)
	if got := opens(f); got != nil {
		t.Fatalf("opened %v while the first date runs", got)
	}
	f.finish(id, 0, failed)
	if got := opens(f); !slices.Equal(got, []uint32{1}) {
		t.Fatalf("opened %v, want the second date: c waits for what failed", got)
	}
	f.operate(id, paused)
	f.heldBack(id, 2)
	if got := opens(f); got != nil {
		t.Fatalf("opened %v: a paused plan is held, not finished", got)
	}
	f.operate(id, resumed)
	if got := opens(f); got != nil {
		t.Fatalf("opened %v while the second date can start", got)
	}
	f.run(id, 2, failed)
	if got := opens(f); !slices.Equal(got, []uint32{2}) {
		t.Fatalf("opened %v, want the third date", got)
	}
}

// heldBack tries to start an instance of a plan that is held.
func (f *facts) heldBack(id, instance uint64) {
	f.t.Helper()
	r := f.do(&wire.Command{Body: &wire.Command_Turn{Turn: &wire.Turn{Grants: []*wire.Grant{{Plan: id, Instance: instance, Agent: "a", ResourceGroup: "default"}}}}})
	if len(r.Refused) != 1 {
		f.t.Fatalf("an instance of a held plan starts: %v", r)
	}
}

// TestR4_5_ADateThatIsQuietAtOnce: an opened date in which nothing can start
// does not keep the next one shut.
func TestR4_5_ADateThatIsQuietAtOnce(t *testing.T) {
	f := newFacts(t, onItself(daily("a")))
	id := f.submit(3, &wire.Request{Root: "a", OnFailure: wire.Request_CONTINUE})
	f.run(id, 0, failed)
	if got := opens(f); !slices.Equal(got, []uint32{1, 2}) {
		t.Fatalf("opened %v, want both: every cycle waits for the failed one", got)
	}
}

// TestR4_5_DatesThatWaitInACircle: descending under gate node a window can reach
// a date that is held by the one that waits.
func TestR4_5_DatesThatWaitInACircle(t *testing.T) {
	b := daily("b", "a")
	b.Upstreams[0].Window, b.Upstreams[0].From = true, -1
	f := newFacts(t, daily("a"), b)
	id := f.submit(2, &wire.Request{Root: "a", Order: wire.Request_DESCENDING, Gate: wire.Request_NODE, OnFailure: wire.Request_CONTINUE})
	f.run(id, 0, failed)
	if got := opens(f); !slices.Equal(got, []uint32{1}) {
		t.Fatalf("opened %v, want the second date: nothing moves without it", got)
	}
}

// TestR5_8_WaitsElsewhere: what waits for another plan starts when that one's
// instance ends, also when it ends with the plan's last.
func TestR5_8_WaitsElsewhere(t *testing.T) {
	f := newFacts(t, daily("a"))
	f.submit(2, one("a"))
	f.submit(2, one("a"))
	f.grants(2)
	f.turn(&wire.Turn{Grants: []*wire.Grant{{Plan: 1, Instance: 0, Agent: "a", ResourceGroup: "default"}, {Plan: 1, Instance: 1, Agent: "a", ResourceGroup: "default"}}})
	if got := f.grants(9); got != nil {
		t.Fatalf("%v start beside the same cycles of b1", got)
	}
	t1, _ := f.st.Lease(1, 0)
	f.turn(&wire.Turn{Finishes: []*wire.Finish{
		{Plan: 1, Instance: 0, Fence: t1.Fence, Outcome: failed}, {Plan: 1, Instance: 1, Fence: t1.Fence, Outcome: ok},
	}})
	if got, want := f.grants(9), []name{{2, 0}, {2, 1}}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// TestR4_3_AGateThatARerunShut holds the date directly behind it, not those
// behind that one.
func TestR4_3_AGateThatARerunShut(t *testing.T) {
	for _, gate := range []wire.Request_Gate{wire.Request_DAY, wire.Request_NODE} {
		f := newFacts(t, daily("a"))
		id := f.submit(4, &wire.Request{Root: "a", Gate: gate})
		for i := range uint64(3) {
			f.run(id, i, ok)
		}
		f.rerun(id, 0, 2)
		if got, want := f.grants(9), []name{{id, 0}, {id, 2}}; !slices.Equal(got, want) {
			t.Errorf("gate %s: got %v, want %v", gate, got, want)
		}
		f.run(id, 2, ok)
		if got, want := f.grants(9), []name{{id, 3}}; !slices.Equal(got, want) {
			t.Errorf("gate %s: got %v, want %v", gate, got, want)
		}
	}
}

// TestR4_3_GateNoneOpensLazily: a plan without gates has no more at hand than
// it can use soon, and goes on when that is used up.
func TestR4_3_GateNoneOpensLazily(t *testing.T) {
	f := newFacts(t, daily("a"))
	id := f.submit(4000, &wire.Request{Root: "a", Gate: wire.Request_NONE})
	started := len(f.grants(1))
	if n := f.sched.Ready()["default"]; n < LazyReady-1 || n > LazyReady {
		t.Fatalf("%d instances at hand, want about %d", n, LazyReady)
	}
	for {
		got := f.grants(700)
		if len(got) == 0 {
			break
		}
		started += len(got)
	}
	if started != 4000 {
		t.Errorf("%d of 4000 instances of b%d started", started, id)
	}
}

// TestR6_DryRunsWithoutGates need no slot and no other event.
func TestR6_DryRunsWithoutGates(t *testing.T) {
	f := newFacts(t, daily("a"))
	f.submit(3, &wire.Request{Root: "a", Gate: wire.Request_NONE, DryRun: true})
	if got := f.sched.DryRuns(); len(got) != 1 || len(got[0].Instances) != 3 {
		t.Errorf("got %v, want all three", got)
	}
}

// TestTimers: what waits for its time is ready at that moment, and NextMs says
// when.
func TestTimers(t *testing.T) {
	f := newFacts(t, daily("a"))
	r := one("a")
	r.NotBeforeMs = noon + 50
	f.submit(1, r)
	if at, ok := f.sched.NextMs(); !ok || at != noon+50 || f.grants(1) != nil {
		t.Fatalf("next at %d %v", at, ok)
	}
	f.sched.Tick(noon + 49)
	if got := f.grants(1); got != nil {
		t.Fatalf("%v start early", got)
	}
	f.sched.Tick(noon + 50)
	if got := f.grants(1); len(got) != 1 {
		t.Fatal("it does not start when it is due")
	}
}
