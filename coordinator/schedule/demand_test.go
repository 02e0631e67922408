package schedule

import (
	"fmt"
	"slices"
	"testing"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// heavy has a node take several slots.
func heavy(n *wire.Node, slots uint32) *wire.Node {
	n.Slots = slots
	return n
}

func labels(of ...string) (out []*wire.Assignment) {
	for i := 0; i < len(of); i += 2 {
		out = append(out, &wire.Assignment{Name: of[i], Value: of[i+1]})
	}
	return out
}

// needs has a node require labels.
func needs(n *wire.Node, of ...string) *wire.Node {
	n.Requires = labels(of...)
	return n
}

// labelled registers an agent with slots of the group default and labels.
func (f *facts) labelled(id string, slots uint32, of ...string) {
	f.t.Helper()
	f.turn(&wire.Turn{Agents: []*wire.Agent{{
		Id: id, Incarnation: "k", State: wire.Agent_READY, Labels: labels(of...), Groups: []*wire.GroupSlots{{Group: "default", Slots: slots}},
	}}})
}

// all is a request for a node on several dates side by side.
func all(root string, dates int32, change ...func(*wire.Request)) *wire.Request {
	r := &wire.Request{Root: root, Mode: wire.Request_CURRENT, Gate: wire.Request_NONE}
	for d := range dates {
		r.Dates = append(r.Dates, &wire.DateRange{From: int32(today) - 1 - d, To: int32(today) - 1 - d})
	}
	for _, c := range change {
		c(r)
	}
	return r
}

// where says which agents the grants are for, by plan.
func where(grants []*wire.Grant) string {
	var out []string
	for _, g := range grants {
		out = append(out, fmt.Sprint(g.Plan, g.Agent))
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}

// TestR7_7_OnlyToAnAgentWithTheLabels; others go past whoever waits for one.
func TestR7_7_OnlyToAnAgentWithTheLabels(t *testing.T) {
	f := newFacts(t, needs(daily("g"), "gpu", "true", "os", "linux"), daily("p"))
	f.agent("a", 2, 0)
	f.labelled("b", 1, "gpu", "true")
	f.labelled("c", 1, "os", "linux", "gpu", "true", "zone", "x")
	f.submit(0, all("g", 3))
	f.submit(0, all("p", 9))
	if got, want := where(f.settleGrants()), "[1c 2a 2a 2b]"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	f.finish(1, 0, ok)
	f.finish(2, 0, ok) // at a
	if got, want := where(f.settleGrants()), "[1c 2a]"; got != want {
		t.Fatalf("got %s, want %s: who is passed over keeps its turn", got, want)
	}
}

// TestR7_7_OnlyToAnAgentThatCanRunTheType: beyond shell, an agent says so by a
// label; it stands beside those that the node requires itself.
func TestR7_7_OnlyToAnAgentThatCanRunTheType(t *testing.T) {
	typed := func(n *wire.Node, kind string) *wire.Node {
		n.Type = kind
		return n
	}
	query := typed(needs(daily("q"), "zone", "x"), "sql")
	query.Source = "warehouse"
	f := newFacts(t, query, typed(daily("p"), "python"), daily("s"))
	f.agent("a", 1, 0)
	f.labelled("b", 1, "backfleet/sql", "true")
	f.labelled("c", 1, "backfleet/sql", "true", "zone", "x")
	f.labelled("d", 1, "backfleet/python", "true")
	f.submit(0, all("q", 9))
	f.submit(0, all("p", 9))
	f.submit(0, all("s", 9))
	if got, want := where(f.settleGrants()), "[1c 2d 3a 3b]"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

// TestR7_7_AnAgentMayGetItsLabelsLater: nothing that waits has to be loaded anew.
func TestR7_7_AnAgentMayGetItsLabelsLater(t *testing.T) {
	f := newFacts(t, needs(daily("g"), "gpu", "true"))
	f.agent("a", 2, 0)
	f.submit(0, all("g", 1))
	o := f.offers()
	if got := f.sched.Fill(o, 9); len(got) != 0 {
		t.Fatalf("%v start without the label", got)
	}
	f.labelled("a", 2, "gpu", "false")
	f.offer(o)
	if got := f.sched.Fill(o, 9); len(got) != 0 {
		t.Fatalf("%v start with another value", got)
	}
	f.labelled("a", 2, "gpu", "true")
	f.offer(o)
	if got := f.sched.Fill(o, 9); len(got) != 1 {
		t.Fatalf("got %v, want the instance", got)
	}
}

// offers is what agents could take, nothing ahead.
func (f *facts) offers() *Offers {
	o := NewOffers()
	f.offer(o)
	return o
}

func (f *facts) offer(o *Offers) {
	f.st.Agents(func(a *state.Agent) {
		for _, g := range a.Groups {
			*o.Use(g.Group) = f.st.GroupUse(g.Group)
			o.Set(g.Group, Offer{Agent: a.Id, Slots: int(g.Slots), Free: a.Free(g.Group), Labels: a.Labels})
		}
	})
}

// TestR7_8_OnlyWhereItFits, at one agent; lighter work goes past it, and what no
// agent could ever hold is in nobody's way.
func TestR7_8_OnlyWhereItFits(t *testing.T) {
	f := newFacts(t, heavy(prior(daily("h"), 8), 3), heavy(prior(daily("i"), 7), 9), daily("p"))
	f.agent("a", 4, 0)
	f.labelled("b", 2)
	f.submit(0, all("h", 2)) // one of them waits: 1 and 2 slots are free
	f.submit(0, all("i", 2))
	f.submit(0, all("p", 9))
	if got, want := where(f.settleGrants()), "[1a 3a 3b 3b]"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	if got := f.sched.ReadyOf(1)["default"]; got != 3 {
		t.Errorf("what is left of the first wants %d slots", got)
	}
	f.now += 10 * 60_000 // whoever waits
	f.finish(3, 0, ok)
	if got := f.settleGrants(); len(got) != 1 || got[0].Plan != 3 && got[0].Plan != 1 {
		t.Fatalf("got %v", got)
	}
}

// TestR7_8_OneSlotOnly: an agent that does not know of weights gets nothing
// that needs more.
func TestR7_8_OneSlotOnly(t *testing.T) {
	f := newFacts(t, heavy(daily("h"), 2), needs(daily("g"), "x", "y"))
	f.labelled("a", 8, "x", "y")
	f.submit(0, all("h", 1))
	f.submit(0, all("g", 1))
	o := NewOffers()
	*o.Use("default") = f.st.GroupUse("default")
	o.Set("default", Offer{Agent: "a", Slots: 8, Free: 8, Labels: labels("x", "y"), Light: true})
	if got, want := where(f.sched.Fill(o, 9)), "[2a]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestR7_8_TheShareCountsSlots, and maxRunning instances.
func TestR7_8_TheShareCountsSlots(t *testing.T) {
	f := newFacts(t, heavy(daily("h"), 2), daily("p"))
	f.agent("a", 8, 0)
	f.resourceGroup(0, 63) // 5 slots
	f.submit(0, all("h", 9, func(r *wire.Request) { r.MaxRunning = 3 }))
	if got, want := where(f.settleGrants()), "[1a 1a]"; got != want {
		t.Fatalf("got %s, want %s: a third would make six", got, want)
	}
	f.submit(0, all("p", 9))
	if got, want := where(f.settleGrants()), "[2a]"; got != want {
		t.Fatalf("got %s, want %s: one slot is left of the share", got, want)
	}
	f.resourceGroup(0, 0)
	if got, want := where(f.settleGrants()), "[1a 2a]"; got != want {
		t.Fatalf("got %s, want %s: three instances of the first may run, whatever they weigh", got, want)
	}
}

// lightAndHeavy has light work without end, and lets an hour pass; it gives how
// long a heavy instance has waited that came when every slot was taken.
func lightAndHeavy(t *testing.T, priority int32, agents ...uint32) (startedMs int64) {
	f := newFacts(t, minutely("p", 1), heavy(daily("h"), 3))
	f.agent("a", 0, 0)
	for i, slots := range agents {
		f.labelled(fmt.Sprint("b", i), slots)
	}
	f.submit(30, &wire.Request{Root: "p", Mode: wire.Request_CURRENT, Gate: wire.Request_NONE, Priority: priority})
	const comes = 30_000
	id := f.submit(0, all("h", 1, func(r *wire.Request) { r.NotBeforeMs = noon + comes }))
	startedMs = -1
	seed := int64(1)
	f.simulate(noon+hourMs, func(*wire.Grant) int64 {
		seed = seed * 48271 % 2147483647
		return 5_000 + seed%20_000
	}, func(g *wire.Grant) {
		if g.Plan == id {
			startedMs = f.now - noon - comes
		}
	})
	return startedMs
}

// TestR7_9_AHeavyInstanceIsNotStarved by light ones of the same urgency: an
// agent is kept for it until it is free enough. Without that it would wait for
// three slots that end at one moment.
func TestR7_9_AHeavyInstanceIsNotStarved(t *testing.T) {
	for _, agents := range [][]uint32{{3}, {4, 4}, {2, 3, 2}} {
		at := lightAndHeavy(t, 1, agents...)
		if at < 0 || at > 60_000+2*25_000 {
			t.Errorf("agents %v: it starts after %d ms, want a minute and twice the longest attempt at most", agents, at)
		}
	}
}

// TestR7_9_MoreUrgentWorkGoesOn at the agent that is kept, but not for ever
// where a backfill waits: after a minute it would be its turn (R7.5), and from
// then on it is passed over.
func TestR7_9_MoreUrgentWorkGoesOn(t *testing.T) {
	at := lightAndHeavy(t, 8, 3)
	if at < 3*60_000 || at > 3*60_000+3*25_000 {
		t.Errorf("it starts after %d ms, want three minutes and three times the longest attempt at most", at)
	}
}

// TestR7_9_NothingIsKeptForWhatNobodyCanHold: light work uses every slot.
func TestR7_9_NothingIsKeptForWhatNobodyCanHold(t *testing.T) {
	f := newFacts(t, daily("p"), heavy(prior(daily("h"), 8), 3), needs(prior(daily("g"), 7), "gpu", "true"))
	f.agent("a", 2, 0)
	f.labelled("b", 2)
	f.submit(0, all("h", 3))
	f.submit(0, all("g", 3))
	f.submit(0, all("p", 40))
	for range 20 {
		f.now += 40_000
		f.sched.Tick(f.now)
		f.settleGrants()
		if use := f.st.GroupUse("default"); use.Used != 4 {
			t.Fatalf("%d of 4 slots are used after %d ms", use.Used, f.now-noon)
		}
		first := true
		f.st.Leases(func(l *state.Lease) {
			if first {
				f.finish(l.Plan, l.Instance, ok)
			}
			first = false
		})
	}
}

// TestR7_9_HalfOfTheSlotsAtMost is kept, or one agent.
func TestR7_9_HalfOfTheSlotsAtMost(t *testing.T) {
	nodes := []*wire.Node{daily("p")}
	for i := range uint32(4) {
		nodes = append(nodes, heavy(daily(fmt.Sprint("h", i)), 2+i))
	}
	f := newFacts(t, nodes...)
	f.agent("a", 0, 0)
	for i := range 4 {
		f.labelled(fmt.Sprint("b", i), 5)
	}
	f.submit(0, all("p", 365))
	f.settleGrants() // light work has all slots
	for i := range 4 {
		f.submit(0, all(fmt.Sprint("h", i), 1))
	}
	end := func(agent string) {
		done := false
		f.st.Leases(func(l *state.Lease) {
			if l.Agent == agent && !done {
				done = true
				f.finish(l.Plan, l.Instance, ok)
			}
		})
	}
	for round := range 2 {
		for i := range 4 {
			end(fmt.Sprint("b", i))
		}
		f.sched.Tick(f.now)
		grants := f.settleGrants()
		switch {
		case round == 0 && len(grants) != 4:
			t.Fatalf("%d start before anybody has waited long", len(grants))
		case round > 0 && len(grants) != 2:
			t.Fatalf("round %d: %d start, want two agents kept and two filled", round, len(grants))
		}
		f.now += 61_000
	}
}

// TestR7_9_BehindTheShare: what a backfill may have is kept for the heavy one
// too.
func TestR7_9_BehindTheShare(t *testing.T) {
	f := newFacts(t, daily("p"), heavy(daily("h"), 2), heavy(daily("i"), 3))
	f.agent("a", 4, 0)
	f.resourceGroup(2, 0)
	f.submit(0, all("p", 40))
	f.settleGrants()
	f.submit(0, all("h", 1))
	f.submit(0, all("i", 1)) // never: backfills may have two slots
	oldest := func() {
		var of *state.Lease
		f.st.Leases(func(l *state.Lease) {
			if of == nil || l.Fence < of.Fence {
				of = l
			}
		})
		f.finish(of.Plan, of.Instance, ok)
	}
	oldest()
	if got := where(f.settleGrants()); got != "[1a]" {
		t.Fatalf("got %s: one slot is too little for the second", got)
	}
	f.now += 61_000
	f.sched.Tick(f.now)
	oldest()
	if got := where(f.settleGrants()); got != "[]" {
		t.Fatalf("got %s: the slot is kept", got)
	}
	oldest()
	if got := where(f.settleGrants()); got != "[2a]" {
		t.Fatalf("got %s, want the heavy one", got)
	}
}

// TestR7_5_PatienceIsForWhomAnAgentHasRoom: who waits longest and has none is
// passed over, whatever its demand.
func TestR7_5_PatienceIsForWhomAnAgentHasRoom(t *testing.T) {
	f := newFacts(t, needs(daily("g"), "gpu", "true"), daily("low"), prior(daily("high"), 8))
	f.agent("a", 1, 0)
	f.submit(0, all("g", 1))
	low := f.submit(0, all("low", 1))
	f.submit(0, all("high", 9, func(r *wire.Request) { r.Priority = 8 }))
	f.now += 61_000
	f.sched.Tick(f.now)
	if got := f.grants(1); len(got) != 1 || got[0].plan != low {
		t.Errorf("the slot goes to %v, want the one that has waited for a minute", got)
	}
}

// TestR7_9_AheadPassesOverWhatAsksForMore: to agents that could hold it nothing
// is granted ahead any more, to the others what is short.
func TestR7_9_AheadPassesOverWhatAsksForMore(t *testing.T) {
	for _, c := range []struct {
		name  string
		asks  *wire.Node
		late  bool   // after it has been passed over for a minute
		agent string // that gets work ahead
	}{
		{"labels", needs(prior(daily("g"), 8), "gpu", "true"), false, "[1a 1a 1a]"},
		{"slots", heavy(prior(daily("g"), 8), 2), false, "[1a 1a 1a 1b 1b 1b]"},
		{"slots, after a minute", heavy(prior(daily("g"), 8), 2), true, "[1a 1a 1a]"},
		{"nobody's", heavy(prior(daily("g"), 8), 7), true, "[1a 1a 1a 1b 1b 1b]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFacts(t, c.asks, daily("p"))
			f.agent("a", 1, 0)
			f.labelled("b", 2, "gpu", "true")
			f.submit(0, all("p", 60))
			f.grantTo("a", 1, 0)
			f.grantTo("b", 1, 1)
			f.grantTo("b", 1, 2)
			f.finish(1, 0, ok) // in no time: its node is short
			f.grantTo("a", 1, 3)
			f.submit(0, all("g", 2, func(r *wire.Request) { r.Priority = 8 }))
			o := NewOffers()
			*o.Use("default") = f.st.GroupUse("default")
			f.sched.Tick(f.now)
			f.sched.Pace(mustPlan(f, 1), 0).Add(1)
			o.Set("default", Offer{Agent: "a", Slots: 1, Ahead: 3, AheadMs: 1000, Labels: nil})
			o.Set("default", Offer{Agent: "b", Slots: 2, Ahead: 3, AheadMs: 1000, Labels: labels("gpu", "true")})
			got := f.sched.Fill(o, 99)
			if c.late {
				if len(got) == 0 {
					t.Fatal("nothing goes ahead before it has waited for long")
				}
				f.now += 61_000
				f.sched.Tick(f.now)
				o.Set("default", Offer{Agent: "a", Slots: 1, Ahead: 3, AheadMs: 1000})
				o.Set("default", Offer{Agent: "b", Slots: 2, Ahead: 3, AheadMs: 1000, Labels: labels("gpu", "true")})
				got = f.sched.Fill(o, 99)
			}
			if got := where(got); got != c.agent {
				t.Errorf("got %s, want %s", got, c.agent)
			}
			for _, g := range got {
				if !g.Ahead {
					t.Errorf("%v is not ahead", g)
				}
			}
		})
	}
}

func mustPlan(f *facts, id uint64) *state.Plan {
	f.t.Helper()
	p, ok := f.st.Plan(id)
	if !ok {
		f.t.Fatalf("there is no b%d", id)
	}
	return p
}

// grantTo leases an instance to an agent.
func (f *facts) grantTo(agent string, id, instance uint64) {
	f.t.Helper()
	f.turn(&wire.Turn{Grants: []*wire.Grant{{Plan: id, Instance: instance, Agent: agent, ResourceGroup: "default"}}})
}

// TestR5_6_YieldsForItsSlots: a backfill makes way only where the schedule's
// instance gets its slots by it.
func TestR5_6_YieldsForItsSlots(t *testing.T) {
	for _, c := range []struct {
		name  string
		slots uint32
		want  int
	}{{"enough with those of the backfill's attempt", 4, 1}, {"room without it", 8, 1}} {
		t.Run(c.name, func(t *testing.T) {
			f := newFacts(t, heavy(auto(daily("s")), 3), daily("p"))
			f.agent("a", c.slots, 0)
			id := f.submit(0, all("s", 1, func(r *wire.Request) { r.Dates[0].From -= 9; r.Dates[0].To -= 9 }))
			f.grant(id, 0)
			f.generate(int32(today) - 1)
			if got := f.sched.Yields(); len(got) != c.want {
				t.Errorf("%d make way, want %d", len(got), c.want)
			}
		})
	}
	// At an agent that would still be too small: its slots were taken away.
	f := newFacts(t, heavy(auto(daily("s")), 3))
	f.agent("a", 3, 0)
	id := f.submit(0, all("s", 1, func(r *wire.Request) { r.Dates[0].From -= 9; r.Dates[0].To -= 9 }))
	f.grant(id, 0)
	f.agent("a", 2, 0)
	f.generate(int32(today) - 1)
	if got := f.sched.Yields(); len(got) != 0 {
		t.Errorf("%v make way for what has no room then either", got)
	}
}
