package schedule

import (
	"cmp"
	"slices"
)

// What asks for labels, or for several slots, may be passed over for ever by what
// asks for less. So after a time an agent is kept for it (RULES R7.9).

// bars says whether what is kept for a demand is kept from an instance.
func (d *demand) bars(r rank, of *demand) bool {
	return d != of && (d.always || r.compare(d.head) >= 0)
}

// keep chooses an agent for each demand that has been passed over for too long:
// the one with the most free slots of those that could hold it. Nothing less or
// equally urgent gets any of its slots in this call, and after twice the time
// nothing else at all, where backfills wait; so it becomes free, bit by bit.
// Half of the slots are kept at most, or one agent (RULES R7.9).
func (g *granting) keep() {
	s, slots := g.s, 0
	long := slices.DeleteFunc(slices.Clone(g.demands), func(d *demand) bool {
		return d.passedMs == 0 || s.nowMs-d.passedMs < s.set.PatienceMs || !g.of.could(d)
	})
	slices.SortStableFunc(long, func(a, b *demand) int { return cmp.Compare(a.passedMs, b.passedMs) })
	for _, d := range long {
		d.head, d.long = g.pool.first(d, func(t *tracker) bool { return (t.auto || d.weight <= g.limit) && s.below(t, 0) })
		d.always = d.long && !d.head.auto && s.nowMs-d.passedMs >= 2*s.set.PatienceMs
		a := g.of.freest(d)
		if !d.long || a == nil || slots > 0 && 2*(slots+a.Slots) > g.of.use.Slots {
			continue
		}
		slots += a.Slots
		d.kept, a.kept = a, true
		g.of.settle(a)
		g.kept = append(g.kept, d)
	}
}

// release lets others have the agent that is kept for a demand.
func (g *granting) release(d *demand) {
	a := d.kept
	d.kept, a.kept = nil, false
	g.of.settle(a)
	g.kept = slices.DeleteFunc(g.kept, func(x *demand) bool { return x == d })
}

// releaseSpare releases the agents that are kept for what has turned out not to
// be ready any more; false when there are none.
func (g *granting) releaseSpare() bool {
	i := slices.IndexFunc(g.kept, func(d *demand) bool { return d.waiting == 0 })
	if i < 0 {
		return false
	}
	g.release(g.kept[i])
	g.begin()
	return true
}

// passAhead lets others go ahead before what cannot. An agent that is given work
// ahead has no free slot for long, so those that could hold it are given none:
// if one slot is all that it lacks, or if it is time to keep an agent for it and
// none had a free slot.
func (g *granting) passAhead(d *demand) {
	d.passed(g.s.nowMs)
	if d.weight == 1 || d.long && d.kept == nil {
		g.close(d)
	}
}

func (g *granting) close(d *demand) {
	for _, k := range g.of.kinds {
		k.closed = k.closed || k.holds(d)
	}
}
