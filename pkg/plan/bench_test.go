package plan_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// large is 10,000 nodes in 100 layers with ten upstreams each, 100,000 edges
// in all, and a request for 1,000 dates of all of them.
func large(b testing.TB, options ...nodeOption) (*node.Graph, *wire.Request) {
	const layers, width = 100, 100
	specs := []*wire.Node{daily("root")}
	name := func(layer, i int) string { return fmt.Sprintf("n%02d_%02d", layer, i) }
	for layer := range layers {
		for i := range width {
			n := daily(name(layer, i), options...)
			if layer == 0 {
				up("root")(n)
			} else {
				for k := range 10 {
					up(name(layer-1, (i+k*7)%width))(n)
				}
			}
			specs = append(specs, n)
		}
	}
	return graphOf(b, specs...), backfill("root", "2018-01-01..2020-09-26", groups(10))
}

func BenchmarkBuild(b *testing.B) {
	g, r := large(b)
	b.ReportAllocs()
	for b.Loop() {
		if p, err := buildAt(g, accepted, r); err != nil || p.Size() != 10_001_000 {
			b.Fatal(p.Size(), err)
		}
	}
}

// BenchmarkBuildOfManySchedules has 10,000 nodes of different schedules and
// zones on days of clock changes.
func BenchmarkBuildOfManySchedules(b *testing.B) {
	specs := []*wire.Node{daily("root")}
	for i := range 10_000 {
		n := minutely(fmt.Sprintf("n%04d", i), "00:00", "09:00", 540, up("root"), in(drawnZones[1+i%5]))
		n.Schedule.From = int32(i % 540 * 60)
		specs = append(specs, n)
	}
	g, r := graphOf(b, specs...), backfill("root", "2018-01-01..2020-09-26", groups(10))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := buildAt(g, accepted, r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBuildDescending searches all windows for a circle that is not there.
func BenchmarkBuildDescending(b *testing.B) {
	specs := []*wire.Node{daily("root")}
	for i := range 10_000 {
		specs = append(specs, daily(fmt.Sprintf("n%04d", i), window("root", -6, 0)))
	}
	r := backfill("root", "", descending, groups(10))
	for i := range 1_000 {
		day := int32(date("2000-01-01")) + int32(i)*7
		r.Dates = append(r.Dates, &wire.DateRange{From: day, To: day})
	}
	g := graphOf(b, specs...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := buildAt(g, accepted, r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExpandOfRecord(b *testing.B) {
	g, r := large(b)
	record := build(b, g, r).Record()
	b.ReportMetric(float64(proto.Size(record)), "record-bytes")
	b.ReportAllocs()
	for b.Loop() {
		_, err := plan.Expand(record, func(i int) (*node.Node, error) {
			k, _ := g.Index(record.Nodes[i].Spec.Id)
			return g.Node(k), nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTotals(b *testing.B) {
	g, r := large(b)
	p := build(b, g, r)
	b.ReportAllocs()
	for b.Loop() {
		if p.Totals().Instances != 10_001_000 {
			b.Fatal("wrong totals")
		}
	}
}

// BenchmarkCalls is one call on a plan of ten million instances.
func BenchmarkCalls(b *testing.B) {
	g, r := large(b)
	daily := build(b, g, r)
	mixed, mixedRequest := sample(b)
	b.Run("daily", func(b *testing.B) { benchmarkCalls(b, daily) })
	b.Run("mixed", func(b *testing.B) { benchmarkCalls(b, build(b, mixed, mixedRequest)) })
}

func benchmarkCalls(b *testing.B, p *plan.Plan) {
	var sink uint64
	places := make([]plan.Place, 1024)
	for i := range places {
		places[i], _ = p.Locate(uint64(i) * 7919 * 127 % p.Size())
	}
	for name, call := range map[string]func(i int, at plan.Place){
		"Locate": func(i int, _ plan.Place) {
			at, _ := p.Locate(uint64(i) * 7919 * 127 % p.Size())
			sink += uint64(at.Node)
		},
		"Instance": func(_ int, at plan.Place) { sink += p.Instance(at) },
		"Upstreams": func(_ int, at plan.Place) {
			p.Upstreams(at, func(_ int, from, to uint64) bool { sink += to - from; return true })
		},
		"Predecessor": func(_ int, at plan.Place) { sink += p.Predecessor(at).Instance },
		"Gate":        func(_ int, at plan.Place) { from, _, _ := p.Gate(at); sink += from },
		"DueMs":       func(_ int, at plan.Place) { sink += uint64(p.DueMs(at)) },
		"Priority":    func(_ int, at plan.Place) { sink += uint64(p.Priority(at)) },
		"Find": func(_ int, at plan.Place) {
			i, _ := p.Find(p.Nodes[at.Node].Spec.Id, p.Dates[at.Pos], p.Cycle(at).Unix)
			sink += i
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				call(i, places[i%len(places)])
			}
		})
	}
	if sink == 0 {
		b.Fatal("nothing was computed")
	}
}

// BenchmarkBuildOfManyChildren has a node that needs the previous cycle of
// 10,000 children.
func BenchmarkBuildOfManyChildren(b *testing.B) {
	root := daily("root")
	root.DependsOnChildren = true
	specs := []*wire.Node{root}
	for i := range 10_000 {
		specs = append(specs, daily(fmt.Sprintf("n%04d", i), up("root")))
	}
	g, r := graphOf(b, specs...), backfill("root", "2018-01-01..2020-09-26", groups(10))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := buildAt(g, accepted, r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkManyCycles is one node × 1,440 cycles × 3,650 dates.
func BenchmarkManyCycles(b *testing.B) {
	n := minutely("n", "00:00", "23:59", 1)
	n.DependsOnSelf = true
	g, r := graphOf(b, n), backfill("n", "2010-01-01..2019-12-29", groups(10))
	p := build(b, g, r)
	if p.Size() != 1440*3650 {
		b.Fatal(p.Size())
	}
	b.Run("Build", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := buildAt(g, accepted, r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("calls", func(b *testing.B) { benchmarkCalls(b, p) })
}
