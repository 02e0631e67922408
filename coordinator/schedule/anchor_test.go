package schedule

import (
	"fmt"
	"testing"

	"backfleet/pkg/wire"
)

// layers is a graph of so many layers of ten nodes, each of which waits for the
// whole layer before.
func layers(n int) []*wire.Node {
	var out []*wire.Node
	out = append(out, daily("root"))
	before := []string{"root"}
	for l := range n {
		var names []string
		for k := range 10 {
			id := fmt.Sprintf("n%02d_%d", l, k)
			names = append(names, id)
			out = append(out, daily(id, before...))
		}
		before = names
	}
	return out
}

// TestAPlanOfWhichNothingHasStartedIsSmall: of an open date only what waits for
// nothing is remembered, and plans of the same nodes share their anchors.
func TestAPlanOfWhichNothingHasStartedIsSmall(t *testing.T) {
	f := newFacts(t, layers(30)...)
	one := f.submit(40, &wire.Request{Root: "root", Groups: 10})
	two := f.submit(40, &wire.Request{Root: "root", Groups: 10, Dates: []*wire.DateRange{{From: int32(today) - 400, To: int32(today) - 361}}})
	for _, id := range []uint64{one, two} {
		tr := f.sched.plans[id]
		if len(tr.waiters) > 0 || len(tr.queued) != 10 || tr.paces != nil || tr.lone != nil {
			t.Errorf("b%d: %d lists of waiters, %d queued, expected none and the 10 groups' roots", id, len(tr.waiters), len(tr.queued))
		}
	}
	if f.sched.plans[one].anchors != f.sched.plans[two].anchors {
		t.Error("two plans of the same nodes have anchors of their own")
	}
	// The layer before the last to come decides: the first of it is the anchor,
	// the others are watched one by one.
	f.run(one, 0, wire.Outcome_SUCCEEDED)
	if got := f.startable(one); got != 9+10 {
		t.Errorf("%d are ready after the root, expected the layer behind it and 9 roots", got)
	}
	f.run(one, 1, wire.Outcome_SUCCEEDED)
	if got := f.sched.plans[one].waiters; len(got) != 1 || len(got[2]) != 10 {
		t.Errorf("waiters %v, expected the second layer behind the second of the first", got)
	}
	for i := uint64(2); i <= 10; i++ {
		f.run(one, i, wire.Outcome_SUCCEEDED)
	}
	if got := f.startable(one); got != 9+10 {
		t.Errorf("%d are ready after the first layer, expected the second", got)
	}
}

// startable is how many of a plan's instances are queued and can start.
func (f *facts) startable(id uint64) (n int) {
	queued, _ := ready(f.sched, f.now)
	for _, q := range queued {
		if q.plan == id {
			n++
		}
	}
	return n
}

// TestR9_AnAnchorThatWasRemovedHoldsNothing: who no longer waits for it starts
// before it.
func TestR9_AnAnchorThatWasRemovedHoldsNothing(t *testing.T) {
	f := newFacts(t, daily("a"), daily("b", "a"), daily("c", "b"))
	id := f.submit(1, &wire.Request{Root: "a"})
	f.must(operation(&wire.Operate{Kind: wire.Operate_REMOVE_UPSTREAM, Upstream: "a", Targets: []*wire.Target{{Plan: id, Instances: []uint64{1}}}}))
	if got := f.grants(5); len(got) != 2 || got[1] != (name{id, 1}) {
		t.Errorf("%v start, expected a and b", got)
	}
}

// TestR9_AnAnchorThatWasRemovedBehindAGate: who is freed of it before its date
// opens starts when that does.
func TestR9_AnAnchorThatWasRemovedBehindAGate(t *testing.T) {
	f := newFacts(t, daily("a"), daily("b", "a"))
	id := f.submit(2, &wire.Request{Root: "a", Groups: 1})
	f.must(operation(&wire.Operate{Kind: wire.Operate_REMOVE_UPSTREAM, Upstream: "a", Targets: []*wire.Target{{Plan: id, Instances: []uint64{3}}}}))
	f.run(id, 0, wire.Outcome_SUCCEEDED)
	f.run(id, 1, wire.Outcome_SUCCEEDED)
	if got := f.grants(5); len(got) != 2 || got[0] != (name{id, 2}) || got[1] != (name{id, 3}) {
		t.Errorf("%v start, expected a and b of the second date", got)
	}
}

// TestANewPlanWakesNobody: what waits for other plans is not looked at again.
func TestANewPlanWakesNobody(t *testing.T) {
	f := newFacts(t, daily("a"), daily("z"))
	f.submit(3, &wire.Request{Root: "a"})
	f.submit(3, &wire.Request{Root: "a"}) // waits for the first, cycle by cycle
	var before []waiter
	for _, list := range f.sched.elsewhere {
		before = append(before, list...)
	}
	if len(before) == 0 {
		t.Fatal("nothing waits for another plan")
	}
	key := cycle{}
	for key = range f.sched.elsewhere {
		break
	}
	list := f.sched.elsewhere[key]
	f.submit(3, &wire.Request{Root: "z"})
	if now := f.sched.elsewhere[key]; len(now) != len(list) || &now[0] != &list[0] {
		t.Error("the list was made anew")
	}
}
