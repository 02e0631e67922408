package schedule

import (
	"fmt"
	"math"
	"testing"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// BenchmarkTurn is what the scheduler does for an instance of a plan of
// 1,000,000: 1,000 end and 1,000 start in a turn. The facts' own work is not
// counted.
func BenchmarkTurn(b *testing.B) {
	for _, c := range []struct {
		name string
		auto bool
	}{{"no auto instance", false}, {"a month of the schedule", true}} {
		b.Run(c.name, func(b *testing.B) {
			nodes := []*wire.Node{daily("n0")}
			for i := 1; i < 1000; i++ {
				nodes = append(nodes, daily(fmt.Sprint("n", i), fmt.Sprint("n", i/4)))
			}
			if c.auto {
				for _, n := range nodes {
					n.Auto = true
					n.Schedule.At = 23 * 3600
				}
			}
			f := newFacts(b, nodes...)
			f.agent("a", 1000, 0)
			for d := range int32(30) {
				if c.auto {
					f.generate(int32(today) - 1 + d)
				}
			}
			f.submit(1000, &wire.Request{Root: "n0", Groups: 10, Gate: wire.Request_NONE})
			started := 0
			b.StopTimer()
			b.ResetTimer()
			for started < b.N {
				turn := &wire.Turn{}
				f.st.Leases(func(l *state.Lease) {
					turn.Finishes = append(turn.Finishes, &wire.Finish{Plan: l.Plan, Instance: l.Instance, Fence: l.Fence, Outcome: ok, EndedMs: f.now})
				})
				e := f.st.Edit(f.st.Index()+1, f.now)
				e.Turn(turn)
				next, changes := e.Done()
				b.StartTimer()
				f.sched.Observe(next, changes, f.now)
				grants := f.sched.Grants(map[string][]Slots{"default": {{Agent: "a", Free: 1000}}})
				b.StopTimer()
				e = next.Edit(next.Index()+1, f.now)
				e.Turn(&wire.Turn{Grants: grants})
				f.st, changes = e.Done()
				b.StartTimer()
				f.sched.Observe(f.st, changes, f.now)
				b.StopTimer()
				if started += len(grants); len(grants) == 0 {
					b.Fatal("the plan has come to its end: shorten the run")
				}
			}
		})
	}
}

// BenchmarkFill is what it costs to give out the slots of 10,000 agents that
// become free, 1,000 in a turn: of nodes that ask for one slot anywhere, of such
// beside some that ask for more, and of such beside what no agent can hold. A
// third of the agents have the label, and every tenth two slots more.
func BenchmarkFill(b *testing.B) {
	const agents, ends = 10_000, 1000
	for _, c := range []struct {
		name  string
		other *wire.Node
	}{
		{"plain", daily("o")},
		{"labels", needs(daily("o"), "gpu", "true")},
		{"weights", heavy(daily("o"), 4)},
		{"impossible", heavy(needs(daily("o"), "gpu", "none"), 4)},
	} {
		b.Run(c.name, func(b *testing.B) {
			f := newFacts(b, daily("p"), c.other)
			f.agent("a", 0, 0)
			turn := &wire.Turn{}
			for i := range agents {
				a := &wire.Agent{Id: fmt.Sprintf("b%05d", i), Incarnation: "k", State: wire.Agent_READY, Groups: []*wire.GroupSlots{{Group: "default", Slots: 4}}}
				if i%10 == 0 {
					a.Groups[0].Slots = 6
				}
				if i%3 == 0 {
					a.Labels = labels("gpu", "true")
				}
				turn.Agents = append(turn.Agents, a)
			}
			f.turn(turn)
			for i := range 20 {
				root := []string{"p", "p", "p", "o"}[i%4]
				f.submit(5000, &wire.Request{Root: root, Mode: wire.Request_CURRENT, Gate: wire.Request_NONE})
			}
			o := f.offers()
			started, next := 0, 0
			b.ResetTimer()
			for started < b.N {
				b.StopTimer()
				for range ends { // one slot of each of these is free now
					id := fmt.Sprintf("b%05d", next%agents)
					a, _ := f.st.Agent(id)
					o.Set("default", Offer{Agent: id, Slots: int(a.Groups[0].Slots), Free: 1 + next%7/6, Labels: a.Labels})
					next += 7
				}
				f.now += 50
				f.sched.Tick(f.now)
				b.StartTimer()
				grants := f.sched.Fill(o, math.MaxInt)
				b.StopTimer()
				for _, g := range grants {
					o.Set("default", Offer{Agent: g.Agent})
				}
				if started += len(grants); len(grants) == 0 {
					f.sched.Load(f.st, f.now)
				}
				b.StartTimer()
			}
		})
	}
}
