package dispatch

import (
	"slices"
	"testing"

	"backfleet/pkg/wire"
)

// TestR12_2_AgentsAreToldTheUnits: those of the fields that a backfill selects,
// on every date and in every attempt, also when the node has newer code.
func TestR12_2_AgentsAreToldTheUnits(t *testing.T) {
	table := func(code string) *wire.Node {
		return &wire.Node{Id: "a", Type: "logical_fact", Source: "shop", Slots: 2, Logical: &wire.Logical{
			Table: "fct", Fields: []*wire.LogicalField{{Name: "id", Type: "integer", PrimaryKey: true}, {Name: "amount", Type: "decimal"}, {Name: "level", Type: "text"}},
			Units: []*wire.Unit{{Id: "base", Code: code, Fields: []string{"amount"}}, {Id: "score", Code: code, Fields: []string{"level"}}},
		}}
	}
	b := newBench(t, table("SELECT 1"))
	b.source(file("shop", "/shop"))
	c := b.helloAs(able("logical_fact"))
	b.turns()
	b.take(c)
	some := b.submit(2, &wire.Request{Root: "a", Fields: []*wire.FieldChoice{{Node: "a", Fields: []string{"level"}}}})
	sent, first := b.next(c)
	if len(sent) != 1 || !slices.Equal(sent[0].Units, []string{"score"}) {
		t.Fatalf("got %v, want the unit score", sent)
	}
	if sent, again := b.next(c); len(sent) != 0 || again != first {
		t.Fatalf("the other date has the same: %v", sent)
	}
	b.turns()
	b.write(operate(wire.Operate_RERUN, &wire.Target{Plan: some, Instances: []uint64{0}}))
	if sent, again := b.next(c); len(sent) != 0 || again != first {
		t.Fatalf("a rerun has the same: %v", sent)
	}
	b.turns()
	b.write(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: []*wire.Node{table("SELECT 2")}}}})
	b.write(operate(wire.Operate_RERUN, &wire.Target{Plan: some, Instances: []uint64{0}}))
	sent, _ = b.next(c)
	if len(sent) != 1 || !slices.Equal(sent[0].Units, []string{"score"}) || sent[0].Node.Logical.Units[1].Code != "SELECT 2" {
		t.Fatalf("newer code, the same units: %v", sent)
	}
	b.turns()
	b.submit(1, &wire.Request{Root: "a"})
	if sent, _ := b.next(c); len(sent) != 1 || sent[0].Units != nil {
		t.Fatalf("the entire table: %v", sent)
	}
}
