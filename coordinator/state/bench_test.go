package state

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/wire"
)

// fleet is a machine with n nodes in chains of ten and agents with slots for
// all.
func fleet(tb testing.TB, n int) *machine {
	tb.Helper()
	m := newMachine(tb)
	var nodes []*wire.Node
	for i := range n {
		node := daily(fmt.Sprintf("n%05d", i))
		switch {
		case i == 0:
		case i%10 == 0:
			node.Upstreams = []*wire.Upstream{{Node: "n00000"}}
		default:
			node.Upstreams = []*wire.Upstream{{Node: fmt.Sprintf("n%05d", i-1)}}
		}
		nodes = append(nodes, node)
	}
	m.must(apply(nodes...))
	var t wire.Turn
	for i := range 10 {
		t.Agents = append(t.Agents, agent(fmt.Sprint("a", i), 1<<20))
	}
	m.must(turn(&t))
	return m
}

// turns drives a plan through its instances in order: every turn finishes the
// batch that the turn before granted, and grants the next.
func turns(m *machine, p *Plan, batch int, fence uint64) func() (uint64, bool) {
	next, from := uint64(0), uint64(0)
	rnd := rand.New(rand.NewPCG(1, 1)) // durations that differ, as those of real attempts do
	return func() (uint64, bool) {
		var t wire.Turn
		for i := from; i < next; i++ {
			start := m.now + rnd.Int64N(10)
			t.Finishes = append(t.Finishes, &wire.Finish{
				Plan: p.ID, Instance: i, Fence: fence, Outcome: wire.Outcome_SUCCEEDED, StartedMs: start, EndedMs: start + rnd.Int64N(10_000),
			})
		}
		from = next
		for ; next < min(p.Size(), from+uint64(batch)); next++ {
			t.Grants = append(t.Grants, &wire.Grant{Plan: p.ID, Instance: next, Agent: "a1", ResourceGroup: "default"})
		}
		m.index++
		m.now += 10
		fence = m.index
		e := m.s.Edit(m.index, m.now)
		if refused := e.Turn(&t); len(refused) > 0 {
			m.t.Fatalf("refused: %v", refused[0])
		}
		m.s, _ = e.Done()
		return next, from < p.Size()
	}
}

// BenchmarkTurn applies turns of 1,000 finishes and 1,000 grants to a plan of
// 1,000,000 instances.
func BenchmarkTurn(b *testing.B) {
	m := fleet(b, 1000)
	r := &wire.Request{Mode: wire.Request_DESCENDANTS, Root: "n00000", Dates: days(1000)}
	step := turns(m, m.plan(m.must(submit(r)).Plan), 1000, 0)
	step()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if _, more := step(); !more {
			b.StopTimer()
			step = turns(m, m.plan(m.must(submit(r)).Plan), 1000, 0)
			step()
			b.StartTimer()
		}
		n += 2000
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/transition")
}

// BenchmarkDecodeTurn reads turns of 1,000 finishes and 1,000 grants, as every
// coordinator does.
func BenchmarkDecodeTurn(b *testing.B) {
	t := &wire.Turn{}
	for i := range uint64(1000) {
		t.Finishes = append(t.Finishes, &wire.Finish{
			Plan: 1, Instance: 500_000 + i, Fence: 70_000, Outcome: wire.Outcome_SUCCEEDED, StartedMs: epoch + int64(i), EndedMs: epoch + int64(3*i),
		})
		t.Grants = append(t.Grants, &wire.Grant{Plan: 1, Instance: 501_000 + i, Agent: "agent-1", ResourceGroup: "default"})
	}
	stored, err := proto.Marshal(turn(t))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(len(stored))/2000, "B/transition")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(stored); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSubmit accepts 10,000 nodes × 1,000 dates.
func BenchmarkSubmit(b *testing.B) {
	m := fleet(b, 10_000)
	c := submit(&wire.Request{Mode: wire.Request_DESCENDANTS, Root: "n00000", Dates: days(1000)})
	var keep []*State
	before := heap()
	for b.Loop() {
		next, r := m.s.Apply(m.index+1, c)
		if r.Err != nil {
			b.Fatal(r.Err)
		}
		keep = append(keep, next)
	}
	b.ReportMetric(float64(heap()-before)/float64(len(keep))/1e7, "B/instance")
	runtime.KeepAlive(keep)
}

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// BenchmarkSnapshot writes, hashes and reads a plan of 10,000,000 instances
// that have all finished.
func BenchmarkSnapshot(b *testing.B) {
	m := fleet(b, 10_000)
	before := heap()
	p := m.plan(m.must(submit(&wire.Request{Mode: wire.Request_DESCENDANTS, Root: "n00000", Dates: days(1000)})).Plan)
	for step, more := turns(m, p, 1000, 0), true; more; {
		_, more = step()
	}
	if !m.plan(p.ID).Succeeded() {
		b.Fatal("the plan has not finished")
	}
	perInstance := float64(heap()-before) / float64(p.Size())
	var stored bytes.Buffer
	if _, err := m.s.WriteTo(&stored); err != nil {
		b.Fatal(err)
	}
	b.Run("WriteTo", func(b *testing.B) {
		most := peak(func() {
			for b.Loop() {
				if _, err := m.s.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.ReportMetric(float64(most)/1e6, "peak-MB")
		b.ReportMetric(float64(stored.Len())/1e6, "MB")
		b.ReportMetric(perInstance, "B/instance")
	})
	b.Run("Hash", func(b *testing.B) {
		for b.Loop() {
			m.s.Hash()
		}
	})
	b.Run("Read", func(b *testing.B) {
		most := peak(func() {
			for b.Loop() {
				if _, err := Read(bytes.NewReader(stored.Bytes())); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.ReportMetric(float64(most)/1e6, "peak-MB")
	})
}
