package dispatch

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/wire"
)

func demanding() *wire.Node {
	return &wire.Node{
		Id: "a", Code: "true", Slots: 2, Requires: []*wire.Assignment{{Name: "gpu", Value: "true"}}, User: "etl",
		Limits: &wire.Limits{Processes: 9}, ExitCodes: []*wire.ExitCode{{Code: 7, Meaning: wire.ExitCode_SKIP}}, Secrets: []string{"KEY"},
	}
}

func gpu() *wire.Agent {
	return &wire.Agent{Id: "x", Incarnation: "k", Labels: []*wire.Assignment{{Name: "gpu", Value: "true"}}}
}

// TestR7_8_SeveralSlotsOnlyToWhoKnowsOfThem: an older agent would count one.
func TestR7_8_SeveralSlotsOnlyToWhoKnowsOfThem(t *testing.T) {
	b := newBench(t, demanding(), &wire.Node{Id: "b", Code: "true"})
	b.submit(3, &wire.Request{Root: "a"})
	b.conns++
	old := b.conns
	a := gpu()
	a.Groups = []*wire.GroupSlots{{Group: "default", Slots: 2}}
	b.send(b.core.Hello(old, &wire.Hello{Agent: a, Ahead: true}, b.now))
	b.turns()
	if _, work, _, _ := b.take(old); len(work) != 0 {
		t.Fatalf("it is given %v", work)
	}
	c := b.helloAs(gpu())
	b.turns()
	if _, work, _, _ := b.take(c); len(work) != 1 {
		t.Fatalf("who knows of weights is given %d attempts, want one: it takes both slots", len(work))
	}
	if use := b.st.GroupUse("default"); use.Used != 2 || *b.core.offers.Use("default") != use {
		t.Errorf("the use is %+v, as it is counted here %+v", use, *b.core.offers.Use("default"))
	}
}

// TestR7_7_TheLabelsAreAnAgentsOwn: work waits until one has them.
func TestR7_7_TheLabelsAreAnAgentsOwn(t *testing.T) {
	b := newBench(t, demanding())
	b.submit(1, &wire.Request{Root: "a"})
	plain := b.hello("y", "k")
	b.turns()
	if _, work, _, _ := b.take(plain); len(work) != 0 {
		t.Fatalf("an agent without the label is given %v", work)
	}
	c := b.helloAs(gpu())
	b.turns()
	if _, work, _, _ := b.take(c); len(work) != 1 {
		t.Fatalf("%d attempts for the agent with the label", len(work))
	}
}

// TestR1_6_NewerCodeRunsAsThePlanHasPinnedTheRest: whose rights it has, what it
// may use and what its end means.
func TestR1_6_NewerCodeRunsAsThePlanHasPinnedTheRest(t *testing.T) {
	b := newBench(t, demanding())
	b.submit(1, &wire.Request{Root: "a"})
	b.write(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: []*wire.Node{{Id: "a", Code: "newer"}}}}})
	c := b.helloAs(gpu())
	b.turns()
	var got *wire.Node
	for _, m := range b.sent[c] {
		for _, d := range m.GetAssign().GetDefinitions() {
			got = d.Node
		}
	}
	want := demanding()
	if got == nil || got.Code != "newer" {
		t.Fatalf("got %v", got)
	}
	same := &wire.Node{
		Id: got.Id, Code: want.Code, Slots: got.Slots, Requires: got.Requires, User: got.User, Limits: got.Limits, ExitCodes: got.ExitCodes, Secrets: got.Secrets,
	}
	if !proto.Equal(same, want) {
		t.Errorf("got %v, want %v", same, want)
	}
}
