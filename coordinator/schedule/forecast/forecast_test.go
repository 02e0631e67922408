package forecast

import (
	"slices"
	"strings"
	"testing"
	"time"

	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

var (
	noon  = time.Date(2021, 8, 24, 12, 0, 0, 0, time.UTC).UnixMilli()
	today = calendar.DateOf(2021, 8, 24)
)

const secMs = 1000

// facts is a log of its own.
type facts struct {
	t     testing.TB
	st    *state.State
	index uint64
	now   int64
}

func newFacts(t testing.TB, slots uint32, nodes ...*wire.Node) *facts {
	f := &facts{t: t, st: state.New(), now: noon - 5*24*3600*secMs}
	f.do(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: nodes}}})
	f.now = noon
	f.turn(&wire.Turn{Agents: []*wire.Agent{{Id: "a", Incarnation: "k", State: wire.Agent_READY, Groups: []*wire.GroupSlots{{Group: "default", Slots: slots}}}}})
	return f
}

func (f *facts) do(c *wire.Command) *wire.Answer {
	f.t.Helper()
	f.index++
	c.NowMs = f.now
	next, r := f.st.Apply(f.index, c)
	if r.Err != nil || len(r.Refused) > 0 {
		f.t.Fatalf("refused: %v %v", r.Err, r.Refused)
	}
	f.st = next
	return r.Answer
}

func (f *facts) turn(t *wire.Turn) {
	f.t.Helper()
	f.do(&wire.Command{Body: &wire.Command_Turn{Turn: t}})
}

func utc() []*wire.Zone {
	z := plan.WireZone(calendar.ResolveZone(time.UTC, today-5000, today+100))
	z.Name = "UTC"
	return []*wire.Zone{z}
}

func (f *facts) submit(r *wire.Request, from, to int32) uint64 {
	f.t.Helper()
	r.Dates = []*wire.DateRange{{From: int32(today) - from, To: int32(today) - to}}
	if r.Mode == 0 {
		r.Mode = wire.Request_DESCENDANTS
	}
	return f.do(&wire.Command{Actor: "ann", Body: &wire.Command_Submit{Submit: &wire.Submit{
		Request: r, Today: int32(today), ClusterZone: "UTC", Zones: utc(),
	}}}).Plan
}

func (f *facts) generate(daysAgo int32) uint64 {
	f.t.Helper()
	return f.do(&wire.Command{Body: &wire.Command_Generate{Generate: &wire.Generate{
		Date: int32(today) - daysAgo, Today: int32(today), ClusterZone: "UTC", Zones: utc(),
	}}}).Plan
}

func (f *facts) run(id, instance uint64, takesMs int64, o wire.Outcome) {
	f.t.Helper()
	f.turn(&wire.Turn{Grants: []*wire.Grant{{Plan: id, Instance: instance, Agent: "a", ResourceGroup: "default"}}})
	f.turn(&wire.Turn{Finishes: []*wire.Finish{{
		Plan: id, Instance: instance, Fence: f.index, Outcome: o, StartedMs: f.now - takesMs, EndedMs: f.now,
	}}})
}

// past runs a node once for each duration, in seconds, on dates long ago.
func (f *facts) past(node string, seconds ...int64) {
	f.t.Helper()
	id := f.submit(&wire.Request{Root: node, Mode: wire.Request_CURRENT, Gate: wire.Request_NONE}, 100, 101-int32(len(seconds)))
	for i, s := range seconds {
		f.run(id, uint64(i), s*secMs, wire.Outcome_SUCCEEDED)
	}
}

func daily(id string, upstreams ...string) *wire.Node {
	n := &wire.Node{Id: id, Code: "true", Schedule: &wire.Schedule{Kind: wire.Schedule_DAILY}}
	for _, u := range upstreams {
		n.Upstreams = append(n.Upstreams, &wire.Upstream{Node: u})
	}
	return n
}

func two() []*wire.Node { return []*wire.Node{daily("a"), daily("b", "a")} }

