package schedule

import (
	"fmt"
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
