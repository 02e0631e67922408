package plan_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

func virtual(n *wire.Node) { n.Type, n.Code = node.Virtual, "" }

// logical makes a table of units, "base: name city"; its key is id.
func logical(units ...string) nodeOption {
	return func(n *wire.Node) {
		n.Type, n.Code, n.Source = node.LogicalDimension, "", "shop"
		n.Logical = &wire.Logical{Table: n.Id, Fields: []*wire.LogicalField{{Name: "id", Type: "integer", PrimaryKey: true}}}
		for _, short := range units {
			id, fields, _ := strings.Cut(short, ":")
			u := &wire.Unit{Id: id, Code: "SELECT * FROM src", Fields: strings.Fields(fields)}
			n.Logical.Units = append(n.Logical.Units, u)
			for _, f := range u.Fields {
				n.Logical.Fields = append(n.Logical.Fields, &wire.LogicalField{Name: f, Type: "text"})
			}
		}
	}
}

func fields(of string, names ...string) requestOption {
	return func(r *wire.Request) { r.Fields = append(r.Fields, &wire.FieldChoice{Node: of, Fields: names}) }
}

func TestR12_3_VirtualNodesAreDryRuns(t *testing.T) {
	g := graphOf(t, daily("a"), daily("v", up("a"), virtual, mode(wire.Node_DRY_RUN)), daily("b", up("v")),
		scheduled("w", &wire.Schedule{Kind: wire.Schedule_WEEKLY, Weekdays: 1}, up("v"), virtual), daily("idle", virtual, mode(wire.Node_PAUSED)))
	keep := func(r *wire.Request) { r.PausedNodes, r.DryRunNodes = wire.Request_KEEP, wire.Request_KEEP }
	requested := func(r *wire.Request) { r.DryRun = true }
	const none, isVirtual = wire.DryRun_DRY_RUN_NONE, wire.DryRun_VIRTUAL
	for _, c := range []struct {
		on      string
		options []requestOption
		want    wire.DryRun
	}{
		{"a 05-29", nil, none},
		{"v 05-29", nil, isVirtual},
		{"b 05-29", nil, none},
		{"w 05-29", nil, isVirtual}, // whatever its schedule says
		{"v 05-29", []requestOption{keep}, isVirtual},
		{"v 05-29", []requestOption{requested}, wire.DryRun_REQUESTED},
		{"v 05-29", []requestOption{only("b")}, wire.DryRun_NOT_CHOSEN},
	} {
		p := build(t, g, backfill("a", "2021-05-29..2021-05-30", c.options...))
		at := find(t, p, c.on)
		if got := p.Dry(at); got != c.want || c.want == isVirtual && p.DryNode(at.Node) != c.want {
			t.Errorf("%s: %v, the node %v; want %v", c.on, got, p.DryNode(at.Node), c.want)
		}
	}
	p := build(t, g, backfill("a", "2021-05-29..2021-05-30"))
	if got := p.Totals(); got.DryRun != 4 || got.Bridges != 0 || got.Instances != 8 {
		t.Errorf("%+v", got)
	}
	if got := waits(t, p, "b 05-29"); got != "v 05-29" {
		t.Errorf("b waits for %q: a virtual node keeps the order", got)
	}
	if w := p.Warnings(); len(w) > 0 {
		t.Errorf("%q", w)
	}
	p = build(t, g, backfill("idle", "2021-05-29", keep))
	if at := find(t, p, "idle 05-29"); !p.FrozenNode(at.Node) {
		t.Error("a virtual node that is paused and kept so holds what comes after it, too")
	}
	if w := strings.Join(plan.Texts(p.Warnings()), "\n"); !strings.Contains(w, "nothing of it runs: node idle is virtual") {
		t.Errorf("%q", w)
	}
}

func TestR12_3_TheScheduleRunsNothingOfVirtualNodes(t *testing.T) {
	g := graphOf(t, daily("a", on), daily("v", up("a"), virtual, on))
	p := auto(t, g, "2021-01-11")
	if at := find(t, p, "v 01-11"); p.Dry(at) != wire.DryRun_VIRTUAL {
		t.Errorf("%v", p.Dry(at))
	}
}

func TestR12_2_APlanRunsTheUnitsOfItsFields(t *testing.T) {
	g := graphOf(t, daily("ods"), daily("dim", up("ods"), logical("base: name city", "score: level")),
		daily("fct", up("dim"), logical("sum: total", "avg: mean")), daily("other"))
	units := func(p *plan.Plan, id string) string {
		t.Helper()
		i, ok := p.NodeIndex(id)
		if !ok {
			t.Fatalf("no node %q", id)
		}
		return strings.Join(p.Units(i), " ")
	}
	for _, c := range []struct {
		options []requestOption
		want    string // units of dim, fct
	}{
		{nil, ", "},
		{[]requestOption{fields("dim")}, ", "},
		{[]requestOption{fields("dim", "level")}, "score, "},
		{[]requestOption{fields("dim", "city"), fields("fct", "mean")}, "base, avg"},
		{[]requestOption{fields("dim", "level", "name")}, ", "}, // all of them
	} {
		p := build(t, g, backfill("ods", "2021-01-11", c.options...))
		if got := units(p, "dim") + ", " + units(p, "fct"); got != c.want {
			t.Errorf("%v: got %q, want %q", p.Request.Fields, got, c.want)
		}
		if got := units(p, "ods"); got != "" {
			t.Errorf("ods has units %q", got)
		}
		choice := p.Choice(slices.IndexFunc(p.Nodes, func(n plan.Node) bool { return n.Spec.Id == "dim" }))
		if len(choice) != 2 || choice[0].Unit != "base" || choice[1].Unit != "score" || choice[0].Why == "" {
			t.Errorf("%v", choice)
		}
	}
	refused(t, g, backfill("ods", "2021-01-11", fields("dim", "id")), "fields[0].fields[0]", "primary key")
	refused(t, g, backfill("dim", "2021-01-11", fields("other", "x")), "fields[0].node", "shell")

	// What a plan runs is pinned with it: by its record, and over edits, also when
	// the node has changed meanwhile.
	p := build(t, g, backfill("dim", "2021-01-11", only("dim"), fields("dim", "level")))
	r := p.Record()
	text, err := proto.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	stored := &wire.PlanRecord{}
	if err := proto.Unmarshal(text, stored); err != nil {
		t.Fatal(err)
	}
	again, err := plan.Expand(stored, func(i int) (*node.Node, error) { n, _, err := node.Compile(stored.Nodes[i].Spec); return n, err })
	if err != nil || units(again, "dim") != "score" {
		t.Errorf("%v", err)
	}
	newer := graphOf(t, daily("ods"), daily("dim", up("ods"), logical("all: name city level")), daily("fct", up("dim"), logical("sum: total", "avg: mean")))
	q, _ := edited(t, p, newer, addNodes("fct"), addDates("2021-01-12"))
	if got := units(q, "dim") + ", " + units(q, "fct"); got != "score, " {
		t.Errorf("after the edit: %q", got)
	}
	// Two plans that pin the same nodes share them, not their selection.
	entire := build(t, g, backfill("dim", "2021-01-11", only("dim")))
	shares, err := plan.Expand(p.Record(), func(i int) (*node.Node, error) { return entire.Nodes[i].Node, nil }, entire)
	if err != nil || units(shares, "dim") != "score" || units(entire, "dim") != "" {
		t.Errorf("%v", err)
	}
}
