package service

import (
	"testing"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

func virtual(n *wire.Node) { n.Type, n.Code = node.Virtual, "" }

// dimension is a logical table: base produces name and city, geo city and zip,
// score level.
func dimension(n *wire.Node) {
	n.Type, n.Code, n.Source = node.LogicalDimension, "", "shop"
	n.Logical = &wire.Logical{Table: n.Id, Fields: []*wire.LogicalField{{Name: "id", Type: "integer", PrimaryKey: true}}}
	for _, f := range []string{"name", "city", "zip", "level"} {
		n.Logical.Fields = append(n.Logical.Fields, &wire.LogicalField{Name: f, Type: "text"})
	}
	for _, u := range []*wire.Unit{{Id: "base", Fields: []string{"name", "city"}}, {Id: "geo", Fields: []string{"city", "zip"}}, {Id: "score", Fields: []string{"level"}}} {
		u.Code = "SELECT * FROM src"
		n.Logical.Units = append(n.Logical.Units, u)
	}
}

func readsOf(id string, fields ...string) option {
	return func(n *wire.Node) { n.Upstreams = append(n.Upstreams, &wire.Upstream{Node: id, Fields: fields}) }
}

func TestR12_2_ThePreviewShowsUnits(t *testing.T) {
	r := newRig(t, daily("dim", dimension), daily("by_level", readsOf("dim", "level")), daily("by_name", readsOf("dim", "name")), daily("any", up("dim")))
	look := func(fields ...string) (nodes string, units []v1.PreviewUnit) {
		t.Helper()
		req := backfill("dim", "2021-08-01")
		req.Fields = []*wire.FieldChoice{{Node: "dim", Fields: fields}}
		p, err := r.Preview(t.Context(), write("preview"), req, server.InstanceFilter{}, server.Page{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range p.Nodes {
			nodes += n.Node + " "
			if n.Node != "dim" && n.Units != nil {
				t.Errorf("%s has units: %v", n.Node, n.Units)
			}
		}
		return nodes, p.Nodes[0].Units
	}
	const alone = "produces nothing that was selected or shares a unit with it"
	for _, c := range []struct {
		fields []string
		nodes  string
		units  []v1.PreviewUnit
	}{
		{nil, "dim any by_level by_name ", []v1.PreviewUnit{
			{Unit: "base", Runs: true, Why: "the entire table"}, {Unit: "geo", Runs: true, Why: "the entire table"}, {Unit: "score", Runs: true, Why: "the entire table"},
		}},
		{[]string{"level"}, "dim any by_level ", []v1.PreviewUnit{
			{Unit: "base", Why: alone}, {Unit: "geo", Why: alone}, {Unit: "score", Runs: true, Why: "produces level"},
		}},
		{[]string{"name"}, "dim any by_name ", []v1.PreviewUnit{
			{Unit: "base", Runs: true, Why: "produces name"}, {Unit: "geo", Runs: true, Why: "produces city, which shares unit base with name"}, {Unit: "score", Why: alone},
		}},
	} {
		nodes, units := look(c.fields...)
		if nodes != c.nodes || len(units) != len(c.units) {
			t.Fatalf("%q: nodes %s, units %v", c.fields, nodes, units)
		}
		for i := range units {
			if units[i] != c.units[i] {
				t.Errorf("%q: got %v, want %v", c.fields, units[i], c.units[i])
			}
		}
	}
	req := backfill("dim", "2021-08-01")
	req.Fields = []*wire.FieldChoice{{Node: "dim", Fields: []string{"id"}}}
	if _, err := r.Preview(t.Context(), write("preview"), req, server.InstanceFilter{}, server.Page{Limit: 1}); !fault.Is(err, fault.Invalid) {
		t.Errorf("the primary key alone: %v", err)
	}

	// What was asked for is told afterwards.
	req.Fields[0].Fields = []string{"level"}
	b, err := r.Backfill(t.Context(), r.submit(req))
	if err != nil {
		t.Fatal(err)
	}
	if f := b.Request.Fields; len(f) != 1 || f[0].Node != "dim" || len(f[0].Fields) != 1 || f[0].Fields[0] != "level" {
		t.Errorf("%v", f)
	}
}

func TestR12_3_VirtualNodesInReceipts(t *testing.T) {
	r := newRig(t, daily("outside", virtual), daily("a", up("outside")), daily("v", up("a"), virtual), daily("b", up("v")))
	p, err := r.Preview(t.Context(), write("preview"), backfill("a", "2021-08-01..2021-08-02"), server.InstanceFilter{}, server.Page{Limit: 9})
	if err != nil {
		t.Fatal(err)
	}
	if n := p.Nodes[1]; n.Node != "v" || n.DryRun != v1.DryRunReasonVirtual || !n.Chosen || p.Totals.DryRun != 2 || p.Totals.Bridges != 0 {
		t.Errorf("%+v of %+v", n, p.Totals)
	}
	if len(p.MissingUpstreams) > 0 {
		t.Errorf("a virtual node writes nothing that could be missing: %v", p.MissingUpstreams)
	}
	id := r.submit(backfill("a", "2021-08-01"))
	r.agent("a1", "default", 5, wire.Agent_READY)
	r.run(id, wire.Outcome_SUCCEEDED, 0)
	r.turn(&wire.Turn{DryRuns: []*wire.DryRuns{{Plan: id, Instances: []uint64{1}}}})
	d := r.detail(id, 1)
	has(t, string(d.Instance.DryRun), "virtual")
	receipt, err := r.Receipt(t.Context(), id, v1.ReceiptByNode, server.InstanceFilter{}, server.Page{Limit: 9})
	if err != nil {
		t.Fatal(err)
	}
	if got := receipt.Rows[1]; got.Node != "v" || got.Totals.DryRun != 1 || len(got.Reasons) != 1 || got.Reasons[0].Text != "dry run: nothing to run, the node is there for the order" {
		t.Errorf("%+v", got)
	}
}