// TestForecastIsWhatHappens: a takes 10 s, b behind it 20 s.
func TestForecastIsWhatHappens(t *testing.T) {
	for _, c := range []struct {
		name    string
		slots   uint32
		asked   map[string]int
		request *wire.Request
		days    int32
		seconds int64
		peak    int
	}{
		{"dates one after another", 9, nil, &wire.Request{Root: "a"}, 3, 90, 1},
		{"groups side by side", 9, nil, &wire.Request{Root: "a", Groups: 3}, 3, 30, 3},
		{"one slot for three groups", 1, nil, &wire.Request{Root: "a", Groups: 3}, 3, 90, 3},
		{"more slots than there are", 1, map[string]int{"default": 3}, &wire.Request{Root: "a", Groups: 3}, 3, 30, 3},
		{"fewer slots than there are", 9, map[string]int{"default": 1}, &wire.Request{Root: "a", Groups: 3}, 3, 90, 3},
		{"gate node runs ahead", 9, nil, &wire.Request{Root: "a", Gate: wire.Request_NODE}, 3, 70, 2},
		{"gate none", 9, nil, &wire.Request{Root: "a", Gate: wire.Request_NONE}, 3, 30, 3},
		{"a cap of its own", 9, nil, &wire.Request{Root: "a", Gate: wire.Request_NONE, MaxRunning: 1}, 3, 90, 1},
		{"dry runs take no time", 9, nil, &wire.Request{Root: "a", DryRun: true}, 3, 0, 0},
		{"not before a moment", 9, nil, &wire.Request{Root: "a", NotBeforeMs: noon + 100*secMs}, 1, 130, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFacts(t, c.slots, two()...)
			f.past("a", 10, 10)
			f.past("b", 20, 20)
			id := f.submit(c.request, c.days, 1)
			got := Run(f.st, id, f.now, Options{Slots: c.asked})
			if !got.Complete || got.Why != "" || got.Instances != uint64(2*c.days) {
				t.Fatalf("got %+v", got)
			}
			want := noon + c.seconds*secMs
			if got.FinishMs != (Band{want, want, want}) {
				t.Errorf("ends %d ms from now, want %d s", got.FinishMs.Mid-noon, c.seconds)
			}
			peak := 0
			for _, d := range got.Demand {
				peak += d.Peak
			}
			if peak != c.peak {
				t.Errorf("demand %+v, want a peak of %d", got.Demand, c.peak)
			}
		})
	}
}

