package service

import (
	"testing"

	"backfleet/coordinator/machine"
	"backfleet/pkg/wire"
)

// BenchmarkQuestions times what TestWhatIsAskedCostsWhatItShows bounds, for a
// plan of ten million instances.
func BenchmarkQuestions(b *testing.B) {
	r, id := full(b, 10_000, "2010-01-01..2012-09-26")
	for name, q := range questions(r, id) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				q.ask(r.read())
			}
		})
	}
}

// BenchmarkHub takes in turns that nobody listens to: one with so few
// instances of a plan that each is told, and one with many.
func BenchmarkHub(b *testing.B) {
	for name, n := range map[string]uint64{"few": 40, "many": 400} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, daily("a"))
			r.agent("a1", "default", 1000, wire.Agent_READY)
			id := r.submit(backfill("a", "2010-01-01..2012-09-26", ungated))
			before := r.m.State()
			feed, _ := r.m.Follow()
			defer feed.Close()
			var all []uint64
			for i := range n {
				all = append(all, i)
			}
			r.start(id, all...)
			var applied machine.Applied
			for _, a := range feed.Take() {
				applied = a
			}
			h := newHub()
			h.begin(before)
			b.ReportAllocs()
			for b.Loop() {
				h.state = before
				applied.Index++
				h.observe(applied)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/transition")
		})
	}
}
