package state

import (
	"bytes"
	"io"
	"runtime"
	"testing"
	"time"

	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// BenchmarkHundredPlans has 100 plans of 10,000 nodes × 1,000 dates at once: what
// each weighs when accepted, how long the last one takes, with dates of its own
// and with those of all others, and a snapshot of all.
func BenchmarkHundredPlans(b *testing.B) {
	const plans = 100
	m := fleet(b, 10_000)
	request := func(n int32) *wire.Command {
		to := int32(calendar.DateOf(2010, 1, 1)) + n*1000
		return submit(&wire.Request{
			Mode: wire.Request_DESCENDANTS, Root: "n00000", Dates: []*wire.DateRange{{From: to - 999, To: to}}, Order: wire.Request_ASCENDING,
		})
	}
	before := heap()
	for i := range int32(plans - 1) {
		m.must(request(-i % 3 * 7))
	}
	perInstance := float64(heap()-before) / (plans - 1) / 1e7
	for name, c := range map[string]*wire.Command{"SubmitElsewhere": request(4), "SubmitOverlapping": request(0)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, r := m.s.Apply(m.index+1, c); r.Err != nil {
					b.Fatal(r.Err)
				}
			}
			b.ReportMetric(perInstance, "B/instance")
		})
	}
	b.Run("Snapshot", func(b *testing.B) {
		var n int64
		for b.Loop() {
			n, _ = m.s.WriteTo(io.Discard)
		}
		b.ReportMetric(float64(n)/1e6, "MB")
	})
	var stored bytes.Buffer
	if _, err := m.s.WriteTo(&stored); err != nil {
		b.Fatal(err)
	}
	b.Run("Read", func(b *testing.B) {
		for b.Loop() {
			if _, err := Read(bytes.NewReader(stored.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
	runtime.KeepAlive(m)
}

// BenchmarkManyCycles accepts one node × 1,440 cycles × 3,650 dates.
func BenchmarkManyCycles(b *testing.B) {
	m := newMachine(b)
	n := daily("n")
	n.Schedule = &wire.Schedule{Kind: wire.Schedule_MINUTELY, From: 0, To: 24*3600 - 60, Every: 1}
	n.DependsOnSelf = true
	m.must(apply(n))
	c := submit(current("n", 3650))
	var keep []*State
	before := heap()
	for b.Loop() {
		next, r := m.s.Apply(m.index+1, c)
		if r.Err != nil || r.Answer.Instances != 1440*3650 {
			b.Fatal(r.Err, r.Answer)
		}
		keep = append(keep, next)
	}
	b.ReportMetric(float64(heap()-before)/float64(len(keep))/1440/3650, "B/instance")
	runtime.KeepAlive(keep)
}

// peak is the largest heap, over what is there at the start, while f runs.
func peak(f func()) uint64 {
	before, most := heap(), uint64(0)
	done, seen := make(chan struct{}), make(chan uint64)
	go func() {
		var s runtime.MemStats
		most := uint64(0)
		for {
			select {
			case <-done:
				seen <- most
				return
			case <-time.After(20 * time.Millisecond):
				runtime.ReadMemStats(&s)
				most = max(most, s.HeapInuse)
			}
		}
	}()
	f()
	close(done)
	most = <-seen
	return most - min(most, before)
}
