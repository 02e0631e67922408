package state

import (
	"math/rand/v2"
	"testing"

	"backfleet/pkg/wire"
)

// TestNextFindsWhatAWalkFinds holds Next and Previous against reading every
// status, in a plan with stretches that were never written.
func TestNextFindsWhatAWalkFinds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const size = 3 * 4096
	p := &Plan{status: newColumn[Status](size)}
	own := new(mark)
	for range 60 {
		at := r.Uint64N(size)
		for i := at; i < min(size, at+r.Uint64N(90)); i++ {
			*p.status.at(own, i) = Status(r.IntN(int(nStatus)))
		}
	}
	for i := range uint64(4096) { // one branch is empty
		if b := p.status.branches[1]; b != nil {
			b.chunks[i>>chunkBits] = nil
		}
	}
	p.status.branches[1] = nil
	for range 20_000 {
		from, to := r.Uint64N(size+1), r.Uint64N(size+1)
		if r.IntN(2) == 0 {
			to = min(size, from+r.Uint64N(200))
		}
		in := Statuses(r.Uint32N(1 << nStatus))
		if r.IntN(2) == 0 {
			in = Statuses(0).With(Status(r.IntN(int(nStatus))))
		}
		first, last, found := uint64(0), uint64(0), false
		for i := from; i < to; i++ {
			if in.Has(p.Status(i)) {
				if !found {
					first, found = i, true
				}
				last = i
			}
		}
		if got, ok := p.Next(from, to, in); ok != found || got != first {
			t.Fatalf("next of %b in %d to %d: got %d, %v, want %d, %v", in, from, to, got, ok, first, found)
		}
		if got, ok := p.Previous(from, to, in); ok != found || got != last {
			t.Fatalf("previous of %b in %d to %d: got %d, %v, want %d, %v", in, from, to, got, ok, last, found)
		}
	}
}

// TestPlansOfTheSameNodesShareThem: a backfill of what others have run before
// adds its dates alone, in a restored State too, until a node changes.
func TestPlansOfTheSameNodesShareThem(t *testing.T) {
	m := fleet(t, 100)
	request := func(from int32) *wire.Command {
		return submit(&wire.Request{Mode: wire.Request_DESCENDANTS, Root: "n00000", Dates: []*wire.DateRange{{From: from, To: from + 4}}})
	}
	var plans []*Plan
	for i := range int32(3) {
		plans = append(plans, m.plan(m.must(request(int32(today)-100+10*i)).Plan))
	}
	check := func(plans []*Plan, what string) {
		t.Helper()
		for _, p := range plans[1:] {
			if &p.Nodes[0] != &plans[0].Nodes[0] || &p.slots[0] != &plans[0].slots[0] {
				t.Errorf("%s: b%d has nodes of its own", what, p.ID)
			}
		}
	}
	check(plans, "accepted")
	if a, b := m.s.PlansOf("n00000"), m.s.PlansOf("n00099"); len(a) != 3 || &a[0] != &b[0] {
		t.Errorf("two nodes of the same plans have lists of their own: %v, %v", a, b)
	}
	again := restored(t, m.s)
	for i := range plans {
		plans[i], _ = again.Plan(plans[i].ID)
	}
	check(plans, "restored")
	other := m.plan(m.must(submit(&wire.Request{
		Mode: wire.Request_DESCENDANTS, Root: "n00000", DryRun: true, Dates: []*wire.DateRange{{From: int32(today) - 9, To: int32(today) - 9}},
	})).Plan)
	if now := m.plan(plans[0].ID); &other.Nodes[0] == &now.Nodes[0] || other.Nodes[0].DryRun == now.Nodes[0].DryRun {
		t.Error("a dry run shares its nodes with what really runs")
	}
}