// TestBand is the quartiles of what the node took.
func TestBand(t *testing.T) {
	f := newFacts(t, 5, daily("a"), daily("n"))
	f.past("a", 10, 20, 30, 40, 50, 60, 70, 80)
	id := f.submit(&wire.Request{Root: "a"}, 1, 1)
	if got, want := Run(f.st, id, noon, Options{}).FinishMs, (Band{noon + 30*secMs, noon + 45*secMs, noon + 60*secMs}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	got := Run(f.st, f.submit(&wire.Request{Root: "n"}, 1, 1), noon, Options{})
	if got.FinishMs.Mid != noon+45*secMs || !strings.Contains(got.Why, "1 of 1 nodes never ran: 45.0 s") {
		t.Errorf("got %+v, want 45 s and the guess named", got)
	}
}

// TestNothingEverRan: a minute is assumed, and said.
func TestNothingEverRan(t *testing.T) {
	f := newFacts(t, 1, two()...)
	got := Run(f.st, f.submit(&wire.Request{Root: "a"}, 1, 1), noon, Options{})
	if got.FinishMs.Mid != noon+120*secMs || !got.Complete || !strings.Contains(got.Why, "2 of 2 nodes never ran: 60 s") {
		t.Errorf("got %+v", got)
	}
}

// TestTheScheduleComesBetween: auto instances that become due meanwhile take
// their slots, and backfills of their nodes make way (RULES R5.6, R7.3).
func TestTheScheduleComesBetween(t *testing.T) {
	s := daily("s")
	s.Auto, s.Schedule.At = true, 12*3600+5
	f := newFacts(t, 1, s)
	f.past("s", 10)
	f.generate(1)
	id := f.submit(&wire.Request{Root: "s"}, 3, 3)
	got := Run(f.st, id, noon, Options{})
	// 5 s in vain, 10 s of the schedule, then from the beginning.
	if want := noon + 25*secMs; got.FinishMs.Mid != want || !got.Complete {
		t.Errorf("got %+v, ends %d ms from now", got, got.FinishMs.Mid-noon)
	}
}

// TestWhatRunsGoesOn: attempts on real agents use slots until they end.
func TestWhatRunsGoesOn(t *testing.T) {
	f := newFacts(t, 1, two()...)
	f.past("a", 10)
	f.past("b", 20)
	id := f.submit(&wire.Request{Root: "a"}, 1, 1)
	f.turn(&wire.Turn{Grants: []*wire.Grant{{Plan: id, Instance: 0, Agent: "a", ResourceGroup: "default"}}})
	if got := Run(f.st, id, noon+4*secMs, Options{}); got.FinishMs.Mid != noon+30*secMs || !got.Complete {
		t.Errorf("got %+v, ends %d ms from now", got, got.FinishMs.Mid-noon)
	}
}

// TestWhatWouldNotEnd says why.
func TestWhatWouldNotEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(f *facts, id uint64)
		want string
	}{
		{"no slot", func(f *facts, _ uint64) {
			f.turn(&wire.Turn{Agents: []*wire.Agent{{Id: "a", Incarnation: "k", State: wire.Agent_LOST}}})
		}, `resource group "default" has no slot`},
		{"a failure", func(f *facts, id uint64) { f.run(id, 0, 1, wire.Outcome_FAILED) }, ".0 has failed"},
		{"frozen", func(f *facts, id uint64) {
			f.do(&wire.Command{Body: &wire.Command_Operate{Operate: &wire.Operate{Kind: wire.Operate_FREEZE, Targets: []*wire.Target{{Plan: id, Instances: []uint64{1}}}}}})
		}, ".1 is frozen"},
		{"paused", func(f *facts, id uint64) {
			f.do(&wire.Command{Body: &wire.Command_Operate{Operate: &wire.Operate{Kind: wire.Operate_PAUSE, Targets: []*wire.Target{{Plan: id}}}}})
		}, "to be resumed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFacts(t, 2, two()...)
			id := f.submit(&wire.Request{Root: "a"}, 2, 1)
			c.do(f, id)
			if got := Run(f.st, id, noon, Options{}); got.Complete || got.FinishMs != (Band{}) || !strings.Contains(got.Why, c.want) {
				t.Errorf("got %+v, want %q", got, c.want)
			}
		})
	}
}

// TestLargePlansGetALowerBound that is never above what following them gives.
func TestLargePlansGetALowerBound(t *testing.T) {
	for _, r := range []*wire.Request{
		{Root: "a", Groups: 4}, {Root: "a", Gate: wire.Request_NONE}, {Root: "a", Gate: wire.Request_NODE}, {Root: "a", Groups: 10, MaxRunning: 2},
	} {
		c := daily("c", "a")
		c.DependsOnSelf = true
		f := newFacts(t, 3, append(two(), c)...)
		f.past("a", 10)
		f.past("b", 20)
		f.past("c", 7)
		id := f.submit(r, 40, 1)
		exact, least := Run(f.st, id, noon, Options{}), Run(f.st, id, noon, Options{MaxSteps: 100})
		if !exact.Complete || least.Complete || !strings.Contains(least.Why, "lower bound") {
			t.Fatalf("got %+v and %+v", exact, least)
		}
		if least.FinishMs.Mid > exact.FinishMs.Mid || least.FinishMs.Mid-noon < (exact.FinishMs.Mid-noon)*2/3 {
			t.Errorf("%v: a bound of %d ms for %d ms", r, least.FinishMs.Mid-noon, exact.FinishMs.Mid-noon)
		}
		if least.Steps > 100+20 {
			t.Errorf("%d steps were tried, want at most about 100", least.Steps)
		}
	}
	f := newFacts(t, 100, two()...)
	f.past("a", 10)
	f.past("b", 20)
	id := f.submit(&wire.Request{Root: "a", Gate: wire.Request_NONE}, 4000, 1)
	got := Run(f.st, id, noon, Options{MaxSteps: 6000})
	if got.FinishMs.Mid != noon+4000*30/100*secMs || got.Complete || got.Steps != 0 {
		t.Errorf("got %+v", got)
	}
	if want := []Demand{{Group: "default", Slots: 100, Peak: 4000, AtLeast: true}}; !slices.Equal(got.Demand, want) {
		t.Errorf("demand %+v, want %+v", got.Demand, want)
	}
}

