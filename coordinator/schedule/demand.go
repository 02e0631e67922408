package schedule

import (
	"cmp"
	"slices"

	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// demand is what some nodes ask of their agent beyond one slot: labels, or more
// slots at once (RULES R7.7, R7.8). In the lines of the plans, instances with
// the same demand stand apart, so that those for which no agent has room are
// passed over as one. nil is the demand of all others: one slot, anywhere.
type demand struct {
	weight   int
	requires []*wire.Assignment // as node.Requires orders them
	waiting  int                // instances in the lines of its resource group
	// passedMs is since when others have gone before it for want of room, and none
	// of it has started; 0: that is not so.
	passedMs int64

	// Of one call of Fill:
	known  bool   // the offers tell who could hold it
	at     int    // where it stands among their demands
	long   bool   // it has been passed over for too long (RULES R7.9)
	always bool   // so long that nothing is more urgent
	head   rank   // then: of the first of it in line
	kept   *offer // then: an agent that is kept for it
}

func (d *demand) compare(o *demand) int {
	return cmp.Or(cmp.Compare(d.weight, o.weight), slices.CompareFunc(d.requires, o.requires, func(a, b *wire.Assignment) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
	}))
}

// slots is how many it takes.
func (d *demand) slots() int {
	if d == nil {
		return 1
	}
	return d.weight
}

// heldBy says whether an agent could ever hold it.
func (d *demand) heldBy(a *Offer) bool {
	return d == nil || d.weight <= a.Slots && (d.weight == 1 || !a.Light) && node.Labelled(a.Labels, d.requires)
}

// count counts instances that come into line, or leave it.
func (d *demand) count(by int) {
	if d != nil {
		d.waiting += by
	}
}

// passed notes that others go before it.
func (d *demand) passed(nowMs int64) {
	if d != nil && d.passedMs == 0 {
		d.passedMs = nowMs
	}
}

// Plain says that a node asks for one slot, and for no labels: every agent can
// run it.
func Plain(spec *wire.Node) bool { return spec.Slots <= 1 && len(node.Requires(spec)) == 0 }

// demandOf is what a node asks for in this pool.
func (q *pool) demandOf(spec *wire.Node) *demand {
	if Plain(spec) {
		return nil
	}
	d := &demand{weight: int(node.Weight(spec)), requires: node.Requires(spec)}
	i, found := slices.BinarySearchFunc(q.demands, d, (*demand).compare)
	if !found {
		q.demands = slices.Insert(q.demands, i, d)
	}
	return q.demands[i]
}

// inLine lists the demands that something in line has.
func (q *pool) inLine() (out []*demand) {
	for _, d := range q.demands {
		d.known, d.long, d.always, d.kept = false, false, false, nil
		if d.waiting > 0 {
			out = append(out, d)
		} else {
			d.passedMs = 0
		}
	}
	return out
}

// first is the rank of the first in line with a demand, of those that may be
// given a slot.
func (q *pool) first(d *demand, may func(*tracker) bool) (rank, bool) {
	for _, l := range q.levels {
		for _, n := range l.turns {
			if p := n.part(d); p != nil && len(p.items) > 0 && may(n.t) {
				return l.rank, true
			}
		}
	}
	return rank{}, false
}
