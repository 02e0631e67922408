package forecast

import (
	"testing"

	"backfleet/pkg/wire"
)

// BenchmarkRun is the largest plan that is followed by default.
func BenchmarkRun(b *testing.B) {
	f := newFacts(b, 500, two()...)
	f.past("a", 10, 20, 30)
	f.past("b", 20, 40)
	id := f.submit(&wire.Request{Root: "a", Gate: wire.Request_NONE}, 4900, 1)
	steps := 0
	for b.Loop() {
		r := Run(f.st, id, noon, Options{})
		if !r.Complete {
			b.Fatal(r.Why)
		}
		steps = r.Steps
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*steps), "µs/step")
}
