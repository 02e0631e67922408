package service

import (
	"encoding/json"
	"fmt"
	"testing"

	"backfleet/api/server"
	"backfleet/pkg/wire"
)

// BenchmarkMap draws a plan of ten million instances, all of which were written to,
// as the answer is sent.
func BenchmarkMap(b *testing.B) {
	r, id := full(b, 10_000, "2010-01-01..2012-09-26")
	r.do(operation(wire.Operate_FREEZE, id)) // all that wait
	for _, one := range []struct {
		name string
		w    server.MapWindow
	}{
		{"whole", server.MapWindow{Rows: 512, Columns: 512}},
		{"whole, 4,000,000 cells", server.MapWindow{Rows: 4000, Columns: 1000}},
		{"a tenth by a tenth", server.MapWindow{NodeFrom: 4000, NodeCount: 1000, DateFrom: 500, DateCount: 100, Rows: 512, Columns: 512}},
		{"512 by 512", server.MapWindow{NodeFrom: 4000, NodeCount: 512, DateFrom: 400, DateCount: 512, Rows: 512, Columns: 512}},
	} {
		b.Run(one.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.maps = drawn{}
				m, err := r.Map(b.Context(), id, one.w)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := json.Marshal(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGraph tells of 10,000 nodes and 100,000 edges, as the answer is sent.
func BenchmarkGraph(b *testing.B) {
	var nodes []*wire.Node
	for i := range 10_000 {
		n := daily(fmt.Sprintf("n%05d", i), func(n *wire.Node) { n.Name, n.Owner, n.Workspace = fmt.Sprint("Node ", i), "ann", "shop" })
		for k := 1; k <= 10 && i-37*k >= 0; k++ {
			up(fmt.Sprintf("n%05d", i-37*k))(n)
		}
		nodes = append(nodes, n)
	}
	r := newRig(b, nodes...)
	for name, q := range map[string]server.GraphQuery{"whole": {}, "around a node": {Roots: []string{"n05000"}}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g, err := r.Graph(b.Context(), q)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := json.Marshal(g); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFailures groups the failures of a plan in which a hundred thousand
// instances failed, each for a reason of its own.
func BenchmarkFailures(b *testing.B) {
	r := newRig(b, tree(1000)...)
	r.agent("a1", "default", 200_000, wire.Agent_READY)
	id := r.submit(backfill("n00000", "2012-01-01..2012-04-09", ungated))
	p, _ := r.m.State().Plan(id)
	var all []uint64
	for i := range p.Size() {
		all = append(all, i)
	}
	r.force(id, all)
	r.start(id, all...)
	t := &wire.Turn{}
	for _, i := range all {
		l, _ := r.m.State().Lease(id, i)
		t.Finishes = append(t.Finishes, &wire.Finish{
			Plan: id, Instance: i, Fence: l.Fence, Outcome: wire.Outcome_FAILED, ExitCode: 1, Cause: fmt.Sprintf("line %d: the table shop.t_%d is not there", i, i),
		})
	}
	r.turn(t)
	b.ReportAllocs()
	for b.Loop() {
		f, err := r.Failures(b.Context(), id, 100)
		if err != nil || f.Instances != 100_000 || f.Groups != 1 {
			b.Fatal(f, err)
		}
	}
}
