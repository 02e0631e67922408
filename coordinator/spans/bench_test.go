package spans

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/dispatch"
	"backfleet/coordinator/watch"
	"backfleet/pkg/trace"
	"backfleet/pkg/wire"
)

// BenchmarkTurn is what a turn of one result and one grant costs the loop of turns:
// applying it, and showing it to who looks on, in processor time of the loop's own thread
// and of all that is made of it beside. The clock says little where others use the cores.
func BenchmarkTurn(b *testing.B) {
	for _, x := range []struct {
		name  string
		ratio float64
		hangs bool
	}{{"off", 0, false}, {"on/a hundredth", 0.01, false}, {"on/all", 1, false}, {"on/hangs", 1, true}} {
		b.Run(x.name, func(b *testing.B) { benchTurn(b, x.ratio, x.hangs) })
	}
}

func benchTurn(b *testing.B, ratio float64, hangs bool) {
	const days = 4000
	bench := newBench(&testing.T{}, 1, job)
	m, now := bench.m, func() time.Time { return bench.now }
	id := bench.submit(days)
	to := &collector{let: make(chan error), forgets: true}
	ctx, cancel := context.WithCancel(b.Context())
	var beside sync.WaitGroup
	also := func(dispatch.Turned) {}
	if ratio > 0 {
		if !hangs {
			close(to.let)
		}
		e := NewExporter(to, Count(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
		t := New("c1", func() trace.Cluster { return trace.Cluster{Generation: 77, Ratio: ratio} }, m, now, e)
		beside.Go(func() { e.Run(ctx) })
		beside.Go(func() { t.Run(ctx) })
		beside.Go(func() { t.Lead(ctx, 1, time.Time{}) })
		also = t.Turned
	}
	w := watch.New(prometheus.NewRegistry(), func() time.Time { return time.Time{} }, also)
	beside.Go(func() { w.Run(ctx) })
	at, fence := uint64(0), uint64(0)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, all := cpu(b, syscall.RUSAGE_THREAD), cpu(b, syscall.RUSAGE_SELF)
	b.ResetTimer()
	for range b.N {
		if at == days {
			b.StopTimer()
			id, at, fence = bench.submit(days), 0, 0
			b.StartTimer()
		}
		bench.index++
		turn := &wire.Turn{Grants: []*wire.Grant{{Plan: id, Instance: at, Agent: "x", ResourceGroup: "default"}}}
		if fence > 0 {
			ms := bench.now.UnixMilli()
			turn.Finishes = []*wire.Finish{{Plan: id, Instance: at - 1, Fence: fence, Outcome: wire.Outcome_SUCCEEDED, StartedMs: ms - 2, EndedMs: ms - 1}}
		}
		data, err := proto.Marshal(&wire.Command{NowMs: bench.now.UnixMilli(), Body: &wire.Command_Turn{Turn: turn}})
		if err != nil {
			b.Fatal(err)
		}
		before := m.State()
		m.Apply(bench.index, data)
		w.Turned(dispatch.Turned{Turn: turn, Before: before, After: m.State(), Index: bench.index, Waited: []int64{5}, Decided: bench.now, Committed: bench.now})
		fence = bench.index
		at++
	}
	b.StopTimer()
	b.ReportMetric(float64(cpu(b, syscall.RUSAGE_THREAD)-own)/float64(b.N), "own-ns/op")
	cancel()
	beside.Wait()
	b.ReportMetric(float64(cpu(b, syscall.RUSAGE_SELF)-all)/float64(b.N), "all-ns/op")
}

// cpu is the processor time that a thread, or the process, has used.
func cpu(b *testing.B, who int) int64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(who, &r); err != nil {
		b.Fatal(err)
	}
	return r.Utime.Nano() + r.Stime.Nano()
}