// TestAForecastDisturbsNothing: neither the facts nor a scheduler that follows
// them.
func TestAForecastDisturbsNothing(t *testing.T) {
	f := newFacts(t, 2, two()...)
	f.past("a", 10)
	id := f.submit(&wire.Request{Root: "a"}, 5, 1)
	sched := schedule.New(schedule.Settings{})
	sched.Load(f.st, noon)
	before := f.st.Hash()
	first := Run(f.st, id, noon, Options{})
	second := Run(f.st, id, noon, Options{})
	if f.st.Hash() != before {
		t.Error("the facts have changed")
	}
	if first.FinishMs != second.FinishMs || first.Steps != second.Steps || !slices.Equal(first.Demand, second.Demand) {
		t.Errorf("two forecasts of the same differ: %+v %+v", first, second)
	}
	if got := sched.Grants(map[string][]schedule.Slots{"default": {{Agent: "a", Free: 5}}}); len(got) != 1 || got[0].Instance != 0 {
		t.Errorf("the scheduler gives %v", got)
	}
}

// TestR7_8_AHeavyNodeTakesItsSlots on paper too, where its agents' slots are one;
// what none of them could hold would never end.
func TestR7_8_AHeavyNodeTakesItsSlots(t *testing.T) {
	a, b := daily("a"), daily("b", "a")
	b.Slots, b.Requires = 3, []*wire.Assignment{{Name: "gpu", Value: "true"}}
	f := newFacts(t, 2, a, b)
	id := f.submit(&wire.Request{Root: "a", Groups: 2}, 2, 1)
	if got := Run(f.st, id, noon, Options{}); got.FinishMs != (Band{}) || !strings.Contains(got.Why, "it requires gpu=true, which no agent") {
		t.Errorf("got %+v", got)
	}
	f.turn(&wire.Turn{Agents: []*wire.Agent{{
		Id: "g", Incarnation: "k", State: wire.Agent_READY, Labels: b.Requires, Groups: []*wire.GroupSlots{{Group: "default", Slots: 2}},
	}}})
	if got := Run(f.st, id, noon, Options{}); got.FinishMs != (Band{}) || !strings.Contains(got.Why, "it needs 3 slots at one agent, and the largest of resource group \"default\" with gpu=true has 2") {
		t.Errorf("got %+v", got)
	}
	f.turn(&wire.Turn{Agents: []*wire.Agent{{
		Id: "g", Incarnation: "k", State: wire.Agent_READY, Labels: b.Requires, Groups: []*wire.GroupSlots{{Group: "default", Slots: 3}},
	}}})
	got := Run(f.st, id, noon, Options{})
	// Both dates' a side by side, then one b after the other: three of five slots.
	if want := noon + 3*fallbackMs; !got.Complete || got.FinishMs.Mid != want {
		t.Errorf("ends %d ms from now, want %d: %+v", got.FinishMs.Mid-noon, want-noon, got)
	}
	if want := []Demand{{Group: "default", Slots: 5, Peak: 6}}; !slices.Equal(got.Demand, want) {
		t.Errorf("demand %+v, want %+v", got.Demand, want)
	}
	f.do(&wire.Command{Body: &wire.Command_PutResourceGroup{PutResourceGroup: &wire.PutResourceGroup{Name: "default", ReserveForAuto: 3}}})
	if got := Run(f.st, id, noon, Options{}); got.FinishMs != (Band{}) || !strings.Contains(got.Why, "needs 3 slots of resource group \"default\", which has 2 for it") {
		t.Errorf("got %+v", got)
	}
}

// TestNoSuchPlan and one that is finished.
func TestNoSuchPlan(t *testing.T) {
	f := newFacts(t, 1, two()...)
	if got := Run(f.st, 7, noon, Options{}); got.Complete || got.Why == "" {
		t.Errorf("got %+v", got)
	}
	f.past("a", 1)
	if got := Run(f.st, 1, noon, Options{}); !got.Complete || got.FinishMs.Mid != noon || got.Instances != 0 {
		t.Errorf("got %+v", got)
	}
}
