package dispatch

import (
	"fmt"
	"testing"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// BenchmarkTurnOfOne is a turn that takes in one result and gives one grant
// with so many agents connected: it should cost the same for any number.
func BenchmarkTurnOfOne(b *testing.B) {
	for _, agents := range []int{10, 1_000, 10_000} {
		b.Run(fmt.Sprint(agents, " agents"), func(b *testing.B) {
			t := &testing.T{}
			f := newBench(t, job)
			for i := range agents {
				f.hello(fmt.Sprint("x", i), "k")
			}
			f.turns()
			f.submit(4000, &wire.Request{Root: "a", Gate: wire.Request_NONE, MaxRunning: 1})
			f.turns()
			id := uint64(1)
			b.ResetTimer()
			for range b.N {
				var ref *wire.AttemptRef
				var c Conn
				f.st.LeasesOf(id, func(l *state.Lease) { ref, c = l.Ref(), f.core.workers[l.Agent].session.conn })
				if ref == nil {
					b.StopTimer()
					id = f.submit(4000, &wire.Request{Root: "a", Gate: wire.Request_NONE, MaxRunning: 1})
					f.turns()
					b.StartTimer()
					continue
				}
				f.core.Report(c, &wire.Report{Results: []*wire.AttemptResult{ended(ref, wire.Outcome_SUCCEEDED)}}, f.now)
				f.turns()
				clear(f.sent)
			}
		})
	}
}

// BenchmarkHello is one agent more, when so many are connected: an entry each.
func BenchmarkHello(b *testing.B) {
	for _, agents := range []int{100, 10_000} {
		b.Run(fmt.Sprint(agents, " agents"), func(b *testing.B) {
			f := newBench(&testing.T{}, job)
			for i := range agents {
				f.hello(fmt.Sprint("x", i), "k")
			}
			f.turns()
			clear(f.sent)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				f.hello(fmt.Sprint("n", i), "k")
				f.turns()
				clear(f.sent)
			}
		})
	}
}

// BenchmarkRenewal is what a renewal of an idle agent costs the Core.
func BenchmarkRenewal(b *testing.B) {
	f := newBench(&testing.T{}, job)
	c := f.hello("x", "k")
	f.turns()
	b.ReportAllocs()
	for b.Loop() {
		f.renew(c, 1)
		f.send(f.core.Verified())
		clear(f.sent)
	}
}
